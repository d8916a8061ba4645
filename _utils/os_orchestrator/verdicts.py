"""
From what a node answered to one word: the verdict. Pure, and suspicious: an answer is input from another machine.

A good verdict must be shown by every fact that comes with it; whatever is unclear, contradicts itself or was not
asked for is bad.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from os_orchestrator import masks

#: Each verdict of a node or of the master about it, and whether it is good.
GOOD = {
    "unchanged": True,
    "changed": True,
    "tolerated": True,
    "done": True,
    "kept": True,
    "not_asked": True,
    "failed": False,
    "drifted": False,
    "no_catalog": False,
    "disabled": False,
    "busy": False,
    "timed_out": False,
    "killed": False,
    "not_started": False,
    "missing": False,
    "lost": False,
    "skipped": False,
    "interrupted": False,
}
#: Those that a node may give about its own run.
OF_NODES = frozenset(GOOD) - {
    "done",
    "drifted",
    "kept",
    "not_asked",
    "missing",
    "lost",
    "skipped",
    "interrupted",
}

#: Those that a node has for what became of others.
BECAUSE_OF_OTHERS = frozenset(("skipped", "interrupted"))

#: Puppet's exit codes under ``--detailed-exitcodes`` that can stand behind a good verdict.
_EXIT_CODES = {"unchanged": {0}, "changed": {2}, "tolerated": {4, 6}}
_COUNTS = (
    "total",
    "changed",
    "failed",
    "failed_to_restart",
    "skipped",
    "out_of_sync",
    "restarted",
    "corrective_change",
)
#: Those that a good verdict must come with.
_TELLING = ("changed", "failed", "failed_to_restart")
_LISTS = {"failures": 50, "changes": 50, "slowest": 5}
_TEXTS = ("environment", "config_version", "transaction_uuid", "puppet_version", "started", "finished", "mode")
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 4, 20, 20, 200, 200


@dataclass(frozen=True)
class Outcome:
    """What became of one node in one phase. ``verdict`` is None while its run goes on."""

    verdict: str | None
    reason: str = ""
    seconds: float = 0.0
    details: Mapping = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return GOOD.get(self.word, False)

    @property
    def word(self) -> str:
        """The verdict, ``running`` while there is none."""
        return self.verdict or "running"

    @property
    def resources(self) -> Mapping:
        return self.details.get("resources", {})


def text(value: object, limit: int = 500) -> str:
    """
    Return a value as one printable line of at most ``limit`` characters: no control or direction characters, and
    nothing that looks secret.
    """
    shown = _ESCAPE.sub("", (value if isinstance(value, str) else _written(value))[: 4 * limit])
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else " " for character in shown)
    shown = masks.text(shown.strip())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _written(value: object) -> str:
    """Return what is no text as one: what is long or deep, in part."""
    try:
        return _SHORT.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def judge(answer: object, retcode: object, *, run_id: str, noop: bool) -> Outcome:
    """
    Return what an answer to ``puppet_agent.run`` says of the run.

    answer
        What the node returned: trusted in nothing.

    retcode
        The job's return code; a good verdict needs 0.

    run_id, noop
        What was asked: another run's outcome, or a real run's in place of a noop one, is not believed.
    """
    if not isinstance(answer, Mapping):
        return _unintelligible(answer)
    if answer.get("run_id") != run_id:
        return Outcome("failed", f"answered for run {text(answer.get('run_id'), 80)}, asked for {run_id}")
    verdict = answer.get("verdict")
    if verdict is None:
        return Outcome(None, text(answer.get("reason") or ""))
    if not isinstance(verdict, str) or verdict not in OF_NODES:
        return Outcome("failed", f"answered with an unknown verdict, {text(verdict, 80)}")
    details = _details(answer)
    reason = text(answer.get("reason") or "")
    doubt = _doubt(verdict, answer, retcode, details, noop) if GOOD[verdict] else ""
    if doubt or not GOOD[verdict]:
        # Nobody reads the log of a good run; its node has it.
        details["log_tail"] = [text(line, 300) for line in _first(answer.get("log_tail"), 40)]
    return Outcome("failed" if doubt else verdict, doubt or reason, _seconds(answer.get("seconds")), _bounded(details))


def _unintelligible(answer: object) -> Outcome:
    if isinstance(answer, str) and "is not available" in answer[:200]:
        return Outcome("not_started", f"{text(answer, 120)} on this node; salt NODE saltutil.sync_all brings it")
    if isinstance(answer, str) and "Passed invalid arguments" in answer[:200]:
        return Outcome(
            "not_started",
            f"this node has another version of puppet_agent: {text(answer, 200)}; salt NODE saltutil.sync_all",
        )
    said = text(answer.removeprefix("ERROR: ") if isinstance(answer, str) else answer, 300)
    return Outcome("failed", f"answered something that is no outcome of a run: {said}")


def _doubt(verdict: str, answer: Mapping, retcode: object, details: Mapping, noop: bool) -> str:
    """Return why a good verdict is not believed, or nothing."""
    exit_code = answer.get("exit_code")
    if type(retcode) is not int or retcode != 0:
        return f"says {verdict}, but its job ended with {text(retcode, 40)}"
    if not isinstance(answer.get("noop"), bool):
        return f"says {verdict}, but not whether it ran with --noop"
    if answer["noop"] is not noop:
        return f"ran {'for real' if noop else 'with --noop'}, asked for the opposite"
    # Under noop Puppet exits 0 whatever would change, but for resources that have a `noop => false` of their own.
    if type(exit_code) is not int or exit_code not in _EXIT_CODES[verdict] | ({0} if noop else set()):
        return f"says {verdict}, but Puppet exited {text(exit_code, 40)}"
    if not isinstance(answer.get("transaction_uuid"), str) or not details["transaction_uuid"]:
        return f"says {verdict}, but shows no report of its run"
    return _doubt_of_resources(verdict, answer.get("resources"), details)


def _doubt_of_resources(verdict: str, counts: object, details: Mapping) -> str:
    """Return why a good verdict is not believed for what became of its resources, or nothing."""
    resources = details["resources"]
    if not isinstance(counts, Mapping) or any(type(counts.get(name)) is not int for name in _TELLING):
        return f"says {verdict}, but not how many of its resources failed"
    if any(counts[name] != resources[name] for name in _TELLING):
        return f"says {verdict}, but counts its resources with impossible numbers"
    failed = resources["failed"] + resources["failed_to_restart"]
    if (verdict == "tolerated") is not bool(failed):
        return f"says {verdict}, but {failed or 'no'} resources failed"
    if verdict == "unchanged" and resources["changed"]:
        return f"says unchanged, but {resources['changed']} resources changed"
    other = next((row for row in details["failures"] if row.get("tolerated") is not True), None)
    return f"says {verdict}, but {text(other.get('resource'), 80)} failed" if other else ""


def _details(answer: Mapping) -> dict:
    """Return the known fields of an answer, bounded and printable, whatever their types were."""
    resources = answer.get("resources")
    resources = resources if isinstance(resources, Mapping) else {}
    details: dict = {name: text(answer.get(name) or "", 120) for name in _TEXTS}
    details["exit_code"] = _whole(answer.get("exit_code"))
    details["noop"] = answer.get("noop") is True
    details["resources"] = {name: _count(resources.get(name)) for name in _COUNTS}
    for name, most in _LISTS.items():
        details[name] = [_row(row) for row in _first(answer.get(name), most) if isinstance(row, Mapping)]
    return details | {"log_tail": []}


def _row(row: Mapping) -> dict:
    return {text(key, 40): _cell(value) for key, value in list(row.items())[:10]}


def _cell(value: object) -> object:
    if value is None or isinstance(value, bool) or _whole(value) is not None:
        return value
    return _seconds(value) if isinstance(value, float) else text(value)


def _bounded(details: dict, limit: int = 65536) -> dict:
    """Shorten the lists, those first that are missed least, until the whole is at most ``limit`` characters of JSON."""
    for name in ("log_tail", "changes", "slowest", "failures"):
        while details[name] and len(json.dumps(details)) > limit:
            half = len(details[name]) // 2
            details[name] = details[name][-half:] if half and name == "log_tail" else details[name][:half]
    return details


def _first(value: object, most: int) -> Iterable:
    return value[:most] if isinstance(value, (list, tuple)) else ()


def _count(value: object) -> int:
    return max(0, _whole(value) or 0)


def _whole(value: object) -> int | None:
    """Return a number that is one and of a sensible size, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9 else None


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    # Not a number is not in this range either.
    return round(float(value), 3) if 0 <= value < 10**9 else 0.0
