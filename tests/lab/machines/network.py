"""The lab's network: a namespace for each node, joined by a bridge in one more; the machine has no part in it."""

import hashlib

from machines.machine import HOME, call

# Two labs on one machine, each with a LAB_HOME of its own, do not meet.
TAG = f"lab{hashlib.sha256(str(HOME).encode()).hexdigest()[:4]}-"
SWITCH = f"{TAG}switch"


def namespaces():
    """Return the names of this lab's namespaces."""
    return [
        name for name in (line.split()[0] for line in call("ip", "netns", "list").splitlines()) if name.startswith(TAG)
    ]


def switch_on():
    """Make the bridge, unless it is there."""
    if SWITCH not in namespaces():
        call("ip", "netns", "add", SWITCH)
        call("ip", "-n", SWITCH, "link", "add", "br0", "type", "bridge")
        call("ip", "-n", SWITCH, "link", "set", "br0", "up")


def plug(name, address):
    """Give a node its namespace, with ``eth0`` at the bridge, and return the namespace's name."""
    namespace = f"{TAG}{name}"
    unplug(name)
    call("ip", "netns", "add", namespace)
    call("ip", "-n", SWITCH, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    call("ip", "-n", SWITCH, "link", "set", name, "master", "br0", "up")
    call("ip", "-n", namespace, "addr", "add", address, "dev", "eth0")
    for link in ("lo", "eth0"):
        call("ip", "-n", namespace, "link", "set", link, "up")
    return namespace


def unplug(name):
    """Take a node's namespace away; its pair goes first, for the kernel is in no hurry to end a namespace."""
    call("ip", "-n", SWITCH, "link", "del", name, check=False)
    call("ip", "netns", "del", f"{TAG}{name}", check=False)


def switch_off():
    for namespace in namespaces():
        call("ip", "netns", "del", namespace)
