"""What is concluded from a monitor's view, and what is refused before it is asked."""

from pathlib import Path

import mysql_mmm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from salt.exceptions import SaltInvocationError

CAPTURED = Path(__file__).parent / "mysql_mmm"
CHECKS = mysql_mmm._parse_checks((CAPTURED / "checks-normal.txt").read_text())


def view(name="show-normal", mode="ACTIVE", checks=CHECKS):
    return {"mode": mode, "show": mysql_mmm._parse_show((CAPTURED / f"{name}.txt").read_text()), "checks": checks}


def judged(*args, role="writer", expected_ip=None, allowed=("ACTIVE",), **kwargs):
    holder, reasons, warnings = mysql_mmm._judge(view(*args, **kwargs), role, expected_ip, allowed)
    return holder, [reason["code"] for reason in reasons], [warning["code"] for warning in warnings]


def sentences(*args, role="writer", expected_ip=None, allowed=("ACTIVE",), **kwargs):
    return [reason["message"] for reason in mysql_mmm._judge(view(*args, **kwargs), role, expected_ip, allowed)[1]]


def broken(host, check):
    return {**CHECKS, host: {**CHECKS[host], check: {"ok": False, "message": "ERROR: no", "last_change": ""}}}


DB1, DB2 = ("db1", "10.77.0.50"), ("db2", "10.77.0.50")


@pytest.mark.parametrize(
    ("name", "mode", "holder", "reasons", "warnings"),
    [
        ("show-normal", "ACTIVE", DB1, [], []),
        ("show-one-online", "ACTIVE", DB1, [], ["standby_not_online"]),
        ("show-just-started", "ACTIVE", None, ["no_writer"], ["standby_not_online"] * 2),
        ("show-db1-hard-offline", "ACTIVE", DB2, [], ["standby_not_online"]),
        ("show-both-admin-offline", "ACTIVE", None, ["no_writer"], ["standby_not_online"] * 2),
        ("show-standby-replication_fail", "ACTIVE", DB1, [], ["standby_not_online"]),
        ("show-agent-writer-down", "ACTIVE", DB1, ["agent_unreachable"], []),
        ("show-agent-standby-down", "ACTIVE", DB1, [], ["agent_unreachable"]),
        ("show-manual-writer-dead", "MANUAL", DB1, ["mode", "not_online"], []),
        ("show-passive-writer-dead", "PASSIVE", DB1, ["mode", "not_online"], []),
        ("show-passive-writer-back", "PASSIVE", DB1, ["mode", "not_online"], []),
        ("show-startup-conflict-passive", "PASSIVE", DB2, ["mode"], ["standby_not_online"]),
        ("show-normal", "WAIT", DB1, ["mode"], []),
        ("show-preferred-elsewhere", "ACTIVE", DB2, [], ["standby_not_online", "prefers_other"]),
        ("show-split-brain-agent-back", "ACTIVE", DB2, [], ["standby_not_online"]),
    ],
)
def test_each_state_of_the_cluster_has_its_reasons_and_warnings(name, mode, holder, reasons, warnings):
    assert judged(name, mode=mode) == (holder, reasons, warnings)


def test_a_mode_that_changed_between_two_questions_is_not_active():
    assert judged("show-passive-writer-back", mode="ACTIVE")[1] == ["mode", "not_online"]


def test_manual_mode_serves_where_it_is_allowed():
    assert judged(mode="MANUAL", allowed=("ACTIVE", "MANUAL"))[1] == []


def test_another_role_may_be_the_writers():
    assert judged("show-normal", role="nosuch")[1] == ["no_writer"]
    assert judged("show-normal", role="reader")[1] == ["several_writers"]


def test_the_expected_address_is_asked():
    assert judged(expected_ip="10.77.0.50")[1] == []
    assert judged(expected_ip="10.77.0.99")[1] == ["wrong_ip"]


@pytest.mark.parametrize("check", ["ping", "mysql"])
def test_a_check_of_the_holder_that_fails_or_is_missing_counts(check):
    assert judged(checks=broken("db1", check))[1] == ["check_failed"]
    assert judged(checks={**CHECKS, "db1": {"rep_threads": CHECKS["db1"]["rep_threads"]}})[1] == ["check_failed"] * 2


def test_replication_that_is_broken_is_a_warning_and_no_more():
    assert judged(checks=broken("db2", "rep_threads")) == (DB1, [], ["replication"])
    assert judged(checks=broken("db2", "mysql")) == (DB1, [], [])


def test_reasons_are_sentences_in_the_operators_words():
    assert sentences("show-agent-writer-down") == [
        "writer is on db1 (10.77.0.50), but the monitor does not reach the agent of db1"
    ]
    assert sentences("show-both-admin-offline") == [
        "nobody has the role writer: db1 is ADMIN_OFFLINE, db2 is ADMIN_OFFLINE"
    ]
    assert sentences("show-passive-writer-back", mode="PASSIVE")[0] == (
        "the monitor is in PASSIVE mode (Admin switched to passive mode.) and moves no role: mmm_control set_active"
    )


rounds = st.lists(st.tuples(st.booleans(), st.sampled_from(["db1/a/server 1", "db2/a/server 2"])), max_size=30)


@given(rounds=rounds, wanted=st.integers(1, 6))
def test_a_streak_is_steady_only_after_that_many_good_rounds_with_one_writer(rounds, wanted):
    streak = mysql_mmm._Streak(wanted)
    for number, (ready, identity) in enumerate(rounds, 1):
        streak.add(ready, identity)
        last = rounds[max(0, number - wanted) : number]
        assert streak.steady == (
            number >= wanted and all(each[0] for each in last) and len({each[1] for each in last}) == 1
        )


def test_a_bad_round_after_all_but_one_good_ones_starts_the_count_anew():
    streak = mysql_mmm._Streak(3)
    for ready in (True, True, False, True, True):
        streak.add(ready, "db1")
        assert not streak.steady
    assert streak.reason["message"] == ("at most 2 good rounds came in a row, 3 are asked; the writer was db1")


def test_a_writer_that_goes_to_and_fro_is_never_steady():
    streak = mysql_mmm._Streak(2)
    for identity in ("db1", "db2") * 10:
        streak.add(True, identity)
        assert not streak.steady
    assert "db1, then db2" in streak.reason["message"]


BAD_NAMES = ["", " ", "a b", "db1\n", "db1;reboot", "$(id)", None, True, ["db1"], "dé"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_stop_the_monitor_is_never_sent(name):
    calls = [
        lambda: mysql_mmm.checks(host=name),
        lambda: mysql_mmm.writer(role=name),
        lambda: mysql_mmm.writer_ready(role=name),
        lambda: mysql_mmm.set_online(name),
        lambda: mysql_mmm.set_offline(name, test=True),
        lambda: mysql_mmm.move_role("writer", name),
        lambda: mysql_mmm.move_role(name, "db1"),
    ]
    for call in calls:
        with pytest.raises(SaltInvocationError, match="is no name"):
            call()


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name is not None])
def test_a_cluster_that_is_no_name_is_refused(name):
    for function in (mysql_mmm.ping, mysql_mmm.mode, mysql_mmm.show, mysql_mmm.checks, mysql_mmm.writer):
        with pytest.raises(SaltInvocationError, match="is no name"):
            function(cluster=name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"allow_modes": "PASSIVE"},
        {"allow_modes": "ACTIVE,WAIT"},
        {"allow_modes": []},
        {"allow_modes": 5},
        {"sql": "yes"},
        {"port": 0},
        {"port": "3306"},
        {"expected_ip": "10.0.0.50 "},
        {"timeout": 10},
        {"timeout": "300"},
        {"successes": 0},
        {"successes": 1.5},
        {"interval": 0},
    ],
)
def test_a_wrong_argument_of_the_wait_is_refused_before_anything_is_asked(arguments):
    with pytest.raises(SaltInvocationError):
        mysql_mmm.wait_writer_ready(**arguments)


def test_an_unknown_check_is_refused_with_those_that_exist():
    with pytest.raises(SaltInvocationError, match="choose from ping, mysql, rep_threads, rep_backlog"):
        mysql_mmm.checks("db1", "nosuch")
