"""A phase that waits for an operator: it goes on when he says so, and at no other time."""

import deployment as commands
import pytest
from nodes import DEPLOYMENT, ROLLING, deployed, rolling_site
from os_orchestrator import journal, orchestration, progress

LOOKED = "Somebody has looked at them"


def row(master, deployment=DEPLOYMENT):
    return master.journal.deployment(deployment)["phases"][1]


def states(master, deployment=DEPLOYMENT):
    return [phase["state"] for phase in master.journal.deployment(deployment)["phases"]]


def test_what_is_confirmed_goes_on_with_who_and_why(tmp_path):
    master = deployed(tmp_path, "rolling")
    assert states(master) == ["succeeded"] * 4
    assert row(master)["reason"] == "confirmed by bob: two started"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("denied", "denied by bob: nova-compute logs errors"),
        ("unconfirmed", "nobody has confirmed it within 40.0 s"),
    ],
)
def test_what_is_denied_or_not_confirmed_in_time_has_failed(tmp_path, name, reason):
    master = deployed(tmp_path, name)
    assert states(master) == ["succeeded", "failed", "planned", "planned"]
    assert row(master)["reason"] == reason
    assert not master.bus.asked("service.status")


def test_a_deployment_that_is_stopped_waits_no_longer(tmp_path):
    master = rolling_site(tmp_path)
    master.bus.when("confirm/asked", 5, lambda told: master.journal.ask_to_stop(told["deployment"], "carol", False))
    master.deploy(ROLLING, DEPLOYMENT)
    assert states(master) == ["succeeded", "interrupted", "planned", "planned"]
    assert row(master)["reason"] == "not confirmed when carol stopped the deployment"
    assert master.journal.holder("prod") is None


def test_the_first_answer_counts(tmp_path):
    master = rolling_site(tmp_path, answer=("deny", "no"))
    master.bus.when("confirm/asked", 30.2, lambda told: master.journal.decide(DEPLOYMENT, 2, "confirm", "carol", ""))
    master.deploy(ROLLING, DEPLOYMENT)
    assert row(master)["reason"] == "denied by bob: no"


def test_an_answer_to_another_phase_or_deployment_is_none(tmp_path):
    master = rolling_site(tmp_path)
    master.bus.when("confirm/asked", 5, lambda told: master.journal.decide(DEPLOYMENT, 1, "confirm", "bob", ""))
    master.bus.when("confirm/asked", 6, lambda told: master.journal.decide("9", 2, "confirm", "bob", ""))
    master.deploy(ROLLING, DEPLOYMENT)
    assert row(master)["state"] == "failed"


def test_what_was_confirmed_is_not_asked_again_when_it_is_resumed(tmp_path):
    scripts = {"cmp2": {"checks": {"nova.ready": lambda _: True, "service.status": lambda now: now > 80}}}
    master = rolling_site(tmp_path, answer=("confirm", "two started"), scripts=scripts)
    master.deploy(ROLLING, DEPLOYMENT)
    assert states(master) == ["succeeded", "succeeded", "failed", "planned"]
    with master.bus.time():
        while master.bus.now < 81:
            master.bus.next(30)
    asked = len([tag for tag, _ in master.bus.fired if tag.endswith("confirm/asked")])
    master.deploy(ROLLING, "2", resume=DEPLOYMENT)
    assert states(master, "2") == ["succeeded"] * 4
    assert row(master, "2")["reason"] == f"confirmed by bob: two started (deployment {DEPLOYMENT})"
    assert len([tag for tag, _ in master.bus.fired if tag.endswith("confirm/asked")]) == asked == 1
    drained = [nodes for _, nodes, _ in master.bus.asked("haproxy.disable_server")]
    assert len(drained) == 4


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def record(tmp_path, monkeypatch):
    opts = {"cachedir": str(tmp_path)}
    for name, value in (("__opts__", opts), ("__context__", {}), ("__user__", "bob")):
        monkeypatch.setattr(commands, name, value, raising=False)
    record = journal.of(opts)
    yield record
    for name in list(journal.claims._locks):
        journal.claims._unlock(name)


def begun(record, kind="confirm"):
    """Record a deployment whose one phase runs now, in this process."""
    record.claim("prod", "7", "alice")
    head = {"id": "7", "environment": "prod", "scenario": "rolling", "user": "alice", "door": "deployment.run"}
    settings = {"message": "well?", "timeout": 60}
    phase = {"number": 1, "name": LOOKED, "kind": kind, "roles": [], "nodes": [], "state": "planned", "reason": ""}
    head |= {"noop": False, "partial": False, "digest": "", "arguments": {}}
    record.begin(head, [{**phase, "settings": settings}])
    record.phase_started("7", 1)


@pytest.mark.parametrize("named", ["prod", "7"])
@pytest.mark.parametrize(("command", "answer"), [("confirm", "confirmed"), ("deny", "denied")])
def test_an_operator_answers_by_environment_or_by_id(record, named, command, answer):
    begun(record)
    returned = getattr(commands, command)(named, "two started")
    assert returned["retcode"] == 0
    assert returned["answer"] == {
        "kind": "decision",
        "environment": "prod",
        "deployment": "7",
        "phase": LOOKED,
        "answer": answer,
        "user": "bob",
        "reason": "two started",
        "text": f"prod rolling, {LOOKED}: {answer} by bob",
    }
    given = record.answer_given("7", 1)
    assert (given["what"], given["user"], given["reason"]) == (command, "bob", "two started")


def test_what_somebody_has_answered_is_not_answered_again(record):
    begun(record)
    assert commands.deny("prod", "it logs errors")["retcode"] == 0
    given = record.answer_given("7", 1)
    for command in (commands.confirm, commands.deny):
        refused = command("prod")
        assert refused["retcode"] == 2
        assert refused["answer"]["error"] == (
            f"deployment 7 waits for an operator no more: bob has denied it at {progress.clock(given['at'])}"
        )
    assert record.answer_given("7", 1) == given


def test_who_waits_for_nobody_cannot_be_answered(record):
    begun(record, kind="puppet")
    returned = commands.confirm("prod")
    assert returned["retcode"] == 2
    assert returned["answer"]["error"].startswith(
        f"deployment 7 does not wait for an operator: phase 1 of 1, {LOOKED}: 0 of 0 nodes done"
    )
    record.ended("7", "failed", "x")
    assert commands.deny("7")["answer"]["error"] == "deployment 7 does not wait for an operator: it is failed"
    assert record.answer_given("7", 1) is None


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[2J", "x" * 501, ["a"], None, 5])
def test_a_reason_is_one_printable_line(record, reason):
    begun(record)
    refused = commands.confirm("prod", reason)
    assert refused["retcode"] == 2
    assert refused["answer"]["error"].startswith("reason must be a line of at most 500 characters, not ")


def test_nothing_can_be_confirmed_where_nothing_runs(record):
    assert "has never been deployed" in commands.confirm("prod")["answer"]["error"]


def test_under_noop_nobody_is_asked(tmp_path):
    master = rolling_site(tmp_path)
    master.deploy(ROLLING, DEPLOYMENT, noop=True)
    assert states(master) == ["succeeded", "left_out", "left_out", "succeeded"]
    assert row(master)["reason"] == "noop: nothing is changed"
    assert not orchestration.begun(DEPLOYMENT)
