"""
What nodes answered to an execution function, and whether it is what was to be answered. Pure, and suspicious: an answer
is input from another machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from os_orchestrator import environment, transport, verdicts

#: How Salt begins the answer of a function that has raised.
_TRACEBACK = "The minion function caused an exception: Traceback"
Question = environment.Check | environment.Call


@dataclass(frozen=True)
class Answer:
    """
    What one node said to one check, and whether that satisfies it.

    raw, value
        Its answer, and the part of it that the check looks at, as the node sent them.
    """

    check: Question
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


def satisfies(check: Question, value: object, retcode: object) -> bool:
    """Whether one node's answer satisfies a check by itself; ``expect: equal`` is judged over all of them."""
    if type(retcode) is not int or retcode != 0:
        return False
    if check.expect is True:
        return value is True or (
            isinstance(value, Mapping) and (value.get("ready") is True or value.get("result") is True)
        )
    if check.expect == "done":
        return value is not False
    if check.expect == "equal":
        return value is not None and canonical(value) is not None
    return canonical(value) == canonical(check.expect["value"] if isinstance(check.expect, Mapping) else check.expect)


def chosen(check: Question, value: object) -> object:
    """
    Return the part of an answer that a check looks at: ``key`` is a path with colons; None where there is no such part.
    """
    for part in (check.key or "").split(":") if check.key else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def judge(check: Question, nodes: Iterable[str], returns: Mapping[str, transport.Return]) -> list[Answer]:
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


def said(answer: object, value: object, check: Question) -> str:
    """Return what a node answered in a few words: the reasons that a predicate gives, else the value itself."""
    reasons = answer.get("reasons") if isinstance(answer, Mapping) else None
    if isinstance(reasons, (list, tuple)) and reasons:
        messages = [reason.get("message", reason) if isinstance(reason, Mapping) else reason for reason in reasons[:3]]
        return verdicts.text("; ".join(verdicts.text(message, 200) for message in messages), 400)
    if isinstance(answer, str) and answer.startswith(_TRACEBACK):
        # The rest of Salt's traceback is about Salt.
        return verdicts.text(f"raised {answer[-2000:].strip().splitlines()[-1]}", 200)
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
    named = [a.raw for a in answers if isinstance(a.check, environment.Check) and a.check.name == name]
    values = {_plain_field(value, field) for value in named}
    if len(values) != 1 or None in values:
        raise LookupError(f"it needs {field} of {name}, and the answers of this round do not have it")
    return verdicts.text(values.pop())


def _plain_field(value: object, field: str) -> str | int | float | None:
    found = value.get(field) if isinstance(value, Mapping) else None
    return found if isinstance(found, (str, int, float)) else None


def filled(value: Any, given: Mapping[tuple[str, str], str]) -> Any:
    """Return arguments with each ``{name.field}`` replaced by what was answered."""
    return _with_texts(value, lambda text: environment.ANSWER.sub(lambda found: given[found[1], found[2]], text))


def about(value: Any, node: str) -> Any:
    """Return arguments with each ``{node}`` replaced by a node's id."""
    return _with_texts(value, lambda text: text.replace("{node}", node))


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return arguments with each text in them changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _with_texts(each, change) for key, each in value.items()}
    return [_with_texts(each, change) for each in value] if isinstance(value, (list, tuple)) else value
