"""Who works on an environment, between real processes."""

import contextlib
import os
import signal
import time

import pytest
from journals import FORK, another, begin, claimed_elsewhere
from os_orchestrator import doors, journal

DIED = "the process that ran it has died"


def test_who_comes_second_is_told_whose_it_is_since_when_and_how_to_look(record):
    record.claim("prod", "1", "root")
    with claimed_elsewhere(record, deployment="2") as (_, there):
        said = there.recv()
    assert said.startswith("environment prod is being deployed by root since 20")
    assert f"(deployment 1, pid {os.getpid()})" in said
    assert said.endswith("look at it with: salt-run deployment.status prod")


def test_one_process_has_one_deployment_of_an_environment_at_a_time(record):
    record.claim("prod", "1", "root")
    with pytest.raises(journal.Claimed) as claimed:
        record.claim("prod", "2", "bob")
    assert claimed.value.claim.deployment == "1"
    assert claimed.value.claim.alive
    assert record.holder("prod").deployment == "1"


def test_a_deployment_may_claim_what_it_has(record):
    for _ in range(3):
        record.claim("prod", "1", "root")
    assert record.holder("prod").pid == os.getpid()
    record.release("prod", "1")
    assert record.holder("prod") is None


def test_another_process_of_the_same_deployment_may_claim_it_too(record):
    record.claim("prod", "1", "root")
    with claimed_elsewhere(record, deployment="1") as (process, there):
        assert there.recv() == "claimed"
        assert record.holder("prod").pid == process.pid


def test_environments_are_claimed_apart(record):
    record.claim("prod", "1", "root")
    record.claim("test", "2", "root")
    with claimed_elsewhere(record, "demo", "3") as (_, there):
        assert there.recv() == "claimed"


def test_what_was_released_can_be_claimed_by_another(record):
    record.claim("prod", "1", "root")
    record.release("prod", "1")
    with claimed_elsewhere(record, deployment="2") as (_, there):
        assert there.recv() == "claimed"
        with pytest.raises(journal.Claimed):
            record.claim("prod", "3", "root")
        there.send("go on")
        assert there.recv() == "released"
        record.claim("prod", "3", "root")


def test_nobody_releases_what_another_has(record):
    record.claim("prod", "1", "root")
    record.release("prod", "2")
    record.release("test", "1")
    assert record.holder("prod").deployment == "1"
    # Neither the row nor the lock.
    for _ in range(2):
        with claimed_elsewhere(record, deployment="3") as (_, there):
            assert "environment prod is being deployed by" in there.recv()
        with record._open() as db:
            db.execute("DELETE FROM claims")


def test_a_process_that_was_forked_meanwhile_keeps_nothing(record):
    record.claim("prod", "1", "root")
    with another(lambda there: there.recv()):
        record.release("prod", "1")
        with claimed_elsewhere(record, deployment="2") as (_, there):
            assert there.recv() == "claimed"


def test_the_lock_alone_keeps_others_out_and_so_does_the_row(record):
    record.claim("prod", "1", "root")
    with record._open() as db:
        db.execute("DELETE FROM claims")
    with claimed_elsewhere(record, deployment="2") as (_, there):
        assert there.recv().startswith("environment prod is being deployed by another process since")
    record.release("prod", "1")
    record.claim("prod", "1", "root")
    os.close(journal.claims._locks.pop("prod"))
    with claimed_elsewhere(record, deployment="2") as (_, there):
        assert there.recv().startswith("environment prod is being deployed by root")


@pytest.mark.parametrize("begun", [True, False])
def test_the_claim_of_a_killed_process_is_taken_over_and_its_deployment_reads_interrupted(record, begun):
    with claimed_elsewhere(record, deployment="1", begun=begun) as (process, there):
        assert there.recv() == "claimed"
        if begun:
            assert record.deployment("1")["state"] == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        assert not record.holder("prod").alive
        if begun:
            assert record.deployment("1")["state"] == record.deployments()[0]["state"] == "interrupted"
    record.claim("prod", "2", "bob")
    assert record.holder("prod").deployment == "2"
    if begun:
        old = record.deployment("1")
        assert (old["state"], old["reason"], old["phases"][0]["state"]) == ("interrupted", DIED, "interrupted")


def test_a_process_that_has_the_pid_of_a_dead_one_is_not_taken_for_it(record):
    record.claim("prod", "1", "root")
    os.close(journal.claims._locks.pop("prod"))
    with record._open() as db:
        db.execute("UPDATE claims SET pid_started = '1'")
    assert not record.holder("prod").alive
    with record._open() as db:
        db.execute("UPDATE claims SET pid_started = '', pid = 99999999")
    assert not record.holder("prod").alive
    record.claim("prod", "2", "bob")
    assert record.holder("prod").alive


def test_a_claim_from_before_a_reboot_is_nobodys(record):
    record.claim("prod", "1", "root")
    os.close(journal.claims._locks.pop("prod"))
    with record._open() as db:
        db.execute("UPDATE claims SET boot_id = 'another'")
    record.claim("prod", "2", "bob")
    assert record.holder("prod").deployment == "2"


def _claim_in_turns(there, paths, start, deployment):
    for path in paths:
        record = journal.Journal(path)
        start.wait(30)
        try:
            record.claim("prod", deployment, deployment)
            there.send((deployment, time.monotonic()))
        except doors.Refused as refused:
            there.send(("", str(refused)))
        start.wait(30)
        record.release("prod", deployment)


def test_of_those_who_claim_at_the_same_instant_exactly_one_has_it(tmp_path):
    """In a new file each second time: its making is part of the race."""
    paths = [tmp_path / str(turn // 2) / "journal.sqlite" for turn in range(24)]
    start = FORK.Barrier(4)
    with contextlib.ExitStack() as stack:
        all_of_them = [stack.enter_context(another(_claim_in_turns, paths, start, name))[1] for name in "abc"]
        for path in paths:
            start.wait(30)
            said = [there.recv() for there in all_of_them]
            have = [who for who, _ in said if who]
            assert len(have) == 1, said
            assert journal.Journal(path).holder("prod").deployment == have[0]
            assert all("is being deployed by" in why for who, why in said if not who), said
            start.wait(30)


def test_the_claim_of_who_lives_cannot_be_taken_off(record):
    begin(record)
    with pytest.raises(doors.Refused, match=r"^environment prod is claimed by nobody; there is nothing to unlock$"):
        record.unlock("prod", "bob")
    record.claim("prod", "1", "alice")
    with pytest.raises(doors.Refused, match=rf"alice since .* and that process, pid {os.getpid()}, is alive; end it"):
        record.unlock("prod", "bob")


def dead_claim(record):
    with claimed_elsewhere(record) as (_, there):
        assert there.recv() == "claimed"


def _lock_and_wait(there, path):
    journal.Journal(path)._lock("prod")
    there.send("locked")
    there.recv()


def test_the_claim_of_who_has_died_is_taken_off(record):
    begin(record)
    dead_claim(record)
    claim = record.unlock("prod", "bob")
    assert (claim.deployment, claim.user, claim.alive) == ("1", "alice", False)
    assert record.holder("prod") is None
    found = record.deployment("1")
    assert (found["state"], found["reason"]) == ("interrupted", DIED)
    assert [(each["what"], each["user"]) for each in found["interventions"]] == [("unlock", "bob")]
    record.claim("prod", "2", "carol")


def test_a_claim_whose_lock_another_process_still_holds_is_not_taken_off(record):
    begin(record)
    dead_claim(record)
    with another(_lock_and_wait, record.path) as (_, there):
        assert there.recv() == "locked"
        with pytest.raises(doors.Refused, match=r"another still holds its lock; find it with: fuser .*prod.lock$"):
            record.unlock("prod", "bob")
        assert record.holder("prod").user == "alice"
