"""What was measured: figures, the tables that they make, and how they are kept."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Figure:
    """
    One cell of a table: what one subject needed for one case, measured some times in one run.

    table, case, subject
        The table's title, its row and its column.

    samples
        All that was measured, in ``unit``: a ratio has the unit ``x``, a number of things has none.

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

    @property
    def place(self) -> tuple[str, str, str]:
        """The cell that it stands in."""
        return self.table, self.case, self.subject

    def __str__(self) -> str:
        if not self.unit:
            return "/".join(f"{each:g}" for each in sorted(set(self.samples)))
        unit = "" if self.unit == "x" else f" {self.unit}"
        if len(self.samples) == 1:
            return f"{number(self.median)}{unit}"
        return f"{number(self.median)}{unit} ({number(min(self.samples))} to {number(max(self.samples))})"


@dataclasses.dataclass(frozen=True)
class Record:
    """
    What one measure has found.

    where, command
        The machine and the versions that it was found with, and the command that finds it again.
    """

    where: str
    command: str
    figures: tuple[Figure, ...]


def by_table(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    """Return figures by the title of their table, in the order in which they come."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        found.setdefault(figure.table, []).append(figure)
    return found


def tables(figures: Iterable[Figure], pictures: Mapping[str, str] | None = None) -> str:
    """Return figures as Markdown: a heading and a table for each title, and below it its picture where it has one."""
    parts = []
    for title, each in by_table(figures).items():
        picture = (pictures or {}).get(title)
        parts.append(f"### {title}\n\n{_table(each)}" + (f"\n![{title}]({picture})\n" if picture else ""))
    return "\n".join(parts)


def picture_names(measure: str, figures: Iterable[Figure]) -> dict[str, str]:
    """Return the names of the pictures of a measure by the titles of its tables; a number of things makes none."""
    titles = enumerate(by_table(figures).items(), 1)
    return {title: f"{measure}-{place}.svg" for place, (title, each) in titles if all(figure.unit for figure in each)}


def write(path: Path, records: Mapping[str, Record]) -> None:
    """Write records by the names of their measures, a line for each figure."""
    parts = []
    for name, record in records.items():
        lines = ",\n".join(f"   {json.dumps(dataclasses.asdict(_short(each)))}" for each in record.figures)
        head = f'  "where": {json.dumps(record.where)},\n  "command": {json.dumps(record.command)},\n'
        parts.append(f' {json.dumps(name)}: {{\n{head}  "figures": [\n{lines}\n  ]\n }}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def read(path: Path) -> dict[str, Record]:
    """Return the records of a file by the names of their measures; none where there is no file."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return {
        name: Record(**{**each, "figures": tuple(_figure(figure) for figure in each["figures"])})
        for name, each in found.items()
    }


def number(value: float) -> str:
    """Return a number with three digits that matter."""
    if value >= 100:
        return f"{value:.0f}"
    if value < 1:
        return f"{value:.3g}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _figure(found: Mapping) -> Figure:
    return Figure(**{**found, "samples": tuple(found["samples"])})


def _short(figure: Figure) -> Figure:
    """Return a figure whose samples have no more digits than anybody can measure."""
    return dataclasses.replace(figure, samples=tuple(float(f"{each:.5g}") for each in figure.samples))


def _table(figures: list[Figure]) -> str:
    cells = {(each.case, each.subject): each for each in figures}
    goals = {each.case: number(each.goal) for each in figures if each.goal is not None}
    subjects = list(dict.fromkeys(each.subject for each in figures))
    head = ["", *subjects, *(["goal"] if goals else [])]
    lines = [head, ["---"] * len(head)]
    for case in dict.fromkeys(each.case for each in figures):
        row = [str(cells[case, subject]) if (case, subject) in cells else "" for subject in subjects]
        lines.append([case, *row, *([goals.get(case, "")] if goals else [])])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
