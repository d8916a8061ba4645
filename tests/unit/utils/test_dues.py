"""The times of nodes, and that they stay true however they are set and dropped."""

from hypothesis import given
from hypothesis import strategies as st
from os_orchestrator import dues

NODES = st.sampled_from("abcd")
TIMES = st.integers(0, 20)
ACTS = st.lists(st.one_of(st.tuples(st.just("set"), NODES, TIMES), st.tuples(st.just("drop"), NODES, st.none())))


@given(ACTS, TIMES)
def test_what_is_due_is_what_was_set_last_and_not_dropped(acts, now):
    times, expected = dues.Dues(), {}
    for act, node, at in acts:
        if act == "set":
            times.set(node, at)
            expected[node] = at
        else:
            times.drop(node)
            expected.pop(node, None)
    assert times.first == min(expected.values(), default=float("inf"))
    over = {node: at for node, at in expected.items() if at <= now}
    assert times.over(now) == sorted(over, key=lambda node: (over[node], node))
    assert times.first == min((at for at in expected.values() if at > now), default=float("inf"))


def test_who_was_due_is_due_again_only_when_it_is_set_again():
    times = dues.Dues()
    times.set("a", 1.0)
    assert times.over(1.0) == ["a"]
    assert times.over(9.0) == []
    times.set("a", 1.0)
    assert times.over(1.0) == ["a"]
