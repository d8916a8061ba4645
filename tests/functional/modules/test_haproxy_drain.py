"""A server is taken out of a real HAProxy and put back while a client asks all the time."""

import http.client
import threading

import balancer
import gate
import mariadb
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

pytestmark = pytest.mark.skipif(not balancer.HAPROXY, reason=balancer.MISSING)
NETWORK = mariadb.network()
ADDRESS, PORT = f"{NETWORK}.70", 8774
CONFIGURATION = """
global
    stats socket {root}/s mode 600 level admin
    stats socket {root}/user mode 600 level user
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 30s
    default-server inter 50ms fall 1 rise 1
listen nova_api
    bind {network}.70:8774
    server cmp1 {network}.71:8774 check
    server cmp2.example.com {network}.72:8774 check
listen placement
    bind {network}.70:8778
    server cmp1 {network}.71:8774 check
listen patient
    bind {network}.70:8779
    server cmp3 {network}.73:8774 check inter 60s fastinter 60s downinter 60s
listen unchecked
    bind {network}.70:8780
    server cmp4 {network}.74:8774
listen off
    bind {network}.70:8781
    server cmp5 {network}.75:8774 check disabled
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("balancer")
    with balancer.haproxy(root, CONFIGURATION.format(root=root, network=NETWORK)):
        yield root


@pytest.fixture
def release(tmp_path):
    """The file that lets held requests be answered."""
    return tmp_path / "release"


@pytest.fixture
def web(release):
    """The two servers of nova_api, running."""
    servers = [
        balancer.WebServer(name, f"{NETWORK}.7{number}", PORT, release).start()
        for number, name in enumerate(("cmp1", "cmp2.example.com"), 1)
    ]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def minion(root, tmp_path):
    return gate.Minion(tmp_path / "minion", haproxy_endpoint={"socket": str(root / "s")})


@pytest.fixture
def lb(minion, web):
    """Call a function on the balancer, both of whose servers are up."""

    def call(function, *args, **kwargs):
        return minion(f"haproxy_endpoint.{function}", *args, **kwargs)

    for server in ("cmp1", "cmp2.example.com"):
        call("enable", server)
        until(call, "up", server)
    return call


def until(call, predicate, server, **kwargs):
    return mariadb.wait_until(
        lambda: (answer := call(predicate, server, **kwargs))["ready"] and answer, what=f"{server} is {predicate}"
    )


def test_each_server_in_turn_is_restarted_and_no_request_fails(lb, web):
    with balancer.Client(ADDRESS, PORT) as client:
        assert client.asked(10) == {"cmp1", "cmp2.example.com"}
        for server in web:
            lb("drain", server.name)
            until(lb, "drained", server.name)
            assert client.asked(10) == {other.name for other in web if other is not server}
            server.restart()
            lb("enable", server.name)
            until(lb, "up", server.name)
            assert client.asked(10) == {"cmp1", "cmp2.example.com"}
    assert client.errors == []
    assert client.answers.total() >= 50


def test_a_server_is_drained_when_its_last_request_has_been_answered(minion, lb, web, release):
    lb("drain", "cmp2.example.com")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(balancer.ask(ADDRESS, PORT, "/held")))
    thread.start()
    mariadb.wait_until(lambda: lb("servers")["nova_api"]["cmp1"]["sessions"], what="a request on its way")
    busy = lb("drained", "cmp1")
    assert (gate.codes(busy), minion.retcode) == (["in_use"], 1)
    assert busy["reasons"][0]["message"] == (
        "cmp1 behind nova_api has not been taken out: haproxy_endpoint.drain does that"
    )
    lb("drain", "cmp1")
    held = lb("drained", "cmp1")
    assert [each["message"] for each in held["reasons"]] == ["cmp1 behind nova_api still has 1 session"]
    release.touch()
    answer = until(lb, "drained", "cmp1")
    thread.join()
    assert (answers, minion.retcode, answer["identity"]) == (["cmp1"], 0, "nova_api/cmp1 placement/cmp1")
    assert answer["observed"]["nova_api/cmp1"]["status"] == "DRAIN"


def test_a_client_that_keeps_its_connection_does_not_hold_a_drain_and_is_served_by_the_other(lb):
    connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=20)
    connection.request("GET", "/")
    first = connection.getresponse().read().decode()
    lb("drain", first)
    until(lb, "drained", first)
    connection.request("GET", "/")
    assert connection.getresponse().read().decode() != first
    connection.close()


def test_a_server_is_changed_in_every_backend_that_lists_it_and_once(lb):
    first = {"nova_api/cmp1": "ready", "placement/cmp1": "ready"}
    assert lb("drain", "cmp1.example.com") == {"state": "drain", "changed": True, "before": first}
    drained = dict.fromkeys(first, "drain")
    assert lb("drain", "cmp1") == {"state": "drain", "changed": False, "before": drained}
    assert lb("disable", "cmp1") == {"state": "maint", "changed": True, "before": drained}
    assert gate.codes(lb("up", "cmp1")) == ["not_live"]
    assert lb("enable", "cmp1") == {"state": "ready", "changed": True, "before": dict.fromkeys(first, "maint")}
    assert lb("enable", "cmp1")["changed"] is False


def test_a_server_can_be_taken_out_of_one_backend(lb):
    assert lb("drain", "cmp1", backend="placement")["before"] == {"placement/cmp1": "ready"}
    states = {name: lb("servers")[name]["cmp1"]["state"] for name in ("nova_api", "placement")}
    assert states == {"nova_api": "ready", "placement": "drain"}
    assert (gate.codes(lb("drained", "cmp1")), lb("drained", "cmp1", backend="placement")["ready"]) == (
        ["in_use"],
        True,
    )


def test_a_drained_server_that_does_not_come_back_is_sent_nothing(lb, web):
    with balancer.Client(ADDRESS, PORT) as client:
        lb("drain", "cmp1")
        until(lb, "drained", "cmp1")
        web[0].stop()
        mariadb.wait_until(lambda: lb("servers")["nova_api"]["cmp1"]["status"] == "DOWN", what="a check that fails")
        assert lb("drained", "cmp1", backend="nova_api")["ready"] is True
        lb("enable", "cmp1")
        answer = lb("up", "cmp1")
        assert (gate.codes(answer), client.asked(10)) == (["not_live"], {"cmp2.example.com"})
        web[0].start()
        until(lb, "up", "cmp1")
        assert client.asked(10) == {"cmp1", "cmp2.example.com"}
    assert client.errors == []


def test_after_disable_a_dead_server_is_taken_for_live_until_its_check(lb, release):
    server = balancer.WebServer("cmp3", f"{NETWORK}.73", PORT, release).start()
    lb("disable", "cmp3")
    server.stop()
    lb("enable", "cmp3")
    assert lb("servers")["patient"]["cmp3"]["status"] == "UP"


def test_a_server_without_a_check_is_up_when_one_says_so(lb):
    assert (lb("up", "cmp4")["ready"], lb("up", "cmp4", unchecked=True)["ready"]) == (False, True)
    lb("drain", "cmp4")
    assert gate.codes(lb("up", "cmp4", unchecked=True)) == ["not_live"]
    assert lb("drained", "cmp4")["ready"] is True


def test_a_server_that_the_configuration_disables_is_in_maint(lb):
    assert lb("servers")["off"]["cmp5"]["state"] == "maint"
    assert lb("drained", "cmp5")["ready"] is True
    assert lb("enable", "cmp5") == {"state": "ready", "changed": True, "before": {"off/cmp5": "maint"}}


def test_a_socket_without_level_admin_answers_and_changes_nothing(lb, root):
    user = str(root / "user")
    cure = rf"does not let a server be changed through {user}: write `stats socket {user} level admin`"
    with pytest.raises(CommandExecutionError, match=cure):
        lb("drain", "cmp1", socket=user)
    assert lb("up", "cmp1", socket=user)["ready"] is True
    assert lb("enable", "cmp1", socket=user)["changed"] is False


def test_an_unknown_server_or_backend_is_told_in_one_sentence(minion, lb):
    with pytest.raises(CommandExecutionError, match=r"^cmp9 is behind no backend: run Puppet on it, then here$"):
        lb("drain", "cmp9")
    with pytest.raises(CommandExecutionError, match=r"^cmp9 is not behind placement: run Puppet on it, then here$"):
        lb("enable", "cmp9", backend="placement")
    with pytest.raises(CommandExecutionError, match=r"^HAProxy has no backend nosuch, only nova_api, off, patient"):
        lb("disable", "cmp1", backend="nosuch")
    for predicate in ("up", "drained"):
        assert (gate.codes(lb(predicate, "cmp9")), minion.retcode) == (["not_listed"], 1)
        assert gate.codes(lb(predicate, "cmp1", backend="nosuch")) == ["no_backend"]
        assert gate.codes(lb(predicate, "cmp1", socket="/nowhere/s")) == ["no_haproxy"]
    with pytest.raises(CommandExecutionError, match="cannot be asked"):
        lb("drain", "cmp1", socket="/nowhere/s")


def test_a_name_is_no_order_to_haproxy(lb):
    for name in ("cmp1;disable server nova_api/cmp2.example.com", "cmp1\nshow info", "nova_api/cmp1"):
        with pytest.raises(CommandExecutionError, match="is behind no backend"):
            lb("drain", name)
    assert lb("up", "cmp2.example.com")["ready"] is True


@pytest.mark.parametrize("arguments", [{"server": ""}, {"server": 5}, {"backend": ""}, {"backend": ["nova_api"]}])
def test_a_wrong_name_is_refused(lb, arguments):
    for function in ("drain", "disable", "enable", "drained", "up"):
        with pytest.raises(SaltInvocationError, match="is no name of a"):
            lb(function, **{"server": "cmp1", **arguments})


def test_a_server_is_gone_when_no_backend_lists_it(lb):
    assert gate.codes(lb("gone", "cmp1")) == ["listed"]
    assert lb("gone", "cmp1", backend="patient")["ready"] is True
    assert lb("gone", "cmp7")["ready"] is True
    assert gate.codes(lb("gone", "cmp7", socket="/nowhere")) == ["no_haproxy"]
