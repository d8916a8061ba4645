"""
The nodes: Debian systems booted by systemd-nspawn, each over the layers of its image and with a disk of its own.

A node is known by its place in the lab's directory alone: ``disk`` is what it has written, ``root`` its file system
while it is there. So whoever runs the lab next finds it, and nothing else is ever ended or removed.
"""

import contextlib
import json
import os
import shutil
import signal
from dataclasses import dataclass

from machines import images, layers, network, power
from machines.machine import HOME, LAB, Trouble, call, in_parallel, until

NODES, FILES = HOME / "nodes", LAB / "files"
PATH = f"{images.SALT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT = 300  # seconds
# keepalived adds its address itself.
CAPABILITIES = "CAP_NET_ADMIN,CAP_NET_RAW"
# By these the server and the master know a node again that has lost its disk.
IDENTITY = ("var/lib/puppet/ssl", "etc/salt/pki")


@dataclass(frozen=True, eq=False)
class Node:
    """
    One node. ``image`` is its layers, topmost first, ``hosts`` its ``/etc/hosts``, ``services`` start with it, ``sees``
    has the directories of the lab that it sees, and where.
    """

    name: str
    domain: str
    address: str
    length: int
    image: tuple
    hosts: str
    services: tuple
    sees: dict

    @property
    def place(self):
        return NODES / self.name

    @property
    def root(self):
        return self.place / "root"

    @property
    def certname(self):
        return f"{self.name}.{self.domain}"

    @property
    def machine(self):
        return f"{network.TAG}{self.name}"

    def is_current(self):
        """Whether it is there and made of the layers and files that it should be made of."""
        with contextlib.suppress(OSError):
            return (self.place / "made-of").read_text() == self._made_of() and self.root.is_mount()
        return False

    def is_on(self):
        return power.holder(self.place) is not None

    def make(self):
        """Build its image, and give it an empty disk, but for what tells it from the others."""
        in_parallel(layers.Layer.build, self.image)
        for name in ("disk", "work", "root"):
            (self.place / name).mkdir(parents=True)
        lower = ":".join(str(layer.place) for layer in self.image)
        disk = f"upperdir={self.place}/disk,workdir={self.place}/work"
        call("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},{disk}", self.root)
        for tree in (FILES / "common", FILES / self.name):
            if tree.is_dir():
                shutil.copytree(tree, self.root, dirs_exist_ok=True)
        own = {
            "hostname": self.name,
            "hosts": self.hosts,
            "resolv.conf": f"search {self.domain}",
            "salt/minion_id": self.name,
        }
        for name, text in own.items():
            (self.root / "etc" / name).unlink(missing_ok=True)
            (self.root / "etc" / name).write_text(f"{text}\n")
        wanted = self.root / "etc/systemd/system/multi-user.target.wants"
        wanted.mkdir(parents=True, exist_ok=True)
        for service in self.services:
            (wanted / f"{service}.service").symlink_to(f"../{service}.service")
        (self.place / "made-of").write_text(self._made_of())

    def power_on(self):
        """Boot it and wait until it is up."""
        namespace = network.plug(self.name, f"{self.address}/{self.length}")
        command = ["systemd-nspawn", "-q", "-b", "-D", str(self.root), "-M", self.machine, f"--hostname={self.name}"]
        command += [f"--network-namespace-path=/run/netns/{namespace}", f"--capability={CAPABILITIES}", *layers.ALIEN]
        command += ["--resolv-conf=off", "--timezone=off", "--link-journal=no", *self._binds()]
        power.on(self.place, self.machine, command)
        until(self._is_up, BOOT, f"node {self.name} is up (its console is {self.place}/console)")

    def power_off(self):
        """Shut it down, as its power button does."""
        power.off(self.place, self.machine)

    def cut_power(self):
        """End it at once, as if somebody pulled the cable."""
        power.off(self.place, self.machine, signal.SIGKILL)

    def replace_disk(self):
        """Boot it with an empty disk, but with the certificate and the key by which the others know it."""
        kept = HOME / f"{self.name}.identity"
        self.power_off()
        call("tar", "-C", self.root, "-cf", kept, *IDENTITY, umask=0o077)
        remove(self.name)
        self.make()
        call("tar", "-C", self.root, "--same-owner", "-xpf", kept)
        kept.unlink()
        self.power_on()

    def command(self, *command):
        """Return the argument list that runs a command in the booted node."""
        return entering(self.name, *command)

    def run(self, *command, **options):
        """Run a command in the node and return what it printed."""
        return call(*self.command(*command), **options)

    def _is_up(self):
        if not self.is_on():
            raise Trouble(f"node {self.name} ended while it booted: see {self.place}/console")
        with contextlib.suppress(Trouble):
            return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")
        return False

    def _binds(self):
        return [f"--bind-ro={LAB / name}:{place}" for name, place in self.sees.items()]

    def _made_of(self):
        stack = [layer.place.name for layer in self.image]
        return json.dumps([*stack, images.digest_of(FILES), self.hosts, self.services, self.sees])


def entering(name, *command):
    """Return the argument list that runs a command in a booted node, for whoever knows but its name."""
    pid = power.leader(NODES / name)
    if pid is None:
        raise Trouble(f"node {name} is off: make lab brings it up")
    environment = [f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8", f"TERM={os.environ.get('TERM', 'dumb')}"]
    return ["nsenter", "-t", str(pid), "-a", "-r", "-w", "env", "-i", *environment, *map(str, command)]


def remove(name):
    """Take a node away that may be there, disk and all."""
    place = NODES / name
    power.off(place, f"{network.TAG}{name}", signal.SIGKILL)
    network.unplug(name)
    if (place / "root").is_mount():
        call("umount", place / "root")
    shutil.rmtree(place, ignore_errors=True)


def made():
    """Return the names of the nodes that are there."""
    return sorted(place.name for place in NODES.glob("*"))
