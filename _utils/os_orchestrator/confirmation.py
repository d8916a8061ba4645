"""
A phase that waits until an operator has looked: ``deployment.confirm`` lets it go on, ``deployment.deny`` ends it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from os_orchestrator import deploying, doors, journal, progress, transport, why
from os_orchestrator.plan import Phase

#: What an answer has done to the phase.
ANSWERED = {"confirm": "confirmed", "deny": "denied"}


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
            answer, user, reason = ANSWERED[given["what"]], given["user"], given["reason"]
            deployment.tell_of(phase, "confirm/answered", answer=answer, user=user, reason=reason)
            return given["what"] == "confirm", f"{answer} by {user}{f': {reason}' if reason else ''}"
        stopped_by = deployment.stopped_by()
        if stopped_by:
            return False, f"not confirmed when {stopped_by} stopped the deployment"
        bus.next(min(deploying.LOOK_INTERVAL, max(0.0, end - time.monotonic())))
    return False, f"nobody has confirmed it within {progress.duration(timeout)}"


def decide(record: journal.Journal, found: Mapping, what: str, user: str, reason: str) -> Mapping:
    """
    Record an operator's answer, ``confirm`` or ``deny``, to the phase of a deployment that waits for one, and return
    that phase; raises :class:`doors.Refused` when none does, or somebody has answered it.
    """
    phase = why.present(found)
    if found["state"] != "running" or phase is None or phase["kind"] != "confirm":
        stands = why.stands(found) if found["state"] == "running" else f"it is {found['state']}"
        raise doors.Refused(f"deployment {found['id']} does not wait for an operator: {stands}")
    given = record.decide(found["id"], phase["number"], what, user, reason)
    if given:
        raise doors.Refused(
            f"deployment {found['id']} waits for an operator no more: {given['user']} has {ANSWERED[given['what']]} it"
            f" at {progress.clock(given['at'])}"
        )
    return phase
