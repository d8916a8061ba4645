"""
Who works on an environment: one deployment at a time, until it gives the environment back or its process has died.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from os_orchestrator import doors, progress
from os_orchestrator.journal.file import File

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


class Claims(File):
    """The claims of environments, and their locks beside the journal's file."""

    def claim(self, environment: str, deployment: str, user: str) -> None:
        """
        Take the environment for a deployment; nothing to do when it has it already. Raises :class:`Claimed`.

        Two locks, since each covers what the other cannot see: ``flock`` a process of another PID namespace, and
        the row a phase that runs in another process of the same deployment. A claim whose process has died is taken
        over.
        """
        with self._write() as db:
            new = environment not in _locks and self._lock(environment)
            holder = self._holder(db, environment)
            mine = holder is not None and holder.deployment == deployment
            if not mine and (environment not in _locks or (holder and holder.alive)):
                if new:
                    _unlock(environment)
                raise Claimed(holder or Claim(environment, "unknown", "another process", 0, time.time(), True))
            if not mine and holder:
                interrupt(db, holder.deployment, "the process that ran it has died")
            db.execute(
                "REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)",
                (environment, deployment, user, _boot_id(), os.getpid(), _started(os.getpid()), time.time()),
            )

    def release(self, environment: str, deployment: str) -> None:
        """Give the environment back; nothing to do when the deployment does not have it."""
        with self._write() as db:
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
        with self._write() as db:
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
            interrupt(db, holder.deployment, "the process that ran it has died")
            intervene(db, holder.deployment, "unlock", user, force=False)
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


def interrupt(db: sqlite3.Connection, deployment: str, reason: str) -> None:
    """Record that a deployment, and the phase in which it is, have ended before their time; what is over stays."""
    db.execute(
        "UPDATE deployments SET state = 'interrupted', reason = ? WHERE id = ? AND state = 'running'",
        (reason, deployment),
    )
    db.execute("UPDATE phases SET state = 'interrupted' WHERE deployment = ? AND state = 'running'", (deployment,))


def intervene(db: sqlite3.Connection, deployment: str, what: str, user: str, force: bool) -> None:
    """Record what somebody did to a deployment from outside, if it is one that the journal knows."""
    db.execute(
        "INSERT INTO interventions (deployment, what, user, at, force)"
        " SELECT id, ?, ?, ?, ? FROM deployments WHERE id = ?",
        (what, user, time.time(), force, deployment),
    )


def answered(db: sqlite3.Connection, deployment: str, phase: int) -> dict | None:
    """Return the answer of an operator to a phase that waits for one: ``what, user, at, reason``, or None."""
    row = db.execute(
        "SELECT what, user, at, reason FROM interventions"
        " WHERE deployment = ? AND phase = ? AND what IN ('confirm', 'deny')",
        (deployment, phase),
    ).fetchone()
    return dict(row) if row else None


def _unlock(environment: str) -> None:
    """Open the lock of an environment if this process has it, in processes too that were forked meanwhile."""
    lock = _locks.pop(environment, None)
    if lock is not None:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


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
