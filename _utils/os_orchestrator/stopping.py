"""
Ending a deployment from outside: what is asked of the process that runs it, and what of its nodes.

That process looks into the journal, each second, whether it shall stop, and starts nothing more then. The runs on the
nodes, if they are to end as well, are ended from here; it hears of that as of any other end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from os_orchestrator import journal, transport

#: Seconds between two looks at whether it has ended, and between two words to a node that its run shall end.
_LOOK, _AGAIN = 1.0, 5.0


def going(deployment: Mapping) -> dict[str, str]:
    """Return the runs of a deployment that have no verdict yet: their ids, by node."""
    return {
        run["node"]: run["run_id"]
        for phase in deployment["phases"]
        for run in phase["runs"]
        if run["verdict"] is None and run["run_id"]
    }


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
    by_run_id: dict[str, list[str]] = {}
    for node, run_id in going(deployment).items():
        by_run_id.setdefault(run_id, []).append(node)
    for run_id, nodes in by_run_id.items():
        bus.publish(nodes, "puppet_agent.stop", {"run_id": run_id})
