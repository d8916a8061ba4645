"""A database address and the servers behind it, asked for real: MariaDB on addresses of 127.0.0.0/8."""

import json
import socket
import threading
from contextlib import closing, contextmanager

import gate
import mariadb
import pymysql
import pytest
from salt.exceptions import CommandExecutionError

pytestmark = pytest.mark.skipif(bool(mariadb.missing()), reason=mariadb.missing())
NETWORK = mariadb.network()
VIP = f"{NETWORK}.50"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with mariadb.pair(tmp_path_factory.mktemp("db"), [f"{NETWORK}.11", f"{NETWORK}.12"]) as servers:
        yield servers


@pytest.fixture
def vip(pair):
    with mariadb.Forwarder(VIP, pair[0]) as address:
        yield address


@pytest.fixture
def minion(tmp_path):
    return gate.Minion(tmp_path / "minion", **{"mysql.user": mariadb.USER, "mysql.pass": mariadb.PASSWORD})


@pytest.fixture
def ready(minion, pair, vip):
    """Ask whether the address may be used; the holder is server 1 unless said otherwise."""

    def asked(**changes):
        db1, db2 = (server.address for server in pair)
        question = {"node_address": db1, "holder": "db1", "others": [db1, db2], "timeout": 2}
        return minion("mysql_endpoint.ready", VIP, **{**question, **changes})

    return asked


@contextmanager
def daemon(address, greeting):
    """Listen on an address as something that is no database: greet, and say nothing more."""
    with closing(socket.create_server((address, mariadb.PORT))) as listener:
        held = []

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                held.append(client)
                client.sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        for client in held:
            client.close()


def test_a_probe_tells_what_the_server_is(minion, pair, vip):
    probed = minion("mysql_endpoint.probe", VIP)
    assert (probed["server_id"], probed["read_only"], probed["galera"]) == (1, False, {})
    assert probed["version"].startswith("1")
    standby = minion("mysql_endpoint.probe", pair[1].address)
    assert (standby["server_id"], standby["read_only"], standby["read_only_by"]) == (2, True, ["read_only"])


def test_a_probe_without_an_address_asks_this_nodes_own_server(tmp_path, pair):
    login = {"mysql.user": "root", "mysql.unix_socket": str(pair[1].socket)}
    assert gate.Minion(tmp_path / "m", **login)("mysql_endpoint.probe")["server_id"] == 2


def test_an_address_that_leads_to_its_holder_is_ready(ready, minion, pair):
    answer = ready(write_table="gate.probe")
    assert (answer["reasons"], answer["warnings"], answer["ready"], minion.retcode) == ([], [], True, 0)
    assert (answer["server_id"], answer["identity"]) == (1, f"{VIP}/server 1")
    told = answer["observed"]
    assert list(told) == [VIP, pair[0].address, pair[1].address]
    assert told[VIP].startswith("server 1 on ")
    assert told[VIP].endswith(", writable, took a row")
    assert told[pair[1].address].endswith(", read-only (read_only)")


def test_the_written_row_is_taken_back(ready, pair):
    before = pair[0].query("SELECT COUNT(*) AS n FROM gate.probe")
    assert ready(write_table="gate.probe")["ready"]
    assert pair[0].query("SELECT COUNT(*) AS n FROM gate.probe") == before


def test_an_address_without_its_holder_is_ready_with_a_warning(ready):
    answer = ready(node_address=None, holder=None)
    assert (answer["ready"], gate.warned(answer)) == (True, ["holder_not_compared"])


def test_another_master_that_is_gone_is_a_warning(ready):
    answer = ready(others=[f"{NETWORK}.99"])
    assert (answer["ready"], gate.warned(answer)) == (True, ["other_unreachable"])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("gate.none", "there is no table gate.none that this login can see"),
        ("gate.myisam", "gate.myisam is a MyISAM table, where a write could not be taken back"),
        ("mysql.user", "there is no table mysql.user that this login can see"),
    ],
)
def test_a_table_that_cannot_be_written_and_taken_back_is_a_reason(ready, table, words):
    answer = ready(write_table=table)
    assert gate.codes(answer) == ["write_failed"]
    assert words in answer["reasons"][0]["message"]


def test_a_write_that_is_locked_out_ends_at_the_timeout(ready, pair):
    locking = pymysql.connect(unix_socket=str(pair[0].socket), user="root")
    with closing(locking), locking.cursor() as cursor:
        cursor.execute("LOCK TABLES gate.probe WRITE")
        assert gate.codes(ready(write_table="gate.probe")) == ["write_failed"]
    mariadb.wait_until(lambda: ready(write_table="gate.probe")["ready"])


def test_a_refused_login_names_the_options_and_not_the_password(tmp_path, vip):
    minion = gate.Minion(tmp_path / "m", **{"mysql.user": mariadb.USER, "mysql.pass": "wrong secret"})
    answer = minion("mysql_endpoint.ready", VIP)
    assert (gate.codes(answer), minion.retcode) == (["auth"], 1)
    assert "see mysql.user and mysql.pass of this minion" in answer["reasons"][0]["message"]
    assert "secret" not in json.dumps(answer)
    with pytest.raises(CommandExecutionError, match="refuses the login"):
        minion("mysql_endpoint.probe", VIP)


def test_a_socket_in_an_options_file_does_not_lead_past_the_address(tmp_path, pair, vip):
    options = tmp_path / "gate.cnf"
    lines = ["[client]", f"user={mariadb.USER}", f'password="{mariadb.PASSWORD}"', f"socket={pair[1].socket}", "port=1"]
    options.write_text("\n".join(lines))
    minion = gate.Minion(tmp_path / "m", **{"mysql.default_file": str(options)})
    assert minion("mysql_endpoint.probe", VIP)["server_id"] == 1


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 200, b"\x01\x00\x00\x00\x0a"],
)
def test_another_daemon_on_the_port_is_no_database(minion, greeting):
    with daemon(f"{NETWORK}.60", greeting):
        answer = minion("mysql_endpoint.ready", f"{NETWORK}.60", timeout=1)
    assert gate.codes(answer) == ["connect"]


def test_a_host_name_that_is_unknown_is_a_reason_too(minion):
    assert gate.codes(minion("mysql_endpoint.ready", "nosuch.invalid", timeout=2)) == ["connect"]


def test_the_command_line_tells_by_its_exit_status(tmp_path, pair, vip):
    login = {"mysql.user": mariadb.USER, "mysql.pass": mariadb.PASSWORD}
    minion = gate.Minion(tmp_path / "m", **login)
    status, out, err = minion.call("mysql_endpoint.ready", VIP, f"node_address={pair[0].address}")
    assert (status, json.loads(out)["local"]["ready"], err) == (0, True, "")
    status, out, err = minion.call("mysql_endpoint.ready", VIP, f"node_address={pair[1].address}", "holder=db2")
    assert (status != 0, err) == (True, "")
    (reason,) = json.loads(out)["local"]["reasons"]
    said = f"writer is on db2 ({VIP}), but this node reaches server 1 there: is the address on two nodes?"
    assert reason == {"code": "wrong_server", "message": said}
    assert mariadb.PASSWORD not in out
