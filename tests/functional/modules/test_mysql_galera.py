"""Members of a real three-node Galera cluster, each asked for itself."""

import json

import galera
import gate
import mariadb
import pytest

pytestmark = pytest.mark.skipif(bool(galera.missing()), reason=galera.missing())
NETWORK = mariadb.network()
ADDRESSES = [f"{NETWORK}.{number}" for number in (11, 12, 13)]
LOGIN = {"mysql.user": mariadb.USER, "mysql.pass": mariadb.PASSWORD}


@pytest.fixture(scope="module")
def members():
    with galera.cluster(ADDRESSES) as servers:
        yield servers


@pytest.fixture(scope="module")
def minions(tmp_path_factory, members):
    """A minion on each member's node."""
    root = tmp_path_factory.mktemp("minions")
    places = enumerate(member.address for member in members)
    return [gate.Minion(root / str(number), **LOGIN, **{"mysql.host": address}) for number, address in places]


@pytest.fixture
def whole(members):
    """A cluster of three; what a test has taken away is back when the next one begins."""
    mariadb.wait_until(lambda: all(galera.synced(each) and galera.size(each) == 3 for each in members))
    return members


def becomes(minion, code, **arguments):
    """Wait until a member gives a reason; return its answer."""

    def asked():
        answer = minion("mysql_galera.ready", **arguments)
        return answer if code in gate.codes(answer) else None

    return mariadb.wait_until(asked, what=f"the reason {code}")


def test_every_member_of_a_whole_cluster_is_ready_and_names_the_same_cluster(whole, minions):
    answers = [minion("mysql_galera.ready") for minion in minions]
    assert [(answer["ready"], answer["reasons"], answer["size"]) for answer in answers] == [(True, [], 3)] * 3
    assert [answer["host"] for answer in answers] == ["node11", "node12", "node13"]
    assert len({answer["identity"] for answer in answers}) == 1
    assert [minion.retcode for minion in minions] == [0, 0, 0]


def test_a_member_tells_its_own_view(whole, minions):
    status = minions[0]("mysql_galera.status")
    assert sorted(status["addresses"]) == [f"{address}:{mariadb.PORT}" for address in ADDRESSES]
    assert (status["cluster_status"], status["state"], status["ready"]) == ("Primary", "Synced", True)


def test_more_members_than_there_are_is_not_ready(whole, minions):
    answer = minions[0]("mysql_galera.ready", size=4)
    assert (gate.codes(answer), minions[0].retcode) == (["too_small"], 1)
    assert answer["reasons"][0]["message"] == "node11 sees 3 members of its cluster, 4 are asked"


def test_a_member_that_sends_its_state_serves_only_where_that_is_asked(whole, minions):
    whole[1].query("SET GLOBAL wsrep_desync = ON")
    try:
        assert gate.codes(minions[1]("mysql_galera.ready")) == ["not_synced"]
        assert gate.codes(minions[1]("mysql_galera.ready", donor=True)) == []
    finally:
        whole[1].query("SET GLOBAL wsrep_desync = OFF")


def test_a_read_only_member_does_not_serve_writes(whole, minions):
    whole[2].query("SET GLOBAL read_only = 1")
    try:
        assert gate.codes(minions[2]("mysql_galera.ready")) == ["read_only"]
        assert gate.codes(minions[2]("mysql_galera.ready", writable=False)) == []
    finally:
        whole[2].query("SET GLOBAL read_only = 0")


def test_a_frozen_member_is_told_by_itself_and_counted_out_by_the_others(whole, minions):
    before = minions[0]("mysql_galera.ready")["identity"]
    with whole[2].frozen():
        assert gate.codes(minions[2]("mysql_galera.ready", timeout=1)) == ["connect"]
        assert gate.codes(becomes(minions[0], "too_small")) == ["too_small"]
        answer = minions[0]("mysql_galera.ready", size=2)
        assert answer["ready"] is True
        assert answer["identity"] != before


def test_a_member_without_a_majority_takes_no_writes_and_says_so_by_its_address_too(whole, minions):
    with whole[0].frozen(), whole[2].frozen():
        answer = becomes(minions[1], "not_primary", size=1)
        assert gate.codes(answer) == ["not_primary", "not_synced", "not_ready"]
        endpoint = minions[1]("mysql_endpoint.ready", ADDRESSES[1], write_table="gate.probe")
        assert gate.codes(endpoint) == ["not_ready", "write_failed"]
        assert "wsrep_ready is OFF, its part of the cluster is non-Primary" in endpoint["reasons"][0]["message"]
    mariadb.wait_until(lambda: minions[1]("mysql_galera.ready")["ready"], what="the cure")


def test_a_server_without_galera_is_not_a_member(whole, minions):
    whole[0].query("SET GLOBAL wsrep_on = OFF")
    try:
        assert gate.codes(minions[0]("mysql_galera.ready")) == ["not_galera"]
    finally:
        whole[0].query("SET GLOBAL wsrep_on = ON")


def test_a_member_that_is_down_is_one_sentence_on_the_command_line(tmp_path):
    minion = gate.Minion(tmp_path / "m", **LOGIN, **{"mysql.host": f"{NETWORK}.99"})
    status, out, err = minion.call("mysql_galera.ready")
    assert (status != 0, err) == (True, "")
    (reason,) = json.loads(out)["local"]["reasons"]
    assert reason["code"] == "connect"
    assert reason["message"].startswith("this node's own server does not serve (Can't connect")
