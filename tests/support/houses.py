"""A Salt master and minions as processes on loopback, each minion with a Puppet of its own."""

import contextlib
import getpass
import json
import os
import signal
import socket
import subprocess
import sys
from collections import ChainMap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import psutil
from sites import wait_until

BIN = Path(sys.executable).parent
HERE = Path(__file__).resolve().parent
QUIET = {"log_level_logfile": "warning"}
FACTS = """--- !ruby/object:Puppet::Node::Facts
name: {name}
values: {{hostname: {name}}}
"""


@dataclass
class Result:
    """What a command came to. ``data`` is its standard output, and nothing but it, read as JSON; or None."""

    returncode: int
    stdout: str
    stderr: str
    data: object = None


@dataclass
class House:
    """
    The master, its minions by id, and what a test does with them.

    compiled
        Where Puppet's Ruby keeps what it has compiled; without it Puppet is as quick as it is anywhere.
    """

    root: Path
    python: str
    master: object
    minions: dict = field(default_factory=dict)
    compiled: Path | None = None

    def command(self, program, *args):
        """Return the argument list of one of Salt's programs against this master, for ``subprocess``."""
        return [self.python, str(BIN / program), "-c", self.master.config_dir, *args]

    def run(self, program, *args, out="json", timeout=120):
        """Run one of Salt's programs and return its ``Result``; ``out=None`` leaves the outputter to the command."""
        command = self.command(program, *args, *([f"--out={out}"] if out else []))
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        return Result(done.returncode, done.stdout, done.stderr, _data(done.stdout))

    def salt_run(self, *args, **options):
        """Run ``salt-run`` as an operator would."""
        return self.run("salt-run", *args, **options)

    def salt(self, target, *args, **options):
        """Run ``salt`` on a target; ``data`` is one dictionary by minion id."""
        return self.run("salt", target, *args, **options)

    def pillar(self, name, text):
        """Write an environment's pillar, as ``environments/<name>.sls``, and list it in the top file."""
        (self.root / "pillar/environments" / f"{name}.sls").write_text(text)
        names = sorted(path.stem for path in (self.root / "pillar/environments").glob("*.sls"))
        top = {"base": {"os-orchestrator": [f"environments.{each}" for each in names]}}
        (self.root / "pillar/top.sls").write_text(json.dumps(top))

    def puppet(self, node):
        """Return the directory that holds a node's Puppet: ``etc``, ``var`` and ``site.pp``."""
        return self.root / "puppet" / node

    def wrap(self, node, script='exec puppet "$@"'):
        """Let a node's Puppet be a script around the real one: what it does to the run is the test's own."""
        write_puppet(self.puppet(node) / "puppet", self.compiled, script)

    def puppets(self, node):
        """Return the processes of Puppet itself that work on a node, ours and others'."""
        home = str(self.puppet(node))
        found = psutil.process_iter(["cmdline", "name"])
        found = [each for each in found if any(word.endswith("bin/puppet") for word in each.info["cmdline"] or ())]
        return [each for each in found if any(home in word for word in each.info["cmdline"])]

    def manifest(self, node, text):
        """Write the manifest that a node applies."""
        (self.puppet(node) / "site.pp").write_text(text)

    def processes(self, node):
        """Return a minion's processes, without the Puppet runs that it set apart in a session of their own."""
        minion = psutil.Process(self.minions[node].pid)
        session = os.getsid(minion.pid)
        return [minion, *(each for each in minion.children(recursive=True) if _session(each.pid) == session)]

    def stop_minion(self, node):
        """End a minion at once, as a power cut would; its Puppet runs go on."""
        for process in self.processes(node):
            process.send_signal(signal.SIGKILL)
        self.minions[node].terminate()

    def start_minion(self, node):
        """Start a minion and wait until it has announced itself to the master."""
        self.minions[node].start()


def _data(text):
    """Return JSON as data; the documents that ``salt`` prints, one for each minion, as one dictionary."""
    documents = []
    with contextlib.suppress(ValueError):
        while text := text.strip():
            document, end = json.JSONDecoder().raw_decode(text)
            documents.append(document)
            text = text[end:]
        return documents[0] if len(documents) == 1 else dict(ChainMap(*documents)) if documents else None
    return None


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def in_parallel(function, items):
    with ThreadPoolExecutor(max_workers=len(items)) as pool:
        return list(pool.map(function, items))


def puppet_settings(home):
    """Write a node's ``puppet.conf`` and return what its minion is told about its Puppet."""
    etc, var = home / "etc", home / "var"
    (etc / "code/environments/production").mkdir(parents=True)
    settings = {"vardir": var, "codedir": etc / "code", "publicdir": var / "public", "rundir": var / "run"}
    settings |= {"certname": home.name, "reports": "none", **written_facts(var, home.name)}
    (etc / "puppet.conf").write_text(
        "\n".join(["[main]", *(f"{key} = {value}" for key, value in settings.items()), ""])
    )
    (home / "site.pp").write_text("")
    places = {"confdir": str(etc), "vardir": str(var), "manifest": str(home / "site.pp")}
    return {"mode": "apply", "puppet": str(home / "puppet"), **places}


def write_puppet(path, compiled=None, script='exec puppet "$@"'):
    """Write a command that stands in front of Puppet; ``compiled`` as in :class:`House`."""
    options = "--disable=did_you_mean --disable=error_highlight -rcompiled_ruby"
    quick = f"export COMPILED_RUBY='{compiled}' RUBYLIB='{HERE}' RUBYOPT='{options}'\n" if compiled else ""
    path.write_text(f"#!/bin/sh\nPATH=$PATH:/opt/puppetlabs/bin\n{quick}{script}\n")
    path.chmod(0o755)


def written_facts(var, certname):
    """
    Write down the facts of a node and return the settings by which its Puppet reads them there: to find them out takes
    as long as all the rest of a small run.
    """
    (var / "yaml/facts").mkdir(parents=True)
    (var / f"yaml/facts/{certname}.yaml").write_text(FACTS.format(name=certname))
    return {"facts_terminus": "yaml"}


def end_leftovers(root):
    """End what still runs out of a house: every process that names its directory, which nobody else has."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(root) in word for word in process.info["cmdline"] or ()):
            process.kill()


def master_settings(root, options):
    """Return what a master of a house is told; its pillar lies in the house."""
    ours = {"auto_accept": True, "worker_threads": 3, "pillar_roots": {"base": [str(root / "pillar")]}}
    return {**QUIET, **ours, **options}


def move_in(house, master, nodes, minion_options):
    """Give a house nodes whose minions listen to a master; they are not yet started."""
    for node in nodes:
        options = {**QUIET, "puppet_agent": puppet_settings(house.puppet(node)), **minion_options}
        house.wrap(node)
        house.minions[node] = master.salt_minion_daemon(node, overrides=options)


def empty_pillar(root):
    """Make the pillar of a house, without environments so far."""
    (root / "pillar/environments").mkdir(parents=True)
    (root / "pillar/top.sls").write_text("{}")


def furnished(factories, master_id, nodes, master_options, minion_options):
    """Return a house whose daemons are configured but not yet started."""
    root = factories.root_dir
    empty_pillar(root)
    master = factories.salt_master_daemon(master_id, overrides=master_settings(root, master_options))
    house = House(root, factories.python_executable, master, compiled=root.parent / "compiled")
    move_in(house, master, nodes, minion_options)
    return house


# -- without pytest ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(root, nodes, *, master_options, minion_options):
    """
    Run a house of plain daemons, as Salt configures them by itself, for what is no test.

    Each minion finds its own Puppet first in ``PATH``.
    """
    publish_port, ret_port = free_ports(2)
    empty_pillar(root)
    common = {**QUIET, "user": getpass.getuser(), "publish_port": publish_port}
    master = {**common, "interface": "127.0.0.1", "ret_port": ret_port, "auto_accept": True}
    master |= {"pillar_roots": {"base": [str(root / "pillar")]}, **master_options}
    house = House(root, sys.executable, SimpleNamespace(config_dir=str(root / "master")))
    with contextlib.ExitStack() as stack:
        stack.callback(end_leftovers, root)
        stack.enter_context(daemon(house, "master", "master", master))
        for node in nodes:
            own = {**common, "id": node, "master": "127.0.0.1", "master_port": ret_port, **minion_options}
            own["puppet_agent"] = puppet_settings(house.puppet(node))
            house.wrap(node)
            path = {"PATH": f"{house.puppet(node)}:{os.environ['PATH']}"}
            house.minions[node] = stack.enter_context(daemon(house, node, "minion", own, environ=path))
        keys = root / "master/etc/salt/pki/master/minions"
        wait_until(lambda: len(list(keys.glob("*"))) == len(nodes), 60 + 10 * len(nodes))
        wait_until(lambda: len(house.salt("*", "--timeout=30", "test.ping").data or ()) == len(nodes), 300)
        yield house


@contextlib.contextmanager
def daemon(house, name, kind, options, prefix=(), environ=None):
    """Run a daemon of Salt with everything of it below a directory of its own, and end it with its children."""
    place = house.root / name
    place.mkdir()
    (place / kind).write_text(json.dumps({"root_dir": str(place), "pidfile": str(place / "pid"), **options}))
    command = [*prefix, sys.executable, str(BIN / f"salt-{kind}"), "-c", str(place)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    environ = {**os.environ, **(environ or {})}
    process = subprocess.Popen(command, env=environ, start_new_session=True, **quiet)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_ports(count):
    """Return free TCP ports of loopback, held together until all are known, so that they differ."""
    with contextlib.ExitStack() as held:
        doors = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in doors:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in doors]
