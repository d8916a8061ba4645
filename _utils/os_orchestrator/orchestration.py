"""
A deployment, phase by phase: begun at its first phase, claimed at each, ended at the last or at the first that fails.

The states `phase.puppet` and `phase.gate` call :func:`run_phase`, each in its turn; what they share lies in the
journal and, for as long as the process lives, in :data:`_sessions`.
"""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from os_orchestrator import (
    beginning,
    deploying,
    doors,
    engine,
    environment,
    interrupts,
    journal,
    live,
    phases,
    plan,
    progress,
    quieting,
    resume,
    transport,
)
from os_orchestrator.beginning import Door, Order
from os_orchestrator.phases import Result


@dataclass
class _Session:
    """
    What the phases of one deployment share in this process; ``shown`` shows it to who typed the command, ``bus`` is
    there while a phase runs, ``heard`` says when each node has last answered.
    """

    plan: plan.Plan
    deployment: deploying.Deployment
    shown: progress.Lines
    stopped: bool = False
    bus: transport.Bus | None = None
    heard: dict[str, float] = field(default_factory=dict)


#: The door of the command that runs in this context; without one, the phases were started by plain orchestration.
door: contextvars.ContextVar[Door | None] = contextvars.ContextVar("door", default=None)
_sessions: dict[str, _Session] = {}


def load_plan(opts: Mapping, pillar: Mapping, chunks: Iterable[Mapping]) -> plan.Plan:
    """Return the plan of a scenario for the environment that the pillar names; raises :class:`doors.Refused`."""
    name = pillar.get("environment")
    if not isinstance(name, str) or not name:
        raise doors.Refused(
            'no environment was named; add pillar=\'{"environment": "NAME"}\','
            " or use salt-run deployment.run NAME SCENARIO"
        )
    chunks = list(chunks)
    noop = doors.boolean(pillar.get("noop", False), "noop")
    deployed = _deployed(opts, name, pillar.get("resume")) if plan.asks_for_new(chunks) else frozenset()
    nodes, role = doors.strings(pillar.get("nodes"), "nodes"), doors.strings(pillar.get("role"), "role")
    selection = plan.Selection(nodes, pillar.get("from_phase"), role, deployed)
    return plan.build(chunks, load_environment(opts, name), noop=noop, selection=selection)


def _deployed(opts: Mapping, name: str, resumes: object) -> frozenset[tuple[str, str]]:
    """Return the nodes that had been deployed before, as ``(role, node)``; what a resumed deployment did is not it."""
    record = journal.of(opts)
    resumed = record.head(str(resumes)) if resumes else None
    return record.known(name, resume.began(resumed) if resumed else None)


def load_environment(opts: Mapping, name: str) -> environment.Environment:
    """Return an environment, its roles resolved against the keys that the master has accepted."""
    return environment.load(
        opts, name, transport.accepted_keys(opts), lambda target, kind: transport.match(opts, target, kind)
    )


def run_phase(order: Order, name: str) -> Result:
    """Run one phase of a deployment; at its first phase the whole scenario is checked and the deployment is begun."""
    if order.test:
        return _rehearse(order, name)
    session = _session(order)
    if session.stopped:
        return Result(False, "not started: the deployment has ended")
    phase = session.plan.phase(name)
    claimed = session.deployment.journal
    claimed.claim(session.plan.environment.name, order.deployment, _door().user)
    try:
        with interrupts.remembered(), transport.Bus(order.opts, session.heard) as bus, session.shown:
            session.deployment, session.bus = _listened(session, bus), bus
            return _run_to_its_end(session, phase, bus, order.opts)
    except BaseException as error:
        # Without the bus there is nobody to tell, but the environment must not stay claimed.
        if not session.stopped:
            session.deployment, session.bus = dataclasses.replace(session.deployment, sinks=()), None
            _fail(session, phase, error)
        raise


def run_single(opts: Mapping, deployment: str, single: plan.Plan) -> Result:
    """Run a plan of one phase outside any scenario, with the same claim, journal and truth."""
    order = Order(opts, deployment, {}, (), False)
    _begin(order, single)
    return run_phase(order, single.phases[0].name)


def begun(deployment: str) -> bool:
    """Whether this process has begun a deployment that did not succeed."""
    return deployment in _sessions


def absent(opts: Mapping, the_plan: plan.Plan) -> dict[str, str]:
    """Return why each node of a plan that cannot be reached cannot, by node."""
    nodes = dict.fromkeys(node for phase in the_plan.phases if not phase.left_out for node in phase.nodes)
    with transport.Bus(opts) as bus:
        return engine.present(bus, nodes, transport.accepted_keys(opts), the_plan.environment.puppet["ping_timeout"])


# -- one phase -------------------------------------------------------------------------------------------------------


def _run_to_its_end(session: _Session, phase: plan.Phase, bus: transport.Bus, opts: Mapping) -> Result:
    """Run a phase, and end the deployment if it is over with it."""
    _announce(session, phase)
    try:
        if phase.number == 1:
            quieting.begin(session.deployment, _door().user, bus)
        result = phases.run(session.deployment, phase, bus, opts)
    except (KeyboardInterrupt, SystemExit):
        return _interrupted(session, phase)
    except Exception as error:
        _fail(session, phase, error)
        raise
    _finish(session, phase, result)
    return result


def _rehearse(order: Order, name: str) -> Result:
    """``test=True``: say which nodes a phase would run, and whether they answer; start no Puppet and record nothing."""
    rehearsed = load_plan(order.opts, order.pillar, order.chunks)
    phase = rehearsed.phase(name)
    if phase.left_out:
        return Result(True, f"would be left out: {phase.left_out}")
    if phase.kind == "confirm":
        return Result(None, f"would wait for an operator: {phase.options['message']}")
    with transport.Bus(order.opts) as bus:
        timeout = phase.options.get("ping_timeout", rehearsed.environment.puppet["ping_timeout"])
        missing = engine.present(bus, phase.nodes, transport.accepted_keys(order.opts), timeout)
    if missing:
        return Result(False, "\n".join(f"{node}: missing, {reason}" for node, reason in missing.items()))
    calling = ", ".join(call.function for call in phase.calls.get("calls", ()))
    verb = {"gate": "would ask", "call": f"would call {calling} for"}.get(phase.kind, "would run Puppet on")
    name = f"gate {phase.gate.name} " if phase.gate else ""
    return Result(None, f"{name}{verb} {', '.join(phase.nodes)}")


# -- the deployment around it ------------------------------------------------------------------------------------------


def _session(order: Order) -> _Session:
    """Return the session of a deployment, begun now if this is its first phase."""
    if order.deployment not in _sessions:
        _begin(order, load_plan(order.opts, order.pillar, order.chunks))
    return _sessions[order.deployment]


def _begin(order: Order, the_plan: plan.Plan) -> None:
    _sessions[order.deployment] = _Session(the_plan, beginning.begin(order, the_plan, _door()), shown_to(order.opts))


def shown_to(opts: Mapping) -> progress.Lines:
    """Return what shows a deployment to who typed the command, if somebody did."""
    return live.sink() if opts.get("__cli") == "salt-run" else progress.Silent()


def _listened(session: _Session, bus: transport.Bus) -> deploying.Deployment:
    """Return the deployment with those who listen to it: the bus, and the terminal of who typed the command."""
    return dataclasses.replace(session.deployment, sinks=(lambda step: bus.fire(step.tag, step.event), session.shown))


def _announce(session: _Session, phase: plan.Phase) -> None:
    deployment, the_plan = session.deployment, session.plan
    if phase.number == 1:
        title = f"{the_plan.environment.name} {the_plan.scenario}"
        deployment.tell(
            "deployment/started",
            id=deployment.id,
            title=title,
            user=_door().user,
            noop=the_plan.noop,
            phases=len(the_plan.phases),
        )
    if phase.left_out:
        deployment.tell_of(phase, "phase/left_out", reason=phase.left_out)


def _finish(session: _Session, phase: plan.Phase, result: Result) -> None:
    """
    End the deployment with its last phase, with the first that fails, or because somebody has asked for that: nothing
    that follows may start.
    """
    stopped_by = session.deployment.stopped_by()
    remains = not result.result or any(not later.left_out for later in session.plan.phases[phase.number :])
    if stopped_by and remains:
        _end(
            session,
            "interrupted",
            f"stopped by {stopped_by} in phase {phase.number}, {phase.name};"
            f" salt-run deployment.resume {session.plan.environment.name} goes on from there",
        )
    elif not result.result:
        _end(session, "failed", f"{phase.name}: {result.reason}")
    elif phase.number == len(session.plan.phases):
        # Another state of the scenario may have failed, and kept a phase from being called.
        never = session.deployment.journal.unfinished(session.deployment.id)
        _end(session, "failed" if never else "succeeded", f"{', '.join(never)}: never begun" if never else "")


def _interrupted(session: _Session, phase: plan.Phase) -> Result:
    interrupts.heeded()
    session.deployment.journal.phase_ended(session.deployment.id, phase.number, "interrupted")
    sentence = (
        f"interrupted in phase {phase.number}, {phase.name}; the runs on the nodes go on,"
        f" and salt-run deployment.resume {session.plan.environment.name} takes up what becomes of them"
    )
    _end(session, "interrupted", sentence)
    return Result(False, sentence)


def _fail(session: _Session, phase: plan.Phase, error: BaseException) -> None:
    """End the deployment for an error, in the phase in which it came."""
    session.stopped = True
    said = str(error) or type(error).__name__
    session.deployment.journal.phase_ended(session.deployment.id, phase.number, "failed", said)
    _end(session, "failed", f"{phase.name}: {said}")


def _end(session: _Session, state: str, reason: str) -> None:
    """
    Record the end and give the environment back; a session that did not succeed is kept, so that no later phase of
    it starts.
    """
    session.stopped = True
    deployment, environment_name = session.deployment, session.plan.environment.name
    if session.bus:
        quieting.end(deployment, session.bus)
    seconds = deployment.journal.ended(deployment.id, state, reason)
    deployment.journal.release(environment_name, deployment.id)
    title = f"{environment_name} {session.plan.scenario}"
    deployment.tell("deployment/ended", title=title, state=state, reason=reason, seconds=seconds)
    if state == "succeeded":
        _sessions.pop(deployment.id, None)


def _door() -> Door:
    return door.get() or Door(journal.user(), "state.orch")
