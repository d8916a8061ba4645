"""
What an operator reads of a plan and of a deployment, as plain data: the same for the terminal, for ``--out json``
and for a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from os_orchestrator import confirmation, environment, journal, masks, progress, stopping, verdicts, why
from os_orchestrator import plan as planning


def plan(the_plan: planning.Plan, absent: Mapping[str, str], seconds: Mapping[str, float]) -> dict:
    """
    Return a plan.

    absent
        Why nodes that cannot be reached cannot, by node.

    seconds
        How long each phase took last time, by sentence.
    """
    return {
        "kind": "plan",
        "environment": the_plan.environment.name,
        "scenario": the_plan.scenario,
        "noop": the_plan.noop,
        "partial": the_plan.partial,
        "excluded": dict(the_plan.environment.excluded),
        "phases": [_planned(phase, the_plan, absent, seconds.get(phase.name)) for phase in the_plan.phases],
    }


def _planned(phase: planning.Phase, the_plan: planning.Plan, absent: Mapping[str, str], last: float | None) -> dict:
    row = {
        "number": phase.number,
        "name": phase.name,
        "kind": phase.kind,
        "roles": list(phase.roles),
        "nodes": list(phase.nodes),
        "not_asked": dict(phase.not_asked),
        "left_out": phase.left_out,
        "missing": {} if phase.left_out else {node: absent[node] for node in phase.nodes if node in absent},
        "last_seconds": last,
    }
    if phase.gate:
        row["gate"] = {name: getattr(phase.gate, name) for name in ("name", "successes", "interval", "timeout")}
        row["checks"] = [
            {
                **{name: getattr(check, name) for name in ("function", "role", "key", "timeout")},
                **masks.masked({"args": check.args, "kwargs": dict(check.kwargs), "expect": check.expect}),
                "asks": len(the_plan.environment.roles[check.role].nodes),
            }
            for check in phase.gate.checks
        ]
    else:
        row["options"] = {
            key: _plain(value) for key, value in phase.options.items() if value not in (None, (), [], {}, False)
        }
        row["calls"] = {what: [_call(call) for call in calls] for what, calls in phase.calls.items() if calls}
    return row


def _call(call: environment.Call) -> dict:
    names = ("function", "role", "key", "timeout", "within", "interval", "always")
    given = {"args": call.args, "kwargs": dict(call.kwargs), "expect": call.expect}
    return {**{name: getattr(call, name) for name in names}, **masks.masked(given)}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def summary(deployment: Mapping) -> dict:
    """Return a deployment as the journal has it, in the form that is shown."""
    return {
        "kind": "deployment",
        **_head(deployment),
        "excluded": deployment["arguments"].get("excluded", {}),
        "resumes": deployment["arguments"].get("resumes", ""),
        "interventions": deployment["interventions"],
        "phases": [_phase(phase) for phase in deployment["phases"]],
    }


def _head(deployment: Mapping) -> dict:
    """Return what every list and page says of a deployment."""
    names = ("id", "environment", "scenario", "user", "door", "noop", "partial", "state", "reason", "started", "ended")
    return {name: deployment[name] for name in names}


def _phase(phase: Mapping) -> dict:
    row = {name: phase[name] for name in ("number", "name", "kind", "roles", "state", "reason", "started", "ended")}
    row["seconds"] = round(phase["ended"] - phase["started"], 3) if phase["ended"] and phase["started"] else None
    if phase["kind"] == "confirm":
        return {**row, "message": phase["settings"].get("message", ""), "nodes": []}
    if phase["kind"] == "gate":
        return {**row, "rounds": phase.get("rounds", 0), "answers": phase.get("last", [])}
    runs = {run["node"]: run for run in phase["runs"]}
    asked = [_node(node, runs.get(node)) for node in phase["nodes"]]
    return {**row, "nodes": asked + [_not_asked(node, reason) for node, reason in phase["not_asked"].items()]}


def _not_asked(node: str, reason: str) -> dict:
    return {**_node(node, None), "verdict": "not_asked", "good": True, "reason": reason, "did": reason}


def _node(node: str, run: Mapping | None) -> dict:
    if run is None:
        return {
            "node": node,
            "verdict": None,
            "good": False,
            "reason": "",
            "note": "",
            "seconds": None,
            "attempt": 0,
            "did": "",
            "started": None,
            "ended": None,
        }
    details = run["details"]
    return {
        "node": node,
        "verdict": run["verdict"],
        "good": verdicts.GOOD.get(run["verdict"], False),
        "did": progress.did(run["verdict"], run["reason"], details, 500) if run["verdict"] else run["note"],
        **{name: run[name] for name in ("reason", "note", "seconds", "attempt", "started", "ended", "run_id")},
        "pass": run["pass"],
        **{name: details.get(name, []) for name in ("failures", "changes", "slowest", "calls")},
        "resources": details.get("resources", {}),
    }


def status(deployments: Iterable[Mapping]) -> dict:
    """Return the state of each environment: its newest deployment, and why one that runs is not further."""
    return {"kind": "status", "deployments": [_status(deployment) for deployment in deployments]}


def _status(deployment: Mapping) -> dict:
    found = summary(deployment)
    if found["state"] != "running":
        return found
    for row, phase in zip(found["phases"], deployment["phases"], strict=True):
        for node in row.get("nodes", ()):
            waits = phase["state"] in ("running", "planned") and node["verdict"] is None
            node["waits_for"] = why.waits_for(deployment, phase, node["node"]) if waits else ""
    return {**found, "stands": why.stands(deployment)}


def stopped(deployment: Mapping, user: str, force: bool, orphans: Mapping[str, str], quiet: Mapping[str, str]) -> dict:
    """
    Return what became of a deployment that ``user`` has asked to stop; ``running`` are the nodes still at work.

    orphans
        What became of the runs of one that had been interrupted already (:func:`stopping.end_orphans`).

    quiet
        Whose agents are still quiet of those that it had left so, with the reasons.
    """
    names = ("environment", "scenario", "state", "reason")
    found = {"kind": "stop", "deployment": deployment["id"], **{name: deployment[name] for name in names}}
    running = list(stopping.going(deployment)) if deployment["state"] == "running" else _without_word(orphans)
    text = _orphans_text(deployment, orphans) if orphans else _stop_text(deployment, running)
    text += _still_quiet(quiet)
    return {**found, "user": user, "force": force, "running": running, "quiet": dict(quiet), "text": text}


def _stop_text(deployment: Mapping, running: list[str]) -> str:
    title = _title(deployment)
    if deployment["state"] == "succeeded":
        return f"{title} has succeeded before it could be stopped"
    if deployment["state"] != "running":
        return f"{title} is {deployment['state']}: {deployment['reason']}"
    on = f", and waits for {', '.join(running)}" if running else ""
    return f"{title} starts nothing more{on}; salt-run deployment.watch {deployment['environment']} shows its end"


def decided(deployment: Mapping, phase: Mapping, what: str, user: str, reason: str) -> dict:
    """Return what an operator has answered to a phase that waited for that."""
    answer = confirmation.ANSWERED[what]
    text = f"{deployment['environment']} {deployment['scenario']}, {phase['name']}: {answer} by {user}"
    found = {"environment": deployment["environment"], "deployment": deployment["id"], "phase": phase["name"]}
    return {"kind": "decision", **found, "answer": answer, "user": user, "reason": reason, "text": text}


def _orphans_text(deployment: Mapping, orphans: Mapping[str, str]) -> str:
    over = ", ".join(f"{node} {word}" for node, word in orphans.items() if word)
    silent = ",".join(_without_word(orphans))
    told = [f"of the runs that were left on its nodes: {over}"] if over else []
    told += [f"no end was heard of from {silent}, look with: salt -L {silent} puppet_agent.status"] if silent else []
    told += [] if silent else [f"salt-run deployment.resume {deployment['environment']} goes on from there"]
    return f"{_title(deployment)} had been interrupted; {'; '.join(told)}"


def _title(deployment: Mapping) -> str:
    return f"{deployment['environment']} {deployment['scenario']}, deployment {deployment['id']},"


def _without_word(orphans: Mapping[str, str]) -> list[str]:
    return [node for node, word in orphans.items() if not word]


def unlocked(claim: journal.Claim, quiet: Mapping[str, str]) -> dict:
    """Return whose claim was taken off an environment, and whose agents are still quiet, with the reasons."""
    since = progress.date(claim.since)
    text = (
        f"environment {claim.environment} is free: its claim was of {claim.user} since {since} (deployment"
        f" {claim.deployment}, pid {claim.pid}), whose process has died;"
        f" salt-run deployment.resume {claim.environment} goes on"
    )
    text += _still_quiet(quiet)
    found = {name: getattr(claim, name) for name in ("environment", "deployment", "user", "pid", "since")}
    return {"kind": "unlock", **found, "quiet": dict(quiet), "text": text}


def _still_quiet(quiet: Mapping[str, str]) -> str:
    return "; agents are still quiet on " + ", ".join(f"{node} ({why})" for node, why in quiet.items()) if quiet else ""


def history(heads: Iterable[Mapping]) -> dict:
    """Return the deployments that the journal lists."""
    return {
        "kind": "history",
        "deployments": [
            {
                **_head(head),
                "seconds": round(head["ended"] - head["started"], 3) if head["ended"] else None,
            }
            for head in heads
        ],
    }
