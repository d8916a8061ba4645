"""Houses for the tests: a Salt master and minions as processes on loopback, each minion with a Puppet of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import ChainMap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import attr
import psutil
import pytest
from contest import Contest
from sites import Site, wait_until

TREE = ("_modules", "_output", "_runners", "_states", "_utils", "orch")
BIN = Path(sys.executable).parent
QUIET = {"log_level_logfile": "warning"}


@dataclass
class Result:
    """What a command came to. ``data`` is its standard output, and nothing but it, read as JSON; or None."""

    returncode: int
    stdout: str
    stderr: str
    data: object = None


@dataclass
class House:
    """The master, its minions by id, and what a test does with them."""

    root: Path
    python: str
    master: object
    minions: dict = field(default_factory=dict)

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
        wrapper = self.puppet(node) / "puppet"
        wrapper.write_text(f"#!/bin/sh\nPATH=$PATH:/opt/puppetlabs/bin\n{script}\n")
        wrapper.chmod(0o755)

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


def _in_parallel(function, items):
    with ThreadPoolExecutor(max_workers=len(items)) as pool:
        return list(pool.map(function, items))


def puppet_settings(home):
    """Write a node's ``puppet.conf`` and return what its minion is told about its Puppet."""
    etc, var = home / "etc", home / "var"
    (etc / "code/environments/production").mkdir(parents=True)
    settings = {"vardir": var, "codedir": etc / "code", "publicdir": var / "public", "rundir": var / "run"}
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (etc / "puppet.conf").write_text("\n".join(["[main]", f"certname = {home.name}", *lines, "reports = none", ""]))
    (home / "site.pp").write_text("")
    places = {"confdir": str(etc), "vardir": str(var), "manifest": str(home / "site.pp")}
    return {"mode": "apply", "puppet": str(home / "puppet"), **places}


def _end_leftovers(root):
    """End what still runs out of a house: every process that names its directory, which nobody else has."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(root) in word for word in process.info["cmdline"] or ()):
            process.kill()


def _house(factories, master_id, nodes, master_options, minion_options):
    """Return a house whose daemons are configured but not yet started."""
    root = factories.root_dir
    pillar = root / "pillar"
    (pillar / "environments").mkdir(parents=True)
    (pillar / "top.sls").write_text("{}")
    ours = {**QUIET, "auto_accept": True, "worker_threads": 3, "pillar_roots": {"base": [str(pillar)]}}
    master = factories.salt_master_daemon(master_id, overrides={**ours, **master_options})
    house = House(root, factories.python_executable, master)
    for node in nodes:
        options = {**QUIET, "puppet_agent": puppet_settings(house.puppet(node)), **minion_options}
        house.wrap(node)
        house.minions[node] = master.salt_minion_daemon(node, overrides=options)
    return house


@pytest.fixture(scope="session")
def salt_factories_config():
    # Salt's sockets need short paths.
    root = tempfile.mkdtemp(prefix="oo-", dir="/tmp")
    yield {"root_dir": root, "slow_stop": False, "inject_sitecustomize": False}
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def open_house(salt_factories):
    """Return a context manager that runs a house of its own: another Salt, other options, other nodes."""

    @contextlib.contextmanager
    def opened(name, nodes, *, python=sys.executable, master_options, minion_options):
        root = salt_factories.root_dir / name
        factories = attr.evolve(salt_factories, root_dir=root, python_executable=str(python), scripts_dir=None)
        house = _house(factories, f"{name}-master", nodes, master_options, minion_options)
        try:
            house.master.start()
            _in_parallel(house.start_minion, nodes)
            yield house
        finally:
            _in_parallel(lambda daemon: daemon.terminate(), [*house.minions.values(), house.master])
            _end_leftovers(root)

    return opened


@pytest.fixture(scope="session")
def file_root(salt_factories, repository):
    """The repository as a Salt file root, without its virtual environments, which take long to list."""
    tree = salt_factories.root_dir / "tree"
    tree.mkdir()
    for name in TREE:
        (tree / name).symlink_to(repository / name)
    return tree


@pytest.fixture(scope="session")
def house(open_house, file_root, repository):
    """The master and five running minions, n1 to n5, which use this repository through ``module_dirs``."""
    here = {"module_dirs": [str(repository)]}
    roots = {"file_roots": {"base": [str(file_root)]}, "os_orchestrator": {"poll_interval": 5}}
    nodes = [f"n{number}" for number in range(1, 6)]
    with open_house("h", nodes, master_options={**here, **roots}, minion_options=here) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _every_minion_is_up(request):
    """Start the minions that a test has stopped, so that the next test finds the whole house."""
    yield
    if "house" in request.fixturenames:
        house = request.getfixturevalue("house")
        for node, minion in house.minions.items():
            if not minion.is_running():
                house.start_minion(node)


@pytest.fixture
def site(house, tmp_path, request):
    """An environment of the test's own on the nodes of the house, whose manifests write down when they run."""
    made = Site(house, tmp_path, f"e{abs(hash(request.node.nodeid)) % 10**9}")
    yield made
    made.let_all_go()


@pytest.fixture
def contest(site, file_root):
    """Our deployment and a plain orchestration on the same nodes, neither started yet."""
    made = Contest(site, file_root)
    yield made
    made.end()


@pytest.fixture
def started(site, house):
    """Return a function that starts a deployment which takes some seconds on n1, and waits until Puppet works there."""
    processes = []

    def start(*arguments, seconds=6):
        site.manifest("n1", seconds=seconds)
        # A group of its own, as a shell gives it to a command: what a terminal's Ctrl-C reaches.
        process = subprocess.Popen(
            house.command("salt-run", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        wait_until(lambda: "n1" in site.ran())
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
