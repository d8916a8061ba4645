"""What puppet_agent tells of a node, with real Puppet."""

import json
import subprocess

import pytest
import salt.exceptions


def test_a_node_tells_how_its_puppet_is(node):
    found = node.status()
    assert found == {
        "puppet": found["puppet"],
        "puppet_version": subprocess.check_output(["puppet", "--version"], text=True).strip(),
        "enabled": True,
        "disabled_message": None,
        "quiet": [],
        "applying": False,
        "lock": None,
        "runs": [],
        "last_run": None,
    }


def test_the_agent_is_disabled_and_enabled_and_says_whether_that_was_news(node):
    assert node.enable() == {"enabled": True, "disabled_message": None, "changed": False}
    first, second = node.disable("for bob"), node.disable("for alice")
    assert (first["changed"], second["changed"], second["disabled_message"]) == (True, False, "for bob")
    found = node.status()
    assert (found["enabled"], found["disabled_message"]) == (False, "for bob")
    assert node.enable() == {"enabled": True, "disabled_message": None, "changed": True}


def test_a_message_is_one_argument_whatever_it_holds(node):
    message = "new disks; $(reboot) 'until' \"Friday\" --enable"
    assert node.disable(message)["disabled_message"] == message


def test_an_agent_that_cannot_be_disabled_is_an_error(node):
    node.enable()
    (node.var / "state/agent_disabled.lock").symlink_to("/nowhere/lock")
    with pytest.raises(salt.exceptions.CommandExecutionError):
        node.disable("for bob")


def test_the_last_run_is_ours_or_else_puppets_own(node):
    with pytest.raises(salt.exceptions.CommandExecutionError, match="Puppet has not run on this node"):
        node.last_run()
    node.manifest("notify { 'hello': }")
    command = ["puppet", "apply", f"--confdir={node.etc}", f"--vardir={node.var}", str(node.root / "site.pp")]
    subprocess.run(command, check=True, capture_output=True)
    own = node.last_run()
    assert (own["run_id"], own["verdict"], own["exit_code"], own["resources"]["changed"]) == (None, "changed", None, 1)
    assert own["finished"]
    outcome = node.run(run_id="r1")
    assert (node.last_run(), node.last_run("r1")) == (outcome, outcome)
    short = node.status()["last_run"]
    assert short == {name: outcome[name] for name in short}


def test_a_node_without_puppet_tells_so(bare_node):
    node = bare_node.load(puppet="/opt/nowhere/puppet")
    found = node.status()
    assert (found["puppet"], found["puppet_version"], found["enabled"]) == (None, None, None)
    for verb in (node.enable, node.last_run, lambda: node.disable("for bob")):
        with pytest.raises(salt.exceptions.CommandExecutionError, match="Puppet is not on this node"):
            verb()


def test_a_puppet_that_fails_to_answer_is_an_error(bare_node):
    broken = bare_node.root / "puppet"
    broken.write_text("#!/bin/sh\necho 'Error: no ruby' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(salt.exceptions.CommandExecutionError, match="puppet config failed: no ruby"):
        bare_node.load(puppet=str(broken)).status()


@pytest.mark.parametrize("arguments", [["nop=True"], ["message=hello"], ["timeout=soon"], ["noop=maybe"]])
def test_the_command_line_refuses_in_one_sentence_what_it_does_not_know(node, arguments):
    job = node.background("puppet_agent.run", *arguments)
    stdout, stderr = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "Traceback" not in stdout + stderr
    assert not (node.root / "cache/puppet_agent").exists()


def test_a_bad_verdict_is_the_exit_status_of_the_command(node):
    node.manifest("exec { '/bin/false': }")
    job = node.background("puppet_agent.run")
    outcome = json.loads(job.communicate(timeout=60)[0])["local"]
    assert (outcome["verdict"], job.returncode) == ("failed", 1)
