"""
How much longer a deployment takes than the runs that it is made of: this project, Salt's own means, and Ansible.

A run takes a known time: a stand-in for Puppet sleeps, leaves a report of real Puppet and exits as it did. All start
the same stand-in on the same machine. What is measured is the wall time of the whole command, over the least time that
the runs need in that order with so many at once.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import houses
import playbooks
import trees
from figures import Figure

REPOSITORY = Path(__file__).resolve().parents[2]
RIVALS = REPOSITORY / "tests/bench/rivals"
STANDIN = REPOSITORY / "tests/standins/puppet_of_known_length"
REPORTS = REPOSITORY / "tests/unit/node/captured"

SCENARIO = "Compute scenario: wall time over the ideal"
PASS = "One pass over 30 nodes: wall time over the ideal"
STATUS = "Exit status where 3 of 30 nodes fail"

OURS, PLAIN, SAFE, LOOP, ANSIBLE = "os-orchestrator", "state.orch", "state.orch, safe", "salt -L", "Ansible"
ALL = (OURS, PLAIN, SAFE, LOOP, ANSIBLE)

#: More nodes than run at once in any case here.
AT_ONCE = 50
ENVIRONMENT = """
environments:
  bench:
    roles:
      primary_controller: [ctl1]
      secondary_controller: [ctl2]
      compute: {compute}
      endpoint: [ep1]
    puppet: {{timeout: 300, max_failures: '10%'}}
    gates:
      writer:
        checks: [{{function: file.file_exists, role: compute, args: [{writer}]}}]
        successes: 1
"""


@dataclass(frozen=True)
class Case:
    """
    A row of a table.

    table, title
        The table and the row.

    nodes, seconds
        How many nodes there are, and how long a run of each takes.

    window
        How many run at once, where that is not all.

    slow, failing
        The seconds of the first node's run, where that is another; how many nodes fail, the last ones.

    subjects, goal, samples
        Who is measured, what this project is to reach, and the most samples that are taken.
    """

    table: str
    title: str
    nodes: int
    seconds: float
    subjects: tuple[str, ...]
    window: int | None = None
    slow: float | None = None
    failing: int = 0
    goal: float | None = None
    samples: int = 5

    @property
    def lengths(self) -> dict[str, float]:
        """The seconds of a run on each node."""
        lengths = dict.fromkeys(names(self.nodes), self.seconds)
        return {**lengths, "ctl1": self.slow} if self.slow else lengths

    @property
    def phases(self) -> list[list[str]]:
        """The nodes of each phase."""
        everyone = list(self.lengths)
        if self.table != SCENARIO:
            return [everyone]
        return [["ctl1"], ["ctl2"], ["ctl1", "ctl2"], compute(everyone), ["ep1"]]

    @property
    def ideal(self) -> float:
        """The least seconds that the runs need."""
        return sum(makespan([self.lengths[node] for node in phase], self.window or AT_ONCE) for phase in self.phases)


CASES = (
    Case(SCENARIO, "5 nodes, runs of 2 s", 5, 2, ALL, goal=1.15),
    Case(SCENARIO, "5 nodes, runs of 10 s", 5, 10, (OURS, PLAIN, ANSIBLE), goal=1.04),
    Case(SCENARIO, "30 nodes, runs of 2 s", 30, 2, (OURS, PLAIN, ANSIBLE)),
    Case(PASS, "at once, runs of 5 s", 30, 5, ALL, goal=1.45),
    Case(PASS, "10 at a time, runs of 5 s", 30, 5, (OURS, PLAIN, ANSIBLE), window=10, goal=1.12),
    Case(PASS, "10 at a time, runs of 2 s, one of 10 s", 30, 2, (OURS, PLAIN, SAFE, ANSIBLE), 10, slow=10, samples=3),
    Case(
        PASS, "10 at a time, runs of 2 s, 3 nodes fail", 30, 2, (OURS, PLAIN, SAFE, ANSIBLE), 10, failing=3, samples=3
    ),
)
QUICK = (Case(SCENARIO, "5 nodes, runs of 2 s", 5, 2, (OURS, PLAIN)),)


def measure(work: Path, samples: int, quick: bool) -> list[Figure]:
    found = []
    cases = QUICK if quick else CASES
    for count in dict.fromkeys(case.nodes for case in cases):
        with opened(work / str(count), names(count), with_ansible=not quick) as town:
            for case in cases:
                if case.nodes == count:
                    found += town.measure(case, min(samples, case.samples))
    return found


def names(count: int) -> list[str]:
    """Return the nodes of a compute environment."""
    return ["ctl1", "ctl2", *(f"cmp{number:02}" for number in range(1, count - 2)), "ep1"]


def compute(nodes: list[str]) -> list[str]:
    return [node for node in nodes if node.startswith("cmp")]


def makespan(lengths: list[float], window: int) -> float:
    """Return how long runs take of which so many go at once, each begun in its turn as soon as there is room."""
    ends: list[float] = []
    for length in lengths:
        heapq.heappush(ends, length + (heapq.heappop(ends) if len(ends) == window else 0))
    return max(ends)


@contextlib.contextmanager
def opened(work: Path, nodes: list[str], with_ansible: bool) -> Iterator[Town]:
    """Give a master and minions with everything in place that one of the subjects needs."""
    work.mkdir()
    tree = trees.planted(work / "tree")
    (tree / "rivals").symlink_to(RIVALS)
    ours = {"module_dirs": [str(tree)]}
    master = {**ours, "file_roots": {"base": [str(tree)]}}
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(houses.opened(work / "h", nodes, master_options=master, minion_options=ours))
        rival = None
        if with_ansible:
            puppets = {node: house.puppet(node) / "puppet" for node in nodes}
            rival = stack.enter_context(playbooks.opened(work / "a", puppets, {"compute": compute(nodes)}))
        yield Town(work, house, nodes, rival)


class Town:
    """The machines of some cases, and how each subject does its work there."""

    def __init__(self, work: Path, house: houses.House, nodes: list[str], ansible: playbooks.Ansible | None):
        self._house, self._nodes, self._ansible = house, nodes, ansible
        self._writer = work / "writer"
        self._writer.touch()
        house.pillar("bench", ENVIRONMENT.format(compute=compute(nodes), writer=self._writer))
        program = work / "bin/salt"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.join(house.command("salt"))} "$@"\n')
        program.chmod(0o755)
        self._environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        for node in nodes:
            house.wrap(node, f". {shlex.quote(str(STANDIN))}")
            for name in ("changed", "failed"):
                (house.puppet(node) / f"{name}.report.yaml").symlink_to(REPORTS / f"{name}.report.yaml")

    def measure(self, case: Case, samples: int) -> list[Figure]:
        """Measure the subjects of a case in turns, each once before that to no account."""
        walls: dict[str, list[float]] = {subject: [] for subject in case.subjects}
        statuses: dict[str, list[float]] = {subject: [] for subject in case.subjects}
        self._settle(case, warm=True)
        for subject in case.subjects:
            self._run(subject, case)
        self._settle(case)
        for _ in range(samples):
            for subject in case.subjects:
                wall, status = self._run(subject, case)
                walls[subject].append(wall / case.ideal)
                statuses[subject].append(status)
                print(f"  {case.title}: {subject} {walls[subject][-1]:.3f}", file=sys.stderr, flush=True)
        goal = {OURS: case.goal}
        ratios = [Figure(case.table, case.title, each, tuple(walls[each]), goal=goal.get(each)) for each in walls]
        if not case.failing:
            return ratios
        return ratios + [Figure(STATUS, case.title, each, tuple(statuses[each]), "") for each in statuses]

    def _settle(self, case: Case, warm: bool = False) -> None:
        """Let the runs of each node take their time and end as the case has it."""
        good = len(self._nodes) - case.failing
        for number, node in enumerate(self._nodes):
            length = "0 " if warm else f"{case.lengths[node]:g} "
            end = "changed 2\n" if number < good else "failed 4\n"
            (self._house.puppet(node) / "length").write_text(length + end)

    def _run(self, subject: str, case: Case) -> tuple[float, int]:
        """Return the seconds that a subject took, and its exit status; every run must have taken place."""
        for node in self._nodes:
            (self._house.puppet(node) / "runs").unlink(missing_ok=True)
        with contextlib.ExitStack() as stack:
            environ = self._environ
            if subject == ANSIBLE:
                environ = {**environ, **stack.enter_context(self._ansible.environment())}
            began = time.monotonic()
            done = subprocess.run(
                self._command(subject, case), capture_output=True, text=True, env=environ, check=False
            )
            wall = time.monotonic() - began
        ran = sum((self._house.puppet(node) / "runs").read_text().count("run") for node in self._nodes)
        wanted = sum(map(len, case.phases))
        if ran != wanted or (done.returncode and not case.failing):
            raise SystemExit(
                f"{subject}, {case.title}: {ran} runs, {wanted} wanted, exit status {done.returncode}:"
                f"\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return wall, done.returncode

    def _command(self, subject: str, case: Case) -> list[str]:
        commands: dict[str, Callable[[Case], list[str]]] = {
            OURS: self._ours,
            PLAIN: lambda case: self._orchestration("plain", case),
            SAFE: lambda case: self._orchestration("safe", case),
            LOOP: self._loop,
            ANSIBLE: self._playbook,
        }
        return commands[subject](case)

    def _ours(self, case: Case) -> list[str]:
        what = ("deployment.run", "bench", "compute")
        if case.table != SCENARIO:
            roles = "primary_controller,secondary_controller,compute,endpoint"
            what = ("deployment.puppet", "bench", roles, f"concurrency={case.window or AT_ONCE}")
        return self._house.command("salt-run", *what)

    def _orchestration(self, form: str, case: Case) -> list[str]:
        name = form if case.table == SCENARIO else f"{form}_pass"
        told = {
            "compute": compute(self._nodes),
            "nodes": self._nodes,
            "window": case.window,
            "writer": str(self._writer),
        }
        return self._house.command("salt-run", "state.orch", f"rivals.{name}", f"pillar={json.dumps(told)}")

    def _loop(self, case: Case) -> list[str]:
        if case.table == SCENARIO:
            return [str(RIVALS / "loop.sh"), ",".join(compute(self._nodes)), str(self._writer)]
        return [str(RIVALS / "loop_pass.sh"), ",".join(self._nodes), *([str(case.window)] if case.window else [])]

    def _playbook(self, case: Case) -> list[str]:
        name = "compute.yaml" if case.table == SCENARIO else "pass.yaml"
        return self._ansible.command(name, case.window or AT_ONCE, writer=str(self._writer))
