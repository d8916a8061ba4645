"""
What becomes of a deployment when its own process, the master, or the master's disk goes, and when there are two.

Each test is a row of docs/faults.md: exit statuses are ours, then that of plain ``state.orch`` where it meets the same.
"""

import contextlib
import itertools
import os
import re
import signal
import sqlite3
import subprocess
from pathlib import Path

import psutil
import pytest
from disks import fill, small_disk
from sites import wait_until

pytestmark = pytest.mark.salt


def place_of_the_journal(house):
    """Return the directory of the master's journal, made where no deployment has done so yet."""
    place = Path(house.master.config["cachedir"]) / "os_orchestrator"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def status_of(house, site):
    return house.salt_run("deployment.status", site.name).data["answer"]["deployments"][0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_salt_run_is_ended(in_the_middle, house, site, number):
    for process in (in_the_middle.ours, in_the_middle.plain):
        os.killpg(process.pid, number)
    ours, _ = in_the_middle.finish()
    assert ours.returncode == (-9 if number == signal.SIGKILL else 1)
    status = status_of(house, site)
    assert (status["state"], status["phases"][0]["state"]) == ("interrupted", "interrupted")
    site.let_go("n2")

    result = house.salt_run("deployment.resume", site.name)

    assert result.returncode == 0, result.stderr
    # The plain one has forgotten what it did, and cannot go on.
    assert in_the_middle.went_on == (True, False)
    assert [site.ran().count(node) for node in ("n1", "n2", "n4")] == [1, 1, 1]
    assert sqlite3.connect(place_of_the_journal(house) / "journal.sqlite").execute(
        "PRAGMA integrity_check"
    ).fetchone() == ("ok",)


def processes_of(daemon):
    """Return a daemon with all that it started."""
    master = psutil.Process(daemon.pid)
    return [master, *master.children(recursive=True)]


def test_the_master_is_killed_and_restarted(contest, house, site):
    site.define(ping_timeout=15)
    site.hold("n2")
    contest.start()
    wait_until(lambda: contest.began("n2"), 60)
    for process in processes_of(house.master):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    house.master.terminate()
    house.master.start()
    site.let_go("n2")
    # The plain one comes out either way.
    ours, _ = contest.finish(180)
    assert ours.returncode == 0, ours.stdout + ours.stderr
    assert contest.verdicts() == {"n1": "changed", "n2": "changed"}
    assert [site.ran().count(node) for node in ("n1", "n2", "n4")] == [1, 1, 1]


def test_the_journals_disk_is_full_before(house, site):
    with small_disk(place_of_the_journal(house), "256k") as place:
        fill(place)
        result = house.salt_run("deployment.run", site.name, "swift", out=None)
    assert result.returncode == 2
    assert "the journal" in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert site.ran() == []


def test_the_journals_disk_fills_in_mid_run(house, site):
    """What cannot be written down has not succeeded; nothing more starts."""
    site.hold("n2")
    place = place_of_the_journal(house)
    with small_disk(place, "512k"):
        process = subprocess.Popen(
            house.command("salt-run", "deployment.run", site.name, "swift"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: "n2" in site.ran(), 60)
        fill(place)
        site.let_go("n2")
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert "its disk is full" in " ".join(out.split())
    # Whether the journal has room for the end of the deployment is a matter of some bytes.
    assert "deployment.resume takes them up" in out or re.search(r"n2 +unheard", out)
    assert "Traceback" not in out + err
    assert set(site.ran()) == {"n1", "n2"}


def test_two_deployments_of_one_environment_at_the_same_instant(house, site):
    command = house.command("salt-run", "deployment.puppet", site.name, "storage")
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    assert any(f"environment {site.name} is being deployed by" in out for out, _ in told)
    assert sorted(site.ran()) == ["n1", "n2"]


@pytest.fixture
def other(house, site):
    """Another environment, which has the node n2 too."""
    name = f"{site.name}x"
    text = f"{{environments: {{{name}: {{roles: {{shared: [n2]}}, puppet: {{lock_timeout: LOCK, grace: 5}}}}}}}}"

    def define(lock_timeout):
        house.pillar(name, text.replace("LOCK", str(lock_timeout)))
        return name

    return define


def test_two_environments_share_a_node(house, site, other, started):
    name = other(60)
    site.hold("n2")
    first = started("deployment.run", site.name, "swift", seconds=1)
    wait_until(lambda: "n2" in site.ran())

    command = house.command("salt-run", "deployment.puppet", name, "shared")
    second = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    waits = next((line for line in second.stderr if "waits" in line), "")
    site.let_go("n2")

    assert f"n2  waits, deployment {site.last()['id']} of environment {site.name} runs Puppet there" in waits
    assert (second.communicate(timeout=90), second.returncode)[1] == 0
    first.communicate(timeout=90)
    assert first.returncode == 0
    spans = site.spans("n2")
    assert len(spans) == 3
    assert all(one[1] <= then[0] for one, then in itertools.pairwise(spans))


def test_two_environments_share_a_node_for_too_long(house, site, other, started):
    name = other(2)
    site.hold("n2")
    started("deployment.run", site.name, "swift", seconds=1)
    wait_until(lambda: "n2" in site.ran())

    second = house.salt_run("deployment.puppet", name, "shared")

    site.let_go("n2")
    assert second.returncode == 1
    (node,) = second.data["answer"]["phases"][0]["nodes"]
    assert (node["verdict"], f"of environment {site.name} runs Puppet there" in node["reason"]) == ("busy", True)
    assert site.ran().count("n2") == 1
