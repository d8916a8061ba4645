"""A picture of each table, as SVG: bars side by side, or curves where the cases are sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "os-orchestrator"

from figures import Figure, by_table, picture_names  # noqa: E402
from matplotlib import pyplot  # noqa: E402

SIZE = re.compile(r"([\d,]+) (.+)")


def draw(measure: str, found: Iterable[Figure], folder: Path) -> None:
    """Draw the tables of a measure in place of those that were drawn before."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob(f"{measure}-*.svg"):
        old.unlink()
    tables = by_table(found)
    for title, name in picture_names(measure, found).items():
        _draw(title, tables[title], folder / name)


def _draw(title: str, found: list[Figure], path: Path) -> None:
    cases = list(dict.fromkeys(each.case for each in found))
    subjects = list(dict.fromkeys(each.subject for each in found))
    sizes = [SIZE.fullmatch(case) for case in cases]
    is_curve = len(cases) > 2 and all(sizes) and len({size[2] for size in sizes if size}) == 1
    height = 3.6 if is_curve else 1.2 + 0.22 * len(found)
    figure, axes = pyplot.subplots(figsize=(8, height), layout="constrained")
    by_subject = {subject: {each.case: each for each in found if each.subject == subject} for subject in subjects}
    if is_curve:
        _curves(
            axes, by_subject, {case: int(size[1].replace(",", "")) for case, size in zip(cases, sizes, strict=True)}
        )
        axes.set_xlabel(sizes[0][2])
    else:
        _bars(axes, by_subject, cases)
    unit = found[0].unit
    (axes.set_ylabel if is_curve else axes.set_xlabel)("ratio" if unit == "x" else unit)
    axes.set_title(title, fontsize="medium")
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


def _spread(found: Iterable[Figure]) -> list[list[float]]:
    """Return how far the samples lie below and above the medians."""
    found = list(found)
    return [[each.median - min(each.samples) for each in found], [max(each.samples) - each.median for each in found]]


def _bars(axes, by_subject: dict[str, dict[str, Figure]], cases: list[str]) -> None:
    """Draw a group of bars for each case, the first on top; a goal is a line across its group."""
    width = 0.8 / len(by_subject)
    for number, (subject, own) in enumerate(by_subject.items()):
        places = [cases.index(case) - 0.4 + width * (number + 0.5) for case in own]
        medians = [each.median for each in own.values()]
        axes.barh(places, medians, width * 0.9, xerr=_spread(own.values()), label=subject, error_kw={"linewidth": 0.8})
    goals = {each.case: each.goal for own in by_subject.values() for each in own.values() if each.goal is not None}
    for number, (case, goal) in enumerate(goals.items()):
        place = cases.index(case)
        axes.plot([goal] * 2, [place - 0.45, place + 0.45], "k:", linewidth=1.2, label=None if number else "goal")
    axes.set_yticks(range(len(cases)), cases, fontsize="small")
    axes.invert_yaxis()
    if all(each.unit == "x" for own in by_subject.values() for each in own.values()):
        axes.axvline(1, color="black", linewidth=0.6)


def _curves(axes, by_subject: dict[str, dict[str, Figure]], sizes: dict[str, int]) -> None:
    """Draw a curve for each subject over the sizes, both on scales of powers of ten."""
    for subject, own in by_subject.items():
        places = [sizes[case] for case in own]
        axes.errorbar(places, [each.median for each in own.values()], _spread(own.values()), marker="o", label=subject)
        goals = [(sizes[case], each.goal) for case, each in own.items() if each.goal is not None]
        axes.plot(*zip(*goals, strict=True), "k:", marker="_") if goals else None
    axes.set_xscale("log")
    axes.set_yscale("log")
