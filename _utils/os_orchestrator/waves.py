"""
Which nodes of a phase go before which: the canary, then wave by wave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from os_orchestrator import scheduler, transport, verdicts
from os_orchestrator.plan import Phase

#: What is asked of a node for the value by which waves are made.
_FUNCTIONS = {"grain": "grains.get", "pillar": "pillar.get"}


def canary(phase: Phase) -> tuple[str, ...]:
    """Return the nodes of a phase that go first: as many as it says, in the order of its role."""
    wanted = phase.options.get("canary")
    return phase.nodes[: scheduler.size(wanted, len(phase.nodes))] if wanted else ()


def groups(
    phase: Phase, nodes: Iterable[str], bus: transport.Bus, allowed: int
) -> tuple[list[scheduler.Group], dict[str, str]]:
    """
    Return the groups in which ``nodes`` of a phase start, and why those that belong to none do not, by node.

    allowed
        How many nodes may fail in the phase as a whole: of a wave that says nothing else, as many.
    """
    first = canary(phase)
    nodes = list(nodes)
    canaries = tuple(node for node in nodes if node in first)
    rest = [node for node in nodes if node not in first]
    settings = phase.options.get("waves")
    waves, homeless = _waves(settings, rest, bus, phase.options["ping_timeout"])
    limit = settings.get("max_failures") if isinstance(settings, Mapping) else None
    of_a_wave = [
        scheduler.Group(wave, allowed if limit is None else scheduler.allowance(limit, len(wave))) for wave in waves
    ]
    return [*([scheduler.Group(canaries, 0)] if canaries else []), *of_a_wave], homeless


def _waves(
    settings: int | str | Mapping | None, nodes: list[str], bus: transport.Bus, timeout: float
) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Return nodes in waves, and why some are in none."""
    if not nodes:
        return [], {}
    if settings is None:
        return [tuple(nodes)], {}
    if not isinstance(settings, Mapping):
        return scheduler.in_waves(nodes, settings), {}
    if "size" in settings:
        return scheduler.in_waves(nodes, settings["size"]), {}
    kind = "grain" if "grain" in settings else "pillar"
    domains = _domains(kind, settings[kind], nodes, bus, timeout)
    lacking = f"it has no {kind} {settings[kind]}, by whose value the waves are made"
    homeless = {node: lacking for node in nodes if node not in domains}
    return scheduler.by_domain((node, domains[node]) for node in nodes if node in domains), homeless


def _domains(kind: str, key: str, nodes: list[str], bus: transport.Bus, timeout: float) -> dict[str, str]:
    """Return the value of a grain or pillar key of each node that has one."""
    try:
        heard = bus.call(nodes, _FUNCTIONS[kind], timeout, args=[key])
    except transport.Unreachable:
        return {}
    answers = {node: found.answer for node, found in heard.items()}
    return {
        node: verdicts.text(answer)
        for node, answer in answers.items()
        if isinstance(answer, (str, int, float)) and not isinstance(answer, bool) and str(answer)
    }
