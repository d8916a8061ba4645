"""The shapes of a timeline: to scale, in their place, and legible."""

import itertools
import time

import pytest
import recorded
from os_orchestrator.page import story, timeline


def clock(moment):
    return time.strftime("%H:%M:%S", time.gmtime(moment))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return the story of a recorded deployment, by size and whether it was resumed; each is recorded once."""
    stories = {}

    def read(size, which="failed"):
        if (size, which) not in stories:
            recorder = getattr(recorded, which)(tmp_path_factory.mktemp("journal"), size)
            stories[size, which] = story.read(recorder.journal, getattr(recorded, which.upper()))
        return stories[size, which]

    return read


def drawn(found):
    return timeline.Timeline(found["parts"], found["read"], clock)


def charts(found):
    line = drawn(found)
    return [line.axis(), *(chart for phase in found["phases"] if (chart := line.phase(phase["name"])))]


ALL = [(size, which) for size in recorded.SIZES for which in ("failed", "resumed")]


@pytest.mark.parametrize(("size", "which"), ALL)
def test_nothing_is_drawn_outside(told, size, which):
    for chart in charts(told(size, which)):
        for bar in chart.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= timeline.WIDTH
            assert bar.y >= 0
            assert bar.y + bar.height <= chart.height
        for words in chart.words:
            left, right = reach(words)
            assert left >= -1, words
            assert right <= timeline.WIDTH + 1, words
            assert 0 < words.y <= chart.height


def reach(words):
    """Return from where to where words are written, about."""
    length = len(words.words) * 6.3
    left = words.x - {"start": 0, "middle": length / 2, "end": length}[words.anchor]
    return left, left + length


@pytest.mark.parametrize(("size", "which"), ALL)
def test_no_words_stand_on_others(told, size, which):
    for chart in charts(told(size, which)):
        for one, other in itertools.combinations(chart.words, 2):
            if abs(one.y - other.y) < 9:
                (_, end), (begin, _) = sorted((reach(one), reach(other)))
                assert end <= begin + 1, (one, other)


@pytest.mark.parametrize(("size", "which"), ALL)
def test_the_node_that_failed_has_a_red_row_with_its_name(told, size, which):
    found = told(size, which)
    (problem,) = [each for each in found["parts"][0]["problems"] if each["verdict"] == "failed"]
    chart = drawn(found).phase(problem["phase"])
    (bar,) = [bar for bar in chart.bars if bar.kind == "bad" and bar.height > 5]
    assert bar.title.startswith(f"{problem['nodes'][0]}: failed after")
    names = [words for words in chart.words if words.title == problem["nodes"][0]]
    assert [round(words.y - bar.y) for words in names] == [10]
    assert any(words.kind.endswith("bad") and words.words.startswith("failed") for words in chart.words)


def test_lengths_are_to_one_scale(told):
    found = told(5)
    chart = drawn(found).phase("Compute nodes are installed")
    runs = {run["node"]: run["ended"] - run["started"] for run in found["phases"][4]["attempts"]}
    scales = [bar.width / runs[bar.title.split(":")[0]] for bar in chart.bars if ".example.com" in bar.title]
    phases = [drawn(found).phase(phase["name"]).bars[0] for phase in found["phases"][:5]]
    scales += [
        bar.width / (phase["ended"] - phase["started"]) for bar, phase in zip(phases, found["phases"], strict=False)
    ]
    assert max(scales) == pytest.approx(min(scales))
    for one, other in itertools.pairwise(phases):
        assert other.x == pytest.approx(one.x + one.width, abs=2)


def test_a_phase_of_many_nodes_has_a_line_for_each_that_ran_and_says_how_many_did_not(told):
    chart = drawn(told(500)).phase("Compute nodes are installed")
    ran = sum(run["started"] is not None for run in told(500)["phases"][4]["attempts"])
    assert len(chart.bars) == ran + 1
    words = [words.words for words in chart.words]
    assert f"{ran - 1} others" in words
    assert words[-2:] == [f"{498 - ran}", "were not started"]
    assert chart.height < 600


def test_nodes_of_one_domain_are_named_without_it(told):
    chart = drawn(told(5)).phase("Compute nodes are installed")
    assert [words.words for words in chart.words if words.kind == "name"] == ["cmp001", "cmp002", "cmp003"]


@pytest.mark.parametrize(
    ("nodes", "domain"),
    [
        ([], ""),
        (["a"], ""),
        (["a.x", "b.x"], ".x"),
        (["a.x", "b.y"], ""),
        (["a.x", "b"], ""),
        (["10.0.0.1", "10.0.0.2"], ""),
        (["10.0.0.1"], ""),
    ],
)
def test_the_domain_that_names_have_in_common(nodes, domain):
    assert timeline.common_domain(nodes) == domain


def test_both_parts_of_a_resumed_deployment_are_drawn_behind_each_other(told):
    chart = drawn(told(5, "resumed")).phase("Compute nodes are installed")
    bars = {}
    for bar in chart.bars[2:]:
        bars.setdefault(bar.title.split(":")[0], []).append(bar)
    assert [bar.kind for bar in bars["cmp001.example.com"]][1] == "kept"
    failed, again = bars["cmp002.example.com"]
    assert failed.kind == "bad"
    assert again.kind in ("changed", "unchanged")
    assert failed.x + failed.width < min(x for x, kind, _ in chart.lines if kind == "edge") < again.x


def test_the_axis_says_when_each_part_began_and_what_lies_between(told):
    found = told(5, "resumed")
    words = [words.words for words in drawn(found).axis().words]
    assert [clock(part["started"]) for part in found["parts"]] == [word for word in words if word.count(":") == 2]
    assert "1 h 00 min later" in words


def test_a_gate_shows_when_it_was_held_and_by_whom(told):
    chart = drawn(told(5)).phase("The writer is ready")
    held, opened = chart.bars[1:]
    assert (held.kind, opened.kind) == ("held", "open")
    assert held.title == f"6 rounds held by {recorded.WRITER} on mon1.example.com: {recorded.HELD}"
    assert opened.x == pytest.approx(held.x + held.width)


def test_a_phase_that_was_not_begun_is_not_drawn(told):
    assert drawn(told(5)).phase("The endpoint is installed") is None


def part(**changes):
    row = {
        "name": "a", "kind": "puppet", "state": "running", "started": 110, "ended": None, "asked": ["n1", "n2"],
        "attempts": [
            {"node": "n1", "verdict": None, "reason": "", "note": "silent", "seconds": None, "started": 120,
             "ended": None},
            {"node": "n2", "verdict": None, "reason": "", "note": "waits for another", "seconds": None,
             "started": None, "ended": None},
        ],
    }  # fmt: skip
    return {"started": 100, "ended": None, "state": "running", "phases": [row], **changes}


def test_what_runs_is_drawn_until_now():
    chart = timeline.Timeline([part()], 200, clock).phase("a")
    runs = chart.bars[1:]
    assert [bar.kind for bar in runs] == ["running", "unstarted"]
    assert runs[0].x + runs[0].width == pytest.approx(timeline.WIDTH - 130)
    assert [words.words for words in chart.words if words.kind.startswith("small")] == [
        "90.0 s", "no verdict", "waiting"
    ]  # fmt: skip


def test_what_died_is_drawn_until_the_last_that_is_known():
    chart = timeline.Timeline([part(state="interrupted")], 10_000, clock).phase("a")
    assert chart.bars[0].x + chart.bars[0].width == pytest.approx(timeline.WIDTH - 130)


def test_a_deployment_that_took_no_time_is_drawn():
    assert timeline.Timeline([part(ended=100)], 100, clock).axis().words[0].words == "00:01:40"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (30, "30 s"), (90, "90 s"), (120, "2 min"), (3600, "1 h"), (5400, "1 h 30"), (172800, "48 h")],
)
def test_ticks_are_said_shortly(seconds, words):
    assert timeline._elapsed(seconds) == words


@pytest.mark.parametrize("length", [0.001, 1, 59, 7200, 86400 * 30, 86400 * 3000])
def test_ticks_stand_apart(length):
    line = timeline.Timeline([part(started=0, ended=length, state="failed")], length, clock)
    ticks = [words.x for words in line.axis().words if words.kind == "tick"]
    assert 1 <= len(ticks) < 15
    assert all(other - one >= 69 for one, other in itertools.pairwise(ticks))
