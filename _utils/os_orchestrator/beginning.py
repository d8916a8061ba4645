"""The beginning of a deployment: its environment is claimed, and all that it is to do is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from os_orchestrator import deploying, doors, journal, plan, quieting, resume


@dataclass(frozen=True)
class Door:
    """Who began a deployment, and by which command: known at the door only, so taken there."""

    user: str
    name: str


@dataclass(frozen=True)
class Order:
    """
    What a scenario's states are called with.

    deployment
        The jid of the orchestration.

    pillar
        The orchestration's pillar: ``environment``, and if given ``noop``, ``nodes``, ``from_phase``; ``resume`` is the
        id of the deployment that this one goes on with, ``force`` whether it does so in spite of changes. A scenario
        may have words of its own, such as ``role``.

    chunks
        The low chunks of the whole scenario.

    test
        Whether Salt was called with ``test=True``: nothing is sent that changes a node, nothing is recorded.
    """

    opts: Mapping
    deployment: str
    pillar: Mapping
    chunks: tuple[Mapping, ...]
    test: bool


def begin(order: Order, the_plan: plan.Plan, door: Door) -> deploying.Deployment:
    """Claim the environment and record the whole plan, before the first node is touched; nobody listens to it yet."""
    record = journal.of(order.opts)
    settings = order.opts.get("os_orchestrator") or {}
    poll_interval = doors.number(
        settings.get("poll_interval", deploying.POLL_INTERVAL), "os_orchestrator:poll_interval", minimum=0.1
    )
    earlier = _earlier(order.pillar, the_plan, record)
    environment_name, roles = the_plan.environment.name, the_plan.environment.roles
    record.claim(environment_name, order.deployment, door.user)
    record.forget_others(environment_name, {name: [*role.nodes, *role.excluded] for name, role in roles.items()})
    _record(record, _row(order, the_plan, door, earlier), [_phase_row(phase) for phase in the_plan.phases])
    return deploying.Deployment(order.deployment, the_plan, record, (), poll_interval, earlier)


def _earlier(pillar: Mapping, the_plan: plan.Plan, record: journal.Journal) -> resume.Earlier:
    """
    Return what the deployment that this one resumes leaves to it; raises :class:`doors.Refused` if all is different.
    """
    if not pillar.get("resume"):
        return resume.NOTHING
    found = resume.refuse_unless_resumable(record.deployment(str(pillar["resume"])), the_plan.environment.name)
    if not doors.boolean(pillar.get("force", False), "force"):
        resume.refuse_if_changed(found, the_plan)
    return resume.read(found)


def _record(record: journal.Journal, row: Mapping, phases: Iterable[Mapping]) -> None:
    """Record a deployment that has claimed its environment, or give that back."""
    try:
        record.begin(row, phases)
    except BaseException:
        record.release(row["environment"], row["id"])
        raise


def _row(order: Order, the_plan: plan.Plan, door: Door, earlier: resume.Earlier) -> dict:
    return {
        "id": order.deployment,
        "environment": the_plan.environment.name,
        "scenario": the_plan.scenario,
        "user": door.user,
        "door": door.name,
        "noop": the_plan.noop,
        "partial": the_plan.partial,
        "digest": the_plan.digest,
        "arguments": {
            "excluded": dict(the_plan.environment.excluded),
            "resumes": earlier.deployment,
            **({"began": earlier.began} if earlier.began else {}),
            **({"quiet": quiet} if (quiet := quieting.nodes_of(the_plan)) else {}),
            **{name: order.pillar[name] for name in plan.CHOSEN if order.pillar.get(name)},
        },
    }


def _phase_row(phase: plan.Phase) -> dict:
    return {
        "number": phase.number,
        "name": phase.name,
        "kind": phase.kind,
        "roles": list(phase.roles),
        "nodes": list(phase.nodes),
        "state": "left_out" if phase.left_out else "planned",
        "reason": phase.left_out,
        "not_asked": dict(phase.not_asked),
        "settings": _settings(phase),
    }


def _settings(phase: plan.Phase) -> dict:
    """Return what an operator who looks at a phase later may want to know of it."""
    if phase.gate:
        return {name: getattr(phase.gate, name) for name in ("name", "successes", "interval", "timeout")}
    names = ("concurrency", "max_failures", "timeout", "lock_timeout", "canary", "passes", "message")
    return {name: phase.options[name] for name in names if phase.options.get(name) is not None}
