"""
What an operator reads of a plan and of a deployment, as plain data: the same for the terminal, for ``--out json``
and for a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from os_orchestrator import masks, progress, verdicts
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
    return row


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def summary(deployment: Mapping) -> dict:
    """Return a deployment as the journal has it, in the form that is shown."""
    return {
        "kind": "deployment",
        **_head(deployment),
        "excluded": deployment["arguments"].get("excluded", {}),
        "resumes": deployment["arguments"].get("resumes", ""),
        "phases": [_phase(phase) for phase in deployment["phases"]],
    }


def _head(deployment: Mapping) -> dict:
    """Return what every list and page says of a deployment."""
    names = ("id", "environment", "scenario", "user", "door", "noop", "partial", "state", "reason", "started", "ended")
    return {name: deployment[name] for name in names}


def _phase(phase: Mapping) -> dict:
    row = {name: phase[name] for name in ("number", "name", "kind", "roles", "state", "reason", "started", "ended")}
    row["seconds"] = round(phase["ended"] - phase["started"], 3) if phase["ended"] and phase["started"] else None
    if phase["kind"] == "gate":
        return {**row, "rounds": phase.get("rounds", 0), "answers": phase.get("last", [])}
    runs = {run["node"]: run for run in phase["runs"]}
    return {**row, "nodes": [_node(node, runs.get(node)) for node in phase["nodes"]]}


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
        **{name: details.get(name, []) for name in ("failures", "changes", "slowest")},
        "resources": details.get("resources", {}),
    }


def status(deployments: Iterable[Mapping]) -> dict:
    """Return the state of each environment: its newest deployment."""
    return {"kind": "status", "deployments": [summary(deployment) for deployment in deployments]}


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
