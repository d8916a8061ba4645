"""
Whether a database address can really be written through, from the machine that will use it.

An open port proves nothing: a frozen server accepts connections, a proxy accepts for a dead backend, an address that
lies on two nodes may lead to the wrong one. So each question opens a fresh connection, logs in and asks the server
itself.

This module knows nothing of who moves the address: MySQL-MMM, keepalived, HAProxy, ProxySQL and MaxScale are served
alike.

:depends: PyMySQL, imported when first used

:configuration: The login comes from the options of Salt's own ``mysql`` module, from the minion's configuration or its
    pillar, and never from arguments, which lie in the job cache:

    .. code-block:: yaml

        mysql.user: gate
        mysql.pass: secret
        # or
        mysql.default_file: /etc/mysql/gate.cnf
        mysql.default_group: client

    ``mysql.host``, ``mysql.port`` and ``mysql.unix_socket`` say where this node's own server is, for the functions that
    take no address. The user needs no privilege, but for ``write_table``: INSERT on that table.
"""

import contextlib
import importlib
import re
import time

from salt.exceptions import CommandExecutionError, SaltInvocationError

_ADDRESS = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)
_TABLE = re.compile(r"(?P<schema>[A-Za-z0-9_$]+)\.(?P<table>[A-Za-z0-9_$]+)", re.ASCII)
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only")
_VARIABLES = (
    *_READ_ONLY,
    "server_id",
    "server_uuid",
    "server_uid",
    "hostname",
    "version",
    "wsrep_on",
    "wsrep_node_name",
)
_GALERA = (
    "cluster_conf_id",
    "cluster_size",
    "cluster_state_uuid",
    "cluster_status",
    "connected",
    "incoming_addresses",
    "local_state_comment",
    "ready",
)
# Unknown account, expired or refused password, host not allowed, no right to the schema or the table.
_LOGIN_ERRORS = {1044, 1045, 1130, 1227, 1251, 1275, 1524, 1698, 1820, 1862, 4151}
_OFF = {"OFF", "0"}


class _NoAnswer(CommandExecutionError):
    """A server that could not be asked; ``code`` is the reason code that a predicate gives for it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def _reason(code, message):
    return {"code": code, "message": message}


def _address(name, value):
    """Return an address or host name given as an argument; what could not be one is refused."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise SaltInvocationError(f"{name}={value!r} is no address: give an IP address or a host name")
    return value


def _number(name, value, least, most):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise SaltInvocationError(f"{name}={value!r} is not possible: give a number from {least} to {most}")
    return value


def _addresses(name, value):
    """Return a list of addresses, given as a list or as one string with commas."""
    items = value.split(",") if isinstance(value, str) else value or ()
    if not isinstance(items, (list, tuple)):
        raise SaltInvocationError(f"{name}={value!r} is no list of addresses")
    return [_address(name, item.strip() if isinstance(item, str) else item) for item in items]


def _table(value):
    """Return (schema, table) of ``schema.table``."""
    match = _TABLE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise SaltInvocationError(f"write_table={value!r} is no table: give it as schema.table")
    return match["schema"], match["table"]


def _on(variables, name):
    """Whether a switch is on; one that this kind of server does not have is off, and any unknown value is on."""
    return variables.get(name, "OFF").upper() not in _OFF


def _galera(variables, status):
    """Return what a Galera member says of itself, without the prefix; empty on any other server."""
    if not _on(variables, "wsrep_on"):
        return {}
    return {
        "node_name": variables.get("wsrep_node_name", ""),
        **{name: status.get(f"wsrep_{name}", "") for name in _GALERA},
    }


def _described(variables, status):
    """Return what a server is, from its global variables and its wsrep status."""
    shut = [name for name in _READ_ONLY if _on(variables, name)]
    return {
        "server_id": int(variables.get("server_id", 0)),
        "server_uuid": variables.get("server_uuid") or variables.get("server_uid", ""),
        "hostname": variables.get("hostname", ""),
        "version": variables.get("version", ""),
        "read_only": bool(shut) or "read_only" not in variables,
        "read_only_by": shut,
        "galera": _galera(variables, status),
    }


def _same_server(one, other):
    return all(one[key] == other[key] for key in ("server_id", "server_uuid", "hostname"))


def _server(probed, beside=None):
    """Return a server's name in a sentence; where the number does not tell it from ``beside``, its host name helps."""
    if beside and beside["server_id"] == probed["server_id"]:
        return f"another server {probed['server_id']} ({probed['hostname']})"
    return f"server {probed['server_id']}"


def _wrong_server(address, probed, node_address, holder, name):
    """Return the reason if the address and its holder's own address lead to two servers, else None."""
    if _same_server(probed, holder):
        return None
    should = (
        f"writer is on {name} ({address})" if name else f"{address} should lead to {node_address} ({_server(holder)})"
    )
    found = f"this node reaches {_server(probed, holder)} there"
    return _reason("wrong_server", f"{should}, but {found}: is the address on two nodes?")


def _told(probed):
    """Return in one line what a server is."""
    wrote = {None: "", True: ", took a row", False: ", took no row"}[probed.get("written")]
    writes = f"read-only ({', '.join(probed['read_only_by'])})" if probed["read_only"] else "writable"
    return f"server {probed['server_id']} on {probed['hostname']}, {probed['version']}, {writes}{wrote}"


def _shut(address, probed):
    """Return the reasons for which a server that answers would refuse to write."""
    reasons = []
    if probed["read_only"]:
        by = ", ".join(f"{name}=ON" for name in probed["read_only_by"]) or "it does not tell read_only"
        reasons.append(_reason("read_only", f"{address} leads to {_server(probed)}, which takes no writes ({by})"))
    if probed["galera"] and probed["galera"]["ready"] != "ON":
        state = f"wsrep_ready is OFF, its part of the cluster is {probed['galera']['cluster_status']}"
        reasons.append(
            _reason("not_ready", f"{address} leads to {_server(probed)}, which takes no statements ({state})")
        )
    if probed.get("write_failed"):
        reasons.append(_reason("write_failed", probed["write_failed"]))
    return reasons


def _other_writable(address, probed, others):
    """Return a reason for each server in ``others`` that takes writes too."""
    found = [
        (where, each) for where, each in others.items() if not _same_server(probed, each) and not each["read_only"]
    ]
    sentence = "{} ({}) takes writes beside {}: two masters are writable, set read_only there"
    return [_reason("other_writable", sentence.format(where, _server(each, probed), address)) for where, each in found]


def _failure(driver, where, error):
    """Return the exception for what the driver, the network or an impostor on the port has raised."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    words = re.sub(r"\s+", " ", str(error.args[1] if number and len(error.args) > 1 else error)).strip(" .")
    if number in _LOGIN_ERRORS or (isinstance(error, RuntimeError) and not isinstance(error, driver.Error)):
        return _NoAnswer("auth", f"{where} refuses the login ({words}): see mysql.user and mysql.pass of this minion")
    if isinstance(error, (driver.OperationalError, OSError)):
        return _NoAnswer("connect", f"{where} does not serve ({words})")
    return _NoAnswer(
        "connect", f"what listens at {where} does not speak as a database ({type(error).__name__}: {words})"
    )


def _driver():
    try:
        return importlib.import_module("pymysql")
    except ImportError:
        sentence = "PyMySQL is missing on this node: install it for Salt's Python (salt-pip install PyMySQL)"
        raise _NoAnswer("no_driver", sentence) from None


def _options(names):
    """Return those ``mysql.*`` options that this minion has."""
    found = {name: __salt__["config.option"](f"mysql.{name}", None) for name in names}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _settings(timeout):
    """Return the driver's arguments but for the place."""
    options = _options(("user", "pass", "default_file", "default_group"))
    words = {
        "user": "user",
        "pass": "password",
        "default_file": "read_default_file",
        "default_group": "read_default_group",
    }
    settings = {words[name]: str(value) for name, value in options.items()}
    # A connection timeout alone does not end the handshake with a frozen server.
    return {**settings, "connect_timeout": timeout, "read_timeout": timeout, "write_timeout": timeout}


def _own_place():
    """Return host, port and socket of this node's own server, as far as the options say."""
    options = _options(("host", "port", "unix_socket"))
    return {key: int(value) if key == "port" else str(value) for key, value in options.items()}


def _connection(driver, address, port, timeout):
    """Return an open connection. Autocommit stays off, which makes a read/write splitter choose its writer."""
    place = {} if address else _own_place()
    connection = driver.connect(defer_connect=True, **place, **_settings(timeout))
    if address:
        # An options file may name a socket, which would win over the address.
        connection.host, connection.port, connection.unix_socket = address, port, None
    connection.connect()
    return connection


def _rows(connection, statement, arguments):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall()


def _describe(connection):
    """Ask a server what it is."""
    names = ", ".join(["%s"] * len(_VARIABLES))
    variables = dict(_rows(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})", _VARIABLES))
    status = _rows(connection, "SHOW GLOBAL STATUS LIKE %s", (r"wsrep\_%",)) if _on(variables, "wsrep_on") else ()
    return _described(variables, dict(status))


def _write(connection, schema, table):
    """Write a row of defaults and take it back; return what kept it from being written, or an empty string."""
    place = f"{schema}.{table}"
    asked = "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    engine = _rows(connection, asked, (schema, table))
    if not engine:
        return f"there is no table {place} that this login can see"
    if engine[0][0] != "InnoDB":
        return f"{place} is a {engine[0][0]} table, where a write could not be taken back: make it InnoDB"
    with connection.cursor() as cursor:
        written = cursor.execute(f"INSERT INTO `{schema}`.`{table}` () VALUES ()")
    connection.rollback()
    return "" if written == 1 else f"the row for {place} was not written"


def _try_write(driver, connection, where, write_table):
    """Return why a row could not be written through an open connection, or an empty string."""
    try:
        return _write(connection, *_table(write_table))
    except (driver.Error, OSError) as error:
        words = error.args[1] if len(error.args) > 1 else error
        return f"writing to {write_table} at {where} failed: {words}"


def _probe(address, port, timeout, write_table=None):
    """Ask one server over a fresh connection; ``write_failed`` is there when a write was asked for."""
    driver = _driver()
    where = f"{address}:{port}" if address else "this node's own server"
    began = time.monotonic()
    try:
        with contextlib.closing(_connection(driver, address, port, timeout)) as connection:
            described = _describe(connection)
            if write_table and not described["read_only"]:
                described["written"] = not (trouble := _try_write(driver, connection, where, write_table))
                described["write_failed"] = trouble
    except Exception as error:  # An impostor on the port makes the driver fail in any way.
        raise _failure(driver, where, error) from None
    return {"address": address or "", "port": port, **described, "seconds": round(time.monotonic() - began, 3)}


def _probe_holder(address, probed, node_address, node_port, name, timeout):
    """Ask the holder by its own address; return (what answered or {}, reasons not to trust the address)."""
    try:
        holder = _probe(node_address, node_port, timeout)
    except _NoAnswer as error:
        sentence = f"{address} answers, but its holder does not by its own address: {error}"
        return {}, [_reason(error.code, sentence)]
    return holder, list(filter(None, [_wrong_server(address, probed, node_address, holder, name)]))


def _probe_others(others, port, timeout):
    """Return what answered, by address, and a warning for each that did not."""
    answered, warnings = {}, []
    for other in others:
        try:
            answered[other] = _probe(other, port, timeout)
        except _NoAnswer as error:
            warnings.append(_reason("other_unreachable", f"whether {other} takes writes is not known: {error}"))
    return answered, warnings


def _consider(address, port, node_address, node_port, name, others, write_table, timeout):
    """Return (what the address leads to; in a line each, what every server is; reasons; warnings)."""
    probed, holder, reasons = _probe(address, port, timeout, write_table), {}, []
    others, warnings = _probe_others([other for other in others if other != node_address], node_port, timeout)
    if node_address:
        holder, reasons = _probe_holder(address, probed, node_address, node_port, name, timeout)
    else:
        sentence = f"whether {address} leads to the right server was not asked: give node_address"
        warnings.append(_reason("holder_not_compared", sentence))
    reasons += _shut(address, probed) + _other_writable(address, probed, others)
    servers = {address: probed, **({node_address: holder} if holder else {}), **others}
    return probed, {where: _told(each) for where, each in servers.items()}, reasons, warnings


def probe(address=None, port=3306, timeout=5):
    """
    Return what the server behind an address says of itself, over a fresh connection.

    address
        IP address or host name. This node's own server by default: where ``mysql.unix_socket`` or ``mysql.host`` say.

    port
        3306 by default.

    timeout
        Seconds for connecting, for each read and for each write. 5 by default.

    Returns ``{"address", "port", "server_id", "server_uuid", "hostname", "version", "read_only", "read_only_by",
    "galera", "seconds"}``; ``galera`` holds the name, state and cluster of a Galera member, and is empty on another
    server. Raises an error if the server cannot be reached, refuses the login, or does not answer in time.

    CLI Example:

    .. code-block:: bash

        salt cmp1 mysql_endpoint.probe 10.0.0.50
    """
    address = _address("address", address) if address is not None else None
    return _probe(address, _number("port", port, 1, 65535), _number("timeout", timeout, 1, 600))


def ready(address, port=3306, node_address=None, node_port=None, holder=None, others=None, write_table=None, timeout=5):
    """
    Answer whether this node can write through an address, and reaches the right server by it.

    address
        The address that clients use.

    port
        Its port. 3306 by default.

    node_address
        The own address of the node that should hold ``address``: both must lead to the same server. Not compared unless
        given.

    node_port
        The port of the database on the nodes themselves, where a proxy listens on another one. As ``port`` by default.

    holder
        The name of that node, for the sentences. None by default.

    others
        Own addresses of other masters, as a list or with commas: they must not take writes. The holder may be among
        them. One that cannot be asked is a warning. None by default.

    write_table
        ``schema.table`` of an InnoDB table whose columns all have defaults: a row is written and rolled back. By
        default nothing is written.

    timeout
        Seconds for connecting, for each read and for each write, on each server. 5 by default.

    Returns ``{"ready", "address", "ip", "port", "host", "host_ip", "server_id", "hostname", "identity", "reasons",
    "warnings", "observed"}``, reasons and warnings as ``{"code", "message"}``, ``observed`` as a line on each server.
    Codes: ``connect``, ``auth``, ``no_driver``, ``read_only``, ``not_ready`` (Galera), ``wrong_server``,
    ``other_writable``, ``write_failed``; of warnings ``other_unreachable``, ``holder_not_compared``. Not ready sets the
    return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' mysql_endpoint.ready 10.0.0.50 node_address=10.0.0.11 others=10.0.0.12
    """
    address = _address("address", address)
    port = _number("port", port, 1, 65535)
    node_port = port if node_port is None else _number("node_port", node_port, 1, 65535)
    node_address = _address("node_address", node_address) if node_address is not None else None
    others, timeout = _addresses("others", others), _number("timeout", timeout, 1, 600)
    if write_table is not None:
        _table(write_table)
    try:
        server, observed, reasons, warnings = _consider(
            address, port, node_address, node_port, holder, others, write_table, timeout
        )
    except _NoAnswer as error:
        server, observed, reasons, warnings = {}, {}, [_reason(error.code, str(error))], []
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "address": address,
        "ip": address,
        "port": port,
        "host": holder,
        "host_ip": node_address,
        "server_id": server.get("server_id"),
        "hostname": server.get("hostname"),
        "identity": f"{address}/server {server['server_id']}" if server else "",
        "reasons": reasons,
        "warnings": warnings,
        "observed": observed,
    }
