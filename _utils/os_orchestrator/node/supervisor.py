"""
What starts Puppet for one run, watches it, ends it at its timeout, and keeps how it ended.

This file is also run as a program, ``python -IS supervisor.py <the run's directory>``, apart from the minion: it can
import the standard library and nothing else, so what it shares with the other rooms lies here.
"""

import contextlib
import ctypes
import datetime
import fcntl
import functools
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

TIME = "%Y-%m-%dT%H:%M:%SZ"
# Seconds: from SIGTERM to SIGKILL, from there to giving up, and what a run may take to end in all.
GRACE, UNKILLABLE, ENDING = 10, 30, 100
START_TIMEOUT, LOCK_INTERVAL = 60, 1
# Bytes, and characters.
OUTPUT_LIMIT, EXIT_SPACE, LINE = 256 << 10, 4 << 10, 300

# Where Puppet's lock of a disabled agent names those who keep it quiet; Puppet reads its disabled_message alone.
QUIET = "quiet"

PATH = "/opt/puppetlabs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

IN_THE_WAY = re.compile(
    r"^Notice: Run of .+ already in progress; skipping\s+\((?P<path>/.+) exists\)$"
    r"|^Error: Another puppet instance is already running and the waitforlock setting is set to 0; exiting$",
    re.MULTILINE,
)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime(TIME)


def text(value, limit=LINE):
    """Return a scalar as one line of printable text, bounded; anything else as no text."""
    value = "" if value is None or isinstance(value, (dict, list)) else str(value)
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", value).split())
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def lock_in_the_way(exit_code, output):
    """Return the lock for which Puppet did not run, "" if it did not name it, None if there was none."""
    found = IN_THE_WAY.search(output) if exit_code == 1 else None
    return (found["path"] or "") if found else None


def end_record(**known):
    """Return the record of an end."""
    blank = dict.fromkeys(("exit_code", "signal", "ended_by", "error", "holder", "started", "seconds"))
    return {**blank, "finished": now(), **known}


# The files of a run


def write(path, value, mode=0o600):
    """Write JSON so that a reader finds the old file or the whole new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as handle:
            json.dump(value, handle)
            handle.flush()
            os.fsync(handle.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def read(path):
    """Return the dictionary in a JSON file, or None if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_output(folder):
    """Return the end of a run's output."""
    try:
        with (folder / "output.log").open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - OUTPUT_LIMIT))
            return handle.read().decode(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def locked(path, how=fcntl.LOCK_EX):
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield handle
    finally:
        os.close(handle)


def is_started(folder):
    return (folder / "state.json").exists() or (folder / "exit.json").exists()


# Processes, and Puppet's own lock


def environment():
    """Return the environment of Puppet: the minion's own would bring its Python and its libraries along."""
    return {"LC_ALL": "C.UTF-8", "PATH": PATH, "HOME": pwd.getpwuid(os.getuid()).pw_dir}


def call(command, **options):
    """Run a short command; return its exit code, None if it has none, and what it said."""
    options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": "/"}
    try:
        done = subprocess.run(command, text=True, errors="replace", timeout=START_TIMEOUT, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return done.returncode, done.stdout


def _proc(pid, name):
    try:
        return text(Path(f"/proc/{pid}/{name}").read_text(errors="replace"))
    except OSError:
        return ""


def lock_holder(lock):
    """Return who holds Puppet's lock, or None: a lock is stale unless its process lives and is Puppet."""
    try:
        pid = int(Path(lock).read_text())
    except (OSError, ValueError):
        return None
    name, command = _proc(pid, "comm"), _proc(pid, "cmdline")
    # Puppet's own rule.
    is_puppet = ("ruby" in name and "puppet" in command) or re.search(r"puppet(-.*)?$", name)
    return {"lock": str(lock), "pid": pid, "command": command} if is_puppet else None


def quiet_owners(lock):
    """Return who keeps the agent quiet, as ``{owner: {"message", "since"}}``: nobody if the lock is a person's."""
    found = (read(Path(lock)) or {}).get(QUIET)
    found = found if isinstance(found, dict) else {}
    return {
        owner: each for owner, each in found.items() if isinstance(each, dict) and isinstance(each.get("message"), str)
    }


def holder_text(holder):
    return f"{holder['command'] or 'another Puppet'} (pid {holder['pid']})" if holder["pid"] else holder["command"]


def _descendants(ancestor):
    """Return the living descendants of a process."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found, left = [], [ancestor]
    while left:
        born = children.get(left.pop(), [])
        found += born
        left += born
    return found


def send(number, pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# The supervisor: this file run as a program


def supervise(folder):
    """Make the run whose request lies in a directory and record how it ended there."""
    os.umask(0o077)
    ready = _detach()
    with locked(folder / "lock"):
        if is_started(folder):
            return
        # Puppet's children may leave its session and its parent; they come back to a subreaper.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        request, state = read(folder / "request.json"), {"pid": os.getpid(), "started": now()}
        _reserve(folder / "exit.reserved")
        _note(folder, state, phase="waiting", waiting_for=None)
        os.write(ready, b".")
        os.close(ready)
        _write_exit(folder, _run_in_turn(folder, request, state))


def _detach():
    """Go on in a child; the parent exits when the child says by the returned pipe that it is ready, or has died."""
    waiting, ready = os.pipe()
    if os.fork():
        os.close(ready)
        os._exit(0 if os.read(waiting, 1) else 1)
    os.close(waiting)
    return ready


def _reserve(path):
    """Keep room for the record of the end: the run itself may fill the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(b" " * EXIT_SPACE)
        handle.flush()
        os.fsync(handle.fileno())


def _write_exit(folder, ended):
    reserved = folder / "exit.reserved"
    with reserved.open("r+b") as handle:
        handle.write(json.dumps(ended).encode())
        handle.flush()
        os.fsync(handle.fileno())
    with contextlib.suppress(OSError):
        (folder / "report.yaml").chmod(0o600)
    reserved.replace(folder / "exit.json")


def _note(folder, state, **news):
    state.update(news, since=now())
    write(folder / "state.json", state)


def _run_in_turn(folder, request, state):
    """Make the run when no other run of this minion is going on; Puppet alone would not keep ``apply`` apart."""
    deadline = time.monotonic() + request["lock_timeout"]
    turn = os.open(folder.parent.parent / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _take(turn):
        holder = {"lock": "puppet_agent", "pid": None, "command": f"the run {os.pread(turn, LINE, 0).decode()}"}
        if ended := _wait_for(folder, state, holder, functools.partial(_take, turn), deadline):
            return ended
    with contextlib.suppress(OSError):
        os.ftruncate(turn, 0)
        os.pwrite(turn, folder.name.encode(), 0)
    return _run_past_locks(folder, request, state, deadline)


def _run_past_locks(folder, request, state, deadline):
    """Start Puppet, again whenever it was turned away by the lock of another one."""
    while True:
        if (message := _disabled_message(request)) is not None:
            return end_record(ended_by="disabled", holder=message)
        locks = (lock_holder(f"{each}/agent_catalog_run.lock") for each in request["state_dirs"])
        holder = next(filter(None, locks), None)
        if holder is None:
            with contextlib.suppress(OSError):
                _note(folder, state, phase="running", waiting_for=None)
            ended = _run_once(request, [*request["command"], *_past_quiet(folder, request)])
            lock = lock_in_the_way(ended["exit_code"], read_output(folder)) if request["mode"] == "agent" else None
            if lock is None or ended["ended_by"]:
                return ended
            holder = lock_holder(lock) or {"lock": lock, "pid": None, "command": "another Puppet"}
        if ended := _wait_for(folder, state, holder, functools.partial(_is_free, holder["lock"]), deadline):
            return ended
        os.truncate(folder / "output.log", 0)


def _disabled_message(request):
    """Return why the agent is disabled, for ``puppet apply`` does not ask; None if it is not, or quiet for this run."""
    for path in (Path(each, "agent_disabled.lock") for each in request["state_dirs"]):
        if path.exists() and request["quiet_owner"] not in quiet_owners(path):
            return text((read(path) or {}).get("disabled_message", "no reason given"))
    return None


def _past_quiet(folder, request):
    """Return the option with which an agent runs that is quiet for this run: it looks for a lock that nobody makes."""
    lock = request["quiet_lock"]
    is_own = request["mode"] == "agent" and lock and request["quiet_owner"] in quiet_owners(lock)
    return [f"--agent_disabled_lockfile={folder}/agent_disabled.lock"] if is_own else []


def _take(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(lock):
    return lock_holder(lock) is None


def _wait_for(folder, state, holder, is_free, deadline, interval=LOCK_INTERVAL):
    """Wait for a lock; return the record of the run's end if it did not come free."""
    with contextlib.suppress(OSError):
        _note(folder, state, phase="waiting", waiting_for=holder)
    while (left := deadline - time.monotonic()) > 0:
        if signal.sigtimedwait({signal.SIGTERM}, min(interval, left)):
            return end_record(ended_by="stop")
        if is_free():
            return None
    return end_record(ended_by="lock", holder=holder_text(holder))


def _run_once(request, command):
    """Run Puppet to its end, its own or the one that it is given at its timeout."""
    began, started = time.monotonic(), now()
    prctl = ctypes.CDLL(None).prctl

    def become_ordinary():
        # A run without its supervisor would have no timeout and no record: Puppet is told to stop with it.
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    options = {"stdin": subprocess.DEVNULL, "env": environment(), "cwd": "/", "umask": 0o022}
    try:
        puppet = subprocess.Popen(command, preexec_fn=become_ordinary, **options)
    except OSError as error:
        return end_record(error=f"{command[0]} cannot be started: {error.strerror}")
    status, ended_by = _await(puppet.pid, request["timeout"])
    code = None if status is None else os.waitstatus_to_exitcode(status)
    end = {"signal": -code} if code is not None and code < 0 else {"exit_code": code}
    return end_record(ended_by=ended_by, started=started, seconds=round(time.monotonic() - began, 2), **end)


def _await(pid, timeout):
    """Return a child's wait status, and why it was ended if that was done here."""
    deadline = time.monotonic() + timeout
    while (status := _reap().get(pid)) is None:
        woken = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM}, max(0, deadline - time.monotonic()))
        if woken is None or woken.si_signo == signal.SIGTERM:
            return _end_all(pid), "timeout" if woken is None else "stop"
    return status, None


def _reap():
    """Return the wait statuses of the children that have ended since."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    return ended


def _end_all(pid):
    """End every descendant, first by request, then by force, until none is left; return the wait status of one."""
    send(signal.SIGTERM, _descendants(os.getpid()))
    deadline, status = time.monotonic() + GRACE, None
    while (left := _descendants(os.getpid())) and time.monotonic() < deadline + UNKILLABLE:
        if time.monotonic() >= deadline:
            send(signal.SIGKILL, left)
        signal.sigtimedwait({signal.SIGCHLD}, 0.2)
        status = _reap().get(pid, status)
    return _reap().get(pid, status)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
