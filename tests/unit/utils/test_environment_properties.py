"""Whatever the pillar holds, there is an environment or there are mistakes, and nothing else."""

import fnmatch
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from os_orchestrator import environment, environment_schema

ACCEPTED = frozenset(("ctl1", "ctl2", "cmp1", "cmp2", "cmp3"))
PROPERTIES = {name: found.get("properties", {}) for name, found in environment_schema.SCHEMA["$defs"].items()}


def build(definition, name="prod"):
    return environment.build(name, definition, ACCEPTED, lambda target, _: fnmatch.filter(ACCEPTED, target))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=2) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def names(kind):
    return st.sampled_from(sorted(PROPERTIES[kind]))


def mapping(keys, values):
    """Mappings with the right keys, mostly, and any values."""
    return st.dictionaries(keys | st.text(max_size=5), values | anything, max_size=4)


nodes = st.sampled_from([*sorted(ACCEPTED), "cmp9", "*", ""])
seconds = st.integers(min_value=-1, max_value=1000) | st.floats()
words = st.sampled_from(["compute", "storage", "x", ""])
puppet = mapping(names("puppet"), seconds | words)
roles = st.lists(nodes, max_size=3) | mapping(names("role"), nodes | st.lists(nodes, max_size=3) | puppet)
checks = mapping(names("check"), words | st.just("network.connect") | seconds)
gates = mapping(names("gate"), st.lists(checks | st.just({"function": "a.b", "role": "compute"}), max_size=2) | seconds)
definitions = anything | st.fixed_dictionaries(
    {"roles": mapping(words, roles)},
    optional={
        "exclude": mapping(nodes, words),
        "puppet": puppet,
        "phases": mapping(words, puppet),
        "gates": mapping(words, gates),
    },
)


@settings(max_examples=400, deadline=None)
@given(definitions)
def test_a_definition_is_an_environment_or_mistakes(definition):
    found, mistakes = _outcome(build, definition)
    if found:
        _is_whole(found)
    assert found or mistakes


def _outcome(function, *args):
    """Return what a function returned or what mistakes it found; any other exception passes."""
    try:
        return function(*args), ()
    except environment.Invalid as invalid:
        # One line each, whatever the keys hold.
        lines = str(invalid).splitlines()
        return None, invalid.mistakes if len(lines) == len(invalid.mistakes) else ()


def _is_whole(found):
    """Hold what the rest of the code may rely on."""
    known = {node for role in found.roles.values() for node in role.nodes}
    assert known <= ACCEPTED - set(found.excluded)
    assert all(reason.strip() for reason in found.excluded.values())
    for gate in found.gates.values():
        assert not gate.checks or gate.successes * gate.interval <= gate.timeout
        assert all(check.role in found.roles for check in gate.checks)
    options = found.options(found.roles, "compute", {})
    assert set(options) == set(environment_schema.PUPPET_DEFAULTS) | set(environment_schema.WAY_DEFAULTS)
    json.dumps([options, found.puppet, found.phases])


sound = st.fixed_dictionaries(
    {
        "roles": st.dictionaries(
            st.sampled_from(["compute", "storage", "proxy"]),
            st.lists(st.sampled_from(sorted(ACCEPTED)), max_size=3, unique=True)
            | st.fixed_dictionaries({"target": st.sampled_from(["cmp*", "*", "ctl?"])})
            | st.fixed_dictionaries(
                {"nodes": st.just(["ctl2"]), "puppet": st.fixed_dictionaries({"noop": st.booleans()})}
            ),
        )
    },
    optional={
        "puppet": st.fixed_dictionaries(
            {},
            optional={
                "timeout": st.integers(1, 9999),
                "max_failures": st.integers(0, 9) | st.integers(0, 100).map("{}%".format),
                "may_fail": st.lists(st.just("Exec[x]"), max_size=2),
            },
        ),
        "phases": st.dictionaries(st.text(min_size=1), st.fixed_dictionaries({"concurrency": st.integers(1, 9)})),
    },
)


@settings(max_examples=100, deadline=None)
@given(sound)
def test_a_sound_definition_is_an_environment_and_always_the_same_one(definition):
    found = build(definition)
    _is_whole(found)
    assert found == build(json.loads(json.dumps(definition)))


@settings(max_examples=100, deadline=None)
@given(sound, st.sampled_from(["roles", "puppet", "phases"]), st.text(min_size=1).map("zz{}".format))
def test_one_unknown_key_is_one_mistake_that_names_it(definition, where, key):
    sections = {"roles": {"compute": {"nodes": [], key: 1}}, "puppet": {key: 1}, "phases": {"x": {key: 1}}}
    with pytest.raises(environment.Invalid) as invalid:
        build({**definition, where: sections[where]})
    (mistake,) = invalid.value.mistakes
    assert repr(key) in mistake.found


@settings(max_examples=200, deadline=None)
@given(anything | gates)
def test_a_gate_in_place_is_one_or_mistakes(mapping):
    gate, mistakes = _outcome(environment.gate_from, "checks", mapping)
    assert mistakes or environment.gate_with(gate, {}) == gate


@settings(max_examples=200, deadline=None)
@given(anything | puppet)
def test_options_of_a_phase_have_mistakes_or_not_and_nothing_else(options):
    assert all(isinstance(mistake, environment.Mistake) for mistake in environment.phase_mistakes(options))
