"""A node's own agent is kept quiet for a deployment whose runs go all the same, with real Puppet."""

import json
import subprocess

import pytest
import salt.exceptions

MESSAGE = "prod compute, deployment 20261123024631019888, by root"


def lock(node):
    return node.var / "state/agent_disabled.lock"


def test_quiet_disables_the_agent_as_puppet_does_and_unquiet_enables_it(node):
    first = node.quiet("prod", MESSAGE)
    assert first == {
        "quiet": True,
        "owners": ["prod"],
        "enabled": False,
        "disabled_message": MESSAGE,
        "changed": True,
        "reason": "",
    }
    assert node.quiet("prod", MESSAGE) == {**first, "changed": False}
    assert node.bare() == 1
    found = node.status()
    assert (found["enabled"], found["disabled_message"]) == (False, MESSAGE)
    assert found["quiet"] == [{"owner": "prod", "message": MESSAGE, "since": found["quiet"][0]["since"]}]
    after = node.unquiet("prod")
    assert after == {**first, "quiet": False, "owners": [], "enabled": True, "disabled_message": None}
    assert (node.status()["enabled"], node.status()["quiet"], lock(node).exists()) == (True, [], False)


def test_puppets_own_disable_does_not_replace_a_quiet_and_this_modules_does(node):
    node.quiet("prod", MESSAGE)
    command = ["puppet", "agent", "--disable", "for bob", f"--confdir={node.etc}", f"--vardir={node.var}"]
    subprocess.run(command, check=True, capture_output=True)
    assert node.status()["disabled_message"] == MESSAGE
    assert node.disable("for bob") == {"enabled": False, "disabled_message": "for bob", "changed": True}
    assert json.loads(lock(node).read_text()) == {"disabled_message": "for bob"}
    after = node.unquiet("prod")
    assert (after["enabled"], after["disabled_message"], after["changed"]) == (False, "for bob", False)
    assert after["reason"] == "somebody has enabled or disabled the agent since, and it stays so"


def test_an_agent_disabled_before_stays_so_and_turns_every_run_away(node):
    node.disable("for bob")
    answer = node.quiet("prod", MESSAGE)
    assert (answer["quiet"], answer["disabled_message"], answer["changed"]) == (False, "for bob", False)
    assert node.run(quiet_owner="prod")["verdict"] == "disabled"
    assert node.unquiet("prod")["disabled_message"] == "for bob"
    assert node.enable()["changed"] is True


def test_enable_ends_a_quiet_and_says_that_it_did(node):
    node.quiet("prod", MESSAGE)
    assert node.enable() == {"enabled": True, "disabled_message": None, "changed": True}
    again = node.quiet("prod", MESSAGE)
    assert (again["quiet"], again["enabled"]) == (False, True)
    assert again["reason"] == "somebody has enabled the agent since this was asked for, and it stays so"
    assert node.unquiet("prod")["changed"] is False


def test_a_run_of_mode_apply_goes_for_its_owner_alone(node):
    node.quiet("prod", MESSAGE)
    node.manifest("notify { 'hello': }")
    assert node.run(quiet_owner="prod")["verdict"] == "changed"
    for owner in (None, "blue"):
        outcome = node.run(quiet_owner=owner)
        assert (outcome["verdict"], MESSAGE in outcome["reason"]) == ("disabled", True)
    node.unquiet("prod")
    assert node.run(quiet_owner="prod")["verdict"] == "changed"


def test_a_run_is_the_same_run_for_another_owner(node):
    assert node.run(run_id="r1", quiet_owner="prod") == node.run(run_id="r1", quiet_owner="blue")


def test_what_cannot_be_written_down_is_told_in_one_sentence(node):
    (node.root / "cache/puppet_agent").write_text("")
    told = r"^who keeps the agent quiet cannot be written down: .*/cache/puppet_agent"
    with pytest.raises(salt.exceptions.CommandExecutionError, match=told):
        node.quiet("prod", MESSAGE)
    assert node.status()["enabled"] is True


@pytest.mark.parametrize("owner", ["", "a b", "-x", 5, None, "x" * 129])
def test_a_wrong_owner_or_message_is_refused(node, owner):
    for ask in (lambda: node.quiet(owner, MESSAGE), lambda: node.unquiet(owner)):
        with pytest.raises(salt.exceptions.SaltInvocationError, match="is not possible: it must be"):
            ask()
    with pytest.raises(salt.exceptions.SaltInvocationError, match="one line that says why"):
        node.quiet("prod", "two\nlines")
