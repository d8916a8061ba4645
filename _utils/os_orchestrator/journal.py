"""
The master's record of deployments: an SQLite file that is whole at every instant and readable while a deployment runs.

Only this room touches SQLite. A connection is opened per use and never kept over a fork. Times are seconds since
the epoch, UTC, by the master's clock; a node's clock is never asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from os_orchestrator import doors, progress

#: The tables, version by version: a new file gets all of them, an older one those that it lacks.
_TABLES = (
    """
CREATE TABLE deployments (
    id TEXT PRIMARY KEY, environment TEXT NOT NULL, scenario TEXT NOT NULL, user TEXT NOT NULL, door TEXT NOT NULL,
    noop INTEGER NOT NULL, partial INTEGER NOT NULL, digest TEXT NOT NULL, arguments TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', started REAL NOT NULL, ended REAL);
CREATE INDEX deployments_by_environment ON deployments (environment, started);
CREATE TABLE phases (
    deployment TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
    kind TEXT NOT NULL, roles TEXT NOT NULL, nodes TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    started REAL, ended REAL,
    PRIMARY KEY (deployment, number)) WITHOUT ROWID;
CREATE TABLE runs (
    deployment TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE, phase INTEGER NOT NULL, pass INTEGER NOT NULL,
    node TEXT NOT NULL, attempt INTEGER NOT NULL, run_id TEXT NOT NULL, verdict TEXT, reason TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '', seconds REAL, started REAL, ended REAL, details TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (deployment, phase, pass, node, attempt)) WITHOUT ROWID;
CREATE TABLE rounds (
    deployment TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE, phase INTEGER NOT NULL, round INTEGER NOT NULL,
    at REAL NOT NULL, good INTEGER NOT NULL, answers TEXT NOT NULL,
    PRIMARY KEY (deployment, phase, round)) WITHOUT ROWID;
CREATE TABLE claims (
    environment TEXT PRIMARY KEY, deployment TEXT NOT NULL, user TEXT NOT NULL, boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL, pid_started TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID
""",
    """
ALTER TABLE phases ADD COLUMN not_asked TEXT NOT NULL DEFAULT '{}';
ALTER TABLE phases ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
CREATE TABLE steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE,
    at REAL NOT NULL, what TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX runs_that_go_on ON runs (node) WHERE verdict IS NULL;
CREATE INDEX steps_by_deployment ON steps (deployment, number);
CREATE TABLE interventions (
    deployment TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE, what TEXT NOT NULL, user TEXT NOT NULL,
    at REAL NOT NULL, force INTEGER NOT NULL)
""",
    """
ALTER TABLE interventions ADD COLUMN phase INTEGER;
ALTER TABLE interventions ADD COLUMN reason TEXT NOT NULL DEFAULT '';
CREATE TABLE deployed (
    environment TEXT NOT NULL, role TEXT NOT NULL, node TEXT NOT NULL, at REAL NOT NULL, deployment TEXT NOT NULL,
    PRIMARY KEY (environment, role, node)) WITHOUT ROWID;
INSERT OR IGNORE INTO deployed
    SELECT environment, role.value, node, MIN(runs.ended), deployments.id
    FROM runs JOIN deployments ON deployments.id = runs.deployment
    JOIN phases ON phases.deployment = runs.deployment AND phases.number = runs.phase, json_each(phases.roles) AS role
    WHERE noop = 0 AND verdict IN ('unchanged', 'changed', 'tolerated') GROUP BY environment, role.value, node
""",
)
#: Version of the tables, kept in SQLite's ``user_version``.
SCHEMA = len(_TABLES)

#: Open lock files of the environments that this process has claimed: they must outlive the connection, not the process.
_locks: dict[str, int] = {}


@dataclass(frozen=True)
class Claim:
    """Who works on an environment, and since when. ``alive`` is whether that process still exists on this machine."""

    environment: str
    deployment: str
    user: str
    pid: int
    since: float
    alive: bool


class Claimed(doors.Refused):
    """Another deployment works on the environment."""

    def __init__(self, claim: Claim):
        super().__init__(
            f"environment {claim.environment} is being deployed by {claim.user} since {progress.date(claim.since)}"
            f" (deployment {claim.deployment}, pid {claim.pid});"
            f" look at it with: salt-run deployment.status {claim.environment}"
        )
        self.claim = claim


class Journal:
    """
    The journal in one file, made with mode 0600 in a directory of mode 0700.

    keep
        Deployments kept per environment; older ones are forgotten when a new one begins.
    """

    def __init__(self, path: str | os.PathLike, keep: int = 200):
        self.path = Path(path)
        self.keep = keep

    # -- claims --------------------------------------------------------------------------------------------------

    def claim(self, environment: str, deployment: str, user: str) -> None:
        """
        Take the environment for a deployment; nothing to do when it has it already. Raises :class:`Claimed`.

        Two locks, since each covers what the other cannot see: ``flock`` a process of another PID namespace, and
        the row a phase that runs in another process of the same deployment. A claim whose process has died is taken
        over.
        """
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            new = environment not in _locks and self._lock(environment)
            holder = self._holder(db, environment)
            mine = holder is not None and holder.deployment == deployment
            if not mine and (environment not in _locks or (holder and holder.alive)):
                if new:
                    _unlock(environment)
                raise Claimed(holder or Claim(environment, "unknown", "another process", 0, time.time(), True))
            if not mine and holder:
                _interrupt(db, holder.deployment, "the process that ran it has died")
            db.execute(
                "REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)",
                (environment, deployment, user, _boot_id(), os.getpid(), _started(os.getpid()), time.time()),
            )

    def release(self, environment: str, deployment: str) -> None:
        """Give the environment back; nothing to do when the deployment does not have it."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM claims WHERE environment = ? AND deployment = ?", (environment, deployment))
            if self._holder(db, environment) is None:
                _unlock(environment)

    def holder(self, environment: str) -> Claim | None:
        """Return who has claimed the environment, or None."""
        with self._open() as db:
            return self._holder(db, environment)

    def unlock(self, environment: str, user: str) -> Claim:
        """
        Take the claim of a process that has died off the environment, and return whose it was. Raises
        :class:`doors.Refused` when there is none, or while the process lives.
        """
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            holder = self._holder(db, environment)
            if holder is None:
                raise doors.Refused(f"environment {environment} is claimed by nobody; there is nothing to unlock")
            if holder.alive:
                raise doors.Refused(
                    f"environment {environment} is being deployed by {holder.user} since {progress.date(holder.since)}"
                    f" (deployment {holder.deployment}), and that process, pid {holder.pid}, is alive;"
                    f" end it with: salt-run deployment.stop {environment}"
                )
            if not self._lock(environment):
                raise doors.Refused(
                    f"the process that claimed environment {environment} has died (pid {holder.pid}), but another"
                    f" still holds its lock; find it with: fuser {self._lock_file(environment)}"
                )
            _unlock(environment)
            _interrupt(db, holder.deployment, "the process that ran it has died")
            _intervene(db, holder.deployment, "unlock", user, force=False)
            db.execute("DELETE FROM claims WHERE environment = ?", (environment,))
            return holder

    def _lock_file(self, environment: str) -> Path:
        return self.path.parent / f"{environment}.lock"

    def _lock(self, environment: str) -> bool:
        """Lock the file of an environment; False when another process has it."""
        lock = os.open(self._lock_file(environment), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        _locks[environment] = lock
        return True

    @staticmethod
    def _holder(db: sqlite3.Connection, environment: str) -> Claim | None:
        row = db.execute("SELECT * FROM claims WHERE environment = ?", (environment,)).fetchone()
        if row is None:
            return None
        alive = row["boot_id"] == _boot_id() and row["pid_started"] == _started(row["pid"]) != ""
        return Claim(row["environment"], row["deployment"], row["user"], row["pid"], row["since"], alive)

    # -- what happens --------------------------------------------------------------------------------------------

    def begin(self, deployment: Mapping, phases: Iterable[Mapping]) -> None:
        """
        Record a deployment with all its phases, before its first node is touched.

        deployment
            ``id, environment, scenario, user, door, noop, partial, digest, arguments`` (the last a plain dict).

        phases
            Each ``number, name, kind, roles, nodes, state``; ``state`` is ``planned`` or ``left_out``, then with a
            ``reason``. ``not_asked``: why nodes of its roles are left out, by node; ``settings``: what else is to be
            known of it, such as how many nodes run at once.
        """
        row = {**deployment, "arguments": json.dumps(deployment["arguments"]), "started": time.time()}
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "INSERT INTO deployments"
                " (id, environment, scenario, user, door, noop, partial, digest, arguments, state, started) VALUES"
                " (:id, :environment, :scenario, :user, :door, :noop, :partial, :digest, :arguments,"
                " 'running', :started)",
                row,
            )
            db.executemany(
                "INSERT INTO phases (deployment, number, name, kind, roles, nodes, state, reason, not_asked, settings)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        row["id"],
                        p["number"],
                        p["name"],
                        p["kind"],
                        json.dumps(p["roles"]),
                        json.dumps(p["nodes"]),
                        p["state"],
                        p["reason"],
                        json.dumps(p.get("not_asked", {})),
                        json.dumps(p.get("settings", {})),
                    )
                    for p in phases
                ],
            )
            # Steps are for those who watch, and nobody watches what is over.
            db.execute(
                "DELETE FROM steps WHERE deployment IN (SELECT id FROM deployments WHERE environment = ? AND id != ?)",
                (row["environment"], row["id"]),
            )
            db.execute(
                "DELETE FROM deployments WHERE environment = ? AND id NOT IN"
                " (SELECT id FROM deployments WHERE environment = ? ORDER BY started DESC, id DESC LIMIT ?)",
                (row["environment"], row["environment"], self.keep),
            )

    def phase_started(self, deployment: str, number: int) -> None:
        self._do(
            "UPDATE phases SET state = 'running', started = ? WHERE deployment = ? AND number = ?",
            time.time(),
            deployment,
            number,
        )

    def phase_waves(self, deployment: str, number: int, waves: list[list[str]]) -> None:
        """Record which nodes of a phase go before which."""
        self._do(
            "UPDATE phases SET settings = json_set(settings, '$.waves', json(?)) WHERE deployment = ? AND number = ?",
            *(json.dumps(waves), deployment, number),
        )

    def phase_ended(self, deployment: str, number: int, state: str, reason: str = "") -> None:
        """``state`` is ``succeeded``, ``failed`` or ``interrupted``."""
        self._do(
            "UPDATE phases SET state = ?, reason = ?, ended = ? WHERE deployment = ? AND number = ?",
            state,
            reason,
            time.time(),
            deployment,
            number,
        )

    def ended(self, deployment: str, state: str, reason: str = "") -> float:
        """``state`` is ``succeeded``, ``failed`` or ``interrupted``; returns the seconds that the deployment took."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "UPDATE deployments SET state = ?, reason = ?, ended = ? WHERE id = ?",
                (state, reason, time.time(), deployment),
            )
            took = "SELECT ended - started FROM deployments WHERE id = ?"
            return db.execute(took, (deployment,)).fetchone()[0]

    def interrupted(self, deployment: str, reason: str) -> None:
        """Record what else is to be known of a deployment that was interrupted, also of one whose process has died."""
        with self._open() as db:
            _interrupt(db, deployment, reason)
            db.execute("UPDATE deployments SET reason = ? WHERE id = ? AND state = 'interrupted'", (reason, deployment))

    def runs_started(
        self, deployment: str, phase: int, runs: Iterable[tuple[str, str, int]], passing: int = 1
    ) -> dict[str, Claim]:
        """
        Record runs that start now, each ``(node, run_id, attempt)``, and return those that may not, by node.

        A node on which a deployment of another environment runs Puppet may not; whose claim that is, is returned.
        """
        runs = list(runs)
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            held = self._at_work(db, deployment, [node for node, _, _ in runs])
            db.executemany(
                "REPLACE INTO runs (deployment, phase, pass, node, attempt, run_id, started)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (deployment, phase, passing, node, attempt, run_id, time.time())
                    for node, run_id, attempt in runs
                    if node not in held
                ],
            )
        return held

    def _at_work(self, db: sqlite3.Connection, deployment: str, nodes: list[str]) -> dict[str, Claim]:
        """Return the nodes on which another deployment that is alive runs Puppet, and its claim."""
        rows = db.execute(
            "SELECT node, deployment, environment FROM runs JOIN deployments ON id = deployment"
            " WHERE verdict IS NULL AND runs.started IS NOT NULL AND state = 'running' AND deployment != ?"
            " AND node IN (SELECT value FROM json_each(?))",
            (deployment, json.dumps(nodes)),
        ).fetchall()
        claims = {environment: self._holder(db, environment) for environment in {row["environment"] for row in rows}}
        found = {row["node"]: (row["deployment"], claims[row["environment"]]) for row in rows}
        return {
            node: claim for node, (its, claim) in found.items() if claim and claim.alive and claim.deployment == its
        }

    def run_noted(self, deployment: str, phase: int, node: str, attempt: int, note: str, passing: int = 1) -> None:
        """Record what is known of a run that goes on or has to wait: silent since when, for whom it waits."""
        self._do(
            "INSERT INTO runs (deployment, phase, pass, node, attempt, run_id, note) VALUES (?, ?, ?, ?, ?, '', ?)"
            " ON CONFLICT DO UPDATE SET note = excluded.note",
            *(deployment, phase, passing, node, attempt, note),
        )

    def run_ended(
        self, deployment: str, phase: int, node: str, run_id: str, attempt: int, outcome, passing: int = 1
    ) -> None:
        """Record a node's verdict (``outcome`` is a :class:`verdicts.Outcome`), whether or not its run was started."""
        self._do(
            "INSERT INTO runs"
            " (deployment, phase, pass, node, attempt, run_id, verdict, reason, seconds, ended, details)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " verdict = excluded.verdict, reason = excluded.reason, seconds = excluded.seconds, ended = excluded.ended,"
            " details = excluded.details, note = ''",
            *(
                deployment,
                phase,
                passing,
                node,
                attempt,
                run_id,
                outcome.verdict,
                outcome.reason,
                outcome.seconds,
                time.time(),
            ),
            json.dumps(dict(outcome.details)),
        )

    def round(self, deployment: str, phase: int, number: int, good: bool, answers: Iterable[Mapping]) -> None:
        """Record one round of a gate: for each check and node, ``check, node, good, said``."""
        self._do(
            "REPLACE INTO rounds (deployment, phase, round, at, good, answers) VALUES (?, ?, ?, ?, ?, ?)",
            *(deployment, phase, number, time.time(), good, json.dumps(list(answers))),
        )

    def step(self, deployment: str, what: str, at: float, data: Mapping) -> None:
        """Record a step as it is told to those who listen, for those who come later."""
        self._do(
            "INSERT INTO steps (deployment, what, at, data) VALUES (?, ?, ?, ?)",
            *(deployment, what, at, json.dumps(dict(data))),
        )

    def deployed(self, environment: str, roles: Mapping[str, Iterable[str]], deployment: str) -> None:
        """
        Record the nodes that have been deployed now, by role; those known before stay known as of then.
        """
        rows = [(environment, role, node, time.time(), deployment) for role, nodes in roles.items() for node in nodes]
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT OR IGNORE INTO deployed VALUES (?, ?, ?, ?, ?)", rows)

    def forget_others(self, environment: str, roles: Mapping[str, Iterable[str]]) -> None:
        """Forget which nodes had been deployed that are in their role no more: if they come back, they are new."""
        present = json.dumps([[role, node] for role, nodes in roles.items() for node in nodes])
        self._do(
            "DELETE FROM deployed WHERE environment = ? AND NOT EXISTS (SELECT 1 FROM json_each(?) AS pair"
            " WHERE role = json_extract(pair.value, '$[0]') AND node = json_extract(pair.value, '$[1]'))",
            *(environment, present),
        )

    def decide(self, deployment: str, phase: int, what: str, user: str, reason: str) -> None:
        """Record an operator's answer to a phase that waits for one: ``what`` is ``confirm`` or ``deny``."""
        self._do(
            "INSERT INTO interventions (deployment, what, user, at, force, phase, reason)"
            " SELECT id, ?, ?, ?, 0, ?, ? FROM deployments WHERE id = ?",
            *(what, user, time.time(), phase, reason, deployment),
        )

    def ask_to_stop(self, deployment: str, user: str, force: bool) -> None:
        """Record that somebody wants a deployment to end; the process that runs it looks for that."""
        with self._open() as db:
            _intervene(db, deployment, "stop", user, force)

    # -- what happened -------------------------------------------------------------------------------------------

    def stop_asked(self, deployment: str) -> dict | None:
        """Return who has first asked a deployment to stop, ``user, at, force``, or None."""
        with self._open() as db:
            row = db.execute(
                "SELECT user, at, force FROM interventions WHERE deployment = ? AND what = 'stop' ORDER BY at LIMIT 1",
                (deployment,),
            ).fetchone()
            return {**row, "force": bool(row["force"])} if row else None

    def answer_given(self, deployment: str, phase: int) -> dict | None:
        """Return the first answer of an operator to a phase that waits for one: ``what, user, at, reason``, or None."""
        with self._open() as db:
            row = db.execute(
                "SELECT what, user, at, reason FROM interventions"
                " WHERE deployment = ? AND phase = ? AND what IN ('confirm', 'deny') ORDER BY at LIMIT 1",
                (deployment, phase),
            ).fetchone()
            return dict(row) if row else None

    def known(self, environment: str, before: float | None = None) -> frozenset[tuple[str, str]]:
        """Return the nodes that have been deployed, by now or before some time: ``(role, node)``."""
        with self._open() as db:
            rows = db.execute(
                "SELECT role, node FROM deployed WHERE environment = ? AND (? IS NULL OR at < ?)",
                (environment, before, before),
            ).fetchall()
            return frozenset((row["role"], row["node"]) for row in rows)

    def steps(self, deployment: str, after: int = 0) -> list[dict]:
        """Return the steps of a deployment whose number is above ``after``, in order: ``number, at, what, data``."""
        with self._open() as db:
            rows = db.execute(
                "SELECT number, at, what, data FROM steps WHERE deployment = ? AND number > ? ORDER BY number",
                (deployment, after),
            ).fetchall()
            return [{**row, "data": json.loads(row["data"])} for row in rows]

    def deployment(self, deployment: str) -> dict | None:
        """
        Return a deployment whole, or None: its columns, ``phases`` in order, each with ``runs`` (the last attempt
        of each node and pass; ``details`` parsed) and, for a gate, ``rounds``: their number, ``last``, the answers of
        the last one, and ``held_since``; and ``interventions``: who has done what to it from outside, and when.
        """
        with self._open() as db:
            row = db.execute("SELECT * FROM deployments WHERE id = ?", (deployment,)).fetchone()
            return self._whole(db, row) if row else None

    def head(self, deployment: str) -> dict | None:
        """Return a deployment without its phases, or None."""
        with self._open() as db:
            row = db.execute("SELECT * FROM deployments WHERE id = ?", (deployment,)).fetchone()
            return self._head(db, row) if row else None

    def deployments(self, environment: str | None = None, limit: int = 20) -> list[dict]:
        """Return the newest deployments, newest first, without their phases."""
        with self._open() as db:
            rows = db.execute(
                "SELECT * FROM deployments WHERE ? IS NULL OR environment = ? ORDER BY started DESC, id DESC LIMIT ?",
                (environment, environment, limit),
            ).fetchall()
            return [self._head(db, row) for row in rows]

    def seconds(self, environment: str, scenario: str) -> dict[str, float]:
        """Return how long each phase took when it last succeeded, by its sentence."""
        with self._open() as db:
            rows = db.execute(
                "SELECT name, phases.ended - phases.started AS seconds FROM phases JOIN deployments ON id = deployment"
                " WHERE environment = ? AND scenario = ? AND noop = 0"
                " AND phases.state = 'succeeded' AND phases.started IS NOT NULL ORDER BY phases.ended",
                (environment, scenario),
            ).fetchall()
        return {row["name"]: row["seconds"] for row in rows}

    # -- what is drawn of it -------------------------------------------------------------------------------------

    def unfinished(self, deployment: str) -> list[str]:
        """Return the sentences of the phases that have neither succeeded nor been left out, in order."""
        with self._open() as db:
            rows = db.execute(
                "SELECT name FROM phases WHERE deployment = ? AND state NOT IN ('succeeded', 'left_out')"
                " ORDER BY number",
                (deployment,),
            ).fetchall()
        return [row["name"] for row in rows]

    def outline(self, deployment: str) -> dict | None:
        """
        Return a deployment to be drawn, or None: its columns and ``phases``, each with ``runs``: every attempt, in
        order, without ``details``.
        """
        with self._open() as db:
            row = db.execute("SELECT * FROM deployments WHERE id = ?", (deployment,)).fetchone()
            if row is None:
                return None
            head = self._head(db, row)
            phases = self._phases(db, head)
            for run in db.execute(
                "SELECT phase, pass, node, attempt, verdict, reason, note, seconds, started, ended FROM runs"
                " WHERE deployment = ? ORDER BY phase, pass, attempt, started, node",
                (deployment,),
            ):
                phases[run["phase"]]["runs"].append(dict(run))
            return {**head, "phases": list(phases.values())}

    def rounds(self, deployment: str) -> list[dict]:
        """
        Return the rounds of a deployment's gates in order: ``phase, round, at, good``, ``held_by`` (the first answer
        that was not good, or None) and ``bad`` (how many were not).
        """
        with self._open() as db:
            rows = db.execute("SELECT * FROM rounds WHERE deployment = ? ORDER BY phase, round", (deployment,))
            return [_round(row) for row in rows]

    # -- its parts -----------------------------------------------------------------------------------------------

    def _head(self, db: sqlite3.Connection, row: sqlite3.Row) -> dict:
        """A deployment's own row. One that is `running` though its process has died reads `interrupted`."""
        head = {
            **row,
            "arguments": json.loads(row["arguments"]),
            "noop": bool(row["noop"]),
            "partial": bool(row["partial"]),
        }
        holder = self._holder(db, row["environment"]) if row["state"] == "running" else None
        if row["state"] == "running" and not (holder and holder.deployment == row["id"] and holder.alive):
            head.update(state="interrupted", reason="the process that ran it has died; the runs on the nodes may go on")
        return head

    def _whole(self, db: sqlite3.Connection, row: sqlite3.Row) -> dict:
        whole = self._head(db, row)
        phases = self._phases(db, whole)
        for run in db.execute(
            "SELECT *, MAX(attempt) AS attempt FROM runs WHERE deployment = ?"
            " GROUP BY phase, pass, node ORDER BY phase, pass, started, node",
            (row["id"],),
        ):
            phases[run["phase"]]["runs"].append({**run, "details": json.loads(run["details"])})
        for last in db.execute(
            "SELECT phase, MAX(round) AS rounds, good, answers FROM rounds WHERE deployment = ? GROUP BY phase",
            (row["id"],),
        ):
            phases[last["phase"]].update(rounds=last["rounds"], last=json.loads(last["answers"]))
        for phase in phases.values():
            if phase["kind"] == "gate":
                phase["held_since"] = _held_since(db, row["id"], phase["number"])
        interventions = db.execute(
            "SELECT what, user, at, force, phase, reason FROM interventions WHERE deployment = ? ORDER BY at",
            (row["id"],),
        )
        whole["interventions"] = [{**each, "force": bool(each["force"])} for each in interventions]
        return {**whole, "phases": list(phases.values())}

    @staticmethod
    def _phases(db: sqlite3.Connection, head: Mapping) -> dict[int, dict]:
        """Return the phases of a deployment by number, each still without its ``runs``."""
        rows = db.execute("SELECT * FROM phases WHERE deployment = ? ORDER BY number", (head["id"],))
        parsed = ("roles", "nodes", "not_asked", "settings")
        phases = {
            row["number"]: {**row, **{name: json.loads(row[name]) for name in parsed}, "runs": []} for row in rows
        }
        if head["state"] == "interrupted":
            for phase in phases.values():
                phase["state"] = "interrupted" if phase["state"] == "running" else phase["state"]
        return phases

    # -- the file ------------------------------------------------------------------------------------------------

    def _do(self, statement: str, *values) -> None:
        with self._open() as db:
            db.execute(statement, values)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one use: committed at the end, rolled back on an error, closed in both cases."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.path.exists():
                self._make()
            db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", timeout=30, isolation_level=None, uri=True)
        except (OSError, sqlite3.Error) as error:
            raise doors.Refused(
                f"the journal {self.path} cannot be opened: {error};"
                " see os_orchestrator:journal in the master's configuration"
            ) from error
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            self._check(db)
            yield db
            if db.in_transaction:
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise doors.Refused(f"the journal {self.path} cannot be used: {self._why(error)}") from error
        finally:
            db.close()

    def _why(self, error: sqlite3.Error) -> str:
        """Return what is wrong; SQLite calls a full disk by several names."""
        with contextlib.suppress(OSError):
            if not os.statvfs(self.path.parent).f_bavail:
                return f"its disk is full ({error})"
        return str(error)

    def _make(self) -> None:
        """Make the file beside its place and put it there when it is whole; who comes second takes the first one's."""
        made, path = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            os.close(made)
            with contextlib.closing(sqlite3.connect(path)) as db:
                # WAL: readers never wait for a deployment that writes.
                tables = ";".join(_TABLES)
                db.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {tables}; PRAGMA user_version = {SCHEMA}; COMMIT;")
            with contextlib.suppress(FileExistsError):
                os.link(path, self.path)
        finally:
            os.unlink(path)

    def _check(self, db: sqlite3.Connection) -> None:
        version = _version(db)
        if version > SCHEMA:
            raise doors.Refused(
                f"the journal {self.path} was written by a newer os-orchestrator"
                f" (tables {version}, known {SCHEMA}); upgrade this one"
            )
        if version == 0:
            raise doors.Refused(f"{self.path} is no journal of os-orchestrator; move it away and a new one is made")
        if version < SCHEMA:
            _upgrade(db)


def of(opts: Mapping) -> Journal:
    """Return the journal that the master's configuration names: ``os_orchestrator: {journal: PATH, keep: COUNT}``."""
    settings = opts.get("os_orchestrator") or {}
    if not isinstance(settings, Mapping):
        raise doors.Refused(f"os_orchestrator in the master's configuration must be a mapping, not {settings!r}")
    default = os.path.join(opts.get("cachedir") or "/var/cache/salt/master", "os_orchestrator", "journal.sqlite")
    keep = doors.number(settings.get("keep", 200), "os_orchestrator:keep", minimum=1, whole=True)
    return Journal(str(settings.get("journal", default)), keep)


def user() -> str:
    """Return the name of who runs this process, behind sudo too."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _unlock(environment: str) -> None:
    """Open the lock of an environment if this process has it, in processes too that were forked meanwhile."""
    lock = _locks.pop(environment, None)
    if lock is not None:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _interrupt(db: sqlite3.Connection, deployment: str, reason: str) -> None:
    db.execute(
        "UPDATE deployments SET state = 'interrupted', reason = ? WHERE id = ? AND state = 'running'",
        (reason, deployment),
    )
    db.execute("UPDATE phases SET state = 'interrupted' WHERE deployment = ? AND state = 'running'", (deployment,))


def _intervene(db: sqlite3.Connection, deployment: str, what: str, user: str, force: bool) -> None:
    """Record what somebody did to a deployment from outside, if it is one that the journal knows."""
    db.execute(
        "INSERT INTO interventions (deployment, what, user, at, force)"
        " SELECT id, ?, ?, ?, ? FROM deployments WHERE id = ?",
        (what, user, time.time(), force, deployment),
    )


def _held_since(db: sqlite3.Connection, deployment: str, phase: int) -> float | None:
    """Return when the first of a gate's last rounds that were not good was; None if the last one was good."""
    rounds = "FROM rounds WHERE deployment = :deployment AND phase = :phase"
    return db.execute(
        f"SELECT MIN(at) {rounds} AND round > COALESCE((SELECT MAX(round) {rounds} AND good = 1), 0)",
        {"deployment": deployment, "phase": phase},
    ).fetchone()[0]


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _upgrade(db: sqlite3.Connection) -> None:
    """Add what the tables of an earlier version lack; who comes second finds it done."""
    db.execute("BEGIN IMMEDIATE")
    for statement in ";".join(_TABLES[_version(db) :]).split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.execute("COMMIT")


def _round(row: sqlite3.Row) -> dict:
    bad = [answer for answer in json.loads(row["answers"]) if not answer["good"]]
    told = {name: row[name] for name in ("phase", "round", "at")}
    return {**told, "good": bool(row["good"]), "held_by": bad[0] if bad else None, "bad": len(bad)}


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> str:
    """
    Return when a process was started, in the kernel's ticks since boot, or nothing when there is no such process:
    with the pid, its identity.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
