"""A run's directory: its supervisor is started on it, its outcome is read from it, and the last ones are kept."""

import contextlib
import fcntl
import os
import shutil
import sys
import threading
from pathlib import Path

from os_orchestrator.node import outcome, report, supervisor

KEPT_RUNS = 50
# Bytes. A report of 15,000 resources has 16 MiB.
REPORT_LIMIT = 32 << 20


def goes_on(folder):
    """Say whether a run's supervisor lives: it holds the run's lock from its first word to its last."""
    try:
        with supervisor.locked(folder / "lock", fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def runs(root):
    """Return the directories of the runs that this node keeps, the newest first."""
    found = []
    with contextlib.suppress(OSError):
        for folder in (root / "runs").iterdir():
            request = folder / "request.json"
            found.append(((request if request.exists() else folder).stat().st_mtime_ns, folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def forget_old_runs(root):
    for folder in runs(root)[KEPT_RUNS:]:
        if not goes_on(folder):
            shutil.rmtree(folder, ignore_errors=True)


def read_report(path):
    """Return what matters of a report and None, or None and what is wrong with the file."""
    try:
        size = path.stat().st_size
        if size > REPORT_LIMIT:
            return None, f"is too big to be believed ({size >> 20} MiB)"
        return report.digest(report.parse(path.read_bytes())), None
    except FileNotFoundError:
        return None, "is not there"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except ValueError as error:
        return None, str(error)


def report_on(folder):
    """Return the outcome of a run as it stands; judged once, it is kept."""
    if not goes_on(folder) and (kept := supervisor.read(folder / "outcome.json")):
        return kept
    request, state = supervisor.read(folder / "request.json"), supervisor.read(folder / "state.json")
    output = supervisor.read_output(folder)
    if goes_on(folder):
        return outcome.build(request or {}, state, output=output, reason=_waiting(state))
    ended = supervisor.read(folder / "exit.json") if request else None
    digest, problem = read_report(folder / "report.yaml")
    verdict, reason = outcome.judge(request, ended, digest, problem, output)
    found = outcome.build(request or {"run_id": folder.name}, state, ended, digest, output, verdict, reason)
    with contextlib.suppress(OSError):
        supervisor.write(folder / "outcome.json", found)
    return found


def _waiting(state):
    holder = (state or {}).get("waiting_for")
    return f"waits since {state['since']} for {supervisor.holder_text(holder)}" if holder else ""


def await_end(folder, timeout):
    """Wait until a run's supervisor lets go of its lock."""

    def hold():
        with contextlib.suppress(OSError), supervisor.locked(folder / "lock", fcntl.LOCK_SH):
            pass

    waiter = threading.Thread(target=hold, daemon=True)
    waiter.start()
    waiter.join(timeout)


def launch(folder):
    """Start a supervisor that the minion cannot take down with it; return what went wrong, or nothing."""
    program = [sys.executable, "-IS", supervisor.__file__, str(folder)]
    for command in (*_in_a_unit(folder, program), program):
        code, said = supervisor.call(command, start_new_session=True)
        if code == 0:
            return ""
    said = (said or supervisor.read_output(folder)).strip().rpartition("\n")[2]
    return f"the supervisor of the run did not start: {supervisor.text(said) or 'it said nothing'}"


def _in_a_unit(folder, command):
    """Under systemd, leave the minion's cgroup: what is left there is killed when the minion is restarted."""
    if not Path("/run/systemd/system").is_dir() or os.geteuid() != 0:
        return []
    unit = ["systemd-run", f"--unit=puppet-agent-run-{folder.name}", "--collect", "--quiet"]
    # Daemons that Puppet starts by hand stay alive when the run has ended.
    return [[*unit, "--service-type=forking", "--property=KillMode=process", *command]]
