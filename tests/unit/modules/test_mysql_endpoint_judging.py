"""What is concluded from what servers say of themselves, and what is refused before they are asked."""

import sys

import mysql_endpoint
import pymysql
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError


def server(number, hostname=None, **changes):
    variables = {
        "server_id": str(number),
        "hostname": hostname or f"db{number}",
        "version": "10.11",
        "read_only": "OFF",
    }
    return mysql_endpoint._described({**variables, **changes}, {})


@pytest.fixture
def options(monkeypatch):
    """The minion's ``mysql.*`` options; nothing else of Salt is there."""
    found = {}
    salt_functions = {"config.option": lambda name, default=None: found.get(name, default)}
    monkeypatch.setattr(mysql_endpoint, "__salt__", salt_functions, raising=False)
    monkeypatch.setattr(mysql_endpoint, "__context__", {}, raising=False)
    return found


@pytest.mark.parametrize(
    ("variables", "by"),
    [
        ({"read_only": "OFF"}, []),
        ({"read_only": "0"}, []),
        ({"read_only": "ON"}, ["read_only"]),
        ({"read_only": "NO_LOCK_NO_ADMIN"}, ["read_only"]),
        ({"super_read_only": "ON"}, ["super_read_only"]),
        ({"super_read_only": "OFF", "innodb_read_only": "OFF"}, []),
        ({"innodb_read_only": "ON"}, ["innodb_read_only"]),
    ],
)
def test_a_server_is_read_only_by_any_of_its_switches(variables, by):
    described = server(1, **variables)
    assert (described["read_only"], described["read_only_by"]) == (bool(by), by)


def test_a_server_that_does_not_tell_is_taken_for_read_only():
    assert mysql_endpoint._described({"server_id": "1"}, {})["read_only"] is True


def test_the_sentence_for_the_wrong_server_is_the_operators():
    reason = mysql_endpoint._wrong_server("10.0.0.50", server(2), "10.0.0.11", server(1), "db1")
    assert reason["message"] == (
        "writer is on db1 (10.0.0.50), but this node reaches server 2 there: is the address on two nodes?"
    )
    reason = mysql_endpoint._wrong_server("10.0.0.50", server(2), "10.0.0.11", server(1), None)
    assert reason["message"].startswith("10.0.0.50 should lead to 10.0.0.11 (server 1), but this node reaches server 2")


def test_two_servers_with_one_number_are_told_apart_by_their_host_name():
    reason = mysql_endpoint._wrong_server("10.0.0.50", server(1, "b"), "10.0.0.11", server(1, "a"), "a")
    assert "this node reaches another server 1 (b) there" in reason["message"]
    assert mysql_endpoint._wrong_server("10.0.0.50", server(1), "10.0.0.11", server(1), "db1") is None


def test_another_master_that_takes_writes_is_named_and_the_writer_itself_is_not():
    others = {"10.0.0.11": server(1), "10.0.0.12": server(2), "10.0.0.13": server(3, read_only="ON")}
    (reason,) = mysql_endpoint._other_writable("10.0.0.50", server(1), others)
    assert reason["code"] == "other_writable"
    assert reason["message"].startswith("10.0.0.12 (server 2) takes writes beside 10.0.0.50")


def test_a_galera_member_that_takes_no_statements_does_not_serve():
    variables = {"server_id": "1", "read_only": "OFF", "wsrep_on": "ON", "wsrep_node_name": "n1"}
    status = {"wsrep_ready": "OFF", "wsrep_cluster_status": "non-Primary"}
    described = mysql_endpoint._described(variables, status)
    assert described["galera"]["node_name"] == "n1"
    assert [reason["code"] for reason in mysql_endpoint._shut("10.0.0.50", described)] == ["not_ready"]
    assert mysql_endpoint._described({"server_id": "1", "wsrep_on": "OFF"}, {})["galera"] == {}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pymysql.err.OperationalError(2003, "Can't connect to MySQL server on '10.0.0.50' (timed out)"), "connect"),
        (pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query (timed out)"), "connect"),
        (pymysql.err.OperationalError(1040, "Too many connections"), "connect"),
        (pymysql.err.OperationalError(1045, "Access denied for user 'gate'@'10.0.0.61' (using password: YES)"), "auth"),
        (pymysql.err.OperationalError(1130, "Host '10.0.0.61' is not allowed to connect"), "auth"),
        (RuntimeError("'cryptography' package is required for sha256_password"), "auth"),
        (ConnectionRefusedError(111, "Connection refused"), "connect"),
        (pymysql.err.InternalError("Packet sequence number wrong - got 110 expected 0"), "connect"),
        (AssertionError("Invalid OK Packet"), "connect"),
        (IndexError("index out of range"), "connect"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "connect"),
    ],
)
def test_whatever_a_connection_fails_with_has_a_code_and_one_sentence(error, code):
    failure = mysql_endpoint._failure(pymysql, "10.0.0.50:3306", error)
    assert failure.code == code
    assert "10.0.0.50:3306" in str(failure)
    assert "\n" not in str(failure)


def test_a_missing_driver_is_told_with_its_cure(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    answer = mysql_endpoint.ready("10.0.0.50")
    assert answer["ready"] is False
    assert answer["reasons"][0]["code"] == "no_driver"
    assert "salt-pip install PyMySQL" in answer["reasons"][0]["message"]
    assert mysql_endpoint.__context__["retcode"] == 1
    with pytest.raises(CommandExecutionError, match="PyMySQL is missing"):
        mysql_endpoint.probe()


def test_the_login_is_the_one_of_salts_own_mysql_module_with_all_three_timeouts(options):
    options.update({"mysql.user": "gate", "mysql.pass": 4711, "mysql.default_file": "/etc/x", "mysql.host": "ignored"})
    assert mysql_endpoint._settings(5) == {
        "user": "gate",
        "password": "4711",
        "read_default_file": "/etc/x",
        "connect_timeout": 5,
        "read_timeout": 5,
        "write_timeout": 5,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"address": ""}, "address="),
        ({"address": "10.0.0.50; id"}, "address="),
        ({"address": None}, "address="),
        ({"address": "10.0.0.50", "port": 70000}, "port="),
        ({"address": "10.0.0.50", "port": "3306"}, "port="),
        ({"address": "10.0.0.50", "node_port": 0}, "node_port="),
        ({"address": "10.0.0.50", "node_address": 5}, "node_address="),
        ({"address": "10.0.0.50", "others": {"a": 1}}, "others="),
        ({"address": "10.0.0.50", "others": "10.0.0.11,,"}, "others="),
        ({"address": "10.0.0.50", "timeout": 0}, "timeout="),
        ({"address": "10.0.0.50", "timeout": True}, "timeout="),
        ({"address": "10.0.0.50", "write_table": "probe"}, "write_table="),
        ({"address": "10.0.0.50", "write_table": "gate.probe; DROP"}, "write_table="),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(options, arguments, words):
    with pytest.raises(SaltInvocationError, match=words):
        mysql_endpoint.ready(**arguments)
