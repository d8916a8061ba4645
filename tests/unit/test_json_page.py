"""docs/json.md says what the commands print: each field with its type, and nothing else."""

import pytest
from nodes import DEPLOYMENT, DEPLOYMENTS, ROLLING, SCENARIO, chunks, deployed, rolling_site, small_site
from os_orchestrator import journal, plan, report
from tables import fields, is_of

PAGE = fields("json.md")
MORE = {"gate": "More of a gate", "confirm": "More of a confirmation"}


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
        holds(phase, "A phase", MORE.get(phase["kind"], "More of a phase over nodes"))
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


@pytest.mark.parametrize(("site", "scenario"), [(small_site, SCENARIO), (rolling_site, ROLLING)])
def test_a_plan_is_as_described(tmp_path, site, scenario):
    built = plan.build(chunks(scenario), site(tmp_path).environment({}, "prod"))
    found = report.plan(built, {"cmp1": "no answer"}, {"Controllers are installed": 4.0})
    holds(found, "deployment.plan")
    for phase in found["phases"]:
        more = "More of a gate of a plan" if phase["kind"] == "gate" else "More of any other phase of a plan"
        holds(phase, "A phase of a plan", more)


def test_what_ends_a_deployment_is_as_described(tmp_path):
    found = deployed(tmp_path, "good").journal.deployment(DEPLOYMENT)
    holds(report.stopped(found, "bob", False, {}, {}), "deployment.stop")
    claim = journal.Claim("prod", "1", "alice", 4711, 5.0, False)
    holds(report.unlocked(claim, {"cmp1": "no answer"}), "deployment.unlock")


def test_what_an_operator_has_answered_is_as_described(tmp_path):
    found = deployed(tmp_path, "rolling").journal.deployment(DEPLOYMENT)
    holds(report.decided(found, found["phases"][1], "confirm", "bob", ""), "deployment.confirm, deny")
    intervention = {"what": "confirm", "user": "bob", "force": False, "phase": 2, "reason": "two started"}
    assert found["interventions"] == [{**intervention, "at": found["phases"][1]["ended"]}]


def test_a_call_is_as_described(tmp_path):
    found = report.summary(deployed(tmp_path, "rolling").journal.deployment(DEPLOYMENT))
    calls = [call for node in the_nodes(found) for call in node["calls"]]
    assert {call["what"] for call in calls} == {"before", "check", "after", "calls"}
    described_as = PAGE["More of a node that has been started"]
    assert "calls" in described_as
    for call in calls:
        assert list(call) == ["what", "function", "nodes", "good", "said", "seconds", "times"]
