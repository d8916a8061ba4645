"""
Show what the runners ``deployment`` and ``environment`` return: plans, summaries, lists, and refusals as the one
sentence that they are.

Plain text of at most 100 columns, fewer in a narrower terminal; no colours, no control characters; a refusal is a line.
``--out json`` gives the same as data.
"""

import os
import sys
import textwrap
import time

_NARROWEST, _WIDEST = 60, 100
_DOMAINS = ("grain", "pillar")
_TAGS = {"only tags": "tags", "without tags": "skip_tags"}


def output(data, **_kwargs):
    """
    Return the text of an answer.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.plan prod compute
    """
    shown = data.get("answer", data) if isinstance(data, dict) else data
    return "\n".join(_printable(line) for text in _lines(shown) for line in text.split("\n"))


def _lines(shown):
    if not isinstance(shown, dict):
        return [str(item) for item in shown] if isinstance(shown, (list, tuple)) else [str(shown)]
    if "error" in shown:
        return [str(shown["error"])]
    if "text" in shown:
        return [str(shown["text"])]
    writer = {"plan": _plan, "deployment": _deployment, "status": _status, "history": _history}.get(shown.get("kind"))
    lines = writer(shown) if writer else [f"{key}: {value}" for key, value in shown.items()]
    return [fitting for line in lines for fitting in _fit(line)]


# -- a plan ----------------------------------------------------------------------------------------------------------


def _plan(shown):
    noop = " (noop)" if shown["noop"] else ""
    lines = [
        f"{shown['environment']} {shown['scenario']}{noop}: {_count(len(shown['phases']), 'phase')}{_in_all(shown)}",
        "",
    ]
    for phase in shown["phases"]:
        lines += _planned(phase)
    missing = {node: why for phase in shown["phases"] for node, why in phase["missing"].items()}
    if missing:
        lines += ["", "Missing now:", *(f"  {node}: {why}" for node, why in missing.items())]
    return lines + _excluded(shown)


def _count(number, what):
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _in_all(shown):
    """Return how long all phases took last time, when that is known of each."""
    seconds = [phase["last_seconds"] for phase in shown["phases"] if not phase["left_out"]]
    return f", {_duration(sum(seconds))} last time" if seconds and None not in seconds else ""


def _planned(phase):
    head = f"{phase['number']:>2}. {phase['name']}"
    if phase["left_out"]:
        return [f"{head}: left out, {phase['left_out']}"]
    last = f"  (last time {_duration(phase['last_seconds'])})" if phase["last_seconds"] is not None else ""
    lines = [head + last]
    if phase["kind"] == "confirm":
        within = _duration(phase["options"]["timeout"])
        return [*lines, *_wrapped("", f"waits {within} for an operator: {phase['options']['message']}")]
    if phase["kind"] == "gate":
        gate = phase["gate"]
        lines.append(
            f"    gate {gate['name']}: {gate['successes']} good rounds,"
            f" every {gate['interval']:g} s, {gate['timeout']:g} s at most"
        )
        return [*lines, *(f"      {_check(check)}" for check in phase["checks"]), *_absent(phase)]
    lines += _wrapped(f"{' + '.join(phase['roles'])}: ", ", ".join(phase["nodes"]))
    lines += [f"    {note}" for note in _notes(phase["options"], len(phase["nodes"]))]
    for what, calls in phase["calls"].items():
        lines += [line for call in calls for line in _wrapped(f"{what}: ", _call(call))]
    lines += _absent(phase)
    return lines + (_wrapped("not asked: ", ", ".join(phase["not_asked"])) if phase["not_asked"] else [])


def _absent(phase):
    return _wrapped("missing: ", ", ".join(phase["missing"])) if phase["missing"] else []


def _check(check):
    """Return what a check asks: the function with its arguments, the nodes, and what they must answer."""
    given = [*map(str, check["args"]), *(f"{key}={value}" for key, value in check["kwargs"].items())]
    nodes = f" ({check['asks']} nodes)" if check["asks"] != 1 else ""
    part = f": {check['key']}" if check["key"] else ""
    return f"{' '.join([check['function'], *given])} on {check['role']}{nodes}{part} is {_expected(check['expect'])}"


def _notes(options, count):
    """Return what is special about a phase of so many nodes."""
    notes = [f"may fail: {', '.join(options['may_fail'])}"] if options.get("may_fail") else []
    if options.get("max_failures"):
        notes.append(f"goes on starting nodes until more than {options['max_failures']} have failed")
    if count > options.get("concurrency", count):
        notes.append(f"{options['concurrency']} at once")
    notes += [f"{name}: {', '.join(options[key])}" for name, key in _TAGS.items() if options.get(key)]
    notes += [f"{options['canary']} first, as the canary"] if options.get("canary") else []
    notes += [_waves(options["waves"])] if options.get("waves") else []
    notes += [_passes(options["passes"])] if options.get("passes", 1) != 1 else []
    notes += ["must be unchanged"] if options.get("expect") else []
    retries = ", ".join(f"{verdict} {times} times" for verdict, times in options.get("retries", {}).items())
    return notes + ([f"tried again: {retries}"] if retries else [])


def _waves(waves):
    if not isinstance(waves, dict):
        return f"in waves of {waves}"
    way = (
        f"of {waves['size']}"
        if "size" in waves
        else f"by {' '.join(f'{k} {waves[k]}' for k in _DOMAINS if k in waves)}"
    )
    return f"in waves {way}" + (f", {waves['max_failures']} may fail in each" if "max_failures" in waves else "")


def _passes(passes):
    if not isinstance(passes, dict):
        return f"{passes} passes"
    return f"passes until one changes nothing, {passes['at_most']} at most"


def _call(call):
    """Return what is called for each node: the function with its arguments, and where."""
    given = [*map(str, call["args"]), *(f"{key}={value}" for key, value in call["kwargs"].items())]
    where = f" on {call['role']}" if call["role"] else ""
    part = f": {call['key']}" if call["key"] else ""
    expected = "" if call["expect"] == "done" else f"{part} is {_expected(call['expect'])}"
    within = f", within {_duration(call['within'])}" if call["within"] else ""
    return f"{' '.join([call['function'], *given])}{where}{expected}{within}{', always' if call['always'] else ''}"


def _expected(expect):
    expect = expect.get("value") if isinstance(expect, dict) else expect
    return "true" if expect is True else "equal on all nodes" if expect == "equal" else expect


# -- a deployment ----------------------------------------------------------------------------------------------------


def _deployment(shown):
    resumes = [f"  resumes {shown['resumes']}"] if shown.get("resumes") else []
    lines = [_title(shown), *resumes, *([f"  {shown['stands']}"] if shown.get("stands") else []), ""]
    width = max((len(node["node"]) for phase in shown["phases"] for node in phase.get("nodes", ())), default=4)
    for phase in shown["phases"]:
        lines += _phase(phase, width)
    lines += _excluded(shown)
    return [*lines, "", *_interventions(shown), *_verdict(shown)]


def _interventions(shown):
    """Return what was done to a deployment from outside."""
    done = {"stop": "stop asked for", "unlock": "claim taken off", "confirm": "confirmed", "deny": "denied"}
    return [
        f"{_at(each['at'])} {done.get(each['what'], each['what'])} by {each['user']}"
        + (", force=True" if each["force"] else "")
        + (f": {each['reason']}" if each.get("reason") else "")
        for each in shown.get("interventions", ())
    ]


def _title(shown):
    noop = ", noop" if shown["noop"] else ""
    title = f"{shown['environment']} {shown['scenario']}{noop}"
    return f"{title}: deployment {shown['id']}, by {shown['user']}, {_at(shown['started'])}"


def _phase(phase, width):
    took = f"  {_duration(phase['seconds'])}" if phase["seconds"] is not None else ""
    state = {"left_out": f"left out, {phase['reason']}", "planned": "not started"}.get(
        phase["state"], phase["state"] + took
    )
    lines = [f"{phase['number']:>2}. {phase['name']}: {state}"]
    if phase["state"] in ("left_out", "planned"):
        return lines
    if phase["kind"] == "confirm":
        return lines + _wrapped("", phase["reason"] or phase["message"])
    if phase["kind"] == "gate":
        held = (
            []
            if phase["state"] == "succeeded"
            else [f"{a['check']} on {a['node']}: {a['said']}" for a in phase["answers"] if not a["good"]]
        )
        return lines + [line for sentence in held[:5] for line in _wrapped("", sentence)]
    waiting, not_asked = {}, []
    for node in phase["nodes"]:
        if node["verdict"] == "not_asked":
            not_asked.append(node["node"])
        elif node["verdict"] is None and not node["started"]:
            waiting.setdefault(node.get("waits_for", ""), []).append(node["node"])
        else:
            lines += _node(node, width, phase["state"])
    for why, nodes in waiting.items():
        lines += _wrapped("waiting: ", ", ".join(nodes) + (f" (for {why})" if why else ""))
    # Of passes that did not become clean; why a phase failed is said at the end.
    lines += _wrapped("", phase["reason"]) if phase["state"] == "succeeded" and phase["reason"] else []
    return lines + (_wrapped("not asked: ", ", ".join(not_asked)) if not_asked else [])


def _node(node, width, state):
    seconds = f"{node['seconds']:8.1f} s" if node["seconds"] else " " * 10
    verdict = node["verdict"] or ("running" if state == "running" else "unheard")
    head = f"    {node['node']:<{width}}  {verdict:<11}{seconds}  "
    said = _said(node)
    # What is longer than its column stands below: paths, for one.
    longest = max((len(word) for sentence in said for word in sentence.split()), default=0)
    beside = max(30, longest) <= _width() - len(head)
    indent = len(head) if beside else 8
    words = [line for sentence in said for line in _wrap(sentence, _width() - indent)]
    first = words[0] if words and beside else ""
    return [(head + first).rstrip(), *(" " * indent + line for line in words[1 if first else 0 :])]


def _said(node):
    """Return what is told of a node, a sentence each: why it is bad comes first, once."""
    if node.get("waits_for"):
        return [f"waits for {node['waits_for']}" if node["waits_for"] != node["did"] else node["did"]]
    failures = _failed(node)
    # The reason often is the first failure, without its place.
    repeated = failures and failures[0].split(": ")[0] in node["did"]
    return failures if repeated or not node["did"] else [node["did"], *failures]


def _failed(node):
    """Return the failures that made a node bad, at most three."""
    if node["good"] or not node["verdict"]:
        return []
    failures = [f for f in node.get("failures", ()) if not f.get("tolerated")]
    told = [
        f"{f.get('resource')}: {f.get('message')}" + (f" ({f['file']}:{f.get('line')})" if f.get("file") else "")
        for f in failures
    ]
    return told[:3] + ([f"and {len(told) - 3} more"] if len(told) > 3 else [])


def _verdict(shown):
    """Return the last lines: what the operator must know if nothing else."""
    title = f"{shown['environment']} {shown['scenario']}"
    took = f" after {_duration(shown['ended'] - shown['started'])}" if shown["ended"] else ""
    partial = ", partial" if shown["partial"] else ""
    counts = {}
    for phase in shown["phases"]:
        for node in phase.get("nodes", ()):
            if node["verdict"]:
                verdict = "would change" if shown["noop"] and node["verdict"] == "changed" else node["verdict"]
                counts[verdict] = counts.get(verdict, 0) + 1
    not_asked = counts.pop("not_asked", 0)
    told = ", ".join(f"{count} {verdict}" for verdict, count in [*counts.items(), ("not asked", not_asked)] if count)
    lines = [f"{title} {shown['state']}{partial}{took}" + (f": {told}" if told else "")]
    return lines + (_wrapped("", shown["reason"], 2) if shown["reason"] else [])


# -- several ---------------------------------------------------------------------------------------------------------


def _status(shown):
    lines = []
    for one in shown["deployments"]:
        lines += (_deployment(one) if one["state"] == "running" else _row(one)) + [""]
    return lines[:-1] or ["nothing has been deployed yet"]


def _history(shown):
    return [line for one in shown["deployments"] for line in _row(one)] or ["nothing has been deployed yet"]


def _row(one):
    marks = "".join(f", {mark}" for mark in ("noop", "partial") if one[mark])
    took = _duration(one["ended"] - one["started"]) if one["ended"] else "-"
    reason = _wrapped("", one["reason"].splitlines()[0]) if one["reason"] else []
    what = f"{one['environment']} {one['scenario']}{marks}"
    line = f"{one['id']}  {_at(one['started'])}  {what}  {one['state']}  {took}  by {one['user']}"
    return [line, *reason]


# -- small words -----------------------------------------------------------------------------------------------------


def _excluded(shown):
    if not shown["excluded"]:
        return []
    return ["", "Excluded:", *(f"  {node}: {why}" for node, why in shown["excluded"].items())]


def _wrapped(head, words, indent=4):
    return _wrap(head + words, _width(), " " * indent, " " * (indent + min(len(head), 40)))


def _fit(line):
    """Return a line as those that it needs; what follows is indented by two more."""
    indent = " " * (len(line) - len(line.lstrip()))
    return [line] if len(line) <= _width() else _wrap(line.strip(), _width(), indent, indent + "  ")


def _wrap(words, width, indent="", then=""):
    """Wrap without breaking a word: paths and resources stay what they are."""
    return textwrap.wrap(
        words, width, initial_indent=indent, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def _width():
    """Return the columns to write in: those of the terminal, if stdout is one, within limits."""
    try:
        return min(_WIDEST, max(_NARROWEST, os.get_terminal_size(sys.stdout.fileno()).columns))
    except (OSError, ValueError):
        return _WIDEST


def _printable(line):
    return "".join(character if character.isprintable() else " " for character in line)


def _at(epoch):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))


def _duration(seconds):
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"
