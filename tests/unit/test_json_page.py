"""docs/json.md says what the commands print: each field with its type, and nothing else."""

import pytest
from nodes import DEPLOYMENT, DEPLOYMENTS, SCENARIO, chunks, deployed, small_site
from os_orchestrator import journal, plan, report
from tables import fields, is_of

PAGE = fields("json.md")


def described(*headings):
    return {name: words for heading in headings for name, words in PAGE[heading].items()}


def holds(row, *headings):
    known = described(*headings)
    assert set(row) == set(known)
    for name, value in row.items():
        assert is_of(value, known[name]), (name, value)


def the_nodes(found):
    return [node for phase in found["phases"] for node in phase.get("nodes", ())]


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_is_as_described(name, tmp_path):
    record = deployed(tmp_path, name).journal
    found = report.summary(record.deployment(DEPLOYMENT))
    holds(found, "deployment.run, resume, puppet, watch, show")
    for phase in found["phases"]:
        holds(phase, "A phase", "More of a gate" if phase["kind"] == "gate" else "More of a Puppet phase")
    for node in the_nodes(found):
        holds(node, "A node", *(["More of a node that has been started"] if "run_id" in node else []))
    history = report.history(record.deployments())
    holds(history, "deployment.history")
    holds(history["deployments"][0], "A row of the history")


def test_the_status_is_as_described(tmp_path):
    found = deployed(tmp_path, "interrupted").journal.deployment(DEPLOYMENT)
    found["phases"][2]["state"] = "running"
    status = report.status([{**found, "state": "running"}])
    holds(status, "deployment.status")
    holds(status["deployments"][0], "deployment.run, resume, puppet, watch, show", "More of a deployment that runs")
    for node in the_nodes(status["deployments"][0]):
        started = ["More of a node that has been started"] if "run_id" in node else []
        holds(node, "A node", *started, "More of its nodes")


def test_a_plan_is_as_described(tmp_path):
    built = plan.build(chunks(SCENARIO), small_site(tmp_path).environment({}, "prod"))
    found = report.plan(built, {"cmp1": "no answer"}, {"Controllers are installed": 4.0})
    holds(found, "deployment.plan")
    for phase in found["phases"]:
        kind = "gate" if phase["kind"] == "gate" else "Puppet phase"
        holds(phase, "A phase of a plan", f"More of a {kind} of a plan")


def test_what_ends_a_deployment_is_as_described(tmp_path):
    found = deployed(tmp_path, "good").journal.deployment(DEPLOYMENT)
    holds(report.stopped(found, "bob", False, {}), "deployment.stop")
    holds(report.unlocked(journal.Claim("prod", "1", "alice", 4711, 5.0, False)), "deployment.unlock")
