"""When each of many nodes is due. Pure: what one change costs does not grow with their number."""

from __future__ import annotations

import heapq


class Dues:
    """The times of nodes, in whatever unit they are set; a node has one at most."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, node: str, at: float) -> None:
        """A node is due at a time, and at no other."""
        if self._at.get(node) != at:
            self._at[node] = at
            heapq.heappush(self._heap, (at, node))

    def drop(self, node: str) -> None:
        """A node is due no more."""
        self._at.pop(node, None)

    @property
    def first(self) -> float:
        """The earliest of the times; infinite where there is none."""
        self._forget()
        return self._heap[0][0] if self._heap else float("inf")

    def over(self, now: float) -> list[str]:
        """Return the nodes whose times have come, the earliest first; they are due no more."""
        nodes = []
        while self.first <= now:
            nodes.append(heapq.heappop(self._heap)[1])
            self.drop(nodes[-1])
        return nodes

    def _forget(self) -> None:
        """Take off what was set anew or dropped."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
