"""
The phases of a plan or of a deployment as a graph: boxes in order, and the text of them for Mermaid and Graphviz. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from os_orchestrator import doors, progress

_NAMES = 4


@dataclass(frozen=True)
class Box:
    """
    One phase.

    lines
        What stands in it: its number and sentence first.

    shape
        ``box`` where something is done on nodes, ``diamond`` for a gate or an operator who confirms.

    state
        ``left_out``, ``missing`` when one of its nodes is, a deployment's own word, or nothing.
    """

    key: str
    shape: str
    lines: tuple[str, ...]
    state: str = ""


def boxes(phases: Iterable[Mapping]) -> list[Box]:
    """Return the boxes of phases as :func:`report.plan` or :func:`report.summary` has them."""
    return [
        Box(
            f"phase{phase['number']}",
            "diamond" if phase["kind"] in ("gate", "confirm") else "box",
            (f"{phase['number']} {phase['name']}", *_about(phase)),
            _state(phase),
        )
        for phase in phases
    ]


def _state(phase: Mapping) -> str:
    if phase.get("left_out"):
        return "left_out"
    return "missing" if phase.get("missing") else phase.get("state", "")


def _about(phase: Mapping) -> list[str]:
    """Return what is said of a phase below its sentence."""
    left_out = phase.get("left_out") or (phase["reason"] if phase.get("state") == "left_out" else "")
    if left_out:
        return [f"left out, {left_out}"]
    lines = [_asked(phase)]
    if phase.get("missing"):
        lines.append(f"missing: {_named(list(phase['missing']))}")
    if phase.get("not_asked"):
        lines.append(f"not asked: {_named(list(phase['not_asked']))}")
    return lines


def _asked(phase: Mapping) -> str:
    if phase["kind"] == "confirm":
        return "waits for an operator"
    rows = phase.get("asked") or phase.get("nodes", ())
    nodes = [row["node"] if isinstance(row, Mapping) else row for row in rows]
    roles = " + ".join(phase["roles"])
    whom = f"{roles}: {nodes[0] if len(nodes) == 1 else f'{len(nodes)} nodes'}" if nodes else roles
    gate = phase.get("gate")
    return f"gate {gate['name']}: {gate['successes']} good in a row, asks {whom}" if gate else whom


def _named(nodes: list[str]) -> str:
    return ", ".join(nodes[:_NAMES]) + (f" and {len(nodes) - _NAMES} more" if len(nodes) > _NAMES else "")


# -- Graphviz --------------------------------------------------------------------------------------------------------

_DOT_COLOURS = {"left_out": "color=gray50, fontcolor=gray40", "missing": "color=red3, penwidth=2"}


def dot(shown: Mapping) -> str:
    """Return a plan (:func:`report.plan`) in the language of Graphviz."""
    drawn = boxes(shown["phases"])
    lines = [f"digraph {_dot_text([_title(shown)])} {{"]
    lines += ['  node [shape=box, fontname="sans-serif"];']
    lines += [f"  {box.key} [{', '.join([f'label={_dot_text(box.lines)}', *_dot_look(box)])}];" for box in drawn]
    lines += [f"  {one.key} -> {other.key};" for one, other in itertools.pairwise(drawn)]
    return "\n".join([*lines, "}"])


def _dot_look(box: Box) -> list[str]:
    """Return what makes a box look other than the others."""
    style = [*(["rounded"] if box.shape == "box" else []), *(["dashed"] if box.state == "left_out" else [])]
    shape = ["shape=diamond"] if box.shape == "diamond" else []
    return [*shape, f'style="{",".join(style)}"', *([_DOT_COLOURS[box.state]] if box.state in _DOT_COLOURS else [])]


def _dot_text(lines: Iterable[str]) -> str:
    """Return lines as one quoted string: a backslash and an ampersand would begin something else."""
    escaped = (line.replace("\\", "\\\\").replace("&", "&amp;").replace('"', '\\"') for line in map(_line, lines))
    return '"' + "\\n".join(escaped) + '"'


# -- Mermaid ---------------------------------------------------------------------------------------------------------

_MERMAID_CLASSES = {
    "left_out": "stroke-dasharray: 5 5,color: #777",
    "missing": "stroke: #cf222e,stroke-width: 3px",
}
#: What Mermaid takes as it is in a quoted text. A colon is not: it looks for styles in the text, too.
_PLAIN = frozenset(" ,.+/()_-")


def mermaid(shown: Mapping) -> str:
    """Return a plan (:func:`report.plan`) in the language of Mermaid."""
    drawn = boxes(shown["phases"])
    lines = ["flowchart TD"]
    for box in drawn:
        opening, closing = ("{", "}") if box.shape == "diamond" else ("(", ")")
        lines.append(f'  {box.key}{opening}"{_mermaid_text(box.lines)}"{closing}')
    lines += [f"  {one.key} --> {other.key}" for one, other in itertools.pairwise(drawn)]
    for state, style in _MERMAID_CLASSES.items():
        marked = [box.key for box in drawn if box.state == state]
        lines += [f"  classDef {state} {style}", f"  class {','.join(marked)} {state}"] if marked else []
    return "\n".join(lines)


def _mermaid_text(lines: Iterable[str]) -> str:
    """Return lines for a quoted text, all that could be syntax, HTML or Markdown as character references."""
    return "<br/>".join("".join(map(_mermaid_character, _line(line))) for line in lines)


def _mermaid_character(character: str) -> str:
    return character if character.isalnum() or character in _PLAIN else f"#{ord(character)};"


# -- both ------------------------------------------------------------------------------------------------------------

WRITERS: Mapping[str, Callable[[Mapping], str]] = {"mermaid": mermaid, "dot": dot}


def writer(syntax: object) -> Callable[[Mapping], str]:
    """Return what writes a plan in a syntax by its name; raises :class:`doors.Refused`."""
    if str(syntax) not in WRITERS:
        known = " or ".join(WRITERS)
        raise doors.Refused(f"graph must be {known}, not {syntax!r}{doors.did_you_mean(syntax, WRITERS)}")
    return WRITERS[str(syntax)]


def _title(shown: Mapping) -> str:
    return f"{shown['environment']} {shown['scenario']}"


def _line(words: str, most: int = 100) -> str:
    """Return words in one printable line of a length that a box can hold."""
    return progress.shorten("".join(each if each.isprintable() else " " for each in words), most)
