"""A real Swift on loopback: proxy, account, container and object server, with one device; then without its storage."""

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

import gate
import mariadb
import pytest
from salt.exceptions import SaltInvocationError

PYTHON, MEMCACHED, BUILDER = "/usr/bin/python3", shutil.which("memcached"), shutil.which("swift-ring-builder")
NETWORK = mariadb.network()
PROXY = f"http://{NETWORK}.50:8080"
SERVE = "import sys; from swift.common.wsgi import run_wsgi; sys.exit(run_wsgi(sys.argv[1], sys.argv[2]))"
PORTS = {"account": 6202, "container": 6201, "object": 6200}
STORAGE = """
[DEFAULT]
bind_ip = {address}
bind_port = {port}
devices = {root}/srv
mount_check = false
swift_dir = {root}
user = {user}
workers = 0
log_name = {kind}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
FRONT = """
[DEFAULT]
bind_ip = {network}.50
bind_port = 8080
swift_dir = {root}
user = {user}
workers = 0
[pipeline:main]
pipeline = catch_errors cache tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# A server that is back after some errors is asked again at once.
error_suppression_limit = 1000
[filter:tempauth]
use = egg:swift#tempauth
user_gate_gate = secret .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = {network}.50:11211
[filter:catch_errors]
use = egg:swift#catch_errors
"""


def _missing():
    tried = (
        subprocess.run([PYTHON, "-c", "import swift"], capture_output=True).returncode if Path(PYTHON).exists() else 1
    )
    absent = [name for name, there in (("swift", BUILDER and not tried), ("memcached", MEMCACHED)) if not there]
    return f"not installed: Debian's {', '.join(absent)}" if absent else ""


MISSING = _missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


class Cluster:
    """The processes of a Swift cluster, started and ended one by one."""

    def __init__(self, root):
        self.root, self.processes = Path(root), {}
        user = "root" if os.geteuid() == 0 else os.environ.get("USER", "")
        (self.root / "srv/d1").mkdir(parents=True)
        (self.root / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
        for kind, port in PORTS.items():
            address = f"{NETWORK}.21"
            self._ring(kind, f"r1z1-{address}:{port}/d1")
            text = STORAGE.format(kind=kind, port=port, root=root, address=address, user=user)
            (self.root / f"{kind}.conf").write_text(text)
        (self.root / "proxy.conf").write_text(FRONT.format(root=root, network=NETWORK, user=user))

    def _ring(self, kind, device):
        for words in (["create", "4", "1", "1"], ["add", device, "100"], ["rebalance"]):
            command = [BUILDER, f"{kind}.builder", *words]
            subprocess.run(command, cwd=self.root, capture_output=True, check=True)

    def start(self, name, command):
        with (self.root / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def serve(self, *kinds):
        for kind in kinds:
            # Swift reads swift.conf from one place alone, unless told otherwise before it is imported.
            lead = f"import swift.common.utils as u; u.SWIFT_CONF_FILE = {str(self.root / 'swift.conf')!r}; "
            self.start(kind, [PYTHON, "-c", lead + SERVE, str(self.root / f"{kind}.conf"), f"{kind}-server"])

    def end(self, *names):
        for name in names:
            process = self.processes.pop(name)
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="swift-") as root:
        cluster = Cluster(root)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        try:
            cluster.start("memcached", [MEMCACHED, "-l", f"{NETWORK}.50", "-m", "4", *user])
            cluster.serve("proxy", *PORTS)
            mariadb.wait_until(_listens, what="the proxy")
            yield cluster
        finally:
            cluster.end(*cluster.processes)


def _listens():
    with contextlib.closing(mariadb.socket.create_connection((f"{NETWORK}.50", 8080), timeout=1)):
        return True


LOGIN = {"auth_url": f"{PROXY}/auth/v1.0", "user": "gate:gate", "key": "secret"}


class Keystone(http.server.BaseHTTPRequestHandler):
    """A stand-in for Keystone's login alone: it hands out a token of the proxy's own, and a catalog of two regions."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["auth"]
        user = asked["identity"]["password"]["user"]
        good = (user["name"], user["password"], asked["scope"]["project"]["name"]) == ("gate", "secret", "gate")
        self.send_response(201 if self.path == "/v3/auth/tokens" and good else 401)
        if good:
            self.send_header("X-Subject-Token", self._token())
        self.end_headers()
        places = {"one": f"http://{NETWORK}.99:8080/v1/AUTH_gate", "two": f"{PROXY}/v1/AUTH_gate"}
        endpoints = [{"interface": "public", "region": name, "url": url} for name, url in places.items()]
        endpoints.insert(0, {"interface": "internal", "region": "two", "url": "http://nowhere.invalid"})
        catalog = [{"type": "compute", "endpoints": []}, {"type": "object-store", "endpoints": endpoints}]
        self.wfile.write(json.dumps({"token": {"catalog": catalog}}).encode())

    def _token(self):
        headers = {"X-Auth-User": LOGIN["user"], "X-Auth-Key": LOGIN["key"]}
        with urllib.request.urlopen(urllib.request.Request(LOGIN["auth_url"], headers=headers)) as answer:
            return answer.headers["X-Auth-Token"]

    def log_message(self, *_):
        pass


@pytest.fixture
def keystone():
    server = http.server.ThreadingHTTPServer((f"{NETWORK}.51", 5000), Keystone)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"auth_url": f"http://{NETWORK}.51:5000/v3", "user": "gate", "project": "gate"}
    server.shutdown()
    server.server_close()


@pytest.fixture
def node(tmp_path):
    def made(**settings):
        return gate.Minion(tmp_path / "minion", swift_proxy={**LOGIN, **settings})

    return made


def test_an_object_is_stored_returned_and_gone_again(cluster, node):
    minion = node()
    mariadb.wait_until(lambda: minion("swift_proxy.ready")["ready"], what="a proxy that stores")
    answer = minion("swift_proxy.ready", container="other")
    assert (answer["reasons"], minion.retcode) == ([], 0)
    assert answer["identity"] == answer["storage_url"] == f"{PROXY}/v1/AUTH_gate"
    assert not list((cluster.root / "srv/d1/objects").rglob("*.data"))


def test_a_proxy_whose_storage_does_not_serve_is_told_by_its_503(cluster, node):
    minion = node()
    mariadb.wait_until(lambda: minion("swift_proxy.ready")["ready"], what="a proxy that stores")
    cluster.end("container")
    try:
        answer = minion("swift_proxy.ready", container="late")
        assert (gate.codes(answer), minion.retcode) == (["refused"], 1)
        said = f"PUT {PROXY}/v1/AUTH_gate/late was answered 503: do all storage nodes have the rings?"
        assert answer["reasons"][0]["message"] == said
    finally:
        cluster.serve("container")
    mariadb.wait_until(lambda: minion("swift_proxy.ready", container="late")["ready"], what="the cure")


def test_a_refused_login_does_not_tell_the_key(cluster, node):
    answer = node(key="wrong key")("swift_proxy.ready")
    assert gate.codes(answer) == ["auth"]
    assert "refuses the login (401)" in answer["reasons"][0]["message"]
    assert "wrong key" not in json.dumps(answer)


def test_keystone_leads_to_the_object_store_of_a_region(cluster, node, keystone):
    minion = node(**keystone, region="two")
    mariadb.wait_until(lambda: minion("swift_proxy.ready")["ready"], what="a proxy that stores")
    assert gate.codes(node(**keystone)("swift_proxy.ready")) == ["connect"]
    assert gate.codes(node(**keystone, region="three")("swift_proxy.ready")) == ["auth"]
    assert gate.codes(node(**{**keystone, "project": "other"})("swift_proxy.ready")) == ["auth"]


def test_a_proxy_that_does_not_listen_is_told_in_one_sentence(cluster, node):
    answer = node(auth_url=f"http://{NETWORK}.99:8080/auth/v1.0")("swift_proxy.ready")
    assert gate.codes(answer) == ["connect"]
    assert "Connection refused" in answer["reasons"][0]["message"]


def test_another_proxy_can_be_asked_with_the_same_login(cluster, node):
    answer = node(storage_url=f"http://{NETWORK}.98:8080/v1/AUTH_gate")("swift_proxy.ready")
    assert gate.codes(answer) == ["connect"]


def test_a_node_without_a_login_is_told_what_to_set(tmp_path):
    answer = gate.Minion(tmp_path / "m")("swift_proxy.ready")
    assert gate.codes(answer) == ["not_configured"]
    assert "set auth_url, user, key under swift_proxy" in answer["reasons"][0]["message"]


@pytest.mark.parametrize("arguments", [{"container": "a/b"}, {"container": ""}, {"timeout": 0}, {"timeout": "5"}])
def test_a_wrong_argument_is_refused(tmp_path, arguments):
    with pytest.raises(SaltInvocationError):
        gate.Minion(tmp_path / "m")("swift_proxy.ready", **arguments)
