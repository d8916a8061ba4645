"""What is concluded from a Galera member's own view; real members are asked in the functional tests."""

import mysql_galera
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

SYNCED = {
    "node_name": "ctl1",
    "ready": "ON",
    "connected": "ON",
    "cluster_status": "Primary",
    "cluster_size": "3",
    "cluster_state_uuid": "52af8ab4",
    "cluster_conf_id": "7",
    "local_state_comment": "Synced",
    "incoming_addresses": "10.0.0.11:3306,10.0.0.12:3306,10.0.0.13:3306",
}


@pytest.fixture
def member(monkeypatch):
    """Set what this node's server says, or the error it answers with."""

    def says(error=None, read_only=False, galera=True, **changes):
        def probe(timeout):
            if error:
                raise error
            status = {**SYNCED, **changes} if galera else {}
            return {"galera": status, "hostname": "host", "server_id": 1, "version": "10.11", "read_only": read_only}

        monkeypatch.setattr(mysql_galera, "__salt__", {"mysql_endpoint.probe": probe}, raising=False)
        monkeypatch.setattr(mysql_galera, "__context__", {}, raising=False)

    return says


def codes(answer):
    return [reason["code"] for reason in answer["reasons"]]


def test_a_synced_member_of_a_whole_cluster_is_ready(member):
    member()
    answer = mysql_galera.ready()
    assert (answer["ready"], answer["host"], answer["size"], answer["identity"]) == (True, "ctl1", 3, "52af8ab4/view 7")
    assert mysql_galera.__context__["retcode"] == 0


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"connected": "OFF"}, "not_connected"),
        ({"cluster_status": "non-Primary"}, "not_primary"),
        ({"cluster_status": ""}, "not_primary"),
        ({"cluster_size": "2"}, "too_small"),
        ({"cluster_size": ""}, "too_small"),
        ({"local_state_comment": "Joined"}, "not_synced"),
        ({"local_state_comment": "Donor/Desynced"}, "not_synced"),
        ({"ready": "OFF"}, "not_ready"),
        ({"read_only": True}, "read_only"),
        ({"galera": False}, "not_galera"),
        ({"error": CommandExecutionError("no")}, "not_galera"),
    ],
)
def test_each_thing_that_is_missing_is_a_reason(member, changes, found):
    member(**changes)
    answer = mysql_galera.ready()
    assert answer["ready"] is False
    assert codes(answer) == [found]
    assert mysql_galera.__context__["retcode"] == 1


def test_a_donor_and_a_read_only_member_serve_where_that_is_asked(member):
    member(local_state_comment="Donor/Desynced", read_only=True)
    assert codes(mysql_galera.ready(donor=True, writable=False)) == []


def test_the_code_of_a_server_that_cannot_be_asked_is_kept(member):
    error = CommandExecutionError("no")
    error.code = "auth"
    member(error=error)
    assert codes(mysql_galera.ready()) == ["auth"]


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": "3"}, {"size": True}, {"donor": "no"}, {"writable": 1}])
def test_a_wrong_argument_is_refused(member, arguments):
    member()
    with pytest.raises(SaltInvocationError):
        mysql_galera.ready(**arguments)
