"""
The demo's machines: a Salt master and nine minions as processes on loopback, each minion with a Puppet of its own.

Nothing is written outside of one directory below /tmp, and what was started is ended by its process id.
"""

import contextlib
import getpass
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import salt.config
import salt.utils.event

REPOSITORY = Path(__file__).resolve().parents[1]
ETC = REPOSITORY / "demo/etc"
BIN = Path(sys.executable).parent
NODES = ("ctl1", "ctl2", "cmp1", "cmp2", "ep1", "st1", "st2", "ring1", "px1")
PROGRAMS = ("salt", "salt-key", "salt-run")
PORT_OF_THE_EXAMPLE = "13306"
START_TIMEOUT = 120
GRACE = 10
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# That the bus has gone with the master is no news to anybody.
logging.getLogger("salt").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def opened():
    """Start the machines and say so; end them however the block is left, Ctrl-C and SIGTERM included."""
    _on_signals(_leave)
    begun = time.monotonic()
    print(f"Starting a Salt master and {len(NODES)} minions on loopback.", flush=True)
    with Lab() as machines:
        print(f"They took {time.monotonic() - begun:.0f} seconds; all of it lies in {machines.root}.", flush=True)
        yield machines


def _on_signals(handler):
    for number in SIGNALS:
        signal.signal(number, handler)


def _leave(number, _frame):
    sys.exit(128 + number)


class Lab:
    """The machines, in a directory of their own."""

    def __init__(self):
        # Salt's sockets need short paths.
        self.root = Path(tempfile.mkdtemp(prefix="oo-", dir="/tmp"))
        self.writer = Writer([self.root / node / "disk/mysql/master.info" for node in ("ctl1", "ctl2")])
        self.environ = {**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}", "DEMO": str(self.root)}
        self.daemons = []

    def __enter__(self):
        try:
            self._furnish()
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def run(self, *command):
        """Run a command with Salt's programs in its PATH and the terminal as its own, and return its exit status."""
        with subprocess.Popen(command, env=self.environ) as process:
            try:
                return process.wait()
            except SystemExit as left:
                # A Ctrl-C of the terminal has reached the command already. Either way it may have something to say.
                if left.code != 128 + signal.SIGINT:
                    process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
                process.kill()
                raise

    def shell(self):
        """Give a prompt and return the exit status of its last command; Ctrl-C is the shell's while it lasts."""
        rc = self.root / "bashrc"
        rc.write_text(f"[ ! -r ~/.bashrc ] || . ~/.bashrc\nPATH={self.root}/bin:$PATH\nPS1='demo$ '\n")
        # Not SIG_IGN: what the shell starts would inherit that.
        ours = signal.signal(signal.SIGINT, lambda _number, _frame: None)
        try:
            return self.run("bash", "--rcfile", str(rc))
        finally:
            signal.signal(signal.SIGINT, ours)

    def end(self):
        """End every process that was started here, or by one that was, and remove the directory."""
        _on_signals(signal.SIG_IGN)
        while living := self._living():
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for daemon in self.daemons:
            daemon.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _furnish(self):
        """Write every file that the machines need."""
        publish_port, ret_port = _free_ports(2)
        facts = {
            "user": getpass.getuser(),
            "root": self.root,
            "repository": self.root / "repository",
            "publish_port": publish_port,
            "ret_port": ret_port,
            "writer": f"127.0.0.1:{self.writer.port}",
        }
        (self.root / "repository").symlink_to(REPOSITORY)
        _fill(ETC / "master", self.root / "etc/master", facts)
        for node in NODES:
            home, own = self.root / node, {**facts, "node": node}
            _fill(ETC / "minion", home / "etc/minion", own)
            _fill(ETC / "puppet.conf", home / "puppet/puppet.conf", own)
            _fill(ETC / "hiera.yaml", home / "puppet/hiera.yaml", own)
            _fill(ETC / "node.yaml", home / "puppet/data/node.yaml", own)
            (home / "puppet/code/environments/production").mkdir(parents=True)
            (home / "disk").mkdir()
        (self.root / "puppetdb").mkdir()
        (self.root / "srv").mkdir()
        (self.root / "srv/orch").symlink_to(REPOSITORY / "orch")
        shutil.copytree(REPOSITORY / "pillar.example", self.root / "pillar")
        demo = self.root / "pillar/environments/demo.sls"
        demo.write_text(demo.read_text().replace(PORT_OF_THE_EXAMPLE, str(self.writer.port)))
        self._wrap_programs()

    def _wrap_programs(self):
        """Put Salt's programs, told about this master, before all others in PATH."""
        (self.root / "bin").mkdir()
        for program in PROGRAMS:
            wrapper = self.root / "bin" / program
            command = shlex.join([str(BIN / program), "-c", str(self.root / "etc")])
            wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            wrapper.chmod(0o755)

    def _start(self):
        """Start the machines and return when each minion has announced itself to the master."""
        self.writer.start()
        self._daemon("salt-master", self.root)
        options = salt.config.client_config(str(self.root / "etc/master"))
        deadline, missing = time.monotonic() + START_TIMEOUT, set(NODES)
        with salt.utils.event.get_event("master", opts=options, listen=True) as bus:
            while not bus.connect_pub(timeout=1):
                _before(deadline, self.root)
            for node in NODES:
                self._daemon("salt-minion", self.root / node)
            while missing:
                _before(deadline, self.root / min(missing))
                event = bus.get_event(tag="salt/minion/", wait=1)
                missing.discard(event["id"] if event else None)

    def _daemon(self, program, home):
        """Start a daemon in a session of its own, out of reach of the terminal's Ctrl-C."""
        with (home / "console.log").open("w") as log:
            command = [str(BIN / program), "-c", str(home / "etc")]
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.daemons.append(subprocess.Popen(command, env=self.environ, start_new_session=True, **streams))

    def _living(self):
        """
        Return the process ids of what was started here and still lives.

        That is what is in the session of one of the daemons, and Puppet, which has a session of its own but names
        the directory. A session's number stays ours until its daemon is waited for.
        """
        sessions, place, found = {daemon.pid for daemon in self.daemons}, f"{self.root}/".encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state, _, _, session = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
                ours = int(session) in sessions or place in (process / "cmdline").read_bytes()
                found += [int(process.name)] if ours and state not in "ZX" else []
        return found


class Writer(threading.Thread):
    """
    The address that takes the database's writes.

    The port is held from the start, so that nobody else gets it, but connections are refused until both controllers
    replicate.
    """

    def __init__(self, replicating):
        super().__init__(daemon=True)
        self.replicating = replicating
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while not all(state.exists() for state in self.replicating):
            time.sleep(0.2)
        self.socket.listen()
        while True:
            self.socket.accept()[0].close()


def _fill(template, path, facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template.read_text().format_map(facts))


def _free_ports(count):
    """Return free TCP ports of loopback, held together until all are known, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _before(deadline, home):
    """Give up once the deadline has passed, with the last words of the daemon that lives in ``home``."""
    if time.monotonic() > deadline:
        words = (home / "console.log").read_text()[-2000:].strip() or "it said nothing"
        sys.exit(f"A Salt daemon in {home} did not start within {START_TIMEOUT} seconds: {words}")
