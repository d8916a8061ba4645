"""
Whether the HAProxy on this node has live servers behind an endpoint, asked through its stats socket.

A balancer whose configuration was written before the compute nodes had exported themselves starts without an error and
answers 503 for ever; only HAProxy itself knows who is behind it, and whether they answer.

:configuration: Optional, in the minion's configuration or its pillar; this is the default:

    .. code-block:: yaml

        haproxy_endpoint:
          socket: /run/haproxy/admin.sock     # `stats socket` in haproxy.cfg; level user is enough
"""

import csv
import socket

from salt.exceptions import CommandExecutionError, SaltInvocationError

_TIMEOUT = 10
_LARGEST = 16 << 20


def _reason(code, message):
    return {"code": code, "message": message}


def _names(what, value):
    """Return names given as a list or with commas."""
    items = value.split(",") if isinstance(value, str) else [] if value is None else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in items):
        raise SaltInvocationError(f"{what}={value!r} is no list of names")
    return [item.strip() for item in items]


def _parse(text):
    """Return ``{backend: {server: {"status", "check"}}}`` of what ``show stat`` printed."""
    if not text.startswith("# pxname,svname,"):
        raise CommandExecutionError(f"HAProxy's stats socket did not print statistics: {text.strip()[:200]!r}")
    found = {}
    for row in csv.DictReader(text[2:].splitlines()):
        servers = found.setdefault(row["pxname"], {}) if row["svname"] != "FRONTEND" else {}
        if row["svname"] not in ("FRONTEND", "BACKEND"):
            servers[row["svname"]] = {
                "status": row["status"],
                "check": " ".join(filter(None, (row.get("check_status"), row.get("last_chk")))),
            }
    return found


def _is_live(server, unchecked):
    return server["status"].split(" ")[0] == "UP" or (unchecked and server["status"] == "no check")


def _short(name):
    return name.split(".", 1)[0]


def _found(servers, wanted):
    """Return the name under which a server is listed: its own, or its first label for a full host name."""
    return next((name for name in (wanted, _short(wanted)) if name in servers), None)


def _judge(backend, servers, wanted, count, unchecked):
    """Return every reason for which a backend does not serve with all its servers."""
    reasons = []
    for name in wanted:
        listed = _found(servers, name)
        if not listed:
            cure = "run Puppet on it, then here"
            reasons.append(_reason("not_listed", f"{name} is not behind {backend}: {cure}"))
        elif not _is_live(servers[listed], unchecked):
            server = servers[listed]
            said = f"{server['status']} ({server['check']})" if server["check"] else server["status"]
            reasons.append(_reason("not_live", f"{listed} behind {backend} is {said}"))
    live = sum(_is_live(server, unchecked) for server in servers.values())
    if live < count:
        reasons.append(_reason("too_few", f"{backend} has {live} live servers of {len(servers)}, {count} are asked"))
    return reasons


def _ask(path):
    """Return what the stats socket prints for ``show stat``."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(path)
            connection.sendall(b"show stat\n")
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


def _socket(path):
    return path or __salt__["config.get"]("haproxy_endpoint:socket", None) or "/run/haproxy/admin.sock"


def servers(socket=None):
    """
    Return what HAProxy says of the servers behind each of its backends.

    socket
        Its stats socket. As configured by default, else ``/run/haproxy/admin.sock``.

    Returns ``{backend: {server: {"status", "check"}}}``. Raises an error if the socket cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy_endpoint.servers
    """
    return _parse(_ask(_socket(socket)))


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
    if not isinstance(backend, str) or not backend:
        raise SaltInvocationError(f"backend={backend!r} is no name of a backend")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise SaltInvocationError(f"count={count!r} is not possible: give a whole number")
    if not isinstance(unchecked, bool):
        raise SaltInvocationError(f"unchecked={unchecked!r} is not possible: give True or False")
    try:
        known = _parse(_ask(_socket(socket)))
    except CommandExecutionError as error:
        return _answer(backend, {}, unchecked, [_reason("no_haproxy", str(error))])
    if backend not in known:
        sentence = (
            f"HAProxy has no backend {backend}, only {', '.join(sorted(known)) or 'none'}: run Puppet on this node"
        )
        return _answer(backend, {}, unchecked, [_reason("no_backend", sentence)])
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
