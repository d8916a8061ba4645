"""
The page of a deployment: one HTML file that needs no network, and no script to be read.

What nodes said is in it, so all that is printed comes through one place, where control and direction characters are
taken out and HTML is escaped; the page's own policy lets nothing run or load.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import jinja2
import markupsafe

from os_orchestrator import doors, progress
from os_orchestrator.page import flow, template, timeline

#: By which a file is known as one that may be written again.
GENERATOR = '<meta name="generator" content="os-orchestrator">'
_MARKS = {"succeeded": "✓", "failed": "✗", "interrupted": "‖", "running": "▶"}


def render(story: Mapping) -> str:
    """Return the page of a story (:func:`story.read`)."""
    drawn = timeline.Timeline(story["parts"], story["read"], _clock)
    boxes, height = flow.place(story["phases"])
    charts = {phase["name"]: drawn.phase(phase["name"]) for phase in story["phases"]}
    return _page().render(
        story=story, style=template.STYLE, generator=GENERATOR, axis=drawn.axis(), charts=charts, boxes=boxes,
        boxes_height=height, boxes_width=flow.WIDTH, width=timeline.WIDTH, verdicts=_verdicts(story), marks=_MARKS
    )  # fmt: skip


def write(path: Path, text: str) -> None:
    """
    Write a page to a file, with mode 0600, whole or not at all; raises :class:`doors.Refused` when that cannot be, or
    when another file than a page is there.
    """
    try:
        if path.exists() and GENERATOR.encode() not in _beginning(path):
            raise doors.Refused(f"{path} exists and is no report; name another file with path=")
        made, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(made, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise doors.Refused(
            f"the report cannot be written to {path}: {error.strerror}; name another place with path="
        ) from error


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def _verdicts(story: Mapping) -> dict[str, int]:
    """Return how many nodes of the deployment's phases came to each verdict; those that are bad first."""
    counts: dict[str, int] = {}
    nodes = [node for phase in story["phases"] for node in phase.get("nodes", ()) if node["verdict"]]
    for node in sorted(nodes, key=lambda node: node["good"]):
        counts[node["verdict"]] = counts.get(node["verdict"], 0) + 1
    return counts


# -- the template ----------------------------------------------------------------------------------------------------


def _page() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.Undefined,
    )
    environment.filters.update(
        duration=_duration, at=_at, px=_px, kind=timeline.kind_of, told=timeline.told, change=_change
    )
    return environment.from_string(template.PAGE)


def _printed(value: object) -> object:
    """Return a value as it may stand in the page; Jinja escapes what is HTML in it."""
    if isinstance(value, (markupsafe.Markup, int, float)):
        return value
    return "" if value is None else "".join(each if each.isprintable() else " " for each in str(value))


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _duration(seconds: float | None) -> str:
    return "\N{EN DASH}" if seconds is None else progress.duration(seconds)


def _change(seconds: float, before: float) -> str:
    """Return how much longer or shorter something took."""
    more, minus = seconds - before, "\N{MINUS SIGN}"
    return "the same" if abs(more) < 0.05 else f"{'+' if more > 0 else minus}{progress.duration(abs(more))}"


def _at(epoch: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(epoch)).strip()


def _clock(epoch: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(epoch))
