"""
Who may start now. Pure: a window over the nodes of one pass, which knows nothing of Salt, time or Puppet.

Every node goes one way: waiting, running, ended; with a retry it waits again. Nothing starts after a stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True)
class Group:
    """Nodes that start before those of the next group do; more than ``max_failures`` of them end it all."""

    nodes: tuple[str, ...]
    max_failures: int


class Window:
    """
    A rolling window over groups of nodes: at most ``concurrency`` run at once, in the given order, and a free place
    is filled at once, but with no node of the next group before all of this one have ended.

    It stops starting nodes as soon as more than ``max_failures`` in all, or of a group, have ended badly.

    failed
        How many have failed already: nodes that cannot be started at all.

    present
        The index of the group that runs.

    broken
        The index of the group of which too many have failed, if that is why it has stopped.
    """

    def __init__(self, groups: Iterable[Group], concurrency: int, max_failures: int = 0, failed: int = 0):
        self.groups = tuple(groups)
        self._waiting: list[deque[str]] = []
        self._group: dict[str, int] = {}
        for number, group in enumerate(self.groups):
            new = [node for node in dict.fromkeys(group.nodes) if node not in self._group]
            self._waiting.append(deque(new))
            self._group.update(dict.fromkeys(new, number))
        self._running: set[str] = set()
        self._concurrency = concurrency
        self._left = max_failures - failed
        self._left_of = [group.max_failures for group in self.groups]
        self.present = 0
        self.broken: int | None = None
        self.stopped = self._left < 0

    @property
    def running(self) -> frozenset[str]:
        return frozenset(self._running)

    @property
    def waiting(self) -> tuple[str, ...]:
        return tuple(node for group in self._waiting for node in group)

    @property
    def waiting_now(self) -> bool:
        """Whether nodes of the group that runs wait for a place."""
        return not self.stopped and bool(self.groups) and bool(self._waiting[self.present])

    @property
    def finished(self) -> bool:
        """Nothing runs, and nothing will start."""
        return not self._running and (self.stopped or not any(islice(self._waiting, self.present, None)))

    def start(self) -> list[str]:
        """Return the nodes that start now, in order; they run from here on."""
        last = len(self.groups) - 1
        while not self._running and self.present < last and not self._waiting[self.present]:
            self.present += 1
        if self.stopped or not self.groups:
            return []
        waiting = self._waiting[self.present]
        room = max(0, self._concurrency - len(self._running))
        nodes = [waiting.popleft() for _ in range(min(room, len(waiting)))]
        self._running.update(nodes)
        return nodes

    def end(self, node: str, good: bool) -> None:
        """A running node has ended."""
        self._running.remove(node)
        if not good:
            self._fail(self._group[node])

    def again(self, node: str) -> None:
        """A running node has ended and is to start once more, after those of its group that wait."""
        self._running.remove(node)
        self._waiting[self._group[node]].append(node)

    def stop(self) -> None:
        """Start nothing more."""
        self.stopped = True

    def _fail(self, group: int) -> None:
        self._left -= 1
        self._left_of[group] -= 1
        if self._left_of[group] < 0 <= self._left and not self.stopped:
            self.broken = group
        self.stopped = self.stopped or self._left < 0 or self._left_of[group] < 0


def allowance(max_failures: int | str, total: int) -> int:
    """Return how many of ``total`` nodes may fail: a count as it is, a percentage (``'10%'``) rounded down."""
    if isinstance(max_failures, str) and max_failures.endswith("%"):
        return int(total * float(max_failures[:-1]) / 100)
    return int(max_failures)


def size(wanted: int | str, total: int) -> int:
    """Return how many of ``total`` nodes are meant: a count, or a percentage rounded up, at least one."""
    if isinstance(wanted, str) and wanted.endswith("%"):
        return max(1, -int(-total * float(wanted[:-1]) // 100))
    return int(wanted)


def in_waves(nodes: Iterable[str], wanted: int | str) -> list[tuple[str, ...]]:
    """Return nodes in waves of so many, in order; the last one may be smaller."""
    nodes = tuple(nodes)
    step = size(wanted, len(nodes))
    return [nodes[begin : begin + step] for begin in range(0, len(nodes), step)]


def by_domain(domains: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Return nodes, given with their domains, in waves of one domain each, in the order in which domains come first."""
    waves: dict[str, list[str]] = {}
    for node, domain in domains:
        waves.setdefault(domain, []).append(node)
    return [tuple(wave) for wave in waves.values()]
