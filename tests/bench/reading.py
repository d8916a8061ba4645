"""What it takes to read a big journal: the commands of an operator on 200 deployments of 1,000 nodes."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import recorded
from figures import Figure
from masters import Master

#: Deployments in the journal, and nodes of each.
SIZE, QUICK_SIZE = (200, 1000), (20, 100)
ENVIRONMENT = "environments: {prod: {roles: {compute: ['cmp001.example.com']}}}\n"
#: Seconds that the commands may take beyond a runner that does nothing.
GOALS = {"deployment.status prod": 1.0, f"deployment.report {recorded.RESUMED}": 5.0}


def measure(work: Path, samples: int, quick: bool) -> list[Figure]:
    """Run each command, and one that does nothing, in turns; what a command took beyond that is its own."""
    deployments, nodes = QUICK_SIZE if quick else SIZE
    master = _master(work, deployments, nodes)
    commands = {
        "deployment.status prod": ("deployment.status", "prod"),
        "deployment.history prod": ("deployment.history", "prod"),
        f"deployment.show {recorded.RESUMED}": ("deployment.show", recorded.RESUMED),
        f"deployment.report {recorded.RESUMED}": (
            "deployment.report",
            recorded.RESUMED,
            f"path={work / 'report.html'}",
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(samples):
        bare = _seconds(master, "test.arg")
        for name, command in commands.items():
            seconds[name].append(_seconds(master, *command) - bare)
    size = (master.root / "journal.sqlite").stat().st_size / 2**20
    table = f"Reading a journal of {deployments} deployments of {nodes:,} nodes"
    subject = "beyond a runner that does nothing"
    figures = [Figure(table, name, subject, tuple(each), "s", GOALS.get(name)) for name, each in seconds.items()]
    return [*figures, Figure(table, "the journal's file", subject, (size,), "MiB")]


def _seconds(master: Master, *command: str) -> float:
    began = time.monotonic()
    done = master.salt_run(*command, "--out=json")
    # The deployment that is read has succeeded, and so each of these does.
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began


def _master(work: Path, deployments: int, nodes: int) -> Master:
    for name in ("conf", "pillar"):
        (work / name).mkdir()
    master = Master(work)
    master.configure(os_orchestrator={"journal": str(work / "journal.sqlite"), "keep": 1000})
    master.environments(ENVIRONMENT)
    recorder = recorded.resumed(work, nodes)
    with contextlib.closing(sqlite3.connect(recorder.journal.path)) as db, db:
        for number in range(deployments - 3):
            _copy(db, recorded.FAILED, f"2026{number:04}000000000000", recorder.clock.time() - 86400 * (number + 2))
    return master


def _copy(db: sqlite3.Connection, source: str, copy: str, at: float) -> None:
    """Record a deployment once more, under another id and at another time."""
    (began,) = db.execute("SELECT started FROM deployments WHERE id = ?", (source,)).fetchone()
    for table in ("deployments", "phases", "runs", "rounds"):
        key = "id" if table == "deployments" else "deployment"
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        shifted = {key: "?1", **{name: f"{name} + ?2" for name in ("started", "ended", "at") if name in columns}}
        values = ", ".join(shifted.get(name, name) for name in columns)
        db.execute(f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {key} = ?3", (copy, at - began, source))
