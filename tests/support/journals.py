"""Journals in real files, and processes that claim their environments."""

import contextlib
import multiprocessing
import os
import sqlite3

from os_orchestrator import journal, verdicts

FORK = multiprocessing.get_context("fork")
GOOD = verdicts.Outcome("changed", "", 1.5, {"resources": {"changed": 2}, "exit_code": 2})


@contextlib.contextmanager
def no_claims():
    """Give back what this process has claimed, as its end would."""
    yield
    for lock in journal.claims._locks.values():
        os.close(lock)
    journal.claims._locks.clear()


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
    journal.claims._locks.clear()
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


def integrity(record):
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        return [row[0] for row in db.execute("PRAGMA integrity_check")]
