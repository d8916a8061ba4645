"""What HAProxy 2.6 printed on its stats socket, cut to two servers, and what it might print instead."""

import haproxy_endpoint
import pytest
from salt.exceptions import CommandExecutionError

STATISTICS = """# pxname,svname,qcur,qmax,scur,smax,slim,stot,status,weight,check_status,last_chk
nova_api,FRONTEND,,,1,1,262122,4,OPEN,,,
nova_api,cmp1,2,2,1,1,,4,UP,1,L4OK,
nova_api,cmp2,0,0,0,0,,0,DOWN,1,L4CON,Connection refused
nova_api,BACKEND,0,0,0,0,26213,0,UP,1,,

"""
STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
2 nova_api 1 cmp1 127.0.0.9 2 {cmp1} 1 1
2 nova_api 2 cmp2 127.0.0.9 0 0 1 1

"""


@pytest.fixture
def haproxy(monkeypatch):
    """Answer in HAProxy's place; the orders that it was given are returned."""
    orders, answers = [], {"show stat": STATISTICS, "show servers state": STATES.format(cmp1=0)}

    def ask(_, command):
        if command not in answers:
            orders.append(command)
        return answers.get(command, "\n")

    monkeypatch.setattr(haproxy_endpoint, "_ask", ask)
    monkeypatch.setattr(haproxy_endpoint, "__context__", {}, raising=False)
    monkeypatch.setattr(haproxy_endpoint, "_socket", lambda path: "/s")
    return orders, answers


@pytest.mark.parametrize(
    ("bits", "state"),
    [(0, "ready"), (1, "maint"), (5, "maint"), (8, "drain"), (24, "drain"), (4, "ready"), (2, "ready"), (32, "ready")],
)
def test_a_state_is_the_one_that_was_set_not_one_that_comes_from_elsewhere(haproxy, bits, state):
    haproxy[1]["show servers state"] = STATES.format(cmp1=bits)
    assert haproxy_endpoint.servers()["nova_api"]["cmp1"]["state"] == state


def test_sessions_count_those_that_wait_in_the_queue(haproxy):
    servers = haproxy_endpoint.servers()["nova_api"]
    assert (servers["cmp1"]["sessions"], servers["cmp2"]["check"]) == (3, "L4CON Connection refused")


def test_an_order_that_haproxy_does_not_carry_out_is_an_error(haproxy):
    orders, answers = haproxy
    with pytest.raises(CommandExecutionError, match=r"^HAProxy took the order and has not set nova_api/cmp1 to drain"):
        haproxy_endpoint.drain("cmp1")
    assert orders == ["set server nova_api/cmp1 state drain"]
    answers["set server nova_api/cmp1 state drain"] = "No such server.\n\n"
    with pytest.raises(CommandExecutionError, match=r"^HAProxy did not set nova_api/cmp1 to drain: No such server\.$"):
        haproxy_endpoint.drain("cmp1")


@pytest.mark.parametrize("printed", ["", "Unknown command. Please enter one of the following", "2\n# be_id", "1\n"])
def test_states_that_cannot_be_read_are_told_in_one_sentence(haproxy, printed):
    haproxy[1]["show servers state"] = printed
    with pytest.raises(CommandExecutionError, match=r"did not print the servers' states: ") as error:
        haproxy_endpoint.drain("cmp1")
    assert "\n" not in str(error.value)
    answer = haproxy_endpoint.up("cmp1")
    assert [reason["code"] for reason in answer["reasons"]] == ["no_haproxy"]
