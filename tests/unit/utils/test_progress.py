"""What an operator sees while a deployment runs, and what the bus is told."""

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import DEPLOYMENT, DEPLOYMENTS, SCENARIO, deployed, small_site
from os_orchestrator import progress
from os_orchestrator.progress import Step

GOLDEN = Path(__file__).with_name("progress")


def lines(*steps):
    stream = io.StringIO()
    show = progress.Lines(stream)
    for step in steps:
        show(step)
    return stream.getvalue().splitlines()


def step(what, **data):
    return Step(what, "prod", "1", data)


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_line_is_shown_for_each_thing_that_happens(name, tmp_path, capsys):
    deployed(tmp_path, name)
    shown = capsys.readouterr()
    assert shown.err == (GOLDEN / f"{name}.txt").read_text()
    assert shown.out == ""


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_the_bus_is_told_the_same_under_tags_that_name_the_deployment(name, tmp_path):
    fired = deployed(tmp_path, name).bus.fired
    whats = [event["what"] for _, event in fired]
    assert (whats[0], whats[-1]) == ("deployment/started", "deployment/ended")
    for tag, event in fired:
        assert tag == f"os-orchestrator/prod/{DEPLOYMENT}/{event['what']}"
        assert (event["version"], event["environment"], event["deployment"]) == (1, "prod", DEPLOYMENT)
        assert event["what"].startswith(("deployment/", "agents/")) or {"phase", "name"} <= set(event)
        assert not event["what"].startswith("node/") or event["node"]


def test_what_was_not_started_from_a_terminal_shows_no_lines(tmp_path, capsys):
    master = small_site(tmp_path, cli="salt-master")
    master.deploy(SCENARIO)
    assert capsys.readouterr().err == ""
    assert master.bus.fired


def test_a_step_that_has_no_line_shows_none():
    assert (
        lines(step("phase/unheard", phase=1, name="x"), step("gate/round", good=False, news=False, held_by="x")) == []
    )


def test_nodes_are_shown_under_each_other():
    nodes = ["a", "a-long-name.example.com"]
    shown = lines(
        step("deployment/started", phases=1, noop=False, title="t", user="u", id="1"),
        step("phase/started", phase=1, name="One", nodes=nodes),
        *(step("node/started", node=node, attempt=1) for node in nodes),
    )
    assert [line[8:] for line in shown[2:]] == [f"   {'a':<23}  started", "   a-long-name.example.com  started"]


def test_many_nodes_are_a_number():
    (shown,) = lines(step("phase/started", phase=1, name="One", nodes=[f"n{number}" for number in range(7)]))
    assert shown.endswith("One: 7 nodes")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.96, "60.0 s"),
        (99.94, "99.9 s"),
        (99.96, "1 min 39 s"),
        (200, "3 min 20 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_duration_is_said_as_an_operator_says_it(seconds, said):
    assert progress.duration(seconds) == said


@pytest.mark.parametrize(
    ("verdict", "reason", "details", "said"),
    [
        ("unchanged", "", {}, ""),
        ("changed", "", {"resources": {"changed": 2}}, "2 changed"),
        ("changed", "", {"resources": {"changed": 0, "out_of_sync": 3}, "noop": True}, "3 would change"),
        ("failed", "boom", {"resources": {"changed": 2, "failed": 1}}, "boom"),
        ("lost", "", {}, ""),
        (None, "waits for a lock", {}, "waits for a lock"),
        (
            "tolerated",
            "1 resource failed",
            {"resources": {"changed": 1}, "failures": [{"resource": "Exec[a]", "tolerated": True}, {"resource": "X"}]},
            "1 changed, tolerated: Exec[a]",
        ),
    ],
)
def test_what_a_run_did_is_said_in_a_few_words(verdict, reason, details, said):
    assert progress.did(verdict, reason, details) == said


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30) | st.sampled_from(["\x1b[2J", "a\nb", "\r", "\u202e", "\x9b", "\x07", "\x00"]))
def test_control_characters_never_get_through(hidden):
    shown = lines(
        step("deployment/started", phases=1, noop=False, title=hidden, user=hidden, id=hidden),
        step("phase/started", phase=1, name=hidden, nodes=[hidden]),
        step("phase/left_out", phase=1, name=hidden, reason=hidden),
        step("node/started", node=hidden, attempt=2),
        step("node/noted", node=hidden, note=hidden),
        step("node/ended", node=hidden, verdict=hidden, seconds=1.0, did=hidden),
        step("gate/round", good=False, news=True, held_by=hidden),
        step("phase/ended", phase=1, name=hidden, state="failed", reason=hidden, seconds=1),
        step("deployment/ended", title=hidden, state="failed", seconds=1),
    )
    assert len(shown) == 9
    assert all(line.isprintable() for line in shown)
