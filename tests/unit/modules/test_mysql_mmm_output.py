"""
What ``mmm_control`` prints, captured, and what is read from it.

PARSER_EXAMPLES: how many inputs each of the four properties is tried on. 200 unless given; 25000 makes 100,000 in all.
"""

import contextlib
import os
from pathlib import Path

import mysql_mmm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from salt.exceptions import CommandExecutionError

CAPTURED = Path(__file__).parent / "mysql_mmm"
EXAMPLES = int(os.environ.get("PARSER_EXAMPLES", "200"))
VIP = "10.77.0.50"
pytestmark = pytest.mark.timeout(max(180, EXAMPLES // 10))


def captured(name):
    return (CAPTURED / f"{name}.txt").read_text()


def shown(name):
    return mysql_mmm._parse_show(captured(name))


@pytest.mark.parametrize(
    ("name", "states", "writers"),
    [
        ("show-just-started", "AWAITING_RECOVERY AWAITING_RECOVERY", []),
        ("show-one-online", "ONLINE AWAITING_RECOVERY", [("db1", VIP)]),
        ("show-normal", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-db1-down-5s", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-db1-hard-offline", "HARD_OFFLINE ONLINE", [("db2", VIP)]),
        ("show-failed-node-back", "AWAITING_RECOVERY ONLINE", [("db2", VIP)]),
        ("show-set_offline", "ADMIN_OFFLINE ONLINE", [("db2", VIP)]),
        ("show-both-admin-offline", "ADMIN_OFFLINE ADMIN_OFFLINE", []),
        ("show-standby-replication_fail", "ONLINE REPLICATION_FAIL", [("db1", VIP)]),
        ("show-standby-replication_delay", "ONLINE REPLICATION_DELAY", [("db1", VIP)]),
        ("show-writer-replication-stopped", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-agent-writer-down", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-agent-standby-down", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-manual-writer-dead", "HARD_OFFLINE ONLINE", [("db1", VIP)]),
        ("show-passive-writer-dead", "HARD_OFFLINE ONLINE", [("db1", VIP)]),
        ("show-passive-writer-back", "AWAITING_RECOVERY ONLINE", [("db1", VIP)]),
        ("show-monitor-isolated", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-flapping", "AWAITING_RECOVERY ONLINE", [("db2", VIP)]),
        ("show-writer-agent-and-db-down", "HARD_OFFLINE ONLINE", [("db2", VIP)]),
        ("show-split-brain-agent-back", "AWAITING_RECOVERY ONLINE", [("db2", VIP)]),
        ("show-startup-conflict-passive", "AWAITING_RECOVERY ONLINE", [("db2", VIP)]),
        ("show-preferred", "ONLINE ONLINE", [("db1", VIP)]),
        ("show-preferred-elsewhere", "AWAITING_RECOVERY ONLINE", [("db2", VIP)]),
        ("show-preferred-orphaned", "ADMIN_OFFLINE ADMIN_OFFLINE", []),
        ("show-mmm1", "ONLINE ONLINE", [("db1", "192.168.1.9")]),
        ("show-mmm1-orphaned", "ADMIN_OFFLINE ADMIN_OFFLINE", []),
        ("show-one-host", "ONLINE", [("pt01d02", "10.12.86.65")]),
    ],
)
def test_states_and_writer_are_read_from_every_captured_show(name, states, writers):
    show = shown(name)
    assert " ".join(host["state"] for host in show["hosts"].values()) == states
    assert mysql_mmm._holders(show, "writer") == writers


def test_every_captured_show_is_in_the_table():
    marks = test_states_and_writer_are_read_from_every_captured_show.pytestmark[0]
    assert sorted(case[0] for case in marks.args[1]) == sorted(path.stem for path in CAPTURED.glob("show-*"))


def test_a_host_is_read_with_its_address_mode_and_roles():
    roles = [{"name": "reader", "ip": "10.77.0.51"}, {"name": "writer", "ip": VIP}]
    db1 = {"ip": "10.77.0.11", "mode": "master", "state": "ONLINE", "roles": roles, "agent_reachable": True}
    assert shown("show-normal")["hosts"]["db1"] == db1


def test_the_old_form_of_mmm_1_is_read_the_same():
    assert shown("show-mmm1")["hosts"]["db1"]["roles"][0] == {"name": "reader", "ip": "192.168.1.7"}
    assert shown("show-mmm1-orphaned")["hosts"]["db1"]["roles"] == []


def test_an_unreachable_agent_is_told_of_its_host_alone():
    hosts = shown("show-agent-standby-down")["hosts"]
    assert [host["agent_reachable"] for host in hosts.values()] == [True, False]


def test_passive_mode_is_read_with_its_cause():
    assert (shown("show-normal")["mode"], shown("show-normal")["cause"]) == (None, None)
    show = shown("show-passive-writer-dead")
    assert (show["mode"], show["cause"]) == ("PASSIVE", "Admin switched to passive mode.")


def test_the_writers_of_a_startup_conflict_are_comments():
    show = shown("show-startup-conflict-passive")
    assert show["cause"] == "Conflicting roles during startup:"
    assert sum("writer(10.77.0.50)" in comment for comment in show["comments"]) == 2
    assert mysql_mmm._holders(show, "writer") == [("db2", VIP)]


@pytest.mark.parametrize(
    ("name", "preference"),
    [
        ("show-preferred", {"preferred": "db1", "assigned": "db1"}),
        ("show-preferred-elsewhere", {"preferred": "db1", "assigned": "db2"}),
        ("show-preferred-orphaned", {"preferred": "db1", "assigned": None}),
    ],
)
def test_a_preferred_host_is_read_with_the_host_that_has_the_role(name, preference):
    assert shown(name)["preferences"] == {"writer": preference}


def test_checks_are_read_with_the_message_and_the_time_of_their_last_change():
    checks = mysql_mmm._parse_checks(captured("checks-db1-down"))
    assert checks["db1"]["mysql"]["ok"] is False
    assert checks["db1"]["mysql"]["message"].endswith("Can't connect to server on '10.77.0.11' (115)")
    assert checks["db2"]["rep_backlog"] == {
        "ok": True,
        "message": "OK: Backlog is null",
        "last_change": "2026-11-22T06:36:30",
    }
    assert all(
        check["ok"] for host in mysql_mmm._parse_checks(captured("checks-normal")).values() for check in host.values()
    )
    assert list(mysql_mmm._parse_checks(captured("checks-one"))) == ["db1"]


def test_a_message_of_several_lines_belongs_to_its_check():
    text = captured("checks-one").rstrip("\n").replace("  OK", "  ERROR: no") + "\nOK said the second line\n"
    said = mysql_mmm._parse_checks(text)["db1"]["mysql"]
    assert (said["ok"], said["message"]) == (False, "ERROR: no OK said the second line")


@pytest.mark.parametrize("path", sorted(CAPTURED.glob("error-*")), ids=lambda path: path.stem)
def test_every_complaint_of_the_monitor_is_an_error_with_its_words(path):
    text = path.read_text()
    exit_code = 1 if "connect to monitor" in text else 0
    with pytest.raises(CommandExecutionError) as error:
        mysql_mmm._heard(["/usr/sbin/mmm_control", "show"], exit_code, text, "")
    assert text.split("\n")[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_configuration_error_is_told_with_the_words_of_standard_error():
    said = "2026/11/22 06:37:58 No readable config file mmm_mon_x.conf in /etc\nCould not find a readable config file\n"
    with pytest.raises(CommandExecutionError, match=r"ended with 2, No readable config file mmm_mon_x\.conf in /etc: "):
        mysql_mmm._heard(["mmm_control", "@x", "show"], 2, "", said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "# only a comment\n",
        "OK: Pinged successfully!",
        "  db1(10.77.0.11) master/ONLINE. Rol",
        "  db1(10.77.0.11) master/ONLINE. Roles: reader(10.77.0.51), wri\n",
        "  db1(10.77.0.11) master/ONLINE. Roles: writer()\n",
        "  db1(10.77.0.11) master/ONLINE. Roles: writer(10.77.0.50/24)\n",
        "  db1(%s) master/ONLINE. Roles: writer(10.77.0.50)\n",
        "  db1(10.77.0.11) master/ONLINE. Roles: writer(10.77.0.50) writer(10.77.0.51)\n",
        "  db1(10.77.0.11) master/ONLINE. Roles: writer(10.77.0.50),\n",
        "  db1(10.77.0.11) master/ONLINE. Roles: \n  db1(10.77.0.11) master/ONLINE. Roles: writer(10.77.0.50)\n",
        "ACTIVE  db1(10.77.0.11) master/ONLINE. Roles: writer(10.77.0.50)\n",
        "  db1(10.77.0.11) master/ONLINE. Roles: writer(10.77.0.50)\nUse of uninitialized value\n",
    ],
)
def test_half_an_answer_or_a_strange_one_is_no_answer(text):
    with pytest.raises(CommandExecutionError, match="mmm_control show printed"):
        mysql_mmm._parse_show(text)


names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
addresses = st.ip_addresses(v=4).map(str)
roles = st.lists(st.tuples(st.sampled_from(["reader", "writer", "x-1"]), addresses), max_size=3)
host = st.tuples(addresses, st.sampled_from(["master", "slave"]), st.sampled_from(["ONLINE", "HARD_OFFLINE"]), roles)
pieces = st.sampled_from(
    [
        "  db1(10.0.0.1) master/ONLINE. Roles: ",
        "writer(10.0.0.50)",
        "# ",
        "\n",
        ", ",
        "None",
        "Servers status:",
        ";",
        "(",
        " ",
    ]
)
soup = st.one_of(st.text(), st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=12).map("".join))


def written(hosts, *, old):
    lines = ["Servers status:"] if old else []
    for name, (ip, mode, state, held) in hosts.items():
        listed = ", ".join(f"{role}({at}{';' if old else ''})" for role, at in held) or ("None" if old else "")
        lines.append(f"  {name}({ip}){':' if old else ''} {mode}/{state}. Roles: {listed}")
    return "\n".join(lines) + "\n\n"


@settings(max_examples=EXAMPLES, deadline=None)
@given(hosts=st.dictionaries(names, host, min_size=1, max_size=4), old=st.booleans())
def test_what_was_written_is_read(hosts, old):
    show = mysql_mmm._parse_show(written(hosts, old=old))
    found = {
        name: (each["ip"], each["mode"], each["state"], [(role["name"], role["ip"]) for role in each["roles"]])
        for name, each in show["hosts"].items()
    }
    assert found == hosts


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=soup)
def test_no_text_makes_the_parser_fail_or_invent_a_writer(text):
    try:
        show = mysql_mmm._parse_show(text)
    except CommandExecutionError:
        return
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    for name, ip in mysql_mmm._holders(show, "writer"):
        assert any(f"{name}(" in line and f"writer({ip}" in line and "Roles:" in line for line in lines)


@settings(max_examples=EXAMPLES, deadline=None)
@given(hosts=st.dictionaries(names, host, min_size=1, max_size=3), old=st.booleans(), at=st.integers(0))
def test_a_torn_answer_never_gains_a_writer(hosts, old, at):
    whole = written(hosts, old=old)
    writers = mysql_mmm._holders(mysql_mmm._parse_show(whole), "writer")
    for torn in (whole[: at % len(whole)], whole[at % len(whole) :]):
        with contextlib.suppress(CommandExecutionError):
            assert set(mysql_mmm._holders(mysql_mmm._parse_show(torn), "writer")) <= set(writers)


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=st.one_of(soup, st.text().map(lambda said: f"db1  mysql  [last change: 2026/11/22 06:36:30]  {said}")))
def test_no_text_makes_the_checks_fail_or_be_good_without_saying_so(text):
    try:
        checks = mysql_mmm._parse_checks(text)
    except CommandExecutionError:
        return
    assert all(check["message"].startswith("OK") for host in checks.values() for check in host.values() if check["ok"])
