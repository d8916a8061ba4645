"""The lab, for its tests: see docs/lab.md. They stand on one another's deployments, in the order of the files."""

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from machines import house
from machines.machine import LAB

CLIENTS = Path(__file__).parent / "clients"


def pytest_collection_modifyitems(items):
    """A deployment takes minutes, more on a machine that is busy."""
    for item in items:
        item.add_marker(pytest.mark.timeout(1800))


@dataclass
class Deployment:
    """What became of a deployment: its exit status, what its operator saw, and its summary."""

    status: int
    progress: str
    answer: dict

    def phase(self, sentence):
        return next(phase for phase in self.answer["phases"] if phase["name"] == sentence)

    def verdicts(self, sentence):
        """Return the verdict of each node of a phase."""
        return {node["node"]: node["verdict"] for node in self.phase(sentence)["nodes"]}

    def all_verdicts(self):
        return {node["verdict"] for phase in self.answer["phases"] for node in phase.get("nodes", ())}

    def did(self, node):
        """Return what is said of a node, in the last phase in which it was."""
        return [
            each["did"] for phase in self.answer["phases"] for each in phase.get("nodes", ()) if each["node"] == node
        ][-1]


class Lab(house.House):
    """The lab with the operator's commands, as the tests ask for them."""

    def deploy(self, *words):
        """Run a command of ``deployment`` and return what became of it."""
        return _deployment(self.salt_run(*_command(*words)))

    def start(self, *words):
        """Start a command of ``deployment``; ``ended`` waits for it."""
        command = self.nodes[house.MASTER].command("salt-run", *_command(*words))
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ended(self, process, timeout=900):
        output, progress = process.communicate(timeout=timeout)
        return _deployment(subprocess.CompletedProcess(process.args, process.returncode, output, progress))

    def ask(self, target, function, *words):
        """Ask an execution function of nodes and return their answers by node."""
        return json.loads(self.master("salt", target, function, *words, "--static", "--out=json").stdout)

    def wait_for(self, process, word):
        """Read the progress of a deployment until a line has a word, and return what was read."""
        read = ""
        while word not in read:
            line = process.stderr.readline()
            assert line, f"the deployment ended without {word!r}: {read}"
            read += line
        return read

    def client(self, node, name, *words):
        """Start a program of ``clients`` on a node; ``told`` ends it."""
        command = self.nodes[node].command("python3", "-c", (CLIENTS / f"{name}.py").read_text(), *words)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self, client):
        """End a client and return what it tells."""
        return json.loads(client.communicate(timeout=300)[0])

    @contextmanager
    def without_server(self, node):
        """Let a node not find its server for the time of a block."""
        self.nodes[node].run("puppet", "config", "set", "serverport", "1", "--section", "main")
        try:
            yield
        finally:
            self.nodes[node].run("puppet", "config", "delete", "serverport", "--section", "main")

    @contextmanager
    def pillar(self, change):
        """Let a function edit the environment ``lab``, as its operator edits the pillar, for the time of a block."""
        definition = yaml.safe_load((LAB / "pillar/environments/lab.sls").read_text())
        change(definition["environments"]["lab"])
        changed = self.nodes[house.MASTER].root / "srv/changed/environments/lab.sls"
        changed.parent.mkdir(parents=True, exist_ok=True)
        changed.write_text(yaml.safe_dump(definition))
        try:
            yield
        finally:
            changed.unlink()

    def fresh(self):
        """Give every node that Puppet has been on an empty disk."""
        used = [name for name in self.minions if (self.nodes[name].root / "var/cache/puppet/state/state.yaml").exists()]
        self.replace_disk(*used)


def _command(function, *words):
    return f"deployment.{function}", *words, "--out=json"


def _deployment(done):
    try:
        return Deployment(done.returncode, done.stderr, json.loads(done.stdout)["answer"])
    except ValueError:
        raise AssertionError(f"{done.args[-4:]} exited with {done.returncode}: {done.stdout}{done.stderr}") from None


@pytest.fixture(scope="session")
def lab():
    opened = Lab()
    opened.up()
    opened.fresh()
    return opened


@pytest.fixture(scope="session")
def swift(lab):
    """Swift, deployed; the deployment."""
    return lab.deploy("run", "lab", "swift")


@pytest.fixture(scope="session")
def compute(lab):
    """Compute, deployed; the deployment."""
    return lab.deploy("run", "lab", "compute")
