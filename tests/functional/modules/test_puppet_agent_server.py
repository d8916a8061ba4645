"""Runs of the agent against a real puppetserver."""

import os
import signal
import subprocess

import pytest

pytestmark = pytest.mark.puppetserver

MESSAGE = "prod compute, deployment 20261123024631019888, by root"
SLOW = "exec { '/bin/sh -c \"touch ROOT/begun; sleep SECONDS\"': }"


@pytest.fixture
def environment(puppetserver, agent):
    """Write the manifest of an environment of the server, ``production`` unless named."""

    def write(text, name="production", seconds=0):
        puppetserver.manifest(name, text.replace("ROOT", str(agent.root)).replace("SECONDS", str(seconds)))

    write("")
    return write


def begun(agent):
    return agent.until((agent.root / "begun").exists)


def puppet_pid(agent):
    return int((agent.var / "state/agent_catalog_run.lock").read_text())


def test_an_agent_that_changes_something_and_then_nothing(agent, environment):
    environment("file { 'ROOT/motd': content => 'welcome' }")
    first, second = agent.run(puppet_environment="production"), agent.run()
    assert (first["verdict"], first["exit_code"], first["mode"]) == ("changed", 2, "agent")
    assert (second["verdict"], second["exit_code"], second["environment"]) == ("unchanged", 0, "production")
    assert first["config_version"]
    assert first["changes"][0]["resource"] == f"File[{agent.root}/motd]"


def test_a_failing_resource_and_one_that_may_fail(agent, environment):
    environment("exec { 'start-slave': command => '/bin/false' } notify { 'x': }")
    assert (agent.run()["verdict"], agent.run(may_fail="Exec[start-slave]")["verdict"]) == ("failed", "tolerated")


def test_a_cached_catalog_does_not_hide_a_compile_error(agent, environment):
    assert agent.run()["verdict"] == "unchanged"
    environment("notify { 'x': message => no_such_function() }")
    assert agent.bare() == 0
    outcome = agent.run(may_fail="*")
    assert (outcome["verdict"], outcome["exit_code"]) == ("no_catalog", 1)
    assert "Unknown function: 'no_such_function'" in outcome["reason"]


def test_a_cached_catalog_does_not_hide_a_server_that_is_down(agent, environment):
    assert agent.run()["verdict"] == "unchanged"
    agent.conf(serverport=1)
    assert agent.bare("--server_list=localhost:1") == 0
    outcome = agent.run()
    assert (outcome["verdict"], outcome["exit_code"]) == ("no_catalog", 1)
    assert "Connection refused" in outcome["reason"]


def test_an_environment_that_the_server_does_not_have_runs_nothing(agent, environment):
    environment("file { 'ROOT/made-by-production': ensure => present }")
    outcome = agent.run(puppet_environment="nosuch")
    assert outcome["verdict"] == "no_catalog"
    assert "Environment 'nosuch' not found on server" in outcome["reason"]
    assert not (agent.root / "made-by-production").exists()
    assert agent.bare("--environment=nosuch") == 2
    assert (agent.root / "made-by-production").exists()


def test_an_environment_by_its_name_is_run(agent, environment):
    environment("file { 'ROOT/made-by-test': ensure => present }", name="test")
    outcome = agent.run(puppet_environment="test")
    assert (outcome["verdict"], outcome["environment"]) == ("changed", "test")


def test_a_certificate_that_is_not_signed_is_told_with_its_cure(agent, environment):
    agent.conf(certname="stranger.bad.test", ssldir=agent.var / "ssl", http_keepalive_timeout=0)
    outcome = agent.run()
    assert (outcome["verdict"], outcome["exit_code"]) == ("not_started", 1)
    cure = "the certificate of stranger.bad.test is not signed: puppetserver ca sign --certname stranger.bad.test"
    assert outcome["reason"] == cure


def test_an_agent_that_is_told_to_stop_exits_0_and_is_killed(agent, environment):
    environment(SLOW, seconds=30)
    agent.start(run_id="r1")
    begun(agent)
    os.kill(puppet_pid(agent), signal.SIGTERM)
    outcome = agent.wait("r1")
    assert (outcome["verdict"], outcome["exit_code"]) == ("killed", 0)


def test_another_run_of_the_agent_is_waited_for_and_then_busy(agent, environment):
    environment(SLOW, seconds=9)
    command = ["puppet", "agent", "--onetime", "--no-daemonize", f"--confdir={agent.etc}", f"--vardir={agent.var}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        begun(agent)
        environment("")
        busy, waited = agent.run(lock_timeout=1), agent.run()
    assert busy["verdict"] == "busy"
    assert "puppet agent" in busy["reason"]
    assert (waited["verdict"], waited["log_tail"][-1][:15]) == ("unchanged", "Notice: Applied")


def test_a_disabled_agent_says_why(agent, environment):
    agent.disable("maintenance by bob")
    outcome = agent.run()
    assert outcome["verdict"] == "disabled"
    assert "maintenance by bob; puppet_agent.enable ends that" in outcome["reason"]
    assert agent.enable() == {"enabled": True, "disabled_message": None, "changed": True}
    assert agent.run()["verdict"] == "unchanged"


def test_no_setting_of_a_node_bends_the_truth(agent, environment):
    agent.conf(report="false", runtimeout=3, usecacheonfailure="true", waitforlock=5, splay="true", show_diff="true")
    agent.conf(use_cached_catalog="true", noop="true", log_level="err")
    environment(SLOW + "file { 'ROOT/motd': content => 'a secret' }", seconds=4)
    (agent.root / "motd").write_text("older")
    outcome = agent.run(noop=False)
    assert (outcome["verdict"], outcome["noop"], outcome["resources"]["changed"]) == ("changed", False, 2)
    assert "a secret" not in str(outcome)
    assert agent.run()["noop"] is True
    environment("notify { 'x': message => no_such_function() }")
    assert agent.run()["verdict"] == "no_catalog"


# -- a quiet agent ---------------------------------------------------------------------------------


def test_the_service_that_a_catalog_starts_stays_quiet_while_the_run_goes(puppetserver, agent):
    """The daemon is what the ``puppet`` service starts."""
    puppetserver.manifest("production", f"file {{ '{agent.root}/motd': content => 'welcome' }}")
    agent.quiet("prod", MESSAGE)
    command = ["puppet", "agent", "--no-daemonize", "--verbose", "--color=false", "--runinterval=1"]
    command += ["--logdest=console", "--waitforlock=1", f"--confdir={agent.etc}", f"--vardir={agent.var}"]
    log = agent.root / "daemon.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        turned_away = f"administratively disabled (Reason: '{MESSAGE}')"
        agent.until(lambda: log.read_text().count(turned_away) >= 2)
        assert agent.run()["verdict"] == "disabled"
        outcome = agent.run(quiet_owner="prod")
        assert (outcome["verdict"], outcome["resources"]["changed"]) == ("changed", 1)
        told = log.read_text().count(turned_away)
        agent.until(lambda: log.read_text().count(turned_away) > told)
        assert "Applied catalog" not in log.read_text()
        agent.unquiet("prod")
        agent.until(lambda: "Applied catalog" in log.read_text())
    finally:
        daemon.kill()
        daemon.wait()


def test_a_lock_in_an_unusual_place_is_found_by_a_run_of_the_agent(puppetserver, agent):
    puppetserver.manifest("production", "")
    agent.conf(agent_disabled_lockfile=agent.root / "elsewhere/disabled.lock")
    agent.quiet("prod", MESSAGE)
    assert agent.bare() == 1
    assert agent.run()["verdict"] == "disabled"
    assert agent.run(quiet_owner="prod")["verdict"] == "unchanged"
    agent.unquiet("prod")
    assert agent.run()["verdict"] == "unchanged"


def test_an_agent_that_a_person_disables_meanwhile_turns_the_owners_runs_away(puppetserver, agent):
    puppetserver.manifest("production", "")
    agent.quiet("prod", MESSAGE)
    agent.disable("for bob")
    outcome = agent.run(quiet_owner="prod")
    assert outcome["verdict"] == "disabled"
    assert "for bob; puppet_agent.enable ends that" in outcome["reason"]
