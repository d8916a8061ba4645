"""What the page of a deployment tells, from journals that the journal itself has written."""

import json

import pytest
import recorded
from nodes import DEPLOYMENT, DEPLOYMENTS, deployed
from os_orchestrator import verdicts
from os_orchestrator.page import story


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    return recorded.failed(tmp_path_factory.mktemp("failed"), 8).journal


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    return recorded.resumed(tmp_path_factory.mktemp("resumed"), 8).journal


def of(root, name):
    return story.read(deployed(root, name).journal, DEPLOYMENT)


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_story_is_plain_data_and_says_what_the_summary_says(name, tmp_path):
    told = of(tmp_path, name)
    assert json.loads(json.dumps(told)) == told
    assert (told["kind"], told["id"], told["environment"]) == ("report", DEPLOYMENT, "prod")
    assert bool(told["problems"]) is (told["state"] != "succeeded")


@pytest.mark.parametrize(
    ("name", "number", "verdict", "nodes", "said"),
    [
        ("denied", 2, "not confirmed", [], "denied by bob: nova-compute logs errors"),
        ("unconfirmed", 2, "not confirmed", [], "nobody has confirmed it within 40.0 s"),
        ("unwell", 1, "failed", ["cmp3"], "check: nova.ready on cmp3: answered false, within 30 s"),
    ],
)
def test_a_change_that_was_not_confirmed_or_is_not_well_is_a_problem(tmp_path, name, number, verdict, nodes, said):
    problem = of(tmp_path, name)["problems"][0]
    assert (problem["number"], problem["verdict"], problem["nodes"]) == (number, verdict, nodes)
    assert problem["reason"] == said


def test_a_deployment_that_the_journal_does_not_know_has_none(failed):
    assert story.read(failed, "42") is None


# -- what went wrong -----------------------------------------------------------------------------------------------


def test_a_failed_node_is_told_with_its_failures_and_the_lines_of_its_log_that_matter(tmp_path):
    (problem,) = of(tmp_path, "failed")["problems"]
    assert (problem["nodes"], problem["verdict"], problem["number"]) == (["cmp2"], "failed", 3)
    assert [row["resource"] for row in problem["failures"]] == ["Exec[start-slave]", "Notify[after]"]
    assert problem["telling"] == [
        "Error: '/bin/false' returned 1 instead of one of [0]",
        "Error: /Stage[main]/Main/Exec[start-slave]/returns: change from 'notrun' to ['0'] failed:"
        " '/bin/false' returned 1 instead of one of [0]",
        "Warning: /Stage[main]/Main/Notify[after]: Skipping because of failed dependencies",
    ]
    assert len(problem["log"]) > len(problem["telling"])


def node(name, verdict="failed", did="boom", failures=(), log=(), good=False):
    return {"node": name, "verdict": verdict, "good": good, "did": did, "failures": list(failures), "log": list(log)}


def phase(*nodes):
    return {"kind": "puppet", "name": "Compute", "number": 5, "nodes": [{"started": 1, **node} for node in nodes]}


def test_nodes_with_the_same_trouble_are_told_together():
    failure = {"resource": "Exec[a]", "message": "boom", "tolerated": False}
    other = {"resource": "Exec[b]", "message": "boom", "tolerated": False}
    found = story.problems(
        phase(
            node("n0", "skipped", "not started"),
            node("n1", did="1 failed, as n1 says", failures=[failure]),
            node("n2", did="1 failed, as n2 says", failures=[failure]),
            node("n3", failures=[other]),
            node("n4", "missing", "n4 gave no answer"),
            node("n5", "missing", "n5 gave no answer"),
            node("n6", "changed", good=True),
        ),
        "failed",
    )
    assert [(each["verdict"], each["nodes"]) for each in found] == [
        ("failed", ["n1", "n2"]),
        ("failed", ["n3"]),
        ("missing", ["n4", "n5"]),
        ("skipped", ["n0"]),
    ]


def test_what_was_tolerated_is_no_trouble():
    tolerated = {"resource": "Exec[a]", "message": "boom", "tolerated": True}
    found = story.problems(
        phase(node("n1", failures=[tolerated, {"resource": "Exec[b]", "message": "bang"}])), "failed"
    )
    assert [row["resource"] for row in found[0]["failures"]] == ["Exec[b]"]


@pytest.mark.parametrize(("state", "told"), [("running", []), ("interrupted", ["unheard"])])
def test_a_run_without_a_verdict_is_trouble_once_the_deployment_has_ended(state, told):
    running = node("n1", None, "goes on on its node")
    assert [each["verdict"] for each in story.problems(phase(running), state)] == told


def test_a_gate_that_did_not_open_is_told_with_who_held_it(tmp_path):
    (problem,) = of(tmp_path, "gate_held")["problems"]
    assert (problem["verdict"], problem["nodes"]) == ("not open", ["ctl1"])
    assert problem["failures"] == [{"resource": "mysql_mmm.writer_ready on ctl1", "message": "the writer is on nobody"}]


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        ([], []),
        (["Notice: a", "Notice: b"], ["Notice: a", "Notice: b"]),
        (["Info: a", "Error: b", "Error: b", "Warning: c"], ["Error: b", "Warning: c"]),
        (["Errors are no level", "x", "y", "z", "last"], ["x", "y", "z", "last"]),
        ([f"Error: {number}" for number in range(40)], [f"Error: {number}" for number in range(12)]),
    ],
)
def test_the_lines_that_matter_are_errors_and_warnings_else_the_last(log, lines):
    assert story.telling(log) == lines


# -- gates ---------------------------------------------------------------------------------------------------------


def test_the_rounds_of_a_gate_are_told_as_stretches_of_the_same_answer(failed):
    gate = story.read(failed, recorded.FAILED)["phases"][3]
    held, opened = gate["stretches"]
    assert (held["good"], held["rounds"], held["held_by"]["said"]) == (False, 6, recorded.HELD)
    assert (opened["good"], opened["rounds"], opened["held_by"]) == (True, 5, None)
    assert held["until"] == opened["since"]


def test_a_stretch_ends_when_another_node_or_check_holds_the_gate():
    def each(at, node, said="x"):
        held_by = {"check": "a.b", "node": node, "said": said} if node else None
        return {"at": at, "good": not node, "held_by": held_by, "bad": 2 if node else 0}

    rounds = [each(1, "n1"), each(5, "n1", "y"), each(9, "n2"), each(13, None), each(17, "n1")]
    found = story.stretches(rounds)
    assert [(row["rounds"], row["since"], row["until"]) for row in found] == [
        (2, 1, 5),
        (1, 5, 9),
        (1, 9, 13),
        (1, 13, 17),
    ]
    assert found[0]["held_by"]["said"] == "y"


# -- both parts of the story ---------------------------------------------------------------------------------------


def test_a_resumed_deployment_is_told_with_the_one_that_it_goes_on_with(resumed):
    told = story.read(resumed, recorded.RESUMED)
    assert [part["id"] for part in told["parts"]] == [recorded.FAILED, recorded.RESUMED]
    assert (told["state"], told["problems"], told["forgotten"]) == ("succeeded", [], "")
    assert [problem["verdict"] for problem in told["parts"][0]["problems"]] == ["failed"]
    assert told["seconds"] == sum(part["ended"] - part["started"] for part in told["parts"])


def test_a_deployment_that_was_forgotten_is_named(resumed):
    with resumed._open() as db:
        db.execute("DELETE FROM deployments WHERE id = ?", (recorded.FAILED,))
    told = story.read(resumed, recorded.RESUMED)
    assert ([part["id"] for part in told["parts"]], told["forgotten"]) == ([recorded.RESUMED], recorded.FAILED)


def test_a_long_chain_is_told_from_its_end(tmp_path):
    recorder = recorded.Recorder(tmp_path)
    for number in range(8):
        arguments = {"excluded": {}, "resumes": str(number - 1) if number else ""}
        act = recorder.puppet(["n1"])
        recorder.deployment(str(number), [("a", "puppet", "r", ["n1"], act)], "failed", "x", arguments=arguments)
    told = story.read(recorder.journal, "7")
    assert ([part["id"] for part in told["parts"]], told["forgotten"]) == (["3", "4", "5", "6", "7"], "2")


# -- against the last time -----------------------------------------------------------------------------------------


def test_a_deployment_is_compared_phase_by_phase_with_the_last_of_its_scenario(failed):
    told = story.read(failed, recorded.FAILED)["comparison"]
    assert (told["id"], told["state"]) == ("20261122010000000000", "succeeded")
    assert told["before"] == pytest.approx(told["ended"] - told["started"])
    rows = {row["number"]: row for row in told["phases"]}
    assert (rows[4]["seconds"], rows[4]["before"]) == (pytest.approx(44), pytest.approx(28))
    assert (rows[6]["seconds"], rows[6]["before"] > 0) == (None, True)
    assert (rows[7]["seconds"], rows[7]["before"]) == (None, None)


def test_the_parts_of_a_resumed_deployment_count_together(tmp_path):
    record = recorded.resumed(tmp_path, 8).journal
    parts = [record.outline(name)["phases"][4] for name in (recorded.FAILED, recorded.RESUMED)]
    row = story.read(record, recorded.RESUMED)["comparison"]["phases"][4]
    assert row["seconds"] == pytest.approx(sum(part["ended"] - part["started"] for part in parts))


def compared(tmp_path, *others):
    """Return the id with which the last of some deployments is compared."""
    recorder = recorded.Recorder(tmp_path)
    for number, changes in enumerate((*others, {})):
        recorder.deployment(str(number), [("a", "puppet", "r", ["n1"], recorder.puppet(["n1"]))], **changes)
    told = story.read(recorder.journal, str(len(others)))
    return told["comparison"] and told["comparison"]["id"]


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([], None),
        ([{}], "0"),
        ([{}, {}], "1"),
        ([{}, {"state": "failed"}], "0"),
        ([{}, {"partial": True}], "0"),
        ([{}, {"arguments": {"resumes": "0"}}], "0"),
        ([{"state": "failed"}, {"partial": True}], "1"),
        ([{"scenario": "swift"}], None),
        ([{"noop": True}], None),
        ([{"environment": "test"}], None),
        ([{"state": "running"}], None),
    ],
)
def test_the_last_time_is_the_newest_that_was_whole_and_succeeded(tmp_path, others, found):
    assert compared(tmp_path, *others) == found


# -- what was slow -------------------------------------------------------------------------------------------------


def test_the_slowest_resources_are_those_of_the_longest_runs(failed):
    told = story.read(failed, recorded.FAILED)
    assert told["slowest"][0]["resource"] == "Package[nova-compute]"
    seconds = [row["seconds"] for row in told["slowest"]]
    assert seconds == sorted(seconds, reverse=True)
    ran = sum(node["verdict"] in verdicts.OF_NODES for phase in told["phases"] for node in phase.get("nodes", ()))
    assert told["slowest"][0]["runs"] == ran
    assert told["slowest"][0]["together"] > told["slowest"][0]["seconds"]


@pytest.mark.parametrize("seconds", [None, "long", 0, 0.05, [], {}])
def test_what_is_no_time_is_not_slow(seconds):
    nodes = [{"node": "n1", "slowest": [{"resource": "a", "seconds": seconds}]}]
    assert story.slowest([{"phases": [{"name": "x", "nodes": nodes}]}]) == []
