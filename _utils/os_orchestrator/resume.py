"""
What an earlier deployment leaves to the one that goes on with it: nodes that are good already, and runs whose
outcome nobody has heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from os_orchestrator import doors, plan, verdicts

#: Verdicts that say nothing of the node's run, which may have ended well: it is asked for by its id again.
_UNHEARD = (None, "lost")


@dataclass(frozen=True)
class Earlier:
    """
    An earlier deployment, by the sentences of its phases and the numbers of their passes.

    kept
        For each pass, the nodes that are good in it: ``kept``, with where that is written as the reason, and the
        verdict that each has there as ``was`` of its details.

    unheard
        For each pass, the nodes whose run may still go on, or be over, with its id.

    confirmed
        For each phase that an operator has confirmed, by whom and where.

    began
        When the first deployment of the row began: what it found to be new is new for those that go on with it.
    """

    deployment: str = ""
    kept: Mapping[tuple[str, int], Mapping[str, verdicts.Outcome]] = field(default_factory=dict)
    unheard: Mapping[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)
    confirmed: Mapping[str, str] = field(default_factory=dict)
    began: float | None = None


#: What a deployment that resumes none has of an earlier one.
NOTHING = Earlier()


def read(deployment: Mapping) -> Earlier:
    """Return what a deployment leaves, from the journal's record of it (:meth:`journal.Journal.deployment`)."""
    kept: dict[tuple[str, int], dict[str, verdicts.Outcome]] = {}
    unheard: dict[tuple[str, int], dict[str, str]] = {}
    confirmed: dict[str, str] = {}
    for phase in deployment["phases"]:
        if phase["kind"] == "confirm" and phase["state"] == "succeeded":
            where = f" (deployment {deployment['id']})"
            confirmed[phase["name"]] = phase["reason"] + ("" if "(deployment " in phase["reason"] else where)
        for run in phase["runs"]:
            key = (phase["name"], run["pass"])
            if verdicts.GOOD.get(run["verdict"], False):
                kept.setdefault(key, {})[run["node"]] = _kept(run, deployment["id"])
            elif run["verdict"] in _UNHEARD and run["run_id"]:
                unheard.setdefault(key, {})[run["node"]] = run["run_id"]
    return Earlier(deployment["id"], kept, unheard, confirmed, began(deployment))


def _kept(run: Mapping, deployment: str) -> verdicts.Outcome:
    """Return the outcome of a node that is kept, and was so before or ran well in that deployment."""
    if run["verdict"] == "kept":
        return verdicts.Outcome("kept", run["reason"], details=run["details"])
    return verdicts.Outcome("kept", f"{run['verdict']} in {deployment}", details={"was": run["verdict"]})


def began(deployment: Mapping) -> float:
    """Return when the first deployment began of the row that this one is the last of."""
    return deployment["arguments"].get("began") or deployment["started"]


def refuse_unless_resumable(deployment: Mapping | None, environment: str) -> Mapping:
    """Return the deployment if there is anything to go on with; raises :class:`doors.Refused`."""
    if deployment is None:
        raise doors.Refused(f"environment {environment} has no deployment to resume; begin one with deployment.run")
    if deployment["state"] == "succeeded":
        raise doors.Refused(
            f"the last deployment of {environment} ({deployment['scenario']}, {deployment['id']}) has succeeded,"
            " there is nothing to resume; begin a new one with deployment.run"
        )
    if deployment["door"] == "deployment.puppet":
        raise doors.Refused(
            f"the last deployment of {environment}, {deployment['id']}, was one pass outside any scenario;"
            " run deployment.puppet again, with nodes= if only some need it"
        )
    return deployment


def refuse_if_changed(deployment: Mapping, now: plan.Plan) -> None:
    """Refuse to go on when scenario, environment or nodes are not what they were; the difference is told."""
    if deployment["digest"] == now.digest:
        return
    raise doors.Refused(
        f"{now.environment.name} {now.scenario} has changed since deployment {deployment['id']}:"
        f" {'; '.join(_differences(deployment, now))};"
        " begin anew with deployment.run, or go on all the same with force=True"
    )


def _differences(deployment: Mapping, now: plan.Plan) -> list[str]:
    """Return what is different, phase by phase; when it is none of that, it is a setting."""
    old = {phase["name"]: phase["nodes"] for phase in deployment["phases"]}
    new = {phase.name: list(phase.nodes) for phase in now.phases}
    told = [f"phase {name!r} is new" for name in new if name not in old]
    told += [f"phase {name!r} is gone" for name in old if name not in new]
    for name in new.keys() & old.keys():
        more, fewer = _without(new[name], old[name]), _without(old[name], new[name])
        told += [f"phase {name!r} now has {more}"] if more else []
        told += [f"phase {name!r} no longer has {fewer}"] if fewer else []
    return told or ["a setting of the environment or an argument of the scenario is another"]


def _without(nodes: list[str], others: list[str]) -> str:
    return ", ".join(node for node in nodes if node not in others)
