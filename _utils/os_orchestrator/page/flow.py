"""The plan of a deployment as a drawing: its phases in order, from top to bottom. Pure; the template draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from os_orchestrator import graph, progress

WIDTH = 460
_HEIGHT, _GAP = 46, 20
#: How many letters fit into the first and into the second line.
_LETTERS = (54, 64)
#: How far the corners of a gate lie outside of its text.
_CORNER = 24


@dataclass(frozen=True)
class Placed:
    """A box with its place: ``y`` is its top, and ``outline`` the corners of a gate, a diamond drawn long."""

    box: graph.Box
    y: float
    lines: tuple[tuple[float, str], ...]
    title: str

    @property
    def outline(self) -> str:
        top, middle, bottom = self.y, self.y + _HEIGHT / 2, self.y + _HEIGHT
        left, right = 1 + _CORNER, WIDTH - 1 - _CORNER
        return f"1,{middle} {left},{top} {right},{top} {WIDTH - 1},{middle} {right},{bottom} {left},{bottom}"


def place(phases: Iterable[Mapping]) -> tuple[list[Placed], float]:
    """Return the phases of a summary as boxes with their places, and the height of them all."""
    placed, y = [], 1.0
    for box in graph.boxes(phases):
        # The end of what does not fit is in the title.
        cut = [progress.shorten(line, most) for line, most in zip(box.lines, _LETTERS, strict=False)]
        lines = tuple((y + offset, line) for offset, line in zip((20, 36), cut, strict=False))
        placed.append(Placed(box, y, lines, "\n".join(box.lines)))
        y += _HEIGHT + _GAP
    return placed, max(y - _GAP + 1, 1)
