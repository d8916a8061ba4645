"""
What the page of a deployment tells, as plain data: the deployment with those that it goes on with, what went wrong,
what was slow, and how long it took against the last time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping

from os_orchestrator import journal, report, verdicts

#: How many deployments of a chain of resumed ones are told; earlier ones have pages of their own.
_PARTS = 5
_SLOWEST = 15
#: Seconds from which on a resource is slow at all.
_SLOW_FROM = 0.1
#: Lines of Puppet's output that say why something went wrong.
_TELLING = re.compile(r"(Warning|Err(or)?|Alert|Emerg|Crit(ical)?)\b")


def read(record: journal.Journal, deployment: str) -> dict | None:
    """
    Return the story of a deployment, or None when the journal does not know it.

    It is the deployment's summary (:func:`report.summary`) and ``parts``: the summaries of those that it goes on
    with, oldest first, and its own; ``forgotten``, the id of one that is not told; ``seconds``, those of all parts;
    ``slowest``, ``comparison`` and ``read``, the time at which it was read.
    """
    parts: list[dict] = []
    wanted = deployment
    while wanted and len(parts) < _PARTS and (part := _part(record, wanted)):
        parts.insert(0, part)
        wanted = part["resumes"]
    if not parts:
        return None
    told = parts[-1]
    before = _before(parts, record.deployments(told["environment"], record.keep))
    earlier = record.outline(before["id"]) if before else None
    return {
        **told,
        "kind": "report",
        "parts": parts,
        "forgotten": wanted,
        "seconds": _sum(_seconds(part) for part in parts),
        "slowest": slowest(parts),
        "comparison": comparison(parts, earlier) if earlier else None,
        "read": time.time(),
    }


def _part(record: journal.Journal, deployment: str) -> dict | None:
    """Return one deployment's summary, its phases with what is drawn of them, and what went wrong in it."""
    whole, outline = record.deployment(deployment), record.outline(deployment)
    if whole is None or outline is None:
        return None
    part = report.summary(whole)
    part["selection"] = {name: whole["arguments"].get(name) for name in ("nodes", "from_phase")}
    rounds = record.rounds(deployment)
    for row, drawn, full in zip(part["phases"], outline["phases"], whole["phases"], strict=True):
        row["asked"] = drawn["nodes"]
        row["attempts"] = drawn["runs"]
        row["stretches"] = stretches(each for each in rounds if each["phase"] == row["number"])
        logs = {run["node"]: run["details"].get("log_tail", []) for run in full["runs"]}
        for node in row.get("nodes", ()):
            node["log"] = [] if node["good"] else logs.get(node["node"], [])
    return {**part, "problems": [problem for row in part["phases"] for problem in problems(row, part["state"])]}


# -- gates -----------------------------------------------------------------------------------------------------------


def stretches(rounds: Iterable[Mapping]) -> list[dict]:
    """
    Return the rounds of a gate as stretches of the same outcome: ``good, held_by, bad, rounds, since, until``; in one
    that is not good, the same node says no to the same check.
    """
    found: list[dict] = []
    since = None
    for each in rounds:
        held_by = each["held_by"]
        same = found and _held(found[-1]["held_by"]) == _held(held_by)
        if not same:
            found.append({"good": each["good"], "rounds": 0, "since": since or each["at"]})
        found[-1].update(held_by=held_by, bad=each["bad"], rounds=found[-1]["rounds"] + 1, until=each["at"])
        since = each["at"]
    return found


def _held(answer: Mapping | None) -> tuple | None:
    return (answer["check"], answer["node"]) if answer else None


# -- what went wrong -------------------------------------------------------------------------------------------------


def problems(phase: Mapping, state: str) -> list[dict]:
    """
    Return what was bad in a phase, nodes with the same trouble together: ``phase, number, verdict, nodes, reason,
    failures, log, telling``; those first that are not bad because of others. ``state`` is the deployment's.
    """
    if phase["kind"] == "gate":
        return _held_gate(phase)
    if phase["kind"] == "confirm":
        return _unconfirmed(phase)
    groups: dict[tuple, dict] = {}
    for node in phase["nodes"]:
        if node["good"] or not (node["verdict"] or (node["started"] and state != "running")):
            continue
        failures = [row for row in node.get("failures", ()) if not row.get("tolerated")]
        verdict = node["verdict"] or "unheard"
        key = (verdict, *((row.get("resource"), row.get("message")) for row in failures)) if failures else None
        key = key or (verdict, _without(node["node"], node["did"]))
        group = groups.setdefault(
            key,
            {
                "phase": phase["name"],
                "number": phase["number"],
                "verdict": verdict,
                "nodes": [],
                "reason": node["did"],
                "failures": failures,
                "log": node["log"],
                "telling": telling(node["log"]),
            },
        )
        group["nodes"].append(node["node"])
    return sorted(groups.values(), key=lambda group: group["verdict"] in verdicts.BECAUSE_OF_OTHERS)


def _unconfirmed(phase: Mapping) -> list[dict]:
    if phase["state"] != "failed":
        return []
    told = {"phase": phase["name"], "number": phase["number"], "verdict": "not confirmed", "reason": phase["reason"]}
    return [{**told, "nodes": [], "failures": [], "log": [], "telling": []}]


def _held_gate(phase: Mapping) -> list[dict]:
    if phase["state"] in ("succeeded", "left_out", "planned", "running"):
        return []
    held = [answer for answer in phase["answers"] if not answer["good"]]
    return [
        {
            "phase": phase["name"],
            "number": phase["number"],
            "verdict": "not open" if phase["state"] == "failed" else phase["state"],
            "nodes": list(dict.fromkeys(answer["node"] for answer in held)),
            "reason": phase["reason"],
            "failures": [{"resource": f"{a['check']} on {a['node']}", "message": a["said"]} for a in held],
            "log": [],
            "telling": [],
        }
    ]


def telling(log: Iterable[str], most: int = 12) -> list[str]:
    """Return the lines of a run's output that say what went wrong, without those that say it again; else the last."""
    lines = list(dict.fromkeys(log))
    return [line for line in lines if _TELLING.match(line)][:most] or lines[-4:]


def _without(node: str, words: str) -> str:
    return words.replace(node, "")


# -- what was slow ---------------------------------------------------------------------------------------------------


def slowest(parts: Iterable[Mapping], most: int = _SLOWEST) -> list[dict]:
    """
    Return the resources that took longest in one run: ``resource, seconds, node, phase`` of that run, and ``runs`` and
    ``together``, in how many runs it was among the slowest, and the seconds of all of them.
    """
    found: dict[str, dict] = {}
    for phase, node, row in _slow(parts):
        name, seconds = str(row.get("resource")), row.get("seconds")
        if not isinstance(seconds, (int, float)) or seconds < _SLOW_FROM:
            continue
        entry = found.setdefault(name, {"resource": name, "seconds": 0, "runs": 0, "together": 0})
        entry["runs"] += 1
        entry["together"] += seconds
        if seconds > entry["seconds"]:
            entry.update(seconds=seconds, node=node["node"], phase=phase["name"])
    return sorted(found.values(), key=lambda entry: -entry["seconds"])[:most]


def _slow(parts: Iterable[Mapping]) -> Iterator[tuple[Mapping, Mapping, Mapping]]:
    for part in parts:
        for phase in part["phases"]:
            for node in phase.get("nodes", ()):
                for row in node.get("slowest", ()):
                    yield phase, node, row


# -- against the last time -------------------------------------------------------------------------------------------


def _before(parts: list[dict], heads: Iterable[Mapping]) -> Mapping | None:
    """
    Return the deployment to compare with: the newest earlier one of the same scenario that was whole and succeeded,
    else the newest that has ended.
    """
    told, first = parts[-1], parts[0]
    alike = [
        head
        for head in heads
        if (head["scenario"], head["noop"]) == (told["scenario"], told["noop"])
        and head["ended"]
        and head["started"] < first["started"]
        and head["id"] not in [part["id"] for part in parts]
    ]
    return next(filter(_is_whole, alike), alike[0] if alike else None)


def _is_whole(head: Mapping) -> bool:
    return head["state"] == "succeeded" and not head["partial"] and not head["arguments"].get("resumes")


def comparison(parts: Iterable[Mapping], before: Mapping) -> dict:
    """
    Return how long the phases of a deployment took, all of its parts together, against an earlier one: the earlier
    one's own row, ``before``, its seconds in total, and ``phases`` with ``seconds`` and ``before``, None where a phase
    was not run.
    """
    parts = list(parts)
    now = [phase for part in parts for phase in part["phases"]]
    old = {phase["name"]: phase for phase in before["phases"]}
    rows = [
        {
            "number": phase["number"],
            "name": phase["name"],
            "seconds": _sum(_seconds(each) for each in now if each["name"] == phase["name"]),
            "before": _seconds(old.get(phase["name"])),
            "nodes": len(phase["asked"]),
            "nodes_before": len(old[phase["name"]]["nodes"]) if phase["name"] in old else 0,
        }
        for phase in parts[-1]["phases"]
    ]
    head = {name: before[name] for name in ("id", "state", "partial", "started", "ended", "user")}
    return {**head, "before": _seconds(before), "phases": rows}


def _seconds(row: Mapping | None) -> float | None:
    return row["ended"] - row["started"] if row and row["ended"] and row["started"] else None


def _sum(seconds: Iterable[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if known else None
