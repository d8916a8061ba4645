"""Which nodes of a phase go before which."""

import pytest
from nodes import Bus, Node
from os_orchestrator import scheduler, waves
from os_orchestrator.plan import Phase

NODES = ("a", "b", "c", "d", "e")


def phase(**options):
    return Phase(1, "A phase", "puppet", ("compute",), NODES, {"ping_timeout": 15, **options})


def groups(bus=None, nodes=NODES, allowed=0, **options):
    bus = bus or Bus()
    with bus.time():
        found, homeless = waves.groups(phase(**options), nodes, bus, allowed)
    return [("".join(group.nodes), group.max_failures) for group in found], homeless


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("abcde", 3)]),
        ({"canary": 1}, [("a", 0), ("bcde", 3)]),
        ({"canary": "40%"}, [("ab", 0), ("cde", 3)]),
        ({"canary": 9}, [("abcde", 0)]),
        ({"waves": 2}, [("ab", 3), ("cd", 3), ("e", 3)]),
        ({"waves": "40%"}, [("ab", 3), ("cd", 3), ("e", 3)]),
        ({"waves": {"size": 2, "max_failures": 1}}, [("ab", 1), ("cd", 1), ("e", 1)]),
        ({"waves": {"size": 2, "max_failures": "50%"}}, [("ab", 1), ("cd", 1), ("e", 0)]),
        ({"canary": 1, "waves": 2}, [("a", 0), ("bc", 3), ("de", 3)]),
    ],
)
def test_groups_are_the_canary_and_the_waves_of_the_rest(options, expected):
    assert groups(allowed=3, **options) == (expected, {})


def test_a_canary_that_is_good_already_makes_no_other_one_the_canary():
    assert groups(nodes=("b", "c"), canary=1, waves=1) == ([("b", 0), ("c", 0)], {})


def test_without_nodes_there_are_no_groups():
    assert groups(nodes=(), canary=1, waves={"grain": "rack"}) == ([], {})


def racked(function, **values):
    return Bus(*[Node(name, checks={function: lambda _, value=value: value}) for name, value in values.items()])


@pytest.mark.parametrize(("kind", "function"), [("grain", "grains.get"), ("pillar", "pillar.get")])
def test_a_wave_is_a_domain_by_what_its_nodes_say(kind, function):
    bus = racked(function, a="r2", b="r1", c="r2", d=7, e="r1")
    assert groups(bus, waves={kind: "rack", "max_failures": "50%"}) == ([("ac", 1), ("be", 1), ("d", 0)], {})
    assert len(bus.asked(function)) == 1


@pytest.mark.parametrize("odd", ["", None, True, [], {"rack": 1}])
def test_a_node_without_a_value_belongs_to_no_wave(odd):
    found, homeless = groups(racked("grains.get", a="r1", b=odd, c="r1", d="r1", e="r1"), waves={"grain": "rack"})
    assert found == [("acde", 0)]
    assert homeless == {"b": "it has no grain rack, by whose value the waves are made"}


def test_nodes_that_say_nothing_and_a_master_that_cannot_ask_leave_all_without_a_wave():
    assert list(groups(waves={"grain": "rack"})[1]) == list(NODES)
    assert list(groups(Bus(refuses=[(0, 99)]), waves={"pillar": "rack"})[1]) == list(NODES)


def test_the_canary_needs_no_value():
    found, homeless = groups(racked("grains.get", b="r1", c="r1", d="r1", e="r2"), canary=1, waves={"grain": "rack"})
    assert (found, homeless) == ([("a", 0), ("bcd", 0), ("e", 0)], {})


def test_a_phase_without_a_canary_has_none():
    assert waves.canary(phase()) == ()
    assert waves.canary(phase(canary=2)) == ("a", "b")
    assert scheduler.size("1%", 5) == len(waves.canary(phase(canary="1%")))
