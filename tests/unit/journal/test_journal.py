"""The journal as a whole: where it lies, many who use it at once, the end of a process at any instant."""

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import time

import pytest
from journals import GOOD, another, begin, integrity
from os_orchestrator import doors, journal


def test_its_place_and_retention_are_the_masters_configuration(tmp_path):
    assert journal.of({"cachedir": "/c"}).path.as_posix() == "/c/os_orchestrator/journal.sqlite"
    assert journal.of({"cachedir": "/c", "os_orchestrator": None}).keep == 200
    ours = journal.of({"cachedir": "/c", "os_orchestrator": {"journal": "/j.sqlite", "keep": 7, "pillar_id": "x"}})
    assert (ours.path.as_posix(), ours.keep) == ("/j.sqlite", 7)


@pytest.mark.parametrize("settings", [{"keep": 0}, {"keep": -1}, {"keep": "many"}, {"keep": 1.5}, "yes", ["keep"]])
def test_a_retention_that_would_forget_what_runs_is_refused(settings):
    with pytest.raises(doors.Refused, match=r"^os_orchestrator"):
        journal.of({"cachedir": "/c", "os_orchestrator": settings})


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
