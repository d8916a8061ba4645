"""Ansible and the nodes that it reaches by ssh: one sshd on loopback, a connection of its own for each node."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from houses import free_ports
from sites import wait_until

RIVALS = Path(__file__).resolve().parent / "rivals"
ADDRESS = "127.0.0.1"
PROGRAM = Path(sys.executable).with_name("ansible-playbook")
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
# sshd of Debian wants this directory when root starts it; its unit makes it.
PRIVILEGE_SEPARATION = Path("/run/sshd")


class Ansible:
    """Playbooks against the nodes. Each begins without a connection, as one from a prompt or a CI job does."""

    def __init__(self, work: Path, inventory: Path):
        self._work, self._inventory, self._count = work, inventory, 0

    def command(self, playbook: str, forks: int, **variables: str) -> list[str]:
        extra = ["--extra-vars", json.dumps(variables)]
        return [
            str(PROGRAM),
            "--inventory",
            str(self._inventory),
            "--forks",
            str(forks),
            *extra,
            str(RIVALS / playbook),
        ]

    @contextlib.contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Give the environment of one playbook, and end the connections that it leaves."""
        self._count += 1
        sockets = self._work / f"c{self._count}"
        yield {
            "ANSIBLE_CONFIG": str(RIVALS / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._work / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        }
        for each in sockets.glob("*"):
            _run("ssh", "-O", "exit", "-o", f"ControlPath={each}", "node")


@contextlib.contextmanager
def opened(work: Path, puppets: Mapping[str, Path], groups: Mapping[str, list[str]]) -> Iterator[Ansible]:
    """Start an sshd for nodes, given with the Puppet of each; ``groups`` are the inventory's."""
    if not PROGRAM.exists() or not SSHD:
        raise SystemExit("Ansible is not here to be measured: make bench installs it, and Debian's openssh-server")
    work.mkdir()
    (port,) = free_ports(1)
    for name in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / name))
    (work / "sshd_config").write_text(_sshd_config(work, port, len(puppets)))
    key = " ".join((work / "host.pub").read_text().split()[:2])
    (work / "known_hosts").write_text(f"[{ADDRESS}]:{port} {key}\n")
    common = {
        "ansible_port": port,
        "ansible_ssh_private_key_file": str(work / "user"),
        # The name stays the node's own: connections are told apart by it.
        "ansible_ssh_common_args": f"-F none -o HostName={ADDRESS} -o UserKnownHostsFile={work / 'known_hosts'}",
        "ansible_python_interpreter": sys.executable,
    }
    hosts = {node: {"puppet": str(puppet)} for node, puppet in puppets.items()}
    children = {name: {"hosts": dict.fromkeys(nodes)} for name, nodes in groups.items()}
    (work / "inventory.yaml").write_text(json.dumps({"all": {"vars": common, "hosts": hosts, "children": children}}))
    with _sshd(work, port):
        yield Ansible(work, work / "inventory.yaml")


def _sshd_config(work, port, nodes):
    # Each node would have an sshd of its own, with room for ten connections that have not logged in yet.
    lines = [f"Port {port}", f"ListenAddress {ADDRESS}", f"MaxStartups {10 * nodes}"]
    lines += [f"HostKey {work}/host", f"AuthorizedKeysFile {work}/user.pub", "PidFile none", "StrictModes no"]
    lines += ["UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password", "LogLevel ERROR"]
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def _sshd(work, port):
    is_made = os.geteuid() == 0 and not PRIVILEGE_SEPARATION.exists()
    if is_made:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755)
    server = subprocess.Popen([SSHD, "-D", "-f", str(work / "sshd_config"), "-E", str(work / "sshd.log")])
    try:
        wait_until(lambda: _answers(port))
        yield
    finally:
        server.terminate()
        server.wait()
        if is_made:
            PRIVILEGE_SEPARATION.rmdir()


def _answers(port):
    with socket.socket() as door:
        return door.connect_ex((ADDRESS, port)) == 0


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)
