"""The gate `writer` of a real deployment: MySQL-MMM's stand-in, two real MariaDB masters, real minions that connect."""

import json
import subprocess

import gate
import mariadb
import pytest

pytestmark = pytest.mark.skipif(bool(mariadb.missing()), reason=mariadb.missing())
NETWORK = mariadb.network()
VIP, DB1, DB2 = f"{NETWORK}.50", f"{NETWORK}.11", f"{NETWORK}.12"
ENVIRONMENT = f"""
environments:
  writer:
    roles:
      primary_controller: [n1]
      secondary_controller: [n2]
      mmm_monitor: [n1]
      compute: [n3, n4]
      endpoint: []
    gates:
      writer:
        checks:
          - name: writer
            function: mysql_mmm.writer_ready
            role: mmm_monitor
            kwargs: {{expected_ip: {VIP}, sql: false}}
          - function: mysql_endpoint.ready
            role: compute
            kwargs: {{address: {VIP}, holder: '{{writer.host}}', node_address: '{{writer.host_ip}}'}}
        successes: 3
        interval: 1
        timeout: 120
"""


@pytest.fixture
def configured(house, tmp_path):
    """The monitor's node and the compute nodes know what their modules need; afterwards they have forgotten it."""
    monitor = gate.Monitor(tmp_path / "mmm", mode="ACTIVE", hosts=gate.hosts("db1", network=NETWORK))
    wanted = {"mysql.user": mariadb.USER, "mysql.pass": mariadb.PASSWORD, "mysql_mmm": monitor.settings}
    house.salt("n[134]", "grains.setvals", json.dumps(wanted))
    house.salt("n[134]", "saltutil.refresh_grains")
    mariadb.wait_until(lambda: _knows(house), what="the nodes' settings", interval=0.5)
    yield monitor
    for name in wanted:
        house.salt("n[134]", "grains.delkey", name)


def _knows(house):
    found = house.salt("n[134]", "config.get", "mysql_mmm:mmm_control").data or {}
    return len(found) == 3 and all(found.values())


@pytest.fixture
def address(tmp_path):
    """The writer's address and the two masters behind it, the first of which holds it."""
    with mariadb.pair(tmp_path / "db", [DB1, DB2]) as (db1, db2), mariadb.Forwarder(VIP, db1) as vip:
        yield vip, db1, db2


def test_compute_nodes_wait_until_they_reach_the_writer_that_the_monitor_named(house, configured, address, tmp_path):
    vip, db1, db2 = address
    # The monitor says db1; who connects comes out at db2.
    vip.lead_to(db2)
    house.pillar("writer", ENVIRONMENT)
    ran = tmp_path / "ran"
    ran.touch()
    for node in ("n1", "n2", "n3", "n4"):
        house.manifest(node, f"exec {{ '/bin/sh -c \"echo {node} >> {ran}\"': }}")

    deployment = subprocess.Popen(
        house.command("salt-run", "deployment.run", "writer", "compute", "--out=json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waited = ""
    for line in deployment.stderr:
        if "waiting:" in line:
            waited += line
            assert not {"n3", "n4"} & set(ran.read_text().split())
            vip.lead_to(db1)
    out, _ = deployment.communicate(timeout=120)

    assert f"writer is on db1 ({VIP}), but this node reaches server 2 there: is the address on two nodes?" in waited
    assert deployment.returncode == 0, out
    assert set(ran.read_text().split()) == {"n1", "n2", "n3", "n4"}, out
