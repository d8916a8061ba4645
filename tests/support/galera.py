"""A real Galera cluster for the tests: three MariaDB servers on addresses of their own, joined by Debian's galera-4."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import mariadb

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
# A member that fell silent is given up within seconds, and a lost cluster is not remembered.
PROVIDER_OPTIONS = {
    "gmcast.listen_addr": "tcp://{address}:4567",
    "ist.recv_addr": "{address}:4568",
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.5S",
    "evs.suspect_timeout": "PT2S",
    "evs.inactive_timeout": "PT4S",
    "evs.install_timeout": "PT4S",
    "pc.recovery": "FALSE",
    "gcache.size": "4M",
}


def missing():
    """Return what is not on this machine, as the reason to skip."""
    absent = "" if any(Path(path).exists() for path in PROVIDERS) else "not installed: Galera (Debian's galera-4)"
    return mariadb.missing() or mariadb.missing("rsync", "ss") or absent


def _options(address, addresses):
    provider = next(path for path in PROVIDERS if Path(path).exists())
    tuning = ";".join(f"{name}={value.format(address=address)}" for name, value in PROVIDER_OPTIONS.items())
    return [
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        "--wsrep-on=ON",
        f"--wsrep-provider={provider}",
        "--wsrep-cluster-name=tests",
        f"--wsrep-cluster-address=gcomm://{','.join(addresses)}",
        f"--wsrep-node-address={address}",
        f"--wsrep-node-name=node{address.rsplit('.', 1)[1]}",
        "--wsrep-sst-method=rsync",
        f"--wsrep-sst-receive-address={address}:4444",
        f"--wsrep-provider-options={tuning}",
    ]


@contextmanager
def cluster(addresses):
    """
    Start a cluster, its first member first; yield its servers when all are synced. Ended on leaving.

    Members let each other in by rsync, which serves root as nobody. So root's servers run as ``mysql``, in a directory
    that this user can reach.
    """
    with tempfile.TemporaryDirectory(prefix="galera-") as directory:
        os.chmod(directory, 0o755)
        with _members(Path(directory), addresses) as servers:
            yield servers


@contextmanager
def _members(directory, addresses):
    template = mariadb.install(directory / "template")
    servers = [
        mariadb.Server(template, directory / address, address, number, _options(address, addresses), user="mysql")
        for number, address in enumerate(addresses, 1)
    ]
    try:
        # One after the other: a member that joins while another is being let in throws that one back.
        for server in servers:
            server.start(*(["--wsrep-new-cluster"] if server is servers[0] else []))
            mariadb.wait_until(lambda server=server: synced(server), what=f"synced at {server.address}")
        mariadb.wait_until(lambda: size(servers[0]) == len(servers), what="a cluster of all its members")
        mariadb.grant(servers[0])
        yield servers
    finally:
        for server in servers:
            server.kill()


def wsrep(server, name):
    """Return one wsrep status of a member."""
    return server.query(f"SHOW GLOBAL STATUS LIKE 'wsrep_{name}'")[0]["Value"]


def synced(server):
    return wsrep(server, "local_state_comment") == "Synced"


def size(server):
    return int(wsrep(server, "cluster_size"))
