"""
Ending a deployment from outside: what is asked of the process that runs it, and what of its nodes.

That process looks into the journal, each second, whether it shall stop, and starts nothing more then. The runs on the
nodes, if they are to end as well, are ended from here; it hears of that as of any other end. Of a deployment whose
process lives no more nobody hears: what becomes of its runs is recorded from here, too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from os_orchestrator import doors, journal, transport, verdicts, watch

#: Seconds between two looks at whether it has ended, and between two words to a node that its run shall end.
_LOOK, _AGAIN = 1.0, 5.0
#: What a node says of a run that never reached it (``puppet_agent.stop``).
_UNKNOWN = "knows no run"


def going(deployment: Mapping) -> dict[str, str]:
    """Return the runs of a deployment that have no verdict yet: their ids, by node."""
    return {run["node"]: run["run_id"] for run in _going(deployment)}


def _going(deployment: Mapping) -> Iterator[Mapping]:
    for phase in deployment["phases"]:
        yield from (run for run in phase["runs"] if run["verdict"] is None and run["run_id"])


def target(record: journal.Journal, environment: str, force: bool) -> str:
    """
    Return the id of the deployment that a stop is for: the one that runs, or, by force, one that was interrupted and
    whose runs may go on. Raises :class:`doors.Refused` if there is none.
    """
    newest = record.deployments(environment, limit=1)
    last = record.deployment(newest[0]["id"]) if newest else None
    left = going(last) if last and last["state"] == "interrupted" else {}
    if last and left and not force:
        raise doors.Refused(
            f"the deployment of {environment}, {last['scenario']} by {last['user']}, was interrupted already, but its"
            f" runs on {', '.join(left)} may go on; end them with: salt-run deployment.stop {environment} force=True"
        )
    return last["id"] if last and left else watch.running(record, environment)


def await_end(record: journal.Journal, deployment: str, bus: transport.Bus, patience: float, force: bool) -> dict:
    """
    Wait until a deployment that was asked to stop has ended, ``patience`` seconds at most, and return it as the
    journal has it then.

    force
        Also end the runs on its nodes; else they are left to end by themselves.
    """
    end, told = time.monotonic() + patience, -_AGAIN
    while True:
        found = record.deployment(deployment)
        if found is None or found["state"] != "running" or time.monotonic() >= end:
            return found or {}
        if force and time.monotonic() >= told + _AGAIN:
            told = time.monotonic()
            end_runs(found, bus)
        bus.await_tag(f"os-orchestrator/{found['environment']}/{deployment}/deployment/ended", _LOOK)


def end_runs(deployment: Mapping, bus: transport.Bus) -> None:
    """
    Tell the nodes of a deployment to end their runs. What becomes of them they say to who waits for the runs; a node
    that has not begun yet, or did not hear, has to be told again.
    """
    for run_id, nodes in _by_run_id(going(deployment)).items():
        with contextlib.suppress(transport.Unreachable):
            bus.publish(nodes, "puppet_agent.stop", {"run_id": run_id})


def _by_run_id(runs: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node, run_id in runs.items():
        found.setdefault(run_id, []).append(node)
    return found


# -- when nobody else hears of it ------------------------------------------------------------------------------------


def end_orphans(
    record: journal.Journal, deployment: Mapping, bus: transport.Bus, patience: float, user: str
) -> dict[str, str]:
    """
    End the runs of a deployment that was interrupted, within ``patience`` seconds, and return what became of each, by
    node: a verdict, ``not begun``, or nothing when it may go on.

    A run that ended badly is recorded as that, so that ``deployment.resume`` makes another. One that has ended well
    is left as unheard: resume asks for it, and knows what to expect of it.
    """
    runs = list(_going(deployment)) if deployment["state"] == "interrupted" else []
    heard = _ended(deployment, bus, patience) if runs else {}
    became = {run["node"]: _outcome(record, deployment, run, heard.get(run["node"])) for run in runs}
    if runs and all(became.values()):
        sentence = (
            f"interrupted, and its runs on the nodes have ended (force=True by {user});"
            f" salt-run deployment.resume {deployment['environment']} goes on from there"
        )
        record.interrupted(deployment["id"], sentence)
    return became


def _ended(deployment: Mapping, bus: transport.Bus, patience: float) -> dict[str, transport.Return]:
    """Tell nodes to end their runs, and return what they answer. All are told before the first is waited for."""
    end_runs(deployment, bus)
    until, heard = time.monotonic() + patience, {}
    for run_id, nodes in _by_run_id(going(deployment)).items():
        with contextlib.suppress(transport.Unreachable):
            left = max(0.0, until - time.monotonic())
            heard.update(bus.call(nodes, "puppet_agent.stop", left, {"run_id": run_id}))
    return heard


def _outcome(record: journal.Journal, deployment: Mapping, run: Mapping, heard: transport.Return | None) -> str:
    """Return what a node says of its run, nothing if it is not over; it is recorded, a verdict only if bad."""
    answer = heard.answer if heard else None
    if isinstance(answer, str) and _UNKNOWN in answer[:200]:
        return "not begun"
    said = answer.get("verdict") if isinstance(answer, Mapping) and answer.get("run_id") == run["run_id"] else None
    if not heard or not isinstance(said, str) or said not in verdicts.OF_NODES:
        return ""
    where = (deployment["id"], run["phase"], run["node"])
    if verdicts.GOOD[said]:
        record.run_noted(*where, run["attempt"], f"is over and says {said}, which resume judges", run["pass"])
    else:
        outcome = verdicts.judge(answer, heard.retcode, run_id=run["run_id"], noop=deployment["noop"])
        record.run_ended(*where, run["run_id"], run["attempt"], outcome, run["pass"])
    return said
