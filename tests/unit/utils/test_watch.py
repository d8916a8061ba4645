"""Following a deployment by its journal: every step once, in order, whatever the bus says."""

import pytest
from nodes import DEPLOYMENT, DEPLOYMENTS, SCENARIO, Sink, deployed, small_site
from os_orchestrator import doors, progress, watch


class Bus:
    """A bus that lets something happen at each look; it tells nothing."""

    def __init__(self, *happens):
        self.happens = list(happens)

    def await_tag(self, prefix, wait):
        assert prefix == f"os-orchestrator/prod/{DEPLOYMENT}/"
        assert self.happens, "it looks although nothing will happen"
        self.happens.pop(0)()


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_what_is_over_is_told_as_it_was(name, tmp_path, capsys):
    master, shown = deployed(tmp_path, name), Sink()
    told = capsys.readouterr().err
    lines = progress.Lines()
    with master.bus.time():
        watch.follow(master.journal, "prod", DEPLOYMENT, Bus(), lambda step: (shown(step), lines(step)))
    assert shown == [(event["what"], step_data(event)) for _, event in master.bus.fired]
    assert capsys.readouterr().err == told


def step_data(event):
    own = ("version", "environment", "deployment", "what", "at")
    return {name: value for name, value in event.items() if name not in own}


def test_a_step_is_told_when_it_has_happened_and_never_again(tmp_path):
    master, shown = small_site(tmp_path), Sink()
    record = master.journal

    def begin():
        row = {"id": DEPLOYMENT, "environment": "prod", "scenario": "x", "user": "root", "door": "d", "digest": ""}
        record.begin({**row, "noop": False, "partial": False, "arguments": {}}, [])
        record.claim("prod", DEPLOYMENT, "root")

    def tell(*whats):
        return lambda: [record.step(DEPLOYMENT, what, 1.0, {"what": what}) for what in whats]

    with master.running():
        begin()
        tell("deployment/started")()
        happens = (
            tell("a", "b"),
            tell(),
            tell("c"),
            lambda: record.ended(DEPLOYMENT, "failed"),
            tell("deployment/ended"),
        )
        watch.follow(record, "prod", DEPLOYMENT, Bus(*happens), shown)
    assert [what for what, _ in shown] == ["deployment/started", "a", "b", "c", "deployment/ended"]


def test_the_end_of_a_process_is_the_end(tmp_path):
    master, shown = deployed(tmp_path, "good"), Sink()
    with master.journal._open() as db:
        db.execute("UPDATE deployments SET state = 'running', ended = NULL")
        db.execute("DELETE FROM steps WHERE what IN ('deployment/ended', 'phase/ended')")
    watch.follow(master.journal, "prod", DEPLOYMENT, Bus(lambda: None), shown)
    assert shown.of("node/ended")


def test_only_the_last_deployment_of_an_environment_keeps_its_steps(tmp_path):
    master = deployed(tmp_path, "good")
    assert master.journal.steps(DEPLOYMENT)
    again = small_site(tmp_path)
    again.deploy(SCENARIO, "20261123000000000001")
    assert master.journal.steps(DEPLOYMENT) == []
    assert master.journal.steps("20261123000000000001")


def test_what_does_not_run_cannot_be_watched(tmp_path):
    with pytest.raises(doors.Refused, match=r"^environment prod has never been deployed; "):
        watch.running(small_site(tmp_path).journal, "prod")
    master = deployed(tmp_path, "failed")
    sentence = r"its last deployment, compute by alice, is failed: salt-run deployment.show 20261123000000000000$"
    with pytest.raises(doors.Refused, match=sentence):
        watch.running(master.journal, "prod")
