"""What it takes to read a big journal: the commands of an operator on 200 deployments of 1,000 nodes."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import daemons
import recorded
from figures import Figure
from masters import Master

#: Deployments in the journal, and nodes of each.
SIZE, QUICK_SIZE = (200, 1000), (20, 100)
ENVIRONMENT = "environments: {prod: {roles: {compute: ['cmp001.example.com']}}}\n"
#: The environment and the id of a deployment that somebody watches: all of its nodes have ended, and it ends at once.
WATCHED = ("stage", "20261124000000000000")
#: What a deployment tells, from its rows.
STEPS = """
INSERT INTO steps (deployment, at, what, data) SELECT deployment, at, what, data FROM (
    SELECT id AS deployment, started AS at, 0 AS turn, 'deployment/started' AS what,
        json_object('id', id, 'title', scenario, 'user', user, 'noop', json('false'), 'phases', 7) AS data
        FROM deployments
    UNION ALL SELECT deployment, started, 1, 'phase/started',
        json_object('phase', number, 'name', name, 'kind', kind, 'roles', json(roles), 'nodes', json(nodes))
        FROM phases WHERE started IS NOT NULL
    UNION ALL SELECT runs.deployment, runs.started, 2, 'node/started',
        json_object('phase', phase, 'name', name, 'node', node, 'attempt', attempt, 'run_id', run_id)
        FROM runs JOIN phases ON phases.deployment = runs.deployment AND number = phase
        WHERE runs.started IS NOT NULL
    UNION ALL SELECT runs.deployment, runs.ended, 3, 'node/ended',
        json_object('phase', phase, 'name', name, 'node', node, 'attempt', attempt, 'verdict', verdict,
            'good', json(iif(verdict = 'failed', 'false', 'true')), 'seconds', seconds, 'did', runs.reason)
        FROM runs JOIN phases ON phases.deployment = runs.deployment AND number = phase
    UNION ALL SELECT id, coalesce(ended, started + 86400), 4, 'deployment/ended',
        json_object('title', scenario, 'state', state, 'reason', reason, 'seconds', 0) FROM deployments)
ORDER BY deployment, at, turn"""
#: Seconds that the commands may take beyond a runner that does nothing.
GOALS = {"deployment.status prod": 1.0, f"deployment.report {recorded.RESUMED}": 5.0}


def measure(work: Path, samples: int, quick: bool) -> list[Figure]:
    """Run each command, and one that does nothing, in turns; what a command took beyond that is its own."""
    deployments, nodes = QUICK_SIZE if quick else SIZE
    master = _master(work, deployments, nodes)
    commands = {
        "deployment.status prod": ("deployment.status", "prod"),
        "deployment.watch of one that ends": ("deployment.watch", WATCHED[0]),
        "deployment.history prod": ("deployment.history", "prod"),
        f"deployment.show {recorded.RESUMED}": ("deployment.show", recorded.RESUMED),
        f"deployment.report {recorded.RESUMED}": (
            "deployment.report",
            recorded.RESUMED,
            f"path={work / 'report.html'}",
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with daemons.serving(master):
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
    took = time.monotonic() - began
    # The deployment that is read has succeeded, and so each of these does; that which is watched has not yet.
    assert done.returncode == (command[0] == "deployment.watch"), done.stdout + done.stderr
    return took


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
        _copy(db, recorded.SUCCEEDED, WATCHED[1], recorder.clock.time())
        db.execute("UPDATE deployments SET environment = ?, state = 'running', ended = NULL WHERE id = ?", WATCHED)
        db.execute(STEPS)
    recorder.journal.claim(*WATCHED, "alice")
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
