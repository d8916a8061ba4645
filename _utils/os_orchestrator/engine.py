"""
One pass over the nodes of a phase: start them in a rolling window, hear what they say, and give every one of them a
verdict.

A node goes through stages: calls before, Puppet, calls that check it, calls after; or through calls alone
(``phase.call``). A node's run has an id, and starting a run that exists joins it (``puppet_agent.run``). So a silent
node is simply asked again: after its minion has restarted, when its return was lost, when nobody knows. It is ``lost``
only at its deadline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from os_orchestrator import (
    environment,
    errands,
    journal,
    plan,
    progress,
    resume,
    scheduler,
    transport,
    verdicts,
    waves,
)
from os_orchestrator.node import supervisor
from os_orchestrator.plan import Phase

#: Seconds between two looks at nodes that have said nothing, unless the master's configuration says otherwise.
POLL_INTERVAL = 30
#: Seconds between two looks into the journal: does somebody want the deployment to stop, is a node free that another
#: deployment worked on?
LOOK_INTERVAL = 1
#: How often a node that says nothing is pinged within its ``ping_timeout``.
_PINGS = 3
#: What of a phase's options is an argument of ``puppet_agent.run``.
_ARGUMENTS = (
    "noop",
    "tags",
    "skip_tags",
    "puppet_environment",
    "timeout",
    "lock_timeout",
    "may_fail",
    "mode",
    "manifest",
)


@dataclass(frozen=True)
class Deployment:
    """What a phase needs to know of the deployment that it belongs to."""

    id: str
    plan: plan.Plan
    journal: journal.Journal
    sinks: tuple[progress.Sink, ...]
    poll_interval: float = POLL_INTERVAL
    earlier: resume.Earlier = resume.NOTHING

    def tell(self, what: str, **data) -> None:
        """Record a step and tell everyone who listens; what it tells of is in the journal already."""
        step = progress.Step(what, self.plan.environment.name, self.id, data)
        self.journal.step(self.id, step.what, step.at, step.data)
        for sink in self.sinks:
            sink(step)

    def stopped_by(self) -> str:
        """Return who has asked this deployment to stop, or nothing."""
        asked = self.journal.stop_asked(self.id)
        return asked["user"] if asked else ""

    def tell_of(self, phase: Phase, what: str, **data) -> None:
        self.tell(what, phase=phase.number, name=phase.name, **data)


@dataclass
class _Run:
    """
    A run that goes on on one node, as the master sees it. Times are of the monotonic clock.

    at_work, waits
        Whether Puppet is known to work, and else what it is known to wait for.

    errand
        The calls that are made for it; while there are none, Puppet runs.

    outcome, called
        What became of its Puppet run, once that is over, and of the calls that have ended.
    """

    run_id: str
    attempt: int
    started: float
    deadline: float
    heard: float
    jids: set[str] = field(default_factory=set)
    silent: bool = False
    at_work: bool = False
    waits: str = ""
    errand: errands.Errand | None = None
    outcome: verdicts.Outcome = field(default_factory=lambda: verdicts.Outcome(None))
    called: list[dict] = field(default_factory=list)


def present(bus: transport.Bus, nodes: Iterable[str], accepted: Iterable[str], timeout: float) -> dict[str, str]:
    """
    Return why each node that cannot be reached cannot, by node; empty when all answer.

    Nodes without an accepted key are told at once; the others are pinged and have ``timeout`` seconds to answer.
    """
    nodes, accepted = list(nodes), set(accepted)
    keyed = [node for node in nodes if node in accepted]
    silence = f"its minion gave no answer to a ping within {timeout:g} s; is salt-minion running there?"
    try:
        answered = bus.call(keyed, "test.ping", timeout, times=_PINGS)
    except transport.Unreachable as error:
        answered, silence = {}, f"it could not be asked: {error}"
    absent = {node: "it has no accepted key; see salt-key -L" for node in nodes if node not in accepted}
    for node in keyed:
        if node not in answered or answered[node].answer is not True:
            absent[node] = silence
    return absent


class Pass:
    """
    One Puppet run on every node of a phase, or its calls; :meth:`run` returns a verdict for each of them.

    It writes each step to the journal before it tells anyone. SystemExit and KeyboardInterrupt pass through; the
    runs on the nodes go on then.
    """

    def __init__(
        self, deployment: Deployment, phase: Phase, bus: transport.Bus, accepted: Iterable[str], number: int = 1
    ):
        self._deployment, self._phase, self._bus = deployment, phase, bus
        self._accepted, self.number = accepted, number
        options = phase.options
        self._allowed = scheduler.allowance(options["max_failures"], len(phase.nodes))
        kept = deployment.earlier.kept.get((phase.name, number), {})
        self._kept = {node: kept[node] for node in phase.nodes if node in kept}
        self._unheard = deployment.earlier.unheard.get((phase.name, number), {})
        self._window = scheduler.Window((), 1)
        self._wave = 0
        self._noop = deployment.plan.noop or options["noop"]
        self._patience = options["lock_timeout"] + options["timeout"] + supervisor.GRACE + options["grace"]
        self._retries = dict(options.get("retries") or {})
        self._running: dict[str, _Run] = {}
        self._attempts: dict[str, int] = {}
        self._held: dict[str, float] = {}
        self._looks: dict[str, set[str]] = {}
        self._questions: set[str] = set()
        self._errands: dict[str, str] = {}
        self._looked = time.monotonic()
        self._outcomes: dict[str, verdicts.Outcome] = {}
        self._stopped_by = ""
        self._heeded = float(-LOOK_INTERVAL)

    def run(self) -> dict[str, verdicts.Outcome]:
        """Return an outcome for every node of the phase, in the phase's order."""
        for node, where in self._kept.items():
            self._record(node, verdicts.Outcome("kept", where))
        try:
            self._open_the_window()
            while not self._window.finished:
                self._heed_a_stop()
                self._launch(self._start())
                self._hear(self._bus.next(self._until_something_is_due()))
                self._go_on_with_errands()
                self._give_up_the_lost()
                self._look_after_the_silent()
        except (KeyboardInterrupt, SystemExit):
            self._leave()
            raise
        self._skip(self._window.waiting)
        return {node: self._outcomes[node] for node in self._phase.nodes}

    # -- starting ------------------------------------------------------------------------------------------------

    def _open_the_window(self) -> None:
        """Find out who is there, and who belongs to which wave; those who are not there count as failed."""
        options, phase = self._phase.options, self._phase
        left = [node for node in phase.nodes if node not in self._kept]
        elsewhere = phase.kind == "call" and all(call.role for call in phase.calls["calls"])
        absent = {} if elsewhere else present(self._bus, left, self._accepted, options["ping_timeout"])
        there = [node for node in left if node not in absent]
        groups, homeless = waves.groups(phase, there, self._bus, self._allowed)
        self._window = scheduler.Window(groups, options["concurrency"], self._allowed, len(absent) + len(homeless))
        for verdict, nodes in (("missing", absent), ("not_started", homeless)):
            for node, reason in nodes.items():
                self._record(node, verdicts.Outcome(verdict, reason))
        if {*absent, *homeless} & set(waves.canary(phase)):
            self._window.stop()
        if len(groups) > 1:
            self._deployment.journal.phase_waves(self._deployment.id, phase.number, [list(g.nodes) for g in groups])

    def _start(self) -> list[str]:
        """Return the nodes that start now; a wave's first ones are told of first."""
        nodes, window = self._window.start(), self._window
        if nodes and len(window.groups) > 1 and window.present + 1 != self._wave:
            self._wave, wave = window.present + 1, window.groups[window.present].nodes
            told = {"wave": self._wave, "waves": len(window.groups), "nodes": list(wave)}
            self._deployment.tell_of(self._phase, "wave/started", canary=self._is_canary(window.present), **told)
        return nodes

    def _is_canary(self, group: int) -> bool:
        return self._window.groups[group].nodes[0] in waves.canary(self._phase)

    def _heed_a_stop(self) -> None:
        """Start nothing more when somebody has asked for that, as is looked each second; what runs is waited for."""
        now = time.monotonic()
        if self._stopped_by or now < self._heeded + LOOK_INTERVAL:
            return
        self._heeded, self._stopped_by = now, self._deployment.stopped_by()
        if self._stopped_by:
            self._window.stop()

    def _launch(self, nodes: list[str]) -> None:
        """Start nodes with one publish for all that have the same run id; those that others work on wait."""
        if not nodes:
            return
        attempts = {node: self._attempts.get(node, 0) + 1 for node in nodes}
        run_ids = {node: self._run_id(node, attempts[node]) for node in nodes}
        held = self._deployment.journal.runs_started(
            self._deployment.id,
            self._phase.number,
            [(node, run_ids[node], attempts[node]) for node in nodes],
            self.number,
        )
        by_run_id: dict[str, list[str]] = {}
        for node in nodes:
            if node in held:
                self._hold(node, attempts[node], held[node])
                continue
            run_id, attempt, now = run_ids[node], attempts[node], time.monotonic()
            self._attempts[node] = attempt
            self._held.pop(node, None)
            self._running[node] = _Run(run_id, attempt, now, now + self._patience, now)
            self._deployment.tell_of(self._phase, "node/started", node=node, attempt=attempt, run_id=run_id)
            if self._phase.kind == "call":
                self._send_on_an_errand(node, "calls")
            elif self._calls("before"):
                self._send_on_an_errand(node, "before")
            else:
                by_run_id.setdefault(run_id, []).append(node)
        for run_id, group in by_run_id.items():
            self._ask(group, run_id)

    def _hold(self, node: str, attempt: int, claim: journal.Claim) -> None:
        """
        A node on which another deployment runs Puppet waits behind the others, for ``lock_timeout`` as it would for
        a run of the agent's own.
        """
        now = time.monotonic()
        whose = f"deployment {claim.deployment} of environment {claim.environment} runs Puppet there"
        if now - self._held.setdefault(node, now) >= self._phase.options["lock_timeout"]:
            waited = progress.duration(now - self._held[node])
            self._window.end(node, False)
            self._record(node, verdicts.Outcome("busy", f"not started: {whose}, waited {waited} (lock_timeout)"))
            return
        if now == self._held[node]:
            self._note(node, f"waits, {whose}", attempt)
        self._window.again(node)

    def _run_id(self, node: str, attempt: int) -> str:
        """Return the id of a run: in a resumed deployment, that of the run whose outcome nobody has heard yet."""
        if attempt == 1 and node in self._unheard:
            return self._unheard[node]
        return f"{self._deployment.id}-{self._phase.number}-{self.number}-{attempt}"

    def _ask(self, nodes: list[str], run_id: str) -> None:
        """Send ``puppet_agent.run``: it starts the run, joins it, or reports it when it is over."""
        arguments = {
            name: self._phase.options[name] for name in _ARGUMENTS if self._phase.options.get(name) not in (None, ())
        }
        env = self._deployment.plan.environment
        if env.quiet_agents:
            arguments["quiet_owner"] = env.name
        try:
            jid = self._bus.publish(nodes, "puppet_agent.run", {**arguments, "noop": self._noop, "run_id": run_id})
        except transport.Unreachable as error:
            for node in nodes:
                self._note(node, f"could not be asked: {error}")
            return
        for node in nodes:
            self._running[node].jids.add(jid)

    # -- hearing -------------------------------------------------------------------------------------------------

    def _until_something_is_due(self) -> float:
        """Return the seconds until the next deadline or look, at least a little."""
        now = time.monotonic()
        due = [run.errand.due if run.errand else run.deadline for run in self._running.values()]
        due.append(self._looked + self._deployment.poll_interval)
        return max(0.05, min(*due, now + LOOK_INTERVAL) - now)

    def _hear(self, heard: transport.Return | transport.Started | None) -> None:
        if isinstance(heard, transport.Return) and heard.jid in self._errands:
            self._follow(self._errands[heard.jid], heard)
            return
        if heard is None or heard.node not in self._running or self._running[heard.node].errand:
            return
        run = self._running[heard.node]
        if isinstance(heard, transport.Started):
            self._ask([heard.node], run.run_id)
        elif heard.jid in self._looks:
            self._looks[heard.jid].discard(heard.node)
            self._seen(heard.node, heard.answer)
        elif heard.jid in self._questions:
            self._learn(heard.node, heard.answer)
        elif heard.jid in run.jids:
            outcome = verdicts.judge(heard.answer, heard.retcode, run_id=run.run_id, noop=self._noop)
            if outcome.verdict is not None:
                self._settle(heard.node, outcome)

    def _settle(self, node: str, outcome: verdicts.Outcome) -> None:
        """Puppet's run is over: record it and try again if the phase says so; else see whether the node is well."""
        run = self._running[node]
        if run.attempt <= self._retries.get(outcome.verdict, 0) and not self._window.stopped:
            self._record(node, outcome, self._running.pop(node))
            self._window.again(node)
            return
        outcome = self._as_expected(outcome)
        if outcome.good and self._calls("check"):
            run.outcome = outcome
            self._send_on_an_errand(node, "check")
        else:
            self._close(node, outcome)

    def _as_expected(self, outcome: verdicts.Outcome) -> verdicts.Outcome:
        """Return an outcome as the phase sees it: where all is to be as it was, what changed has drifted."""
        if self._phase.options.get("expect") != "unchanged" or not outcome.good or outcome.verdict == "unchanged":
            return outcome
        if outcome.verdict == "tolerated" and not outcome.resources.get("changed"):
            return outcome
        return dataclasses.replace(outcome, verdict="drifted", reason=progress.drift(outcome.details))

    def _close(self, node: str, outcome: verdicts.Outcome) -> None:
        """A node is as far as it gets: make the calls that stand at its end, then record what became of it."""
        run = self._running[node]
        run.outcome = outcome
        calls = [call for call in self._calls("after") if outcome.good or call.always]
        # Where nobody knows whether Puppet still runs, nothing is put back.
        if calls and outcome.verdict != "lost":
            self._send_on_an_errand(node, "after", calls)
        else:
            self._end(node, outcome)

    def _end(self, node: str, outcome: verdicts.Outcome) -> None:
        self._record(node, outcome, self._running.pop(node))
        self._window.end(node, outcome.good)

    def _record(self, node: str, outcome: verdicts.Outcome, run: _Run | None = None) -> None:
        attempt = run.attempt if run else self._attempts.get(node, 1)
        if run and run.called:
            outcome = dataclasses.replace(outcome, details={**outcome.details, "calls": run.called})
        self._outcomes[node] = outcome
        self._deployment.journal.run_ended(
            self._deployment.id, self._phase.number, node, run.run_id if run else "", attempt, outcome, self.number
        )
        said = progress.did(outcome.verdict, outcome.reason, outcome.details)
        self._deployment.tell_of(
            self._phase,
            "node/ended",
            node=node,
            attempt=attempt,
            verdict=outcome.verdict,
            good=outcome.good,
            seconds=outcome.seconds,
            did=said,
        )

    # -- errands -------------------------------------------------------------------------------------------------

    def _calls(self, what: str) -> tuple[environment.Call, ...]:
        """Return the calls of the phase that play a part; none when nothing is to be changed."""
        return () if self._noop else self._phase.calls.get(what, ())

    def _send_on_an_errand(self, node: str, what: str, calls: Iterable[environment.Call] | None = None) -> None:
        roles = self._deployment.plan.environment.roles
        errand = errands.Errand(what, node, self._calls(what) if calls is None else calls, roles, self._bus)
        self._running[node].errand = errand
        self._follow(node)

    def _follow(self, node: str, heard: transport.Return | None = None) -> None:
        """Go on with the calls for a node: note what is new, or take the node to its next stage."""
        run = self._running[node]
        errand = run.errand
        if errand is None:
            return
        if heard:
            errand.hear(heard)
        else:
            errand.go_on()
        if errand.jid:
            self._errands[errand.jid] = node
        if not errand.over:
            if errand.now != run.waits:
                run.waits = errand.now
                self._note(node, errand.now)
            return
        self._errands = {jid: each for jid, each in self._errands.items() if each != node}
        run.errand, run.waits = None, ""
        run.called += errand.rows
        self._next_stage(node, run, errand)

    def _next_stage(self, node: str, run: _Run, errand: errands.Errand) -> None:
        failed = f"{errand.what}: {errand.failed}" if errand.failed else ""
        if errand.what == "calls":
            verdict = "lost" if errand.silent else "failed" if failed else "done"
            said = errand.failed or (errand.rows[-1]["said"] if errand.rows else "its calls are on roles without nodes")
            self._close(node, verdicts.Outcome(verdict, said, time.monotonic() - run.started))
        elif errand.what == "before" and failed:
            self._close(node, verdicts.Outcome("not_started", failed))
        elif errand.what == "before":
            now = time.monotonic()
            run.heard, run.deadline = now, now + self._patience
            self._note(node, "its Puppet run")
            self._ask([node], run.run_id)
        elif errand.what == "check" and failed:
            self._close(node, dataclasses.replace(run.outcome, verdict="failed", reason=failed))
        elif errand.what == "check":
            self._close(node, run.outcome)
        elif failed:
            reason = "; ".join(filter(None, (run.outcome.reason, failed)))
            bad = "failed" if run.outcome.good else run.outcome.verdict
            self._end(node, dataclasses.replace(run.outcome, verdict=bad, reason=reason))
        else:
            self._end(node, run.outcome)

    def _go_on_with_errands(self) -> None:
        """Ask again what did not hold, and take silence for an answer, where that is due."""
        for node in [node for node, run in self._running.items() if run.errand]:
            self._follow(node)

    # -- silence -------------------------------------------------------------------------------------------------

    def _look_after_the_silent(self) -> None:
        """
        Ask nodes that run, every now and then, whether their job is alive; one whose job is not is asked for its
        run again.
        """
        now = time.monotonic()
        if not self._running or now < self._looked + self._deployment.poll_interval:
            return
        self._looked = now
        for node in set().union(*self._looks.values()) & self._running.keys():
            if not self._running[node].errand:
                self._grow_silent(node)
        for jid in self._looks:
            self._bus.forget(jid)
        self._looks.clear()
        at_puppet = {node: run for node, run in self._running.items() if not run.errand}
        for node, run in at_puppet.items():
            if not run.jids:
                self._ask([node], run.run_id)
        if not at_puppet:
            return
        try:
            jid = self._bus.publish(at_puppet, "saltutil.is_running", args=["puppet_agent.run"])
        except transport.Unreachable:
            return
        self._looks[jid] = set(at_puppet)
        self._ask_what_they_wait_for()

    def _ask_what_they_wait_for(self) -> None:
        """Ask nodes on which Puppet is not known to work how far their runs are."""
        by_run_id: dict[str, list[str]] = {}
        for node, run in self._running.items():
            if not run.at_work and not run.errand:
                by_run_id.setdefault(run.run_id, []).append(node)
        for jid in self._questions:
            self._bus.forget(jid)
        self._questions.clear()
        for run_id, nodes in by_run_id.items():
            with contextlib.suppress(transport.Unreachable):
                self._questions.add(self._bus.publish(nodes, "puppet_agent.status", {"run_id": run_id}))

    def _learn(self, node: str, answer: object) -> None:
        """A node has said how far its run is; whose lock it waits for is noted, and that it waits no more."""
        run = self._running[node]
        if not isinstance(answer, Mapping) or answer.get("run_id") != run.run_id:
            return
        run.at_work = answer.get("phase") == "running"
        holder = answer.get("waiting_for_lock") if answer.get("phase") == "waiting" else None
        waits = f"waits for Puppet's lock, held by {_holder(holder)}" if isinstance(holder, Mapping) else ""
        if waits != run.waits:
            run.waits = waits
            self._note(node, waits or "waits no longer for Puppet's lock")

    def _seen(self, node: str, jobs: object) -> None:
        """
        A node has said which runs its minion works on. Ours among them: all is well; else ask for it again, it joins.
        """
        run = self._running[node]
        run.heard = time.monotonic()
        if run.silent:
            run.silent = False
            self._note(node, "answers again")
        alive = (
            {str(job.get("jid")) for job in jobs if isinstance(job, Mapping)}
            if isinstance(jobs, (list, tuple))
            else set()
        )
        if not alive & run.jids:
            self._ask([node], run.run_id)

    def _grow_silent(self, node: str) -> None:
        run = self._running[node]
        if not run.silent:
            run.silent = True
            self._note(
                node,
                f"silent since {progress.clock(time.time() - (time.monotonic() - run.heard))}; its run may go on",
            )

    def _note(self, node: str, note: str, attempt: int | None = None) -> None:
        attempt = attempt or self._running[node].attempt
        self._deployment.journal.run_noted(self._deployment.id, self._phase.number, node, attempt, note, self.number)
        self._deployment.tell_of(self._phase, "node/noted", node=node, note=note)

    def _give_up_the_lost(self) -> None:
        now = time.monotonic()
        for node in [node for node, run in self._running.items() if now >= run.deadline and not run.errand]:
            silent = progress.duration(now - self._running[node].heard)
            waited = progress.duration(now - self._running[node].started)
            reason = (
                f"no outcome after {waited}, last heard {silent} ago; it may still run: salt {node} puppet_agent.status"
            )
            self._settle(node, verdicts.Outcome("lost", reason))

    # -- ending --------------------------------------------------------------------------------------------------

    def _skip(self, nodes: Iterable[str]) -> None:
        outcome = verdicts.Outcome("skipped", f"not started: {self._why_stopped()}")
        if self._stopped_by:
            outcome = verdicts.Outcome("interrupted", f"not started: {self._stopped_by} stopped the deployment")
        for node in nodes:
            if node not in self._outcomes:
                self._record(node, outcome)

    def _why_stopped(self) -> str:
        bad = {node for node, outcome in self._outcomes.items() if not outcome.good}
        first, broken = bad & set(waves.canary(self._phase)), self._window.broken
        if first:
            return f"{', '.join(sorted(first))} failed, and goes first (canary)"
        if broken is not None:
            group = self._window.groups[broken]
            return f"{len(bad & set(group.nodes))} of wave {broken + 1} failed, {group.max_failures} may (waves)"
        return f"{len(bad)} failed, {self._allowed} may (max_failures)"

    def _leave(self) -> None:
        """
        The operator has ended the deployment: nothing more starts; runs on the nodes go on, without a verdict so far.
        """
        for node in self._phase.nodes:
            if node not in self._outcomes and node not in self._running:
                self._record(node, verdicts.Outcome("interrupted", "not started: the deployment was interrupted"))
        for node, run in self._running.items():
            where = f"left at {run.errand.now}" if run.errand else "goes on on its node"
            self._note(node, f"{where}, the deployment was interrupted")


def _holder(holder: Mapping) -> str:
    """Return who holds a lock, as a node says it."""
    pid = f" (pid {holder['pid']})" if type(holder.get("pid")) is int else ""
    return f"{verdicts.text(holder.get('command') or 'another Puppet', 120)}{pid}"


def in_words(outcomes: Mapping[str, verdicts.Outcome]) -> str:
    """Return what became of a pass in one sentence."""
    bad = [node for node, outcome in outcomes.items() if not outcome.good]
    if not bad:
        return ""
    # Those that were not started are so because of others.
    node = next((node for node in bad if outcomes[node].verdict != "skipped"), bad[0])
    because = f" ({outcomes[node].reason})" if outcomes[node].reason else ""
    others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{len(bad)} of {len(outcomes)} nodes bad: {node} {outcomes[node].verdict}{because}{others}"
