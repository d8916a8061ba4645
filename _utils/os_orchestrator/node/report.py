"""What Puppet said: its report and its output, parsed, and what matters of them."""

import heapq
import itertools
import operator
import re

import yaml

from os_orchestrator.node import supervisor

COUNTS = ("total", "changed", "failed", "failed_to_restart", "skipped", "out_of_sync", "restarted", "corrective_change")
SLOWEST, LOG_LINES, TITLE = 5, 40, 1200
LARGEST, DEEPEST = 1 << 31, 50

REPORT_KEYS = ("status", "transaction_completed", "noop", "environment", "metrics", "resource_statuses")
# The last line of a report has one of these: a file that was cut has lost it.
CACHED = ("not_used", "on_failure", "explicitly_requested")
DEPENDENCY = re.compile(r"(?:D|Class d)ependency (?P<cause>.+) has failures: ")
SKIPPED = (
    "Skipping because of failed dependencies",
    "Skipping resources in class because of failed class dependencies",
)

# A resource of which there is nothing to tell, as Puppet writes it, and the bytes of a report that is read in no time.
DULL = (
    rb"^  \S[^\n]*:\n    title: [^\n]*\n"
    rb"(?:    (?:file|line|resource|resource_type|provider_used):[^\n]*\n)+"
    rb"    containment_path:\n(?:    - [^\n]*\n)+"
    rb"    evaluation_time: (?P<seconds>\d+(?:\.\d+)?(?:e-?\d+)?)\n"
    rb"    tags:\n(?:    - [^\n]*\n)+"
    rb"    time: [^\n]*\n"
    rb"    failed: false\n    failed_to_restart: false\n    changed: false\n    out_of_sync: false\n"
    rb"    skipped: false\n    change_count: 0\n    out_of_sync_count: 0\n"
    rb"    events: \[\]\n    corrective_change: false\n"
)
SHORT = 64 << 10

# Puppet adds to some messages where the resource stands; its row says so anyway.
WHERE = re.compile(r" \(file: [^()]+, line: \d+(, column: \d+)?\)$")


def _dicts(values):
    """Return the dictionaries among a list's elements or a dictionary's values."""
    values = list(values.values()) if isinstance(values, dict) else values
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _is_number(value):
    return isinstance(value, (int, float)) and 0 <= value < LARGEST


def parse(content):
    """Return a report's YAML as a dictionary; raise ValueError with what is wrong with it."""
    # The only tag of the file is Ruby's, in front of it.
    content = re.sub(rb"\A--- !ruby/object:\S+", b"---", content)
    try:
        report = _loaded(_thinned(content))
    except ValueError:
        # What was left out may be referred to by what was not.
        report = _loaded(content)
    if not isinstance(report, dict):
        raise ValueError("is empty" if not content.strip() else "is not a report")
    missing = [key for key in REPORT_KEYS if key not in report]
    if missing or report.get("cached_catalog_status") not in CACHED:
        raise ValueError(f"is not complete: it has no {', '.join(missing) or 'cached_catalog_status'}")
    return report


def _thinned(content):
    """
    Return a report without the resources of which there is nothing to tell, but for the slowest of these.

    Most are so in most runs, and as YAML they take long: half a second for 2,000 of them.
    """
    if len(content) < SHORT:
        return content
    dull = re.compile(DULL, re.MULTILINE)
    head, mark, statuses = content.partition(b"\nresource_statuses:\n")
    slowest = heapq.nlargest(SLOWEST, dull.finditer(statuses), key=lambda found: float(found["seconds"]))
    kept = {found.start() for found in slowest}
    return head + mark + dull.sub(lambda found: found[0] if found.start() in kept else b"", statuses)


def _loaded(content):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(content, loader) if _is_shallow(yaml.parse(content, loader)) else None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError):
        raise ValueError("is not the YAML of a report") from None


def _is_shallow(events):
    """Say whether YAML can be loaded: the loader in C goes as deep as the file, and down with the minion."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return False
    return True


def digest(report):
    """Return what matters of a report, whatever types its fields have."""
    statuses, logs = _dicts(report["resource_statuses"]), _dicts(report.get("logs"))
    events = ("success", "noop") if report["noop"] is True else ("success",)
    return {
        "status": report["status"],
        "completed": report["transaction_completed"] is True,
        "cached": report["cached_catalog_status"] != "not_used",
        "catalog": bool(report.get("configuration_version") or report.get("catalog_uuid")),
        "noop": report["noop"] is True,
        "environment": supervisor.text(report["environment"]),
        "resources": _counts(report["metrics"]),
        "failures": [_failure(each, logs) for each in statuses if each.get("failed") or each.get("failed_to_restart")],
        "skipped": _skipped(statuses, logs),
        "causes": _causes(logs),
        "changes": [
            {"resource": supervisor.text(each.get("resource")), "message": supervisor.text(event.get("message"))}
            for each in statuses
            for event in _dicts(each.get("events"))
            if event.get("status") in events
        ],
        "slowest": _slowest(statuses),
        # Facts that cannot be read are no reason for anything.
        "errors": [supervisor.text(each.get("message")) for each in _errors(logs) if each.get("source") != "Facter"],
        "config_version": supervisor.text(report.get("configuration_version")),
        "transaction_uuid": supervisor.text(report.get("transaction_uuid")),
        "puppet_version": supervisor.text(report.get("puppet_version")),
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
        "resource": supervisor.text(status.get("resource"), TITLE),
        "message": supervisor.text(message),
        "file": supervisor.text(status.get("file")),
        "line": int(line) if _is_number(line) else None,
        "tolerated": False,
    }


def _failure(status, logs):
    said = [event.get("message") for event in _dicts(status.get("events")) if event.get("status") == "failure"]
    said += [each.get("message") for each in _errors(logs) if each.get("source") == _place(status)]
    row = _row(status, said[0] if said else "failed, and its report does not say why")
    return {**row, "message": WHERE.sub("", row["message"])} if row["file"] else row


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
    found = (DEPENDENCY.match(supervisor.text(log.get("message"), TITLE)) for log in logs)
    return sorted({match["cause"] for match in found if match})


def _slowest(statuses):
    timed = [(each["evaluation_time"], each) for each in statuses if _is_number(each.get("evaluation_time"))]
    slowest = heapq.nlargest(SLOWEST, timed, key=operator.itemgetter(0))
    rows = [
        {"resource": supervisor.text(each.get("resource")), "seconds": round(seconds, 2)} for seconds, each in slowest
    ]
    return [row for row in rows if row["seconds"]]


# Output


def log_tail(output):
    """Return the last lines of Puppet's output, without the lines of diffs: those carry secrets."""
    lines = [line for line in output.splitlines() if line.strip() and line[0] not in " +-@\\"]
    return [supervisor.text(line) for line, _ in itertools.groupby(lines)][-LOG_LINES:]


def complaints(output):
    """Return what an output without a report complains of, in one line."""
    lines = [line for line in output.splitlines() if line.strip() and not line[0].isspace()]
    lines = [line for line in lines if not re.match(r"(?:Info|Notice|Debug|Error: Facter): ", line)]
    return supervisor.text(
        "; ".join(line.removeprefix("Error: ") for line in lines[-3:]) or "it said nothing", 2 * supervisor.LINE
    )
