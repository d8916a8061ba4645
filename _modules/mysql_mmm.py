"""
What a MySQL-MMM monitor says of its cluster, and whether its writer really is ready. Runs on the monitor's node.

What ``mmm_control show`` prints is what the monitor last sent, not what is: it shows a dead writer as ONLINE for 11 to
15 seconds, for ever when the monitor's own network is down, and looks normal while two nodes hold the writer's address.
So ``writer_ready`` also logs in through that address, by ``mysql_endpoint``.

:depends: ``mmm_control``, and for its configuration root

:configuration: All optional, in the minion's configuration or its pillar; these are the defaults:

    .. code-block:: yaml

        mysql_mmm:
          mmm_control: mmm_control            # looked for in PATH, /usr/sbin and /usr/local/sbin
          timeout: 30                         # seconds for one call, waiting for another call on this node included
          lock: /run/mmm_control.lock         # two calls at once would keep the monitor from its work

    The login for SQL: see ``mysql_endpoint``.

Several clusters are told apart as by ``mmm_control @C1``: every function takes ``cluster='C1'``.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time

from salt.exceptions import CommandExecutionError, SaltInvocationError

_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_HOST_LINE = re.compile(
    r"\s+(?P<name>[\w-]+)\((?P<ip>[\w.:-]+)\):? (?P<mode>master|slave)/(?P<state>[A-Z_]+)\. Roles:\s*(?P<roles>.*)",
    re.ASCII,
)
_ROLE = re.compile(r"([\w-]+)\(([\w.:-]+);?\)", re.ASCII)
_CHECK_LINE = re.compile(
    r"(?P<host>[\w-]+)\s+(?P<check>ping|mysql|rep_threads|rep_backlog)\s+"
    r"\[last change: (?P<day>\d{4}/\d\d/\d\d) (?P<time>\d\d:\d\d:\d\d)\]  (?P<message>.*)",
    re.ASCII,
)
_UNREACHABLE = re.compile(r"Warning: agent on host (\S+) is not reachable")
_PREFERENCE = re.compile(
    r"Role (?P<role>\S+) (?:is assigned to it's preferred host (?P<both>\S+)"
    r"|has (?P<preferred>\S+) configured as it's preferred host"
    r"(?: but is assigned to (?P<assigned>\S+) at the moment)?)\."
)
_TIMESTAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\s+")
_MODES = ("ACTIVE", "MANUAL", "WAIT", "PASSIVE")
_CHECKS = ("ping", "mysql", "rep_threads", "rep_backlog")
_GATE_MODES = ("ACTIVE", "MANUAL")
_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
# A failure shows after check_period and trap_period: 15 s with MMM's defaults. Good rounds must span more than that.
_MMM_LAG = 15


class _NoView(CommandExecutionError):
    """The monitor gave no view that could be used; ``code`` is the reason code that a predicate gives for it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


# Pure: arguments


def _name(what, value):
    """Return a name for ``mmm_control``: an empty or blank word on the control port stops the monitor."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not _NAME.fullmatch(text):
        raise SaltInvocationError(f"{what}={value!r} is no name: letters, digits, '_', '.' and '-' are possible")
    return text


def _choice(what, value, possible):
    if value not in possible:
        raise SaltInvocationError(f"{what}={value!r} is not possible: choose from {', '.join(possible)}")
    return value


def _gate_modes(value):
    """Return the modes in which a gate may open, given as a list or with commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise SaltInvocationError(f"allow_modes={value!r} is no list of modes: choose from {', '.join(_GATE_MODES)}")
    return [_choice("allow_modes", str(item).strip(), _GATE_MODES) for item in items]


def _number(what, value, least, most=1e9):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise SaltInvocationError(f"{what}={value!r} is not possible: give a number from {least:g} to {most:g}")
    return value


def _patience(timeout, successes, interval):
    """Refuse a wait that could never end well."""
    _number("interval", interval, 0.1)
    if _number("successes", successes, 1) != int(successes):
        raise SaltInvocationError(f"successes={successes!r} is not possible: give a whole number")
    needed = (successes - 1) * interval
    if _number("timeout", timeout, 0) < needed:
        raise SaltInvocationError(
            f"timeout={timeout} cannot hold {successes} rounds {interval} s apart: give {needed} or more"
        )


# Pure: what mmm_control prints


def _roles(text):
    """Return the roles of a host line, or None if they do not read as roles."""
    items = [] if text in ("", "None") else text.split(", ")
    matches = [_ROLE.fullmatch(item) for item in items]
    return [{"name": match[1], "ip": match[2]} for match in matches] if all(matches) else None


def _host(line):
    """Return (name, host) of a host line, or None."""
    match = _HOST_LINE.fullmatch(line)
    roles = _roles(match["roles"]) if match else None
    if roles is None:
        return None
    return match["name"], {"ip": match["ip"], "mode": match["mode"], "state": match["state"], "roles": roles}


def _preferences(comments):
    """Return ``{role: {"preferred", "assigned"}}``; ``assigned`` is None for a role that nobody has."""
    found = {}
    for match in filter(None, map(_PREFERENCE.match, comments)):
        assigned = match["both"] or match["assigned"]
        found[match["role"]] = {"preferred": match["both"] or match["preferred"], "assigned": assigned}
    return found


def _cause(comments):
    causes = [comment[len("Cause:") :].strip() for comment in comments if comment.startswith("Cause:")]
    return causes[0] if causes else None


def _parse_show(text):
    """
    Return what ``show`` printed. Lines that begin with ``#`` are comments, even those that hold ``writer(``.

    Raises an error at any line that is neither, so that half an answer is never taken for a whole one.
    """
    hosts, comments = {}, []
    for line in map(str.rstrip, text.split("\n")):
        if line.lstrip().startswith("#"):
            comments.append(line.lstrip()[1:].strip())
        elif line and line != "Servers status:":
            found = _host(line)
            if not found or found[0] in hosts:
                raise _NoView(
                    "bad_output", f"mmm_control show printed a line that cannot be read: {line.strip()[:200]!r}"
                )
            hosts[found[0]] = found[1]
    if not hosts:
        raise _NoView("bad_output", f"mmm_control show printed no host: {text.strip()[:200]!r}")
    unreachable = {match[1] for match in filter(None, map(_UNREACHABLE.match, comments))}
    return {
        "mode": "PASSIVE" if any("PASSIVE MODE" in comment for comment in comments) else None,
        "cause": _cause(comments),
        "hosts": {name: {**host, "agent_reachable": name not in unreachable} for name, host in hosts.items()},
        "preferences": _preferences(comments),
        "comments": comments,
    }


def _parse_checks(text):
    """Return the checks by host and name; a line that is no check goes on with the message above it."""
    found, last = {}, None
    for line in filter(None, map(str.rstrip, text.split("\n"))):
        match = _CHECK_LINE.fullmatch(line)
        if match:
            message = match["message"]
            last = {
                "ok": re.match(r"OK\b", message) is not None,
                "message": message,
                "last_change": f"{match['day'].replace('/', '-')}T{match['time']}",
            }
            found.setdefault(match["host"], {})[match["check"]] = last
        elif last:
            last["message"] += f" {line.strip()}"
        else:
            raise _NoView("bad_output", f"mmm_control checks printed a line that cannot be read: {line[:200]!r}")
    if not found:
        raise _NoView("bad_output", "mmm_control checks printed nothing")
    return found


def _parse_mode(text):
    if text.strip() not in _MODES:
        raise _NoView("bad_output", f"mmm_control mode printed no mode: {text.strip()[:200]!r}")
    return text.strip()


def _complaint(text):
    """Return the first line of what was said on an error, without its date."""
    lines = [_TIMESTAMP.sub("", line).strip() for line in text.split("\n") if line.strip()]
    return lines[0][:300] if lines else "without a word"


def _heard(command, exit_code, out, err):
    """Return what the monitor printed, or raise what it complained of: it complains with exit status 0 too."""
    asked = " ".join(["mmm_control", *command[1:]])
    if exit_code and "connect to monitor daemon" in out:
        raise _NoView("monitor_unreachable", f"{asked}: {_complaint(out)} Is mysql-mmm-monitor running on this node?")
    if exit_code:
        cure = "it needs root, and the cluster's mmm_mon*.conf readable by root alone"
        raise _NoView("config_error", f"{asked} ended with {exit_code}, {_complaint(err or out)}: {cure}")
    if re.match(r"\s*error:", out, re.IGNORECASE) or out.lstrip().startswith("Invalid command"):
        raise _NoView("refused", f"{asked}: {_complaint(out)}")
    return out


# Pure: judging


def _holders(show, role):
    """Return every (host, address) that has a role."""
    return [
        (name, each["ip"]) for name, host in show["hosts"].items() for each in host["roles"] if each["name"] == role
    ]


def _states(show):
    return ", ".join(f"{name} is {host['state']}" for name, host in show["hosts"].items())


def _reason(code, message):
    return {"code": code, "message": message}


def _judge_mode(mode, show, allowed):
    if mode in allowed and (show["mode"] or mode) in allowed:
        return []
    found = mode if mode not in allowed else show["mode"]
    cause = f" ({show['cause']})" if show["cause"] else ""
    cure = "mmm_control set_active" if found != "WAIT" else "it waits for the other master"
    return [_reason("mode", f"the monitor is in {found} mode{cause} and moves no role: {cure}")]


def _judge_holders(show, role, expected_ip):
    """Return the one holder or None, and why the role is not where it should be."""
    holders = _holders(show, role)
    places = " and ".join(f"{host} ({ip})" for host, ip in holders)
    if not holders:
        return None, [_reason("no_writer", f"nobody has the role {role}: {_states(show)}")]
    if len(holders) > 1:
        return None, [_reason("several_writers", f"{role} is on {places}: one host with one address is asked")]
    if expected_ip not in (None, holders[0][1]):
        return holders[0], [_reason("wrong_ip", f"{role} is on {places}, but {expected_ip} is expected")]
    return holders[0], []


def _judge_host(view, role, name, ip):
    """Return why the holder may not be trusted with the role, as the monitor sees it."""
    host, checks = view["show"]["hosts"][name], view["checks"].get(name, {})
    place, reasons = f"{role} is on {name} ({ip})", []
    if (host["mode"], host["state"]) != ("master", "ONLINE"):
        reasons.append(_reason("not_online", f"{place}, but {name} is {host['mode']}/{host['state']}"))
    if not host["agent_reachable"]:
        reasons.append(_reason("agent_unreachable", f"{place}, but the monitor does not reach the agent of {name}"))
    for check in ("ping", "mysql"):
        said = checks.get(check, {"ok": False, "message": "nothing"})
        if not said["ok"]:
            reasons.append(
                _reason("check_failed", f"{place}, but the monitor's check {check} of {name} says: {said['message']}")
            )
    return reasons


def _warnings(view, role, holder):
    """Return what does not keep the writer from being ready, but will matter at the next failover."""
    found = []
    for name, host in view["show"]["hosts"].items():
        if name != holder and host["state"] != "ONLINE":
            found.append(_reason("standby_not_online", f"{name} is {host['mode']}/{host['state']}"))
        if name != holder and not host["agent_reachable"]:
            found.append(_reason("agent_unreachable", f"the monitor does not reach the agent of {name}"))
        for check, said in view["checks"].get(name, {}).items():
            if check.startswith("rep_") and not said["ok"]:
                found.append(_reason("replication", f"{check} of {name}: {said['message']}"))
    wish = view["show"]["preferences"].get(role, {})
    if holder and wish.get("preferred") not in (None, holder):
        found.append(
            _reason("prefers_other", f"{role} prefers {wish['preferred']} and may go back there from {holder}")
        )
    return found


def _judge(view, role, expected_ip, allowed):
    """Return (holder or None, reasons, warnings) of the monitor's view."""
    reasons = _judge_mode(view["mode"], view["show"], allowed)
    holder, more = _judge_holders(view["show"], role, expected_ip)
    reasons += more + (_judge_host(view, role, *holder) if holder else [])
    return holder, reasons, _warnings(view, role, holder[0] if holder else None)


def _other_masters(show, holder):
    return [host["ip"] for name, host in show["hosts"].items() if host["mode"] == "master" and name != holder]


def _observed(view, endpoint):
    """Return in a few lines what was seen; ``show``, ``checks`` and ``mysql_endpoint.probe`` tell all of it."""
    if not view:
        return {}
    hosts = {
        name: f"{host['mode']}/{host['state']} {' '.join(each['name'] for each in host['roles'])}".rstrip()
        for name, host in view["show"]["hosts"].items()
    }
    failing = {
        f"{check} of {name}": said["message"]
        for name, checks in view["checks"].items()
        for check, said in checks.items()
        if not said["ok"]
    }
    return {"mode": view["mode"], "hosts": hosts, "failing": failing, "servers": endpoint.get("observed", {})}


def _answer(view, holder, reasons, warnings, endpoint):
    """Return the answer of ``writer_ready`` from what was found; parts that could not be had are None."""
    name, ip = holder or (None, None)
    server_id = endpoint.get("server_id")
    parts = [name, ip, f"server {server_id}" if server_id is not None else None]
    return {
        "ready": not reasons,
        "host": name,
        "host_ip": view["show"]["hosts"][name]["ip"] if name else None,
        "ip": ip,
        "server_id": server_id,
        "identity": "/".join(filter(None, parts)),
        "reasons": reasons,
        "warnings": warnings,
        "observed": _observed(view, endpoint),
    }


class _Streak:
    """Good rounds in a row. A bad round, or a good one with another holder or server, starts the count anew."""

    def __init__(self, wanted):
        self.wanted, self.count, self.longest, self.identity, self.seen = wanted, 0, 0, None, []

    def add(self, ready, identity):
        self.count = 0 if not ready else self.count + 1 if identity == self.identity else 1
        self.identity = identity if ready else None
        self.longest = max(self.longest, self.count)
        if ready and identity not in self.seen[-1:]:
            self.seen.append(identity)

    @property
    def steady(self):
        return self.count >= self.wanted

    @property
    def reason(self):
        """Why good rounds were not enough, or None if there were none."""
        writers = ", then ".join(self.seen[-4:])
        sentence = (
            f"at most {self.longest} good rounds came in a row, {self.wanted} are asked; the writer was {writers}"
        )
        return _reason("unstable", sentence) if self.seen and not self.steady else None


# The machine


def _setting(name, default):
    value = __salt__["config.get"](f"mysql_mmm:{name}", default)
    return default if value in (None, "") else value


def _program():
    wanted = str(_setting("mmm_control", "mmm_control"))
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_DIRECTORIES])
    found = shutil.which(wanted, path=path)
    if not found:
        sentence = (
            f"{wanted} is not on this node: ask the monitor's node, or set mysql_mmm:mmm_control in its configuration"
        )
        raise _NoView("config_error", sentence)
    return found


@contextlib.contextmanager
def _alone(asked, deadline):
    """Hold this node's lock on ``mmm_control`` and give its descriptor; wait for other callers until the deadline."""
    path = str(_setting("lock", "/run/mmm_control.lock"))
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _NoView(
            "config_error", f"{asked} needs {path} ({error.strerror}): run as root, or set mysql_mmm:lock"
        ) from None
    try:
        while not _locked(lock):
            if time.monotonic() >= deadline:
                raise _NoView(
                    "monitor_timeout",
                    f"{asked} waited in vain for another mmm_control on this node: is the monitor hanging?",
                )
            time.sleep(0.05)
        yield lock
    finally:
        os.close(lock)


def _locked(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(command, deadline, lock):
    """Run a command to its end and return (exit status, stdout, stderr); kill it if it outlives the deadline."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        # A call that outlives its job keeps the lock.
        pass_fds=(lock,),
    )
    with process:
        try:
            out, err = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, out, err


def _control(cluster, *words):
    """Ask the monitor and return what it printed; raise an error if it complained or did not answer in time."""
    section = [] if cluster is None else [f"@{_name('cluster', cluster)}"]
    command = [_program(), *section, *words]
    asked, timeout = " ".join(["mmm_control", *command[1:]]), _number("mysql_mmm:timeout", _setting("timeout", 30), 1)
    deadline = time.monotonic() + timeout
    with _alone(asked, deadline) as lock:
        try:
            return _heard(command, *_run(command, deadline, lock))
        except subprocess.TimeoutExpired:
            hint = "the monitor hangs, for example on a frozen agent"
            raise _NoView("monitor_timeout", f"{asked} gave no answer within {timeout} s: {hint}") from None
        except OSError as error:
            raise _NoView("config_error", f"{asked} could not be started ({error.strerror})") from None


def _view(cluster):
    """Ask for all that the monitor knows: three calls, one after the other."""
    return {
        "mode": _parse_mode(_control(cluster, "mode")),
        "show": _parse_show(_control(cluster, "show")),
        "checks": _parse_checks(_control(cluster, "checks", "all")),
    }


def _ask_endpoint(view, holder, port, write_table):
    """Log in through the writer's address, to its holder and to the other masters, from this node."""
    name, ip = holder
    show = view["show"]
    return __salt__["mysql_endpoint.ready"](
        address=ip,
        port=port,
        node_address=show["hosts"][name]["ip"],
        holder=name,
        others=_other_masters(show, name),
        write_table=write_table,
    )


def _writer(cluster, role, expected_ip, allowed, sql, port, write_table):
    """Ask one round and return the answer of ``writer_ready``."""
    try:
        view = _view(cluster)
    except _NoView as error:
        return _answer(None, None, [_reason(error.code, str(error))], [], {})
    holder, reasons, warnings = _judge(view, role, expected_ip, allowed)
    endpoint = {}
    if sql and holder:
        endpoint = _ask_endpoint(view, holder, port, write_table)
        reasons, warnings = reasons + endpoint["reasons"], warnings + endpoint["warnings"]
    elif not sql:
        warnings.append(_reason("monitor_only", "nobody has logged in through the writer's address: sql is off"))
    return _answer(view, holder, reasons, warnings, endpoint)


def _retcode(answer):
    """Let the exit status tell what the answer tells, whatever the functions called on the way have set."""
    __context__["retcode"] = 0 if answer["ready"] else 1
    return answer


def _question(expected_ip, role, cluster, allow_modes, sql, port, write_table):
    """Return the checked arguments of one round."""
    if not isinstance(sql, bool):
        raise SaltInvocationError(f"sql={sql!r} is not possible: give True or False")
    return {
        "cluster": None if cluster is None else _name("cluster", cluster),
        "role": _name("role", role),
        "expected_ip": None if expected_ip is None else _name("expected_ip", expected_ip),
        "allowed": _gate_modes(allow_modes),
        "sql": sql,
        "port": _number("port", port, 1, 65535),
        "write_table": write_table,
    }


def _waited(answer, streak, rounds, seconds, interval):
    """Return the last answer as that of a wait: good rounds that were too few do not make the writer ready."""
    reasons = answer["reasons"] + list(filter(None, [streak.reason]))
    warnings = list(answer["warnings"])
    if streak.wanted * interval <= _MMM_LAG:
        sentence = f"{streak.wanted} rounds {interval} s apart are within MMM's own lag of {_MMM_LAG} s"
        warnings.append(_reason("short_watch", sentence))
    more = {"rounds": rounds, "waited": round(seconds, 1), "reasons": reasons, "warnings": warnings}
    return {**answer, **more, "ready": streak.steady}


def _order(test, cluster, *words):
    """Give the monitor an order, or with ``test`` say which it would be."""
    if test not in (None, True, False):
        raise SaltInvocationError(f"test={test!r} is not possible: give True or False")
    command = " ".join(["mmm_control", *([f"@{_name('cluster', cluster)}"] if cluster is not None else []), *words])
    if __opts__.get("test") if test is None else test:
        return {"changed": False, "comment": f"{command} would be run"}
    said = _control(cluster, *words).strip()
    if not said.startswith("OK:"):
        raise CommandExecutionError(f"{command} was not confirmed: {_complaint(said)}")
    return {"changed": "Skipping command" not in said, "comment": said[len("OK:") :].strip()}


# The public functions


def ping(cluster=None):
    """
    Answer whether the monitor is running. That it cannot be asked at all, or hangs, is an error.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.ping
    """
    try:
        return _control(cluster, "ping").startswith("OK")
    except _NoView as error:
        if error.code != "monitor_unreachable":
            raise
        __context__["retcode"] = 1
        return False


def mode(cluster=None):
    """
    Return the monitor's mode: ``ACTIVE``, ``MANUAL``, ``WAIT`` or ``PASSIVE``.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.mode
    """
    return _parse_mode(_control(cluster, "mode"))


def show(cluster=None):
    """
    Return hosts, states and roles as the monitor last sent them, which may be 15 seconds old.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    Returns ``{"mode", "cause", "hosts", "preferences", "comments"}``: ``mode`` is ``PASSIVE`` or None, since nothing
    else is shown; ``hosts`` by name ``{"ip", "mode", "state", "agent_reachable", "roles": [{"name", "ip"}]}``;
    ``preferences`` by role ``{"preferred", "assigned"}``. Raises an error with what ``mmm_control`` said.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.show
        salt monitor mysql_mmm.show cluster=C1
    """
    return _parse_show(_control(cluster, "show"))


def checks(host="all", check="all", cluster=None):
    """
    Return the monitor's checks of its hosts. A failure shows only after its ``trap_period``.

    host
        A host of the cluster. All by default.

    check
        ``ping``, ``mysql``, ``rep_threads`` or ``rep_backlog``. All by default.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    Returns ``{host: {check: {"ok", "message", "last_change"}}}``, the change in the monitor's local time.
    Raises an error with what ``mmm_control`` said.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.checks db1 mysql
    """
    words = [_name("host", host), *([] if check == "all" else [_choice("check", check, _CHECKS)])]
    return _parse_checks(_control(cluster, "checks", *words))


def writer(role="writer", cluster=None):
    """
    Return who has the writer's role, as the monitor last sent it: ``{"host", "host_ip", "ip", "state"}``, ``{}`` if
    nobody.

    role
        The role's name. ``writer`` by default.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    Raises an error if several have the role, and with what ``mmm_control`` said.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.writer
    """
    role = _name("role", role)
    shown = _parse_show(_control(cluster, "show"))
    holder, reasons = _judge_holders(shown, role, None)
    if not holder and reasons[0]["code"] == "several_writers":
        raise CommandExecutionError(reasons[0]["message"])
    if not holder:
        return {}
    host = shown["hosts"][holder[0]]
    return {"host": holder[0], "host_ip": host["ip"], "ip": holder[1], "state": host["state"]}


def writer_ready(
    expected_ip=None, role="writer", cluster=None, allow_modes="ACTIVE", sql=True, port=3306, write_table=None
):
    """
    Answer whether the writer is ready: the monitor says so, and the database can be written through its address from
    here.

    expected_ip
        The writer's address, if the role must have this very one. Any by default.

    role
        The writer's role. ``writer`` by default.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    allow_modes
        Modes of the monitor in which the writer may be ready, of ``ACTIVE`` and ``MANUAL``. ``ACTIVE`` by default.

    sql
        Log in through the address, to the holder and to the other masters, as ``mysql_endpoint.ready`` does. True by
        default; False leaves the monitor's view alone, which is up to 15 seconds old.

    port
        The database's port. 3306 by default.

    write_table
        See ``mysql_endpoint.ready``. None by default.

    Returns ``{"ready", "host", "host_ip", "ip", "server_id", "identity", "reasons", "warnings", "observed"}``, reasons
    and warnings as ``{"code", "message"}``, ``observed`` in a few lines. Codes: ``monitor_unreachable``,
    ``monitor_timeout``, ``config_error``, ``bad_output``, ``refused``, ``mode``, ``no_writer``, ``several_writers``,
    ``wrong_ip``, ``not_online``, ``agent_unreachable``, ``check_failed``, and those of ``mysql_endpoint.ready``. Not
    ready sets the return code to 1. Only a wrong argument raises.

    One good answer is not enough: see ``wait_writer_ready``.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.writer_ready expected_ip=10.0.0.50
    """
    return _retcode(_writer(**_question(expected_ip, role, cluster, allow_modes, sql, port, write_table)))


def wait_writer_ready(
    timeout=300,
    successes=5,
    interval=4,
    expected_ip=None,
    role="writer",
    cluster=None,
    allow_modes="ACTIVE",
    sql=True,
    port=3306,
    write_table=None,
):
    """
    Wait until the writer has been ready in several rounds in a row, always on the same host and the same server.

    timeout
        Seconds after which no more round begins. 300 by default, more than ``wait_for_other_master`` of MMM.

    successes
        Good rounds in a row. 5 by default.

    interval
        Seconds from the start of a round to the next. 4 by default: with 5 rounds more than the 15 s by which MMM lags.

    expected_ip, role, cluster, allow_modes, sql, port, write_table
        As ``writer_ready`` takes them.

    Returns what ``writer_ready`` returned last, with ``rounds`` and ``waited`` (seconds), and the reason ``unstable``
    if good rounds came, but never enough of them in a row. Where ``mmm_control`` cannot be used at all, it does not
    wait.

    CLI Example:

    .. code-block:: bash

        salt -t 330 monitor mysql_mmm.wait_writer_ready expected_ip=10.0.0.50
    """
    _patience(timeout, successes, interval)
    question = _question(expected_ip, role, cluster, allow_modes, sql, port, write_table)
    started, streak, rounds = time.monotonic(), _Streak(successes), 0
    while True:
        began, rounds = time.monotonic(), rounds + 1
        answer = _writer(**question)
        streak.add(answer["ready"], answer["identity"])
        hopeless = any(reason["code"] == "config_error" for reason in answer["reasons"])
        if streak.steady or hopeless or began + interval > started + timeout:
            break
        time.sleep(max(0, began + interval - time.monotonic()))
    return _retcode(_waited(answer, streak, rounds, time.monotonic() - started, interval))


def set_online(host, cluster=None, test=None):
    """
    Bring a host back into the cluster, from AWAITING_RECOVERY or ADMIN_OFFLINE. MMM starts its replication.

    host
        A host of the cluster.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    test
        Say what would be done and do nothing. The minion's ``test`` option by default.

    Returns ``{"changed", "comment"}``. Raises an error with what ``mmm_control`` said.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.set_online db1 test=True
    """
    return _order(test, cluster, "set_online", _name("host", host))


def set_offline(host, cluster=None, test=None):
    """
    Take a host out of the cluster. MMM moves its roles away and stops its replication.

    host
        A host of the cluster.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    test
        Say what would be done and do nothing. The minion's ``test`` option by default.

    Returns ``{"changed", "comment"}``. Raises an error with what ``mmm_control`` said.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.set_offline db1 test=True
    """
    return _order(test, cluster, "set_offline", _name("host", host))


def move_role(role, host, cluster=None, test=None):
    """
    Move an exclusive role, such as the writer's, to another host.

    role
        The role's name.

    host
        The host that shall have it; it must be ONLINE.

    cluster
        As in ``mmm_control @C1``. The only cluster by default.

    test
        Say what would be done and do nothing. The minion's ``test`` option by default.

    Returns ``{"changed", "comment"}``. Raises an error with what ``mmm_control`` said.

    CLI Example:

    .. code-block:: bash

        salt monitor mysql_mmm.move_role writer db2 test=True
    """
    return _order(test, cluster, "move_role", _name("role", role), _name("host", host))
