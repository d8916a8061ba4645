"""What was measured: figures, the tables that they make, and how they are kept."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Figure:
    """
    One cell of a table: what one subject needed for one case, measured some times in one run.

    table, case, subject
        The table's title, its row and its column.

    samples
        All that was measured, in ``unit``: a ratio has the unit ``x``.

    goal
        The most that it should be, where there is a goal.
    """

    table: str
    case: str
    subject: str
    samples: tuple[float, ...]
    unit: str = "x"
    goal: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def __str__(self) -> str:
        unit = "" if self.unit == "x" else f" {self.unit}"
        if len(self.samples) == 1:
            return f"{_number(self.median)}{unit}"
        return f"{_number(self.median)}{unit} ({_number(min(self.samples))} to {_number(max(self.samples))})"


def tables(figures: Iterable[Figure]) -> str:
    """Return figures as Markdown: a heading and a table for each title, in the order in which they come."""
    by_table: dict[str, list[Figure]] = {}
    for figure in figures:
        by_table.setdefault(figure.table, []).append(figure)
    return "\n".join(f"### {title}\n\n{_table(each)}" for title, each in by_table.items())


def write(path: Path, figures: Iterable[Figure]) -> None:
    path.write_text(json.dumps([dataclasses.asdict(each) for each in figures], indent=1) + "\n")


def read(path: Path) -> list[Figure]:
    return [Figure(**{**each, "samples": tuple(each["samples"])}) for each in json.loads(path.read_text())]


def _table(figures: list[Figure]) -> str:
    cells = {(each.case, each.subject): each for each in figures}
    goals = {each.case: _number(each.goal) for each in figures if each.goal is not None}
    subjects = list(dict.fromkeys(each.subject for each in figures))
    head = ["", *subjects, *(["goal"] if goals else [])]
    lines = [head, ["---"] * len(head)]
    for case in dict.fromkeys(each.case for each in figures):
        row = [str(cells[case, subject]) if (case, subject) in cells else "" for subject in subjects]
        lines.append([case, *row, *([goals.get(case, "")] if goals else [])])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float) -> str:
    """Return a number with three digits that matter."""
    return (
        f"{value:.0f}"
        if value >= 100
        else f"{value:.3g}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
    )
