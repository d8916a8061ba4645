"""
Following a deployment that runs elsewhere on this master: all that it has told so far, and then what it tells.

The journal is believed, and it alone: each step is in it, once, in order. The bus only says when to look again; a
step whose event is lost is found at the next look, and an event that nobody of ours has sent shows nothing.
"""

from __future__ import annotations

from os_orchestrator import doors, journal, progress, transport

#: Seconds after which the journal is read although the bus was silent.
_LOOK = 2.0


def running(record: journal.Journal, environment: str) -> str:
    """Return the id of the deployment that runs on an environment; raises :class:`doors.Refused` if none does."""
    newest = record.deployments(environment, limit=1)
    if not newest:
        raise doors.Refused(
            f"environment {environment} has never been deployed; salt-run environment.list shows those that exist"
        )
    last = newest[0]
    if last["state"] != "running":
        raise doors.Refused(
            f"nothing is being deployed on {environment}; its last deployment, {last['scenario']} by {last['user']},"
            f" is {last['state']}: salt-run deployment.show {last['id']}"
        )
    return last["id"]


def follow(record: journal.Journal, environment: str, deployment: str, bus: transport.Bus, sink: progress.Sink) -> None:
    """
    Show every step of a deployment until it has ended, or until the process that runs it has died. SystemExit and
    KeyboardInterrupt pass through: who watches may leave.
    """
    read, over = 0, False
    while True:
        # Its end is recorded before it is told: what is over is looked at once more.
        was_over, over = over, _is_over(record, deployment)
        for step in record.steps(deployment, after=read):
            read = step["number"]
            sink(progress.Step(step["what"], environment, deployment, step["data"], step["at"]))
            if step["what"] == "deployment/ended":
                return
        if was_over:
            return
        bus.await_tag(f"os-orchestrator/{environment}/{deployment}/", _LOOK)


def _is_over(record: journal.Journal, deployment: str) -> bool:
    head = record.head(deployment)
    return head is None or head["state"] != "running"
