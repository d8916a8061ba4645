"""Ending the runs of a deployment from outside."""

from unittest import mock

import pytest
from os_orchestrator import stopping


def run(node, verdict=None, run_id="r1"):
    return {"node": node, "verdict": verdict, "run_id": run_id}


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
