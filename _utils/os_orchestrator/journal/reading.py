"""What happened, as the journal tells it: deployments whole, in part and to be drawn, and what was asked of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from os_orchestrator.journal.claims import Claims, answered


class Reading(Claims):
    """What the journal tells of deployments."""

    def stop_asked(self, deployment: str) -> dict | None:
        """Return who has first asked a deployment to stop, ``user, at, force``, or None."""
        with self._open() as db:
            row = db.execute(
                "SELECT user, at, force FROM interventions WHERE deployment = ? AND what = 'stop' ORDER BY at LIMIT 1",
                (deployment,),
            ).fetchone()
            return {**row, "force": bool(row["force"])} if row else None

    def answer_given(self, deployment: str, phase: int) -> dict | None:
        """Return the answer of an operator to a phase that waits for one: ``what, user, at, reason``, or None."""
        with self._open() as db:
            return answered(db, deployment, phase)

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


def _held_since(db: sqlite3.Connection, deployment: str, phase: int) -> float | None:
    """Return when the first of a gate's last rounds that were not good was; None if the last one was good."""
    rounds = "FROM rounds WHERE deployment = :deployment AND phase = :phase"
    return db.execute(
        f"SELECT MIN(at) {rounds} AND round > COALESCE((SELECT MAX(round) {rounds} AND good = 1), 0)",
        {"deployment": deployment, "phase": phase},
    ).fetchone()[0]


def _round(row: sqlite3.Row) -> dict:
    bad = [answer for answer in json.loads(row["answers"]) if not answer["good"]]
    told = {name: row[name] for name in ("phase", "round", "at")}
    return {**told, "good": bool(row["good"]), "held_by": bad[0] if bad else None, "bad": len(bad)}
