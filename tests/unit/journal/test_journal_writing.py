"""What the journal is told, and what it keeps."""

import itertools

import pytest
from journals import GOOD, begin, claimed_elsewhere
from os_orchestrator import doors, journal, verdicts

BAD = verdicts.Outcome("failed", "boom", 0.5)


def test_a_deployment_is_there_whole_before_its_first_node_is_touched(record):
    record.claim("prod", "1", "root")
    begin(record, phases=("a", "b"), noop=True)
    found = record.deployment("1")
    assert found["state"] == "running"
    assert (found["noop"], found["partial"]) == (True, False)
    assert found["arguments"] == {"excluded": {"cmp9": "burnt"}}
    assert [(phase["name"], phase["state"], phase["runs"]) for phase in found["phases"]] == [
        ("a", "planned", []),
        ("b", "planned", []),
    ]
    assert found["phases"][0]["nodes"] == ["n1", "n2"]


def test_each_run_has_its_verdict_and_the_last_attempt_counts(record):
    begin(record)
    record.phase_started("1", 1)
    record.runs_started("1", 1, [("n1", "1-1-1-1", 1)])
    record.run_noted("1", 1, "n1", 1, "silent")
    assert record.deployment("1")["phases"][0]["runs"][0]["note"] == "silent"
    record.run_ended("1", 1, "n1", "1-1-1-1", 1, BAD)
    record.runs_started("1", 1, [("n1", "1-1-1-2", 2)])
    record.run_ended("1", 1, "n1", "1-1-1-2", 2, GOOD)
    record.run_ended("1", 1, "n2", "", 1, verdicts.Outcome("skipped", "not started"))
    runs = {run["node"]: run for run in record.deployment("1")["phases"][0]["runs"]}
    assert (runs["n1"]["verdict"], runs["n1"]["attempt"], runs["n1"]["run_id"]) == ("changed", 2, "1-1-1-2")
    assert (runs["n1"]["details"], runs["n1"]["seconds"], runs["n1"]["note"]) == (GOOD.details, 1.5, "")
    assert (runs["n2"]["verdict"], runs["n2"]["started"], runs["n2"]["reason"]) == ("skipped", None, "not started")


def test_a_node_on_which_a_living_deployment_runs_puppet_may_not_start_in_another(record):
    with claimed_elsewhere(record, "other", "66", begun=True) as (process, there):
        there.recv()
        begin(record)
        runs = [("n1", "1-1-1-1", 1), ("n2", "1-1-1-1", 1)]
        record.runs_started("66", 1, [("n1", "66-1-1-1", 1)])
        assert {node: claim.deployment for node, claim in record.runs_started("1", 1, runs).items()} == {"n1": "66"}
        assert [run["node"] for run in record.deployment("1")["phases"][0]["runs"]] == ["n2"]
        assert record.runs_started("66", 1, [("n1", "66-1-1-1", 1)]) == {}
        record.run_ended("66", 1, "n1", "66-1-1-1", 1, GOOD)
        assert record.runs_started("1", 1, runs) == {}
        record.runs_started("66", 1, [("n2", "66-1-1-1", 1)])
        process.kill()
        process.join(10)
        assert record.runs_started("1", 1, runs) == {}


def test_what_a_node_waits_for_is_noted_before_its_run_starts(record):
    begin(record)
    record.run_noted("1", 1, "n1", 1, "waits for others")
    (run,) = record.deployment("1")["phases"][0]["runs"]
    assert (run["node"], run["started"], run["note"]) == ("n1", None, "waits for others")
    record.runs_started("1", 1, [("n1", "1-1-1-1", 1)])
    (run,) = record.deployment("1")["phases"][0]["runs"]
    assert (run["run_id"], run["note"]) == ("1-1-1-1", "")


def test_the_rounds_of_a_gate_are_counted_and_the_last_one_is_shown(record):
    begin(record)
    for number, good in enumerate((False, True, True), 1):
        record.round("1", 1, number, good, [{"check": "a.b", "node": "n1", "good": good, "said": str(number)}])
    phase = record.deployment("1")["phases"][0]
    assert phase["rounds"] == 3
    assert phase["last"] == [{"check": "a.b", "node": "n1", "good": True, "said": "3"}]


def test_a_deployment_that_has_ended_says_how(record):
    begin(record)
    record.phase_started("1", 1)
    record.phase_ended("1", 1, "failed", "1 of 2 nodes bad")
    record.ended("1", "failed", "a: 1 of 2 nodes bad")
    found = record.deployment("1")
    assert (found["state"], found["reason"]) == ("failed", "a: 1 of 2 nodes bad")
    assert found["ended"] >= found["started"]
    assert (found["phases"][0]["state"], found["phases"][0]["reason"]) == ("failed", "1 of 2 nodes bad")


def test_the_oldest_are_forgotten_with_all_that_belongs_to_them(tmp_path):
    record = journal.Journal(tmp_path / "journal.sqlite", keep=3)
    for number in range(1, 7):
        begin(record, str(number))
        record.runs_started(str(number), 1, [("n1", "x", 1)])
        record.round(str(number), 1, 1, True, [])
    begin(record, "other", "test")
    assert [head["id"] for head in record.deployments("prod")] == ["6", "5", "4"]
    assert [head["id"] for head in record.deployments("test")] == ["other"]
    with record._open() as db:
        for table in ("phases", "runs", "rounds"):
            rows = {row[0] for row in db.execute(f"SELECT deployment FROM {table}")}
            assert rows <= {"6", "5", "4", "other"}


def test_a_deployment_is_begun_once(record):
    begin(record)
    with pytest.raises(doors.Refused, match="UNIQUE"):
        begin(record)
    assert len(record.deployments()) == 1


def test_a_stop_is_recorded_with_who_asked_first(record):
    begin(record)
    assert record.stop_asked("1") is None
    record.ask_to_stop("1", "alice", False)
    record.ask_to_stop("1", "bob", True)
    assert (record.stop_asked("1")["user"], record.stop_asked("1")["force"]) == ("alice", False)
    found = record.deployment("1")["interventions"]
    assert [(each["what"], each["user"], each["force"]) for each in found] == [
        ("stop", "alice", False),
        ("stop", "bob", True),
    ]
    assert record.stop_asked("2") is None


def test_what_is_asked_of_a_deployment_that_nobody_knows_is_not_recorded(record):
    begin(record)
    record.ask_to_stop("9", "alice", True)
    assert record.stop_asked("9") is None


@pytest.mark.parametrize("ended", [(), ("interrupted", "Ctrl-C"), ("failed", "1 of 2 nodes bad")])
def test_more_may_become_known_of_what_was_interrupted_and_of_nothing_else(record, ended):
    begin(record)
    if ended:
        record.ended("1", *ended)
    when = record.deployment("1")["ended"]
    record.interrupted("1", "bob ended its runs")
    found = record.deployment("1")
    expected = ended if "failed" in ended else ("interrupted", "bob ended its runs")
    assert (found["state"], found["reason"], found["ended"]) == (*expected, when)


def test_who_has_been_deployed_is_known_by_role_since_the_first_time(record, monkeypatch):
    now = itertools.count(100)
    monkeypatch.setattr(journal.writing.time, "time", lambda: float(next(now)))
    record.deployed("prod", {"compute": ["n1"], "storage": ["n1", "n2"]}, "1")
    second = next(now)
    record.deployed("prod", {"compute": ["n1", "n3"]}, "2")
    assert record.known("prod") == {("compute", "n1"), ("storage", "n1"), ("storage", "n2"), ("compute", "n3")}
    assert record.known("prod", second) == {("compute", "n1"), ("storage", "n1"), ("storage", "n2")}
    assert record.known("prod", 100.0) == record.known("dev") == frozenset()


def test_who_has_been_deployed_outlives_the_deployment(tmp_path):
    record = journal.Journal(tmp_path / "journal.sqlite", keep=1)
    begin(record, "1")
    record.deployed("prod", {"compute": ["n1"]}, "1")
    begin(record, "2")
    assert [head["id"] for head in record.deployments()] == ["2"]
    assert record.known("prod") == {("compute", "n1")}


def test_who_is_in_its_role_no_more_is_forgotten(record):
    record.deployed("prod", {"compute": ["n1", "n2"], "storage": ["n1"]}, "1")
    record.deployed("dev", {"compute": ["n9"]}, "2")
    record.forget_others("prod", {"compute": ["n1", "n5"], "storage": ["n2"]})
    assert record.known("prod") == {("compute", "n1")}
    assert record.known("dev") == {("compute", "n9")}


def test_an_answer_is_of_one_phase_and_the_first_counts(record):
    begin(record, phases=("a", "b"))
    assert record.answer_given("1", 1) is None
    record.ask_to_stop("1", "carol", False)
    assert record.decide("1", 1, "deny", "bob", "no") is None
    given = record.answer_given("1", 1)
    assert (given["what"], given["user"], given["reason"]) == ("deny", "bob", "no")
    assert record.decide("1", 1, "confirm", "carol", "") == given == record.answer_given("1", 1)
    assert record.answer_given("1", 2) is None
    told = [
        (each["what"], each["user"], each["phase"], each["reason"]) for each in record.deployment("1")["interventions"]
    ]
    assert told == [("stop", "carol", None, ""), ("deny", "bob", 1, "no")]


def test_an_answer_to_a_deployment_that_is_not_known_is_kept_nowhere(record):
    record.decide("9", 1, "confirm", "bob", "")
    assert record.answer_given("9", 1) is None


def test_the_waves_of_a_phase_are_among_its_settings(record):
    begin(record)
    record.phase_waves("1", 1, [["n1"], ["n2"]])
    assert record.deployment("1")["phases"][0]["settings"] == {"waves": [["n1"], ["n2"]]}
