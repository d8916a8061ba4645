"""Nodes with network stacks of their own, joined by a switch: Linux network namespaces. Needs root."""

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager


def missing():
    """Return why this machine cannot have such nodes, as the reason to skip."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "not installed: ip (Debian's iproute2)"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    return "" if tried.returncode == 0 else f"network namespaces are not allowed here: {tried.stderr.decode().strip()}"


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Node:
    """A node by the name of its namespace, with ``eth0`` on the switch, a namespace too."""

    def __init__(self, name, switch):
        self.name, self.switch = name, switch
        self.prefix = ("ip", "netns", "exec", name)

    def ip(self, *words):
        return ip("-n", self.name, *words)

    def take(self, address):
        """Take an address, as mmm_agentd does it: without a word to the neighbours where the announcement is lost."""
        self.ip("addr", "add", f"{address}/32", "dev", "eth0")

    def leave(self, address):
        self.ip("addr", "del", f"{address}/32", "dev", "eth0")

    def learn(self):
        """Forget who has which address, as after a gratuitous ARP."""
        self.ip("neigh", "flush", "dev", "eth0")


@contextmanager
def switch(addresses):
    """Make a node for each name, with its address in a /24 of their own; all is gone on leaving."""
    tag = f"g{os.getpid()}"
    with ExitStack() as stack:

        def namespace(name):
            ip("netns", "add", f"{tag}{name}")
            stack.callback(ip, "netns", "del", f"{tag}{name}")
            ip("-n", f"{tag}{name}", "link", "set", "lo", "up")
            return f"{tag}{name}"

        middle = namespace("sw")
        ip("-n", middle, "link", "add", "br0", "type", "bridge")
        ip("-n", middle, "link", "set", "br0", "up")
        nodes = {}
        for name, address in addresses.items():
            node = nodes[name] = Node(namespace(name), middle)
            ip("-n", middle, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", node.name)
            ip("-n", middle, "link", "set", name, "master", "br0", "up")
            node.ip("addr", "add", f"{address}/24", "dev", "eth0")
            node.ip("link", "set", "eth0", "up")
        yield nodes
