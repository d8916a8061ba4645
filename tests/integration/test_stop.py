"""Ending a deployment from another terminal, and taking the claim of a dead one away."""

import json
import os
import re
import signal

import pytest
from sites import DOORS_SECOND_SLOW


def verdicts(phase):
    return {node["node"]: node["verdict"] for node in phase["nodes"]}


@pytest.mark.parametrize("door", DOORS_SECOND_SLOW)
def test_a_stopped_deployment_starts_nothing_more_lets_the_running_finish_and_is_resumed(site, house, started, door):
    site.define(concurrency=1)
    first = started(*site.arguments(door, "swift"), seconds=15)

    stop = house.salt_run("deployment.stop", site.name)
    out, _ = first.communicate(timeout=60)

    assert stop.returncode == 0, stop.stdout
    answer = stop.data["answer"]
    assert (answer["state"], answer["force"], answer["running"], answer["user"]) == ("interrupted", False, [], "root")
    assert first.returncode == 1
    assert "not started: root stopped the deployment" in out
    shown = site.shown()
    assert verdicts(shown["phases"][0]) == {"n1": "changed", "n2": "interrupted"}
    assert {phase["state"] for phase in shown["phases"][1:]} <= {"planned", "left_out"}
    assert [(each["what"], each["user"], each["force"]) for each in shown["interventions"]] == [("stop", "root", False)]

    site.manifest("n1")
    resumed = house.salt_run("deployment.resume", site.name)
    assert resumed.returncode == 0, resumed.stderr
    assert verdicts(resumed.data["answer"]["phases"][0]) == {"n1": "kept", "n2": "changed"}


def test_force_ends_the_runs_on_the_nodes(site, house, started):
    first = started("deployment.run", site.name, "swift", "--out=json", seconds=60)

    stop = house.salt_run("deployment.stop", site.name, "force=True")
    out, _ = first.communicate(timeout=60)

    assert stop.returncode == 0, stop.stdout
    assert first.returncode == 1
    assert json.loads(out)["answer"]["state"] == "interrupted"
    assert verdicts(site.shown()["phases"][0])["n1"] == "killed"
    assert "n1: killed" not in stop.stdout
    assert not house.salt("n1", "puppet_agent.status").data["n1"]["runs"]


def test_a_stop_that_does_not_wait_says_what_still_runs(site, house, started):
    site.hold("n1")
    first = started("deployment.run", site.name, "swift", seconds=0)

    stop = house.salt_run("deployment.stop", site.name, "wait=0", out=None)
    status = house.salt_run("deployment.status", site.name).data["answer"]["deployments"][0]
    site.let_go("n1")
    first.communicate(timeout=60)

    assert stop.returncode == 1
    assert re.search(r"starts nothing more, and waits for n1(, n2)?; salt-run deployment.watch", stop.stdout)
    assert re.search(r"; root stopped it at [\d:]{8}, nothing more starts$", status["stands"])
    assert first.returncode == 1


def test_a_gate_is_stopped_while_it_waits(site, house, started):
    site.define(gate_timeout=60)
    first = started("deployment.run", site.name, "compute", seconds=0)
    for line in first.stderr:
        if "waiting:" in line:
            break

    stop = house.salt_run("deployment.stop", site.name)
    out, _ = first.communicate(timeout=30)

    assert (stop.returncode, first.returncode) == (0, 1)
    assert "The writer is ready: interrupted" in out
    assert set(site.ran()) == {"n1", "n2"}


@pytest.mark.parametrize("ending", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_force_ends_the_runs_that_an_interrupted_deployment_has_left(site, house, started, ending):
    site.hold("n1")
    site.hold("n2")
    first = started("deployment.run", site.name, "swift", seconds=0)
    os.killpg(first.pid, ending)
    first.communicate(timeout=30)

    refused = house.salt_run("deployment.stop", site.name, out=None)
    stop = house.salt_run("deployment.stop", site.name, "force=True")

    assert refused.returncode == 2
    assert "its runs on n1, n2 may go on; end them with: salt-run deployment.stop" in refused.stdout
    assert stop.returncode == 0, stop.stdout
    assert stop.data["answer"]["running"] == []
    assert "of the runs that were left on its nodes: n1 killed, n2 " in stop.data["answer"]["text"]
    assert not house.puppets("n1")
    assert not house.puppets("n2")
    shown = site.shown()
    assert (shown["state"], verdicts(shown["phases"][0])["n1"]) == ("interrupted", "killed")
    assert "its runs on the nodes have ended (force=True by root)" in shown["reason"]

    site.let_all_go()
    resumed = house.salt_run("deployment.resume", site.name)
    assert resumed.returncode == 0, resumed.stdout
    assert verdicts(resumed.data["answer"]["phases"][0]) == {"n1": "changed", "n2": "changed"}


def test_force_says_on_which_node_a_run_may_go_on(site, house, started):
    site.hold("n1")
    first = started("deployment.run", site.name, "swift", seconds=0)
    first.kill()
    first.wait()
    house.stop_minion("n1")

    stop = house.salt_run("deployment.stop", site.name, "force=True", "wait=5")

    assert stop.returncode == 1
    assert stop.data["answer"]["running"] == ["n1"]
    assert "no end was heard of from n1, look with: salt -L n1 puppet_agent.status" in stop.data["answer"]["text"]
    assert house.puppets("n1")


@pytest.mark.parametrize("command", ["stop", "unlock"])
def test_what_does_not_run_cannot_be_ended(site, house, command):
    never = house.salt_run(f"deployment.{command}", site.name, out=None)
    site.deploy("deployment.run", "swift", from_phase=5)
    over = house.salt_run(f"deployment.{command}", site.name, out=None)

    assert (never.returncode, over.returncode) == (2, 2)
    assert len((never.stdout + over.stdout).splitlines()) == 2
    expected = (
        "nothing is being deployed on" if command == "stop" else "is claimed by nobody; there is nothing to unlock"
    )
    assert expected in over.stdout


def test_a_claim_is_taken_off_only_when_its_process_is_dead(site, house, started):
    site.hold("n1")
    first = started("deployment.run", site.name, "swift", seconds=0)
    refused = house.salt_run("deployment.unlock", site.name, out=None)
    first.kill()
    first.wait()
    site.let_go("n1")
    unlocked = house.salt_run("deployment.unlock", site.name)
    again = house.salt_run("deployment.unlock", site.name, out=None)

    assert refused.returncode == 2
    assert (
        f"that process, pid {first.pid}, is alive; end it with: salt-run deployment.stop {site.name}" in refused.stdout
    )
    assert unlocked.returncode == 0
    answer = unlocked.data["answer"]
    assert (answer["user"], answer["pid"]) == ("root", first.pid)
    assert "whose process has died" in answer["text"]
    assert again.returncode == 2
    shown = site.shown()
    assert (shown["state"], [each["what"] for each in shown["interventions"]]) == ("interrupted", ["unlock"])
    assert house.salt_run("deployment.resume", site.name).returncode == 0
