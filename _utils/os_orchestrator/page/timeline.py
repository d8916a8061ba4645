"""
The timeline of a deployment as shapes: phases and nodes to one scale. Pure; the template draws them.

A deployment that goes on with earlier ones is drawn behind them, and the time between is cut out. Lengths are in
units of the drawing, which is :data:`WIDTH` wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from os_orchestrator import progress, verdicts

WIDTH = 980
#: What the names of nodes may take at the left, and what is kept free for words behind the last bar.
_LEFT, _RIGHT = (90, 200), 130
#: Between two parts, and what a part has at least.
_GAP, _LEAST = 64, 48
_ROW, _BAR = 18, 11
#: A phase of more nodes than this has a line for each in place of a row, but for its bad ones.
ROWS = 60
_BAD_ROWS = 30
_DENSE = 420
#: Of a letter in the smaller size, on the average.
_LETTER = 6.3
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True)
class Bar:
    """A rectangle; ``kind`` is a class of the style, ``title`` what it says when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Words:
    """A text; ``anchor`` is SVG's: ``start``, ``middle`` or ``end``."""

    x: float
    y: float
    words: str
    kind: str = ""
    anchor: str = "start"
    title: str = ""


@dataclass
class Chart:
    """Shapes of one drawing; ``lines`` are vertical, each ``(x, kind, top)`` and from there to the bottom."""

    height: float
    bars: list[Bar] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    lines: list[tuple[float, str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class _Span:
    """Where a part lies: its time, in seconds since the epoch, and its place."""

    since: float
    until: float
    x: float
    width: float

    def at(self, moment: float) -> float:
        share = (min(max(moment, self.since), self.until) - self.since) / (self.until - self.since)
        return self.x + share * self.width


class Timeline:
    """
    The drawings of a story's parts (:func:`story.read`): :meth:`axis`, and one for each phase.

    clock
        Returns a moment as a time of day.
    """

    def __init__(self, parts: Iterable[Mapping], now: float, clock: Callable[[float], str]):
        self._parts, self._clock = list(parts), clock
        ends = [max(_end(part, now), part["started"] + 0.001) for part in self._parts]
        times = [(part["started"], end) for part, end in zip(self._parts, ends, strict=True)]
        self._left = _gutter(self._parts)
        self._spans = _spans(times, self._left)

    def axis(self) -> Chart:
        """Return the axis: the time of day at which each part begins, and the time since then."""
        # What lies between two parts is said above all else.
        top = 14 if len(self._spans) > 1 else 0
        chart = Chart(top + 38, lines=[(x, kind, top + 2) for x, kind, _ in self._lines() if kind == "edge"])
        for span, after in zip(self._spans, [None, *self._spans], strict=False):
            if after:
                pause = progress.duration(span.since - after.until)
                chart.words.append(Words(span.x - _GAP / 2, 11, f"{pause} later", "cut", "middle"))
            chart.words.append(Words(span.x, top + 14, self._clock(span.since), "clock"))
            step = _step(span)
            for number in range(_count(span, step)):
                x = span.at(span.since + number * step)
                if number == 0 or x < span.x + span.width - 4 * _LETTER:
                    chart.words.append(Words(x, top + 32, _elapsed(number * step), "tick"))
        return chart

    def phase(self, name: str) -> Chart | None:
        """Return the drawing of a phase over all parts, None when it was begun in none of them."""
        rows = [next((row for row in part["phases"] if row["name"] == name), None) for part in self._parts]
        drawn = [(span, row) for span, row in zip(self._spans, rows, strict=True) if row and row["started"]]
        if not drawn:
            return None
        chart = Chart(_ROW, lines=self._lines())
        for span, row in drawn:
            self._phase_bar(chart, span, row)
        kind = drawn[-1][1]["kind"]
        if kind in ("puppet", "call"):
            self._nodes(chart, drawn)
        elif kind == "gate":
            for span, row in drawn:
                self._gate(chart, span, row)
            chart.words.append(Words(self._left - 8, _ROW + 11, "rounds", "name", "end"))
            chart.height += _ROW
        return chart

    def _lines(self) -> list[tuple[float, str, float]]:
        lines: list[tuple[float, str, float]] = []
        for number, span in enumerate(self._spans):
            step = _step(span)
            lines += [(span.at(span.since + each * step), "grid", 0) for each in range(_count(span, step))]
            lines += [(span.x - _GAP * share, "edge", 0) for share in (0.75, 0.25)] if number else []
        return lines

    def _phase_bar(self, chart: Chart, span: _Span, row: Mapping) -> None:
        since, until = row["started"], row["ended"] or span.until
        x, end = span.at(since), span.at(until)
        title = f"{row['name']}: {row['state']} after {progress.duration(until - since)}, from {self._clock(since)}"
        chart.bars.append(Bar(x, 4, max(end - x, 2), 6, f"phase {row['state']}", title))
        took = progress.duration(until - since)
        # A phase whose nodes were all kept took no time.
        if until - since >= 0.05 and end + 5 + len(took) * _LETTER <= self._edge(x):
            chart.words.append(Words(end + 5, 11, took, "small"))

    def _gate(self, chart: Chart, span: _Span, row: Mapping) -> None:
        """Draw what a gate answered: green where its round was good, amber where it was held."""
        for number, stretch in enumerate(row["stretches"]):
            x, end = span.at(stretch["since"] if number else row["started"]), span.at(stretch["until"])
            bar = Bar(x, _ROW + 2, max(end - x, 2), _BAR, "open" if stretch["good"] else "held", told(stretch))
            chart.bars.append(bar)

    def _edge(self, x: float) -> float:
        """Return where the part that lies at ``x`` ends for words."""
        return min((span.x - _GAP * 0.75 for span in self._spans[1:] if span.x > x), default=WIDTH)

    # -- nodes ---------------------------------------------------------------------------------------------------

    def _nodes(self, chart: Chart, drawn: list[tuple[_Span, Mapping]]) -> None:
        nodes = list(dict.fromkeys(node for _, row in drawn for node in row["asked"]))
        attempts, suffix = _by_node(drawn), common_domain(nodes)
        rows = nodes if len(nodes) <= ROWS else [node for node in nodes if _is_bad(attempts.get(node, ()))][:_BAD_ROWS]
        for node in rows:
            self._row(chart, node, attempts.get(node, ()), suffix)
        rest = set(nodes) - set(rows)
        ran = [node for node in nodes if node in rest and any(run["started"] for _, run in attempts.get(node, ()))]
        if ran:
            self._dense(chart, ran, attempts, "others" if rows else "nodes")
        if len(rest) > len(ran):
            chart.words.append(Words(self._left - 8, chart.height + 13, f"{len(rest) - len(ran)}", "name", "end"))
            chart.words.append(Words(self._left, chart.height + 13, "were not started", "small"))
            chart.height += _ROW
        chart.height += 4

    def _row(self, chart: Chart, node: str, attempts: Iterable[tuple[_Span, Mapping]], suffix: str) -> None:
        """Draw the attempts of one node, each with its verdict behind it where there is room."""
        y, shapes = chart.height, [self._attempt(span, run, chart.height + 3, _BAR) for span, run in attempts]
        chart.words.append(Words(self._left - 8, y + 13, _short(node.removesuffix(suffix)), "name", "end", node))
        since = self._left
        for number, (bar, words) in enumerate(shapes):
            chart.bars.append(bar)
            until = shapes[number + 1][0].x if number + 1 < len(shapes) else WIDTH
            chart.words += self._beside(bar, y + 12.5, words, since, min(until, self._edge(bar.x)))
            since = bar.x + bar.width
        chart.height += _ROW

    @staticmethod
    def _beside(bar: Bar, y: float, words: str, since: float, until: float) -> list[Words]:
        """Return what is said of a bar where there is room from ``since`` to ``until``: behind it, in it, before it."""
        behind, length = bar.x + bar.width + 5, len(words) * _LETTER
        kind = "small bad" if bar.kind == "bad" else "small"
        if behind + length <= until:
            return [Words(behind, y, words, kind)]
        if length + 8 <= bar.width:
            return [Words(bar.x + 5, y, words, f"inside {bar.kind}")]
        return [Words(bar.x - 5, y, words, kind, "end")] if bar.x - 5 - length >= since else []

    def _dense(self, chart: Chart, nodes: list[str], attempts: Mapping[str, list], what: str) -> None:
        """Draw a line for each node, in the order in which they started."""
        height = min(4.0, max(0.5, _DENSE / len(nodes)))
        first = {node: _first(attempts.get(node, ())) for node in nodes}
        top = chart.height + 2
        for number, node in enumerate(sorted(nodes, key=lambda node: first[node])):
            for span, run in attempts.get(node, ()):
                if run["verdict"] in verdicts.BECAUSE_OF_OTHERS:
                    continue
                bar, _ = self._attempt(span, run, top + number * height, height * 0.9)
                chart.bars.append(bar)
        chart.words.append(Words(self._left - 8, top + 11, f"{len(nodes)} {what}", "name", "end"))
        chart.words.append(Words(self._left - 8, top + 25, "a line each", "tick", "end"))
        chart.height = max(top + height * len(nodes), top + 28)

    def _attempt(self, span: _Span, run: Mapping, y: float, height: float) -> tuple[Bar, str]:
        """Return one attempt as a bar, and its words; one that has no start is a mark where it was settled."""
        verdict, why = run["verdict"], run["reason"] or run["note"]
        because = f", {why}" if why else ""
        if not run["started"]:
            word, x = verdict or "waiting", span.at(run["ended"] or span.since)
            kind = "kept" if verdict == "kept" else "bad" if verdict == "missing" else "unstarted"
            return Bar(x, y, max(height, 3), height, kind, f"{run['node']}: {word}{because}"), word
        x, until = span.at(run["started"]), run["ended"] or span.until
        word, took = verdict or "no verdict", until - run["started"]
        title = f"{run['node']}: {word} after {progress.duration(took)}, from {self._clock(run['started'])}{because}"
        words = f"{word} {progress.duration(run['seconds'] or took)}" if verdict else word
        return Bar(x, y, max(span.at(until) - x, 2), height, kind_of(verdict), title), words


def kind_of(verdict: str | None) -> str:
    """Return the class under which a verdict is drawn."""
    if verdict in (None, "running", "waiting"):
        return "running"
    return verdict if verdicts.GOOD.get(verdict) else "unstarted" if verdict in verdicts.BECAUSE_OF_OTHERS else "bad"


def told(stretch: Mapping) -> str:
    """Return a stretch of a gate's rounds in a sentence."""
    count = f"{stretch['rounds']} {'round' if stretch['rounds'] == 1 else 'rounds'}"
    if stretch["good"]:
        return f"{count} good"
    held = stretch["held_by"]
    if not held:
        return f"{count} not good"
    more = f" (and {stretch['bad'] - 1} more)" if stretch["bad"] > 1 else ""
    return f"{count} held by {held['check']} on {held['node']}: {held['said']}{more}"


def common_domain(nodes: Iterable[str]) -> str:
    """Return the domain that all of several names end with, dot and all, or nothing."""
    names = [node.partition(".") for node in nodes]
    domains = {dot + domain for _, dot, domain in names}
    # An address has no domain.
    return domains.pop() if len(domains) == 1 and not any(name.isdigit() for name, _, _ in names) else ""


def _by_node(drawn: Iterable[tuple[_Span, Mapping]]) -> dict[str, list[tuple[_Span, Mapping]]]:
    found: dict[str, list[tuple[_Span, Mapping]]] = {}
    for span, row in drawn:
        for run in row["attempts"]:
            found.setdefault(run["node"], []).append((span, run))
    return found


def _is_bad(attempts: Iterable[tuple[_Span, Mapping]]) -> bool:
    """Whether an attempt of a node ended badly, and not because of others: mended since or not, it is looked for."""
    return any(kind_of(run["verdict"]) == "bad" for _, run in attempts)


def _first(attempts: Iterable[tuple[_Span, Mapping]]) -> float:
    """Return when a node was first heard of; one that never was comes last."""
    return min((run["started"] or run["ended"] or 0 for _, run in attempts), default=math.inf)


def _gutter(parts: Iterable[Mapping]) -> float:
    """Return what the names of the nodes take at the left, their common domains left out."""
    lengths = [
        len(node) - len(common_domain(row["asked"]))
        for part in parts
        for row in part["phases"]
        if row["kind"] in ("puppet", "call")
        for node in row["asked"]
    ]
    least, most = _LEFT
    return min(max((max(lengths, default=0) + 2) * _LETTER, least), most)


def _spans(times: list[tuple[float, float]], left: float) -> list[_Span]:
    """Return the places of the parts: the same scale for all that do not come out too narrow to read."""
    room = WIDTH - left - _RIGHT - _GAP * (len(times) - 1)
    lengths = [until - since for since, until in times]
    widths = [max(length / sum(lengths) * room, _LEAST) for length in lengths]
    widths = [width * room / sum(widths) for width in widths]
    spans, x = [], left
    for (since, until), width in zip(times, widths, strict=True):
        spans.append(_Span(since, until, x, width))
        x += width + _GAP
    return spans


def _end(part: Mapping, now: float) -> float:
    """Return when a part ended; of one whose process died, the last that is known of it."""
    if part["ended"] or part["state"] == "running":
        return part["ended"] or now
    return max(_moments(part), default=part["started"])


def _moments(part: Mapping) -> Iterator[float]:
    for row in part["phases"]:
        yield from (row[name] for name in ("started", "ended") if row[name])
        yield from (run[name] for run in row["attempts"] for name in ("started", "ended") if run[name])


def _step(span: _Span) -> float:
    """Return the seconds from one tick to the next: at least 70 units apart."""
    least = (span.until - span.since) * 70 / span.width
    return next((step for step in _STEPS if step >= least), math.ceil(least / 86400) * 86400)


def _count(span: _Span, step: float) -> int:
    return max(1, math.ceil((span.until - span.since) / step))


def _elapsed(seconds: float) -> str:
    if seconds < 60 or seconds % 60:
        return f"{seconds:g} s"
    minutes = int(seconds) // 60
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h" + (f" {rest:02d}" if rest else "")


def _short(name: str, most: int = 27) -> str:
    """Return a name with its middle left out when it is long."""
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
