"""Why a deployment stands where it stands, from what the journal has of it."""

import pytest
from os_orchestrator import report, why

HEAD = {"id": "1", "environment": "prod", "scenario": "compute", "user": "alice", "door": "d", "noop": False}
HEAD |= {"partial": False, "state": "running", "reason": "", "started": 0.0, "ended": None, "arguments": {}}


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(why.progress, "clock", lambda at: f"second {at:g}")


def run(node, verdict=None, note="", started=5.0, passing=1):
    return {
        "node": node,
        "pass": passing,
        "verdict": verdict,
        "note": note,
        "started": started,
        "reason": "",
        "details": {},
    } | {
        "seconds": None,
        "attempt": 1,
        "ended": None,
        "run_id": "r",
    }


def phase(number, *runs, state="planned", kind="puppet", nodes=("n1", "n2", "n3"), settings=None, **more):
    common = {"number": number, "name": f"Phase {number}", "kind": kind, "roles": ["compute"], "nodes": list(nodes)}
    settings = settings or {"concurrency": 2, "max_failures": 0}
    common |= {"state": state, "reason": "", "started": 3.0, "ended": None, "not_asked": {}, "settings": settings}
    return {**common, "runs": list(runs), **more}


def deployment(*phases, stopped=False):
    stop = {"what": "stop", "user": "bob", "at": 9.0, "force": False}
    return {**HEAD, "phases": list(phases), "interventions": [stop] if stopped else []}


def passing(*runs, stopped=False):
    return deployment(phase(1, state="succeeded"), phase(2, *runs, state="running"), phase(3), stopped=stopped)


def test_a_pass_says_how_many_are_done_run_and_wait():
    found = passing(run("n1", "changed"), run("n2"))
    assert why.stands(found) == "phase 2 of 3, Phase 2: 1 of 3 nodes done, 1 run, 1 wait, since second 3"


def test_a_node_that_is_held_by_another_deployment_waits():
    found = passing(run("n1", note="waits, deployment 7 of environment dev runs Puppet there", started=None))
    assert why.stands(found) == "phase 2 of 3, Phase 2: 0 of 3 nodes done, 3 wait, since second 3"
    assert why.waits_for(found, found["phases"][1], "n1").startswith("waits, deployment 7 of environment dev")


def test_a_deployment_that_shall_stop_says_who_wants_that():
    found = passing(run("n1"), stopped=True)
    assert why.stands(found).endswith("; bob stopped it at second 9, nothing more starts")
    assert why.waits_for(found, found["phases"][1], "n2") == "nothing: bob stopped the deployment"


GATE = {"name": "writer", "successes": 5}
HELD = {"check": "mysql_mmm.writer_ready", "node": "ctl1", "good": False, "said": "the writer is on nobody"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "asking for the first time, since second 3"),
        ({"rounds": 3, "last": [{**HELD, "good": True}], "held_since": None}, "round 3 was good, more are needed"),
        (
            {"rounds": 12, "last": [HELD], "held_since": 7.0},
            "round 12, held since second 7 by mysql_mmm.writer_ready on ctl1: the writer is on nobody",
        ),
        (
            {"rounds": 12, "last": [HELD, {**HELD, "good": True}, {**HELD, "node": "x"}], "held_since": 7.0},
            "round 12, held since second 7 by mysql_mmm.writer_ready on ctl1: the writer is on nobody (and 1 more)",
        ),
    ],
)
def test_a_gate_says_its_round_and_the_answer_that_holds_it(more, said):
    found = deployment(phase(1, state="running", kind="gate", settings=GATE, **more), phase(2))
    assert why.stands(found) == f"phase 1 of 2, gate writer: {said}"
    assert why.waits_for(found, found["phases"][1], "n1") == "phase 1, Phase 1"


def test_between_two_phases_that_is_said():
    found = deployment(phase(1, state="succeeded"), phase(2))
    assert why.stands(found) == "between two phases"
    assert why.waits_for(found, found["phases"][1], "n1") == "the phases before"


@pytest.mark.parametrize(
    ("runs", "node", "said"),
    [
        ([], "n1", "the answers of all nodes to a ping"),
        ([run("n1", "changed")], "n1", ""),
        ([run("n1")], "n1", "its Puppet run, since second 5"),
        (
            [run("n1", note="silent since 02:14:05; its run may go on")],
            "n1",
            "silent since 02:14:05; its run may go on",
        ),
        ([run("n1"), run("n2")], "n3", "a place: 2 run at once"),
        ([run("n1", "failed"), run("n2")], "n3", "nothing: 1 failed, 0 may (max_failures)"),
    ],
)
def test_a_node_waits_for_one_thing(runs, node, said):
    found = passing(*runs)
    assert why.waits_for(found, found["phases"][1], node) == said


def test_the_status_has_it_for_every_node_that_is_not_done():
    shown = report.status([passing(run("n1", "changed"), run("n2"))])["deployments"][0]
    waits = {node["node"]: node["waits_for"] for node in shown["phases"][1]["nodes"]}
    assert waits == {"n1": "", "n2": "its Puppet run, since second 5", "n3": "a place: 2 run at once"}
    assert {node["waits_for"] for node in shown["phases"][2]["nodes"]} == {"phase 2, Phase 2"}


def test_a_deployment_that_is_over_waits_for_nothing():
    shown = report.status([{**passing(), "state": "failed"}])["deployments"][0]
    assert "stands" not in shown


# -- waves, passes, operators --------------------------------------------------------------------------------------


def waved(*runs, canary=None, stopped=False):
    settings = {"concurrency": 2, "max_failures": 0, "waves": [["n1"], ["n2", "n3"], ["n4"]]}
    settings |= {"canary": canary} if canary else {}
    now = phase(1, *runs, state="running", nodes=("n1", "n2", "n3", "n4"), settings=settings)
    return deployment(now, stopped=stopped)


@pytest.mark.parametrize(
    ("runs", "canary", "node", "said"),
    [
        ([run("n1")], None, "n2", "wave 1 of 3: n1"),
        ([run("n1")], 1, "n2", "the canary of 3: n1"),
        ([run("n1")], 1, "n4", "the canary of 3: n1"),
        ([run("n1", "changed"), run("n2")], 1, "n3", "a place: 2 run at once"),
        ([run("n1", "changed"), run("n2"), run("n3", "changed")], 1, "n4", "wave 2 of 3: n2"),
        ([run("n1", "changed"), run("n2")], None, "n4", "wave 2 of 3: n2, n3"),
        ([run("n1", "failed")], 1, "n2", "nothing: 1 failed, 0 may (max_failures)"),
    ],
)
def test_a_node_waits_for_the_waves_before_its_own(runs, canary, node, said):
    found = waved(*runs, canary=canary)
    assert why.waits_for(found, found["phases"][0], node) == said


def test_of_a_large_wave_three_nodes_are_named():
    settings = {"waves": [[f"n{number}" for number in range(9)], ["last"]]}
    nodes = [*settings["waves"][0], "last"]
    found = deployment(phase(1, run("n0", "changed"), state="running", nodes=nodes, settings=settings))
    assert why.waits_for(found, found["phases"][0], "last") == "wave 1 of 2: n1, n2, n3 and 5 more"


def test_a_stop_comes_before_any_wave():
    found = waved(run("n1"), stopped=True)
    assert why.waits_for(found, found["phases"][0], "n4") == "nothing: bob stopped the deployment"


def test_what_is_called_for_a_node_is_what_it_waits_for():
    found = passing(run("n1", note="before: haproxy_endpoint.drain on lb1"))
    assert why.waits_for(found, found["phases"][1], "n1") == "before: haproxy_endpoint.drain on lb1"


def test_of_several_passes_the_last_one_counts():
    first = [run(node, "changed") for node in ("n1", "n2", "n3")]
    found = passing(*first, run("n1", "unchanged", passing=2), run("n2", passing=2))
    assert why.stands(found) == "phase 2 of 3, Phase 2: 1 of 3 nodes done, 1 run, 1 wait, since second 3"
    assert why.waits_for(found, found["phases"][1], "n3") == "a place: 2 run at once"


def test_an_operator_who_is_waited_for_is_told_what_to_look_at_and_what_to_type():
    settings = {"message": "is the canary well?", "timeout": 600}
    found = deployment(phase(1, state="running", kind="confirm", nodes=(), settings=settings), phase(2))
    assert why.stands(found) == (
        "phase 1 of 2, Phase 1: waits for an operator until second 603: is the canary well?;"
        " salt-run deployment.confirm 1"
    )
