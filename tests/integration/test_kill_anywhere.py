"""`salt-run` is killed at random instants of a deployment: the journal is whole, and the verdict in the end is true."""

import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest
from os_orchestrator import journal

KILLS = int(os.environ.get("KILLS", "50"))
SLS = """
One:
  phase.puppet:
    - role: storage

Two:
  phase.puppet:
    - role: proxy
    - require:
      - phase: One
"""
STAND_IN = """
for word; do case "$word" in --lastrunreport=*) report="${word#*=}";; esac; done
echo %(node)s >>%(trace)s
sleep 0.5
sed "s/^transaction_uuid: .*/transaction_uuid: $(cat /proc/sys/kernel/random/uuid)/" %(report)s >"$report"
exit 2
"""


@pytest.fixture
def scenario(site, house, file_root, repository):
    """A short deployment; Puppet is a stand-in that is quick, counts itself, and writes a real report."""
    site.define(ping_timeout=15)
    (file_root / site.name).mkdir()
    (file_root / site.name / "short.sls").write_text(SLS)
    report = repository / "tests/unit/node/captured/changed.report.yaml"
    for node in ("n1", "n2", "n4"):
        house.wrap(node, STAND_IN % {"node": node, "trace": site.trace, "report": report})
    return f"{site.name}.short"


def runs(site):
    return sorted(site.trace.read_text().split())


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_anywhere_and_resumed_each_pass_has_run_once(site, house, scenario):
    began = time.monotonic()
    whole = house.salt_run("deployment.run", site.name, scenario)
    span = time.monotonic() - began
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert runs(site) == ["n1", "n2", "n4"]
    record = journal.Journal(next(house.root.rglob("journal.sqlite")))
    chance = random.Random(os.environ.get("SEED", "4"))
    for number in range(KILLS):
        site.trace.write_text("")
        known = {row["id"] for row in record.deployments(site.name, 200)}
        process = subprocess.Popen(
            house.command("salt-run", "deployment.run", site.name, scenario),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        at = chance.uniform(0, span)
        try:
            process.wait(at)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        told = f"kill {number} after {at:.3f} s"
        assert sqlite3.connect(record.path).execute("PRAGMA integrity_check").fetchone() == ("ok",), told
        begun = [row for row in record.deployments(site.name, 200) if row["id"] not in known]
        if not begun or begun[0]["state"] == "succeeded":
            assert runs(site) == (["n1", "n2", "n4"] if begun else []), told
            continue
        assert begun[0]["state"] == "interrupted", told
        resumed = house.salt_run("deployment.resume", site.name)
        assert resumed.returncode == 0, told + resumed.stdout + resumed.stderr
        assert runs(site) == ["n1", "n2", "n4"], told
        nodes = [node for phase in resumed.data["answer"]["phases"] for node in phase["nodes"]]
        assert {node["verdict"] for node in nodes} <= {"changed", "kept"}, told
