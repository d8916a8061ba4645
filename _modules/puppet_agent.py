"""
Run Puppet on this node and tell what really happened.

Each run has an id and is made once: a second call with the same id joins the run or reports it. Puppet is started apart
from the minion, under a small supervisor of its own, so it outlives the job, the minion and the connection to the
master; the supervisor keeps its exit code and ends it, with every process that it started, at the timeout.

A run is judged by its exit status *and* by its own report file. Neither is enough alone: Puppet exits 0 when it was
told to stop, 1 without a report when it was disabled, and 0 with a cached catalog when its server is gone.

A node's own settings are optional; they come from the minion's configuration, grains or pillar:

.. code-block:: yaml

    puppet_agent:
      puppet: /opt/puppetlabs/bin/puppet     # found in PATH and /opt/puppetlabs/bin unless given
      confdir: /etc/puppetlabs/puppet        # as Puppet has it unless given
      vardir: /opt/puppetlabs/puppet/cache   # as Puppet has it unless given
      mode: apply                            # agent unless given
      manifest: /etc/site.pp                 # what mode apply applies
      modulepath: /etc/modules               # for mode apply; as Puppet has it unless given

What became of a run lies in ``<cachedir>/puppet_agent/runs/<run id>``, for the last 50 runs.
"""

import contextlib
import ctypes
import datetime
import fcntl
import fnmatch
import functools
import heapq
import itertools
import json
import operator
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

try:
    import salt.exceptions
    import yaml
except ImportError:  # the supervisor runs this file with the standard library alone
    pass

GOOD = ("unchanged", "changed", "tolerated")
COUNTS = ("total", "changed", "failed", "failed_to_restart", "skipped", "out_of_sync", "restarted", "corrective_change")
TIME = "%Y-%m-%dT%H:%M:%SZ"
SETTINGS = ("puppet", "confdir", "vardir", "mode", "manifest", "modulepath")
IDENTITY = ("mode", "manifest", "puppet_environment", "noop", "tags", "skip_tags", "may_fail")

KEPT_RUNS = 50
# Seconds: from SIGTERM to SIGKILL, from there to giving up, and what a run may take to end in all.
GRACE, UNKILLABLE, ENDING = 10, 30, 100
START_TIMEOUT, LOCK_INTERVAL, LONGEST = 60, 1, 30 * 24 * 3600

# Bytes. A report of 15,000 resources has 16 MiB.
REPORT_LIMIT, OUTPUT_LIMIT, OUTCOME_LIMIT, EXIT_SPACE = 32 << 20, 256 << 10, 64 << 10, 4 << 10
LISTED, SLOWEST, LOG_LINES, LINE, TITLE = 50, 5, 40, 300, 1200
LARGEST, DEEPEST = 1 << 31, 50

PATH = "/opt/puppetlabs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VARDIRS = ("/opt/puppetlabs/puppet/cache", "/var/cache/puppet", "/var/lib/puppet", "~/.puppetlabs/opt/puppet/cache")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

# What a name may be, for the machine and for people.
RUN_ID = (
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"),
    "up to 128 letters, digits and . _ - (a letter or digit first)",
)
TAG = (re.compile(r"[A-Za-z0-9_:.-]+"), "letters, digits and _ : . -")
ENVIRONMENT = (re.compile(r"[a-z0-9_]+"), "small letters, digits and _")
REPORT_KEYS = ("status", "transaction_completed", "noop", "environment", "metrics", "resource_statuses")
# The last line of a report has one of these: a file that was cut has lost it.
CACHED = ("not_used", "on_failure", "explicitly_requested")

IN_THE_WAY = re.compile(
    r"^Notice: Run of .+ already in progress; skipping\s+\((?P<path>/.+) exists\)$"
    r"|^Error: Another puppet instance is already running and the waitforlock setting is set to 0; exiting$",
    re.MULTILINE,
)
DISABLED = re.compile(r"administratively disabled \(Reason: '(?P<reason>.*)'\)")
UNSIGNED = re.compile(r"Certificate for (?P<name>\S+) has not been signed yet")
# The last words of an agent, an agent that had not begun, and of apply, when they are sent a signal.
TOLD_TO_STOP = re.compile(
    r"^(?:(?:Notice: )?Caught (?:TERM|INT); exiting|Cancelling startup|Error: Could not run: SIG[A-Z]+|Exiting)$",
    re.MULTILINE,
)
APPLYING = re.compile(r"^Info: Applying configuration version|^Notice: Applied catalog", re.MULTILINE)
NOT_COMPILED = re.compile(
    r"Evaluation Error|Could not (?:parse|find file)|directory environment named|\(file: .+, line: \d+", re.MULTILINE
)
DEPENDENCY = re.compile(r"(?:D|Class d)ependency (?P<cause>.+) has failures: ")
SKIPPED = (
    "Skipping because of failed dependencies",
    "Skipping resources in class because of failed class dependencies",
)
NOT_THE_CAUSE = ("Could not retrieve catalog; skipping run",)


def __virtual__():
    return sys.platform == "linux" or (False, "puppet_agent supervises its runs by means that only Linux has")


# What a caller asked for


def _checked(name, value, is_right, wanted):
    """Return an argument that is right; refuse it otherwise."""
    if not is_right:
        raise salt.exceptions.SaltInvocationError(f"{name}={value!r} is not possible: it must be {wanted}")
    return value


def _flag(name, value):
    return _checked(name, value, isinstance(value, bool), "True or False")


def _seconds(name, value, least):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    wanted = f"a number of seconds from {least} to {LONGEST}"
    return _checked(name, value, is_number and least <= value <= LONGEST, wanted)


def _word(name, value, kind):
    pattern, wanted = kind
    return _checked(name, value, isinstance(value, str) and pattern.fullmatch(value), wanted)


def _path(name, value):
    is_right = isinstance(value, str) and value.startswith("/") and value.isprintable()
    return _checked(name, value, is_right, "an absolute path")


def _tags(name, value):
    words = value.split(",") if isinstance(value, str) else value or []
    _checked(name, value, isinstance(words, (list, tuple)), "a list, or text with commas")
    return [_word(name, word.strip() if isinstance(word, str) else word, TAG) for word in words]


def _patterns(name, value):
    """One pattern or a list of them: no commas, for titles contain them."""
    patterns = [value] if isinstance(value, str) else value or []
    is_right = isinstance(patterns, (list, tuple)) and all(isinstance(each, str) and each.strip() for each in patterns)
    return list(_checked(name, patterns, is_right, "a resource like Service[swift-*], or a list of them"))


def _node_settings(found):
    """Return the node's own settings, checked."""
    if not isinstance(found, dict) or set(found) - set(SETTINGS):
        raise salt.exceptions.CommandExecutionError(
            f"the setting puppet_agent of this node is {found!r}: it may have {', '.join(SETTINGS)} and nothing else"
        )
    settings = {name: value for name, value in found.items() if value not in (None, "")}
    if isinstance(settings.get("modulepath"), list):
        settings["modulepath"] = ":".join(map(str, settings["modulepath"]))
    for name in set(settings) - {"mode"}:
        _path(f"puppet_agent:{name}", settings[name])
    return settings


def _request(settings, run_id, arguments):
    """Return what is to be run as one dictionary that says everything, or refuse it."""
    mode = arguments["mode"] or settings.get("mode", "agent")
    _checked("mode", mode, mode in ("agent", "apply"), "agent or apply")
    manifest = (arguments["manifest"] or settings.get("manifest")) if mode == "apply" else arguments["manifest"]
    wanted = "the file or folder that mode=apply applies (or set puppet_agent:manifest), and only there"
    _checked("manifest", manifest, (mode == "apply") is bool(manifest), wanted)
    environment = arguments["puppet_environment"]
    return {
        "run_id": run_id,
        "mode": mode,
        "manifest": _path("manifest", manifest) if manifest else None,
        "puppet_environment": _word("puppet_environment", environment, ENVIRONMENT) if environment else None,
        "noop": None if arguments["noop"] is None else _flag("noop", arguments["noop"]),
        "tags": _tags("tags", arguments["tags"]),
        "skip_tags": _tags("skip_tags", arguments["skip_tags"]),
        "may_fail": _patterns("may_fail", arguments["may_fail"]),
        "show_diff": _flag("show_diff", arguments["show_diff"]),
        "timeout": _seconds("timeout", arguments["timeout"], 1),
        "lock_timeout": _seconds("lock_timeout", arguments["lock_timeout"], 0),
        "requested": _now(),
    }


def _command(puppet, settings, request, report):
    """Return the argument list of one run of Puppet."""
    command = [puppet, request["mode"], *_places(settings)]
    if request["mode"] == "agent":
        command += ["--onetime", "--no-daemonize", "--no-splay", "--waitforlock=0"]
        command += ["--no-usecacheonfailure", "--no-use_cached_catalog"]
    command += ["--verbose", "--color=false", "--logdest=console", "--detailed-exitcodes"]
    # The supervisor has its own timeout; a site that sends no reports still needs this run's own.
    command += ["--runtimeout=0", "--report", f"--lastrunreport={report}"]
    command += ["--show_diff" if request["show_diff"] else "--no-show_diff"]
    if request["noop"] is not None:
        command += ["--noop" if request["noop"] else "--no-noop"]
    if request["puppet_environment"]:
        # Strict: without it Puppet runs another environment when the server does not have this one.
        command += [f"--environment={request['puppet_environment']}", "--strict_environment_mode"]
    command += [f"--tags={','.join(request['tags'])}"] if request["tags"] else []
    command += [f"--skip_tags={','.join(request['skip_tags'])}"] if request["skip_tags"] else []
    if request["mode"] == "apply":
        command += [f"--modulepath={settings['modulepath']}"] if "modulepath" in settings else []
        command += [request["manifest"]]
    return command


def _places(settings):
    return [f"--{name}={settings[name]}" for name in ("confdir", "vardir") if name in settings]


# What Puppet said


def _now():
    return datetime.datetime.now(datetime.timezone.utc).strftime(TIME)


def _text(value, limit=LINE):
    """Return a scalar as one line of printable text, bounded; anything else as no text."""
    value = "" if value is None or isinstance(value, (dict, list)) else str(value)
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", value).split())
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _dicts(values):
    """Return the dictionaries among a list's elements or a dictionary's values."""
    values = list(values.values()) if isinstance(values, dict) else values
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _is_number(value):
    return isinstance(value, (int, float)) and 0 <= value < LARGEST


def _parse_report(content):
    """Return a report's YAML as a dictionary; raise ValueError with what is wrong with it."""
    # The only tag of the file is Ruby's, in front of it.
    content = re.sub(rb"\A--- !ruby/object:\S+", b"---", content)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        report = yaml.load(content, loader) if _is_shallow(yaml.parse(content, loader)) else None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError):
        raise ValueError("is not the YAML of a report") from None
    if not isinstance(report, dict):
        raise ValueError("is empty" if not content.strip() else "is not a report")
    missing = [key for key in REPORT_KEYS if key not in report]
    if missing or report.get("cached_catalog_status") not in CACHED:
        raise ValueError(f"is not complete: it has no {', '.join(missing) or 'cached_catalog_status'}")
    return report


def _is_shallow(events):
    """Say whether YAML can be loaded: the loader in C goes as deep as the file, and down with the minion."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return False
    return True


def _digest(report):
    """Return what matters of a report, whatever types its fields have."""
    statuses, logs = _dicts(report["resource_statuses"]), _dicts(report.get("logs"))
    events = ("success", "noop") if report["noop"] is True else ("success",)
    return {
        "status": report["status"],
        "completed": report["transaction_completed"] is True,
        "cached": report["cached_catalog_status"] != "not_used",
        "catalog": bool(report.get("configuration_version") or report.get("catalog_uuid")),
        "noop": report["noop"] is True,
        "environment": _text(report["environment"]),
        "resources": _counts(report["metrics"]),
        "failures": [_failure(each, logs) for each in statuses if each.get("failed") or each.get("failed_to_restart")],
        "skipped": _skipped(statuses, logs),
        "causes": _causes(logs),
        "changes": [
            {"resource": _text(each.get("resource")), "message": _text(event.get("message"))}
            for each in statuses
            for event in _dicts(each.get("events"))
            if event.get("status") in events
        ],
        "slowest": _slowest(statuses),
        # Facts that cannot be read are no reason for anything.
        "errors": [_text(each.get("message")) for each in _errors(logs) if each.get("source") != "Facter"],
        "config_version": _text(report.get("configuration_version")),
        "transaction_uuid": _text(report.get("transaction_uuid")),
        "puppet_version": _text(report.get("puppet_version")),
    }


def _errors(logs):
    return [each for each in logs if each.get("level") == "err"]


def _counts(metrics):
    resources = metrics.get("resources") if isinstance(metrics, dict) else None
    values = resources.get("values") if isinstance(resources, dict) else None
    rows = [row for row in values if isinstance(row, list) and len(row) == 3] if isinstance(values, list) else []
    found = {str(row[0]): row[2] for row in rows if _is_number(row[2])}
    return {name: int(found.get(name, 0)) for name in COUNTS}


def _place(status):
    """Return the path by which the logs call a resource."""
    path = status.get("containment_path")
    return "/" + "/".join(map(str, path)) if isinstance(path, list) else ""


def _row(status, message):
    line = status.get("line")
    return {
        "resource": _text(status.get("resource"), TITLE),
        "message": _text(message),
        "file": _text(status.get("file")),
        "line": int(line) if _is_number(line) else None,
        "tolerated": False,
    }


def _failure(status, logs):
    said = [event.get("message") for event in _dicts(status.get("events")) if event.get("status") == "failure"]
    said += [each.get("message") for each in _errors(logs) if each.get("source") == _place(status)]
    return _row(status, said[0] if said else "failed, and its report does not say why")


def _skipped(statuses, logs):
    """Return the resources skipped for failed dependencies; those skipped by tag or schedule are no failures."""
    places = {str(log.get("source")) for log in logs if log.get("message") in SKIPPED}
    return [
        _row(each, "skipped: a resource that it depends on failed")
        for each in statuses
        if each.get("skipped") and (_place(each) in places or _place(each).rpartition("/")[0] in places)
    ]


def _causes(logs):
    """Return the failed resources for which others were skipped, by the logs."""
    found = (DEPENDENCY.match(_text(log.get("message"), TITLE)) for log in logs)
    return sorted({match["cause"] for match in found if match})


def _slowest(statuses):
    timed = [(each["evaluation_time"], each) for each in statuses if _is_number(each.get("evaluation_time"))]
    slowest = heapq.nlargest(SLOWEST, timed, key=operator.itemgetter(0))
    rows = [{"resource": _text(each.get("resource")), "seconds": round(seconds, 2)} for seconds, each in slowest]
    return [row for row in rows if row["seconds"]]


def _log_tail(output):
    """Return the last lines of Puppet's output, without the lines of diffs: those carry secrets."""
    lines = [line for line in output.splitlines() if line.strip() and line[0] not in " +-@\\"]
    return [_text(line) for line, _ in itertools.groupby(lines)][-LOG_LINES:]


def _complaints(output):
    """Return what an output without a report complains of, in one line."""
    lines = [line for line in output.splitlines() if line.strip() and not line[0].isspace()]
    lines = [line for line in lines if not re.match(r"(?:Info|Notice|Debug|Error: Facter): ", line)]
    return _text("; ".join(line.removeprefix("Error: ") for line in lines[-3:]) or "it said nothing", 2 * LINE)


def _lock_in_the_way(exit_code, output):
    """Return the lock for which Puppet did not run, "" if it did not name it, None if there was none."""
    found = IN_THE_WAY.search(output) if exit_code == 1 else None
    return (found["path"] or "") if found else None


# What became of the run


def _named(resource, patterns):
    """Say whether a pattern names the resource: only ``*`` is special, for brackets belong to the name."""
    literal = (each.replace("[", "[[]").replace("?", "[?]") for each in patterns)
    return any(fnmatch.fnmatchcase(resource, each) for each in literal)


def _judge(request, ended, digest, problem, output):
    """
    Return the verdict of a run that is over, and the reason.

    ``ended`` is what its supervisor recorded, or None if it recorded nothing; ``digest`` is what matters of its own
    report, or None, and then ``problem`` says what is wrong with the file.
    """
    if ended is None:
        return "killed", "the run's supervisor was killed, or the node went down; how far Puppet came is not known"
    if ended["error"]:
        return "not_started", ended["error"]
    if ended["ended_by"]:
        return _judge_ended(request, ended)
    code = ended["exit_code"]
    # A shell around Puppet tells of a signal by its own exit code.
    number = ended["signal"] or (code - 128 if code in range(129, 193) else None)
    if number:
        return "killed", f"Puppet was ended by {_signal_name(number)}, which this run did not send"
    if digest is None:
        return _judge_output(request, code, problem, output)
    return _judge_report(request, code, digest, output)


def _signal_name(number):
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _judge_ended(request, ended):
    holder = ended["holder"]
    return {
        "timeout": ("timed_out", f"Puppet did not end within {request['timeout']} seconds and was ended"),
        "stop": ("killed", "the run was stopped: by puppet_agent.stop, or with the node"),
        "lock": ("busy", f"{holder} was still in the way after lock_timeout={request['lock_timeout']} seconds"),
        "disabled": ("disabled", _disabled(holder)),
    }[ended["ended_by"]]


def _disabled(message):
    return f"Puppet is disabled on this node: {_text(message)}; puppet_agent.enable ends that"


def _judge_output(request, code, problem, output):
    """Judge a run that left no report of its own: it can be anything but good."""
    if TOLD_TO_STOP.search(output):
        return "killed", "Puppet was told to stop by somebody else, before it had done anything"
    said = _complaints(output)
    if code != 1 or APPLYING.search(output):
        return "failed", f"Puppet exited {code} and its report {problem}, so what it did is not known; it said: {said}"
    if disabled := DISABLED.search(output):
        return "disabled", _disabled(disabled["reason"])
    if unsigned := UNSIGNED.search(output):
        name = unsigned["name"]
        return "not_started", f"the certificate of {name} is not signed: puppetserver ca sign --certname {name}"
    if request["mode"] == "apply" and NOT_COMPILED.search(output):
        return "no_catalog", said
    return "not_started", f"Puppet did not begin: {said}"


def _judge_report(request, code, digest, output=""):
    """Judge a run by its exit code (None where nobody knows it) and its own report."""
    asked, came_from = request["puppet_environment"], digest["environment"]
    if not digest["completed"] and (code == 0 or TOLD_TO_STOP.search(output)):
        return "killed", f"Puppet was told to stop by somebody else in the middle of its run, and exited {code}"
    if asked and came_from != asked:
        return "no_catalog", f"puppet_environment={asked} was asked for, but Puppet ran the environment {came_from}"
    if digest["cached"]:
        return "no_catalog", "the catalog came from the node's cache, not from the server"
    if not digest["catalog"]:
        return "no_catalog", _cause(digest)
    if request["noop"] not in (None, digest["noop"]):
        return "failed", f"noop={request['noop']} was asked for, but Puppet ran with noop={digest['noop']}"
    if digest["failures"] or digest["skipped"]:
        return _judge_failures(request, code, digest)
    if not digest["completed"] or code == 1:
        return "failed", _cause(digest)
    if digest["status"] != {None: digest["status"], 0: "unchanged", 2: "changed"}.get(code):
        return "failed", f"Puppet exited {code}, but its report says {_text(digest['status'])}"
    would_change = digest["noop"] and bool(digest["changes"])
    return ("changed" if digest["status"] == "changed" or would_change else "unchanged"), ""


def _judge_failures(request, code, digest):
    failures, skipped, patterns = digest["failures"], digest["skipped"], request["may_fail"]
    for each in failures:
        each["tolerated"] = _named(each["resource"], patterns)
    known = digest["resources"]["failed"] <= len(failures) and all(_named(each, patterns) for each in digest["causes"])
    all_named = bool(failures) and known and all(each["tolerated"] for each in failures)
    count = f"{_plural(len(failures), 'resource')} failed"
    count += f", {_plural(len(skipped), 'resource')} skipped for failed dependencies" if skipped else ""
    if all_named and digest["completed"] and code in (4, 6, None):
        for each in skipped:
            each["tolerated"] = True
        return "tolerated", f"{count}, as may_fail allows"
    first = next((each for each in failures + skipped if not each["tolerated"]), (failures + skipped)[0])
    return "failed", f"{count}; {first['resource']}: {first['message']}"


def _plural(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cause(digest):
    """Return the first and the last error of a report: the first is often the reason of the last."""
    errors = [each for each in digest["errors"] if each not in NOT_THE_CAUSE]
    errors = errors or ["its report does not say why"]
    return "; ".join(dict.fromkeys([errors[-1], errors[0]])).removeprefix("Failed to apply catalog: ")


def _outcome(request, state, ended=None, digest=None, output="", verdict=None, reason=""):
    """Return a run as its caller sees it, bounded."""
    state, ended, digest = state or {}, ended or {}, digest or {}
    failures = (digest.get("failures") or []) + (digest.get("skipped") or [])
    return _bounded(
        {
            "run_id": request.get("run_id"),
            "verdict": verdict,
            "reason": _text(reason, 3 * LINE),
            "exit_code": ended.get("exit_code"),
            "noop": digest.get("noop", bool(request.get("noop"))),
            "mode": request.get("mode"),
            "environment": digest.get("environment") or request.get("puppet_environment") or "",
            "started": ended.get("started") or state.get("started") or request.get("requested"),
            "finished": ended.get("finished"),
            "seconds": ended.get("seconds"),
            "resources": digest.get("resources") or dict.fromkeys(COUNTS, 0),
            "failures": failures[:LISTED],
            "changes": (digest.get("changes") or [])[:LISTED],
            "slowest": digest.get("slowest") or [],
            "config_version": digest.get("config_version", ""),
            "transaction_uuid": digest.get("transaction_uuid", ""),
            "puppet_version": digest.get("puppet_version", ""),
            "log_tail": _log_tail(output),
        }
    )


def _bounded(outcome):
    """Shorten the lists of an outcome until it fits: first the changes, last the failures."""
    for name in ("changes", "log_tail", "failures"):
        while outcome[name] and len(json.dumps(outcome)) > OUTCOME_LIMIT:
            outcome[name] = outcome[name][: len(outcome[name]) // 2] if name != "log_tail" else outcome[name][1:]
    return outcome


# The run's directory


def _root():
    return Path(__opts__["cachedir"], "puppet_agent")


def _folder(run_id):
    return _root() / "runs" / _word("run_id", run_id, RUN_ID)


def _write(path, value):
    """Write JSON so that a reader finds the old file or the whole new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            json.dump(value, handle)
            handle.flush()
            os.fsync(handle.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _read(path):
    """Return the dictionary in a JSON file, or None if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextlib.contextmanager
def _locked(path, how=fcntl.LOCK_EX):
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield handle
    finally:
        os.close(handle)


def _is_started(folder):
    return (folder / "state.json").exists() or (folder / "exit.json").exists()


def _goes_on(folder):
    """Say whether a run's supervisor lives: it holds the run's lock from its first word to its last."""
    try:
        with _locked(folder / "lock", fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _folders():
    """Return the directories of the runs that this node keeps, the newest first."""
    found = []
    with contextlib.suppress(OSError):
        for folder in (_root() / "runs").iterdir():
            request = folder / "request.json"
            found.append(((request if request.exists() else folder).stat().st_mtime_ns, folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def _forget_old_runs():
    for folder in _folders()[KEPT_RUNS:]:
        if not _goes_on(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _known(run_id):
    folder = _folder(run_id)
    if not _is_started(folder):
        raise salt.exceptions.CommandExecutionError(
            f"this node knows no run {run_id}: it keeps the last {KEPT_RUNS}; puppet_agent.status names those going on"
        )
    return folder


def _read_report(path):
    """Return what matters of a report and None, or None and what is wrong with the file."""
    try:
        size = path.stat().st_size
        if size > REPORT_LIMIT:
            return None, f"is too big to be believed ({size >> 20} MiB)"
        return _digest(_parse_report(path.read_bytes())), None
    except FileNotFoundError:
        return None, "is not there"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except ValueError as error:
        return None, str(error)


def _read_output(folder):
    """Return the end of a run's output."""
    try:
        with (folder / "output.log").open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - OUTPUT_LIMIT))
            return handle.read().decode(errors="replace")
    except OSError:
        return ""


def _report_on(folder):
    """Return the outcome of a run as it stands; judged once, it is kept."""
    if not _goes_on(folder) and (kept := _read(folder / "outcome.json")):
        return kept
    request, state = _read(folder / "request.json"), _read(folder / "state.json")
    output = _read_output(folder)
    if _goes_on(folder):
        return _outcome(request or {}, state, output=output, reason=_waiting(state))
    ended = _read(folder / "exit.json") if request else None
    digest, problem = _read_report(folder / "report.yaml")
    verdict, reason = _judge(request, ended, digest, problem, output)
    outcome = _outcome(request or {"run_id": folder.name}, state, ended, digest, output, verdict, reason)
    with contextlib.suppress(OSError):
        _write(folder / "outcome.json", outcome)
    return outcome


def _waiting(state):
    holder = (state or {}).get("waiting_for")
    return f"waits since {state['since']} for {_holder_text(holder)}" if holder else ""


# Processes, and Puppet's own lock


def _environment():
    """Return the environment of Puppet: the minion's own would bring its Python and its libraries along."""
    return {"LC_ALL": "C.UTF-8", "PATH": PATH, "HOME": pwd.getpwuid(os.getuid()).pw_dir}


def _find_puppet(settings):
    given = settings.get("puppet")
    return shutil.which(given or "puppet", path=f"{os.environ.get('PATH', '')}:{PATH}")


def _proc(pid, name):
    try:
        return _text(Path(f"/proc/{pid}/{name}").read_text(errors="replace"))
    except OSError:
        return ""


def _holder(lock):
    """Return who holds Puppet's lock, or None: a lock is stale unless its process lives and is Puppet."""
    try:
        pid = int(Path(lock).read_text())
    except (OSError, ValueError):
        return None
    name, command = _proc(pid, "comm"), _proc(pid, "cmdline")
    # Puppet's own rule.
    is_puppet = ("ruby" in name and "puppet" in command) or re.search(r"puppet(-.*)?$", name)
    return {"lock": str(lock), "pid": pid, "command": command} if is_puppet else None


def _holder_text(holder):
    return f"{holder['command'] or 'another Puppet'} (pid {holder['pid']})" if holder["pid"] else holder["command"]


def _descendants(ancestor):
    """Return the living descendants of a process."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found, left = [], [ancestor]
    while left:
        born = children.get(left.pop(), [])
        found += born
        left += born
    return found


# The supervisor: this file run as a program


def _supervise(folder):
    """Make the run whose request lies in a directory and record how it ended there."""
    os.umask(0o077)
    ready = _detach()
    with _locked(folder / "lock"):
        if _is_started(folder):
            return
        # Puppet's children may leave its session and its parent; they come back to a subreaper.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        request, state = _read(folder / "request.json"), {"pid": os.getpid(), "started": _now()}
        _reserve(folder / "exit.reserved")
        _note(folder, state, phase="waiting", waiting_for=None)
        os.write(ready, b".")
        os.close(ready)
        _write_exit(folder, _run_in_turn(folder, request, state))


def _detach():
    """Go on in a child; the parent exits when the child says by the returned pipe that it is ready, or has died."""
    waiting, ready = os.pipe()
    if os.fork():
        os.close(ready)
        os._exit(0 if os.read(waiting, 1) else 1)
    os.close(waiting)
    return ready


def _reserve(path):
    """Keep room for the record of the end: the run itself may fill the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(b" " * EXIT_SPACE)
        handle.flush()
        os.fsync(handle.fileno())


def _write_exit(folder, ended):
    reserved = folder / "exit.reserved"
    with reserved.open("r+b") as handle:
        handle.write(json.dumps(ended).encode())
        handle.flush()
        os.fsync(handle.fileno())
    with contextlib.suppress(OSError):
        (folder / "report.yaml").chmod(0o600)
    reserved.replace(folder / "exit.json")


def _note(folder, state, **news):
    state.update(news, since=_now())
    _write(folder / "state.json", state)


def _ended(**known):
    """Return the record of an end."""
    blank = dict.fromkeys(("exit_code", "signal", "ended_by", "error", "holder", "started", "seconds"))
    return {**blank, "finished": _now(), **known}


def _run_in_turn(folder, request, state):
    """Make the run when no other run of this minion is going on; Puppet alone would not keep ``apply`` apart."""
    deadline = time.monotonic() + request["lock_timeout"]
    turn = os.open(folder.parent.parent / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _take(turn):
        holder = {"lock": "puppet_agent", "pid": None, "command": f"the run {os.pread(turn, LINE, 0).decode()}"}
        if ended := _wait_for(folder, state, holder, functools.partial(_take, turn), deadline):
            return ended
    with contextlib.suppress(OSError):
        os.ftruncate(turn, 0)
        os.pwrite(turn, folder.name.encode(), 0)
    return _run_past_locks(folder, request, state, deadline)


def _run_past_locks(folder, request, state, deadline):
    """Start Puppet, again whenever it was turned away by the lock of another one."""
    while True:
        if (message := _disabled_message(request["state_dirs"])) is not None:
            return _ended(ended_by="disabled", holder=message)
        locks = (_holder(f"{each}/agent_catalog_run.lock") for each in request["state_dirs"])
        holder = next(filter(None, locks), None)
        if holder is None:
            with contextlib.suppress(OSError):
                _note(folder, state, phase="running", waiting_for=None)
            ended = _run_once(request)
            lock = _lock_in_the_way(ended["exit_code"], _read_output(folder)) if request["mode"] == "agent" else None
            if lock is None or ended["ended_by"]:
                return ended
            holder = _holder(lock) or {"lock": lock, "pid": None, "command": "another Puppet"}
        if ended := _wait_for(folder, state, holder, functools.partial(_is_free, holder["lock"]), deadline):
            return ended
        os.truncate(folder / "output.log", 0)


def _disabled_message(state_dirs):
    """Return why the agent is disabled, for ``puppet apply`` does not ask; None if it is enabled."""
    for path in (Path(each, "agent_disabled.lock") for each in state_dirs):
        if path.exists():
            return _text((_read(path) or {}).get("disabled_message", "no reason given"))
    return None


def _take(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(lock):
    return _holder(lock) is None


def _wait_for(folder, state, holder, is_free, deadline, interval=LOCK_INTERVAL):
    """Wait for a lock; return the record of the run's end if it did not come free."""
    with contextlib.suppress(OSError):
        _note(folder, state, phase="waiting", waiting_for=holder)
    while (left := deadline - time.monotonic()) > 0:
        if signal.sigtimedwait({signal.SIGTERM}, min(interval, left)):
            return _ended(ended_by="stop")
        if is_free():
            return None
    return _ended(ended_by="lock", holder=_holder_text(holder))


def _run_once(request):
    """Run Puppet to its end, its own or the one that it is given at its timeout."""
    began, started = time.monotonic(), _now()
    prctl = ctypes.CDLL(None).prctl

    def become_ordinary():
        # A run without its supervisor would have no timeout and no record: Puppet is told to stop with it.
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    options = {"stdin": subprocess.DEVNULL, "env": _environment(), "cwd": "/", "umask": 0o022}
    try:
        puppet = subprocess.Popen(request["command"], preexec_fn=become_ordinary, **options)
    except OSError as error:
        return _ended(error=f"{request['command'][0]} cannot be started: {error.strerror}")
    status, ended_by = _await(puppet.pid, request["timeout"])
    code = None if status is None else os.waitstatus_to_exitcode(status)
    end = {"signal": -code} if code is not None and code < 0 else {"exit_code": code}
    return _ended(ended_by=ended_by, started=started, seconds=round(time.monotonic() - began, 2), **end)


def _await(pid, timeout):
    """Return a child's wait status, and why it was ended if that was done here."""
    deadline = time.monotonic() + timeout
    while (status := _reap().get(pid)) is None:
        woken = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM}, max(0, deadline - time.monotonic()))
        if woken is None or woken.si_signo == signal.SIGTERM:
            return _end_all(pid), "timeout" if woken is None else "stop"
    return status, None


def _reap():
    """Return the wait statuses of the children that have ended since."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    return ended


def _end_all(pid):
    """End every descendant, first by request, then by force, until none is left; return the wait status of one."""
    _send(signal.SIGTERM, _descendants(os.getpid()))
    deadline, status = time.monotonic() + GRACE, None
    while (left := _descendants(os.getpid())) and time.monotonic() < deadline + UNKILLABLE:
        if time.monotonic() >= deadline:
            _send(signal.SIGKILL, left)
        signal.sigtimedwait({signal.SIGCHLD}, 0.2)
        status = _reap().get(pid, status)
    return _reap().get(pid, status)


def _send(number, pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# Starting and waiting


def _call(command, **options):
    """Run a short command; return its exit code, None if it has none, and what it said."""
    options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": "/"}
    try:
        done = subprocess.run(command, text=True, errors="replace", timeout=START_TIMEOUT, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return done.returncode, done.stdout


def _new_run_id():
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%d%H%M%S%f}-{secrets.token_hex(2)}"


def _begin(folder, request, settings):
    """Start a run that has not been started; what kept it from starting is recorded as its end."""
    puppet = _find_puppet(settings)
    report = folder / "report.yaml"
    request["command"] = _command(puppet or "puppet", settings, request, report)
    request["state_dirs"] = _state_dirs(settings) if request["mode"] == "apply" else []
    _write(folder / "request.json", request)
    error = _launch(folder) if puppet else f"{settings.get('puppet', 'puppet')} is not on this node: install Puppet"
    if error and not _goes_on(folder):
        with _locked(folder / "lock"):
            if not _is_started(folder):
                _write(folder / "exit.json", _ended(error=error))


def _state_dirs(settings):
    """Return where Puppet may keep its locks; what Puppet itself says of it takes a second more."""
    places = [settings["vardir"]] if "vardir" in settings else VARDIRS
    return [str(Path(each).expanduser() / "state") for each in places]


def _launch(folder):
    """Start a supervisor that the minion cannot take down with it; return what went wrong, or nothing."""
    supervisor = [sys.executable, "-IS", __file__, str(folder)]
    for command in (*_in_a_unit(folder, supervisor), supervisor):
        code, said = _call(command, start_new_session=True)
        if code == 0:
            return ""
    said = (said or _read_output(folder)).strip().rpartition("\n")[2]
    return f"the supervisor of the run did not start: {_text(said) or 'it said nothing'}"


def _in_a_unit(folder, command):
    """Under systemd, leave the minion's cgroup: what is left there is killed when the minion is restarted."""
    if not Path("/run/systemd/system").is_dir() or os.geteuid() != 0:
        return []
    unit = ["systemd-run", f"--unit=puppet-agent-run-{folder.name}", "--collect", "--quiet"]
    # Daemons that Puppet starts by hand stay alive when the run has ended.
    return [[*unit, "--service-type=forking", "--property=KillMode=process", *command]]


def _conclude(outcome):
    """Let Salt say that the job failed unless the run was good."""
    if outcome["verdict"] not in GOOD:
        __context__["retcode"] = 1
    return outcome


def _same_run(folder, request):
    """Refuse to take the outcome of one run for that of another."""
    first = _read(folder / "request.json") or request
    other = [f"{name}={first.get(name)!r}" for name in IDENTITY if first.get(name) != request[name]]
    if other:
        raise salt.exceptions.CommandExecutionError(
            f"the run {request['run_id']} was started with {', '.join(other)}: give another run_id to start another run"
        )


def _await_end(folder, timeout):
    """Wait until a run's supervisor lets go of its lock."""

    def hold():
        with contextlib.suppress(OSError), _locked(folder / "lock", fcntl.LOCK_SH):
            pass

    waiter = threading.Thread(target=hold, daemon=True)
    waiter.start()
    waiter.join(timeout)


# Asking Puppet


def _settings():
    return _node_settings(__salt__["config.get"]("puppet_agent", {}))


def _ask(settings, *words):
    """Run a short Puppet command and return its output."""
    puppet = _find_puppet(settings)
    if puppet is None:
        raise salt.exceptions.CommandExecutionError(
            "Puppet is not on this node: install it, or set puppet_agent:puppet"
        )
    code, said = _call([puppet, *words], env=_environment())
    if code != 0:
        raise salt.exceptions.CommandExecutionError(f"puppet {words[0]} failed: {_complaints(said)}")
    return said


def _puppets_files(settings):
    """Return where Puppet keeps its locks and its last report."""
    names = ("agent_disabled_lockfile", "agent_catalog_run_lockfile", "lastrunreport")
    said = _ask(settings, "config", "print", "--section", "agent", *_places(settings), *names)
    return {name: Path(value) for name, _, value in (line.partition(" = ") for line in said.splitlines())}


def _switch(option, *message, enabled):
    """Enable or disable the agent as Puppet does it, and look whether it happened."""
    settings = _settings()
    lock = _puppets_files(settings)["agent_disabled_lockfile"]
    before = lock.exists()
    _ask(settings, "agent", option, *message, *_places(settings))
    if lock.exists() is enabled:
        wanted = "enabled" if enabled else "disabled"
        raise salt.exceptions.CommandExecutionError(
            f"Puppet says that it {wanted} the agent, but {lock} says otherwise"
        )
    why = None if enabled else (_read(lock) or {}).get("disabled_message", "")
    return {"enabled": enabled, "disabled_message": why, "changed": before is enabled}


def _last_outcome(settings, files):
    """Return the outcome of the last run that is over: ours, or else Puppet's own by its last report; or None."""
    ours = next((each for each in _folders() if _is_started(each) and not _goes_on(each)), None)
    if ours:
        return _report_on(ours)
    digest, problem = _read_report(files["lastrunreport"])
    if problem:
        return None
    request = {"mode": settings.get("mode", "agent"), "puppet_environment": None, "noop": None, "may_fail": []}
    written = datetime.datetime.fromtimestamp(files["lastrunreport"].stat().st_mtime, datetime.timezone.utc)
    ended = {"finished": written.strftime(TIME)}
    verdict, reason = _judge_report(request, None, digest)
    return _outcome(request, None, ended, digest, "", verdict, reason)


def _going(folder):
    """Return the state of a run in short."""
    outcome, state = _report_on(folder), _read(folder / "state.json") or {}
    goes_on = outcome["verdict"] is None
    return {
        "run_id": outcome["run_id"],
        "phase": state.get("phase", "waiting") if goes_on else "over",
        "since": state.get("since") if goes_on else outcome["finished"],
        "waiting_for_lock": state.get("waiting_for") if goes_on else None,
        "verdict": outcome["verdict"],
        "reason": outcome["reason"],
    }


# What one does with a node


def run(
    run_id=None,
    noop=None,
    tags=None,
    skip_tags=None,
    puppet_environment=None,
    timeout=3600,
    lock_timeout=600,
    may_fail=None,
    show_diff=False,
    mode=None,
    manifest=None,
):
    """
    Run Puppet once, wait for its end and return what became of it.

    run_id
        The name of the run. With the name of a run that is going on, that run is joined; with the name of one that is
        over, its outcome is returned. No second Puppet is ever started for a name. Made up unless given.

    noop
        Change nothing, report what would change: the verdict is then ``changed`` if anything would. As the node's
        ``puppet.conf`` says unless given.

    tags, skip_tags
        Run, or leave out, the resources with these tags: a list, or text with commas. All of them by default.

    puppet_environment
        The environment to run, and no other: a server that does not have it, or gives another, makes the run fail
        before anything is changed. As the node and its server have it unless given.

    timeout
        Seconds from Puppet's start after which it is ended, with everything that it started. An hour by default.

    lock_timeout
        Seconds to wait while another run is going on. Ten minutes by default; 0 to not wait.

    may_fail
        Resources that may fail without making the run fail: one, or a list, like ``Service[swift-*]``. Only ``*`` is
        special. None by default.

    show_diff
        Let Puppet write the differences of files to the run's ``output.log``. Off by default: they carry secrets.

    mode
        ``agent`` or ``apply``. As the node's settings say unless given, and else ``agent``.

    manifest
        The file or folder that ``apply`` applies. As the node's settings say unless given.

    Returns a dictionary with ``run_id``, ``verdict`` (``unchanged``, ``changed``, ``tolerated``; ``failed``,
    ``no_catalog``, ``disabled``, ``busy``, ``timed_out``, ``killed``, ``not_started``; None if it still goes on),
    ``reason``, ``exit_code``, ``noop``, ``mode``, ``environment``, ``started``, ``finished``, ``seconds``,
    ``resources``, ``failures``, ``changes``, ``slowest``, ``config_version``, ``transaction_uuid``,
    ``puppet_version`` and ``log_tail``. Any verdict but the first three fails the job.

    Raises an error if the name is that of a run with other arguments.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.run
        salt ctl1 puppet_agent.run noop=True tags=nova,keystone
        salt st1 puppet_agent.run may_fail='Service[swift-*]'
    """
    asked = dict(locals())
    outcome = start(**asked)
    if outcome["verdict"] is not None:
        return outcome
    return wait(outcome["run_id"], min(LONGEST, timeout + lock_timeout + ENDING))


def start(
    run_id=None,
    noop=None,
    tags=None,
    skip_tags=None,
    puppet_environment=None,
    timeout=3600,
    lock_timeout=600,
    may_fail=None,
    show_diff=False,
    mode=None,
    manifest=None,
):
    """
    Start a run of Puppet and return at once; the arguments are those of ``run``.

    Returns what ``run`` returns, with the verdict None while the run goes on.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.start run_id=20261122-primary-1
    """
    arguments = dict(locals())
    settings = _settings()
    request = _request(settings, run_id or _new_run_id(), arguments)
    folder = _folder(request["run_id"])
    try:
        for each in (_root(), folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        with _locked(folder / "start.lock"):
            if not _is_started(folder):
                _begin(folder, request, settings)
        _forget_old_runs()
    except OSError as error:
        reason = f"{folder} cannot be written: {error.strerror}"
        return _conclude(_outcome(request, None, verdict="not_started", reason=reason))
    _same_run(folder, request)
    outcome = _report_on(folder)
    return outcome if outcome["verdict"] is None else _conclude(outcome)


def wait(run_id=None, timeout=3600):
    """
    Wait for a run to end and return its outcome.

    run_id
        The run, as ``start`` returned it.

    timeout
        Seconds to wait before giving up; the run itself goes on. An hour by default.

    Returns what ``run`` returns. Raises an error if this node knows no such run.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.wait 20261122-primary-1 timeout=600
    """
    timeout = _seconds("timeout", timeout, 0)
    folder = _known(run_id)
    _await_end(folder, timeout)
    return _conclude(_report_on(folder))


def stop(run_id=None):
    """
    End a run with everything that it started, and return its outcome.

    run_id
        The run, as ``start`` returned it. A run that is over is left as it is.

    Raises an error if this node knows no such run, or if it did not end.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.stop 20261122-primary-1
    """
    folder = _known(run_id)
    if _goes_on(folder):
        _send(signal.SIGTERM, [_read(folder / "state.json")["pid"]])
        _await_end(folder, ENDING)
    outcome = _report_on(folder)
    if outcome["verdict"] is None:
        raise salt.exceptions.CommandExecutionError(f"the run {run_id} was told to stop and goes on: look at the node")
    return outcome


def status(run_id=None):
    """
    Return how Puppet is on this node, or the state of one run.

    run_id
        The run to tell of. The node by default.

    Returns, for the node, a dictionary with ``puppet`` (the executable, or None), ``puppet_version``, ``enabled``,
    ``disabled_message``, ``applying`` (a run is going on), ``lock`` (who holds Puppet's lock: ``pid`` and
    ``command``), ``runs`` (those started here that are going on) and ``last_run``. For a run, one with ``run_id``,
    ``phase`` (``waiting``, ``running``, ``over``), ``since``, ``waiting_for_lock``, ``verdict`` and ``reason``.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.status
    """
    if run_id is not None:
        return _going(_known(run_id))
    settings = _settings()
    going = [_going(each) for each in _folders() if _goes_on(each)]
    found = {"puppet": _find_puppet(settings), "puppet_version": None, "enabled": None, "disabled_message": None}
    found |= {"applying": bool(going), "lock": None, "runs": going, "last_run": None}
    if found["puppet"] is None:
        return found
    files = _puppets_files(settings)
    disabled, lock = files["agent_disabled_lockfile"], _holder(files["agent_catalog_run_lockfile"])
    last = _last_outcome(settings, files)
    return {
        **found,
        "puppet_version": _ask(settings, "--version").split()[-1],
        "enabled": not disabled.exists(),
        "disabled_message": (_read(disabled) or {}).get("disabled_message"),
        "applying": lock is not None or any(each["phase"] == "running" for each in going),
        "lock": lock and {"pid": lock["pid"], "command": lock["command"]},
        "last_run": last and {name: last[name] for name in ("run_id", "verdict", "reason", "finished", "resources")},
    }


def last_run(run_id=None):
    """
    Return the outcome of a run.

    run_id
        The run. By default the last one that was started here and is over, or, if there is none, Puppet's own last
        run as far as its report tells (``run_id`` and ``exit_code`` are then None).

    Raises an error if there is no such run.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.last_run
    """
    if run_id is not None:
        return _report_on(_known(run_id))
    settings = _settings()
    outcome = _last_outcome(settings, _puppets_files(settings))
    if outcome is None:
        raise salt.exceptions.CommandExecutionError("Puppet has not run on this node: puppet_agent.run runs it")
    return outcome


def enable():
    """
    Let the agent run again.

    Returns ``enabled``, ``disabled_message`` and ``changed`` (False if it was enabled already). Raises an error if it
    is still disabled.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.enable
    """
    return _switch("--enable", enabled=True)


def disable(message=None):
    """
    Keep the agent from running, and any run of this module as well.

    message
        Why, in one line; whoever is turned away is shown it.

    Returns ``enabled``, ``disabled_message`` and ``changed``: an agent that was disabled already keeps its first
    message. Raises an error if it is still enabled.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.disable 'new disks, until Friday'
    """
    is_right = isinstance(message, str) and re.fullmatch(r"[^\W-].*", message) and message.isprintable()
    _checked("message", message, is_right, "one line that says why, and begins with a letter or digit")
    return _switch("--disable", message, enabled=False)


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]))
