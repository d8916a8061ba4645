"""docs/events.md says what is on the bus: each tag, each field, and nothing else."""

import pytest
from nodes import DEPLOYMENTS, deployed
from os_orchestrator import progress
from tables import fields, is_of

TOLD = fields("events.md")
COMMON = TOLD.pop("In every event")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    fired = [event for name in DEPLOYMENTS for _, event in deployed(tmp_path_factory.mktemp(name), name).bus.fired]
    return {what: [event for event in fired if event["what"] == what] for what in {event["what"] for event in fired}}


def test_every_event_that_is_fired_is_described_and_no_other(events):
    assert set(events) == set(TOLD)


@pytest.mark.parametrize("what", sorted(TOLD))
def test_each_field_is_described_with_its_type(events, what):
    described = COMMON | TOLD[what]
    for event in events[what]:
        assert set(event) == set(described)
        for name, value in event.items():
            assert is_of(value, described[name]), (name, value)


def test_the_version_is_the_one_that_is_described(events):
    assert {event["version"] for fired in events.values() for event in fired} == {progress.EVENT_VERSION} == {1}
