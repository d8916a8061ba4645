"""The whole lab: its nodes, from nothing to minions that answer, and away again."""

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import yaml
from machines import images, layers, network, nodes
from machines.machine import HOME, LAB, Trouble, call, in_parallel, until

READY = 240  # seconds
MASTER, SERVER = "salt", "puppet"


class House:
    """The nodes of the lab by name, and what an operator does on its master."""

    def __init__(self):
        plan = yaml.safe_load((LAB / "lab.yaml").read_text())
        self.images = images.plan(plan["images"])
        prefix, domain, length = (plan["network"][key] for key in ("prefix", "domain", "length"))
        addresses = {name: f"{prefix}{node['number']}" for name, node in plan["nodes"].items()}
        hosts = "".join(f"{address} {name}.{domain} {name}\n" for name, address in addresses.items())
        self.all = {
            name: nodes.Node(
                name=name,
                domain=domain,
                address=addresses[name],
                length=length,
                image=self.images[node["image"]],
                hosts=f"127.0.0.1 localhost\n{hosts}",
                services=tuple(node.get("services", ["salt-minion"])),
                sees=node.get("sees", {}),
            )
            for name, node in plan["nodes"].items()
        }
        there = nodes.made()
        self.nodes = {
            name: self.all[name] for name, node in plan["nodes"].items() if name in there or not node.get("later")
        }

    @property
    def minions(self):
        return [name for name in self.nodes if name not in (MASTER, SERVER)]

    def up(self, *later):
        """
        Bring up every node that is not, each with its certificate and a minion that answers.

        ``later`` names nodes that the lab begins without; once they are there, they belong to it.
        """
        unknown = sorted(set(later) - set(self.all))
        if unknown:
            raise Trouble(f"the lab has no node {', '.join(unknown)}, but {', '.join(self.all)}")
        self.nodes.update({name: self.all[name] for name in later})
        if not all(name in self.nodes and self.nodes[name].is_current() for name in nodes.made()):
            down()
        if not nodes.made():
            layers.prune([layer for image in self.images.values() for layer in image])
        network.switch_on()
        with told("The nodes are booted"):
            in_parallel(_bring_up, self.nodes.values())
        with told("puppetserver and PuppetDB are ready"):
            until(self._is_served, READY, "puppetserver and PuppetDB are ready", interval=0.5)
        with told("Every node has its certificate"):
            in_parallel(_certify, [self.nodes[name] for name in self.minions])
        with told("Every minion answers"):
            self.wait_for_minions()

    def salt_run(self, *words, **options):
        """Run ``salt-run`` on the master and return what came of it, its two streams apart."""
        return self.master("salt-run", *words, **options)

    def master(self, *words, timeout=1500):
        """Run a command on the master and return what came of it, its two streams apart."""
        command = self.nodes[MASTER].command(*words)
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    def forget(self, *names):
        """Let PuppetDB forget nodes and all that they have exported."""
        certnames = [self.nodes[name].certname for name in names]
        self.nodes[SERVER].run("puppet", "node", "deactivate", *certnames)

    def replace_disk(self, *names):
        """Give nodes empty disks, and let PuppetDB forget what they had exported."""
        if names:
            in_parallel(lambda name: self.nodes[name].replace_disk(), names)
            self.forget(*names)
            self.wait_for_minions()

    def wait_for_minions(self):
        until(self._all_answer, READY, "every minion answers", interval=0.5)

    def _is_served(self):
        services = self.nodes[SERVER].run("systemctl", "is-active", "puppetserver", "puppetdb", check=False).split()
        if "failed" in services:
            raise Trouble(f"puppetserver or PuppetDB failed to start: journalctl on node {SERVER} says why")
        return services == ["active", "active"]

    def _all_answer(self):
        done = self.master("salt", "*", "test.ping", "--static", "--out=json", "--timeout=5")
        with contextlib.suppress(ValueError):
            answers = json.loads(done.stdout)
            return all(answers.get(name) is True for name in self.minions)
        return False


def down():
    """End every node and remove it, with its disk and its network."""
    in_parallel(nodes.remove, nodes.made())
    network.switch_off()
    for place in _mounts():
        call("umount", place)


def clean():
    """Remove all that the lab has made, its images too."""
    down()
    shutil.rmtree(HOME, ignore_errors=True)


@contextlib.contextmanager
def told(what):
    """Say what was reached, and in how many seconds."""
    begun = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begun:.0f} s", flush=True)


def _bring_up(node):
    if not node.is_current():
        nodes.remove(node.name)
        node.make()
    if not node.is_on():
        node.power_on()


def _certify(node):
    """
    Let a node fetch its certificate.

    No connection is kept: this server lets the request that follows a PUT on the same one wait for 30 seconds.
    """
    if not (node.root / "var/lib/puppet/ssl/certs" / f"{node.certname}.pem").exists():
        node.run("puppet", "ssl", "bootstrap", "--http_keepalive_timeout=0", "--waitforcert=0")


def _mounts():
    """Return where anything is mounted below the lab's directory, the innermost first."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((place for place in places if place.startswith(f"{HOME}/")), reverse=True)
