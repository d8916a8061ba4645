"""
A gate: conditions that must hold steadily before the next phase. Its checks are execution functions, asked on the
nodes of a role.

A round asks the checks in order and ends at the first that does not hold. The gate opens after ``successes`` good
rounds in a row; any other round starts the count anew. Nothing but a satisfying answer from every node is good:
silence, errors and odd answers are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from os_orchestrator import engine, environment, plan, transport, verdicts


@dataclass(frozen=True)
class Answer:
    """
    What one node said to one check, and whether that satisfies it.

    raw, value
        Its answer, and the part of it that the check looks at, as the node sent them.
    """

    check: environment.Check
    node: str
    good: bool
    said: str
    value: object = None
    raw: object = None

    @property
    def plain(self) -> dict:
        return {"check": self.check.function, "node": self.node, "good": self.good, "said": self.said}

    @property
    def sentence(self) -> str:
        return f"{self.check.function} on {self.node}: {self.said}"


def satisfies(check: environment.Check, value: object, retcode: object) -> bool:
    """Whether one node's answer satisfies a check by itself; ``expect: equal`` is judged over all of them."""
    if type(retcode) is not int or retcode != 0:
        return False
    if check.expect is True:
        return value is True or (
            isinstance(value, Mapping) and (value.get("ready") is True or value.get("result") is True)
        )
    if check.expect == "equal":
        return value is not None and canonical(value) is not None
    return canonical(value) == canonical(check.expect["value"] if isinstance(check.expect, Mapping) else check.expect)


def chosen(check: environment.Check, value: object) -> object:
    """
    Return the part of an answer that a check looks at: ``key`` is a path with colons; None where there is no such part.
    """
    for part in (check.key or "").split(":") if check.key else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def judge(check: environment.Check, nodes: Iterable[str], returns: Mapping[str, transport.Return]) -> list[Answer]:
    """Return an answer for every node asked, whether or not it has said anything."""
    answers = []
    for node in nodes:
        if node not in returns:
            answers.append(Answer(check, node, False, f"no answer within {check.timeout:g} s"))
            continue
        heard = returns[node]
        value = chosen(check, heard.answer)
        good = satisfies(check, value, heard.retcode)
        answers.append(Answer(check, node, good, said(heard.answer, value, check), value, heard.answer))
    if check.expect == "equal" and len({canonical(answer.value) for answer in answers if answer.good}) > 1:
        return [replace(a, good=False, said=f"differs between nodes: {a.said}") if a.good else a for a in answers]
    return answers


def said(answer: object, value: object, check: environment.Check) -> str:
    """Return what a node answered in a few words: the reasons that a predicate gives, else the value itself."""
    reasons = answer.get("reasons") if isinstance(answer, Mapping) else None
    if isinstance(reasons, (list, tuple)) and reasons:
        messages = [reason.get("message", reason) if isinstance(reason, Mapping) else reason for reason in reasons[:3]]
        return verdicts.text("; ".join(verdicts.text(message, 200) for message in messages), 400)
    at = f"{check.key} is " if check.key else "answered "
    return verdicts.text(at + (canonical(value) or verdicts.text(value)), 200)


def canonical(value: object) -> str | None:
    """Return a value as text that is the same for equal values and for no others; None where that cannot be."""
    try:
        return json.dumps(value, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):
        # Keys of several types; numbers of thousands of digits; lists in lists without end.
        return None


def handed_over(answers: Iterable[Answer], name: str, field: str) -> str:
    """Return a field of the answers to the check of that name; raises LookupError unless all of them say the same."""
    named = [answer.raw for answer in answers if answer.check.name == name]
    values = {_plain_field(value, field) for value in named}
    if len(values) != 1 or None in values:
        raise LookupError(f"it needs {field} of {name}, and the answers of this round do not have it")
    return verdicts.text(values.pop())


def _plain_field(value: object, field: str) -> str | int | float | None:
    found = value.get(field) if isinstance(value, Mapping) else None
    return found if isinstance(found, (str, int, float)) else None


def filled(value: Any, given: Mapping[tuple[str, str], str]) -> Any:
    """Return arguments with each ``{name.field}`` replaced by what was answered."""
    if isinstance(value, str):
        return environment.ANSWER.sub(lambda found: given[found[1], found[2]], value)
    if isinstance(value, Mapping):
        return {key: filled(each, given) for key, each in value.items()}
    return [filled(each, given) for each in value] if isinstance(value, (list, tuple)) else value


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

    def __init__(self, deployment: engine.Deployment, phase: plan.Phase, bus: transport.Bus):
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
            given = {field: handed_over(before, *field) for field in check.needs}
            kwargs, args = filled(dict(check.kwargs), given), filled(list(check.args), given)
            returns = self._bus.call(nodes, check.function, check.timeout, kwargs, args)
        except (LookupError, transport.Unreachable) as error:
            return [Answer(check, node, False, f"could not be asked: {error}") for node in nodes]
        return judge(check, nodes, returns)

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
            self._bus.next(min(engine.LOOK_INTERVAL, until - time.monotonic()))


def _identity(answers: Iterable[Answer]) -> object:
    """
    Return what must stay the same over the good rounds: the ``identity`` that predicates put into their answers. One
    that cannot be compared is never the same.
    """
    found = [[a.check.function, a.node, a.value.get("identity")] for a in answers if isinstance(a.value, Mapping)]
    return canonical(found) or object()
