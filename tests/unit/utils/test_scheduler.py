"""Whatever ends in whatever order: the window holds, nobody is forgotten, and a stop is a stop."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from os_orchestrator import scheduler

NODES = ["a", "b", "c", "d", "e"]
names = st.lists(st.integers(0, 30).map("n{}".format), max_size=20)


# -- what it does --------------------------------------------------------------------------------------------------


def test_nodes_start_in_order_and_a_free_place_is_filled_at_once():
    window = scheduler.Window(NODES, 2)
    assert window.start() == ["a", "b"]
    assert window.start() == []
    window.end("b", good=True)
    assert window.start() == ["c"]
    assert window.running == {"a", "c"}
    assert window.waiting == ("d", "e")


def test_a_node_that_is_named_twice_runs_once():
    window = scheduler.Window(["a", "b", "a"], 5)
    assert window.start() == ["a", "b"]


def test_nothing_starts_after_one_failure_unless_more_are_allowed():
    window = scheduler.Window(NODES, 2)
    window.start()
    window.end("a", good=False)
    assert window.stopped
    assert window.start() == []
    assert not window.finished
    window.end("b", good=True)
    assert window.finished
    assert window.waiting == ("c", "d", "e")


def test_it_goes_on_up_to_the_failures_that_are_allowed():
    window = scheduler.Window(NODES, 1, max_failures=1)
    window.start()
    window.end("a", good=False)
    assert window.start() == ["b"]
    window.end("b", good=False)
    assert window.start() == []


def test_a_node_that_is_tried_again_waits_behind_the_others():
    window = scheduler.Window(NODES[:3], 1)
    window.start()
    window.again("a")
    assert window.waiting == ("b", "c", "a")
    assert not window.stopped


def test_nodes_that_cannot_be_started_are_failures():
    window = scheduler.Window(NODES, 2, max_failures=1)
    window.drop(["b"])
    assert window.start() == ["a", "c"]
    window.drop(["d"])
    window.end("a", good=True)
    assert window.start() == []


def test_what_is_not_waiting_cannot_be_dropped():
    window = scheduler.Window(NODES, 1)
    window.start()
    window.drop(["a", "nobody"])
    assert window.running == {"a"}
    assert not window.stopped


def test_a_stopped_window_starts_nothing_and_waits_for_what_runs():
    window = scheduler.Window(NODES, 2)
    window.start()
    window.stop()
    assert window.start() == []
    window.end("a", good=True)
    assert not window.finished
    window.end("b", good=True)
    assert window.finished


def test_a_window_over_no_nodes_is_finished():
    assert scheduler.Window([], 3).finished


@pytest.mark.parametrize("ending", ["end", "again"])
def test_a_node_that_does_not_run_cannot_end(ending):
    window = scheduler.Window(NODES, 1)
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


# -- over anything that may happen ---------------------------------------------------------------------------------


class Pass(RuleBasedStateMachine):
    """A pass as its window sees it, next to a plain account of who is where."""

    @initialize(nodes=names, concurrency=st.integers(1, 8), max_failures=st.integers(0, 4))
    def begin(self, nodes, concurrency, max_failures):
        self.window = scheduler.Window(nodes, concurrency, max_failures)
        self.nodes, self.concurrency, self.max_failures = set(nodes), concurrency, max_failures
        self.running, self.ended = set(), set()
        self.starts, self.chances = Counter(), Counter(self.nodes)
        self.failures, self.stopped = 0, False

    def somebody(self, data, nodes):
        return data.draw(st.sampled_from(sorted(nodes)))

    def fail(self):
        self.failures += 1

    @rule()
    def start(self):
        room, before = self.concurrency - len(self.running), self.window.waiting
        started = self.window.start()
        may = 0 if self.stopped or self.failures > self.max_failures else min(room, len(before))
        assert started == list(before[:may])
        assert not self.running & set(started)
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

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def again(self, data):
        node = self.somebody(data, self.running)
        self.window.again(node)
        self.running.remove(node)
        self.chances[node] += 1

    @rule(nodes=st.sets(st.integers(0, 40).map("n{}".format), max_size=3))
    def drop(self, nodes):
        gone = nodes & (self.nodes - self.running - self.ended)
        self.window.drop(nodes)
        self.ended |= gone
        self.failures += len(gone)

    @rule()
    def a_failure_elsewhere(self):
        self.window.fail()
        self.failures += 1

    @precondition(lambda self: len(self.ended) > 3)
    @rule()
    def stop(self):
        self.window.stop()
        self.stopped = True

    @invariant()
    def the_window_is_never_exceeded(self):
        assert len(self.window.running) <= self.concurrency

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
        assert self.window.stopped is (self.stopped or self.failures > self.max_failures)

    @invariant()
    def it_is_finished_when_nothing_runs_and_nothing_will(self):
        assert self.window.finished is (not self.running and (self.window.stopped or not self.window.waiting))


Pass.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_the_window_holds_whatever_happens = Pass.TestCase


@settings(max_examples=200, deadline=None)
@given(names, st.integers(1, 8), st.integers(0, 30), st.randoms(use_true_random=False))
def test_every_pass_comes_to_an_end(nodes, concurrency, max_failures, chance):
    window, steps, retries = scheduler.Window(nodes, concurrency, max_failures), 0, 2 * len(nodes)
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
