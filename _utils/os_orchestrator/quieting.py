"""
Keeping the nodes' own agents from running while a deployment works on them, for environments with ``quiet_agents``.

A node keeps the record of it itself (``puppet_agent.quiet``), by environment: whoever deploys next begins where the one
before was cut off, and at its end each agent is as it was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from os_orchestrator import deploying, transport, verdicts
from os_orchestrator.plan import Plan

#: Seconds in which agents have to be restored where no deployment says it.
_PATIENCE = 15
#: How often a node that says nothing is asked within its ``ping_timeout``.
_TIMES = 3


def nodes_of(the_plan: Plan) -> list[str]:
    """Return the nodes whose agents a deployment keeps quiet, each once."""
    if not the_plan.environment.quiet_agents or the_plan.noop:
        return []
    phases = [phase for phase in the_plan.phases if phase.kind == "puppet" and not phase.left_out]
    return list(dict.fromkeys(node for phase in phases for node in phase.nodes))


def begin(deployment: deploying.Deployment, user: str, bus: transport.Bus) -> None:
    """Keep the agents of a deployment's nodes quiet; a node that is missing, or whose agent a person holds, is told."""
    nodes, the_plan = nodes_of(deployment.plan), deployment.plan
    if nodes:
        message = f"{the_plan.environment.name} {the_plan.scenario}, deployment {deployment.id}, by {user}"
        kwargs = {"owner": the_plan.environment.name, "message": verdicts.text(message, 200)}
        refused = _asked(nodes, bus, the_plan.environment.puppet["ping_timeout"], "puppet_agent.quiet", kwargs)
        deployment.tell("agents/quiet", nodes=nodes, refused=refused)


def end(deployment: deploying.Deployment, bus: transport.Bus) -> None:
    """Leave the agents of a deployment's nodes as they were found; who did not hear it is told."""
    nodes, timeout = nodes_of(deployment.plan), deployment.plan.environment.puppet["ping_timeout"]
    if nodes:
        try:
            refused = restore(deployment.plan.environment.name, nodes, bus, timeout)
        except (KeyboardInterrupt, SystemExit):
            refused = dict.fromkeys(nodes, "not asked, who deployed would not wait")
        command = f"salt -L {','.join(refused)} puppet_agent.unquiet {deployment.plan.environment.name}"
        deployment.tell("agents/restored", nodes=nodes, refused=refused, command=command if refused else "")


def restore_left(deployment: Mapping, bus: transport.Bus) -> dict[str, str]:
    """
    Restore the agents that a deployment whose process has died has left quiet, as the journal has it; return who did
    not hear it, and why.
    """
    return restore(deployment["environment"], deployment["arguments"].get("quiet", ()), bus, _PATIENCE)


def restore(environment: str, nodes: Iterable[str], bus: transport.Bus, timeout: float) -> dict[str, str]:
    """Let the agents of nodes be as an environment's deployments found them; return who did not hear it, and why."""
    return _asked(nodes, bus, timeout, "puppet_agent.unquiet", {"owner": environment})


def _asked(
    nodes: Iterable[str], bus: transport.Bus, timeout: float, function: str, kwargs: Mapping[str, str]
) -> dict[str, str]:
    """Call a function on nodes, and return why it did not do what it is for, by node."""
    nodes = list(nodes)
    try:
        heard = bus.call(nodes, function, timeout, kwargs, times=_TIMES)
    except transport.Unreachable as error:
        return dict.fromkeys(nodes, str(error))
    return dict(_refused(nodes, heard, function))


def _refused(nodes: Iterable[str], heard: Mapping[str, transport.Return], function: str) -> Iterable[tuple[str, str]]:
    for node in nodes:
        answer = heard[node].answer if node in heard else "no answer"
        if not isinstance(answer, Mapping):
            yield node, verdicts.text(answer, 200)
        elif function == "puppet_agent.quiet" and answer.get("quiet") is not True:
            yield node, verdicts.text(answer.get("reason") or "its agent is not quiet", 200)
