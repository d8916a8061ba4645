"""
What becomes of a deployment when something happens to Puppet, to its report, to the disk or the clock of a node.

Each test is a row of docs/faults.md: exit statuses are ours, then that of plain ``state.orch`` where it meets the same.
"""

import contextlib
import subprocess

import psutil
import pytest
from disks import fill, small_disk
from sites import wait_until

# What is done to the run's own report once Puppet has written it.
TAMPER = """
for word; do case "$word" in --lastrunreport=*) report="${word#*=}";; esac; done
puppet "$@"; code=$?
%s
exit $code
"""
REPORTS = {
    "missing": ('rm "$report"', "its report is not there"),
    "empty": (': >"$report"', "report"),
    "cut in half": ('truncate -s $(($(stat -c %s "$report") / 2)) "$report"', "report"),
    "not YAML": ('head -c 5000 /dev/urandom >"$report"', "report"),
    "of 200 MB": ('truncate -s 200M "$report"', "report"),
}
STUBBORN = """
exec {{ 'hang': timeout => 0, command => '/usr/bin/setsid --wait /bin/sh {script}' }}
"""


def pass_over(site, *more):
    """Run Puppet on n2 alone, and return the command's result and what became of the node."""
    result = site.house.salt_run("deployment.puppet", site.name, "storage", "nodes=n2", *more)
    (node,) = [node for node in result.data["answer"]["phases"][0]["nodes"] if node["node"] == "n2"]
    return result, node


@pytest.mark.parametrize(("number", "plain"), [("TERM", 1), ("KILL", 1)])
def test_puppet_is_told_to_end_or_killed(contest, house, site, number, plain):
    site.hold("n2")
    contest.start()
    wait_until(lambda: contest.began("n2"), 60)
    for each in house.puppets("n2"):
        subprocess.run(["kill", f"-{number}", str(each.pid)], check=True)
    site.let_go("n2")
    assert contest.outcome() == (1, plain)
    assert contest.verdicts() == {"n1": "changed", "n2": "killed"}
    assert contest.went_on == (False, False)


def test_a_run_hangs_with_a_child_that_does_not_listen(contest, house, site, tmp_path):
    site.define(timeout=8)
    (tmp_path / "stubborn").write_text("trap '' TERM HUP\nwhile :; do sleep 1; done\n")
    site.manifest("n2", STUBBORN.format(script=tmp_path / "stubborn"))
    contest.start()
    contest.ours.wait(90)
    # The plain one would wait for ever.
    assert contest.plain.poll() is None
    contest.end()
    for each in house.puppets("n2"):
        for child in [*each.children(recursive=True), each]:
            child.kill()
    assert contest.ours.returncode == 1
    assert contest.verdicts()["n2"] == "timed_out"


@contextlib.contextmanager
def own_run(house, node, seconds):
    """A Puppet of the node's own, which holds the lock of the agent as a background run does."""
    lock = house.puppet(node) / "var/state/agent_catalog_run.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    script = f"echo $PPID >{lock}; sleep {seconds}"
    command = ["puppet", "apply", "--confdir", str(house.puppet(node) / "etc"), "-e"]
    command += [f"exec {{ 'run': provider => shell, command => '{script}' }}"]
    # Below a shell, which notices its end.
    with subprocess.Popen(["sh", "-c", '"$@" >/dev/null 2>&1; :', "sh", *command]):
        wait_until(lambda: lock.exists() and lock.read_text().strip())
        puppet = psutil.Process(int(lock.read_text()))
        try:
            yield puppet
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                puppet.kill()
            lock.unlink(missing_ok=True)


def test_the_agents_own_run_is_in_the_way_for_a_while(house, site):
    site.define(lock_timeout=60)
    with own_run(house, "n2", 6) as process:
        result, node = pass_over(site)
        assert not process.is_running()
    assert (result.returncode, node["verdict"]) == (0, "changed")


def test_the_agents_own_run_is_in_the_way_for_too_long(house, site):
    with own_run(house, "n2", 600) as process:
        result, node = pass_over(site)
        assert process.is_running()
    assert (result.returncode, node["verdict"]) == (1, "busy")
    assert str(process.pid) in node["reason"]
    assert site.ran() == []


def test_the_agent_is_disabled_in_mid_deployment(contest, house, site):
    site.hold("n2")
    contest.start()
    wait_until(lambda: contest.began("n2"), 60)
    try:
        assert house.salt("n4", "puppet_agent.disable", "new disks, until Friday").returncode == 0
        site.let_go("n2")
        # Plain ``puppet apply`` does not ask whether it may.
        assert contest.outcome() == (1, 0)
    finally:
        house.salt("n4", "puppet_agent.enable")
    (node,) = site.shown()["phases"][1]["nodes"]
    assert (node["verdict"], "new disks, until Friday" in node["reason"]) == ("disabled", True)


@pytest.mark.parametrize("what", REPORTS)
def test_the_report_is(house, site, what):
    script, reason = REPORTS[what]
    house.wrap("n2", TAMPER % script)
    result, node = pass_over(site)
    assert (result.returncode, node["verdict"], node["good"]) == (1, "failed", False)
    assert reason in node["reason"]
    assert "Traceback" not in result.stdout + result.stderr


def node_cache(house, node):
    return next(house.root.glob(f"**/{node}/**/cache"))


def test_the_nodes_disk_is_full_before(house, site):
    with small_disk(node_cache(house, "n2") / "puppet_agent", "64k") as place:
        fill(place)
        result, node = pass_over(site)
    assert (result.returncode, node["verdict"]) == (1, "not_started")
    assert "No space left on device" in node["reason"]
    assert site.ran() == []


def test_the_nodes_disk_fills_in_mid_run(house, site):
    """A good run whose outcome cannot be kept is no good run; once there is room again, the node can go on."""
    with small_disk(node_cache(house, "n2") / "puppet_agent", "400k") as place:
        house.wrap("n2", f'head -c 1M /dev/zero >{place}/filler; exec puppet "$@"')
        result, node = pass_over(site)
    house.wrap("n2")
    assert result.returncode == 1
    assert not node["good"]
    assert "Traceback" not in result.stdout + result.stderr
    result, node = pass_over(site)
    assert (result.returncode, node["verdict"]) == (0, "changed")
