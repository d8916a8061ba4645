"""What a terminal shows of the present phase, and when there is no terminal to show it in."""

import io
import sys
from unittest import mock

import pytest
from os_orchestrator import live, progress
from os_orchestrator.progress import Step

NODES = [f"cmp{number}" for number in range(1, 41)]


def step(what, at=0.0, **data):
    return Step(what, "prod", "1", {"phase": 3, "name": "Compute nodes are installed", **data}, at)


def started(at=0.0, kind="puppet", nodes=NODES, last=None):
    return step("phase/started", at, kind=kind, roles=["compute"], nodes=nodes, last_seconds=last)


def begins(node, at=0.0, attempt=1):
    return step("node/started", at, node=node, attempt=attempt, run_id="r")


def ends(node, at=0.0, good=True):
    verdict = "changed" if good else "failed"
    return step("node/ended", at, node=node, attempt=1, verdict=verdict, good=good, seconds=2.0, did="2 changed")


def asked(number, held_by="", at=0.0, in_a_row=0):
    good = not held_by
    told = {"round": number, "good": good, "in_a_row": in_a_row, "successes": 5, "held_by": held_by, "news": not good}
    return step("gate/round", at, **told)


def after(*steps):
    phase = None
    for each in steps:
        phase = live._after(phase, each)
    return phase


# -- what it knows -----------------------------------------------------------------------------------------------------


def test_who_runs_has_ended_and_waits_is_counted():
    phase = after(started(), *map(begins, NODES[:5]), ends("cmp1"), ends("cmp2", good=False))
    assert (list(phase.running), phase.bad, phase.waiting) == (["cmp3", "cmp4", "cmp5"], 1, 35)


def test_a_node_that_is_tried_again_runs_again_and_is_bad_no_longer():
    phase = after(started(), begins("cmp1"), ends("cmp1", good=False), begins("cmp1", 60.0, attempt=2))
    assert (phase.bad, phase.waiting) == (0, 39)
    assert live.row(phase.running["cmp1"], 4, 75.0) == "  cmp1       15.0 s  attempt 2"


def test_a_node_that_never_ran_may_end():
    assert after(started(), ends("cmp1", good=False)).bad == 1


def test_rows_are_bounded_and_those_with_a_note_come_first():
    noted = step("node/noted", node="cmp30", note="silent since 02:14:05; its run may go on")
    phase = after(started(), *(begins(node, number) for number, node in enumerate(NODES[:35])), noted)
    assert [run.node for run in phase.to_show()] == ["cmp30", *NODES[: live.ROWS - 1]]
    assert live.row(phase.to_show()[0], 5, 60.0) == "  cmp30       31.0 s  silent since 02:14:05; its run may go on"
    assert live.rest(phase) == "  27 more run, 5 wait"


def test_no_line_tells_of_nobody():
    assert live.rest(after(started(nodes=["cmp1"]), begins("cmp1"))) == ""


def test_nothing_is_guessed_where_nothing_is_known():
    assert live.count(after(started(), begins("cmp1")), 10.0) == "0 of 40"


@pytest.mark.parametrize(
    ("done", "now", "said"),
    [
        (0, 60.0, "0 of 40, about 9 min left"),
        (0, 700.0, "0 of 40, about 10 s left"),
        # Half of them in half of the time, and in twice that.
        (20, 300.0, "20 of 40, about 5 min left"),
        (20, 600.0, "20 of 40, about 5 min left"),
        (39, 600.0, "39 of 40, about 10 s left"),
    ],
)
def test_the_guess_begins_with_last_time_and_follows_this_one(done, now, said):
    assert live.count(after(started(last=600.0), *map(ends, NODES[:done])), now) == said


def test_without_a_last_time_the_pace_is_what_is_known():
    assert live.count(after(started(), *map(ends, NODES[:10])), 60.0) == "10 of 40, about 3 min left"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "10 s"), (44, "40 s"), (89, "90 s"), (91, "2 min"), (600, "10 min"), (7500, "2 h 05 min")]
)
def test_a_guess_is_as_exact_as_a_guess(seconds, said):
    assert live.roughly(seconds) == said


def test_a_gate_tells_its_rounds_and_since_when_it_is_held(monkeypatch):
    monkeypatch.setattr(live, "clock", lambda at: f"second {at:g}")
    assert live.gate(after(started(kind="gate"))) == ["  asking for the first time"]
    held = [asked(1, "the writer is on nobody", 5.0), asked(2, "the writer is on db2", 10.0)]
    lines = live.gate(after(started(kind="gate"), *held))
    assert lines == ["  round 2, 0 of 5 good in a row", "  since second 5: the writer is on db2"]
    lines = live.gate(after(started(kind="gate"), *held, asked(3, in_a_row=1)))
    assert lines == ["  round 3, 1 of 5 good in a row"]
    lines = live.gate(after(started(kind="gate"), *held, asked(3, in_a_row=1), asked(4, "gone", 20.0)))
    assert lines[1] == "  since second 20: gone"


def test_a_wave_and_a_pass_are_named_and_a_pass_counts_anew():
    wave = step("wave/started", wave=2, waves=4, canary=False, nodes=NODES[1:11])
    phase = after(started(), wave, begins("cmp1"))
    assert live.rest(phase) == "  wave, 2 of 4, 39 wait"
    again = step("pass/started", number=2, at_most=4)
    phase = after(started(nodes=["cmp1"]), begins("cmp1"), ends("cmp1"), again)
    assert live.rest(phase) == "  pass 2 of at most 4, 1 wait"


def test_an_operator_is_told_what_to_look_at_and_how_to_say_it(monkeypatch):
    monkeypatch.setattr(live, "clock", lambda at: f"second {at:g}")
    asks = step("confirm/asked", until=60.0, message="look at cmp1", command="salt-run deployment.confirm 1")
    assert after(started(kind="confirm", nodes=[]), asks).asked == (
        "waits for an operator until second 60: look at cmp1",
        "salt-run deployment.confirm 1",
    )


def test_between_two_phases_there_is_none():
    ended = step("phase/ended", state="succeeded", reason="", seconds=1.0)
    assert after(started(), ended) is None
    assert after(begins("cmp1")) is None


# -- how it is drawn ---------------------------------------------------------------------------------------------------


def drawn(*steps, now=10.0, width=80):
    """Return the lines below, as a terminal has them."""
    view = live.View(io.StringIO())
    view._console.width = width
    for each in (step("deployment/started", phases=6, noop=False, title="t", user="u", id="1"), *steps):
        view.line(each)
        view._phase = live._after(view._phase, each)
    with mock.patch.object(live.time, "time", return_value=now), view._console.capture() as captured:
        view._console.print(view._drawn())
    return captured.get().splitlines()


def test_a_phase_of_many_nodes_has_a_head_a_bar_and_rows():
    lines = drawn(started(last=600.0), *map(begins, NODES[:10]), ends("cmp1"), ends("cmp2", good=False))
    assert lines[0] == "[3/6] Compute nodes are installed" + " " * 40 + " 10.0 s"
    assert lines[1].rstrip().endswith("2 of 40, 1 bad, about 10 min left")
    assert lines[1].startswith("━")
    assert lines[2].rstrip() == "  cmp3        10.0 s"
    assert len(lines) == 2 + 8 + 1


def test_a_phase_of_few_nodes_has_no_bar():
    assert [line.split()[0] for line in drawn(started(nodes=["cmp1", "cmp2"]), begins("cmp1"))] == [
        "[3/6]",
        "cmp1",
        "1",
    ]


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("said", ["long " * 50, "[red]markup[/red]", "\x1b[2J", "a\nb", ":boom:", "日本語" * 30])
def test_no_line_is_wider_than_the_terminal_whatever_is_told(said, width):
    noted = [begins(said), step("node/noted", node=said, note=said)]
    gated = [started(kind="gate"), asked(1, said)]
    for lines in (drawn(started(), *noted, width=width), drawn(*gated, width=width)):
        from rich.cells import cell_len

        assert all(cell_len(line) <= width for line in lines)
        assert all(line.isprintable() for line in lines)
    assert not said.startswith("[red]") or any("[red]" in line for line in lines)


def test_what_is_seen_below_has_no_line_and_all_else_has():
    view = live.View(io.StringIO())
    for each in (begins("cmp1"), asked(1, in_a_row=1), asked(2, "held"), ends("cmp1"), started()):
        view(each)
    assert [line[9:] for line in view._console.file.getvalue().splitlines()] == [
        "  waiting: held",
        "  cmp1      changed        2.0 s  2 changed",
        "[3/0] Compute nodes are installed: 40 nodes",
    ]


# -- where it is drawn -------------------------------------------------------------------------------------------------


class Tty(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "term", "shows"),
    [
        (Tty(), "xterm-256color", live.View),
        (Tty(), "dumb", progress.Lines),
        (Tty(), None, progress.Lines),
        (io.StringIO(), "xterm", progress.Lines),
    ],
)
def test_it_is_drawn_in_a_terminal_that_can(monkeypatch, stream, term, shows):
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    assert type(live.sink(stream)) is shows


def test_without_the_library_there_are_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(live.sink(Tty())) is progress.Lines
