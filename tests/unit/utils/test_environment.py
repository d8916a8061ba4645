import builtins
import fnmatch
import sys
from collections import OrderedDict

import pytest
from os_orchestrator import doors, environment, environment_mistakes, environment_schema
from os_orchestrator.environment import Check, Gate

ACCEPTED = frozenset(("ctl1", "ctl2", "cmp1", "cmp2", "cmp3", "lb1"))
CHECK = {"function": "network.connect", "role": "compute"}


def match(target, target_type):
    """Match as the master does over its accepted keys; the regular expressions of this one are all broken."""
    if target_type == "pcre":
        raise ValueError("unbalanced parenthesis")
    if target_type == "list":
        return target.split(",")
    return fnmatch.filter(ACCEPTED, target)


def build(definition, name="prod"):
    return environment.build(name, definition, ACCEPTED, match)


def mistakes(definition, name="prod"):
    """Return the mistakes in a definition, a sentence each."""
    with pytest.raises(environment.Invalid) as invalid:
        build(definition, name)
    assert str(invalid.value).splitlines() == [str(mistake) for mistake in invalid.value.mistakes]
    return str(invalid.value).splitlines()


def roles(**definitions):
    return {"roles": definitions}


@pytest.fixture
def prod():
    return build(
        {
            "roles": {
                "primary_controller": ["ctl1"],
                "secondary_controller": {"nodes": ["ctl2"], "puppet": {"timeout": 7200, "noop": True}},
                "compute": {"target": "cmp*", "count": 3},
                "endpoint": [],
            },
            "exclude": {"cmp2": "disk broken"},
            "puppet": {"puppet_environment": "production", "timeout": 1800, "tags": ["nova"]},
            "phases": {"Secondary controller is installed": {"noop": False, "may_fail": ["Exec[x]"]}},
            "gates": {
                "writer": {"checks": [{**CHECK, "args": [1], "kwargs": {"a": 1}, "expect": "equal"}], "successes": 5}
            },
        }
    )


# -- what it comes to ----------------------------------------------------------------------------------------------


def test_nodes_are_those_of_the_list_or_the_target_without_the_excluded(prod):
    assert {role.name: role.nodes for role in prod.roles.values()} == {
        "primary_controller": ("ctl1",),
        "secondary_controller": ("ctl2",),
        "compute": ("cmp1", "cmp3"),
        "endpoint": (),
    }
    assert prod.excluded == {"cmp2": "disk broken"}


def test_nodes_of_a_list_keep_its_order_and_nodes_of_a_target_are_sorted():
    found = build(roles(a=["cmp3", "cmp1"], b={"nodes": ["ctl2", "ctl1"]}, c={"target": "c*"}))
    assert found.roles["a"].nodes == ("cmp3", "cmp1")
    assert found.roles["b"].nodes == ("ctl2", "ctl1")
    assert found.roles["c"].nodes == ("cmp1", "cmp2", "cmp3", "ctl1", "ctl2")


def test_the_least_environment_has_every_setting_at_its_default():
    found = build(roles())
    assert found.puppet["timeout"] == 3600
    assert found.puppet["lock_timeout"] == 600
    assert found.puppet["concurrency"] == 50
    assert found.puppet["ping_timeout"] == 15
    assert found.puppet["grace"] == 60
    assert found.puppet["max_failures"] == 0
    assert found.puppet["noop"] is False
    assert found.puppet["puppet_environment"] is None
    assert found.gates == found.phases == found.excluded == {}


def test_a_gate_has_its_defaults(prod):
    check = Check("network.connect", "compute", (1,), {"a": 1}, "equal", None, 30)
    assert prod.gates["writer"] == Gate("writer", (check,), 5, 5, 300)


def test_an_excluded_node_needs_no_key():
    assert build({**roles(a=["ctl1", "gone"]), "exclude": {"gone": "burnt"}}).roles["a"].nodes == ("ctl1",)


def test_the_count_of_a_target_includes_the_excluded():
    assert build({**roles(a={"target": "cmp*", "count": 3}), "exclude": {"cmp1": "x"}}).roles["a"].nodes == (
        "cmp2",
        "cmp3",
    )


def test_the_order_in_which_keys_are_written_does_not_matter_to_the_digest():
    one = {"roles": {"a": ["ctl1"], "b": []}, "puppet": {"noop": True, "tags": ["x"]}}
    two = OrderedDict([("puppet", OrderedDict([("tags", ["x"]), ("noop", True)])), ("roles", {"b": [], "a": ["ctl1"]})])
    assert build(one).digest == build(two).digest


@pytest.mark.parametrize(
    "other",
    [
        {"roles": {"a": {"target": "cmp*"}}, "puppet": {"timeout": 5}},
        {"roles": {"a": {"target": "cmp*"}}, "exclude": {"cmp1": "x"}},
        {"roles": {"a": {"target": "c*"}}},
    ],
)
def test_the_digest_changes_with_the_definition(other):
    assert build(other).digest != build({"roles": {"a": {"target": "cmp*"}}}).digest


def test_the_digest_changes_with_the_nodes_that_a_target_matches():
    definition = roles(a={"target": "cmp*"})
    fewer = environment.build("prod", definition, ACCEPTED, lambda *_: ["cmp1"])
    assert fewer.digest != build(definition).digest


# -- which setting wins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "phase", "sls", "expected"),
    [
        ("primary_controller", "x", {}, {"timeout": 1800, "noop": False, "tags": ["nova"], "may_fail": []}),
        ("primary_controller", "x", {"timeout": 60, "noop": None}, {"timeout": 60, "noop": False}),
        ("secondary_controller", "x", {"timeout": 60}, {"timeout": 7200, "noop": True}),
        (
            "secondary_controller",
            "Secondary controller is installed",
            {"may_fail": ["Exec[y]"]},
            {"timeout": 7200, "noop": False, "may_fail": ["Exec[x]"]},
        ),
    ],
)
def test_environment_then_scenario_then_role_then_sentence(prod, role, phase, sls, expected):
    options = prod.options([role], phase, sls)
    assert {key: options[key] for key in expected} == expected


def test_of_two_roles_the_later_wins(prod):
    assert prod.options(["primary_controller", "secondary_controller"], "x", {})["timeout"] == 7200
    assert prod.options([], "x", {})["timeout"] == 1800


def test_options_leave_the_environment_as_it_is(prod):
    prod.options(["secondary_controller"], "x", {"timeout": 1})
    assert prod.puppet["timeout"] == 1800


# -- mistakes ------------------------------------------------------------------------------------------------------

FORMS = "write a list of minion ids ([] for none), {nodes: [...]} or {target: ...}"
NAME = "write a name of letters, digits, dashes, dots and underscores"
NODE = "write a minion id, or {target: ...} in place of the list for a pattern"


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        (None, "environments:prod: found nothing; write a mapping"),
        ([], "environments:prod: found a list; write a mapping"),
        ({}, "environments:prod: roles is missing; give a mapping of roles to their nodes"),
        ({**roles(), "rols": {}}, "environments:prod: unknown key 'rols'; write 'roles'"),
        (
            {**roles(), "x": 1},
            "environments:prod: unknown key 'x'; known are roles, exclude, puppet, quiet_agents, phases, gates, calls",
        ),
        ({"rolse": {}}, "environments:prod: unknown key 'rolse'; write 'roles'"),
        ({"roles": 1}, "environments:prod:roles: found 1; write a mapping of roles to their nodes"),
        (roles(a=None), f"environments:prod:roles:a: found nothing; {FORMS}"),
        (roles(a="ctl1"), f'environments:prod:roles:a: found "ctl1"; {FORMS}'),
        (roles(a={}), "environments:prod:roles:a: found neither nodes nor target; give one of them"),
        (roles(a={"taget": "c*"}), "environments:prod:roles:a: unknown key 'taget'; write 'target'"),
        (
            roles(a={"nodes": [], "target": "c*"}),
            "environments:prod:roles:a: found both nodes and target; give one of them",
        ),
        (
            roles(a={"nodes": ["ctl1"], "count": 1}),
            "environments:prod:roles:a: found count without target; give a target, or the nodes alone",
        ),
        (roles(a=["cmp*"]), f'environments:prod:roles:a:0: found "cmp*"; {NODE}'),
        (roles(a=["ctl1\n"]), rf'environments:prod:roles:a:0: found "ctl1\n"; {NODE}'),
        (roles(a=["ctl1", 4]), f"environments:prod:roles:a:1: found 4; {NODE}"),
        (
            {"roles": {"a b": []}},
            f'environments:prod:roles: found the role "a b"; {NAME}',
        ),
        ({"roles": {1: []}}, "environments:prod:roles:1: the key 1 is no text; put it in quotes"),
        ({"roles": {True: []}}, "environments:prod:roles:True: the key true is no text; put it in quotes"),
        (roles(a=["ctl1", "ctl1"]), "environments:prod:roles:a: ctl1 is there more than once; write it once"),
        (
            roles(a=["ctl1", "lbb1"]),
            "environments:prod:roles:a: no accepted key of lbb1 (did you mean 'lb1'?); "
            "see salt-key -L and accept it (salt-key -a lbb1), or put it under exclude with the reason",
        ),
        (
            roles(a=["ctl3"]),
            "environments:prod:roles:a: no accepted key of ctl3; "
            "see salt-key -L and accept it (salt-key -a ctl3), or put it under exclude with the reason",
        ),
        (
            roles(a=[f"n{number}" for number in range(9)]),
            "environments:prod:roles:a: no accepted key of n0, n1, n2, n3, n4 and 4 more; "
            "see salt-key -L and accept it (salt-key -a n0), or put it under exclude with the reason",
        ),
        (
            roles(a={"target": "zz*"}),
            "environments:prod:roles:a: target 'zz*' matches no node; "
            "missing keys? see salt-key -L; a role without nodes is []",
        ),
        (
            roles(a={"target": "cmp*", "count": 40}),
            "environments:prod:roles:a: target 'cmp*' matches 3 nodes, 40 expected; "
            "missing keys? see salt-key -L; else correct count",
        ),
        (
            roles(a={"target": "(", "target_type": "pcre"}),
            "environments:prod:roles:a: target '(' cannot be matched: unbalanced parenthesis; "
            "correct target and target_type",
        ),
        (
            roles(a={"target": "ctl1,other", "target_type": "list"}),
            "environments:prod:roles:a: no accepted key of other; "
            "see salt-key -L and accept it (salt-key -a other), or put it under exclude with the reason",
        ),
        (
            {**roles(a=["ctl1"]), "exclude": {"lb1": "x"}},
            "environments:prod:exclude: lb1 is in no role; correct it, or take it out",
        ),
        (
            {**roles(a=["lb1"]), "exclude": {"lb": "x"}},
            "environments:prod:exclude: lb is in no role (did you mean 'lb1'?); correct it, or take it out",
        ),
        (
            {**roles(a=["ctl1"]), "exclude": {"ctl1": " "}},
            'environments:prod:exclude:ctl1: found " "; write the reason, in a line of text',
        ),
        (
            {**roles(a=["ctl1"]), "exclude": ["ctl1"]},
            "environments:prod:exclude: found a list; write a mapping of nodes to the reasons why they are left out",
        ),
        (
            {**roles(), "phases": {"Compute nodes are installed": {"timout": 5}}},
            "environments:prod:phases:Compute nodes are installed: unknown key 'timout'; write 'timeout'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_cure(definition, sentence):
    assert mistakes(definition) == [sentence]


def test_a_master_of_masters_takes_lists_as_they_are():
    found = environment.build("prod", {**roles(a=["ctl1", "unseen"]), "exclude": {"ctl1": "disk broken"}}, None, match)
    assert found.roles["a"].nodes == ("unseen",)
    with pytest.raises(environment.Invalid, match="ctl1 is there more than once"):
        environment.build("prod", roles(a=["ctl1", "ctl1"]), None, match)


def test_a_master_of_masters_resolves_no_target():
    """Not even one that matches some node at the top: the masters below may have more."""
    with pytest.raises(environment.Invalid) as invalid:
        environment.build("prod", roles(a={"target": "cmp*", "count": 3}, b=["ctl1"]), None, match)
    assert str(invalid.value) == (
        "environments:prod:roles:a: target 'cmp*' on a master of masters (order_masters), "
        "which does not know the nodes below; list them, as nodes: [...]; salt with that target shows who answers"
    )


TAGS = "write a Puppet tag or class"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"puppet_environment": "prod-x"},
            '"prod-x"; write the name of a Puppet environment: letters, digits and underscores',
        ),
        (
            {"puppet_environment": "x\n"},
            r'"x\n"; write the name of a Puppet environment: letters, digits and underscores',
        ),
        ({"mode": "server"}, '"server"; write one of agent, apply'),
        ({"manifest": "site.pp"}, '"site.pp"; write an absolute path'),
        ({"timeout": "1h"}, '"1h"; write a number from 1 to 604800'),
        ({"timeout": 0}, "0; write a number from 1 to 604800"),
        ({"timeout": True}, "true; write a number from 1 to 604800"),
        ({"lock_timeout": -1}, "-1; write a number from 0 to 604800"),
        ({"concurrency": 2.5}, "2.5; write a whole number from 1 to 10000"),
        ({"max_failures": -1}, "-1; write a count, or a percentage such as '10%'"),
        ({"max_failures": "101%"}, "\"101%\"; write a count, or a percentage such as '10%'"),
        ({"may_fail": "Exec[x]"}, "\"Exec[x]\"; write a list of resources such as ['Service[swift-*]']"),
        ({"noop": "no"}, '"no"; write true or false'),
        ({"tags": "nova"}, '"nova"; write a list of tags'),
        ({"grace": None}, "nothing; write a number from 0 to 604800"),
        ({"retries": 3}, "3; write a mapping of verdicts to counts such as {no_catalog: 1}"),
    ],
)
def test_limits_of_puppet_settings_hold_for_environment_role_and_in_part_for_phases(options, sentence):
    name = next(iter(options))
    assert mistakes({**roles(), "puppet": options}) == [f"environments:prod:puppet:{name}: found {sentence}"]
    role = {"nodes": ["ctl1"], "puppet": options}
    assert mistakes(roles(a=role)) == [f"environments:prod:roles:a:puppet:{name}: found {sentence}"]
    if name in environment_schema.SCHEMA["$defs"]["phase"]["properties"]:
        assert list(map(str, environment.phase_mistakes(options))) == [f"{name}: found {sentence}"]


@pytest.mark.parametrize("option", ["puppet_environment", "mode", "manifest", "ping_timeout", "grace"])
def test_what_belongs_to_nodes_and_not_to_a_phase_is_no_option_of_phases(option):
    (mistake,) = environment.phase_mistakes({option: 1})
    assert mistake.found == f"unknown key {option!r}"


@pytest.mark.parametrize(
    ("gate", "where", "sentence"),
    [
        ({}, "", "checks is missing; give a list of checks, [] for none"),
        ({"checks": {}}, ":checks", "found a mapping; write a list of checks, [] for none"),
        ({"checks": [{}]}, ":checks:0", None),
        (
            {"checks": [{**CHECK, "role": "computes"}]},
            ":checks:0",
            "unknown role 'computes' (did you mean 'compute'?); "
            "its roles are compute; add it, [] if it has no nodes here",
        ),
        (
            {"checks": [{**CHECK, "function": "connect"}]},
            ":checks:0:function",
            'found "connect"; write an execution function such as mysql_mmm.writer_ready',
        ),
        ({"checks": [{**CHECK, "kwarg": {}}]}, ":checks:0", "unknown key 'kwarg'; write 'kwargs'"),
        (
            {"checks": [{**CHECK, "expect": ["a"]}]},
            ":checks:0:expect",
            "found a list; write true, done, equal, a text or number, or {value: ...}",
        ),
        ({"checks": [{**CHECK, "expect": {"val": 1}}]}, ":checks:0:expect", "unknown key 'val'; write 'value'"),
        ({"checks": [CHECK], "successes": 0}, ":successes", "found 0; write a whole number from 1 to 1000"),
        ({"checks": [CHECK], "interval": 0}, ":interval", "found 0; write a number from 0.1 to 604800"),
        (
            {"checks": [CHECK], "successes": 10, "interval": 40},
            "",
            "10 successes, one each 40 s, outlast the timeout of 300 s; raise timeout, or lower successes or interval",
        ),
    ],
)
def test_a_mistake_in_a_gate_is_named_with_its_place_and_its_cure(gate, where, sentence):
    said = mistakes({**roles(compute=["cmp1"]), "gates": {"writer": gate}})
    assert said[0].startswith(f"environments:prod:gates:writer{where}: ")
    if sentence:
        assert said == [f"environments:prod:gates:writer{where}: {sentence}"]


def test_every_mistake_is_named_at_once():
    said = mistakes(
        {
            "roles": {"a": ["ctl9"], "b": {"target": "zz*"}, "c": 1},
            "exclude": {"ctl1": ""},
            "puppet": {"timeout": "x", "nope": 1},
            "gates": {"writer": {"checks": [{**CHECK, "role": "d"}], "successes": 100}, "other": {}},
            "typo": 1,
        }
    )
    places = sorted(sentence.partition(": ")[0].removeprefix("environments:prod") for sentence in said)
    assert places == sorted(
        [
            "",
            ":exclude:ctl1",
            ":gates:other",
            ":gates:writer",
            ":gates:writer:checks:0",
            ":puppet",
            ":puppet:timeout",
            ":roles:a",
            ":roles:b",
            ":roles:c",
        ]
    )


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "a b", "x" * 65, "prod\n"])
def test_an_environment_that_no_file_could_be_named_after_is_refused(name):
    assert mistakes(roles(), name)[0].startswith("environments: found the environment ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object()])
def test_what_json_cannot_hold_is_a_mistake(value):
    (mistake,) = mistakes({**roles(compute=[]), "gates": {"g": {"checks": [{**CHECK, "kwargs": {"a": value}}]}}})
    assert mistake.startswith("environments:prod:gates:g:checks:0:kwargs:a: found ")


def test_a_definition_that_holds_itself_is_a_mistake():
    endless = []
    endless.append(endless)
    (mistake,) = mistakes({**roles(compute=[]), "gates": {"g": {"checks": [{**CHECK, "args": endless}]}}})
    assert mistake.startswith("environments:prod:gates:g: mappings or lists in each other without end")


def test_a_missing_library_is_named_with_its_cure(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *rest: real("nowhere" if name == "jsonschema" else name, *rest)
    )
    monkeypatch.delitem(sys.modules, "jsonschema", raising=False)
    environment_mistakes._validator.cache_clear()
    with pytest.raises(doors.Refused, match=r"install it with salt-pip install jsonschema$"):
        build(roles())


# -- gates in place ------------------------------------------------------------------------------------------------


def test_a_gate_in_place_is_one_as_of_an_environment():
    gate = environment.gate_from("checks", {"checks": [CHECK], "timeout": 60})
    assert gate == Gate("checks", (Check("network.connect", "compute"),), 1, 5, 60)


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"checks": [{**CHECK, "function": 1}]}, "checks:0:function: found 1; write an execution function such as "),
        ({"checks": [CHECK], "successes": 99}, "99 successes, one each 5 s, outlast the timeout of 300 s; "),
        ([], "found a list; write a mapping with checks"),
    ],
)
def test_a_gate_in_place_with_a_mistake_is_refused(mapping, sentence):
    with pytest.raises(environment.Invalid) as invalid:
        environment.gate_from("checks", mapping)
    assert str(invalid.value).startswith(sentence)


def test_a_gate_that_checks_nothing_is_one():
    assert environment.gate_from("writer", {"checks": []}).checks == ()


def test_a_gate_with_other_numbers_is_checked_anew():
    gate = environment.gate_from("g", {"checks": [CHECK]})
    assert environment.gate_with(gate, {"successes": 3}).successes == 3
    with pytest.raises(environment.Invalid, match=r"^99 successes"):
        environment.gate_with(gate, {"successes": 99})
    with pytest.raises(environment.Invalid, match=r"^interval: found \"x\"; "):
        environment.gate_with(gate, {"interval": "x"})
