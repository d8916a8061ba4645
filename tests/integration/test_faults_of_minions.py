"""
What becomes of a deployment when a minion dies, freezes or cannot be heard, beside a plain orchestration that meets
the same.

Each test is a row of docs/faults.md: exit statuses are ours, then that of plain ``state.orch``.
"""

import time

import psutil
import pytest

pytestmark = pytest.mark.salt


def runs_of(site, node):
    return site.ran().count(node)


def test_nothing_happens(contest):
    contest.start()
    assert contest.outcome() == (0, 0)
    assert contest.went_on == (True, True)


def test_down_before(contest, house):
    house.stop_minion("n2")
    contest.start()
    assert contest.outcome() == (1, 0)
    assert contest.went_on == (False, True)
    assert contest.verdicts() == {"n1": "skipped", "n2": "missing"}


def test_killed_as_it_is_asked_and_restarted(contest, house, site):
    contest.start()
    for line in contest.ours.stderr:
        if "n2  started" in line:
            break
    house.stop_minion("n2")
    house.start_minion("n2")
    ours, _ = contest.finish()
    assert ours.returncode == 0, ours.stdout
    assert runs_of(site, "n2") == 1


def test_killed_in_mid_run_and_restarted(in_the_middle, house, site):
    house.stop_minion("n2")
    house.start_minion("n2")
    site.let_go("n2")
    assert in_the_middle.outcome() == (0, 0)
    assert in_the_middle.verdicts() == {"n1": "changed", "n2": "changed"}
    assert runs_of(site, "n2") == 1
    # The plain one knows nothing of n2: it went on without it.
    assert in_the_middle.went_on == (True, True)


@pytest.fixture
def killed_for_good(request, house, site):
    """Both orchestrations, with the minion of n2 killed in the middle of a run that ends by itself."""
    site.define(timeout=20)
    contest = request.getfixturevalue("in_the_middle")
    house.stop_minion("n2")
    site.let_go("n2")
    return contest


def test_killed_in_mid_run_for_good(killed_for_good):
    ours, plain = killed_for_good.finish()
    assert (ours.returncode, plain.returncode) == (1, 0)
    assert killed_for_good.verdicts() == {"n1": "changed", "n2": "lost"}
    assert "salt n2 puppet_agent.status" in ours.stdout
    assert killed_for_good.went_on == (False, True)


@pytest.mark.slow
def test_a_node_that_was_lost_is_taken_up_by_resume(killed_for_good, house, site):
    assert killed_for_good.outcome()[0] == 1
    house.start_minion("n2")
    result = house.salt_run("deployment.resume", site.name)
    assert result.returncode == 0, result.stderr
    assert runs_of(site, "n2") == 1


@pytest.mark.slow
def test_stopped_for_a_minute(in_the_middle, house, site):
    frozen = house.processes("n2")
    for process in frozen:
        process.suspend()
    site.let_go("n2")
    try:
        time.sleep(60)
    finally:
        for process in frozen:
            process.resume()
    # The run is long over; the plain one has left n2 out of its step and gone on.
    assert in_the_middle.plain.poll() == 0
    assert in_the_middle.went_on == (False, True)
    assert in_the_middle.outcome() == (0, 0)
    assert in_the_middle.verdicts() == {"n1": "changed", "n2": "changed"}
    assert runs_of(site, "n2") == 1


def test_restarted_gracefully(in_the_middle, house, site):
    minion = house.minions["n2"]
    process = psutil.Process(minion.pid)
    process.terminate()
    # What does not end in a while is killed, as systemd does it.
    for late in psutil.wait_procs([process], 20)[1]:
        late.kill()
    minion.terminate()
    house.start_minion("n2")
    site.let_go("n2")
    assert in_the_middle.outcome() == (0, 0)
    assert in_the_middle.verdicts() == {"n1": "changed", "n2": "changed"}
    assert runs_of(site, "n2") == 1


def test_the_return_is_lost(in_the_middle, house, site):
    """The job's process dies, its minion does not: nobody will ever send what became of the run."""
    jobs = [each for each in house.processes("n2")[1:] if not each.children()]
    for job in jobs:
        job.kill()
    site.let_go("n2")
    assert in_the_middle.outcome()[0] == 0
    assert in_the_middle.verdicts() == {"n1": "changed", "n2": "changed"}
    assert runs_of(site, "n2") == 1
