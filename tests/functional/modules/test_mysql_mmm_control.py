"""The monitor's view through a real ``mmm_control`` process: the stand-in, called as the real one would be."""

import json
import multiprocessing
import os
import time

import gate
import psutil
import pytest
from salt.exceptions import CommandExecutionError

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def monitor(tmp_path):
    return gate.Monitor(tmp_path / "mmm", mode="ACTIVE", hosts=gate.hosts())


@pytest.fixture
def minion(tmp_path, monitor):
    return gate.Minion(tmp_path / "minion", mysql_mmm=monitor.settings)


def test_each_question_is_answered(minion):
    assert minion("mysql_mmm.ping") is True
    assert minion("mysql_mmm.mode") == "ACTIVE"
    assert list(minion("mysql_mmm.show")["hosts"]) == ["db1", "db2"]
    assert minion("mysql_mmm.checks", "db2", "mysql")["db2"]["mysql"]["ok"] is True
    assert list(minion("mysql_mmm.checks")) == ["db1", "db2"]
    found = {"host": "db1", "host_ip": "10.77.0.11", "ip": "10.77.0.50", "state": "ONLINE"}
    assert minion("mysql_mmm.writer") == found


def test_a_role_that_nobody_has_is_no_writer_and_one_that_several_have_is_an_error(minion, monitor):
    monitor.set(hosts=gate.hosts(writer=None))
    assert minion("mysql_mmm.writer") == {}
    both = gate.hosts()
    both["db2"]["roles"] = ["writer(10.77.0.50)"]
    monitor.set(hosts=both)
    with pytest.raises(CommandExecutionError, match=r"writer is on db1 \(10.77.0.50\) and db2 \(10.77.0.50\)"):
        minion("mysql_mmm.writer")


def test_another_cluster_has_a_monitor_of_its_own(minion, monitor):
    monitor.set("C1", mode="MANUAL")
    assert (minion("mysql_mmm.mode"), minion("mysql_mmm.mode", cluster="C1")) == ("ACTIVE", "MANUAL")


def test_the_monitors_view_alone_is_ready_with_a_warning(minion):
    answer = minion("mysql_mmm.writer_ready", sql=False, expected_ip="10.77.0.50")
    assert (answer["ready"], minion.retcode, gate.warned(answer)) == (True, 0, ["monitor_only"])
    assert (answer["host"], answer["host_ip"], answer["ip"]) == ("db1", "10.77.0.11", "10.77.0.50")
    assert (answer["server_id"], answer["identity"]) == (None, "db1/10.77.0.50")


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ({"down": True}, "monitor_unreachable", "ERROR: Can't connect to monitor daemon! Is mysql-mmm-monitor running"),
        (
            {"exit": 2, "stderr": "Configuration file x is world readable!"},
            "config_error",
            "x is world readable!: it needs root",
        ),
        ({"exit": 255, "stderr": "boom"}, "config_error", "ended with 255, boom"),
        ({"answers": {"show": ""}}, "bad_output", "printed no host"),
        ({"answers": {"mode": "ERROR: This command is not allowed"}}, "refused", "This command is not allowed"),
        ({"answers": {"checks": "Error: strange"}}, "refused", "Error: strange"),
        ({"answers": {"mode": "SLEEPY"}}, "bad_output", "SLEEPY"),
        ({"hosts": gate.hosts(None)}, "no_writer", "nobody has the role writer"),
    ],
)
def test_a_monitor_that_gives_no_view_is_not_ready_with_its_own_words(minion, monitor, state, code, words):
    monitor.set(**state)
    answer = minion("mysql_mmm.writer_ready", sql=False)
    assert (answer["ready"], gate.codes(answer), minion.retcode) == (False, [code], 1)
    assert words in answer["reasons"][0]["message"]
    assert answer["identity"] == ""


def test_a_monitor_that_is_down_does_not_answer_a_ping_and_is_an_error_of_every_question(minion, monitor):
    monitor.set(down=True)
    assert (minion("mysql_mmm.ping"), minion.retcode) == (False, 1)
    with pytest.raises(CommandExecutionError, match="Can't connect to monitor daemon!"):
        minion("mysql_mmm.show")


def test_a_hanging_monitor_costs_its_timeout_and_leaves_nothing_behind(minion, monitor):
    minion = gate.Minion(minion.root, mysql_mmm={**monitor.settings, "timeout": 1})
    monitor.set(seconds=-1)
    began = time.monotonic()
    answer = minion("mysql_mmm.writer_ready", sql=False)
    assert 1 <= time.monotonic() - began < 3
    assert gate.codes(answer) == ["monitor_timeout"]
    assert "gave no answer within 1 s" in answer["reasons"][0]["message"]
    assert not [each for each in psutil.Process().children() if str(monitor.directory) in " ".join(each.cmdline())]
    with pytest.raises(CommandExecutionError, match="gave no answer within 1 s"):
        minion("mysql_mmm.ping")
    monitor.set(seconds=None)
    assert minion("mysql_mmm.ping") is True


def test_ten_callers_at_once_never_overlap(minion, monitor):
    monitor.set(log="calls", seconds=0.02)
    callers = [FORK.Process(target=minion, args=("mysql_mmm.mode",)) for _ in range(10)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    calls = sorted(line.split() for line in (monitor.directory / "calls").read_text().splitlines())
    assert [caller.exitcode for caller in callers] == [0] * 10
    assert [word for _, _, word in calls] == ["begins", "ends"] * 10
    assert all(begun[1] == ended[1] for begun, ended in zip(calls[::2], calls[1::2], strict=True))


def test_a_caller_behind_a_hanging_one_waits_no_longer_than_its_own_timeout(minion, monitor):
    monitor.set(seconds=-1)
    minion = gate.Minion(minion.root, mysql_mmm={**monitor.settings, "timeout": 3})
    hanging = FORK.Process(target=_ignore_errors, args=(minion, "mysql_mmm.mode"))
    hanging.start()
    wait_for_a_call_of(hanging)
    began = time.monotonic()
    with pytest.raises(CommandExecutionError, match="waited in vain for another mmm_control on this node"):
        gate.Minion(minion.root, mysql_mmm={**monitor.settings, "timeout": 1})("mysql_mmm.mode")
    assert time.monotonic() - began < 3
    hanging.join(30)


def test_a_call_whose_job_was_killed_still_keeps_others_out(minion, monitor):
    monitor.set(seconds=-1)
    killed = FORK.Process(target=_ignore_errors, args=(minion, "mysql_mmm.mode"))
    killed.start()
    call = wait_for_a_call_of(killed)
    killed.kill()
    killed.join(30)
    try:
        with pytest.raises(CommandExecutionError, match="waited in vain"):
            gate.Minion(minion.root, mysql_mmm={**monitor.settings, "timeout": 1})("mysql_mmm.mode")
    finally:
        call.kill()
    monitor.set(seconds=None)
    assert minion("mysql_mmm.mode") == "ACTIVE"


def _ignore_errors(minion, function):
    try:
        minion(function)
    except CommandExecutionError:
        os._exit(0)


def wait_for_a_call_of(process):
    """Return the ``mmm_control`` that a process has started."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        children = [
            each for each in psutil.Process(process.pid).children() if "mmm_control" in " ".join(each.cmdline())
        ]
        if children:
            return children[0]
        time.sleep(0.02)
    raise TimeoutError


def test_orders_are_confirmed_and_refused_in_the_monitors_words(minion, monitor):
    monitor.set(hosts=gate.hosts(db1="AWAITING_RECOVERY", writer="db2"))
    assert minion("mysql_mmm.set_online", "db1")["changed"] is True
    assert minion("mysql_mmm.set_online", "db1") == {
        "changed": False,
        "comment": "This host is already ONLINE. Skipping command.",
    }
    assert minion("mysql_mmm.move_role", "writer", "db1")["comment"].startswith(
        "Role 'writer' has been moved from 'db2'"
    )
    assert minion("mysql_mmm.writer")["host"] == "db1"
    assert minion("mysql_mmm.set_offline", "db2")["changed"] is True
    with pytest.raises(CommandExecutionError, match="Can't move role to host with state ADMIN_OFFLINE"):
        minion("mysql_mmm.move_role", "writer", "db2")
    with pytest.raises(CommandExecutionError, match="Unknown host name 'nosuch'!"):
        minion("mysql_mmm.set_offline", "nosuch")


@pytest.mark.parametrize("how", ["argument", "option"])
def test_orders_are_only_told_in_a_test(tmp_path, monitor, how):
    options, argument = ({"test": True}, {}) if how == "option" else ({}, {"test": True})
    minion = gate.Minion(tmp_path / "m", mysql_mmm=monitor.settings, **options)
    monitor.set(log="calls")
    assert minion("mysql_mmm.set_offline", "db1", **argument) == {
        "changed": False,
        "comment": "mmm_control set_offline db1 would be run",
    }
    said = minion("mysql_mmm.move_role", "writer", "db2", cluster="C1", **argument)
    assert said["comment"] == "mmm_control @C1 move_role writer db2 would be run"
    assert not (monitor.directory / "calls").exists()
    assert minion("mysql_mmm.writer")["host"] == "db1"


def test_an_order_is_carried_out_where_the_minions_test_option_is_overruled(tmp_path, monitor):
    minion = gate.Minion(tmp_path / "m", mysql_mmm=monitor.settings, test=True)
    assert minion("mysql_mmm.set_offline", "db1", test=False)["changed"] is True


def test_waiting_opens_after_enough_good_rounds_in_a_row(minion, monitor):
    answer = minion("mysql_mmm.wait_writer_ready", timeout=20, successes=3, interval=0.1, sql=False)
    assert (answer["ready"], answer["rounds"], minion.retcode) == (True, 3, 0)
    assert "short_watch" in gate.warned(answer)


def test_waiting_ends_at_its_timeout_with_the_reason_that_held_it(minion, monitor):
    monitor.set(down=True)
    answer = minion("mysql_mmm.wait_writer_ready", timeout=1, successes=2, interval=0.2, sql=False)
    assert (answer["ready"], gate.codes(answer), minion.retcode) == (False, ["monitor_unreachable"], 1)
    assert answer["rounds"] > 1
    assert answer["waited"] < 3


def test_waiting_never_opens_on_a_writer_that_goes_to_and_fro(minion, monitor):
    def to_and_fro():
        for number in range(200):
            monitor.set(hosts=gate.hosts(("db1", "db2")[number % 2]))
            time.sleep(0.25)

    other = FORK.Process(target=to_and_fro, daemon=True)
    other.start()
    try:
        answer = minion("mysql_mmm.wait_writer_ready", timeout=4, successes=6, interval=0.1, sql=False)
    finally:
        other.kill()
        other.join()
    assert answer["ready"] is False
    assert gate.codes(answer) == ["unstable"]
    assert "then db2" in answer["reasons"][-1]["message"]


def test_waiting_for_what_waiting_cannot_cure_ends_at_once(minion):
    answer = minion("mysql_mmm.wait_writer_ready", cluster="nosuch", sql=False)
    assert (answer["rounds"], gate.codes(answer)) == (1, ["config_error"])


def test_a_node_without_mmm_says_where_to_ask(tmp_path):
    minion = gate.Minion(tmp_path / "m", mysql_mmm={"mmm_control": "/nowhere/mmm_control"})
    answer = minion("mysql_mmm.writer_ready")
    assert gate.codes(answer) == ["config_error"]
    assert answer["reasons"][0]["message"].startswith(
        "/nowhere/mmm_control is not on this node: ask the monitor's node"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not lock")
def test_a_user_who_may_not_lock_is_told_to_be_root(tmp_path):
    minion = gate.Minion(tmp_path / "m", mysql_mmm={"mmm_control": "/bin/true", "lock": "/run/mmm_control.lock.tests"})
    # Loaded while it can be read: the repository may lie below a directory of root's.
    ready = minion.functions["mysql_mmm.writer_ready"]
    reader, writer = FORK.Pipe(duplex=False)

    def ask():
        os.setuid(65534)
        writer.send(ready())

    asking = FORK.Process(target=ask)
    asking.start()
    assert reader.poll(30)
    answer = reader.recv()
    asking.join()
    assert gate.codes(answer) == ["config_error"]
    assert "run as root" in answer["reasons"][0]["message"]


@pytest.mark.parametrize(
    ("state", "words", "said"),
    [
        ({"down": True}, ["timeout=1", "interval=0.5", "successes=2"], "Can't connect to monitor daemon!"),
        ({}, ["cluster=nosuch"], "No readable config file mmm_mon_nosuch.conf in /etc, /etc/mmm, /etc/mysql-mmm"),
        (
            {"exit": 2, "stderr": "No readable config file mmm_mon.conf in /etc"},
            [],
            "No readable config file mmm_mon.conf",
        ),
    ],
)
def test_the_wait_from_the_command_line_fails_in_one_sentence(minion, monitor, state, words, said):
    monitor.set(**state)
    status, out, err = minion.call("mysql_mmm.wait_writer_ready", "sql=False", *words)
    (reason,) = json.loads(out)["local"]["reasons"]
    assert (status != 0, err) == (True, "")
    assert said in reason["message"]
    assert "\n" not in reason["message"]


def test_the_wait_from_the_command_line_opens_with_exit_status_0(minion):
    status, out, _ = minion.call("mysql_mmm.wait_writer_ready", "successes=2", "interval=0.1", "sql=False")
    assert (status, json.loads(out)["local"]["ready"]) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mysql_mmm.set_online", ""], "host='' is no name"),
        (["mysql_mmm.wait_writer_ready", "succeses=2"], "succeses"),
        (["mysql_mmm.show", "cluster=nosuch"], "No readable config file"),
        (["mysql_mmm.writer_ready", "connection_pass=secret"], "connection_pass"),
    ],
)
def test_a_wrong_command_fails_in_one_sentence(minion, words, said):
    status, out, err = minion.call(*words)
    assert status != 0
    assert said in out + err
    assert "Traceback" not in out + err
