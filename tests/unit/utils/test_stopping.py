"""Ending the runs of a deployment from outside."""

from unittest import mock

import pytest
from os_orchestrator import doors, stopping, transport


def run(node, verdict=None, run_id="r1"):
    return {"node": node, "verdict": verdict, "run_id": run_id, "phase": 2, "attempt": 1, "pass": 1}


RUNNING = {
    "environment": "prod",
    "state": "running",
    "phases": [
        {"runs": [run("n1", "changed"), run("n2", None, "")]},
        {"runs": [run("n3"), run("n4"), run("n5", run_id="r2")]},
    ],
}


class Journal:
    """A journal in which a deployment ends at some look."""

    def __init__(self, looks):
        self.looks = looks

    def deployment(self, _id):
        self.looks -= 1
        return RUNNING if self.looks >= 0 else {**RUNNING, "state": "interrupted"}


class Bus:
    """A bus on which time passes."""

    def __init__(self):
        self.now, self.published = 1000.0, []

    def await_tag(self, prefix, wait):
        assert prefix.startswith("os-orchestrator/prod/1/")
        self.now += wait

    def publish(self, nodes, function, kwargs):
        self.published.append((round(self.now - 1000), nodes, function, kwargs))

    def monotonic(self):
        return self.now


def end(looks, patience=60, force=False):
    bus = Bus()
    with mock.patch.object(stopping, "time", bus):
        return bus, stopping.await_end(Journal(looks), "1", bus, patience, force)


def test_what_has_no_verdict_and_was_started_goes_on():
    assert stopping.going(RUNNING) == {"n3": "r1", "n4": "r1", "n5": "r2"}


def test_its_end_is_waited_for_and_the_runs_are_left_alone():
    bus, found = end(looks=5)
    assert (found["state"], bus.now, bus.published) == ("interrupted", 1005.0, [])


@pytest.mark.parametrize("patience", [0, 3])
def test_patience_ends(patience):
    bus, found = end(looks=99, patience=patience)
    assert (found["state"], bus.now) == ("running", 1000.0 + patience)


def test_force_tells_the_nodes_and_tells_them_again():
    bus, _ = end(looks=7, force=True)
    assert bus.published == [
        (when, nodes, "puppet_agent.stop", {"run_id": run_id})
        for when in (0, 5)
        for nodes, run_id in ((["n3", "n4"], "r1"), (["n5"], "r2"))
    ]


# -- what an interrupted one has left behind ---------------------------------------------------------------------------

INTERRUPTED = {**RUNNING, "id": "1", "scenario": "swift", "user": "alice", "noop": False, "state": "interrupted"}
UNKNOWN = "ERROR: this node knows no run r2: it keeps the last 50; puppet_agent.status names those going on"


class Record:
    """A journal that remembers what was written to it; ``last`` is its only deployment."""

    def __init__(self, last):
        self.last, self.verdicts, self.notes, self.reason = last, {}, {}, None

    def deployments(self, environment, limit):
        assert (environment, limit) == ("prod", 1)
        return [self.last] if self.last else []

    def deployment(self, _id):
        return self.last

    def run_ended(self, deployment, phase, node, run_id, attempt, outcome, passing):
        assert (deployment, phase, run_id, attempt, passing) == ("1", 2, "r1", 1, 1)
        self.verdicts[node] = outcome.verdict

    def run_noted(self, deployment, phase, node, attempt, note, passing):
        assert (deployment, phase, attempt, passing) == ("1", 2, 1, 1)
        self.notes[node] = note

    def interrupted(self, _id, reason):
        self.reason = reason


class Answering(Bus):
    """A bus on which nodes answer to ``puppet_agent.stop``; ``answers`` by node, None from one that is silent."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def call(self, nodes, function, timeout, kwargs):
        assert (function, timeout) == ("puppet_agent.stop", 60)
        found = {node: self.answers[node] for node in nodes if self.answers[node] is not None}
        return {node: transport.Return(node, "7", answer, 0) for node, answer in found.items()}


def orphaned(**answers):
    record, bus = Record(INTERRUPTED), Answering(answers)
    with mock.patch.object(stopping, "time", bus):
        return record, bus, stopping.end_orphans(record, INTERRUPTED, bus, 60, "bob")


def ended(verdict, run_id="r1"):
    return {"run_id": run_id, "verdict": verdict}


def test_runs_that_nobody_waits_for_are_ended_and_what_is_bad_is_recorded():
    record, bus, became = orphaned(n3=ended("killed"), n4=ended("changed"), n5=UNKNOWN)
    assert [nodes for _, nodes, _, _ in bus.published] == [["n3", "n4"], ["n5"]]
    assert became == {"n3": "killed", "n4": "changed", "n5": "not begun"}
    # What has ended well is judged by who resumes, and knows what was asked.
    assert record.verdicts == {"n3": "killed"}
    assert record.notes == {"n4": "is over and says changed, which resume judges"}
    assert record.reason == (
        "interrupted, and its runs on the nodes have ended (force=True by bob);"
        " salt-run deployment.resume prod goes on from there"
    )


@pytest.mark.parametrize(
    "answer", [None, "ERROR: the run r1 was told to stop and goes on", ended("killed", "r9"), ended(["killed"]), 7]
)
def test_a_run_whose_end_is_not_heard_of_may_go_on(answer):
    record, _, became = orphaned(n3=answer, n4=ended("killed"), n5=UNKNOWN)
    assert became == {"n3": "", "n4": "killed", "n5": "not begun"}
    assert (record.verdicts, record.reason) == ({"n4": "killed"}, None)


def test_what_has_ended_otherwise_has_no_orphans():
    for found in ({**INTERRUPTED, "state": "succeeded"}, {**INTERRUPTED, "phases": []}):
        assert stopping.end_orphans(None, found, None, 60, "bob") == {}


def test_only_force_ends_what_an_interrupted_deployment_has_left():
    record = Record(INTERRUPTED)
    assert stopping.target(record, "prod", True) == "1"
    with pytest.raises(doors.Refused) as refused:
        stopping.target(record, "prod", False)
    assert str(refused.value) == (
        "the deployment of prod, swift by alice, was interrupted already, but its runs on n3, n4, n5 may go on;"
        " end them with: salt-run deployment.stop prod force=True"
    )


@pytest.mark.parametrize("last", [None, {**INTERRUPTED, "phases": []}])
def test_a_stop_without_anything_to_stop_is_refused(last):
    with pytest.raises(doors.Refused, match=r"has never been deployed|nothing is being deployed on prod"):
        stopping.target(Record(last), "prod", True)
