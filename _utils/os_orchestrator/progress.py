"""
What is shown while a deployment runs: the steps, as plain lines for a terminal or a log, and as events for the bus.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

#: Version of the events' data, in each of them; a field may be added under the same version, none removed or changed.
EVENT_VERSION = 1


@dataclass(frozen=True)
class Step:
    """
    One thing that has happened in a deployment; in the journal already when it is told here.

    what
        ``deployment/started``, ``agents/quiet``, ``agents/restored``, ``phase/started``, ``phase/left_out``,
        ``pass/started``, ``wave/started``, ``node/started``, ``node/noted``, ``node/ended``, ``pass/ended``,
        ``gate/round``, ``confirm/asked``, ``confirm/answered``, ``phase/ended``, ``deployment/ended``.

    data
        Plain values: ``phase`` and ``name`` (its number and sentence) for all but the deployment's own, ``node``
        for a node's.

    at
        When, in seconds since the epoch by the master's clock.
    """

    what: str
    environment: str
    deployment: str
    data: Mapping = field(default_factory=dict)
    at: float = field(default_factory=lambda: time.time())

    @property
    def tag(self) -> str:
        return f"os-orchestrator/{self.environment}/{self.deployment}/{self.what}"

    @property
    def event(self) -> dict:
        return {
            "version": EVENT_VERSION,
            "environment": self.environment,
            "deployment": self.deployment,
            "what": self.what,
            "at": self.at,
            **self.data,
        }


Sink = Callable[[Step], None]


def duration(seconds: float) -> str:
    """Return a duration as an operator says it: ``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def clock(at: float | None = None) -> str:
    """Return a time of day of this machine."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def date(at: float) -> str:
    """Return a day and time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def did(verdict: str | None, reason: str, details: Mapping, width: int = 60) -> str:
    """Return in a few words what a run did, or why it is bad; a list of resources is cut at ``width`` characters."""
    resources = details.get("resources", {})
    words = []
    if verdict in ("changed", "tolerated") and resources.get("changed"):
        words.append(f"{resources['changed']} changed")
    if verdict == "changed" and details.get("noop"):
        words = [f"{resources.get('out_of_sync', 0)} would change"]
    if verdict == "tolerated":
        named = ", ".join(str(f.get("resource")) for f in details.get("failures", ()) if f.get("tolerated"))
        words.append(f"tolerated: {shorten(named, width)}")
    elif reason:
        words.append(reason)
    return ", ".join(words)


def drift(details: Mapping, most: int = 5) -> str:
    """Return in a few words what is, or was, not as it should be: how many resources, and the first of them."""
    resources = details.get("resources", {})
    count = resources.get("out_of_sync", 0) or resources.get("changed", 0)
    named = [str(row.get("resource")) for row in details.get("changes", ())[:most]]
    more = ", …" if count > len(named) else ""
    said = counted(count, "resource")
    return f"{said}: {', '.join(named)}{more}" if named else said


def counted(count: int, what: str) -> str:
    """Return how many there are of something: ``1 node``, ``2 nodes``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def shorten(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 1].rstrip() + "…"


def printable(words: str) -> str:
    """Return words as one line without what a terminal would take for a command."""
    return "".join(character if character.isprintable() else " " for character in words)


class Lines:
    """
    Steps as plain lines: one as each node starts and one as it ends.

    A context, for as long as a phase runs: others have to tidy up at its end.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream
        self._width = 8
        self._phases = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_exc) -> None:
        pass

    def __call__(self, step: Step) -> None:
        line = self.line(step)
        if line:
            # Taken anew each time: a test or a wrapper may have replaced it.
            print(line, file=self._stream or sys.stderr, flush=True)

    def line(self, step: Step) -> str:
        """Return the line of a step, or nothing where it has none."""
        writer = getattr(self, "_" + re.sub(r"\W", "_", step.what), None)
        words = writer(step.data) if writer else ""
        return printable(f"{clock(step.at)} {words}") if words else ""

    def _head(self, data: Mapping) -> str:
        return f"[{data['phase']}/{self._phases}] {data['name']}"

    def _deployment_started(self, data: Mapping) -> str:
        self._phases = data["phases"]
        noop = ", noop: nothing is changed" if data["noop"] else ""
        return f"{data['title']}{noop}, by {data['user']}, deployment {data['id']}"

    def _agents_quiet(self, data: Mapping) -> str:
        return f"agents are kept quiet on {len(data['nodes']) - len(data['refused'])} nodes{_but(data['refused'])}"

    def _agents_restored(self, data: Mapping) -> str:
        cure = f"; {data['command']}" if data["refused"] else ""
        return (
            f"agents are as they were on {len(data['nodes']) - len(data['refused'])} nodes{_but(data['refused'])}{cure}"
        )

    def _phase_started(self, data: Mapping) -> str:
        self._width = min(40, max((len(node) for node in data["nodes"]), default=8))
        count = len(data["nodes"])
        on = ", ".join(data["nodes"]) if count <= 6 else f"{count} nodes"
        return f"{self._head(data)}: {on}" if on else self._head(data)

    def _phase_left_out(self, data: Mapping) -> str:
        return f"{self._head(data)}: left out, {data['reason']}"

    def _node_started(self, data: Mapping) -> str:
        again = f" again (attempt {data['attempt']})" if data["attempt"] > 1 else ""
        return f"  {data['node']:<{self._width}}  started{again}"

    def _node_noted(self, data: Mapping) -> str:
        return f"  {data['node']:<{self._width}}  {data['note']}"

    def _node_ended(self, data: Mapping) -> str:
        took = f"{data['seconds']:7.1f} s" if data["seconds"] else " " * 9
        return f"  {data['node']:<{self._width}}  {data['verdict']:<11}{took}  {data['did']}".rstrip()

    def _pass_started(self, data: Mapping) -> str:
        return f"  pass {data['number']} of at most {data['at_most']}"

    def _pass_ended(self, data: Mapping) -> str:
        nodes, resources = data["changed"]["nodes"], data["changed"]["resources"]
        said = f"{counted(resources, 'resource')} of {counted(nodes, 'node')} changed" if nodes else "nothing changed"
        return f"  pass {data['number']} of at most {data['at_most']}: {said}"

    def _wave_started(self, data: Mapping) -> str:
        nodes = data["nodes"]
        on = ", ".join(nodes) if len(nodes) <= 6 else f"{len(nodes)} nodes"
        return f"  {'canary' if data['canary'] else 'wave'}, {data['wave']} of {data['waves']}: {on}"

    def _confirm_asked(self, data: Mapping) -> str:
        return f"  waits for an operator until {clock(data['until'])}: {data['message']}; {data['command']}"

    def _confirm_answered(self, data: Mapping) -> str:
        because = f": {data['reason']}" if data["reason"] else ""
        return f"  {data['answer']} by {data['user']}{because}"

    def _gate_round(self, data: Mapping) -> str:
        if data["good"]:
            return f"  round {data['in_a_row']} of {data['successes']} is good"
        return f"  waiting: {data['held_by']}" if data["news"] else ""

    def _phase_ended(self, data: Mapping) -> str:
        tail = f": {data['reason']}" if data["reason"] else ""
        return f"{self._head(data)} {data['state']} after {duration(data['seconds'])}{tail}"

    def _deployment_ended(self, data: Mapping) -> str:
        return f"{data['title']} {data['state']} after {duration(data['seconds'])}"


def _but(refused: Mapping[str, str]) -> str:
    return "".join(f", not on {node}: {why}" for node, why in refused.items())


class Silent(Lines):
    """Nothing, for a deployment that nobody has started from a terminal."""

    def __call__(self, step: Step) -> None:
        pass
