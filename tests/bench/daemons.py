"""Daemons that a measure runs beside what it measures."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import salt.utils.event
from houses import BIN
from masters import Master


@contextlib.contextmanager
def running(*command: object) -> Iterator[subprocess.Popen]:
    """Run a daemon in a session of its own and end it, with all that it has started."""
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextlib.contextmanager
def serving(master: Master) -> Iterator[None]:
    """Run ``salt-master`` with a master's files; within, its event bus answers."""
    opts = master.opts
    with running(BIN / "salt-master", "-c", master.conf_file.parent):
        for _ in range(600):
            with salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=True) as bus:
                if bus.connect_pub(timeout=1) and bus.connect_pull(timeout=1):
                    break
            time.sleep(0.1)
        else:
            raise TimeoutError("the master did not start within a minute")
        yield
