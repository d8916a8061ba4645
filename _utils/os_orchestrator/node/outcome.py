"""What became of a run: its verdict and the reason, from its end, its report and its output, and all of it as told."""

import fnmatch
import json
import re
import signal

from os_orchestrator import masks
from os_orchestrator.node import report, supervisor

GOOD = ("unchanged", "changed", "tolerated")
# Bytes, and elements.
OUTCOME_LIMIT, LISTED = 64 << 10, 50

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
NOT_THE_CAUSE = ("Could not retrieve catalog; skipping run",)


def judge(request, ended, digest, problem, output):
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
    return judge_report(request, code, digest, output)


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
    return f"Puppet is disabled on this node: {supervisor.text(message)}; puppet_agent.enable ends that"


def _judge_output(request, code, problem, output):
    """Judge a run that left no report of its own: it can be anything but good."""
    if TOLD_TO_STOP.search(output):
        return "killed", "Puppet was told to stop by somebody else, before it had done anything"
    said = report.complaints(output)
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


def judge_report(request, code, digest, output=""):
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
        return "failed", f"Puppet exited {code}, but its report says {supervisor.text(digest['status'])}"
    would_change = digest["noop"] and bool(digest["changes"])
    return ("changed" if digest["status"] == "changed" or would_change else "unchanged"), ""


def _judge_failures(request, code, digest):
    failures, skipped, patterns = digest["failures"], digest["skipped"], request["may_fail"]
    for each in failures:
        each["tolerated"] = named(each["resource"], patterns)
    known = digest["resources"]["failed"] <= len(failures) and all(named(each, patterns) for each in digest["causes"])
    all_named = bool(failures) and known and all(each["tolerated"] for each in failures)
    count = f"{_plural(len(failures), 'resource')} failed"
    count += f", {_plural(len(skipped), 'resource')} skipped for failed dependencies" if skipped else ""
    if all_named and digest["completed"] and code in (4, 6, None):
        for each in skipped:
            each["tolerated"] = True
        return "tolerated", f"{count}, as may_fail allows"
    first = next((each for each in failures + skipped if not each["tolerated"]), (failures + skipped)[0])
    return "failed", f"{count}; {first['resource']}: {first['message']}"


def named(resource, patterns):
    """Say whether a pattern names the resource: only ``*`` is special, for brackets belong to the name."""
    literal = (each.replace("[", "[[]").replace("?", "[?]") for each in patterns)
    return any(fnmatch.fnmatchcase(resource, each) for each in literal)


def _plural(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cause(digest):
    """Return the first and the last error of a report: the first is often the reason of the last."""
    errors = [each for each in digest["errors"] if each not in NOT_THE_CAUSE]
    errors = errors or ["its report does not say why"]
    return "; ".join(dict.fromkeys([errors[-1], errors[0]])).removeprefix("Failed to apply catalog: ")


def build(request, state, ended=None, digest=None, output="", verdict=None, reason=""):
    """Return a run as its caller sees it, bounded and without what looks secret."""
    state, ended, digest = state or {}, ended or {}, digest or {}
    failures = (digest.get("failures") or []) + (digest.get("skipped") or [])
    return _bounded(
        {
            "run_id": request.get("run_id"),
            "verdict": verdict,
            "reason": masks.text(supervisor.text(reason, 3 * supervisor.LINE)),
            "exit_code": ended.get("exit_code"),
            "noop": digest.get("noop", bool(request.get("noop"))),
            "mode": request.get("mode"),
            "environment": digest.get("environment") or request.get("puppet_environment") or "",
            "started": ended.get("started") or state.get("started") or request.get("requested"),
            "finished": ended.get("finished"),
            "seconds": ended.get("seconds"),
            "resources": digest.get("resources") or dict.fromkeys(report.COUNTS, 0),
            "failures": masks.told(failures[:LISTED]),
            "changes": masks.told((digest.get("changes") or [])[:LISTED]),
            "slowest": masks.told(digest.get("slowest") or []),
            "config_version": digest.get("config_version", ""),
            "transaction_uuid": digest.get("transaction_uuid", ""),
            "puppet_version": digest.get("puppet_version", ""),
            "log_tail": masks.told(report.log_tail(output)),
        }
    )


def _bounded(outcome):
    """Shorten the lists of an outcome until it fits: first the changes, last the failures."""
    for name in ("changes", "log_tail", "failures"):
        while outcome[name] and len(json.dumps(outcome)) > OUTCOME_LIMIT:
            outcome[name] = outcome[name][: len(outcome[name]) // 2] if name != "log_tail" else outcome[name][1:]
    return outcome
