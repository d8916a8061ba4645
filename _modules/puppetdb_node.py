"""
What PuppetDB knows of a node, and taking it out, so that what it has exported is collected nowhere any more.

A node that is gone stays in the endpoint's configuration as long as PuppetDB hands out its exported resources. It has
to be deactivated; and its Puppet must not run again, for the next catalog activates it anew.

PuppetDB is asked with the Puppet certificate of the node that asks, which its allowlist must have where it has one. The
Puppet server knows the way by its ``puppetdb.conf``; any other node is told.

:configuration: Optional where there is a ``puppetdb.conf``, in the minion's configuration or its pillar:

    .. code-block:: yaml

        puppetdb_node:
          url: https://puppetdb.example.com:8081           # as in puppetdb.conf unless given; or a list, tried in order
          certificate: /etc/ssl/puppet/certs/me.pem        # the node's own, as Puppet has it, unless given
          private_key: /etc/ssl/puppet/private_keys/me.pem
          ca_file: /etc/ssl/puppet/certs/ca.pem
"""

import configparser
import datetime
import json
import re
from pathlib import Path

import requests
from os_orchestrator.node import puppet, request, supervisor
from salt.exceptions import CommandExecutionError, SaltInvocationError

_SETTINGS = ("url", "certificate", "private_key", "ca_file")
_PUPPETS_NAMES = {"certificate": "hostcert", "private_key": "hostprivkey", "ca_file": "localcacert"}
_TOLD = ("deactivated", "expired", "catalog_timestamp", "report_timestamp")
_CERTNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
# Seconds.
_TIMEOUT, _LONGEST = 30, 600


def _reason(code, message):
    return {"code": code, "message": message}


def _checked(certname):
    if not isinstance(certname, str) or not _CERTNAME.fullmatch(certname):
        raise SaltInvocationError(f"certname={certname!r} is no certname: give for example cmp7.example.com")


def _urls(text):
    """Return the addresses in a ``puppetdb.conf``: ``server_urls``, or a server and a port of old."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text)
        main = parser["main"]
    except (configparser.Error, KeyError):
        return []
    if "server_urls" in main:
        return [each for each in main["server_urls"].split(",") if each.strip()]
    return [f"https://{main['server']}:{main.get('port', '8081')}"] if "server" in main else []


def _collected_query(certname):
    """Return the query for the number of resources of a node that others would collect, as Puppet asks it."""
    active = ["=", ["node", "active"], True]
    wanted = ["and", ["=", "certname", certname], ["=", "exported", True], active]
    return json.dumps(["extract", [["function", "count"]], wanted])


def _told(certname, node, collected):
    """Return what PuppetDB said of a node, in a form of our own."""
    found = {name: supervisor.text(node.get(name)) or None for name in _TOLD}
    return {"certname": certname, **found, "collected": collected}


def _settings(url):
    """Return where PuppetDB is and with which files it is asked: as given, as configured, and else as Puppet has it."""
    given = __salt__["config.get"]("puppetdb_node", {})
    if not isinstance(given, dict) or set(given) - set(_SETTINGS):
        raise CommandExecutionError(
            f"the setting puppetdb_node of this node is {given!r}: it may have {', '.join(_SETTINGS)} and nothing else"
        )
    given = given | ({"url": url} if url is not None else {})
    if len(given) < len(_SETTINGS):
        node = request.node_settings(__salt__["config.get"]("puppet_agent", {}))
        found = puppet.printed(node, "confdir", *_PUPPETS_NAMES.values())
        given = {name: found.get(puppets) for name, puppets in _PUPPETS_NAMES.items()} | given
        if "url" not in given:
            given["url"] = _urls_of_puppet(Path(found["confdir"], "puppetdb.conf"))
    return {**given, "url": _addresses(given["url"])}


def _addresses(url):
    """Return the addresses of PuppetDB, given as a list or with commas."""
    items = url.split(",") if isinstance(url, str) else url
    good = isinstance(items, (list, tuple)) and items
    if not good or not all(isinstance(each, str) and re.match(r"\s*https?://.", each) for each in items):
        raise CommandExecutionError(f"{url!r} is no address of PuppetDB: set url, such as https://puppetdb:8081")
    return [each.strip().rstrip("/") for each in items]


def _urls_of_puppet(path):
    try:
        return _urls(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise CommandExecutionError(
            f"{path} cannot be read ({error.strerror}): ask the Puppet server, or set url under puppetdb_node"
        ) from None


def _session(settings):
    """Return a connection to PuppetDB that brings nothing along from the minion's environment."""
    session = requests.Session()
    session.trust_env = False
    session.cert = (settings["certificate"], settings["private_key"])
    session.verify = settings["ca_file"]
    return session


def _ask(session, urls, method, path, good=(200,), timeout=_TIMEOUT, **content):
    """Return the status and the JSON that the first PuppetDB answers that can be reached."""
    why = []
    for url in urls:
        try:
            answer = session.request(method, url + path, timeout=timeout, allow_redirects=False, **content)
        except (requests.RequestException, OSError) as error:
            why.append(f"{url} ({supervisor.text(_cause(error))})")
            continue
        if answer.status_code not in good:
            said = supervisor.text(answer.text)
            raise CommandExecutionError(f"PuppetDB at {url} answered HTTP {answer.status_code}: {said}")
        try:
            return answer.status_code, answer.json()
        except ValueError:
            raise CommandExecutionError(f"PuppetDB at {url} did not answer with JSON: {answer.text[:200]!r}") from None
    raise CommandExecutionError(f"PuppetDB cannot be asked at {', '.join(why)}: does it run, is the certificate right?")


def _cause(error):
    """Return what is at the bottom of an error of a connection."""
    while isinstance(below := getattr(error, "reason", None) or next(iter(error.args), None), Exception):
        error = below
    return re.sub(r"^HTTPS?Connection\(.*?\): ", "", str(error))


def _look(session, urls, certname):
    """Return what PuppetDB tells of a node, or None if it knows no such node."""
    status, node = _ask(session, urls, "GET", f"/pdb/query/v4/nodes/{certname}", good=(200, 404))
    if status == 404 or not isinstance(node, dict):
        return None
    query = {"query": _collected_query(certname)}
    _, rows = _ask(session, urls, "GET", "/pdb/query/v4/resources", params=query)
    row = rows[0] if isinstance(rows, list) and rows else None
    return _told(certname, node, row.get("count") if isinstance(row, dict) else None)


def _unknown(certname):
    return f"PuppetDB knows no node {certname}: give its certname, or it has been purged"


def status(certname, url=None):
    """
    Return what PuppetDB knows of a node.

    certname
        The node, by the name in its Puppet certificate.

    url
        Where PuppetDB is: one address, or several that are tried in order. As configured by default.

    Returns ``{"certname", "deactivated", "expired", "catalog_timestamp", "report_timestamp", "collected"}``: the times
    as PuppetDB writes them or None, and how many exported resources of this node other nodes collect. Raises an error
    if PuppetDB cannot be asked or knows no such node.

    CLI Example:

    .. code-block:: bash

        salt puppet1 puppetdb_node.status cmp7.example.com
    """
    _checked(certname)
    settings = _settings(url)
    with _session(settings) as session:
        found = _look(session, settings["url"], certname)
    if found is None:
        raise CommandExecutionError(_unknown(certname))
    return found


def deactivate(certname, timeout=60, url=None):
    """
    Deactivate a node in PuppetDB, so that what it has exported is collected no more, and wait until that is so.

    Its Puppet must not run again: the next catalog activates it anew. Run Puppet on those that collect afterwards.

    certname
        The node, by the name in its Puppet certificate.

    timeout
        Seconds to wait for PuppetDB, which queues what it is told. A minute by default.

    url
        As ``status`` takes it.

    Returns what ``status`` returns, and ``changed`` (False if it was deactivated already). Raises an error if PuppetDB
    cannot be asked, knows no such node, or has not deactivated it.

    CLI Example:

    .. code-block:: bash

        salt puppet1 puppetdb_node.deactivate cmp7.example.com
    """
    _checked(certname)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 1 <= timeout <= _LONGEST:
        raise SaltInvocationError(f"timeout={timeout!r} is not possible: give seconds, from 1 to {_LONGEST}")
    settings = _settings(url)
    with _session(settings) as session:
        before = _look(session, settings["url"], certname)
        if before is None:
            raise CommandExecutionError(_unknown(certname))
        if before["deactivated"]:
            return {**before, "changed": False}
        _command(session, settings["url"], certname, timeout)
        after = _look(session, settings["url"], certname)
    if after is None or not after["deactivated"]:
        raise CommandExecutionError(
            f"PuppetDB was told to deactivate {certname} and has not: its catalog of"
            f" {before['catalog_timestamp']} is newer than this node's clock, or another came"
        )
    return {**after, "changed": True}


def _command(session, urls, certname, timeout):
    """Give PuppetDB the order and wait until it has been processed."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    words = {"command": "deactivate_node", "version": 3, "certname": certname, "secondsToWaitForCompletion": timeout}
    body = {"certname": certname, "producer_timestamp": now}
    content = {"params": words, "json": body, "timeout": timeout + _TIMEOUT, "good": (200, 503)}
    _, answer = _ask(session, urls, "POST", "/pdb/cmd/v1", **content)
    if not isinstance(answer, dict) or answer.get("processed") is not True:
        raise CommandExecutionError(
            f"PuppetDB has not deactivated {certname} within {timeout} seconds: look at its queue and its log"
        )


def deactivated(certname, url=None):
    """
    Answer whether a node is deactivated in PuppetDB and nothing that it has exported is collected.

    certname
        The node, by the name in its Puppet certificate.

    url
        As ``status`` takes it.

    Returns ``{"ready", "certname", "identity", "reasons", "warnings", "observed"}``, reasons as ``{"code",
    "message"}``. Codes: ``no_puppetdb``, ``unknown_node``, ``active``. Not ready sets the return code to 1. Only a
    wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt puppet1 puppetdb_node.deactivated cmp7.example.com
    """
    _checked(certname)
    found, reasons = None, []
    try:
        settings = _settings(url)
        with _session(settings) as session:
            found = _look(session, settings["url"], certname)
    except CommandExecutionError as error:
        reasons.append(_reason("no_puppetdb", str(error)))
    else:
        reasons += _judge(certname, found)
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "certname": certname,
        "identity": certname,
        "reasons": reasons,
        "warnings": [],
        "observed": found or {},
    }


def _judge(certname, found):
    """Return the reason for which a node is not out of PuppetDB, if any."""
    if found is None:
        return [_reason("unknown_node", _unknown(certname))]
    if not found["deactivated"] or found["collected"] != 0:
        sentence = f"{certname} is active in PuppetDB (exported resources that others collect: {found['collected']})"
        return [_reason("active", f"{sentence}: puppetdb_node.deactivate ends that")]
    return []
