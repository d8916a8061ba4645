"""One address on two nodes of a real network: who is asked depends on the neighbour table of who asks."""

import json

import gate
import mariadb
import network
import pytest

MISSING = mariadb.missing() or network.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
VIP, DB1, DB2, CMP3 = "10.0.0.50", "10.0.0.11", "10.0.0.12", "10.0.0.63"


@pytest.fixture
def nodes():
    with network.switch({"db1": DB1, "db2": DB2, "cmp3": CMP3}) as nodes:
        yield nodes


@pytest.fixture
def masters(tmp_path, nodes):
    with mariadb.pair(
        tmp_path / "db", [DB1, DB2], [nodes["db1"].prefix, nodes["db2"].prefix], anywhere=True
    ) as servers:
        yield servers


@pytest.fixture
def ask(tmp_path, nodes):
    """Ask cmp3 whether the writer's address leads to a holder."""
    minion = gate.Minion(tmp_path / "cmp3", **{"mysql.user": mariadb.USER, "mysql.pass": mariadb.PASSWORD})

    def asked(holder, address):
        words = ["mysql_endpoint.ready", VIP, f"node_address={address}", f"holder={holder}", "timeout=2"]
        _, out, _ = minion.call(*words, prefix=nodes["cmp3"].prefix)
        return json.loads(out)["local"]

    return asked


def test_a_client_that_still_knows_the_old_node_is_told_from_one_that_has_learnt(nodes, masters, ask):
    nodes["db1"].take(VIP)
    assert ask("db1", DB1)["ready"] is True

    # The agent of db1 was down at the failover: its address stays, and db2 takes it as well.
    masters[1].query("SET GLOBAL read_only = 0")
    nodes["db2"].take(VIP)
    answer = ask("db2", DB2)
    said = f"writer is on db2 ({VIP}), but this node reaches server 1 there: is the address on two nodes?"
    assert answer["reasons"] == [{"code": "wrong_server", "message": said}]

    nodes["db1"].leave(VIP)
    nodes["cmp3"].learn()
    assert (ask("db2", DB2)["ready"], ask("db2", DB2)["server_id"]) == (True, 2)
