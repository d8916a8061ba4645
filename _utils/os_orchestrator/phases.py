"""One phase of a deployment, run as its kind asks, and what it came to in the words of a state's result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from os_orchestrator import confirmation, deploying, engine, gates, passes, plan, progress, transport, verdicts


@dataclass(frozen=True)
class Result:
    """
    What became of one phase.

    result
        As a state's: None when it would run.

    comment
        Every bad node with its reason, a line each; ``reason`` says it in one sentence.

    changes
        The nodes that changed, and what.
    """

    result: bool | None
    comment: str
    changes: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def run(deployment: deploying.Deployment, phase: plan.Phase, bus: transport.Bus, opts: Mapping) -> Result:
    """Run a phase or leave it out; of one that runs, record and tell that it begins and how it ends."""
    if phase.left_out:
        return Result(True, f"left out: {phase.left_out}")
    began = time.monotonic()
    deployment.journal.phase_started(deployment.id, phase.number)
    last = deployment.journal.seconds(deployment.plan.environment.name, deployment.plan.scenario).get(phase.name)
    told = {"kind": phase.kind, "roles": list(phase.roles), "nodes": list(phase.nodes), "last_seconds": last}
    deployment.tell_of(phase, "phase/started", **told)
    result = _RUNS.get(phase.kind, _run_over_nodes)(deployment, phase, bus, opts)
    reason = result.reason
    state = "succeeded" if result.result else "interrupted" if deployment.stopped_by() else "failed"
    deployment.journal.phase_ended(deployment.id, phase.number, state, reason)
    deployment.tell_of(phase, "phase/ended", state=state, reason=reason, seconds=time.monotonic() - began)
    return result


def _run_gate(deployment: deploying.Deployment, phase: plan.Phase, bus: transport.Bus, _opts: Mapping) -> Result:
    opened, reason = gates.Gate(deployment, phase, bus).run()
    return Result(opened, reason or "open", reason=reason)


def _run_confirmation(
    deployment: deploying.Deployment, phase: plan.Phase, bus: transport.Bus, _opts: Mapping
) -> Result:
    confirmed, reason = confirmation.await_answer(deployment, phase, bus)
    return Result(confirmed, reason, reason=reason)


def _run_over_nodes(deployment: deploying.Deployment, phase: plan.Phase, bus: transport.Bus, opts: Mapping) -> Result:
    outcomes, warning = passes.run(deployment, phase, bus, transport.accepted_keys(opts))
    if phase.kind == "puppet" and not (deployment.plan.noop or phase.options["noop"]):
        roles = deployment.plan.environment.roles
        good = {node for node, outcome in outcomes.items() if outcome.good}
        by_role = {role: good.intersection(roles[role].nodes) for role in phase.roles}
        deployment.journal.deployed(deployment.plan.environment.name, by_role, deployment.id)
    bad = engine.in_words(outcomes)
    comment = "\n".join(filter(None, (_comment(outcomes), warning)))
    return Result(not bad, comment, _changes(outcomes), bad or warning)


_RUNS = {"gate": _run_gate, "confirm": _run_confirmation}


def _comment(outcomes: Mapping[str, verdicts.Outcome]) -> str:
    """Return a phase's result as lines: how many nodes came to which verdict, then each bad node with its reason."""
    counts: dict[str, int] = {}
    for outcome in outcomes.values():
        counts[outcome.word] = counts.get(outcome.word, 0) + 1
    lines = [", ".join(f"{count} {verdict}" for verdict, count in counts.items())]
    lines += [f"{node}: {o.word}" + (f", {o.reason}" if o.reason else "") for node, o in outcomes.items() if not o.good]
    return "\n".join(lines)


def _changes(outcomes: Mapping[str, verdicts.Outcome]) -> dict[str, str]:
    return {
        node: progress.did(outcome.verdict, outcome.reason, outcome.details) or outcome.word
        for node, outcome in outcomes.items()
        if outcome.verdict in ("changed", "tolerated") or outcome.resources.get("changed")
    }
