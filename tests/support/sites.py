"""An environment of a test's own on the nodes of a house, whose manifests write down when Puppet works."""

import json
import time

import pytest
from os_orchestrator import journal, report

ENVIRONMENT = """
environments:
  {name}:
    roles:
      primary_controller: [n1]
      secondary_controller: [n2]
      compute: {compute}
      endpoint: {endpoint}
      storage: {storage}
      ring_builder: [n3]
      proxy: [n4]
    puppet:
      {{lock_timeout: {lock_timeout}, ping_timeout: {ping_timeout}, timeout: {timeout}, grace: 5,
       concurrency: {concurrency}}}
    gates:
      writer:
        checks: [{{function: file.file_exists, role: compute, args: [{writer}]}}]
        successes: 2
        interval: 0.5
        timeout: {gate_timeout}
"""
DOORS = ("deployment.run", "state.orch")
#: Where the second one has little of its own to say.
DOORS_SECOND_SLOW = (DOORS[0], pytest.param(DOORS[1], marks=pytest.mark.slow))
TRACED = """
exec {{ 'work':
  command => '{trace} start {node}; sleep {seconds}; while [ -e {held} ]; do sleep 0.1; done; {trace} end {node}',
  provider => shell,
}}
{more}
"""


class Site:
    def __init__(self, house, tmp_path, name):
        self.house, self.name, self.trace, self.writer = house, name, tmp_path / "trace", tmp_path / "writer"
        self._script = tmp_path / "note"
        self._script.write_text(f'#!/bin/sh\necho "$1 $2 $(date +%s.%N)" >> "${{TRACE:-{self.trace}}}"\n')
        self._script.chmod(0o755)
        self.trace.touch()
        self.define()
        for node in ("n1", "n2", "n3", "n4", "n5"):
            self.manifest(node)
            house.wrap(node)

    def define(
        self,
        compute="{target: 'n[34]', count: 2}",
        endpoint="[n5]",
        storage="[n1, n2]",
        timeout=60,
        gate_timeout=20,
        ping_timeout=10,
        concurrency=50,
        lock_timeout=5,
    ):
        text = ENVIRONMENT.format(
            name=self.name,
            compute=compute,
            endpoint=endpoint,
            storage=storage,
            timeout=timeout,
            ping_timeout=ping_timeout,
            lock_timeout=lock_timeout,
            gate_timeout=gate_timeout,
            concurrency=concurrency,
            writer=self.writer,
        )
        self.house.pillar(self.name, text)

    def manifest(self, node, more="", seconds=0):
        """Let Puppet on a node write down when it begins and ends, and take some seconds in between."""
        held, trace = self._held(node), self._script
        self.house.manifest(node, TRACED.format(trace=trace, node=node, seconds=seconds, held=held, more=more))

    def hold(self, node):
        """Let Puppet on a node stay in the middle of its catalog until it is let go."""
        self._held(node).touch()

    def let_go(self, node):
        self._held(node).unlink()

    def let_all_go(self):
        for path in self.trace.parent.glob("*.held"):
            path.unlink()

    def _held(self, node):
        return self.trace.with_name(f"{node}.held")

    def arguments(self, door, scenario, **pillar):
        if door == "deployment.run":
            return (door, self.name, scenario, *(f"{key}={value}" for key, value in pillar.items()))
        return (door, f"orch.{scenario}", f"pillar={json.dumps({'environment': self.name, **pillar})}")

    def deploy(self, door, scenario, *more, **pillar):
        return self.house.salt_run(*self.arguments(door, scenario, **pillar), *more)

    def last(self):
        """Return the newest deployment as ``deployment.history`` has it, without a command for it."""
        return report.history(self._journal.deployments(self.name, 1))["deployments"][0]

    def shown(self):
        """Return the newest deployment as ``deployment.show`` has it."""
        return report.summary(self._journal.deployment(self.last()["id"]))

    @property
    def _journal(self):
        return journal.of(self.house.master.config)

    def ran(self):
        """Return the nodes in the order in which Puppet started on them."""
        return [line.split()[1] for line in self.trace.read_text().splitlines() if line.startswith("start")]

    def spans(self, node):
        """Return when Puppet worked on a node: (start, end) of each run."""
        lines = [line.split() for line in self.trace.read_text().splitlines() if line.split()[1] == node]
        times = [float(line[2]) for line in lines]
        return list(zip(times[::2], times[1::2], strict=False))


def overlap(one, other):
    return one[0] < other[1] and other[0] < one[1]


def before(one, other):
    return one[1] <= other[0]


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)
    return answer
