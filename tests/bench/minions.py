"""One pass over as many real minions as a small machine bears, beside Salt's own means; else as in ``sequence.py``."""

from __future__ import annotations

from pathlib import Path

import sequence
from figures import Figure

COUNT, QUICK_COUNT = 50, 5
TABLE = f"One pass over {COUNT} real minions: wall time over the ideal"


def measure(work: Path, samples: int, quick: bool) -> list[Figure]:
    case = sequence.Case(TABLE, "at once, runs of 5 s", QUICK_COUNT if quick else COUNT, 5, sequence.SALTS)
    with sequence.opened(work / "minions", sequence.names(case.nodes), with_ansible=False) as town:
        return town.measure(case, samples)
