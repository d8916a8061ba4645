"""The machine under the lab: where the lab keeps its things, and whether it can be there at all."""

import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAB = Path(__file__).resolve().parents[1]
REPOSITORY = LAB.parents[1]
HOME = Path(os.environ.get("LAB_HOME") or "/var/tmp/os-orchestrator-lab").resolve()
PROGRAMS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "apt-get": "apt"}


class Trouble(Exception):
    """What went wrong with the lab, as one sentence for its user."""


def call(*command, check=True, timeout=900, **options):
    """Run a command and return what it printed; one that fails is trouble, told with its last words."""
    words = [str(word) for word in command]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    done = subprocess.run(words, text=True, errors="replace", timeout=timeout, check=False, **options)
    if check and done.returncode != 0:
        raise Trouble(f"{' '.join(words)} exited with {done.returncode}: {(done.stdout or '').strip()[-2000:]}")
    return done.stdout


def until(condition, timeout, what, interval=0.1):
    """Ask until the answer is true and return it."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise Trouble(f"{what}: not so after {timeout} seconds")
        time.sleep(interval)
    return answer


def in_parallel(function, items):
    """Call a function for each of the items at once and return the answers in their order."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(function, items))


def unfit():
    """Return in one sentence why this machine cannot have the lab, or an empty text."""
    if os.geteuid() != 0:
        return "the lab boots nodes of its own, which needs root: run it with sudo"
    missing = sorted(package for program, package in PROGRAMS.items() if not shutil.which(program))
    if missing:
        return f"these Debian packages are missing: {', '.join(missing)}; .ci/packages lab installs them"
    for what, command in (
        ("namespaces", ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"]),
        ("network bridges and pairs", ["unshare", "--net", "sh", "-c", _A_BRIDGE]),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip()
            return f"this machine allows no {what} ({said}): use a virtual machine, or a privileged container"
    return _no_overlays()


_A_BRIDGE = "ip link add br0 type bridge && ip link add one type veth peer name two && ip link set one master br0"


def _no_overlays():
    """Return why no overlay can be mounted over the lab's directory, or an empty text."""
    HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME) as place:
        lower, upper, work, root = (Path(place, name) for name in ("lower", "upper", "work", "root"))
        for directory in (lower, upper, work, root):
            directory.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount = ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, root]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    said = done.stderr.strip()
    return (
        f"no overlay can be mounted in {HOME} ({said}): set LAB_HOME to a directory on a disk"
        if done.returncode
        else ""
    )
