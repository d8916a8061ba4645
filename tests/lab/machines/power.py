"""
A node's power: the process of the machine that boots it and holds it, found again by the note in the node's place.

The note has the process's id and when it started: another process that is given the same id later is left alone.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
from pathlib import Path

from machines.machine import Trouble

POWER_OFF = 60  # seconds
BUTTON = signal.SIGRTMIN + 4  # what systemd takes for it: systemd(1), "Signals"
# A shell joins control groups and becomes the command behind them.
JOIN = 'while [ "$1" != -- ]; do mkdir -p "$1"; echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
CGROUPS = tuple(Path("/sys/fs/cgroup", name) for name in ("", "systemd", "unified"))


def on(place, machine, command):
    """Start the process that holds a node."""
    if Path("/run/systemd/system").is_dir():
        start = ["systemd-run", "--quiet", "--scope", "--property=Delegate=yes", f"--unit={machine}"]
    else:
        start = ["sh", "-c", JOIN, "join", *map(str, _groups(machine)), "--"]
    with (place / "console").open("ab") as console:
        streams = {"stdin": subprocess.DEVNULL, "stdout": console, "stderr": console, "start_new_session": True}
        process = subprocess.Popen([*start, *command], **streams)
    (place / "process.json").write_text(json.dumps({"pid": process.pid, "started": _started(process.pid)}))


def holder(place):
    """Return the id of the process that holds the node, or None if the node is off."""
    try:
        note = json.loads((place / "process.json").read_text())
    except (OSError, ValueError):
        return None
    return note["pid"] if note["started"] and _started(note["pid"]) == note["started"] else None


def leader(place):
    """Return the node's process 1 by its id on the machine, or None if the node is off."""
    pid = holder(place)
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return None


def off(place, machine, number=BUTTON):
    """Signal a node's process 1 and wait until the node is off: with its power button, or SIGKILL for a power cut."""
    pid = holder(place)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            ended = os.pidfd_open(pid)
            os.kill(leader(place) or pid, number)
            if not select.select([ended], [], [], POWER_OFF)[0]:
                raise Trouble(f"{machine} did not go off within {POWER_OFF} seconds")
            os.close(ended)
    for group in _groups(machine):
        # What the kernel has not emptied yet is used again or left: it holds nothing.
        with contextlib.suppress(OSError):
            for directory in [*sorted(group.rglob("*/"), reverse=True), group]:
                directory.rmdir()


def _started(pid):
    """Return when a living process started, in the kernel's ticks, or None."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else rest[18]


def _groups(machine):
    """Return a node's own control groups where no systemd gives them: all nodes would share one tree else."""
    return [group / machine for group in CGROUPS if (group / "cgroup.procs").exists()]
