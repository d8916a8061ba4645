"""The journal in real files, its claims between real processes."""

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import time

import pytest
from os_orchestrator import doors, journal, verdicts

FORK = multiprocessing.get_context("fork")
GOOD = verdicts.Outcome("changed", "", 1.5, {"resources": {"changed": 2}, "exit_code": 2})
BAD = verdicts.Outcome("failed", "boom", 0.5)
DIED = "the process that ran it has died"


@pytest.fixture
def record(tmp_path):
    with no_claims():
        yield journal.Journal(tmp_path / "here" / "journal.sqlite")


@contextlib.contextmanager
def no_claims():
    """Give back what this process has claimed, as its end would."""
    yield
    for lock in journal._locks.values():
        os.close(lock)
    journal._locks.clear()


def begin(record, deployment="1", environment="prod", phases=("a",), **changes):
    row = {
        "id": deployment,
        "environment": environment,
        "scenario": "compute",
        "user": "root",
        "door": "deployment.run",
        "noop": False,
        "partial": False,
        "digest": "d",
        "arguments": {"excluded": {"cmp9": "burnt"}},
        **changes,
    }
    rows = [
        {"number": number, "name": name, "kind": "puppet", "roles": ["compute"], "nodes": ["n1", "n2"]}
        for number, name in enumerate(phases, 1)
    ]
    record.begin(row, [{**row, "state": "planned", "reason": ""} for row in rows])


@contextlib.contextmanager
def another(function, *args):
    """Run a function in a process of its own; it is killed at the end if it is still there."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=_in_a_process, args=(function, there, *args), daemon=True)
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join(10)
        here.close()


def _in_a_process(function, there, *args):
    # What the parent had claimed is not this process's.
    journal._locks.clear()
    function(there, *args)


def _claim_and_wait(there, path, environment, deployment, begun):
    record = journal.Journal(path)
    try:
        record.claim(environment, deployment, "alice")
    except journal.Claimed as claimed:
        there.send(str(claimed))
        return
    if begun:
        begin(record, deployment, environment)
        record.phase_started(deployment, 1)
    there.send("claimed")
    there.recv()
    record.release(environment, deployment)
    there.send("released")


def claimed_elsewhere(record, environment="prod", deployment="1", begun=False):
    return another(_claim_and_wait, record.path, environment, deployment, begun)


# -- the file ------------------------------------------------------------------------------------------------------


def test_nobody_but_its_owner_can_read_it(record):
    begin(record)
    with claimed_elsewhere(record, deployment="1") as (_, there):
        assert there.recv() == "claimed"
        with record._open() as db:
            db.execute("UPDATE deployments SET reason = 'x'")
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in (record.path.parent, *record.path.parent.iterdir())
            }
    assert modes.pop("here") == 0o700
    assert set(modes) >= {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "prod.lock"}
    assert set(modes.values()) == {0o600}


def test_it_is_not_open_to_others_even_for_an_instant(record):
    before = os.umask(0)
    try:
        begin(record)
    finally:
        os.umask(before)
    assert stat.S_IMODE(record.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.path.parent.stat().st_mode) == 0o700


def test_its_making_leaves_nothing_behind(record):
    begin(record)
    assert [path.name for path in record.path.parent.iterdir()] == ["journal.sqlite"]


def test_no_connection_stays_open(record):
    begin(record)
    record.deployment("1")
    opened = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
    assert not [path for path in opened if str(record.path) in path]


@pytest.mark.parametrize(
    "place",
    ["/proc/nowhere/journal.sqlite", "{tmp}/file/journal.sqlite", "{tmp}"],
    ids=["no directory can be made", "a file in place of the directory", "a directory in place of the file"],
)
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(doors.Refused) as refused:
        journal.Journal(place.format(tmp=tmp_path)).deployments()
    assert "cannot be opened" in str(refused.value)
    assert "see os_orchestrator:journal in the master's configuration" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_database_is_one_sentence(record):
    record.path.parent.mkdir()
    record.path.write_text("important notes of somebody, no database at all\n" * 100)
    with pytest.raises(doors.Refused, match=r"journal.sqlite cannot be used: file is not a database$"):
        begin(record)
    assert record.path.read_text().startswith("important notes")


@pytest.mark.parametrize("tables", ["", "CREATE TABLE mine (x);"])
def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(record, tables):
    record.path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.executescript(tables)
    with pytest.raises(doors.Refused, match=r"journal.sqlite is no journal of os-orchestrator; move it away"):
        begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        assert len(db.execute("SELECT * FROM sqlite_master").fetchall()) == (1 if tables else 0)


def test_a_place_with_odd_characters_is_a_place(tmp_path):
    record = journal.Journal(tmp_path / "50% ?of#it ü" / "the journal?mode=ro")
    begin(record)
    assert record.deployment("1")
    assert [path.name for path in record.path.parent.iterdir()] == ["the journal?mode=ro"]


def test_a_newer_journal_is_refused_and_left_as_it_is(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.execute(f"PRAGMA user_version = {journal.SCHEMA + 1}")
    for use in (record.deployments, lambda: begin(record, "2"), lambda: record.claim("prod", "2", "bob")):
        with pytest.raises(doors.Refused, match=r"written by a newer os-orchestrator \(tables 4, known 3\); upgrade"):
            use()
    assert integrity(record) == ["ok"]
    assert not journal._locks


def test_its_place_and_retention_are_the_masters_configuration(tmp_path):
    assert journal.of({"cachedir": "/c"}).path.as_posix() == "/c/os_orchestrator/journal.sqlite"
    assert journal.of({"cachedir": "/c", "os_orchestrator": None}).keep == 200
    ours = journal.of({"cachedir": "/c", "os_orchestrator": {"journal": "/j.sqlite", "keep": 7, "pillar_id": "x"}})
    assert (ours.path.as_posix(), ours.keep) == ("/j.sqlite", 7)


@pytest.mark.parametrize("settings", [{"keep": 0}, {"keep": -1}, {"keep": "many"}, {"keep": 1.5}, "yes", ["keep"]])
def test_a_retention_that_would_forget_what_runs_is_refused(settings):
    with pytest.raises(doors.Refused, match=r"^os_orchestrator"):
        journal.of({"cachedir": "/c", "os_orchestrator": settings})


# -- claims --------------------------------------------------------------------------------------------------------


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
    os.close(journal._locks.pop("prod"))
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
    os.close(journal._locks.pop("prod"))
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
    os.close(journal._locks.pop("prod"))
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


# -- what happened -------------------------------------------------------------------------------------------------


def test_a_deployment_is_there_whole_before_its_first_node_is_touched(record):
    record.claim("prod", "1", "root")
    begin(record, phases=("a", "b"), noop=True)
    found = record.deployment("1")
    assert found["state"] == "running"
    assert (found["noop"], found["partial"]) == (True, False)
    assert found["arguments"] == {"excluded": {"cmp9": "burnt"}}
    assert [(phase["name"], phase["state"], phase["runs"]) for phase in found["phases"]] == [
        ("a", "planned", []),
        ("b", "planned", []),
    ]
    assert found["phases"][0]["nodes"] == ["n1", "n2"]


def test_each_run_has_its_verdict_and_the_last_attempt_counts(record):
    begin(record)
    record.phase_started("1", 1)
    record.runs_started("1", 1, [("n1", "1-1-1-1", 1)])
    record.run_noted("1", 1, "n1", 1, "silent")
    assert record.deployment("1")["phases"][0]["runs"][0]["note"] == "silent"
    record.run_ended("1", 1, "n1", "1-1-1-1", 1, BAD)
    record.runs_started("1", 1, [("n1", "1-1-1-2", 2)])
    record.run_ended("1", 1, "n1", "1-1-1-2", 2, GOOD)
    record.run_ended("1", 1, "n2", "", 1, verdicts.Outcome("skipped", "not started"))
    runs = {run["node"]: run for run in record.deployment("1")["phases"][0]["runs"]}
    assert (runs["n1"]["verdict"], runs["n1"]["attempt"], runs["n1"]["run_id"]) == ("changed", 2, "1-1-1-2")
    assert (runs["n1"]["details"], runs["n1"]["seconds"], runs["n1"]["note"]) == (GOOD.details, 1.5, "")
    assert (runs["n2"]["verdict"], runs["n2"]["started"], runs["n2"]["reason"]) == ("skipped", None, "not started")


def test_a_node_on_which_a_living_deployment_runs_puppet_may_not_start_in_another(record):
    with claimed_elsewhere(record, "other", "66", begun=True) as (process, there):
        there.recv()
        begin(record)
        runs = [("n1", "1-1-1-1", 1), ("n2", "1-1-1-1", 1)]
        record.runs_started("66", 1, [("n1", "66-1-1-1", 1)])
        assert {node: claim.deployment for node, claim in record.runs_started("1", 1, runs).items()} == {"n1": "66"}
        assert [run["node"] for run in record.deployment("1")["phases"][0]["runs"]] == ["n2"]
        assert record.runs_started("66", 1, [("n1", "66-1-1-1", 1)]) == {}
        record.run_ended("66", 1, "n1", "66-1-1-1", 1, GOOD)
        assert record.runs_started("1", 1, runs) == {}
        record.runs_started("66", 1, [("n2", "66-1-1-1", 1)])
        process.kill()
        process.join(10)
        assert record.runs_started("1", 1, runs) == {}


def test_what_a_node_waits_for_is_noted_before_its_run_starts(record):
    begin(record)
    record.run_noted("1", 1, "n1", 1, "waits for others")
    (run,) = record.deployment("1")["phases"][0]["runs"]
    assert (run["node"], run["started"], run["note"]) == ("n1", None, "waits for others")
    record.runs_started("1", 1, [("n1", "1-1-1-1", 1)])
    (run,) = record.deployment("1")["phases"][0]["runs"]
    assert (run["run_id"], run["note"]) == ("1-1-1-1", "")


def test_the_rounds_of_a_gate_are_counted_and_the_last_one_is_shown(record):
    begin(record)
    for number, good in enumerate((False, True, True), 1):
        record.round("1", 1, number, good, [{"check": "a.b", "node": "n1", "good": good, "said": str(number)}])
    phase = record.deployment("1")["phases"][0]
    assert phase["rounds"] == 3
    assert phase["last"] == [{"check": "a.b", "node": "n1", "good": True, "said": "3"}]


def test_a_deployment_that_has_ended_says_how(record):
    begin(record)
    record.phase_started("1", 1)
    record.phase_ended("1", 1, "failed", "1 of 2 nodes bad")
    record.ended("1", "failed", "a: 1 of 2 nodes bad")
    found = record.deployment("1")
    assert (found["state"], found["reason"]) == ("failed", "a: 1 of 2 nodes bad")
    assert found["ended"] >= found["started"]
    assert (found["phases"][0]["state"], found["phases"][0]["reason"]) == ("failed", "1 of 2 nodes bad")


def test_what_is_not_there_is_none_or_nothing(record):
    assert record.deployment("1") is None
    assert record.deployments() == []
    assert record.holder("prod") is None
    assert record.seconds("prod", "compute") == {}


def test_the_newest_deployments_come_first_and_of_one_environment_if_asked(record):
    for number, environment in enumerate(("prod", "test", "prod", "prod"), 1):
        begin(record, str(number), environment)
    assert [head["id"] for head in record.deployments()] == ["4", "3", "2", "1"]
    assert [head["id"] for head in record.deployments("prod")] == ["4", "3", "1"]
    assert [head["id"] for head in record.deployments("prod", limit=2)] == ["4", "3"]
    assert record.deployments("nowhere") == []


def test_how_long_a_phase_took_is_of_its_last_success(record):
    begin(record, phases=("a", "b"))
    begin(record, "2", phases=("a",), noop=True)
    with record._open() as db:
        db.execute(
            "UPDATE phases SET state = 'succeeded', started = 100, ended = 107 WHERE deployment = '1' AND number = 1"
        )
        db.execute(
            "UPDATE phases SET state = 'failed', started = 100, ended = 108 WHERE deployment = '1' AND number = 2"
        )
        db.execute("UPDATE phases SET state = 'succeeded', started = 200, ended = 201 WHERE deployment = '2'")
    assert record.seconds("prod", "compute") == {"a": 7}
    begin(record, "3", phases=("a",))
    with record._open() as db:
        db.execute("UPDATE phases SET state = 'succeeded', started = 300, ended = 302 WHERE deployment = '3'")
    assert record.seconds("prod", "compute") == {"a": 2}
    assert record.seconds("prod", "swift") == record.seconds("test", "compute") == {}


def test_the_oldest_are_forgotten_with_all_that_belongs_to_them(tmp_path):
    record = journal.Journal(tmp_path / "journal.sqlite", keep=3)
    for number in range(1, 7):
        begin(record, str(number))
        record.runs_started(str(number), 1, [("n1", "x", 1)])
        record.round(str(number), 1, 1, True, [])
    begin(record, "other", "test")
    assert [head["id"] for head in record.deployments("prod")] == ["6", "5", "4"]
    assert [head["id"] for head in record.deployments("test")] == ["other"]
    with record._open() as db:
        for table in ("phases", "runs", "rounds"):
            rows = {row[0] for row in db.execute(f"SELECT deployment FROM {table}")}
            assert rows <= {"6", "5", "4", "other"}


def test_a_deployment_is_begun_once(record):
    begin(record)
    with pytest.raises(doors.Refused, match="UNIQUE"):
        begin(record)
    assert len(record.deployments()) == 1


# -- many at once, and the end of a process at any instant ---------------------------------------------------------


def _write_for_ever(there, path):
    record = journal.Journal(path)
    for number in itertools.count(1):
        deployment = f"{os.getpid()}-{number}"
        begin(record, deployment, environment=str(os.getpid()))
        record.runs_started(deployment, 1, [("n1", "x", 1)])
        record.run_ended(deployment, 1, "n1", "x", 1, GOOD)
        record.phase_ended(deployment, 1, "succeeded")
        record.ended(deployment, "succeeded")
        if number == 2:
            there.send("writes")


def integrity(record):
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        return [row[0] for row in db.execute("PRAGMA integrity_check")]


def test_it_can_be_read_while_another_writes(record):
    with another(_write_for_ever, record.path) as (process, there):
        assert there.recv() == "writes"
        seen = set()
        while len(seen) < 5:
            head = record.deployments(limit=1)[0]
            whole = record.deployment(head["id"])
            seen.add(head["id"])
            assert whole["phases"][0]["nodes"] == ["n1", "n2"]
        assert process.is_alive()


def test_a_reader_does_not_wait_for_a_writer(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE deployments SET reason = 'half written'")
        began = time.monotonic()
        assert record.deployment("1")["reason"] != "half written"
        assert time.monotonic() - began < 5
        db.execute("ROLLBACK")


def test_it_is_whole_after_a_writer_was_killed_at_any_instant(record):
    chance = random.Random(20261123)
    for _ in range(12):
        with another(_write_for_ever, record.path) as (process, there):
            assert there.recv() == "writes"
            time.sleep(chance.random() * 0.03)
            os.kill(process.pid, signal.SIGKILL)
            process.join(10)
        assert integrity(record) == ["ok"]
        assert all(len(record.deployment(head["id"])["phases"]) == 1 for head in record.deployments(limit=5))
    begin(record, "after")
    assert record.deployment("after")


def test_writers_wait_for_each_other(record):
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(another(_write_for_ever, record.path)) for _ in range(3)]
        for _, there in writers:
            assert there.recv() == "writes"
        assert all(process.is_alive() for process, _ in writers)
    assert integrity(record) == ["ok"]


# -- from outside ----------------------------------------------------------------------------------------------------


def test_a_stop_is_recorded_with_who_asked_first(record):
    begin(record)
    assert record.stop_asked("1") is None
    record.ask_to_stop("1", "alice", False)
    record.ask_to_stop("1", "bob", True)
    assert (record.stop_asked("1")["user"], record.stop_asked("1")["force"]) == ("alice", False)
    found = record.deployment("1")["interventions"]
    assert [(each["what"], each["user"], each["force"]) for each in found] == [
        ("stop", "alice", False),
        ("stop", "bob", True),
    ]
    assert record.stop_asked("2") is None


def test_what_is_asked_of_a_deployment_that_nobody_knows_is_not_recorded(record):
    begin(record)
    record.ask_to_stop("9", "alice", True)
    assert record.stop_asked("9") is None


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


@pytest.mark.parametrize("ended", [(), ("interrupted", "Ctrl-C"), ("failed", "1 of 2 nodes bad")])
def test_more_may_become_known_of_what_was_interrupted_and_of_nothing_else(record, ended):
    begin(record)
    if ended:
        record.ended("1", *ended)
    when = record.deployment("1")["ended"]
    record.interrupted("1", "bob ended its runs")
    found = record.deployment("1")
    expected = ended if "failed" in ended else ("interrupted", "bob ended its runs")
    assert (found["state"], found["reason"], found["ended"]) == (*expected, when)


def test_a_claim_whose_lock_another_process_still_holds_is_not_taken_off(record):
    begin(record)
    dead_claim(record)
    with another(_lock_and_wait, record.path) as (_, there):
        assert there.recv() == "locked"
        with pytest.raises(doors.Refused, match=r"another still holds its lock; find it with: fuser .*prod.lock$"):
            record.unlock("prod", "bob")
        assert record.holder("prod").user == "alice"


def test_an_older_journal_gets_what_it_lacks_and_keeps_what_it_has(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.executescript(
            "DROP TABLE steps; DROP TABLE interventions; DROP TABLE deployed; DROP INDEX runs_that_go_on;"
            " ALTER TABLE phases DROP COLUMN not_asked; ALTER TABLE phases DROP COLUMN settings;"
            " PRAGMA user_version = 1;"
        )
    assert record.deployment("1")["phases"][0]["not_asked"] == {}
    record.step("1", "node/started", 5.0, {"node": "n1"})
    (step,) = record.steps("1")
    assert (step["what"], step["at"], step["data"]) == ("node/started", 5.0, {"node": "n1"})
    assert integrity(record) == ["ok"]


def test_a_gate_is_held_since_the_first_of_the_last_rounds_that_were_not_good(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db, db:
        db.execute("UPDATE phases SET kind = 'gate'")
        rows = [(number, float(number), good) for number, good in enumerate((0, 1, 0, 0), 1)]
        db.executemany("INSERT INTO rounds VALUES ('1', 1, ?, ?, ?, '[]')", rows)
    assert record.deployment("1")["phases"][0]["held_since"] == 3.0
    record.round("1", 1, 5, True, [])
    assert record.deployment("1")["phases"][0]["held_since"] is None


# -- who has been deployed -----------------------------------------------------------------------------------------


def test_who_has_been_deployed_is_known_by_role_since_the_first_time(record, monkeypatch):
    now = itertools.count(100)
    monkeypatch.setattr(journal.time, "time", lambda: float(next(now)))
    record.deployed("prod", {"compute": ["n1"], "storage": ["n1", "n2"]}, "1")
    second = next(now)
    record.deployed("prod", {"compute": ["n1", "n3"]}, "2")
    assert record.known("prod") == {("compute", "n1"), ("storage", "n1"), ("storage", "n2"), ("compute", "n3")}
    assert record.known("prod", second) == {("compute", "n1"), ("storage", "n1"), ("storage", "n2")}
    assert record.known("prod", 100.0) == record.known("dev") == frozenset()


def test_who_has_been_deployed_outlives_the_deployment(tmp_path):
    record = journal.Journal(tmp_path / "journal.sqlite", keep=1)
    begin(record, "1")
    record.deployed("prod", {"compute": ["n1"]}, "1")
    begin(record, "2")
    assert [head["id"] for head in record.deployments()] == ["2"]
    assert record.known("prod") == {("compute", "n1")}


def test_who_is_in_its_role_no_more_is_forgotten(record):
    record.deployed("prod", {"compute": ["n1", "n2"], "storage": ["n1"]}, "1")
    record.deployed("dev", {"compute": ["n9"]}, "2")
    record.forget_others("prod", {"compute": ["n1", "n5"], "storage": ["n2"]})
    assert record.known("prod") == {("compute", "n1")}
    assert record.known("dev") == {("compute", "n9")}


def of_version(record, version):
    """Make a journal as an earlier version left it: a deployment of which some nodes were good."""
    record.path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.executescript(";".join(journal._TABLES[:version]))
        for number, (noop, verdict) in enumerate([(0, "changed"), (0, "failed"), (1, "unchanged"), (0, "unchanged")]):
            db.execute(
                "INSERT INTO deployments VALUES (?, 'prod', 'x', 'u', 'd', ?, 0, '', '{}', 'succeeded', '', 1.0, 2.0)",
                (str(number), noop),
            )
            db.execute(
                "INSERT INTO phases (deployment, number, name, kind, roles, nodes, state)"
                """ VALUES (?, 1, 'a', 'puppet', '["compute", "storage"]', '[]', 'succeeded')""",
                (str(number),),
            )
            db.execute(
                "INSERT INTO runs (deployment, phase, pass, node, attempt, run_id, verdict, ended)"
                " VALUES (?, 1, 1, ?, 1, 'r', ?, 5.0)",
                (str(number), f"n{number}", verdict),
            )
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


@pytest.mark.parametrize("version", [1, 2])
def test_a_journal_of_an_earlier_version_knows_who_has_been_deployed(record, version):
    of_version(record, version)
    good = {(role, node) for role in ("compute", "storage") for node in ("n0", "n3")}
    assert record.known("prod") == record.known("prod", 5.1) == good
    assert record.known("prod", 5.0) == frozenset()
    assert integrity(record) == ["ok"]
    with record._open() as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == journal.SCHEMA == 3
    begin(record, "9")
    record.decide("9", 1, "confirm", "bob", "")
    assert record.answer_given("9", 1)["user"] == "bob"


# -- what an operator answers --------------------------------------------------------------------------------------


def test_an_answer_is_of_one_phase_and_the_first_counts(record):
    begin(record, phases=("a", "b"))
    assert record.answer_given("1", 1) is None
    record.ask_to_stop("1", "carol", False)
    record.decide("1", 1, "deny", "bob", "no")
    record.decide("1", 1, "confirm", "carol", "")
    given = record.answer_given("1", 1)
    assert (given["what"], given["user"], given["reason"]) == ("deny", "bob", "no")
    assert record.answer_given("1", 2) is None
    told = [
        (each["what"], each["user"], each["phase"], each["reason"]) for each in record.deployment("1")["interventions"]
    ]
    assert told == [("stop", "carol", None, ""), ("deny", "bob", 1, "no"), ("confirm", "carol", 1, "")]


def test_an_answer_to_a_deployment_that_is_not_known_is_kept_nowhere(record):
    record.decide("9", 1, "confirm", "bob", "")
    assert record.answer_given("9", 1) is None


def test_the_waves_of_a_phase_are_among_its_settings(record):
    begin(record)
    record.phase_waves("1", 1, [["n1"], ["n2"]])
    assert record.deployment("1")["phases"][0]["settings"] == {"waves": [["n1"], ["n2"]]}
