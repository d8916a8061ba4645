"""
Past one master: deployments from a master of masters over the minions of two syndics, with real Puppet.

n1 and n2 listen to the master of s1; n3, n4 and n5 to that of s2. What the top hears of them comes through a syndic.
"""

import contextlib
import subprocess
import sys

import pytest
import salt.version
import syndics
from sites import DOORS_SECOND_SLOW, before, overlap, wait_until

# On Salt 3008 a syndic passes up one message over ZeroMQ, and no more (docs/scale.md).
TRANSPORT = "tcp" if salt.version.__saltstack_version__.major >= 3008 else "zeromq"
NODES = {"s1": ["n1", "n2"], "s2": ["n3", "n4", "n5"]}


@pytest.fixture(scope="module")
def house(salt_factories, file_root):
    """A master of masters, two syndics and the five minions under them."""
    here = {"module_dirs": [str(file_root)], "transport": TRANSPORT}
    top = {"file_roots": {"base": [str(file_root)]}, "os_orchestrator": {"poll_interval": 3}}
    with syndics.opened(
        salt_factories, "syndic", NODES, python=sys.executable, master_options={**here, **top}, minion_options=here
    ) as tree:
        yield tree


@pytest.fixture(autouse=True)
def _every_syndic_is_up(house):
    """Start the syndics that a test has stopped, so that the next test finds the whole tree."""
    yield
    for name, syndic in house.syndics.items():
        if not syndic.is_running():
            house.start_syndic(name)


@pytest.fixture
def site(site):
    """The site, with lists in place of the target, and a storage node under each syndic."""
    site.listed = {"compute": "[n3, n4]", "storage": "[n1, n3]"}
    site.define(**site.listed)
    return site


@contextlib.contextmanager
def held(site, house, *command):
    """A deployment that begins with both storage nodes: n1 is done, on n3 Puppet is in the middle of its catalog."""
    site.hold("n3")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(house.command("salt-run", *command), **pipes)
    for line in process.stderr:
        if "n1  changed" in line:
            break
    wait_until(lambda: "n3" in site.ran(), 60)
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


@pytest.fixture
def in_the_middle(site, house):
    with held(site, house, "deployment.puppet", site.name, "storage") as process:
        yield process


def end_of(process, timeout=120):
    """Return what a command came to: its exit status, and all that it printed."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out + err


def verdicts(site, phase=0):
    return {node["node"]: node["verdict"] for node in site.shown()["phases"][phase]["nodes"]}


def reasons(site, phase=0):
    return {node["node"]: node["reason"] for node in site.shown()["phases"][phase]["nodes"]}


def over(site, node):
    """Whether Puppet has ended on a node."""
    return f"end {node} " in site.trace.read_text()


@pytest.mark.salt
@pytest.mark.parametrize("door", DOORS_SECOND_SLOW)
def test_compute_runs_in_its_order_over_two_syndics(site, door):
    for node in ("n3", "n4"):
        site.manifest(node, seconds=3)
    site.writer.touch()

    result = site.deploy(door, "compute")

    assert result.returncode == 0, result.stdout + result.stderr
    (primary, primary_again), (secondary, secondary_again) = site.spans("n1"), site.spans("n2")
    (compute_1,), (compute_2,), (endpoint,) = site.spans("n3"), site.spans("n4"), site.spans("n5")
    assert before(primary, secondary)
    assert before(secondary, primary_again)
    assert before(secondary, secondary_again)
    assert all(before(again, one) for again in (primary_again, secondary_again) for one in (compute_1, compute_2))
    assert overlap(compute_1, compute_2)
    assert all(before(one, endpoint) for one in (compute_1, compute_2))
    assert site.last()["state"] == "succeeded"
    assert verdicts(site, 4) == {"n3": "changed", "n4": "changed"}


def test_a_target_is_refused_where_nobody_knows_all_that_it_matches(site, house):
    site.define()

    result = house.salt_run("deployment.run", site.name, "compute", out=None)

    assert (result.returncode, site.ran()) == (2, [])
    assert "target 'n[34]' on a master of masters (order_masters), which does not know the nodes below" in result.stdout
    assert "list them, as nodes: [...]" in result.stdout
    assert house.salt_run("environment.validate", site.name).returncode == 2


def test_a_node_that_no_master_below_knows_is_missing(site, house):
    site.define(**{**site.listed, "storage": "[n1, n33]"}, ping_timeout=5)
    assert house.salt_run("environment.validate", site.name).returncode == 0
    plan = house.salt_run("deployment.plan", site.name, "swift")
    assert plan.returncode == 1
    assert "n33" in plan.stdout

    assert house.salt_run("deployment.puppet", site.name, "storage").returncode == 1

    assert verdicts(site) == {"n1": "skipped", "n33": "missing"}
    assert site.ran() == []


@pytest.mark.slow
def test_a_syndic_is_down_before(site, house):
    site.define(**site.listed, ping_timeout=5)
    house.stop_syndic("s2")

    result = house.salt_run("deployment.run", site.name, "swift")

    assert result.returncode == 1
    assert verdicts(site) == {"n1": "skipped", "n3": "missing"}
    assert "do salt-minion there and the syndic above it run" in reasons(site)["n3"]
    assert site.ran() == []

    house.start_syndic("s2")
    assert house.salt_run("deployment.resume", site.name).returncode == 0
    assert [site.ran().count(node) for node in ("n1", "n3", "n4")] == [2, 3, 1]


def test_a_minion_under_a_syndic_is_down_before(site, house):
    site.define(**site.listed, ping_timeout=5)
    house.stop_minion("n3")

    assert house.salt_run("deployment.run", site.name, "swift").returncode == 1

    assert verdicts(site) == {"n1": "skipped", "n3": "missing"}
    assert site.ran() == []


@pytest.mark.salt
def test_a_syndic_is_killed_in_mid_run_and_restarted(in_the_middle, house, site):
    """The run ends while nobody can hear of it: its return is never sent up."""
    house.stop_syndic("s2")
    site.let_go("n3")
    wait_until(lambda: over(site, "n3"))
    house.start_syndic("s2")

    status, told = end_of(in_the_middle)

    assert status == 0, told
    assert verdicts(site) == {"n1": "changed", "n3": "changed"}
    assert site.ran().count("n3") == 1


@pytest.mark.slow
def test_a_syndic_is_killed_in_mid_run_for_good(site, house):
    site.define(**site.listed, timeout=10)
    with held(site, house, "deployment.run", site.name, "swift") as process:
        house.stop_syndic("s2")
        site.let_go("n3")
        status, told = end_of(process)

    assert status == 1, told
    assert verdicts(site) == {"n1": "changed", "n3": "lost"}
    house.start_syndic("s2")
    assert house.salt_run("deployment.resume", site.name).returncode == 0
    # Its first run is taken up; it is the builder of the rings, too, and fetches them.
    assert [site.ran().count(node) for node in ("n1", "n3", "n4")] == [2, 3, 1]


def test_a_minion_under_a_syndic_is_killed_in_mid_run_and_restarted(in_the_middle, house, site):
    house.stop_minion("n3")
    house.start_minion("n3")
    site.let_go("n3")

    status, told = end_of(in_the_middle)

    assert status == 0, told
    assert verdicts(site) == {"n1": "changed", "n3": "changed"}
    assert site.ran().count("n3") == 1


def test_a_return_that_comes_twice_is_heard_once(house, site):
    """The first answer of a node to a job stays, whatever a syndic sends up after it."""
    site.define(**site.listed, timeout=200)
    with held(site, house, "deployment.puppet", site.name, "storage") as process:
        jobs = house.salt_run("jobs.list_jobs", "search_function=puppet_agent.run").data
        deployment = site.last()["id"]
        (jid,) = [jid for jid, job in jobs.items() if deployment in str(job["Arguments"])]
        house.return_again("s1", jid, "n1", {"verdict": "failed", "reason": "another answer"})
        house.return_again("s1", jid, "nobody", "was not asked")
        assert house.salt_run("jobs.lookup_jid", jid).data.keys() == {"n1", "nobody"}
        site.let_go("n3")
        status, told = end_of(process)

    assert status == 0, told
    assert verdicts(site) == {"n1": "changed", "n3": "changed"}
    assert [site.ran().count(node) for node in ("n1", "n3")] == [1, 1]
