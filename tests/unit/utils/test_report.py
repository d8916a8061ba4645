"""Plans and deployments as plain data: the same for the terminal, for JSON and for a page."""

import json

import pytest
from nodes import DEPLOYMENT, DEPLOYMENTS, SCENARIO, chunks, deployed, small_site
from os_orchestrator import plan, report, verdicts


def planned(master, absent=(), **options):
    built = plan.build(chunks(SCENARIO), master.environment({}, "prod"), **options)
    return report.plan(built, dict(absent), master.journal.seconds("prod", "compute"))


@pytest.fixture
def summary(tmp_path):
    return lambda name: report.summary(deployed(tmp_path / name, name).journal.deployment(DEPLOYMENT))


# -- a plan --------------------------------------------------------------------------------------------------------


def test_a_plan_has_its_phases_with_nodes_and_options_that_are_not_the_default(tmp_path):
    found = planned(small_site(tmp_path), noop=True)
    assert (found["kind"], found["environment"], found["scenario"], found["noop"]) == ("plan", "prod", "compute", True)
    third = found["phases"][2]
    assert (third["number"], third["name"], third["kind"]) == (3, "Compute nodes are installed", "puppet")
    assert (third["roles"], third["nodes"], third["left_out"]) == (["compute"], ["cmp1", "cmp2"], "")
    assert third["options"]["may_fail"] == ["Exec[start-slave]"]
    assert third["options"]["timeout"] == 100
    assert not {"tags", "noop", "manifest", "retries"} & set(third["options"])


def test_a_plan_says_what_each_gate_asks(tmp_path):
    gate = planned(small_site(tmp_path))["phases"][1]
    assert gate["gate"] == {"name": "writer", "successes": 2, "interval": 4, "timeout": 30}
    assert [(check["function"], check["role"], check["expect"]) for check in gate["checks"]] == [
        ("mysql_mmm.writer_ready", "controller", True)
    ]
    assert "options" not in gate


def test_a_plan_says_who_is_missing_where_it_would_run(tmp_path):
    absent = {"cmp2": "no key", "ctl1": "no answer"}
    found = planned(small_site(tmp_path), absent, selection=plan.Selection((), 3))
    assert [phase["missing"] for phase in found["phases"]] == [{}, {}, {"cmp2": "no key"}, {}]


def test_a_plan_says_who_is_not_asked_and_that_it_is_partial(tmp_path):
    found = planned(small_site(tmp_path), selection=plan.Selection(("cmp1",)))
    assert found["partial"]
    assert found["phases"][2]["not_asked"] == {"cmp2": "not among nodes="}


def test_a_plan_says_how_long_each_phase_took_when_it_last_succeeded(tmp_path):
    found = planned(deployed(tmp_path, "failed"))
    assert [phase["last_seconds"] is not None for phase in found["phases"]] == [True, True, False, False]


# -- a deployment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_every_node_of_every_phase_that_ran_has_exactly_one_row(name, summary):
    found = summary(name)
    assert json.loads(json.dumps(found)) == found
    for phase in found["phases"]:
        if phase["kind"] == "puppet":
            nodes = [node["node"] for node in phase["nodes"]]
            assert len(nodes) == len(set(nodes))
            if phase["state"] in ("succeeded", "failed"):
                assert all(node["verdict"] in verdicts.GOOD for node in phase["nodes"])


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_succeeded_exactly_when_all_that_was_asked_was_good(name, summary):
    found = summary(name)
    nodes = [node for phase in found["phases"] for node in phase.get("nodes", ())]
    states = {phase["state"] for phase in found["phases"]}
    all_good = all(node["good"] for node in nodes) and states <= {"succeeded", "left_out"}
    assert (found["state"] == "succeeded") is all_good
    assert bool(found["reason"]) is not all_good


def test_a_node_has_what_became_of_it(summary):
    node = summary("failed")["phases"][2]["nodes"][1]
    assert (node["node"], node["verdict"], node["good"], node["attempt"]) == ("cmp2", "failed", False, 1)
    assert node["run_id"] == f"{DEPLOYMENT}-3-1-1"
    assert node["did"] == node["reason"]
    assert [failure["resource"] for failure in node["failures"]] == ["Exec[start-slave]", "Notify[after]"]
    assert node["resources"]["failed"] == 1
    assert node["seconds"] == 2.8
    assert node["ended"] > node["started"]


def test_the_last_attempt_of_a_node_is_the_one_that_counts(summary):
    node = summary("tried_again")["phases"][2]["nodes"][1]
    assert (node["verdict"], node["attempt"]) == ("changed", 2)


def test_a_node_that_still_runs_has_no_verdict_and_what_is_known_of_it(summary):
    node = summary("interrupted")["phases"][2]["nodes"][0]
    assert (node["verdict"], node["good"]) == (None, False)
    assert node["did"] == node["note"] == "goes on on its node, the deployment was interrupted"


def test_a_node_that_was_not_reached_has_an_empty_row_with_the_same_fields(summary):
    reached, other = summary("good")["phases"][2]["nodes"][0], report._node("cmp9", None)
    assert set(other) <= set(reached)
    assert (other["verdict"], other["good"]) == (None, False)


def test_a_gate_has_its_rounds_and_the_last_answers(summary):
    _, gate, later, _ = summary("gate_held")["phases"]
    assert (gate["state"], gate["rounds"]) == ("failed", 8)
    assert [answer["good"] for answer in gate["answers"]] == [False, True]
    assert "nodes" not in gate
    assert (later["state"], later["seconds"]) == ("planned", None)


def test_excluded_nodes_are_told_with_the_reasons(summary):
    found = summary("excluded")
    assert (found["excluded"], found["partial"]) == ({"cmp2": "disk broken, ticket 4711"}, True)
    assert summary("good")["excluded"] == {}


def test_the_history_and_the_status_are_of_deployments_as_the_journal_has_them(tmp_path):
    record = deployed(tmp_path, "failed").journal
    (head,) = report.history(record.deployments())["deployments"]
    assert (head["id"], head["state"], head["user"], head["door"]) == (DEPLOYMENT, "failed", "alice", "deployment.run")
    assert head["seconds"] == pytest.approx(36.2, abs=0.1)
    assert report.status([record.deployment(DEPLOYMENT)])["deployments"][0]["phases"][2]["state"] == "failed"
    running = {**record.deployments()[0], "ended": None}
    assert report.history([running])["deployments"][0]["seconds"] is None


@pytest.mark.parametrize(
    ("state", "running", "said"),
    [
        ("succeeded", [], "prod compute, deployment 1, has succeeded before it could be stopped"),
        ("interrupted", [], "prod compute, deployment 1, is interrupted: stopped by bob"),
        (
            "running",
            ["n1", "n2"],
            "prod compute, deployment 1, starts nothing more, and waits for n1, n2;"
            " salt-run deployment.watch prod shows its end",
        ),
        (
            "running",
            [],
            "prod compute, deployment 1, starts nothing more; salt-run deployment.watch prod shows its end",
        ),
    ],
)
def test_what_became_of_a_stop_is_one_sentence(state, running, said):
    runs = [{"node": node, "verdict": None, "run_id": "r"} for node in running]
    found = {"id": "1", "environment": "prod", "scenario": "compute", "state": state, "reason": "stopped by bob"}
    answer = report.stopped({**found, "phases": [{"runs": runs}]}, "bob", False, {}, {})
    assert (answer["text"], answer["running"], answer["user"]) == (said, running, "bob")


def test_who_is_not_asked_has_that_verdict_in_every_phase(summary):
    found = summary("partial")
    verdicts_of = [{node["node"]: node["verdict"] for node in phase.get("nodes", ())} for phase in found["phases"]]
    assert verdicts_of == [
        {"ctl1": "not_asked", "ctl2": "not_asked"},
        {},
        {"cmp1": "changed", "cmp2": "not_asked"},
        {},
    ]
    (node,) = [node for node in summary("excluded")["phases"][2]["nodes"] if node["verdict"] == "not_asked"]
    assert (node["node"], node["good"], node["reason"]) == ("cmp2", True, "excluded: disk broken, ticket 4711")


def test_what_became_of_the_runs_of_an_interrupted_deployment_is_said(tmp_path):
    found = {**deployed(tmp_path, "interrupted").journal.deployment(DEPLOYMENT), "phases": []}
    over = report.stopped(found, "bob", True, {"n1": "killed", "n2": "not begun"}, {"n1": "no answer"})
    some = report.stopped(found, "bob", True, {"n1": "killed", "n2": "", "n3": ""}, {})
    title = f"prod compute, deployment {DEPLOYMENT}, had been interrupted; "
    assert over["text"] == (
        f"{title}of the runs that were left on its nodes: n1 killed, n2 not begun;"
        " salt-run deployment.resume prod goes on from there; agents are still quiet on n1 (no answer)"
    )
    assert some["text"] == (
        f"{title}of the runs that were left on its nodes: n1 killed;"
        " no end was heard of from n2,n3, look with: salt -L n2,n3 puppet_agent.status"
    )
    assert (over["running"], some["running"]) == ([], ["n2", "n3"])
