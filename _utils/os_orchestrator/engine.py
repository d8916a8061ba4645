"""
One pass over the nodes of a phase: start them in a rolling window, hear what they say, and give every one of them a
verdict.

A node goes through stages: calls before, Puppet, calls that check it, calls after; or through calls alone
(``phase.call``). A node's run has an id, and starting a run that exists joins it (``puppet_agent.run``). So a silent
node is simply asked again: after its minion has restarted, when its return was lost, when nobody knows. It is ``lost``
only at its deadline.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterable, Mapping

from os_orchestrator import (
    deploying,
    dues,
    environment,
    errands,
    journal,
    progress,
    runs,
    scheduler,
    transport,
    verdicts,
    waves,
)
from os_orchestrator.plan import Phase

#: How often a node that says nothing is pinged within its ``ping_timeout``.
_PINGS = 3
_WHAT_LIES_BETWEEN = "do salt-minion there and the syndic above it run, and has its own master accepted its key?"
#: How many answers are taken together, at most, before free places are filled.
_AT_ONCE = 100
#: Seconds for which more answers are waited for while nodes wait for a place: a job costs the master some 30 ms, for
#: one node as for many.
_GATHER = 0.1


def present(
    bus: transport.Bus, nodes: Iterable[str], accepted: Collection[str] | None, timeout: float
) -> dict[str, str]:
    """
    Return why each node that cannot be reached cannot, by node; empty when all answer.

    Nodes without an accepted key are told at once. Of the others, those that have answered nothing within the last
    ``timeout`` seconds are pinged, and have as long to answer. Where nobody knows who has a key (None, see
    :func:`transport.accepted_keys`) a key is not asked for.
    """
    nodes = list(nodes)
    keyless = [] if accepted is None else [node for node in nodes if node not in accepted]
    absent = dict.fromkeys(keyless, "it has no accepted key; see salt-key -L")
    silent = bus.silent((node for node in nodes if node not in absent), timeout)
    question = "is salt-minion running there?" if accepted is not None else _WHAT_LIES_BETWEEN
    silence = f"its minion gave no answer to a ping within {timeout:g} s; {question}"
    try:
        answered = bus.call(silent, "test.ping", timeout, times=_PINGS)
    except transport.Unreachable as error:
        answered, silence = {}, f"it could not be asked: {error}"
    for node in silent:
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
        self,
        deployment: deploying.Deployment,
        phase: Phase,
        bus: transport.Bus,
        accepted: Collection[str] | None,
        number: int = 1,
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
        self._runs = runs.Runs(deployment, phase, bus, number)
        self._running = self._runs.going
        self._retries = dict(options.get("retries") or {})
        self._attempts: dict[str, int] = {}
        self._held: dict[str, float] = {}
        self._errands: dict[str, str] = {}
        self._errands_due = dues.Dues()
        self._outcomes: dict[str, verdicts.Outcome] = {}
        self._stopped_by = ""
        self._heeded = float(-deploying.LOOK_INTERVAL)

    def run(self) -> dict[str, verdicts.Outcome]:
        """Return an outcome for every node of the phase, in the phase's order."""
        for node, outcome in self._kept.items():
            self._record(node, outcome)
        try:
            with self._deployment.journal.kept_open():
                self._open_the_window()
                while not self._window.finished:
                    self._heed_a_stop()
                    self._launch(self._start())
                    heard = self._bus.next(self._until_something_is_due())
                    with self._deployment.together():
                        self._hear_all(heard)
                        self._go_on_with_errands()
                        self._end_the_overdue()
                    self._runs.look_after_the_silent()
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
        if self._stopped_by or now < self._heeded + deploying.LOOK_INTERVAL:
            return
        self._heeded, self._stopped_by = now, self._deployment.stopped_by()
        if self._stopped_by:
            self._window.stop()

    def _launch(self, nodes: list[str]) -> None:
        """Start nodes with one publish for all that have the same run id; those that others work on wait."""
        if not nodes:
            return
        # What is asked of a node is on record before.
        with self._deployment.together():
            begun = self._begin(nodes)
        by_run_id: dict[str, list[str]] = {}
        for node in begun:
            if self._phase.kind == "call":
                self._send_on_an_errand(node, "calls")
            elif self._calls("before"):
                self._send_on_an_errand(node, "before")
            else:
                by_run_id.setdefault(self._running[node].run_id, []).append(node)
        for run_id, group in by_run_id.items():
            self._runs.ask(group, run_id)

    def _begin(self, nodes: list[str]) -> list[str]:
        """Record and tell that nodes start, and return them without those that have to wait for others."""
        attempts = {node: self._attempts.get(node, 0) + 1 for node in nodes}
        run_ids = {node: self._run_id(node, attempts[node]) for node in nodes}
        held = self._deployment.journal.runs_started(
            self._deployment.id,
            self._phase.number,
            [(node, run_ids[node], attempts[node]) for node in nodes],
            self.number,
        )
        for node in nodes:
            if node in held:
                self._hold(node, attempts[node], held[node])
                continue
            run_id, attempt = run_ids[node], attempts[node]
            self._attempts[node] = attempt
            self._held.pop(node, None)
            self._runs.begin(node, run_id, attempt)
            self._deployment.tell_of(self._phase, "node/started", node=node, attempt=attempt, run_id=run_id)
        return [node for node in nodes if node not in held]

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
            self._runs.note(node, f"waits, {whose}", attempt)
        self._window.again(node)

    def _run_id(self, node: str, attempt: int) -> str:
        """Return the id of a run: in a resumed deployment, that of the run whose outcome nobody has heard yet."""
        if attempt == 1 and node in self._unheard:
            return self._unheard[node]
        return f"{self._deployment.id}-{self._phase.number}-{self.number}-{attempt}"

    # -- hearing -------------------------------------------------------------------------------------------------

    def _until_something_is_due(self) -> float:
        """Return the seconds until the next deadline or look, at least a little."""
        now = time.monotonic()
        return max(0.05, min(self._errands_due.first, self._runs.due, now + deploying.LOOK_INTERVAL) - now)

    def _hear_all(self, heard: transport.Return | transport.Started | None) -> None:
        """
        Take what was heard, and with it what else is there already; where nodes wait, also what comes within a moment,
        so that one job starts those that follow.
        """
        until = time.monotonic() + (_GATHER if heard and self._window.waiting_now else 0)
        for _ in range(_AT_ONCE):
            if heard is None:
                return
            self._hear(heard)
            heard = self._bus.next(max(0.0, until - time.monotonic()))
        self._hear(heard)

    def _hear(self, heard: transport.Return | transport.Started | None) -> None:
        if isinstance(heard, transport.Return) and heard.jid in self._errands:
            self._follow(self._errands[heard.jid], heard)
            return
        if heard is None or heard.node not in self._running or self._running[heard.node].errand:
            return
        outcome = self._runs.hear(heard)
        if outcome:
            self._settle(heard.node, outcome)

    def _end_the_overdue(self) -> None:
        for node, outcome in self._runs.over().items():
            self._settle(node, outcome)

    def _settle(self, node: str, outcome: verdicts.Outcome) -> None:
        """Puppet's run is over: see whether the node is well."""
        outcome = self._as_expected(outcome)
        if outcome.good and self._calls("check"):
            self._running[node].outcome = outcome
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
        if self._tried_again(node, outcome):
            return
        self._running[node].outcome = outcome
        calls = [call for call in self._calls("after") if outcome.good or call.always]
        # Where nobody knows whether Puppet still runs, nothing is put back.
        if calls and outcome.verdict != "lost":
            self._send_on_an_errand(node, "after", calls)
        else:
            self._end(node, outcome)

    def _tried_again(self, node: str, outcome: verdicts.Outcome) -> bool:
        """Record what became of a node and let it begin anew, if the phase says so of its verdict."""
        if self._running[node].attempt > self._retries.get(outcome.verdict, 0) or self._window.stopped:
            return False
        self._record(node, outcome, self._runs.end(node))
        self._window.again(node)
        return True

    def _end(self, node: str, outcome: verdicts.Outcome) -> None:
        self._record(node, outcome, self._runs.end(node))
        self._window.end(node, outcome.good)

    def _record(self, node: str, outcome: verdicts.Outcome, run: runs.Run | None = None) -> None:
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
        return () if self._runs.noop else self._phase.calls.get(what, ())

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
        self._errands.pop(errand.jid, None)
        if heard:
            errand.hear(heard)
        else:
            errand.go_on()
        if not errand.over:
            if errand.jid:
                self._errands[errand.jid] = node
            self._errands_due.set(node, errand.due)
            if errand.now != run.waits:
                run.waits = errand.now
                self._runs.note(node, errand.now)
            return
        self._errands_due.drop(node)
        run.errand, run.waits = None, ""
        run.called += errand.rows
        self._next_stage(node, run, errand)

    def _next_stage(self, node: str, run: runs.Run, errand: errands.Errand) -> None:
        failed = f"{errand.what}: {errand.failed}" if errand.failed else ""
        if errand.what == "calls":
            verdict = "lost" if errand.silent else "failed" if failed else "done"
            said = errand.failed or (errand.rows[-1]["said"] if errand.rows else "its calls are on roles without nodes")
            self._close(node, verdicts.Outcome(verdict, said, time.monotonic() - run.started))
        elif errand.what == "before" and failed:
            self._close(node, verdicts.Outcome("not_started", failed))
        elif errand.what == "before":
            self._runs.begin_puppet(node)
        elif errand.what == "check" and failed:
            self._close(node, dataclasses.replace(run.outcome, verdict="failed", reason=failed))
        elif errand.what == "check":
            self._close(node, run.outcome)
        elif failed:
            reason = "; ".join(filter(None, (run.outcome.reason, failed)))
            bad = "failed" if run.outcome.good else run.outcome.verdict
            ended = dataclasses.replace(run.outcome, verdict=bad, reason=reason)
            if not self._tried_again(node, ended):
                self._end(node, ended)
        else:
            self._end(node, run.outcome)

    def _go_on_with_errands(self) -> None:
        """Ask again what did not hold, and take silence for an answer, where that is due."""
        for node in self._errands_due.over(time.monotonic()):
            self._follow(node)

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
            self._runs.note(node, f"{where}, the deployment was interrupted")


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
