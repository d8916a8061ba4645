"""A real HAProxy for the tests, the web servers behind it as processes of their own, and a client that never rests."""

import collections
import http.client
import subprocess
import sys
import threading
from contextlib import contextmanager

import mariadb

HAPROXY = mariadb.program("haproxy")
MISSING = "not installed: haproxy (Debian's haproxy)"
# Answers with its name; /held not before the file is there that its process was given.
SERVER = """
import http.server, pathlib, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        while self.path == "/held" and not pathlib.Path(sys.argv[4]).exists():
            time.sleep(0.01)
        self.send_response(200)
        self.send_header("Content-Length", len(sys.argv[3]))
        self.end_headers()
        self.wfile.write(sys.argv[3].encode())

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer.handle_error = lambda *_: None  # a check of HAProxy hangs up
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


@contextmanager
def haproxy(root, configuration):
    """Run HAProxy until leaving; its configuration names the sockets in ``root``, of which ``s`` is one."""
    (root / "haproxy.cfg").write_text(configuration)
    command = [HAPROXY, "-db", "-f", str(root / "haproxy.cfg")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        mariadb.wait_until((root / "s").exists, what="HAProxy's stats socket")
        yield process
    finally:
        process.kill()
        process.wait()


class WebServer:
    """One web server: a process that can be ended and started again."""

    def __init__(self, name, address, port, release):
        self.name, self.address, self.port, self.release = name, address, port, release
        self.process = None

    def start(self):
        """Start it and return when it answers."""
        words = [self.address, str(self.port), self.name, str(self.release)]
        self.process = subprocess.Popen([sys.executable, "-IS", "-c", SERVER, *words])
        mariadb.wait_until(lambda: ask(self.address, self.port) == self.name, what=f"an answer of {self.name}")
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def restart(self):
        self.stop()
        self.start()


def ask(address, port, path="/"):
    """Make one request on a connection of its own and return the answer's text."""
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise OSError(f"HTTP {answer.status}")
        return text
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error
    finally:
        connection.close()


class Client:
    """Asks an address all the time, and counts who answers and what fails."""

    def __init__(self, address, port):
        self.address, self.port = address, port
        self.answers, self.errors = collections.Counter(), []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _ask(self):
        while not self._over.is_set():
            try:
                self.answers[ask(self.address, self.port)] += 1
            except OSError as error:
                self.errors.append(repr(error))

    def asked(self, more):
        """Wait until so many more requests have been answered and return who answered them."""
        before = self.answers.copy()
        mariadb.wait_until(lambda: (self.answers - before).total() >= more, what=f"{more} more answers")
        return set(self.answers - before)
