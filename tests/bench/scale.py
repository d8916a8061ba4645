"""
What one deployment costs the master as its nodes become more: ``salt-run deployment.run`` of one Puppet phase over
simulated nodes (``fleet.py``) on a real master's publisher, job cache and event bus.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import daemons
from figures import Figure
from houses import BIN, free_ports
from masters import Master

SIZES = (1, 100, 1000, 10000)
QUICK_SIZES = (1, 200)
#: Answers to runs in a second; of fleets as large as the last one, fewer: one process answers for all of them.
RATE, RATE_OF_MANY, MANY = 100, 50, 10000
SLS = """
The nodes are deployed:
  phase.puppet:
    - role: compute
    - max_failures: 10%
    - concurrency: {window}
    - timeout: {timeout}
"""
PILLAR = """
environments:
  fleet:
    roles: {compute: {target: 'n*'}}
    puppet: {lock_timeout: 1, ping_timeout: 400, timeout: 600, grace: 1}
"""


@dataclass
class Cost:
    """What one deployment needed: seconds, KiB of the resident set at its peak, bytes of the journal."""

    cpu: float
    peak: float
    journal: int
    #: Seconds from each answer to its row, and from each freed place to the next run in it; from an answer to `watch`.
    rows: list[float]
    refills: list[float]
    lines: list[float]


def measure(work: Path, samples: int, quick: bool) -> list[Figure]:
    """Deploy fleets of growing size; the cost of one node is what the whole cost beyond that of a fleet of one."""
    sizes = QUICK_SIZES if quick else SIZES
    costs = {size: [deployed(size) for _ in range(_samples(size, samples, quick))] for size in sizes}
    return [figure for size in sizes[1:] for figure in _figures(size, costs[size], costs[sizes[0]])]


def _samples(size: int, samples: int, quick: bool) -> int:
    return 1 if quick or size >= MANY else min(samples, 3) if size >= 1000 else samples


def _figures(size: int, costs: list[Cost], single: list[Cost]) -> list[Figure]:
    one_cpu, one_peak = (min(getattr(cost, name) for cost in single) for name in ("cpu", "peak"))
    goals = {"CPU of one node": 2.0, "peak memory of one node": 20.0} if size == MANY else {}
    goals |= {"from an answer to its line in watch, 99 of 100": 1.0} if size == 1000 else {}
    table, subject = "The engine and the number of nodes", f"{size:,} nodes"
    rows = [
        ("CPU of one node", "ms", [(cost.cpu - one_cpu) / size * 1000 for cost in costs]),
        ("peak memory of one node", "KiB", [(cost.peak - one_peak) / size for cost in costs]),
        ("journal of one node", "KiB", [cost.journal / size / 1024 for cost in costs]),
        ("from an answer to its row, median", "s", [_at(cost.rows, 0.5) for cost in costs]),
        ("from an answer to its row, 99 of 100", "s", [_at(cost.rows, 0.99) for cost in costs]),
        ("from a free place to the next run, median", "s", [_at(cost.refills, 0.5) for cost in costs if cost.refills]),
        ("from an answer to its line in watch, 99 of 100", "s", [_at(cost.lines, 0.99) for cost in costs]),
    ]
    return [Figure(table, case, subject, tuple(values), unit, goals.get(case)) for case, unit, values in rows if values]


def _at(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


# -- one deployment ----------------------------------------------------------------------------------------------------


def deployed(size: int) -> Cost:
    """Deploy a fleet, half of its nodes at once, and return what that cost."""
    window = max(1, size // 2)
    spread = max(1.0, window / (RATE_OF_MANY if size >= MANY else RATE))
    root = Path(tempfile.mkdtemp(prefix="oo-", dir="/tmp"))
    try:
        with contextlib.ExitStack() as stack:
            master, log = _master(root, size, window, spread), root / "answers"
            conf = master.conf_file.parent
            stack.enter_context(daemons.serving(master))
            fleet = Path(__file__).with_name("fleet.py")
            answering = stack.enter_context(daemons.running(sys.executable, fleet, conf, spread, log))
            assert answering.stdout.readline() == "listens\n"
            return _deploy(master, log, window)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _master(root: Path, size: int, window: int, spread: float) -> Master:
    (root / "conf").mkdir()
    (root / "states/orch").mkdir(parents=True)
    (root / "states/orch/fleet.sls").write_text(SLS.format(window=window, timeout=2 * int(spread) + 20))
    master = Master(root)
    publish, request = free_ports(2)
    master.configure(
        interface="127.0.0.1", publish_port=publish, ret_port=request, worker_threads=2, user="root",
        log_level="quiet", os_orchestrator={"journal": str(root / "journal.sqlite")},
    )  # fmt: skip
    master.environments(PILLAR)
    master.accept(*(f"n{number}" for number in range(size)))
    return master


def _deploy(master: Master, log: Path, window: int) -> Cost:
    command = [str(BIN / "salt-run"), "-c", str(master.conf_file.parent), "deployment.run", "fleet", "fleet"]
    output = master.root / "output"
    with output.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    lines: dict[str, float] = {}
    watch = threading.Thread(target=_watch, args=(master, process, lines))
    watch.start()
    _, _, usage = os.wait4(process.pid, 0)
    watch.join()
    answers = _answers(log)
    path = master.root / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = dict(db.execute("SELECT node, ended FROM runs WHERE verdict IN ('changed', 'failed')"))
        started = [at for (at,) in db.execute("SELECT started FROM runs WHERE started IS NOT NULL ORDER BY started")]
    if len(rows) < len(answers) or not answers:
        raise AssertionError(f"the deployment did not go through: {output.read_text()[-2000:]}")
    freed = sorted(rows.values())
    return Cost(
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss,
        journal=sum(each.stat().st_size for each in master.root.glob("journal.sqlite*")),
        rows=[rows[node] - answered for node, answered in answers.items()],
        refills=[after - free for free, after in zip(freed, started[window:], strict=False)],
        lines=[lines[node] - answered for node, answered in answers.items() if node in lines],
    )


def _answers(log: Path) -> dict[str, float]:
    """Return when each node has answered for its run."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return {node: float(answered) for node, answered in rows}


def _watch(master: Master, deploying: subprocess.Popen, lines: dict[str, float]) -> None:
    """Watch the deployment from elsewhere and note when the line of each node's end comes."""
    command = [str(BIN / "salt-run"), "-c", str(master.conf_file.parent), "deployment.watch", "fleet"]
    while deploying.poll() is None:
        watching = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in watching.stderr:
            words = line.split()
            if len(words) > 2 and words[2] in ("changed", "failed"):
                lines.setdefault(words[1], time.time())
        watching.wait()
