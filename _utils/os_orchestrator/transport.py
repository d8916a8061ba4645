"""
Salt's keys, client and event bus: who has a key, what is sent, what comes back.

Everything that this project sends to nodes and hears from them passes through :class:`Bus`.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import salt.client
import salt.key
import salt.utils.args
import salt.utils.event
import salt.utils.minions
from salt.exceptions import AuthenticationError

from os_orchestrator import doors, interrupts, jobcache

#: Bus tags that matter here begin with one of these; the rest of the bus is other people's.
_RETURN, _START = "salt/job/", "salt/minion/"
#: Seconds within which the master stores an answer that it has announced on the bus, and between two looks for it.
_STORED_WITHIN, _LOOK_AGAIN = 10, 0.02


@dataclass(frozen=True)
class Return:
    """What a node answered to a job. ``answer`` is as the node sent it: any type, any size."""

    node: str
    jid: str
    answer: object
    retcode: object


@dataclass(frozen=True)
class Started:
    """A node's minion has (re)started."""

    node: str


class Unreachable(Exception):
    """The master could not send: it is not running, or refuses."""


def accepted_keys(opts: Mapping) -> frozenset[str] | None:
    """
    Return the ids whose keys the master has accepted; None on a master of masters (``order_masters``), which cannot
    know: the keys of most nodes lie on the masters below.
    """
    if opts.get("order_masters"):
        return None
    return frozenset(salt.key.get_key(dict(opts)).list_keys().get("minions", ()))


def match(opts: Mapping, target: str, target_type: str = "glob") -> list[str]:
    """Return the ids, of accepted keys, that a Salt target matches: sorted, from the master's own data."""
    found = salt.utils.minions.CkMinions(dict(opts)).check_minions(target, target_type)
    return sorted(set(found.get("minions", ())))


@functools.lru_cache(maxsize=1)
def _client(conf_file: str, _written: int, _process: int) -> salt.client.LocalClient:
    """Return Salt's client, made once for each process and configuration: that takes as long as pinging a node."""
    return salt.client.LocalClient(c_path=conf_file, auto_reconnect=True)


class Bus:
    """
    A subscription to the master's event bus and a client that publishes to nodes.

    An event only announces an answer; what is believed is the answer that the master has stored from that node
    (:mod:`jobcache`), to a job published here, from a node that was asked.

    Subscribed before anything is published, so no answer is missed. Use as a context manager.
    ``opts`` needs ``conf_file`` alone: the client reads the master's configuration itself, since the ``__opts__``
    of a reactor or of an orchestration may lack what publishing needs.

    heard
        When each node has last answered, by the monotonic clock; buses that follow one another share it.
    """

    def __init__(self, opts: Mapping, heard: dict[str, float] | None = None):
        self._conf_file = opts["conf_file"]
        self._heard = {} if heard is None else heard
        self._asked: dict[str, frozenset[str]] = {}
        self._announced: dict[tuple[str, str], tuple[Return, float]] = {}

    def __enter__(self):
        self._client = self._new_client()
        self._answers = jobcache.of(self._client.opts)
        self._events = salt.utils.event.get_event(
            "master", sock_dir=self._client.opts["sock_dir"], opts=self._client.opts, listen=True
        )
        if not self._events.connect_pub(timeout=5):
            self.__exit__(None, None, None)
            raise doors.Refused(
                f"the event bus of the master does not answer in {self._client.opts['sock_dir']};"
                " is salt-master running?"
            )
        return self

    def __exit__(self, *_exc):
        self._events.destroy()

    def _new_client(self) -> salt.client.LocalClient:
        written = os.stat(self._conf_file).st_mtime_ns if os.path.exists(self._conf_file) else 0
        return _client(self._conf_file, written, os.getpid())

    def publish(self, nodes: Iterable[str], function: str, kwargs: Mapping | None = None, args: Iterable = ()) -> str:
        """Send one job to an explicit list of nodes and return its jid. Raises :class:`Unreachable`."""
        asked, arguments = list(nodes), salt.utils.args.condition_input(list(args), dict(kwargs or {}))
        try:
            sent = self._publish(asked, function, arguments)
        except AuthenticationError as error:
            raise Unreachable(str(error) or "the master refuses this user") from error
        except Exception as error:  # Salt's network code raises many kinds
            interrupts.check()
            raise Unreachable("the master's publisher does not answer; is salt-master running?") from error
        jid = str(sent.get("jid") or "0") if isinstance(sent, Mapping) else "0"
        if jid == "0" or not (sent.get("minions") or self._client.opts.get("order_masters")):
            raise Unreachable("the master published nothing: it knows none of these nodes")
        self._asked[jid] = frozenset(asked)
        return jid

    def _publish(self, *job: object) -> Any:
        """Publish as whoever this is; a restarted master has another key for him."""
        # Not run_job: where nothing matches it prints that on stdout, where the answer of a command belongs alone.
        try:
            return self._client.pub(*job, tgt_type="list")
        except AuthenticationError:
            _client.cache_clear()
            self._client = self._new_client()
            return self._client.pub(*job, tgt_type="list")

    def next(self, wait: float) -> Return | Started | None:
        """
        Return the next answer or start of a node, or None when ``wait`` seconds have passed without one: with 0, when
        there is none now. Raises SystemExit when the operator has asked to stop.
        """
        end = time.monotonic() + wait
        while True:
            interrupts.check()
            stored = self._stored()
            if stored:
                return stored
            left = end - time.monotonic()
            wait = min(left, _LOOK_AGAIN) if self._announced else left
            event = self._events.get_event(wait=wait, full=True, auto_reconnect=True, no_block=wait <= 0)
            heard = _read(event) if event else None
            if isinstance(heard, Return):
                self._announce(heard)
            elif heard:
                return heard
            # What is other people's does not hold up who asks what there is now, for long.
            if left <= 0 and (not event or left < -_LOOK_AGAIN):
                return self._stored()

    def silent(self, nodes: Iterable[str], seconds: float) -> list[str]:
        """Return those of some nodes that have not answered anything within the last ``seconds``."""
        since = time.monotonic() - seconds
        return [node for node in nodes if self._heard.get(node, since) <= since]

    def stored(self, jid: str, node: str) -> Return | None:
        """Return the answer that the master has stored, whether or not its event was heard."""
        found = self._answers.find(jid, node) if self._answers else None
        return Return(node, jid, found.answer, found.retcode) if found else None

    def forget(self, jid: str) -> None:
        """Wait for no more answers to a job."""
        self._asked.pop(jid, None)

    def _announce(self, heard: Return) -> None:
        """An answer is announced: wait until the master has stored it, if it is one to wait for."""
        if heard.node in self._asked.get(heard.jid, ()):
            self._announced[heard.jid, heard.node] = heard, time.monotonic() + _STORED_WITHIN

    def _stored(self) -> Return | None:
        """Return an answer that was announced and is stored by now; as announced, where the master stores none."""
        for announced, (heard, until) in self._announced.items():
            stored = self.stored(*announced) if self._answers else heard
            if stored or time.monotonic() > until:
                del self._announced[announced]
                if stored:
                    self._heard[stored.node] = time.monotonic()
                return stored or self._stored()
        return None

    def call(
        self,
        nodes: Iterable[str],
        function: str,
        timeout: float,
        kwargs: Mapping | None = None,
        args: Iterable = (),
        times: int = 1,
    ) -> dict[str, Return]:
        """
        Run a function on nodes and return the answers that came within ``timeout`` seconds, by node.

        Those that are silent are asked up to ``times`` in that span, since a minion that is just connecting hears no
        job; but not while others still answer, which may be all that the master has time for.
        """
        silent, answers, jids = set(nodes), {}, set()
        end, patience, args = time.monotonic() + timeout, timeout / times, list(args)
        for _ in range(times):
            if not silent or time.monotonic() >= end:
                break
            jids.add(self.publish(silent, function, kwargs, args))
            until = min(end, time.monotonic() + patience)
            while silent and time.monotonic() < until:
                heard = self.next(until - time.monotonic())
                if isinstance(heard, Return) and heard.jid in jids and heard.node in silent:
                    answers[heard.node] = heard
                    silent.remove(heard.node)
                    until = min(end, time.monotonic() + patience)
        for jid in jids:
            self.forget(jid)
        return answers

    def await_tag(self, prefix: str, wait: float) -> None:
        """
        Wait until an event whose tag begins so comes, ``wait`` seconds at most. What it says is not looked at: anyone
        may have put it there. Raises SystemExit when the operator has asked to stop.
        """
        self._events.get_event(wait=wait, tag=prefix, match_type="startswith", auto_reconnect=True)
        interrupts.check()

    def fire(self, tag: str, data: Mapping) -> None:
        """Put an event on the master's bus. A master that is away hears it not: what happened is in the journal."""
        for _ in range(2):
            try:
                self._events.fire_event(dict(data), tag)
                return
            except Exception:  # Salt's network code raises many kinds
                interrupts.check()
                # A restarted master has another socket, and Salt 3006 keeps the old one.
                self._events.close_pull()


def _read(event: object) -> Return | Started | None:
    """Return what an event of the bus says of a node, or None when it is about something else."""
    if not isinstance(event, Mapping):
        return None
    tag, data = str(event.get("tag", "")), event.get("data")
    parts = tag.split("/")
    if not isinstance(data, Mapping):
        return None
    if tag.startswith(_RETURN) and len(parts) == 5 and parts[3] == "ret":
        return Return(node=parts[4], jid=parts[2], answer=data.get("return"), retcode=data.get("retcode"))
    if tag.startswith(_START) and len(parts) == 4 and parts[3] == "start":
        return Started(node=parts[2])
    return None
