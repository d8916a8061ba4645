"""One pass over as many real minions as a small machine bears, beside Salt's own means; else as in ``sequence.py``."""

from __future__ import annotations

from pathlib import Path

import sequence
from figures import Figure

CASE = sequence.Case(
    "One pass over 50 real minions: wall time over the ideal",
    "at once, runs of 5 s",
    nodes=50,
    seconds=5,
    subjects=(sequence.OURS, sequence.PLAIN, sequence.SAFE),
)


def measure(work: Path, samples: int, _quick: bool) -> list[Figure]:
    with sequence.opened(work / "minions", sequence.names(CASE.nodes), with_ansible=False) as town:
        return town.measure(CASE, samples)
