"""
What every phase needs to know of the deployment that it belongs to, and how it tells what happens.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from os_orchestrator import doors, journal, plan, progress, resume
from os_orchestrator.plan import Phase

#: Seconds between two looks at nodes that have said nothing, unless the master's configuration says otherwise.
POLL_INTERVAL = 30
#: Seconds between two looks into the journal: does somebody want the deployment to stop, is a node free that another
#: deployment worked on?
LOOK_INTERVAL = 1


@dataclass(frozen=True)
class Deployment:
    """What a phase needs to know of the deployment that it belongs to."""

    id: str
    plan: plan.Plan
    journal: journal.Journal
    sinks: tuple[progress.Sink, ...]
    poll_interval: float = POLL_INTERVAL
    earlier: resume.Earlier = resume.NOTHING
    _untold: deque[progress.Step] = field(default_factory=deque, repr=False, compare=False)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Record all that happens within at once; those who listen are told of it then."""
        try:
            with self.journal.together():
                yield
        except doors.Refused:
            # It may not be recorded.
            self._untold.clear()
            raise
        finally:
            self._tell()

    def tell(self, what: str, **data) -> None:
        """Record a step and tell everyone who listens; what it tells of is in the journal already."""
        step = progress.Step(what, self.plan.environment.name, self.id, data)
        self.journal.step(self.id, step.what, step.at, step.data)
        self._untold.append(step)
        if not self.journal.is_together:
            self._tell()

    def _tell(self) -> None:
        while self._untold:
            step = self._untold.popleft()
            for sink in self.sinks:
                sink(step)

    def stopped_by(self) -> str:
        """Return who has asked this deployment to stop, or nothing."""
        asked = self.journal.stop_asked(self.id)
        return asked["user"] if asked else ""

    def tell_of(self, phase: Phase, what: str, **data) -> None:
        self.tell(what, phase=phase.number, name=phase.name, **data)
