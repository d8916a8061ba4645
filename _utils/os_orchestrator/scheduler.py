"""
Who may start now. Pure: a window over the nodes of one pass, which knows nothing of Salt, time or Puppet.

Every node goes one way: waiting, running, ended; with a retry it waits again. Nothing starts after a stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Window:
    """
    A rolling window over ``nodes``: at most ``concurrency`` run at once, in the given order, and a free place is
    filled at once.

    It stops starting nodes as soon as more than ``max_failures`` have ended badly.
    """

    def __init__(self, nodes: Iterable[str], concurrency: int, max_failures: int = 0):
        self._waiting = deque(dict.fromkeys(nodes))
        self._running: set[str] = set()
        self._concurrency = concurrency
        self._max_failures = max_failures
        self._failures = 0
        self.stopped = False

    @property
    def running(self) -> frozenset[str]:
        return frozenset(self._running)

    @property
    def waiting(self) -> tuple[str, ...]:
        return tuple(self._waiting)

    @property
    def finished(self) -> bool:
        """Nothing runs, and nothing will start."""
        return not self._running and (self.stopped or not self._waiting)

    def start(self) -> list[str]:
        """Return the nodes that start now, in order; they run from here on."""
        room = 0 if self.stopped else max(0, self._concurrency - len(self._running))
        nodes = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        self._running.update(nodes)
        return nodes

    def end(self, node: str, good: bool) -> None:
        """A running node has ended."""
        self._running.remove(node)
        if not good:
            self.fail()

    def again(self, node: str) -> None:
        """A running node has ended and is to start once more, after those that wait."""
        self._running.remove(node)
        self._waiting.append(node)

    def fail(self) -> None:
        """Count a failure (of a node that never got as far as running, too)."""
        self._failures += 1
        if self._failures > self._max_failures:
            self.stopped = True

    def drop(self, nodes: Iterable[str]) -> None:
        """Take nodes out that cannot be started: each is a failure."""
        gone = set(nodes) & set(self._waiting)
        self._waiting = deque(node for node in self._waiting if node not in gone)
        for _ in gone:
            self.fail()

    def stop(self) -> None:
        """Start nothing more."""
        self.stopped = True


def allowance(max_failures: int | str, total: int) -> int:
    """Return how many of ``total`` nodes may fail: a count as it is, a percentage (``'10%'``) rounded down."""
    if isinstance(max_failures, str) and max_failures.endswith("%"):
        return int(total * float(max_failures[:-1]) / 100)
    return int(max_failures)
