"""
Real MariaDB servers for the tests, each on an address of its own out of 127.0.0.0/8, on port 3306.

A pair replicates in both directions, as MySQL-MMM has it. Nothing outside the given directory is touched; every server
is ended by its process id.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pymysql

PROGRAMS = ("mariadbd", "mariadb-install-db")
PORT = 3306
USER, PASSWORD = "gate", "gate secret"
_USER = f"'{USER}'@'%'"
SMALL = (
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=fsync",
    "--performance-schema=OFF",
    "--skip-name-resolve",
)


def program(name):
    """Return the path of a server program, or None; they lie in /usr/sbin, which a user's PATH may not have."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def missing(*names):
    """Return which programs are not on this machine, as the reason to skip."""
    absent = [name for name in names or PROGRAMS if not program(name)]
    return f"not installed: {', '.join(absent)} (Debian's mariadb-server)" if absent else ""


def network():
    """Return the first three octets of a loopback network that no other live test process uses."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 8) % 64}.{pid % 256}"


def wait_until(condition, timeout=30, interval=0.05, what="the condition"):
    """Ask a condition until it holds and return its value; an error of the database counts as not yet."""
    end = time.monotonic() + timeout
    while True:
        try:
            value = condition()
        except (pymysql.Error, OSError):
            value = None
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come true within {timeout} s")
        time.sleep(interval)


def _as(user):
    """Return the option that a server started by root needs; anybody else runs it as himself."""
    return [f"--user={user}"] if os.geteuid() == 0 else []


def install(directory):
    """Make an empty data directory, to be copied for each server: that is quicker than to install each."""
    own = _as("root")
    command = [program("mariadb-install-db"), "--no-defaults", f"--datadir={directory}", "--skip-test-db", *own]
    subprocess.run([*command, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    return Path(directory)


class Server:
    """One MariaDB server: its files in one directory, its port on one address."""

    def __init__(self, template, directory, address, number, options=(), prefix=(), user="root"):
        self.directory, self.address, self.number, self.user = Path(directory), address, number, user
        self.options, self.prefix, self.process = list(options), list(prefix), None
        self.socket = self.directory / "s"
        shutil.copytree(template, self.directory / "data")
        if os.geteuid() == 0 and user != "root":
            subprocess.run(["chown", "-R", user, str(self.directory)], check=True)

    @property
    def log(self):
        return (self.directory / "error.log").read_text(errors="replace")

    def start(self, *options, wait=True):
        """Start the server and wait until it answers on its socket."""
        command = [
            *self.prefix,
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--socket={self.socket}",
            f"--pid-file={self.directory / 'pid'}",
            f"--log-error={self.directory / 'error.log'}",
            f"--bind-address={self.address}",
            f"--port={PORT}",
            f"--server-id={self.number}",
            *SMALL,
            *_as(self.user),
            *self.options,
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if wait:
            self.wait()
        return self

    def wait(self):
        return wait_until(lambda: self._alive() and self.query("SELECT 1"), what=f"an answer of {self.address}")

    def _alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"mariadbd ended with {self.process.returncode}: {self.log[-2000:]}")
        return True

    def query(self, *statements):
        """Run statements as root over the socket and return the rows of the last as dictionaries."""
        cursors = pymysql.cursors.DictCursor
        connection = pymysql.connect(
            unix_socket=str(self.socket), user="root", autocommit=True, cursorclass=cursors, read_timeout=20
        )
        with closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """End the server at once, as a crash would."""
        if self.process and self.process.poll() is None:
            # A stopped process takes the signal too, but its end must be waited for in any case.
            self.process.kill()
            self.process.wait(30)

    @contextmanager
    def frozen(self):
        """Stop the server from running: its port still takes connections."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


def grant(server):
    """Make the user that the gates log in with, and the table that they may write to."""
    server.query(
        f"CREATE USER {_USER} IDENTIFIED BY '{PASSWORD}'",
        "CREATE DATABASE gate",
        "CREATE TABLE gate.probe (id INT AUTO_INCREMENT PRIMARY KEY, at TIMESTAMP DEFAULT NOW()) ENGINE=InnoDB",
        "CREATE TABLE gate.myisam (id INT) ENGINE=MyISAM",
        f"GRANT INSERT, SELECT ON gate.probe TO {_USER}",
        f"GRANT INSERT, SELECT ON gate.myisam TO {_USER}",
    )


def replicate(server, source):
    """Let a server replicate from another, from the source's first event on."""
    server.query(
        f"CHANGE MASTER TO MASTER_HOST='{source.address}', MASTER_PORT={PORT}, MASTER_USER='copy', MASTER_PASSWORD='',"
        " MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos",
        "START SLAVE",
    )


def replicates(server):
    """Whether both replication threads run."""
    status = server.query("SHOW SLAVE STATUS")
    return bool(status) and status[0]["Slave_IO_Running"] == status[0]["Slave_SQL_Running"] == "Yes"


@contextmanager
def pair(directory, addresses, prefixes=((), ()), anywhere=False):
    """
    Two masters that replicate from each other: server 1 is writable, server 2 read-only. Ended on leaving.

    ``prefixes`` put each on a node of its own; with ``anywhere`` they listen on every address of that node.
    """
    directory = Path(directory)
    template = install(directory / "template")
    options = ["--log-bin=bin", "--relay-log=relay", "--log-slave-updates"]
    options += ["--bind-address=0.0.0.0"] if anywhere else []
    servers = [
        Server(template, directory / f"db{number}", address, number, options, prefix)
        for number, (address, prefix) in enumerate(zip(addresses, prefixes, strict=True), 1)
    ]
    try:
        for server in servers:
            server.start(wait=False)
        for server in servers:
            server.wait()
            # The root of the template may log in from its own machine alone.
            server.query(
                "SET sql_log_bin = 0", "CREATE USER copy IDENTIFIED BY ''", "GRANT REPLICATION SLAVE ON *.* TO copy"
            )
        grant(servers[0])
        one, two = servers
        replicate(two, one)
        replicate(one, two)
        wait_until(lambda: all(map(replicates, servers)), what="replication in both directions")
        wait_until(
            lambda: two.query("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'gate'"),
            what="the table on server 2",
        )
        two.query("SET GLOBAL read_only = 1")
        yield servers
    finally:
        for server in servers:
            server.kill()


class Forwarder:
    """
    An address that leads to a server: stands for the writer's address, or for a proxy.

    ``targets`` are (address, port) pairs, served in turn; it can be changed at any time. With no target the address
    refuses connections, as one that no node holds.
    """

    def __init__(self, address, *targets, port=PORT):
        self.address, self.port, self._turn = address, port, 0
        self._listener, self._targets = None, []
        self.lead_to(*targets)

    def lead_to(self, *targets):
        """Lead new connections to these servers, in turn; open ones go on."""
        self._targets = [(target.address, PORT) if isinstance(target, Server) else target for target in targets]
        if self._targets and not self._listener:
            self._listener = socket.create_server((self.address, self.port), backlog=64)
            threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        elif not self._targets:
            self.close()

    def close(self):
        if self._listener:
            listener, self._listener = self._listener, None
            # The thread that accepts is woken by this; closing alone would leave it waiting, and the port open.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _serve(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._turn += 1
            target = self._targets[self._turn % len(self._targets)]
            threading.Thread(target=self._join, args=(client, target), daemon=True).start()

    def _join(self, client, target):
        try:
            server = socket.create_connection(target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
