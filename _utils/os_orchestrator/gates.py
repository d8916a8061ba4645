"""
A gate: conditions that must hold steadily before the next phase. Its checks are execution functions, asked on the
nodes of a role.

A round asks the checks in order and ends at the first that does not hold. The gate opens after ``successes`` good
rounds in a row; any other round starts the count anew. Nothing but a satisfying answer from every node is good:
silence, errors and odd answers are not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from os_orchestrator import deploying, environment, plan, replies, transport
from os_orchestrator.replies import Answer


class Rounds:
    """
    The counting of good rounds in a row. Pure. A round that is good in another way than the one before starts the
    count at one.
    """

    def __init__(self, successes: int):
        self.successes = successes
        self.in_a_row = 0
        self._identity: object = None

    @property
    def open(self) -> bool:
        return self.in_a_row >= self.successes

    def add(self, good: bool, identity: object = None) -> None:
        same = identity == self._identity
        self.in_a_row = (self.in_a_row + 1 if same else 1) if good else 0
        self._identity = identity if good else None


class Gate:
    """One gate of a deployment; :meth:`run` returns whether it has opened and, if not, what held it."""

    def __init__(self, deployment: deploying.Deployment, phase: plan.Phase, bus: transport.Bus):
        if phase.gate is None:
            raise ValueError(f"phase {phase.name} has no gate")
        self._deployment, self._phase, self._bus, self._gate = deployment, phase, bus, phase.gate
        self._rounds = Rounds(self._gate.successes)
        self._held_by = ""

    def run(self) -> tuple[bool, str]:
        """
        Ask until the gate opens, its timeout has passed or somebody has stopped the deployment; the last round may
        begin just before that and is finished.
        """
        end = time.monotonic() + self._gate.timeout
        number = 0
        while True:
            number += 1
            began = time.monotonic()
            answers = self._round()
            self._tell(number, answers)
            if self._rounds.open:
                return True, ""
            stopped_by = self._deployment.stopped_by()
            if stopped_by:
                return False, f"not open when {stopped_by} stopped the deployment"
            if time.monotonic() + self._gate.interval >= end:
                held_by = self._held_by or "too few good rounds in a row"
                return False, f"not open within {self._gate.timeout:g} s; held by {held_by}"
            self._pause(began + self._gate.interval)

    def _round(self) -> list[Answer]:
        """Ask the checks in order, up to the first that does not hold."""
        answers: list[Answer] = []
        for check in self._gate.checks:
            nodes = self._deployment.plan.environment.roles[check.role].nodes
            answers += self._ask(check, nodes, answers)
            if not all(answer.good for answer in answers):
                break
        return answers

    def _ask(self, check: environment.Check, nodes: Iterable[str], before: Iterable[Answer]) -> list[Answer]:
        try:
            given = {field: replies.handed_over(before, *field) for field in check.needs}
            kwargs, args = replies.filled(dict(check.kwargs), given), replies.filled(list(check.args), given)
            returns = self._bus.call(nodes, check.function, check.timeout, kwargs, args)
        except (LookupError, transport.Unreachable) as error:
            return [Answer(check, node, False, f"could not be asked: {error}") for node in nodes]
        return replies.judge(check, nodes, returns)

    def _tell(self, number: int, answers: list[Answer]) -> None:
        bad = [answer for answer in answers if not answer.good]
        held_by = bad[0].sentence + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else "") if bad else ""
        self._rounds.add(not bad, _identity(answers))
        self._deployment.journal.round(
            self._deployment.id, self._phase.number, number, not bad, [answer.plain for answer in answers]
        )
        self._deployment.tell_of(
            self._phase,
            "gate/round",
            round=number,
            good=not bad,
            in_a_row=self._rounds.in_a_row,
            successes=self._rounds.successes,
            held_by=held_by,
            news=held_by != self._held_by,
        )
        self._held_by = held_by

    def _pause(self, until: float) -> None:
        """Let the interval pass, or less of it if the deployment shall stop, deaf to what is on the bus."""
        while time.monotonic() < until and not self._deployment.stopped_by():
            self._bus.next(min(deploying.LOOK_INTERVAL, until - time.monotonic()))


def _identity(answers: Iterable[Answer]) -> object:
    """
    Return what must stay the same over the good rounds: the ``identity`` that predicates put into their answers. One
    that cannot be compared is never the same.
    """
    found = [[a.check.function, a.node, a.value.get("identity")] for a in answers if isinstance(a.value, Mapping)]
    return replies.canonical(found) or object()
