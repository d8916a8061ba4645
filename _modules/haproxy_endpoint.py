"""
Whether the HAProxy on this node has live servers behind an endpoint, and taking one of them out and back, all through
its stats socket.

A balancer whose configuration was written before the compute nodes had exported themselves starts without an error and
answers 503 for ever; only HAProxy itself knows who is behind it, and whether they answer.

A server is taken out of the running HAProxy, not of its configuration: a reload forgets it, unless HAProxy has
``load-server-state-from-file``.

:configuration: Optional, in the minion's configuration or its pillar; this is the default:

    .. code-block:: yaml

        haproxy_endpoint:
          socket: /run/haproxy/admin.sock     # `stats socket` in haproxy.cfg; to ask, level user is enough
"""

import csv
import functools
import socket

from salt.exceptions import CommandExecutionError, SaltInvocationError

_TIMEOUT = 10
_LARGEST = 16 << 20
# The bits of srv_admin_state that `set server` sets; the others come from the configuration or another server.
_MAINT, _DRAIN = 0x01, 0x08


class _Unknown(CommandExecutionError):
    """A server or backend that HAProxy does not have; ``code`` is the reason code that a predicate gives for it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def _reason(code, message):
    return {"code": code, "message": message}


def _names(what, value):
    """Return names given as a list or with commas."""
    items = value.split(",") if isinstance(value, str) else [] if value is None else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in items):
        raise SaltInvocationError(f"{what}={value!r} is no list of names")
    return [item.strip() for item in items]


def _parse(statistics, states):
    """Return ``{backend: {server: {"status", "check", "sessions", "state"}}}`` of what HAProxy printed."""
    if not statistics.startswith("# pxname,svname,"):
        raise CommandExecutionError(f"HAProxy's stats socket did not print statistics: {statistics.strip()[:200]!r}")
    found, bits = {}, _parse_states(states)
    for row in csv.DictReader(statistics[2:].splitlines()):
        servers = found.setdefault(row["pxname"], {}) if row["svname"] != "FRONTEND" else {}
        if row["svname"] not in ("FRONTEND", "BACKEND"):
            servers[row["svname"]] = {
                "status": row["status"],
                "check": " ".join(filter(None, (row.get("check_status"), row.get("last_chk")))),
                "sessions": int(row["scur"]) + int(row["qcur"] or 0),
                "state": _state(bits.get((row["pxname"], row["svname"]), 0)),
            }
    return found


def _parse_states(text):
    """Return ``{(backend, server): srv_admin_state}`` of what ``show servers state`` printed."""
    version, _, table = text.partition("\n# ")
    if version != "1":
        raise CommandExecutionError(f"HAProxy's stats socket did not print the servers' states: {text.strip()[:200]!r}")
    rows = csv.DictReader(table.splitlines(), delimiter=" ")
    return {(row["be_name"], row["srv_name"]): int(row["srv_admin_state"]) for row in rows if row["srv_name"]}


def _state(bits):
    return "maint" if bits & _MAINT else "drain" if bits & _DRAIN else "ready"


def _is_live(server, unchecked):
    return server["status"].split(" ")[0] == "UP" or (unchecked and server["status"] == "no check")


def _short(name):
    return name.split(".", 1)[0]


def _found(servers, wanted):
    """Return the name under which a server is listed: its own, or its first label for a full host name."""
    return next((name for name in (wanted, _short(wanted)) if name in servers), None)


def _no_backend(known, backend):
    names = ", ".join(sorted(known)) or "none"
    return _Unknown("no_backend", f"HAProxy has no backend {backend}, only {names}: run Puppet on this node")


def _not_listed(server, backend):
    behind = f"not behind {backend}" if backend else "behind no backend"
    return _Unknown("not_listed", f"{server} is {behind}: run Puppet on it, then here")


def _places(known, server, backend):
    """Return the servers of HAProxy that go by a name, as ``{(backend, server): what it says of it}``."""
    if backend is not None and backend not in known:
        raise _no_backend(known, backend)
    behind = sorted(known) if backend is None else [backend]
    places = {(each, name): known[each][name] for each in behind if (name := _found(known[each], server))}
    if not places:
        raise _not_listed(server, backend)
    return places


def _judge_live(backend, name, server, unchecked):
    """Return the reason for which a server gets no requests, if any."""
    if _is_live(server, unchecked):
        return []
    said = f"{server['status']} ({server['check']})" if server["check"] else server["status"]
    return [_reason("not_live", f"{name} behind {backend} is {said}")]


def _judge_drained(backend, name, server):
    """Return the reason for which a server is not out of use yet, if any."""
    if server["state"] == "ready" and not server["status"].startswith(("DRAIN", "MAINT")):
        cure = "haproxy_endpoint.drain does that"
        return [_reason("in_use", f"{name} behind {backend} has not been taken out: {cure}")]
    if server["sessions"]:
        count = "1 session" if server["sessions"] == 1 else f"{server['sessions']} sessions"
        return [_reason("sessions", f"{name} behind {backend} still has {count}")]
    return []


def _judge_gone(backend, name, _server):
    return [_reason("listed", f"{name} is still behind {backend}: run Puppet on this node")]


def _judge(backend, servers, wanted, count, unchecked):
    """Return every reason for which a backend does not serve with all its servers."""
    reasons = []
    for name in wanted:
        if listed := _found(servers, name):
            reasons += _judge_live(backend, listed, servers[listed], unchecked)
        else:
            reasons.append(_reason("not_listed", str(_not_listed(name, backend))))
    live = sum(_is_live(server, unchecked) for server in servers.values())
    if live < count:
        reasons.append(_reason("too_few", f"{backend} has {live} live servers of {len(servers)}, {count} are asked"))
    return reasons


def _ask(path, command):
    """Return what the stats socket prints for a command."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(path)
            connection.sendall(f"{command}\n".encode())
            return _all(connection).decode("utf-8", "replace")
    except OSError as error:
        why = error.strerror or error
        raise CommandExecutionError(f"HAProxy's stats socket {path} cannot be asked ({why}): is it running?") from None


def _all(connection):
    parts, size = [], 0
    while (part := connection.recv(65536)) and size < _LARGEST:
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _look(path):
    """Return what HAProxy says of all its servers now."""
    return _parse(_ask(path, "show stat"), _ask(path, "show servers state"))


def _set(path, place, state):
    said = _ask(path, f"set server {'/'.join(place)} state {state}").strip()
    if said.startswith("Permission denied"):
        cure = f"write `stats socket {path} level admin` in its configuration"
        raise CommandExecutionError(f"HAProxy does not let a server be changed through {path}: {cure}")
    if said:
        raise CommandExecutionError(f"HAProxy did not set {'/'.join(place)} to {state}: {said[:200]}")


def _change(server, backend, state, path):
    """Bring a server into a state, wherever it is not, and look whether it is there."""
    _named(server, backend)
    before = _places(_look(path), server, backend)
    for place in [place for place, found in before.items() if found["state"] != state]:
        _set(path, place, state)
    after = _places(_look(path), server, backend)
    if other := ["/".join(place) for place, found in after.items() if found["state"] != state]:
        raise CommandExecutionError(f"HAProxy took the order and has not set {', '.join(other)} to {state}: ask again")
    states = {"/".join(place): found["state"] for place, found in before.items()}
    return {"state": state, "changed": set(states.values()) != {state}, "before": states}


def _socket(path):
    return path or __salt__["config.get"]("haproxy_endpoint:socket", None) or "/run/haproxy/admin.sock"


def _name(what, value):
    if not isinstance(value, str) or not value:
        raise SaltInvocationError(f"{what}={value!r} is no name of a {what}")


def _named(server, backend):
    _name("server", server)
    if backend is not None:
        _name("backend", backend)


def _flag(what, value):
    if not isinstance(value, bool):
        raise SaltInvocationError(f"{what}={value!r} is not possible: give True or False")


def servers(socket=None):
    """
    Return what HAProxy says of the servers behind each of its backends.

    socket
        Its stats socket. As configured by default, else ``/run/haproxy/admin.sock``.

    Returns ``{backend: {server: {"status", "check", "sessions", "state"}}}``: ``sessions`` counts those going on and
    those that wait, ``state`` is ``ready``, ``drain`` or ``maint``, as it was set. Raises an error if the socket cannot
    be asked.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.servers
    """
    return _look(_socket(socket))


def ready(backend, servers=None, count=1, unchecked=False, socket=None):
    """
    Answer whether a backend has all the servers that it should have, and each of them is live.

    backend
        The backend, or ``listen`` section.

    servers
        Names that must be behind it, as a list or with commas. A full host name is found under its first label too.
        None by default.

    count
        How many servers must be live at least. 1 by default.

    unchecked
        Take a server without a health check for live. False by default.

    socket
        HAProxy's stats socket. As configured by default, else ``/run/haproxy/admin.sock``.

    Returns ``{"ready", "backend", "live", "identity", "reasons", "warnings", "observed"}``, reasons as
    ``{"code", "message"}``. Codes: ``no_haproxy``, ``no_backend``, ``not_listed``, ``not_live``, ``too_few``. Not ready
    sets the return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.ready nova_api servers=cmp1,cmp2
        salt lb1 haproxy_endpoint.ready nova_api count=40
    """
    wanted = _names("servers", servers)
    _name("backend", backend)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise SaltInvocationError(f"count={count!r} is not possible: give a whole number")
    _flag("unchecked", unchecked)
    try:
        known = _look(_socket(socket))
    except CommandExecutionError as error:
        return _answer(backend, {}, unchecked, [_reason("no_haproxy", str(error))])
    if backend not in known:
        return _answer(backend, {}, unchecked, [_reason("no_backend", str(_no_backend(known, backend)))])
    return _answer(backend, known[backend], unchecked, _judge(backend, known[backend], wanted, count, unchecked))


def _answer(backend, listed, unchecked, reasons):
    live = sorted(name for name, server in listed.items() if _is_live(server, unchecked))
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "backend": backend,
        "live": live,
        "identity": f"{backend}: {' '.join(live)}",
        "reasons": reasons,
        "warnings": [],
        "observed": listed,
    }


def _answer_of(server, backend, path, judge):
    """Answer for one server in every backend that lists it; ``judge`` gives the reasons of one place."""
    _named(server, backend)
    places, reasons = {}, []
    try:
        places = _places(_look(path), server, backend)
    except CommandExecutionError as error:
        reasons.append(_reason(getattr(error, "code", "no_haproxy"), str(error)))
    for place, found in places.items():
        reasons += judge(*place, found)
    __context__["retcode"] = 1 if reasons else 0
    observed = {"/".join(place): found for place, found in places.items()}
    return {
        "ready": not reasons,
        "server": server,
        "identity": " ".join(observed),
        "reasons": reasons,
        "warnings": [],
        "observed": observed,
    }


def drain(server, backend=None, socket=None):
    """
    Send a server no more requests; those going on are served to their end, and its health check goes on.

    This is the way to take a server out for work on it. HAProxy still sends it the clients that are bound to it, by a
    cookie or a stick table: where there are such, ``disable`` it in the end.

    server
        The server. A full host name is found under its first label too.

    backend
        The backend, or ``listen`` section. Every one that lists the server by default.

    socket
        HAProxy's stats socket, of ``level admin``. As configured by default, else ``/run/haproxy/admin.sock``.

    Returns ``{"state", "changed", "before"}``, the last as ``{"backend/server": state}``. Raises an error if HAProxy
    has no such server or does not do it.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.drain cmp1
        salt lb1 haproxy_endpoint.drain cmp1 backend=nova_api
    """
    return _change(server, backend, "drain", _socket(socket))


def disable(server, backend=None, socket=None):
    """
    Send a server nothing more, bound clients included, and ask its health no more; what goes on goes on.

    When it is enabled again HAProxy takes it for live at once, until its first check: ``drain`` is better where the
    server is to come back.

    server, backend, socket
        As ``drain`` takes them.

    Returns what ``drain`` returns. Raises an error if HAProxy has no such server or does not do it.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.disable cmp1
    """
    return _change(server, backend, "maint", _socket(socket))


def enable(server, backend=None, socket=None):
    """
    Let a server be sent requests again, after ``drain`` or ``disable``; HAProxy does so when its health check is good.

    server, backend, socket
        As ``drain`` takes them.

    Returns what ``drain`` returns. Raises an error if HAProxy has no such server or does not do it.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.enable cmp1
    """
    return _change(server, backend, "ready", _socket(socket))


def drained(server, backend=None, socket=None):
    """
    Answer whether a server has been taken out and has nothing left to do.

    server, backend, socket
        As ``drain`` takes them; ``level user`` is enough.

    Returns ``{"ready", "server", "identity", "reasons", "warnings", "observed"}``, reasons as ``{"code", "message"}``.
    Codes: ``no_haproxy``, ``no_backend``, ``not_listed``, ``in_use`` (it has not been taken out), ``sessions``. Not
    ready sets the return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.drained cmp1
    """
    return _answer_of(server, backend, _socket(socket), _judge_drained)


def up(server, backend=None, unchecked=False, socket=None):
    """
    Answer whether a server is sent requests, in every backend that lists it.

    server, backend, socket
        As ``drain`` takes them; ``level user`` is enough.

    unchecked
        Take a server without a health check for live. False by default.

    Returns what ``drained`` returns. Codes: ``no_haproxy``, ``no_backend``, ``not_listed``, ``not_live``. Not ready
    sets the return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.up cmp1
    """
    _flag("unchecked", unchecked)
    return _answer_of(server, backend, _socket(socket), functools.partial(_judge_live, unchecked=unchecked))


def gone(server, backend=None, socket=None):
    """
    Answer whether no backend lists a server any more: one that was taken out for good.

    server, backend, socket
        As ``drain`` takes them; ``level user`` is enough.

    Returns what ``drained`` returns. Codes: ``no_haproxy``, ``no_backend``, ``listed``. Not ready sets the return code
    to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.gone cmp7
    """
    found = _answer_of(server, backend, _socket(socket), _judge_gone)
    reasons = [reason for reason in found["reasons"] if reason["code"] != "not_listed"]
    __context__["retcode"] = 1 if reasons else 0
    return {**found, "ready": not reasons, "reasons": reasons}
