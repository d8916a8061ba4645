"""
Journals of deployments of any size, made through the journal's own methods in a time of their own: what a page is made
from.
"""

import heapq
import random
from unittest import mock

from nodes import OUTCOMES, Clock
from os_orchestrator import journal, verdicts

SIZES = (5, 40, 500)
WRITER = "mysql_mmm.writer_ready"
HELD = "replication on ctl2.example.com is 14 s behind"
SUCCEEDED, FAILED, RESUMED = "20261122010000000000", "20261123020000000000", "20261123031500000000"
SLOW = ("Package[nova-compute]", "Exec[nova-manage db sync]", "Service[libvirtd]", "File[/etc/nova/nova.conf]")


class Recorder:
    """Writes deployments into a journal; nodes run in a window, and every run takes its own time."""

    def __init__(self, root, keep=200, seed=1):
        self.journal = journal.Journal(root / "journal.sqlite", keep)
        self.clock, self.chance = Clock(), random.Random(seed)

    def deployment(self, deployment, phases, state="succeeded", reason="", scenario="compute", **changes):
        """
        Record a deployment. ``phases`` are ``(name, kind, role, nodes, act)``: ``act(number)`` plays the phase and
        returns its state and reason; without one it is left out with the reason ``role``.
        """
        row = {
            "id": deployment, "environment": "prod", "scenario": scenario, "user": "alice", "door": "deployment.run",
            "noop": False, "partial": False, "digest": "d", "arguments": {"excluded": {}, "resumes": ""}, **changes
        }  # fmt: skip
        rows = [
            {
                "number": number, "name": name, "kind": kind, "roles": [role] if act else [], "nodes": nodes,
                "state": "planned" if act else "left_out", "reason": "" if act else role,
            }
            for number, (name, kind, role, nodes, act) in enumerate(phases, 1)
        ]  # fmt: skip
        with mock.patch.object(journal.writing, "time", self.clock):
            self.journal.begin(row, rows)
            self.id = deployment
            for number, (_, _, _, _, act) in enumerate(phases, 1):
                if act:
                    self.journal.phase_started(deployment, number)
                    ended, why = act(number)
                    if ended is None:
                        break
                    self.journal.phase_ended(deployment, number, ended, why)
                    if ended != "succeeded":
                        break
            if state != "running":
                self.journal.ended(deployment, state, reason)
        self.clock.now += 3600

    def puppet(self, nodes, window=50, seconds=60, outcomes=None, kept=()):
        """Return the act of a Puppet phase; ``outcomes`` are those of nodes that do not just change something."""
        return lambda number: self._play(number, nodes, window, seconds, outcomes or {}, set(kept))

    def _play(self, number, nodes, window, seconds, outcomes, kept):
        for node in [node for node in nodes if node in kept]:
            self.journal.run_ended(self.id, number, node, "", 1, verdicts.Outcome("kept", f"changed in {FAILED}"))
        waiting, running = [node for node in nodes if node not in kept], []
        stopped = False
        while waiting or running:
            while waiting and not stopped and len(running) < window:
                node, run_id = waiting.pop(0), f"{self.id}-{number}-1-1"
                self.journal.runs_started(self.id, number, [(node, run_id, 1)])
                heapq.heappush(running, (self.clock.now + seconds * self.chance.uniform(0.6, 1.6), node, run_id))
            if not running:
                break
            end, node, run_id = heapq.heappop(running)
            began, self.clock.now = self.clock.now, max(end, self.clock.now)
            outcome = outcomes.get(node) or self.outcome(self.chance.choice(("changed", "changed", "unchanged")))
            outcome = verdicts.Outcome(outcome.verdict, outcome.reason, outcome.seconds or seconds, outcome.details)
            assert began <= self.clock.now
            self.journal.run_ended(self.id, number, node, run_id, 1, outcome)
            stopped = stopped or not outcome.good
        for node in waiting:
            self.journal.run_ended(
                self.id, number, node, "", 1, verdicts.Outcome("skipped", "not started: 1 failed, 0 may (max_failures)")
            )
        bad = [node for node in nodes if node in outcomes and not outcomes[node].good]
        return ("failed", f"{len(bad)} of {len(nodes)} nodes bad: {bad[0]} failed") if bad else ("succeeded", "")

    def gate(self, held=6, good=5, interval=4, said=HELD):
        """Return the act of a gate that is held for some rounds and then open, or not open when ``good`` is 0."""

        def act(number):
            for each in range(1, held + good + 1):
                answer = {"check": WRITER, "node": "mon1.example.com", "good": each > held, "said": said}
                self.journal.round(self.id, number, each, each > held, [answer])
                self.clock.now += interval
            return ("succeeded", "") if good else ("failed", f"not open within {held * interval} s; held by {said}")

        return act

    def outcome(self, verdict):
        """Return an outcome as a node gives it: captured from Puppet, with slow resources of its own."""
        answer = {**OUTCOMES[verdict], "run_id": "x"}
        answer["slowest"] = [
            {"resource": name, "seconds": round(self.chance.uniform(0.2, 40) / (place + 1), 2)}
            for place, name in enumerate(SLOW)
        ]
        judged = verdicts.judge(answer, 0, run_id="x", noop=False)
        return verdicts.Outcome(verdict, judged.reason, 0.0, judged.details)


def controllers():
    return ["ctl1.example.com", "ctl2.example.com"]


def computes(count):
    return [f"cmp{number:03}.example.com" for number in range(1, count + 1)]


def scenario(recorder, nodes, outcomes=None, kept=(), held=6, quick=()):
    """Return the phases of a deployment of so many nodes, the two controllers among them."""
    one, two = controllers()
    compute = computes(nodes - 2)
    take = lambda some: recorder.puppet(some, kept=some) if some[0] in quick else recorder.puppet(some)  # noqa: E731
    return [
        ("Primary controller is installed", "puppet", "primary_controller", [one], take([one])),
        ("Secondary controller is installed", "puppet", "secondary_controller", [two], take([two])),
        ("Replication commences", "puppet", "controller", [one, two], take([one, two])),
        ("The writer is ready", "gate", "mmm_monitor", ["mon1.example.com"], recorder.gate(held)),
        (
            "Compute nodes are installed", "puppet", "compute", compute,
            recorder.puppet(compute, outcomes=outcomes, kept=kept),
        ),
        ("The endpoint is installed", "puppet", "endpoint", ["lb1.example.com"], recorder.puppet(["lb1.example.com"])),
        (
            "The endpoint serves every compute node", "gate", "environment prod has no checks for gate endpoint", [],
            None,
        ),
    ]  # fmt: skip


def failed(root, nodes):
    """Return a journal with a deployment that succeeded, and one of so many nodes of which one compute node failed."""
    recorder = Recorder(root)
    recorder.deployment(SUCCEEDED, scenario(recorder, nodes, held=2))
    broken = computes(nodes - 2)[(nodes - 2) // 2]
    reason = f"Compute nodes are installed: 1 of {nodes - 2} nodes bad: {broken} failed (1 resource failed)"
    phases = scenario(recorder, nodes, {broken: recorder.outcome("failed")})
    arguments = {"excluded": {"cmp999.example.com": "disk broken, ticket 4711"}, "resumes": ""}
    recorder.deployment(FAILED, phases, "failed", reason, partial=True, arguments=arguments)
    return recorder


def resumed(root, nodes):
    """Return a journal with a deployment that failed, and the one that went on with it when the node was mended."""
    recorder = failed(root, nodes)
    compute = computes(nodes - 2)
    before = recorder.journal.outline(FAILED)["phases"][4]
    kept = [run["node"] for run in before["runs"] if verdicts.GOOD[run["verdict"]]]
    phases = scenario(recorder, nodes, kept=kept, held=0, quick=controllers())
    assert set(kept) < set(compute)
    recorder.deployment(RESUMED, phases, arguments={"excluded": {}, "resumes": FAILED}, door="deployment.resume")
    return recorder
