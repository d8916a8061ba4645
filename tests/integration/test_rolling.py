"""A change rolls over the servers of a real HAProxy while a client asks all the time."""

import json

import balancer
import mariadb
import psutil
import pytest
from sites import wait_until

pytestmark = pytest.mark.skipif(not balancer.HAPROXY, reason=balancer.MISSING)
NETWORK, PORT = mariadb.network(), 8774
NODES = ("n1", "n2", "n3", "n4")
CONFIGURATION = f"""
global
    stats socket {{root}}/s mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    default-server inter 100ms fall 1 rise 1
listen nova_api
    bind {NETWORK}.80:{PORT}
    {{servers}}
"""
ENVIRONMENT = """
environments:
  {name}:
    roles: {{compute: [n1, n2, n3, n4], endpoint: [n5]}}
    puppet: {{timeout: 60, lock_timeout: 5, grace: 5, ping_timeout: 10}}
    calls:
      drain:
        - {{function: haproxy_endpoint.drain, role: endpoint, args: ['{{node}}'], kwargs: {socket}}}
        - {{function: haproxy_endpoint.drained, role: endpoint, args: ['{{node}}'], kwargs: {socket}, expect: true,
           within: 20, interval: 0.5}}
      health:
        - {{function: file.file_exists, args: ['{well}/{{node}}'], expect: true}}
      restore:
        - {{function: haproxy_endpoint.enable, role: endpoint, args: ['{{node}}'], kwargs: {socket}}}
        - {{function: haproxy_endpoint.up, role: endpoint, args: ['{{node}}'], kwargs: {socket}, expect: true,
           within: 20, interval: 0.5}}
"""
# What Puppet does on a node: end its web server, and start it again a second later.
CHANGE = """
exec {{ 'change':
  command  => '{note} start {node}; kill $(cat {pid}); sleep 1; setsid {python} -IS -c "$(cat {server})" {words} \
    </dev/null >/dev/null 2>&1 & echo $! > {pid}; {note} end {node}',
  provider => shell,
}}
"""


@pytest.fixture
def web(site, house, tmp_path):
    """The balancer on n5 and the web servers n1 to n4 behind it, all well; Puppet restarts that of its node."""
    root, well = tmp_path / "balancer", tmp_path / "well"
    root.mkdir()
    well.mkdir()
    server = tmp_path / "server.py"
    server.write_text(balancer.SERVER)
    addresses = {node: f"{NETWORK}.8{number}" for number, node in enumerate(NODES, 1)}
    servers = [balancer.WebServer(node, addresses[node], PORT, root / "release").start() for node in NODES]
    for each in servers:
        (well / each.name).touch()
        pid = root / f"{each.name}.pid"
        pid.write_text(str(each.process.pid))
        words = f"{each.address} {PORT} {each.name} {root / 'release'}"
        given = {"note": site._script, "node": each.name, "pid": pid, "server": server, "words": words}
        house.manifest(each.name, CHANGE.format(python=house.python, **given))
    socket = json.dumps({"socket": str(root / "s")})
    house.pillar(site.name, ENVIRONMENT.format(name=site.name, socket=socket, well=well))
    listed = "\n    ".join(f"server {node} {address}:{PORT} check" for node, address in addresses.items())
    with balancer.haproxy(root, CONFIGURATION.format(root=root, servers=listed)):
        wait_until(lambda: set(_live(house, socket).values()) == {"UP"}, 30)
        yield well, socket
    for node, each in zip(NODES, servers, strict=True):
        each.process.kill()
        each.process.wait()
        pid = int((root / f"{node}.pid").read_text())
        if psutil.pid_exists(pid) and str(server.parent) in " ".join(psutil.Process(pid).cmdline()):
            psutil.Process(pid).kill()


def _live(house, socket):
    found = house.salt("n5", "haproxy_endpoint.servers", f"socket={json.loads(socket)['socket']}").data["n5"]
    return {name: server["status"] for name, server in found["nova_api"].items()}


def test_every_node_is_changed_and_no_request_fails(site, house, web):
    with balancer.Client(f"{NETWORK}.80", PORT) as client:
        client.asked(20)
        result = house.salt_run("deployment.run", site.name, "rolling", "role=compute", timeout=240)
        assert client.asked(50) == set(NODES)
    assert result.returncode == 0, result.stderr
    assert client.errors == []
    assert site.ran() == list(NODES)
    (phase,) = result.data["answer"]["phases"]
    assert [node["verdict"] for node in phase["nodes"]] == ["changed"] * 4
    called = [call["function"] for call in phase["nodes"][0]["calls"]]
    assert called == [
        "haproxy_endpoint.drain",
        "haproxy_endpoint.drained",
        "file.file_exists",
        "haproxy_endpoint.enable",
        "haproxy_endpoint.up",
    ]
    assert "canary, 1 of 4: n1" in result.stderr


def test_a_node_that_is_not_well_stays_out_and_the_others_serve_until_it_is_cured(site, house, web):
    well, socket = web
    (well / "n3").unlink()
    with balancer.Client(f"{NETWORK}.80", PORT) as client:
        result = house.salt_run("deployment.run", site.name, "rolling", "role=compute", timeout=240)
        assert client.asked(50) == {"n1", "n2", "n4"}
        assert result.returncode == 1
        assert site.ran() == ["n1", "n2", "n3"]
        nodes = {node["node"]: node for node in result.data["answer"]["phases"][0]["nodes"]}
        assert [nodes[node]["verdict"] for node in NODES] == ["changed", "changed", "failed", "skipped"]
        assert "check: file.file_exists on n3: answered false" in nodes["n3"]["reason"]
        assert _live(house, socket) == {"n1": "UP", "n2": "UP", "n3": "DRAIN", "n4": "UP"}

        (well / "n3").touch()
        result = house.salt_run("deployment.resume", site.name, timeout=240)
        assert client.asked(50) == set(NODES)
    assert result.returncode == 0, result.stderr
    assert client.errors == []
    assert site.ran() == ["n1", "n2", "n3", "n3", "n4"]
    assert set(_live(house, socket).values()) == {"UP"}
