"""
Why a deployment stands where it stands: what it waits for as a whole, and what each of its nodes does. Pure; made of
the journal's record (:meth:`journal.Journal.deployment`).
"""

from __future__ import annotations

from collections.abc import Mapping

from os_orchestrator import progress, scheduler, verdicts


def stands(deployment: Mapping) -> str:
    """Return in one sentence where a deployment that runs is."""
    phases = deployment["phases"]
    now = present(deployment)
    if now is None:
        return "between two phases" + _stopped(deployment)
    where = f"phase {now['number']} of {len(phases)}, "
    if now["kind"] == "confirm":
        said = _confirmation(deployment, now)
    else:
        said = _gate(now) if now["kind"] == "gate" else _pass(now)
    return f"{where}{said}{_stopped(deployment)}"


def present(deployment: Mapping) -> Mapping | None:
    """Return the phase that runs now, or None."""
    return next((phase for phase in deployment["phases"] if phase["state"] == "running"), None)


def _pass(phase: Mapping) -> str:
    runs, total = _runs(phase).values(), len(phase["nodes"])
    done = sum(run["verdict"] is not None for run in runs)
    going = sum(run["verdict"] is None and run["started"] is not None for run in runs)
    words = [f"{done} of {total} nodes done", *([f"{going} run"] if going else [])]
    words += [f"{total - done - going} wait"] if total > done + going else []
    return f"{phase['name']}: {', '.join(words)}, since {progress.clock(phase['started'])}"


def _confirmation(deployment: Mapping, phase: Mapping) -> str:
    settings, until = phase["settings"], progress.clock(phase["started"] + phase["settings"]["timeout"])
    command = f"salt-run deployment.confirm {deployment['id']}"
    return f"{phase['name']}: waits for an operator until {until}: {settings['message']}; {command}"


def _gate(phase: Mapping) -> str:
    name = f"gate {phase['settings'].get('name', phase['name'])}"
    if not phase.get("rounds"):
        return f"{name}: asking for the first time, since {progress.clock(phase['started'])}"
    bad = [answer for answer in phase["last"] if not answer["good"]]
    if not bad:
        return f"{name}: round {phase['rounds']} was good, more are needed"
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    held_by = f"{bad[0]['check']} on {bad[0]['node']}: {bad[0]['said']}{more}"
    return f"{name}: round {phase['rounds']}, held since {progress.clock(phase['held_since'])} by {held_by}"


def _stopped(deployment: Mapping) -> str:
    by = _stopped_by(deployment)
    return f"; {by['user']} stopped it at {progress.clock(by['at'])}, nothing more starts" if by else ""


def _stopped_by(deployment: Mapping) -> Mapping | None:
    return next((each for each in deployment["interventions"] if each["what"] == "stop"), None)


def _runs(phase: Mapping) -> dict[str, Mapping]:
    """Return the runs of the pass that is the last so far."""
    last = max((run["pass"] for run in phase["runs"]), default=1)
    return {run["node"]: run for run in phase["runs"] if run["pass"] == last}


def waits_for(deployment: Mapping, phase: Mapping, node: str) -> str:
    """Return what a node of a deployment that runs waits for; nothing when it has its verdict in that phase."""
    runs, now = _runs(phase), present(deployment)
    run = runs.get(node)
    if run is not None:
        if run["verdict"] is not None:
            return ""
        return run["note"] or f"its Puppet run, since {progress.clock(run['started'])}"
    if now is None or now["number"] != phase["number"]:
        return f"phase {now['number']}, {now['name']}" if now else "the phases before"
    if not runs:
        return "the answers of all nodes to a ping"
    return _start(deployment, phase, runs, node)


def _wave_before(phase: Mapping, runs: Mapping[str, Mapping], node: str) -> str:
    """Return the wave that has to end before the one of a node may start, or nothing."""
    waves = phase["settings"].get("waves", [])
    own = next((number for number, wave in enumerate(waves) if node in wave), 0)
    for number, wave in enumerate(waves[:own]):
        left = [each for each in wave if each not in runs or runs[each]["verdict"] is None]
        if left:
            what = "the canary" if number == 0 and phase["settings"].get("canary") else f"wave {number + 1}"
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            return f"{what} of {len(waves)}: {', '.join(left[:3])}{more}"
    return ""


def _start(deployment: Mapping, phase: Mapping, runs: Mapping[str, Mapping], node: str) -> str:
    """Return what keeps a node of the present phase from being started."""
    by, settings = _stopped_by(deployment), phase["settings"]
    if by:
        return f"nothing: {by['user']} stopped the deployment"
    bad = sum(run["verdict"] is not None and not verdicts.GOOD.get(run["verdict"], False) for run in runs.values())
    allowed = scheduler.allowance(settings.get("max_failures", 0), len(phase["nodes"]))
    if bad > allowed:
        return f"nothing: {bad} failed, {allowed} may (max_failures)"
    before = _wave_before(phase, runs, node)
    if before:
        return before
    return f"a place: {settings['concurrency']} run at once" if settings.get("concurrency") else "a place"
