"""What happens, written into the journal as it does: deployments, their phases, runs, rounds and steps."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping

from os_orchestrator.journal.claims import Claim, Claims, answered, interrupt, intervene


class Writing(Claims):
    """What the journal is told of deployments, of which it keeps ``keep`` per environment."""

    def __init__(self, path: str | os.PathLike, keep: int = 200):
        super().__init__(path)
        self.keep = keep

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
        with self._write() as db:
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
        with self._write() as db:
            db.execute(
                "UPDATE deployments SET state = ?, reason = ?, ended = ? WHERE id = ?",
                (state, reason, time.time(), deployment),
            )
            took = "SELECT ended - started FROM deployments WHERE id = ?"
            return db.execute(took, (deployment,)).fetchone()[0]

    def interrupted(self, deployment: str, reason: str) -> None:
        """Record what else is to be known of a deployment that was interrupted, also of one whose process has died."""
        with self._open() as db:
            interrupt(db, deployment, reason)
            db.execute("UPDATE deployments SET reason = ? WHERE id = ? AND state = 'interrupted'", (reason, deployment))

    def runs_started(
        self, deployment: str, phase: int, runs: Iterable[tuple[str, str, int]], passing: int = 1
    ) -> dict[str, Claim]:
        """
        Record runs that start now, each ``(node, run_id, attempt)``, and return those that may not, by node.

        A node on which a deployment of another environment runs Puppet may not; whose claim that is, is returned.
        """
        runs = list(runs)
        with self._write() as db:
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
        with self._write() as db:
            db.executemany("INSERT OR IGNORE INTO deployed VALUES (?, ?, ?, ?, ?)", rows)

    def forget_others(self, environment: str, roles: Mapping[str, Iterable[str]]) -> None:
        """Forget which nodes had been deployed that are in their role no more: if they come back, they are new."""
        present = json.dumps([[role, node] for role, nodes in roles.items() for node in nodes])
        self._do(
            "DELETE FROM deployed WHERE environment = ? AND NOT EXISTS (SELECT 1 FROM json_each(?) AS pair"
            " WHERE role = json_extract(pair.value, '$[0]') AND node = json_extract(pair.value, '$[1]'))",
            *(environment, present),
        )

    def decide(self, deployment: str, phase: int, what: str, user: str, reason: str) -> dict | None:
        """
        Record an operator's answer to a phase that waits for one: ``what`` is ``confirm`` or ``deny``. Where somebody
        has answered before, nothing is recorded, and his answer is returned as by :meth:`answer_given`.
        """
        with self._write() as db:
            given = answered(db, deployment, phase)
            if not given:
                db.execute(
                    "INSERT INTO interventions (deployment, what, user, at, force, phase, reason)"
                    " SELECT id, ?, ?, ?, 0, ?, ? FROM deployments WHERE id = ?",
                    (what, user, time.time(), phase, reason, deployment),
                )
            return given

    def ask_to_stop(self, deployment: str, user: str, force: bool) -> None:
        """Record that somebody wants a deployment to end; the process that runs it looks for that."""
        with self._open() as db:
            intervene(db, deployment, "stop", user, force)
