"""Compute in wrong orders, and what happens to nodes in mid-run."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _deployed(compute):
    """Compute as it should be, before it is broken."""


def test_a_minion_that_puppet_restarts_in_mid_run_ends_in_a_true_verdict(lab):
    """Under systemd what is left in the minion's control group is killed with it; the run is in none of it."""
    node = lab.nodes["ep1"]
    before = node.run("systemctl", "show", "--property=MainPID", "salt-minion")
    done = lab.deploy("puppet", "restarting", "upgraded")
    assert node.run("systemctl", "show", "--property=MainPID", "salt-minion") != before
    assert (done.status, done.all_verdicts()) == (0, {"changed"}), done.progress
    assert node.run("cat", "/root/after-the-restart")
    run_id = done.answer["phases"][0]["nodes"][0]["run_id"]
    assert "Deactivated successfully" in node.run("journalctl", "--unit", f"puppet-agent-run-{run_id}")


def test_an_error_of_the_server_that_passes_is_met_by_a_retry_which_the_journal_shows(lab):
    done = lab.deploy("puppet", "transient", "fresh")
    assert done.status == 0, done.progress
    nodes = done.answer["phases"][0]["nodes"]
    assert {node["node"]: (node["verdict"], node["attempt"]) for node in nodes} == dict.fromkeys(
        ("cmp1", "cmp2", "ep1"), ("unchanged", 2)
    )


def test_an_endpoint_before_compute_nodes_is_caught_by_its_gate_alone(lab):
    """Hidden: HAProxy starts without an error and answers 503."""
    lab.forget("cmp1", "cmp2")
    lab.replace_disk("ep1")
    done = lab.deploy("run", "lab", "wrong.endpoint_first")
    assert done.verdicts("The endpoint is installed") == {"ep1": "changed"}
    assert (done.status, done.phase("The endpoint serves every compute node")["state"]) == (1, "failed")


@pytest.mark.slow
def test_compute_nodes_without_a_writer_are_held_by_its_gate_and_fail_without_it(lab):
    lab.replace_disk("cmp1")
    for name in ("ctl1", "ctl2"):
        lab.nodes[name].run("systemctl", "stop", "keepalived")
    held = lab.deploy("run", "lab", "wrong.writer_lost")
    assert (held.status, held.verdicts("Compute nodes are installed")) == (1, {"cmp1": None, "cmp2": None})
    done = lab.deploy("run", "lab", "wrong.compute_without_writer")
    assert done.status == 1
    assert done.verdicts("Compute nodes are installed")["cmp1"] in ("failed", "timed_out")
    healed = lab.deploy("run", "lab", "compute")
    assert healed.status == 0, healed.progress
