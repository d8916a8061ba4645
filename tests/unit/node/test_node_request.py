"""What a caller may ask for, and the command line that it becomes."""

import captured
import pytest
import salt.exceptions
from os_orchestrator.node import request


def test_the_command_of_an_agent_asks_for_the_truth():
    command = request.command("/bin/puppet", {}, captured.asked(), "/run/r1/report.yaml")
    assert command[:2] == ["/bin/puppet", "agent"]
    assert {"--onetime", "--no-daemonize", "--detailed-exitcodes", "--no-usecacheonfailure"} <= set(command)
    assert {"--lastrunreport=/run/r1/report.yaml", "--report", "--no-show_diff", "--runtimeout=0"} <= set(command)
    assert not {"--noop", "--no-noop"} & set(command)


def test_the_command_carries_what_was_asked_for():
    asked = captured.asked(noop=False, tags="a,b::c", skip_tags=["d"], puppet_environment="test", show_diff=True)
    command = request.command("puppet", {"confdir": "/c", "vardir": "/v"}, asked, "r")
    assert {"--no-noop", "--tags=a,b::c", "--skip_tags=d", "--environment=test", "--show_diff"} <= set(command)
    assert {"--confdir=/c", "--vardir=/v", "--strict_environment_mode"} <= set(command)


def test_the_command_of_apply_ends_with_its_manifest():
    asked = captured.asked(mode="apply", manifest="/etc/site.pp", noop=True)
    command = request.command("puppet", {"modulepath": "/m:/n"}, asked, "r")
    assert command[1] == "apply"
    assert command[-2:] == ["--modulepath=/m:/n", "/etc/site.pp"]
    assert "--noop" in command
    assert "--onetime" not in command


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"noop": "yes"}, "noop='yes'"),
        ({"noop": 1}, "noop=1"),
        ({"show_diff": None}, "show_diff=None"),
        ({"tags": "a;b"}, "tags='a;b'"),
        ({"tags": ["a b"]}, "tags='a b'"),
        ({"tags": ["--noop x"]}, "tags='--noop x'"),
        ({"tags": {"a": 1}}, "tags={'a': 1}"),
        ({"skip_tags": [1]}, "skip_tags=1"),
        ({"puppet_environment": "Prod"}, "puppet_environment='Prod'"),
        ({"puppet_environment": "a b"}, "puppet_environment='a b'"),
        ({"puppet_environment": "prod\n"}, "puppet_environment='prod\\n'"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "600"}, "timeout='600'"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": 10**12}, "timeout=1000000000000"),
        ({"lock_timeout": -1}, "lock_timeout=-1"),
        ({"may_fail": [""]}, "may_fail=['']"),
        ({"may_fail": 5}, "may_fail=5"),
        ({"mode": "solo"}, "mode='solo'"),
        ({"quiet_owner": "a b"}, "quiet_owner='a b'"),
        ({"quiet_owner": 5}, "quiet_owner=5"),
        ({"mode": "apply"}, "manifest=None"),
        ({"manifest": "/etc/site.pp"}, "manifest='/etc/site.pp'"),
        ({"mode": "apply", "manifest": "site.pp"}, "manifest='site.pp'"),
        ({"mode": "apply", "manifest": "/x\ny"}, "manifest='/x\\ny'"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(asked, named):
    with pytest.raises(salt.exceptions.SaltInvocationError) as refused:
        captured.asked(**asked)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_asked_may_come_as_the_command_line_sends_it():
    asked = captured.asked(tags="a, b", may_fail="Exec[x, y]", timeout=1.5)
    assert (asked["tags"], asked["may_fail"]) == (["a", "b"], ["Exec[x, y]"])


def test_the_settings_of_a_node_are_taken_or_refused():
    assert request.node_settings({}) == {}
    found = request.node_settings({"modulepath": ["/a", "/b"], "confdir": "", "mode": "apply"})
    assert found == {"modulepath": "/a:/b", "mode": "apply"}
    with pytest.raises(salt.exceptions.CommandExecutionError, match="puppet, confdir, vardir, mode"):
        request.node_settings({"confidr": "/etc"})
    with pytest.raises(salt.exceptions.CommandExecutionError, match="nothing else"):
        request.node_settings(["confdir"])
    with pytest.raises(salt.exceptions.SaltInvocationError, match="puppet_agent:vardir='var'"):
        request.node_settings({"vardir": "var"})
