"""
A phase that waits until an operator has looked: ``deployment.confirm`` lets it go on, ``deployment.deny`` ends it.
"""

from __future__ import annotations

import time

from os_orchestrator import deploying, progress, transport
from os_orchestrator.plan import Phase


def await_answer(deployment: deploying.Deployment, phase: Phase, bus: transport.Bus) -> tuple[bool, str]:
    """
    Wait for an operator's answer, the phase's ``timeout`` seconds at most; return whether it was confirmed, and by
    whom, or why not. What was confirmed in a deployment that this one resumes stays so.
    """
    earlier = deployment.earlier.confirmed.get(phase.name)
    if earlier:
        return True, earlier
    timeout = phase.options["timeout"]
    end, until = time.monotonic() + timeout, time.time() + timeout
    command = f"salt-run deployment.confirm {deployment.id}"
    deployment.tell_of(phase, "confirm/asked", message=phase.options["message"], until=until, command=command)
    while time.monotonic() < end:
        given = deployment.journal.answer_given(deployment.id, phase.number)
        if given:
            told = {"answer": f"{given['what']}ed" if given["what"] == "confirm" else "denied"}
            deployment.tell_of(phase, "confirm/answered", user=given["user"], reason=given["reason"], **told)
            because = f": {given['reason']}" if given["reason"] else ""
            return given["what"] == "confirm", f"{told['answer']} by {given['user']}{because}"
        stopped_by = deployment.stopped_by()
        if stopped_by:
            return False, f"not confirmed when {stopped_by} stopped the deployment"
        bus.next(min(deploying.LOOK_INTERVAL, max(0.0, end - time.monotonic())))
    return False, f"nobody has confirmed it within {progress.duration(timeout)}"
