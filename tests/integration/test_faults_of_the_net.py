"""
What becomes of a deployment when a node cannot be heard, lives in another hour, has lost its key, or is one of many.

Each test is a row of docs/faults.md.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import network
import pytest
from houses import House, daemon, puppet_settings
from sites import wait_until

ENVIRONMENT = """
environments:
  net:
    roles: {{storage: {nodes}}}
    puppet:
      {{concurrency: 6, lock_timeout: 5, timeout: {timeout}, ping_timeout: 30, grace: {grace}, max_failures: {failing}}}
"""
MANIFEST = """
exec {{ 'run':
  command  => 'touch {home}/begun; sleep {seconds}; while [ -e {home}/held ]; do sleep 0.1; done; echo x >>{home}/ran',
  provider => shell,
}}
"""


class Town:
    """A house whose nodes make up one role; each says when its run has begun, and counts its runs."""

    def __init__(self, house, nodes, timeout=60, grace=5, max_failures=0):
        self.house, self.nodes = house, nodes
        options = {"timeout": timeout, "grace": grace, "failing": max_failures}
        house.pillar("net", ENVIRONMENT.format(nodes=json.dumps(nodes), **options))

    def deploy(self, seconds=1):
        """Start a pass over all nodes that takes some seconds on each."""
        for node in self.nodes:
            for name in ("begun", "ran"):
                (self.house.puppet(node) / name).unlink(missing_ok=True)
            self.house.manifest(node, MANIFEST.format(home=self.house.puppet(node), seconds=seconds))
        command = self.house.command("salt-run", "deployment.puppet", "net", "storage", "--out=json")
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def hold(self, node):
        """Let a run of the next pass stay in the middle of its catalog until it is let go."""
        (self.house.puppet(node) / "held").touch()

    def let_go(self, node):
        (self.house.puppet(node) / "held").unlink()

    def await_run(self, node, seconds=60):
        wait_until((self.house.puppet(node) / "begun").exists, seconds)

    def runs(self, node):
        ran = self.house.puppet(node) / "ran"
        return ran.read_text().count("x") if ran.exists() else 0


def verdicts(out):
    return {node["node"]: node["verdict"] for node in json.loads(out)["answer"]["phases"][0]["nodes"]}


@pytest.fixture
def town(open_house, file_root):
    """Return a context manager for a town in a house of its own."""

    @contextlib.contextmanager
    def opened(name, nodes, master_options=None, **environment):
        here = {"module_dirs": [str(file_root)]}
        ours = {**here, "os_orchestrator": {"poll_interval": 5}, **(master_options or {})}
        with open_house(name, nodes, master_options=ours, minion_options=here) as house:
            yield Town(house, nodes, **environment)

    return opened


@pytest.mark.slow
def test_the_key_is_removed_in_mid_run(town):
    """What a node says without a key is not heard: it is lost, not good."""
    with town("k", ["k1", "k2"], {"open_mode": False, "auto_accept": False}, timeout=30) as ours:
        master = ours.house.master
        ours.hold("k2")
        deployment = ours.deploy()
        ours.await_run("k2")
        # The factories accept every key that asks; not this one again.
        master.event_listener.unregister_auth_event_handler(master.id)
        assert ours.house.run("salt-key", "-y", "-d", "k2", out=None).returncode == 0
        ours.let_go("k2")
        out, err = deployment.communicate(timeout=90)
        assert ours.house.run("salt-key", "-L").data["minions"] == ["k1"]
        assert ours.runs("k2") == 1
    assert deployment.returncode == 1, err
    assert verdicts(out) == {"k1": "changed", "k2": "lost"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_of_thirty_die(town):
    nodes = [f"t{number:02}" for number in range(30)]
    dead = nodes[:3]
    with town("t", nodes, timeout=60, grace=5, max_failures=3) as ours:
        for node in dead:
            ours.hold(node)
        deployment = ours.deploy(2)
        for node in dead:
            ours.await_run(node, 200)
            ours.house.stop_minion(node)
            ours.let_go(node)
        out, err = deployment.communicate(timeout=500)
        assert deployment.returncode == 1, err
        assert verdicts(out) == {node: "lost" if node in dead else "changed" for node in nodes}
        assert {node: ours.runs(node) for node in nodes} == dict.fromkeys(nodes, 1)


# -- nodes with a net and a clock of their own ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def island(file_root):
    """A master and three minions, each in a network namespace of its own; the clock of w3 is an hour ahead."""
    reason = network.missing() or ("" if shutil.which("faketime") else "not installed: faketime")
    if reason:
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="oo-", dir="/tmp"))
    addresses = {"hub": "10.88.0.1", "w1": "10.88.0.11", "w2": "10.88.0.12", "w3": "10.88.0.13"}
    with network.switch(addresses) as nodes, contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        python = root / "python"
        python.write_text(f'#!/bin/sh\nexec {" ".join(nodes["hub"].prefix)} {sys.executable} "$@"\n')
        python.chmod(0o755)
        house = House(root, str(python), SimpleNamespace(config_dir=str(root / "hub")))
        (root / "pillar/environments").mkdir(parents=True)
        here = {"module_dirs": [str(file_root)], "user": "root", "log_level_logfile": "warning"}
        master = {**here, "interface": addresses["hub"], "auto_accept": True, "worker_threads": 3}
        master |= {"pillar_roots": {"base": [str(root / "pillar")]}, "os_orchestrator": {"poll_interval": 5}}
        stack.enter_context(daemon(house, "hub", "master", master, nodes["hub"].prefix))
        for name in ("w1", "w2", "w3"):
            ahead = ("faketime", "-f", "+1h") if name == "w3" else ()
            options = {
                **here,
                "id": name,
                "master": addresses["hub"],
                "puppet_agent": puppet_settings(house.puppet(name)),
            }
            house.wrap(name)
            stack.enter_context(daemon(house, name, "minion", options, (*nodes[name].prefix, *ahead)))
        wait_until(lambda: house.salt("w*", "test.ping").data == {"w1": True, "w2": True, "w3": True}, 120)
        yield SimpleNamespace(town=Town(house, ["w1", "w2", "w3"]), switch=nodes["w2"].switch)


def test_the_clock_of_a_node_is_an_hour_ahead(island):
    deployment = island.town.deploy()
    out, err = deployment.communicate(timeout=120)
    assert deployment.returncode == 0, err
    assert verdicts(out) == dict.fromkeys(island.town.nodes, "changed")
    # Nothing is compared with the clock of a node: its run took no hour, and ended after it began.
    (ahead,) = [node for node in json.loads(out)["answer"]["phases"][0]["nodes"] if node["node"] == "w3"]
    assert 0 < ahead["seconds"] < 100
    assert 0 < ahead["ended"] - ahead["started"] < 100


@pytest.mark.slow
def test_a_node_is_cut_off_for_45_seconds(island):
    island.town.hold("w2")
    deployment = island.town.deploy()
    island.town.await_run("w2")
    network.ip("-n", island.switch, "link", "set", "w2", "down")
    island.town.let_go("w2")
    try:
        time.sleep(45)
    finally:
        network.ip("-n", island.switch, "link", "set", "w2", "up")
    out, err = deployment.communicate(timeout=150)
    assert deployment.returncode == 0, err
    assert verdicts(out) == dict.fromkeys(island.town.nodes, "changed")
    assert {node: island.town.runs(node) for node in island.town.nodes} == {"w1": 1, "w2": 1, "w3": 1}
