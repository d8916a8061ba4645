"""Calls that go with a node are asked one after the other, each until it holds or its time is up."""

import pytest
from nodes import Bus, Node
from os_orchestrator import environment, errands, transport


def call(function="a.b", **settings):
    return environment.Call(function, **settings)


def roles(**nodes):
    return {name: environment.Role(name, tuple(listed)) for name, listed in nodes.items()}


def errand_on(bus, *calls, what="before", **nodes):
    with bus.time():
        return errands.Errand(what, "n1", calls, roles(**nodes), bus)


def until_over(errand, bus, deliver=lambda heard: [heard]):
    with bus.time():
        errand.go_on()
        while not errand.over:
            heard = bus.next(max(0.05, errand.due - bus.clock.monotonic()))
            for each in deliver(heard) if isinstance(heard, transport.Return) else ():
                if not errand.over:
                    errand.hear(each)
            errand.go_on()
    return errand


def node(name="n1", **does):
    return Node(name, does={f"a.{what}": answer for what, answer in does.items()})


def test_calls_are_asked_one_after_the_other_and_told_as_rows():
    bus = Bus(node(b=lambda now: "done", c=lambda now: True))
    found = until_over(errand_on(bus, call("a.b"), call("a.c", expect=True)), bus)
    assert (found.over, found.failed, found.silent) == (True, "", False)
    assert [
        (row["what"], row["function"], row["nodes"], row["good"], row["said"], row["times"]) for row in found.rows
    ] == [
        ("before", "a.b", ["n1"], True, 'answered "done"', 1),
        ("before", "a.c", ["n1"], True, "answered true", 1),
    ]


def test_after_one_that_does_not_hold_no_other_is_asked():
    bus = Bus(node(b=lambda now: False, c=lambda now: True))
    found = until_over(errand_on(bus, call("a.b"), call("a.c")), bus)
    assert found.failed == "a.b on n1: answered false"
    assert not bus.asked("a.c")
    assert [row["good"] for row in found.rows] == [False]


def test_it_is_asked_again_until_it_holds():
    bus = Bus(node(b=lambda now: now > 12))
    found = until_over(errand_on(bus, call(expect=True, within=30, interval=5)), bus)
    assert not found.failed
    assert [round(when) for when, _, _ in bus.asked("a.b")] == [0, 5, 10, 15]
    assert found.rows[0]["times"] == 4


def test_it_is_given_up_when_it_could_not_hold_in_time_any_more():
    bus = Bus(node(b=lambda now: False))
    found = until_over(errand_on(bus, call(within=12, interval=5)), bus)
    assert found.failed == "a.b on n1: answered false, within 12 s"
    assert [round(when) for when, _, _ in bus.asked("a.b")] == [0, 5, 10]


def test_silence_is_an_answer_when_the_time_for_one_is_up():
    bus = Bus(Node("n1"))
    found = until_over(errand_on(bus, call(timeout=7)), bus)
    assert (found.failed, found.silent) == ("a.b on n1: no answer within 7 s", True)
    assert round(bus.now) == 7


def test_of_a_role_every_node_must_answer():
    bus = Bus(node("lb1", b=lambda now: True), node("lb2", b=lambda now: False), node("lb3", b=lambda now: False))
    found = until_over(errand_on(bus, call(role="endpoint"), endpoint=["lb1", "lb2", "lb3"]), bus)
    assert found.failed == "a.b on lb2: answered false (and 1 more)"
    assert not found.silent


def test_on_a_role_without_nodes_there_is_nothing_to_do():
    bus = Bus()
    found = until_over(errand_on(bus, call(role="endpoint"), endpoint=[]), bus)
    assert (found.over, found.failed, found.rows, bus.published) == (True, "", [], [])


def test_the_node_that_it_is_about_is_put_into_the_arguments():
    bus = Bus(node("lb1", b=lambda now, server, deep: [server, deep]))
    settings = {"args": ("compute/{node}",), "kwargs": {"deep": [{"x": "{node}"}]}}
    found = until_over(errand_on(bus, call(role="endpoint", **settings), endpoint=["lb1"]), bus)
    assert found.rows[0]["said"] == 'answered ["compute/n1", [{"x": "n1"}]]'


def test_a_master_that_cannot_publish_is_tried_again_within_its_time():
    bus = Bus(node(b=lambda now: True), refuses=[(0, 8)])
    assert not until_over(errand_on(bus, call(within=30, interval=5)), bus).failed
    bus = Bus(node(b=lambda now: True), refuses=[(0, 8)])
    assert until_over(errand_on(bus, call()), bus).failed.startswith("could not be asked: the master's publisher")


@pytest.mark.parametrize("other", [{"node": "evil"}, {"jid": "j99"}, {"jid": ""}])
def test_what_was_not_asked_for_is_no_answer(other):
    bus = Bus(node(b=lambda now: False))

    def also(heard):
        forged = {"node": heard.node, "jid": heard.jid, "answer": True, "retcode": 0, **other}
        return [transport.Return(**forged), heard]

    assert until_over(errand_on(bus, call()), bus, also).failed == "a.b on n1: answered false"


def test_an_answer_that_comes_twice_is_none_to_the_next_call():
    bus = Bus(node(b=lambda now: True, c=lambda now: False))
    found = until_over(errand_on(bus, call("a.b"), call("a.c")), bus, lambda heard: [heard, heard])
    assert found.failed == "a.c on n1: answered false"


def test_a_late_answer_is_none_to_the_asking_after_it():
    bus = Bus(Node("n1", does={"a.b": lambda now: now < 1}, latency=7))
    found = until_over(errand_on(bus, call(expect=True, timeout=5, within=10, interval=1)), bus)
    assert found.failed == "a.b on n1: no answer within 5 s, within 10 s"


def test_it_says_what_it_is_at():
    bus = Bus()
    assert errand_on(bus, call()).now == "before: a.b on n1"
    assert errand_on(bus, call(role="x"), what="after", x=["l1", "l2"]).now == "after: a.b on l1, l2"
    assert errand_on(bus, call(role="x"), x=list("abcd")).now == "before: a.b on 4 nodes"


def test_what_a_node_says_is_kept_short_and_printable():
    bus = Bus(node(b=lambda now: "\x1b[2J" + "x" * 9999))
    (row,) = until_over(errand_on(bus, call()), bus).rows
    assert row["said"].isprintable()
    assert len(row["said"]) <= 200
