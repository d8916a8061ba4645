"""The frame of the benchmarks: figures, their tables, what is kept of them, and the page that shows it."""

import re

import bench
import pytest
import sequence
from figures import Figure, Record, number, picture_names, read, tables, write

RATIO = Figure("Runs", "5 nodes", "ours", (1.2, 1.1, 1.15), goal=1.12)
OTHER = Figure("Runs", "5 nodes", "theirs", (2.0,))
STATUS = Figure("Exit status", "3 fail", "ours", (1, 1, 1), unit="")
TIME = Figure("Time", "100 nodes", "engine", (1234.5, 120.0, 0.1234), unit="ms")


def test_a_figure_is_its_median_and_its_spread():
    assert [str(each) for each in (RATIO, OTHER, STATUS, TIME)] == [
        "1.15 (1.10 to 1.20)",
        "2.00",
        "1",
        "120 ms (0.123 to 1234)",
    ]


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (1, "1.00"), (12.345, "12.3"), (1234.5, "1234")])
def test_a_number_has_three_digits_that_matter(value, text):
    assert number(value) == text


def test_figures_make_a_table_for_each_title_with_its_goals_and_its_picture():
    assert tables([RATIO, OTHER, STATUS], {"Runs": "performance/x-1.svg"}) == (
        "### Runs\n\n|  | ours | theirs | goal |\n| --- | --- | --- | --- |\n"
        "| 5 nodes | 1.15 (1.10 to 1.20) | 2.00 | 1.12 |\n\n![Runs](performance/x-1.svg)\n\n"
        "### Exit status\n\n|  | ours |\n| --- | --- |\n| 3 fail | 1 |\n"
    )


def test_what_is_kept_is_read_again(tmp_path):
    kept = {"one": Record("here", "do one", (RATIO, STATUS)), "two": Record("there", "do two", (TIME,))}
    write(tmp_path / "results.json", kept)
    assert read(tmp_path / "results.json") == kept
    assert read(tmp_path / "none.json") == {}


def test_a_measure_replaces_its_own_part_of_the_page_alone():
    page = "a\n<!-- one: measured -->\nold\n<!-- one: end -->\nb\n<!-- two: measured -->\nold\n<!-- two: end -->\n"
    assert bench.in_page(page, "one", "new\n") == page.replace("old", "new", 1)
    with pytest.raises(SystemExit, match="has no place for three"):
        bench.in_page(page, "three", "new\n")


def test_a_quick_look_shows_what_is_kept_beside_what_is_found():
    shown = bench.beside([RATIO, TIME], Record("", "", (Figure("Runs", "5 nodes", "ours", (1.3,)),)))
    assert [re.split(" {2,}", line) for line in shown.splitlines()[1:]] == [
        ["Runs: 5 nodes", "ours", "1.15 (1.10 to 1.20)", "1.30"],
        ["Time: 100 nodes", "engine", "120 ms (0.123 to 1234)", "-"],
    ]


@pytest.mark.parametrize("name", bench.MEASURES)
def test_the_page_shows_what_is_kept_and_nothing_else(name):
    record, page = read(bench.RESULTS).get(name), bench.PAGE.read_text()
    assert bench.in_page(page, name, bench.shown(name, record) if record else "") == page
    assert all(
        (bench.PICTURES / file).exists() for file in picture_names(name, record.figures if record else ()).values()
    )


@pytest.mark.parametrize(
    ("lengths", "window", "seconds"),
    [([2] * 30, 50, 2), ([5] * 30, 10, 15), ([10, *[2] * 29], 10, 10), ([*[2] * 29, 10], 10, 14), ([3], 1, 3)],
)
def test_the_ideal_is_a_window_that_is_filled_at_once(lengths, window, seconds):
    assert sequence.makespan(lengths, window) == seconds


def test_the_quick_cases_are_among_those_that_are_kept():
    kept = {(case.table, case.title, case.ideal) for case in sequence.CASES}
    assert kept >= {(case.table, case.title, case.ideal) for case in sequence.QUICK}


def test_the_ideal_of_the_compute_scenario_is_its_five_passes():
    assert [case.ideal for case in sequence.CASES if case.table == sequence.SCENARIO] == [10, 50, 10]
