"""
Calls that go with a node: taking it out of service, looking whether it is well, putting it back.

One after the other, each asked until it holds or its time is up; all must hold. Nothing here waits: who has the bus
hands over the answers, and the time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping

from os_orchestrator import environment, replies, transport, verdicts


class Errand:
    """
    Calls for one node.

    what
        The part that they play: ``before``, ``check``, ``after``, or ``calls`` for all that there is.

    failed
        What did not hold, in a sentence; nothing while all is well. ``silent``: it was asked, and nobody
        answered at all.

    rows
        Each call that has ended, as plain values: ``{what, function, nodes, good, said, seconds, times}``.
    """

    def __init__(
        self,
        what: str,
        node: str,
        calls: Iterable[environment.Call],
        roles: Mapping[str, environment.Role],
        bus: transport.Bus,
    ):
        self.what, self.failed, self.silent = what, "", False
        self.rows: list[dict] = []
        self.jid = ""
        self._node, self._roles, self._bus = node, roles, bus
        # On a role without nodes there is nothing to do, and nobody to do it.
        self._calls = deque(call for call in calls if self._on(call))
        self._returns: dict[str, transport.Return] = {}
        self._began, self._due, self._times, self._sent = time.monotonic(), 0.0, 0, False

    @property
    def over(self) -> bool:
        return bool(self.failed) or not self._calls

    @property
    def due(self) -> float:
        """When something is to be done though nobody has answered, by the monotonic clock."""
        return self._due

    @property
    def now(self) -> str:
        """What it is at: ``before: haproxy_endpoint.drain on lb1``."""
        call = self._calls[0]
        return f"{self.what}: {call.function} on {_several(self._on(call))}"

    def hear(self, heard: transport.Return) -> None:
        """Take the answer of one node to the call that is asked; what comes late, or from another, is none."""
        if not self.jid or heard.jid != self.jid or heard.node not in self._on(self._calls[0]):
            return
        self._returns[heard.node] = heard
        if len(self._returns) == len(self._on(self._calls[0])):
            self._judge()

    def go_on(self) -> None:
        """Do what is due: ask, ask again, or take silence for an answer."""
        if self.over or time.monotonic() < self._due:
            return
        if self.jid:
            self._judge()
        else:
            self._ask()

    def _on(self, call: environment.Call) -> tuple[str, ...]:
        return (self._node,) if call.role is None else self._roles[call.role].nodes

    def _ask(self) -> None:
        call = self._calls[0]
        self._returns, self._times = {}, self._times + 1
        self._due = time.monotonic() + call.timeout
        kwargs, args = replies.about(dict(call.kwargs), self._node), replies.about(list(call.args), self._node)
        try:
            self.jid = self._bus.publish(self._on(call), call.function, kwargs, args)
        except transport.Unreachable as error:
            self._conclude(call, [], f"could not be asked: {error}")
        else:
            self._sent = True

    def _judge(self) -> None:
        """Decide by the answers that there are; a node that has said nothing has not said that it holds."""
        call = self._calls[0]
        self._bus.forget(self.jid)
        found = replies.judge(call, self._on(call), self._returns)
        bad = [answer for answer in found if not answer.good]
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        self._conclude(call, found, f"{bad[0].sentence}{more}" if bad else "")

    def _conclude(self, call: environment.Call, found: list[replies.Answer], held_by: str) -> None:
        now, self.jid = time.monotonic(), ""
        if held_by and now + call.interval <= self._began + call.within:
            self._due = now + call.interval
            return
        said = held_by or "; ".join(dict.fromkeys(verdicts.text(answer.said, 200) for answer in found))
        row = {"what": self.what, "function": call.function, "nodes": list(self._on(call)), "good": not held_by}
        self.rows.append(row | {"said": said, "seconds": round(now - self._began, 3), "times": self._times})
        if held_by:
            self.failed = held_by + (f", within {call.within:g} s" if call.within else "")
            self.silent = self._sent and not self._returns
            return
        self._calls.popleft()
        self._began, self._due, self._times, self._sent = now, 0.0, 0, False
        self.go_on()


def _several(nodes: tuple[str, ...]) -> str:
    return ", ".join(nodes) if len(nodes) <= 3 else f"{len(nodes)} nodes"
