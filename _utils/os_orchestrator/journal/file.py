"""The journal's file: its tables, how it is made, upgraded and opened, and what is said when that cannot be done."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from os_orchestrator import doors

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


class File:
    """A journal's file, of which others know the rows."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._kept: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[sqlite3.Connection]:
        """Use one connection for all that this thread does within."""
        if self._kept is not None:
            yield self._kept
            return
        with self._connected() as db:
            self._kept = db
            try:
                yield db
            finally:
                self._kept = None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """
        Make all that is written within one transaction. It stays written when an exception passes through: what has
        happened has happened.
        """
        with self.kept_open() as db, self._refusing():
            _begin(db)
            try:
                yield
            finally:
                if db.in_transaction:
                    db.execute("COMMIT")

    @property
    def is_together(self) -> bool:
        """Whether what is written now is there for others only later."""
        return self._kept is not None and self._kept.in_transaction

    def _do(self, statement: str, *values) -> None:
        with self._open() as db:
            db.execute(statement, values)

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction of one's own, or a part of that which goes on."""
        with self._open() as db:
            _begin(db)
            yield db

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one use: committed at its end and rolled back on an error, unless it is a part of more."""
        with self.kept_open() as db, self._refusing():
            part = db.in_transaction
            try:
                yield db
                if db.in_transaction and not part:
                    db.execute("COMMIT")
            finally:
                if db.in_transaction and not part:
                    db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A new connection, closed at the end."""
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
        with contextlib.closing(db), self._refusing():
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            self._check(db)
            yield db

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say what SQLite says in a sentence of ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise doors.Refused(f"the journal {self.path} cannot be used: {self._why(error)}") from error

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


def _begin(db: sqlite3.Connection) -> None:
    if not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _upgrade(db: sqlite3.Connection) -> None:
    """Add what the tables of an earlier version lack; who comes second finds it done."""
    db.execute("BEGIN IMMEDIATE")
    for statement in ";".join(_TABLES[_version(db) :]).split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.execute("COMMIT")
