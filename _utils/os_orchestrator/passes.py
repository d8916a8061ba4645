"""
Several passes over the nodes of a phase, until they are as they should be: what each of them still changed, and what
changes every time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from os_orchestrator import deploying, engine, transport, verdicts
from os_orchestrator.plan import Phase

Outcomes = Mapping[str, verdicts.Outcome]
#: Resources that are named in a warning; the others are counted.
_NAMED = 5


def run(
    deployment: deploying.Deployment, phase: Phase, bus: transport.Bus, accepted: Collection[str] | None
) -> tuple[Outcomes, str]:
    """
    Run a phase's passes and return the outcomes of the last one, with a warning if it should have become clean.

    The next pass begins only when every node of this one is good. With ``until: clean`` the first pass that changes
    nothing is the last.
    """
    at_most, until_clean = limits(phase)
    changed: list[dict[str, set[str]]] = []
    for number in range(1, at_most + 1):
        if number > 1:
            deployment.tell_of(phase, "pass/started", number=number, at_most=at_most)
        outcomes = engine.Pass(deployment, phase, bus, accepted, number).run()
        changed.append({node: _changed(outcome) for node, outcome in outcomes.items() if _is_unclean(outcome)})
        if at_most > 1:
            counts = {"nodes": len(changed[-1]), "resources": sum(map(len, changed[-1].values()))}
            deployment.tell_of(phase, "pass/ended", number=number, at_most=at_most, changed=counts)
        # A stop is heeded by the next pass: it starts nothing, and so the phase has not succeeded.
        if not all(outcome.good for outcome in outcomes.values()):
            return outcomes, ""
        if until_clean and not changed[-1]:
            return outcomes, ""
    return outcomes, warning(changed) if until_clean else ""


def limits(phase: Phase) -> tuple[int, bool]:
    """Return how many passes a phase has at most, and whether a clean one ends them."""
    wanted = phase.options.get("passes", 1)
    return (wanted["at_most"], True) if isinstance(wanted, Mapping) else (wanted or 1, False)


def warning(changed: list[dict[str, set[str]]]) -> str:
    """
    Return what is to be said of passes none of which was clean.

    changed
        For each pass the nodes that changed, with their resources.
    """
    always = [
        f"{resource} of {node}"
        for node in changed[-1]
        for resource in sorted(set.intersection(*(each.get(node, set()) for each in changed)))
    ]
    counts = [sum(len(resources) or 1 for resources in each.values()) for each in changed]
    shown = ", ".join(always[:_NAMED]) + (f" and {len(always) - _NAMED} more" if len(always) > _NAMED else "")
    after = "1 pass" if len(changed) == 1 else f"{len(changed)} passes"
    said = f"not clean after {after}, which changed {', '.join(map(str, counts))} resources"
    return f"{said}; each time: {shown}" if always and len(changed) > 1 else said


def _is_unclean(outcome: verdicts.Outcome) -> bool:
    """Whether a run changed anything, for all that is known of it; one that is kept, when it was made."""
    return (outcome.details.get("was") if outcome.verdict == "kept" else outcome.verdict) != "unchanged"


def _changed(outcome: verdicts.Outcome) -> set[str]:
    return {str(row.get("resource")) for row in outcome.details.get("changes", ()) if isinstance(row, Mapping)}
