"""What an earlier deployment leaves to the one that goes on with it."""

import pytest
from os_orchestrator import doors, plan, resume, verdicts


def run(node, verdict, run_id="1-1-1-1", reason="", passing=1, **details):
    row = {"node": node, "pass": passing, "verdict": verdict, "run_id": run_id, "reason": reason}
    return {**row, "details": details}


def kept(was, deployment="1"):
    return verdicts.Outcome("kept", f"{was} in {deployment}", details={"was": was})


def deployment(*runs, state="failed", door="deployment.run", nodes=("n1", "n2")):
    phase = {"name": "One", "kind": "puppet", "state": state, "nodes": list(nodes), "runs": list(runs)}
    head = {"id": "1", "scenario": "swift", "state": state, "door": door, "digest": "old"}
    return {**head, "arguments": {}, "started": 5.0, "phases": [phase]}


def the_plan(*nodes, name="One", digest="new"):
    phase = plan.Phase(1, name, "puppet", ("storage",), nodes)
    environment = type("Environment", (), {"name": "prod"})()
    return plan.Plan("swift", environment, (phase,), False, digest)


@pytest.mark.parametrize("verdict", ["unchanged", "changed", "tolerated"])
def test_good_nodes_are_kept_with_where_that_is_written(verdict):
    assert resume.read(deployment(run("n1", verdict))).kept == {("One", 1): {"n1": kept(verdict)}}


def test_a_node_that_was_kept_before_is_kept_with_where_it_was_first_written():
    assert resume.read(deployment(run("n1", "kept", reason="changed in 0", was="changed"))).kept == {
        ("One", 1): {"n1": kept("changed", "0")}
    }


@pytest.mark.parametrize("verdict", [None, "lost"])
def test_a_run_whose_outcome_nobody_heard_is_asked_for_by_its_id(verdict):
    earlier = resume.read(deployment(run("n1", verdict, "1-1-1-2")))

    assert earlier.unheard == {("One", 1): {"n1": "1-1-1-2"}}
    assert earlier.kept == {}


@pytest.mark.parametrize(
    "verdict", ["failed", "no_catalog", "timed_out", "killed", "missing", "skipped", "interrupted"]
)
def test_a_bad_node_is_run_anew(verdict):
    earlier = resume.read(deployment(run("n1", verdict)))

    assert (earlier.kept, earlier.unheard) == ({}, {})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, "has no deployment to resume"),
        (deployment(state="succeeded"), "there is nothing to resume"),
        (deployment(door="deployment.puppet"), "run deployment.puppet again"),
    ],
)
def test_what_cannot_be_resumed_is_refused_with_what_to_do(found, sentence):
    with pytest.raises(doors.Refused, match=sentence):
        resume.refuse_unless_resumable(found, "prod")


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (the_plan("n1", "n2", "n3"), "phase 'One' now has n3"),
        (the_plan("n1"), "phase 'One' no longer has n2"),
        (the_plan("n1", "n2", name="Two"), "phase 'Two' is new; phase 'One' is gone"),
        (the_plan("n1", "n2"), "a setting of the environment or an argument of the scenario is another"),
    ],
)
def test_a_change_since_is_refused_and_told(now, sentence):
    with pytest.raises(doors.Refused, match=sentence) as refused:
        resume.refuse_if_changed(deployment(), now)
    assert "has changed since deployment" in str(refused.value)
    assert str(refused.value).endswith("begin anew with deployment.run, or go on all the same with force=True")


def test_what_has_not_changed_is_not_refused():
    resume.refuse_if_changed(deployment(), the_plan("n9", digest="old"))


# -- passes, calls, confirmations ----------------------------------------------------------------------------------


def test_each_pass_keeps_its_own_nodes():
    runs = [
        run("n1", "changed"),
        run("n2", "changed"),
        run("n1", "unchanged", passing=2),
        run("n2", "failed", passing=2),
    ]
    earlier = resume.read(deployment(*runs, run("n3", None, "1-1-2-1", passing=2)))
    assert earlier.kept == {
        ("One", 1): {"n1": kept("changed"), "n2": kept("changed")},
        ("One", 2): {"n1": kept("unchanged")},
    }
    assert earlier.unheard == {("One", 2): {"n3": "1-1-2-1"}}


@pytest.mark.parametrize(("verdict", "found"), [("done", {("One", 1): {"n1": kept("done")}}), ("drifted", {})])
def test_a_call_that_is_done_is_kept_and_a_node_that_has_drifted_is_looked_at_anew(verdict, found):
    assert resume.read(deployment(run("n1", verdict))).kept == found


def confirmed(reason, state="succeeded"):
    phase = {
        "name": "Somebody has looked",
        "kind": "confirm",
        "state": state,
        "reason": reason,
        "nodes": [],
        "runs": [],
    }
    return {**deployment(), "phases": [phase]}


def test_what_was_confirmed_stays_so_with_where_that_was():
    said = "confirmed by bob: two started (deployment 1)"
    assert resume.read(confirmed("confirmed by bob: two started")).confirmed == {"Somebody has looked": said}


def test_of_a_row_of_deployments_the_one_is_named_in_which_it_was_confirmed():
    said = "confirmed by bob (deployment 0)"
    assert resume.read(confirmed(said)).confirmed == {"Somebody has looked": said}


@pytest.mark.parametrize("state", ["failed", "interrupted", "planned", "left_out"])
def test_what_was_not_confirmed_is_asked_again(state):
    assert resume.read(confirmed("denied by bob", state)).confirmed == {}


def test_what_is_new_is_so_since_the_first_of_a_row_of_deployments():
    assert resume.read(deployment()).began == 5.0
    assert resume.read({**deployment(), "arguments": {"began": 2.0}}).began == 2.0
