"""
Puppet's runs on the nodes of a pass, as the master hears of them: asked for, heard, and found again when they are
silent.
"""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from os_orchestrator import deploying, dues, errands, progress, transport, verdicts
from os_orchestrator.node import supervisor
from os_orchestrator.plan import Phase

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
#: How many nodes are looked after at once: those whose turn was longest ago. The answers of ten thousand would take
#: the master longer than the time between two looks.
_LOOKED_AT = 500


@dataclass
class Run:
    """
    A run that goes on on one node, as the master sees it. Times are of the monotonic clock: when it began, when its
    node was last heard, and when it was last looked after.

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
    heard: float
    jids: set[str] = field(default_factory=set)
    looked: float = 0.0
    silent: bool = False
    at_work: bool = False
    waits: str = ""
    errand: errands.Errand | None = None
    outcome: verdicts.Outcome = field(default_factory=lambda: verdicts.Outcome(None))
    called: list[dict] = field(default_factory=list)


class Runs:
    """
    The runs of one pass that go on, by node in ``going``; those that are on an errand are somebody else's for so long.
    """

    def __init__(self, deployment: deploying.Deployment, phase: Phase, bus: transport.Bus, number: int):
        self.going: dict[str, Run] = {}
        self.noop = deployment.plan.noop or phase.options["noop"]
        self._deployment, self._phase, self._bus, self._number = deployment, phase, bus, number
        options = phase.options
        self._patience = options["lock_timeout"] + options["timeout"] + supervisor.GRACE + options["grace"]
        self._deadlines = dues.Dues()
        self._looks: dict[str, set[str]] = {}
        self._questions: set[str] = set()
        self._looked = time.monotonic()

    def begin(self, node: str, run_id: str, attempt: int) -> None:
        """A node is at work from now on."""
        now = time.monotonic()
        self.going[node] = Run(run_id, attempt, now, now)
        self._deadlines.set(node, now + self._patience)

    def begin_puppet(self, node: str) -> None:
        """Its calls are done: ask for its Puppet run, whose time begins now."""
        run, now = self.going[node], time.monotonic()
        run.heard = now
        self._deadlines.set(node, now + self._patience)
        self.note(node, "its Puppet run")
        self.ask([node], run.run_id)

    def ask(self, nodes: list[str], run_id: str) -> None:
        """Send ``puppet_agent.run``: it starts the run, joins it, or reports it when it is over."""
        arguments = {
            name: self._phase.options[name] for name in _ARGUMENTS if self._phase.options.get(name) not in (None, ())
        }
        env = self._deployment.plan.environment
        if env.quiet_agents:
            arguments["quiet_owner"] = env.name
        try:
            jid = self._bus.publish(nodes, "puppet_agent.run", {**arguments, "noop": self.noop, "run_id": run_id})
        except transport.Unreachable as error:
            for node in nodes:
                self.note(node, f"could not be asked: {error}")
            return
        for node in nodes:
            self.going[node].jids.add(jid)

    @property
    def due(self) -> float:
        """When a run is lost, or is to be looked after, by the monotonic clock."""
        return min(self._deadlines.first, self._looked + self._deployment.poll_interval)

    def hear(self, heard: transport.Return | transport.Started) -> verdicts.Outcome | None:
        """Take what a node that runs Puppet has said, and return the outcome of its run, if that is what it was."""
        run = self.going[heard.node]
        if isinstance(heard, transport.Started):
            self.ask([heard.node], run.run_id)
        elif heard.jid in self._looks:
            self._looks[heard.jid].discard(heard.node)
            self._seen(heard.node, heard.answer)
        elif heard.jid in self._questions:
            self._learn(heard.node, heard.answer)
        elif heard.jid in run.jids:
            outcome = verdicts.judge(heard.answer, heard.retcode, run_id=run.run_id, noop=self.noop)
            return outcome if outcome.verdict is not None else None
        return None

    def over(self) -> dict[str, verdicts.Outcome]:
        """
        Return what became of the runs whose deadline is over: they are lost, unless the master has an answer whose
        event has not come yet.
        """
        now = time.monotonic()
        over = {node: self.going[node] for node in self._deadlines.over(now) if node in self.going}
        return {
            node: self._stored(node, run) or verdicts.Outcome("lost", _why_lost(node, run, now))
            for node, run in over.items()
            if not run.errand
        }

    def _stored(self, node: str, run: Run) -> verdicts.Outcome | None:
        answers = filter(None, (self._bus.stored(jid, node) for jid in run.jids))
        return next(filter(None, map(self.hear, answers)), None)

    def end(self, node: str) -> Run:
        """A node is at work no more; returns what its run was."""
        self._deadlines.drop(node)
        return self.going.pop(node)

    def look_after_the_silent(self) -> None:
        """
        Ask nodes that run, every now and then and some at a time, whether their job is alive; one whose job is not is
        asked for its run again.
        """
        now = time.monotonic()
        if not self.going or now < self._looked + self._deployment.poll_interval:
            return
        self._looked = now
        for node in set().union(*self._looks.values()) & self.going.keys():
            if not self.going[node].errand:
                self._grow_silent(node)
        for jid in self._looks:
            self._bus.forget(jid)
        self._looks.clear()
        at_puppet = {node: run for node, run in self.going.items() if not run.errand}
        for node, run in at_puppet.items():
            if not run.jids:
                self.ask([node], run.run_id)
        turn = heapq.nsmallest(_LOOKED_AT, at_puppet, key=lambda node: at_puppet[node].looked)
        if not turn:
            return
        try:
            jid = self._bus.publish(turn, "saltutil.is_running", args=["puppet_agent.run"])
        except transport.Unreachable:
            return
        self._looks[jid] = set(turn)
        for node in turn:
            self.going[node].looked = now
        self._ask_what_they_wait_for(turn)

    def _ask_what_they_wait_for(self, turn: list[str]) -> None:
        """Ask nodes on which Puppet is not known to work how far their runs are."""
        by_run_id: dict[str, list[str]] = {}
        for node in turn:
            if not self.going[node].at_work:
                by_run_id.setdefault(self.going[node].run_id, []).append(node)
        for jid in self._questions:
            self._bus.forget(jid)
        self._questions.clear()
        for run_id, nodes in by_run_id.items():
            with contextlib.suppress(transport.Unreachable):
                self._questions.add(self._bus.publish(nodes, "puppet_agent.status", {"run_id": run_id}))

    def _learn(self, node: str, answer: object) -> None:
        """A node has said how far its run is; whose lock it waits for is noted, and that it waits no more."""
        run = self.going[node]
        if not isinstance(answer, Mapping) or answer.get("run_id") != run.run_id:
            return
        run.at_work = answer.get("phase") == "running"
        holder = answer.get("waiting_for_lock") if answer.get("phase") == "waiting" else None
        waits = f"waits for Puppet's lock, held by {_holder(holder)}" if isinstance(holder, Mapping) else ""
        if waits != run.waits:
            run.waits = waits
            self.note(node, waits or "waits no longer for Puppet's lock")

    def _seen(self, node: str, jobs: object) -> None:
        """
        A node has said which runs its minion works on. Ours among them: all is well; else ask for it again, it joins.
        """
        run = self.going[node]
        run.heard = time.monotonic()
        if run.silent:
            run.silent = False
            self.note(node, "answers again")
        alive = (
            {str(job.get("jid")) for job in jobs if isinstance(job, Mapping)}
            if isinstance(jobs, (list, tuple))
            else set()
        )
        if not alive & run.jids:
            self.ask([node], run.run_id)

    def _grow_silent(self, node: str) -> None:
        run = self.going[node]
        if not run.silent:
            run.silent = True
            self.note(
                node,
                f"silent since {progress.clock(time.time() - (time.monotonic() - run.heard))}; its run may go on",
            )

    def note(self, node: str, note: str, attempt: int | None = None) -> None:
        """Record what is known of a node that has no verdict yet, and tell it."""
        attempt = attempt or self.going[node].attempt
        self._deployment.journal.run_noted(self._deployment.id, self._phase.number, node, attempt, note, self._number)
        self._deployment.tell_of(self._phase, "node/noted", node=node, note=note)


def _why_lost(node: str, run: Run, now: float) -> str:
    silent, waited = progress.duration(now - run.heard), progress.duration(now - run.started)
    return f"no outcome after {waited}, last heard {silent} ago; it may still run: salt {node} puppet_agent.status"


def _holder(holder: Mapping) -> str:
    """Return who holds a lock, as a node says it."""
    pid = f" (pid {holder['pid']})" if type(holder.get("pid")) is int else ""
    return f"{verdicts.text(holder.get('command') or 'another Puppet', 120)}{pid}"
