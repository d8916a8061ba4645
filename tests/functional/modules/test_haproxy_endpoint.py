"""A real HAProxy, asked through its stats socket who is behind it."""

import contextlib
import http.server
import threading

import balancer
import gate
import mariadb
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

pytestmark = pytest.mark.skipif(not balancer.HAPROXY, reason=balancer.MISSING)
NETWORK = mariadb.network()
CONFIGURATION = """
global
    stats socket {socket} mode 600 level user
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen nova_api
    bind {network}.50:8774
    default-server inter 100ms fall 1 rise 1
    server cmp1 {network}.61:8774 check
    server cmp2.example.com {network}.62:8774 check
listen placement
    bind {network}.50:8778
    server cmp1 {network}.61:8774
listen empty
    bind {network}.50:9696
"""


class Fine(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def compute_node(address):
    server = http.server.ThreadingHTTPServer((address, 8774), Fine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def minion(tmp_path_factory):
    root = tmp_path_factory.mktemp("haproxy")
    with balancer.haproxy(root, CONFIGURATION.format(socket=root / "s", network=NETWORK)):
        yield gate.Minion(root / "minion", haproxy_endpoint={"socket": str(root / "s")})


@pytest.fixture
def ready(minion):
    return lambda *args, **kwargs: minion("haproxy_endpoint.ready", *args, **kwargs)


@pytest.fixture
def both(ready):
    with compute_node(f"{NETWORK}.61"), compute_node(f"{NETWORK}.62"):
        mariadb.wait_until(lambda: ready("nova_api", count=2)["ready"], what="two live servers")
        yield


def test_a_backend_whose_servers_are_live_is_ready(minion, ready, both):
    answer = ready("nova_api", servers="cmp1,cmp2.example.com", count=2)
    assert (answer["reasons"], answer["live"], minion.retcode) == ([], ["cmp1", "cmp2.example.com"], 0)
    assert answer["identity"] == "nova_api: cmp1 cmp2.example.com"


def test_a_full_host_name_is_found_under_its_first_label(ready, both):
    assert ready("nova_api", servers=["cmp1.example.com"])["ready"] is True


def test_a_compute_node_that_is_not_listed_has_not_been_exported(minion, ready, both):
    answer = ready("nova_api", servers=["cmp1", "cmp3"])
    assert (gate.codes(answer), minion.retcode) == (["not_listed"], 1)
    assert answer["reasons"][0]["message"] == "cmp3 is not behind nova_api: run Puppet on it, then here"


def test_a_server_that_died_is_told_with_what_its_check_says(ready):
    with compute_node(f"{NETWORK}.61"):
        # Until its first check has ended HAProxy takes a server for live.
        answer = mariadb.wait_until(lambda: (found := ready("nova_api", servers="cmp1"))["live"] == ["cmp1"] and found)
        assert answer["ready"] is True
        answer = ready("nova_api", servers="cmp2.example.com", count=2)
        assert gate.codes(answer) == ["not_live", "too_few"]
        assert answer["reasons"][0]["message"].startswith("cmp2.example.com behind nova_api is DOWN (L4CON")
        assert answer["reasons"][1]["message"] == "nova_api has 1 live servers of 2, 2 are asked"


def test_a_server_without_a_check_is_not_known_to_be_live(ready):
    answer = ready("placement", servers="cmp1")
    assert gate.codes(answer) == ["not_live", "too_few"]
    assert "is no check" in answer["reasons"][0]["message"]
    assert ready("placement", servers="cmp1", unchecked=True)["ready"] is True


def test_a_backend_without_servers_is_not_ready(ready):
    assert gate.codes(ready("empty")) == ["too_few"]


def test_an_unknown_backend_is_told_with_those_that_exist(ready):
    answer = ready("nosuch")
    assert gate.codes(answer) == ["no_backend"]
    assert "only empty, nova_api, placement" in answer["reasons"][0]["message"]


def test_all_servers_can_be_shown(minion):
    listed = minion("haproxy_endpoint.servers")
    assert {name: sorted(servers) for name, servers in listed.items()} == {
        "nova_api": ["cmp1", "cmp2.example.com"],
        "placement": ["cmp1"],
        "empty": [],
    }
    assert listed["placement"]["cmp1"] == {"status": "no check", "check": "", "sessions": 0, "state": "ready"}


def test_a_node_without_haproxy_is_told_in_one_sentence(minion, ready):
    answer = ready("nova_api", socket="/nowhere/s")
    assert (gate.codes(answer), minion.retcode) == (["no_haproxy"], 1)
    with pytest.raises(CommandExecutionError, match=r"stats socket /nowhere/s cannot be asked \(No such file"):
        minion("haproxy_endpoint.servers", socket="/nowhere/s")


@pytest.mark.parametrize(
    "arguments",
    [{"backend": ""}, {"count": "2"}, {"count": True}, {"servers": 5}, {"servers": [1]}, {"unchecked": "no"}],
)
def test_a_wrong_argument_is_refused(ready, arguments):
    with pytest.raises(SaltInvocationError):
        ready(**{"backend": "nova_api", **arguments})
