"""What happens to a minion, or to the server, in mid-run."""

import pytest


def _run_outlives_the_minion(lab, name, *words):
    """Let Puppet restart a node's minion in mid-run: what is left in the minion's control group is killed with it."""
    node = lab.nodes[name]
    before = node.run("systemctl", "show", "--property=MainPID", "salt-minion")
    done = lab.deploy("puppet", *words)
    assert node.run("systemctl", "show", "--property=MainPID", "salt-minion") != before
    assert (done.status, done.all_verdicts()) == (0, {"changed"}), done.progress
    assert node.run("cat", "/root/after-the-restart")
    run_id = done.answer["phases"][0]["nodes"][0]["run_id"]
    assert "Deactivated successfully" in node.run("journalctl", "--unit", f"puppet-agent-run-{run_id}")


def test_a_minion_that_puppet_restarts_in_mid_run_ends_in_a_true_verdict(lab):
    _run_outlives_the_minion(lab, "ep1", "restarting", "restarted")


def test_an_error_of_the_server_that_passes_is_met_by_a_retry_which_the_journal_shows(lab):
    done = lab.deploy("puppet", "transient", "fresh")
    assert done.status == 0, done.progress
    nodes = done.answer["phases"][0]["nodes"]
    attempts = {node["node"]: (node["verdict"], node["attempt"]) for node in nodes}
    assert attempts == dict.fromkeys(("cmp2", "ep1"), ("unchanged", 2))


@pytest.mark.slow
def test_a_minion_that_puppet_upgrades_in_mid_run_ends_in_a_true_verdict(lab):
    """Salt's files are exchanged under the old minion and under the run that it has started."""
    lab.up("old1")
    older = lab.ask("old1", "test.version")["old1"]
    _run_outlives_the_minion(lab, "old1", "upgrading", "upgraded")
    newer = lab.ask("old1", "test.version")["old1"]
    assert older.startswith("3006.")
    assert newer == lab.ask("ep1", "test.version")["ep1"]
    assert newer in lab.nodes["old1"].run("dpkg-query", "--show", "salt-minion")
