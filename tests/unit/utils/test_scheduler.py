"""Whatever ends in whatever order: the window holds, nobody is forgotten, and a stop is a stop."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from os_orchestrator import scheduler

NODES = ["a", "b", "c", "d", "e"]
names = st.lists(st.integers(0, 30).map("n{}".format), max_size=12)
drawn_groups = st.lists(st.tuples(names, st.integers(0, 3)), max_size=4).map(
    lambda drawn: [scheduler.Group(tuple(nodes), allowed) for nodes, allowed in drawn]
)


def window_over(nodes, concurrency, max_failures=0):
    """Return a window over nodes that start as places come free."""
    return scheduler.Window([scheduler.Group(tuple(nodes), max_failures)], concurrency, max_failures)


def waved(*waves, concurrency=5, max_failures=0, of_a_wave=0):
    """Return a window over waves."""
    return scheduler.Window([scheduler.Group(tuple(wave), of_a_wave) for wave in waves], concurrency, max_failures)


# -- what it does --------------------------------------------------------------------------------------------------


def test_nodes_start_in_order_and_a_free_place_is_filled_at_once():
    window = window_over(NODES, 2)
    assert window.start() == ["a", "b"]
    assert window.start() == []
    window.end("b", good=True)
    assert window.start() == ["c"]
    assert window.running == {"a", "c"}
    assert window.waiting == ("d", "e")


def test_a_node_that_is_named_twice_runs_once():
    window = window_over("aba", 5)
    assert window.start() == ["a", "b"]


def test_nothing_starts_after_one_failure_unless_more_are_allowed():
    window = window_over(NODES, 2)
    window.start()
    window.end("a", good=False)
    assert window.stopped
    assert window.start() == []
    assert not window.finished
    window.end("b", good=True)
    assert window.finished
    assert window.waiting == ("c", "d", "e")


def test_it_goes_on_up_to_the_failures_that_are_allowed():
    window = window_over(NODES, 1, max_failures=1)
    window.start()
    window.end("a", good=False)
    assert window.start() == ["b"]
    window.end("b", good=False)
    assert window.start() == []


def test_a_node_that_is_tried_again_waits_behind_the_others():
    window = window_over(NODES[:3], 1)
    window.start()
    window.again("a")
    assert window.waiting == ("b", "c", "a")
    assert not window.stopped


def test_nodes_that_cannot_be_started_are_failures():
    window = scheduler.Window([scheduler.Group(tuple(NODES), 1)], 2, max_failures=1, failed=1)
    assert window.start() == ["a", "b"]
    window.end("a", good=False)
    assert window.stopped
    assert scheduler.Window([scheduler.Group(tuple(NODES), 1)], 2, max_failures=1, failed=2).finished


# -- one group before the next -------------------------------------------------------------------------------------


def test_a_wave_starts_when_all_of_the_one_before_have_ended():
    window = waved("ab", "cd")
    assert window.start() == ["a", "b"]
    window.end("b", good=True)
    assert window.start() == []
    assert window.present == 0
    window.end("a", good=True)
    assert window.start() == ["c", "d"]
    assert window.present == 1


def test_a_node_that_is_tried_again_keeps_the_next_wave_waiting():
    window = waved("ab", "c")
    window.start()
    window.end("a", good=True)
    window.again("b")
    assert window.waiting == ("b", "c")
    assert window.start() == ["b"]
    assert window.start() == []
    window.end("b", good=True)
    assert window.start() == ["c"]


def test_a_canary_that_fails_ends_it_whatever_the_pass_allows():
    window = scheduler.Window([scheduler.Group(("a",), 0), scheduler.Group(("b", "c"), 5)], 5, max_failures=5)
    assert window.start() == ["a"]
    window.end("a", good=False)
    assert window.start() == []
    assert (window.finished, window.broken, window.waiting) == (True, 0, ("b", "c"))


def test_each_wave_has_its_own_allowance():
    window = waved("abc", "de", max_failures=5, of_a_wave=1)
    window.start()
    window.end("a", good=False)
    window.end("b", good=True)
    window.end("c", good=True)
    assert window.start() == ["d", "e"]
    window.end("d", good=False)
    assert not window.stopped
    window.end("e", good=False)
    assert (window.stopped, window.broken) == (True, 1)


def test_when_too_many_have_failed_in_all_no_wave_is_to_blame():
    window = waved("ab", "cd", max_failures=1, of_a_wave=1)
    window.start()
    window.end("a", good=False)
    window.end("b", good=True)
    window.start()
    window.end("c", good=False)
    assert (window.stopped, window.broken) == (True, None)


def test_waves_without_nodes_are_passed_over():
    window = waved("", "a", "", "", "b")
    assert window.start() == ["a"]
    window.end("a", good=True)
    assert window.start() == ["b"]


def test_a_node_that_is_in_two_waves_runs_with_the_first():
    window = waved("ab", "bc")
    assert window.start() == ["a", "b"]
    window.end("a", good=True)
    window.end("b", good=True)
    assert window.start() == ["c"]


# -- its end -------------------------------------------------------------------------------------------------------


def test_a_stopped_window_starts_nothing_and_waits_for_what_runs():
    window = window_over(NODES, 2)
    window.start()
    window.stop()
    assert window.start() == []
    window.end("a", good=True)
    assert not window.finished
    window.end("b", good=True)
    assert window.finished


@pytest.mark.parametrize("window", [scheduler.Window([], 3), window_over("", 3), waved("", "")])
def test_a_window_over_no_nodes_is_finished(window):
    assert window.finished
    assert window.start() == []


@pytest.mark.parametrize("ending", ["end", "again"])
def test_a_node_that_does_not_run_cannot_end(ending):
    window = window_over(NODES, 1)
    window.start()
    with pytest.raises(KeyError):
        getattr(window, ending)("b", *([True] if ending == "end" else []))
    assert window.waiting == ("b", "c", "d", "e")


@pytest.mark.parametrize(
    ("max_failures", "total", "allowed"),
    [
        (0, 10, 0),
        (3, 10, 3),
        (3, 1, 3),
        ("2", 10, 2),
        ("0%", 10, 0),
        ("10%", 10, 1),
        ("10%", 9, 0),
        ("10%", 19, 1),
        ("10%", 0, 0),
        ("29%", 100, 29),
        ("100%", 7, 7),
    ],
)
def test_an_allowance_is_a_count_or_a_percentage_rounded_down(max_failures, total, allowed):
    assert scheduler.allowance(max_failures, total) == allowed


@given(st.integers(0, 100), st.integers(0, 10000))
def test_a_percentage_is_never_rounded_up(percent, total):
    assert scheduler.allowance(f"{percent}%", total) == percent * total // 100


@pytest.mark.parametrize(
    ("wanted", "total", "meant"),
    [(1, 10, 1), (20, 10, 20), ("10%", 10, 1), ("10%", 11, 2), ("1%", 10, 1), ("29%", 100, 29), ("100%", 7, 7)],
)
def test_a_size_is_a_count_or_a_percentage_rounded_up(wanted, total, meant):
    assert scheduler.size(wanted, total) == meant


@given(st.integers(1, 100), st.integers(1, 10000))
def test_a_size_in_percent_is_never_rounded_down_and_never_none(percent, total):
    assert scheduler.size(f"{percent}%", total) == max(1, -(-percent * total // 100))


@pytest.mark.parametrize(
    ("wanted", "waves"),
    [
        (2, ["ab", "cd", "e"]),
        (5, ["abcde"]),
        (9, ["abcde"]),
        ("40%", ["ab", "cd", "e"]),
        ("50%", ["abc", "de"]),
        ("1%", ["a", "b", "c", "d", "e"]),
    ],
)
def test_waves_are_of_one_size_but_for_the_last(wanted, waves):
    assert scheduler.in_waves(NODES, wanted) == [tuple(wave) for wave in waves]


def test_no_nodes_make_no_waves():
    assert scheduler.in_waves([], "10%") == scheduler.in_waves([], 3) == scheduler.by_domain([]) == []


def test_a_domain_is_a_wave_in_the_order_in_which_they_come_first():
    racks = [("a", "r2"), ("b", "r1"), ("c", "r2"), ("d", "r1"), ("e", "r3")]
    assert scheduler.by_domain(racks) == [("a", "c"), ("b", "d"), ("e",)]


# -- over anything that may happen ---------------------------------------------------------------------------------


class Pass(RuleBasedStateMachine):
    """A pass as its window sees it, next to a plain account of who is where."""

    @initialize(
        groups=drawn_groups, concurrency=st.integers(1, 8), max_failures=st.integers(0, 4), failed=st.integers(0, 5)
    )
    def begin(self, groups, concurrency, max_failures, failed):
        self.window = scheduler.Window(groups, concurrency, max_failures, failed)
        self.concurrency, self.max_failures = concurrency, max_failures
        self.allowed = [group.max_failures for group in groups]
        self.group = {}
        for number, group in enumerate(groups):
            for node in group.nodes:
                self.group.setdefault(node, number)
        self.nodes = set(self.group)
        self.running, self.ended = set(), set()
        self.starts, self.chances = Counter(), Counter(self.nodes)
        self.failures, self.failures_of, self.told_to_stop = failed, Counter(), False

    def somebody(self, data, nodes):
        return data.draw(st.sampled_from(sorted(nodes)))

    @property
    def stopped(self):
        of_a_group = any(self.failures_of[number] > allowed for number, allowed in enumerate(self.allowed))
        return self.told_to_stop or of_a_group or self.failures > self.max_failures

    def left_of(self, group):
        return {node for node in self.nodes - self.ended if self.group[node] == group}

    @rule()
    def start(self):
        room, before = self.concurrency - len(self.running), self.window.waiting
        first = min((self.group[node] for node in self.nodes - self.ended), default=0)
        may = [] if self.stopped else [node for node in before if self.group[node] == first][:room]
        started = self.window.start()
        assert started == may
        assert not self.running & set(started)
        for node in started:
            assert not any(self.left_of(earlier) for earlier in range(self.group[node]))
            assert self.window.present == self.group[node]
        self.running |= set(started)
        self.starts.update(started)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), good=st.booleans())
    def end(self, data, good):
        node = self.somebody(data, self.running)
        self.window.end(node, good)
        self.running.remove(node)
        self.ended.add(node)
        self.failures += not good
        self.failures_of[self.group[node]] += not good

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def again(self, data):
        node = self.somebody(data, self.running)
        self.window.again(node)
        self.running.remove(node)
        self.chances[node] += 1

    @precondition(lambda self: len(self.ended) > 3)
    @rule()
    def stop(self):
        self.window.stop()
        self.told_to_stop = True

    @invariant()
    def the_window_is_never_exceeded(self):
        assert len(self.window.running) <= self.concurrency

    @invariant()
    def only_one_group_runs_at_a_time(self):
        assert len({self.group[node] for node in self.running}) <= 1

    @invariant()
    def nobody_is_forgotten_or_in_two_places(self):
        waiting = self.window.waiting
        assert self.window.running == self.running
        assert sorted([*waiting, *self.running, *self.ended]) == sorted(self.nodes)

    @invariant()
    def nobody_starts_more_often_than_it_was_told_to(self):
        assert all(self.starts[node] <= self.chances[node] for node in self.nodes)

    @invariant()
    def it_stops_when_told_or_when_too_many_have_failed_and_not_else(self):
        assert self.window.stopped is self.stopped

    @invariant()
    def a_group_is_to_blame_only_when_too_many_of_it_have_failed(self):
        broken = self.window.broken
        if broken is not None:
            assert self.window.stopped
            assert self.failures_of[broken] > self.allowed[broken]
        elif self.window.stopped and not self.told_to_stop:
            assert self.failures > self.max_failures

    @invariant()
    def it_is_finished_when_nothing_runs_and_nothing_will(self):
        assert self.window.finished is (not self.running and (self.window.stopped or not self.window.waiting))


Pass.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_the_window_holds_whatever_happens = Pass.TestCase


@settings(max_examples=200, deadline=None)
@given(drawn_groups, st.integers(1, 8), st.integers(0, 30), st.randoms(use_true_random=False))
def test_every_pass_comes_to_an_end(groups, concurrency, max_failures, chance):
    nodes = {node for group in groups for node in group.nodes}
    window, steps, retries = scheduler.Window(groups, concurrency, max_failures), 0, 2 * len(nodes)
    while not window.finished:
        assert window.start() or window.running
        node = chance.choice(sorted(window.running))
        if retries and chance.random() < 0.3:
            retries -= 1
            window.again(node)
        else:
            window.end(node, chance.random() < 0.8)
        steps += 1
    assert steps <= 3 * len(nodes)
    assert window.stopped or not window.waiting
