"""
What a terminal shows while a deployment runs: the lines that a log gets, and below them what happens now, redrawn.

Needs the library ``rich`` (``pip install os-orchestrator[live]``); without it, or where nobody can look at a redrawn
screen, the lines alone are shown.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

from os_orchestrator import progress
from os_orchestrator.progress import Step, clock, duration

#: Nodes that are shown running at once, so that a terminal of 24 lines has room for some of the past as well.
ROWS = 8
#: Phases of more nodes than this have a bar.
FEW = 6
#: How often a second it is drawn anew.
_RATE = 2


def sink(stream: TextIO | None = None) -> progress.Lines:
    """Return what shows the steps of a deployment: redrawn in a terminal that can, else as plain lines."""
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return progress.Lines()
    try:
        return View(stream)
    except ImportError:
        return progress.Lines()


# -- what happens now --------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A run that goes on on one node, since when, and what is known of it."""

    node: str
    since: float
    attempt: int
    note: str = ""


@dataclass
class Phase:
    """
    The phase that runs now, learned from its steps. Times are seconds since the epoch.

    last
        How many seconds it took last time, if it ever succeeded.

    ended
        Whether each node that has a verdict is good, by node.

    rounds, in_a_row, successes, held_by, held_since
        A gate's: how often it was asked, the good rounds in a row so far and those that it needs, what holds it.

    stage
        The wave or pass that it is in, where it has several.

    asked
        What an operator is asked for, and how he answers.
    """

    number: int
    name: str
    kind: str
    nodes: int
    began: float
    last: float | None = None
    running: dict[str, Run] = field(default_factory=dict)
    ended: dict[str, bool] = field(default_factory=dict)
    rounds: int = 0
    in_a_row: int = 0
    successes: int = 0
    held_by: str = ""
    held_since: float = 0.0
    stage: str = ""
    asked: tuple[str, str] = ("", "")

    @property
    def bad(self) -> int:
        return sum(not good for good in self.ended.values())

    @property
    def waiting(self) -> int:
        return max(0, self.nodes - len(self.ended) - len(self.running))

    def take(self, step: Step) -> None:
        """Learn of a step of this phase."""
        data = step.data
        if step.what == "node/started":
            self.ended.pop(data["node"], None)
            self.running[data["node"]] = Run(data["node"], step.at, data["attempt"])
        elif step.what == "node/noted" and data["node"] in self.running:
            self.running[data["node"]].note = data["note"]
        elif step.what == "node/ended":
            self.running.pop(data["node"], None)
            self.ended[data["node"]] = data["good"]
        elif step.what == "pass/started":
            self.ended.clear()
            self.stage = f"pass {data['number']} of at most {data['at_most']}"
        elif step.what == "wave/started":
            self.stage = f"{'canary' if data['canary'] else 'wave'}, {data['wave']} of {data['waves']}"
        elif step.what == "confirm/asked":
            until = f"waits for an operator until {clock(data['until'])}: {data['message']}"
            self.asked = until, data["command"]
        elif step.what == "gate/round":
            if data["held_by"] and not self.held_by:
                self.held_since = step.at
            self.rounds, self.in_a_row, self.successes = data["round"], data["in_a_row"], data["successes"]
            self.held_by = data["held_by"]

    def left(self, now: float) -> float | None:
        """
        Return how many seconds are left, by a guess: as last time at first, and the more nodes have ended, the more
        as they have ended so far. None where nothing is known.
        """
        passed, done = now - self.began, len(self.ended) / self.nodes if self.nodes else 0.0
        by_pace = passed / done - passed if done else None
        if self.last is None:
            return by_pace
        by_last = max(0.0, self.last - passed)
        return by_last if by_pace is None else (1 - done) * by_last + done * by_pace

    def to_show(self) -> list[Run]:
        """Return the runs that there is room for: those of which something is known first, then the oldest."""
        return sorted(self.running.values(), key=lambda run: (not run.note, run.since))[:ROWS]


def count(phase: Phase, now: float) -> str:
    """Return how far a phase of many nodes is: ``23 of 40, 1 bad, about 6 min left``."""
    left = phase.left(now)
    words = [f"{len(phase.ended)} of {phase.nodes}"] + ([f"{phase.bad} bad"] if phase.bad else [])
    return ", ".join(words + ([] if left is None else [f"about {roughly(left)} left"]))


def roughly(seconds: float) -> str:
    """Return a duration as exactly as a guess deserves it: ``40 s``, ``6 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else duration(seconds)


def row(run: Run, width: int, now: float) -> str:
    """Return the line of a node that runs."""
    again = f"  attempt {run.attempt}" if run.attempt > 1 else ""
    return f"  {run.node:<{width}}  {duration(now - run.since):>11}{again}  {run.note}".rstrip()


def rest(phase: Phase) -> str:
    """Return the line of the nodes that have none."""
    hidden = len(phase.running) - len(phase.to_show())
    words = [phase.stage] if phase.stage else []
    words += [f"{hidden} more run"] if hidden else []
    words += [f"{phase.waiting} wait"] if phase.waiting else []
    return f"  {', '.join(words)}" if words else ""


def gate(phase: Phase) -> list[str]:
    """Return the lines of a gate: its rounds, and what holds it."""
    if not phase.rounds:
        return ["  asking for the first time"]
    lines = [f"  round {phase.rounds}, {phase.in_a_row} of {phase.successes} good in a row"]
    return lines + ([f"  since {clock(phase.held_since)}: {phase.held_by}"] if phase.held_by else [])


# -- how it is drawn ---------------------------------------------------------------------------------------------------


class View(progress.Lines):
    """
    Lines that scroll, and below them the present phase, redrawn; only while it is entered.

    A node's start and the good rounds of a gate have no line: they are seen below.
    """

    def __init__(self, stream: TextIO):
        from rich.console import Console

        super().__init__(stream)
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._phase: Phase | None = None
        # It is drawn in a thread of its own.
        self._lock = threading.Lock()
        self._tidy = contextlib.ExitStack()

    def __enter__(self) -> View:
        from rich.live import Live

        # What is printed on stdout is the result, which this must not touch.
        drawn = Live(
            console=self._console,
            get_renderable=self._drawn,
            refresh_per_second=_RATE,
            transient=True,
            redirect_stdout=False,
        )
        self._tidy.enter_context(drawn)
        self._tidy.enter_context(_logged_above(self._stream))
        return self

    def __exit__(self, *_exc) -> None:
        self._tidy.close()

    def __call__(self, step: Step) -> None:
        from rich.text import Text

        line = self.line(step)
        if line and not _is_seen_below(step):
            self._console.print(Text(line, style=_style(step)), soft_wrap=True)
        with self._lock:
            self._phase = _after(self._phase, step)

    def _drawn(self):
        """Return what stands below the lines."""
        with self._lock:
            return self._below()

    def _below(self):
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        phase, now = self._phase, time.time()
        if phase is None:
            return Text("")
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        head.add_column(no_wrap=True, justify="right")
        head.add_row(Text(self._head({"phase": phase.number, "name": phase.name}), "bold"), duration(now - phase.began))
        if phase.kind == "confirm":
            lines = [f"  {line}" for line in phase.asked]
        else:
            lines = gate(phase) if phase.kind == "gate" else self._rows(phase, now)
        below = [Text(progress.printable(line), no_wrap=True, overflow="ellipsis") for line in lines]
        return Group(head, *([_bar(phase, now)] if phase.nodes > FEW and phase.kind != "gate" else []), *below)

    def _rows(self, phase: Phase, now: float) -> list[str]:
        lines = [row(run, self._width, now) for run in phase.to_show()]
        return lines + [line for line in [rest(phase)] if line]


def _after(phase: Phase | None, step: Step) -> Phase | None:
    """Return the present phase after a step."""
    data = step.data
    if step.what == "phase/started":
        nodes = len(data["nodes"])
        return Phase(data["phase"], data["name"], data["kind"], nodes, step.at, data.get("last_seconds"))
    if phase is None or step.what in ("phase/ended", "deployment/ended"):
        return None
    phase.take(step)
    return phase


def _bar(phase: Phase, now: float):
    """Return the bar of a phase of many nodes, with its count and estimate."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    style = "red" if phase.bad else "green"
    done = ProgressBar(total=phase.nodes, completed=len(phase.ended), complete_style=style, finished_style=style)
    bar.add_row(done, count(phase, now))
    return bar


def _is_seen_below(step: Step) -> bool:
    return step.what == "node/started" or (step.what == "gate/round" and step.data["good"])


def _style(step: Step) -> str:
    """Return how a line looks that says what became of something; all others look plain."""
    if step.what == "node/ended":
        return "" if step.data["good"] else "red"
    if step.what in ("phase/ended", "deployment/ended"):
        return "green" if step.data["state"] == "succeeded" else "bold red"
    return ""


@contextlib.contextmanager
def _logged_above(stream: TextIO | None) -> Iterator[None]:
    """Let what Salt logs to the terminal appear above what is redrawn, instead of in its midst."""
    streaming = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    handlers = [handler for handler in streaming if handler.stream is stream]
    before = [(handler, handler.setStream(sys.stderr)) for handler in handlers]
    try:
        yield
    finally:
        for handler, old in before:
            handler.setStream(old)
