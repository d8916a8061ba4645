"""A scenario is checked as a whole against its environment, before its first node is touched."""

import fnmatch

import pytest
from nodes import chunks
from os_orchestrator import doors, environment, plan, words
from os_orchestrator.plan import Selection

ACCEPTED = ("ctl1", "ctl2", "cmp1", "cmp2", "cmp3", "cmp4", "st1", "st2")
DEFINITION = {
    "roles": {
        "controller": ["ctl1"],
        "secondary": ["ctl2"],
        "compute": {"target": "cmp*", "puppet": {"concurrency": 2, "timeout": 900}},
        "storage": ["st1", "st2"],
        "endpoint": [],
    },
    "exclude": {"cmp4": "disk broken"},
    "puppet": {"timeout": 1800, "concurrency": 10, "lock_timeout": 5},
    "phases": {"Compute nodes are installed": {"timeout": 60, "may_fail": ["Exec[x]"]}},
    "gates": {
        "writer": {
            "checks": [
                {"function": "mysql_mmm.writer_ready", "role": "controller"},
                {"function": "mysql_endpoint.ready", "role": "compute", "kwargs": {"address": "10.0.0.1"}},
            ],
            "successes": 3,
            "interval": 2,
            "timeout": 30,
        },
        "nothing": {"checks": []},
        "balanced": {"checks": [{"function": "haproxy.ready", "role": "endpoint"}]},
    },
}
SCENARIO = """
Controllers are installed:
  phase.puppet:
    - role: [controller, secondary]

The writer is ready:
  phase.gate:
    - gate: writer
    - require:
      - phase: Controllers are installed

Compute nodes are installed:
  phase.puppet:
    - role: compute
    - timeout: 600
    - tags: [nova]
    - max_failures: 10%
    - require:
      - phase: The writer is ready

The endpoint is installed:
  phase.puppet:
    - role: endpoint
    - require:
      - phase: Compute nodes are installed
"""


def prod(**changes):
    definition = {**DEFINITION, **changes}
    return environment.build("prod", definition, ACCEPTED, lambda target, _: fnmatch.filter(ACCEPTED, target))


def phase(arguments, kind="puppet", sentence="A phase"):
    return [{"state": "phase", "fun": kind, "name": sentence, "__id__": sentence, "__sls__": "orch.x", **arguments}]


def build(sls=SCENARIO, env=None, **options):
    return plan.build(chunks(sls), env or prod(), **options)


def mistakes(low, env=None, **selection):
    with pytest.raises(doors.Refused) as refused:
        plan.build(low, env or prod(), selection=Selection(**selection))
    return str(refused.value).splitlines()


# -- what it comes to ----------------------------------------------------------------------------------------------


def test_phases_are_numbered_in_order_with_their_roles_and_nodes():
    built = build()
    assert [(phase.number, phase.kind, phase.name, phase.roles, phase.nodes) for phase in built.phases] == [
        (1, "puppet", "Controllers are installed", ("controller", "secondary"), ("ctl1", "ctl2")),
        (2, "gate", "The writer is ready", ("controller", "compute"), ("ctl1", "cmp1", "cmp2", "cmp3")),
        (3, "puppet", "Compute nodes are installed", ("compute",), ("cmp1", "cmp2", "cmp3")),
        (4, "puppet", "The endpoint is installed", ("endpoint",), ()),
    ]
    assert built.scenario == "compute"
    assert built.phase("The writer is ready") is built.phases[1]


def test_a_node_of_two_roles_runs_once():
    env = prod(roles={**DEFINITION["roles"], "secondary": ["ctl1", "ctl2"]})
    assert build(env=env).phases[0].nodes == ("ctl1", "ctl2")


def test_roles_may_be_separated_by_commas():
    found = plan.build(phase({"role": "storage, controller"}), prod()).phases[0]
    assert (found.roles, found.nodes) == (("storage", "controller"), ("st1", "st2", "ctl1"))


def test_a_phase_without_nodes_is_left_out_and_says_why():
    assert [phase.left_out for phase in build().phases] == ["", "", "", "role endpoint of prod has no nodes"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"gate": "nothing"}, "environment prod has no checks for gate nothing"),
        ({"gate": "unheard", "optional": True}, "environment prod has no checks for gate unheard"),
        ({"gate": "unheard", "optional": "yes"}, "environment prod has no checks for gate unheard"),
        ({"checks": []}, "it has no checks"),
        ({"gate": "balanced"}, "role endpoint of prod has no nodes"),
    ],
)
def test_a_gate_that_asks_nothing_is_left_out_and_says_why(arguments, said):
    assert plan.build(phase(arguments, "gate"), prod()).phases[0].left_out == said


def test_an_optional_gate_that_is_there_is_not_left_out():
    assert plan.build(phase({"gate": "writer", "optional": True}, "gate"), prod()).phases[0].left_out == ""


def test_options_are_the_environments_then_the_scenarios_then_the_roles_then_the_sentences():
    options = build().phases[2].options
    assert options["lock_timeout"] == 5
    assert options["tags"] == ["nova"]
    assert options["max_failures"] == "10%"
    assert options["concurrency"] == 2
    assert options["timeout"] == 60
    assert options["may_fail"] == ["Exec[x]"]
    assert "role" not in options
    env = prod(phases={})
    assert build(env=env).phases[2].options["timeout"] == 900
    roles = {**DEFINITION["roles"], "compute": {"target": "cmp*"}}
    assert build(env=prod(phases={}, roles=roles)).phases[2].options["timeout"] == 600
    assert build(env=env).phases[0].options["timeout"] == 1800


def test_a_gate_is_the_environments_with_the_scenarios_own_numbers():
    low = phase({"gate": "writer", "successes": 1, "timeout": 7}, "gate")
    gate = plan.build(low, prod()).phases[0].gate
    assert (gate.name, gate.successes, gate.interval, gate.timeout) == ("writer", 1, 2, 7)
    assert [check.function for check in gate.checks] == ["mysql_mmm.writer_ready", "mysql_endpoint.ready"]


def test_checks_may_be_written_in_place():
    checks = [{"function": "swift_ring.digest", "role": "storage", "expect": "equal"}]
    found = plan.build(phase({"checks": checks, "successes": 2, "interval": 1}, "gate"), prod()).phases[0]
    assert found.gate.checks[0] == environment.Check("swift_ring.digest", "storage", expect="equal")
    assert (found.gate.successes, found.roles, found.nodes) == (2, ("storage",), ("st1", "st2"))


@pytest.mark.parametrize(("scenario", "sls"), [("swift", "orch.swift"), ("site.swift", "site.swift")])
def test_a_scenario_without_a_dot_is_one_of_ours(scenario, sls):
    assert plan.sls_of(scenario) == sls
    assert build(SCENARIO).scenario == "compute"
    assert plan.scenario_of(chunks(SCENARIO, sls)) == scenario


def test_the_operator_names_the_role_of_a_scenario_that_leaves_it_to_him():
    left_open = phase({"role": words.NAMED_ROLE})
    assert plan.build(left_open, prod(), selection=Selection(role=("compute",))).phases[0].roles == ("compute",)
    named = "name one of controller, secondary, compute, storage, endpoint with role="
    assert mistakes(left_open) == [f"A phase: it is about a role that is named; {named}"]
    said = "role: the scenario says itself which roles it is about; take out role=compute"
    assert mistakes(phase({"role": "storage"}), role=("compute",)) == [said]


def test_one_pass_over_a_role_is_a_plan_of_one_phase():
    single = plan.single(prod(), "compute", {"tags": ["nova"]}, noop=True, nodes=("cmp2",))
    assert (single.scenario, single.noop, single.partial, len(single.phases)) == ("puppet", True, True, 1)
    assert single.phases[0].name == "Puppet on compute"
    assert single.phases[0].nodes == ("cmp2",)
    assert (single.phases[0].options["tags"], single.phases[0].options["timeout"]) == (["nova"], 900)
    with pytest.raises(doors.Refused, match=r"environment prod has no role computes \(did you mean 'compute'\?\)"):
        plan.single(prod(), "computes", {}, noop=False)


# -- less than the whole -------------------------------------------------------------------------------------------


def test_a_plan_that_leaves_nobody_out_is_whole():
    env = prod(exclude={})
    assert not build(env=env).partial
    assert not build(env=env, selection=Selection((), 1)).partial


def test_a_plan_with_an_excluded_node_is_partial():
    assert build().partial


@pytest.mark.parametrize("from_phase", [3, "3", "Compute nodes are installed"])
def test_it_may_begin_with_a_later_phase(from_phase):
    built = build(env=prod(exclude={}), selection=Selection((), from_phase))
    assert [phase.left_out for phase in built.phases[:3]] == ["before from_phase", "before from_phase", ""]
    assert [phase.nodes for phase in built.phases[:2]] == [(), ()]
    assert built.phases[0].not_asked == {"ctl1": "before from_phase", "ctl2": "before from_phase"}
    assert built.phases[2].nodes == ("cmp1", "cmp2", "cmp3", "cmp4")
    assert built.partial


def test_it_may_run_some_nodes_only_and_asks_gates_all_the_same():
    built = build(env=prod(exclude={}), selection=Selection(("cmp2", "ctl1")))
    assert [phase.nodes for phase in built.phases] == [
        ("ctl1",),
        ("ctl1", "cmp1", "cmp2", "cmp3", "cmp4"),
        ("cmp2",),
        (),
    ]
    assert built.phases[0].not_asked == {"ctl2": "not among nodes="}
    assert list(built.phases[2].not_asked) == ["cmp1", "cmp3", "cmp4"]
    assert built.partial


def test_a_phase_none_of_whose_nodes_is_asked_is_left_out():
    built = build(selection=Selection(("cmp2",)))
    assert built.phases[0].left_out == "none of its nodes was asked"
    assert built.phases[2].left_out == ""


@pytest.mark.parametrize("from_phase", [0, 5, -1, "-1", "²", "1.5", 1.5, "compute", True, ""])
def test_a_phase_to_begin_with_that_is_not_there_is_refused_with_those_that_are(from_phase):
    (said,) = mistakes(chunks(SCENARIO), from_phase=from_phase)
    assert said.startswith(
        f"from_phase: the scenario has no phase {from_phase}; it has 1 Controllers are installed, 2 "
    )


def test_a_node_that_is_in_no_role_is_refused_with_the_nearest():
    assert mistakes(chunks(SCENARIO), nodes=("cmp22", "cmp1")) == [
        "nodes: cmp22 is in no role of prod (did you mean 'cmp2'?)"
    ]


def test_an_excluded_node_cannot_be_asked_and_the_reason_is_given():
    assert mistakes(chunks(SCENARIO), nodes=("cmp4",)) == ["nodes: cmp4 is excluded from prod: disk broken"]


# -- what is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("puppet", {"role": "compute", "timeuot": 5}, "phase.puppet does not take timeuot (did you mean 'timeout'?)"),
        (
            "puppet",
            {"role": "compute", "gate": "writer"},
            "phase.puppet does not take gate (did you mean 'after'?); it takes",
        ),
        ("gate", {"gate": "writer", "role": "compute"}, "phase.gate does not take role; it takes checks, gate, "),
        ("puppet", {"role": "computes"}, "environment prod has no role computes (did you mean 'compute'?); add it"),
        ("puppet", {"role": ["compute", "zzz"]}, "environment prod has no role zzz; add it to its roles, empty if"),
        ("puppet", {}, "phase.puppet needs a role"),
        ("puppet", {"role": None}, "phase.puppet needs a role"),
        ("puppet", {"role": []}, "phase.puppet needs a role"),
        ("puppet", {"role": {"compute": 1}}, "role must be a list or a comma separated string, not {'compute': 1}"),
        ("puppet", {"role": [["compute"]]}, "role must hold strings, not ['compute']; put it in quotes"),
        ("puppet", {"role": "compute", "timeout": "5m"}, 'timeout: found "5m"; write a number from 1 to 604800'),
        ("puppet", {"role": "compute", "may_fail": "Exec[x]"}, 'may_fail: found "Exec[x]"; write a list of resources'),
        ("puppet", {"role": "compute", "max_failures": "some"}, 'max_failures: found "some"; write a count, or a perc'),
        ("puppet", {"role": "compute", "concurrency": 0}, "concurrency: found 0; write a whole number from 1 to 10000"),
        ("puppet", {"role": "compute", "retries": {"changed": 1}}, "retries: found the verdict"),
        ("gate", {"gate": "wirter"}, "environment prod has no gate wirter (did you mean 'writer'?); add it to its"),
        ("gate", {"gate": "zzz", "optional": "maybe"}, "optional must be true or false, not 'maybe'"),
        ("gate", {"gate": ["writer"]}, "gate must be a name, not ['writer']"),
        ("gate", {"gate": None}, "gate must be a name, not None"),
        ("gate", {}, "phase.gate needs either a gate of the environment or checks in place"),
        ("gate", {"gate": "writer", "checks": []}, "phase.gate needs either a gate of the environment or checks"),
        (
            "gate",
            {"checks": [{"function": "x", "role": "compute"}]},
            'checks:0:function: found "x"; write an execution',
        ),
        ("gate", {"checks": [{"function": "a.b", "role": "zzz"}]}, "a check asks role zzz, which environment prod"),
        ("gate", {"checks": "a.b"}, 'checks: found "a.b"; write a list of checks'),
        ("gate", {"gate": "writer", "successes": 0}, "successes: found 0; write a whole number from 1 to 1000"),
        ("gate", {"gate": "writer", "successes": 100}, "100 successes, one each 2 s, outlast the timeout of 30 s"),
        ("runs", {"role": "compute"}, "there is no phase.runs; a phase is phase.puppet, phase.gate, phase.c"),
        ("puppet", {"role": "compute", "name": "other"}, "a phase is named by its sentence alone; remove `name`"),
    ],
)
def test_a_phase_that_cannot_run_is_refused_by_its_sentence(kind, arguments, said):
    (sentence,) = mistakes(phase(arguments, kind))
    assert sentence.startswith(f"A phase: {said}")


@pytest.mark.parametrize(
    "key",
    ["unless", "onlyif", "retry", "onfail", "onchanges", "watch", "listen", "prereq", "require_any", "onfail_any",
     "parallel", "creates", "check_cmd", "aggregate", "use", "names", "runas", "tgt", "batch"],
)  # fmt: skip
def test_nothing_but_the_phases_themselves_decides_whether_they_run(key):
    (said,) = mistakes(phase({"role": "compute", key: ["x"]}))
    assert said.startswith(f"A phase: phase.puppet does not take {key}")


def test_what_salt_itself_writes_into_a_chunk_is_no_argument():
    salts = {"order": 1, "failhard": True, "fire_event": True, "__env__": "base", "__agg__": 1, "require": []}
    assert plan.build(phase({"role": "storage", **salts}), prod()).phases[0].nodes == ("st1", "st2")


def test_a_phase_that_waits_for_none_before_it_is_refused():
    low = phase({"role": "controller"}, sentence="a") + phase({"role": "storage"}, sentence="b")
    assert mistakes(low) == [
        "b: it requires no phase before it; add `- require: [{phase: a}]` or the one that it follows"
    ]


@pytest.mark.parametrize("requisites", [[{"phase": "b"}], [{"phase": "nowhere"}], [], ["nowhere"], [{"sls": "other"}]])
def test_requiring_what_is_not_before_it_is_no_order(requisites):
    low = phase({"role": "controller"}, sentence="a") + phase({"role": "storage", "require": requisites}, sentence="b")
    assert mistakes(low)[0].startswith("b: it requires no phase before it")


def test_a_phase_may_wait_through_other_states():
    low = [
        *phase({"role": "controller"}, sentence="a"),
        {"state": "salt", "fun": "function", "__id__": "between", "__sls__": "orch.y", "require": [{"phase": "a"}]},
        *phase({"role": "storage", "require": [{"salt": "between"}]}, sentence="b"),
        *phase({"role": "storage", "require": ["b"]}, sentence="c"),
        *phase({"role": "storage", "require": [{"sls": "orch.y"}]}, sentence="d"),
    ]
    assert [phase.number for phase in plan.build(low, prod()).phases] == [1, 2, 3, 4]


def test_two_phases_of_the_same_name_are_refused():
    low = phase({"role": "controller"}) + phase({"role": "storage", "require": [{"phase": "A phase"}]})
    assert mistakes(low)[0] == "A phase: there are two phases of this name"


@pytest.mark.parametrize("low", [[], [{"state": "salt", "fun": "function", "__id__": "x", "__sls__": "orch.x"}]])
def test_a_scenario_without_a_phase_is_refused(low):
    assert mistakes(low)[0].startswith("the scenario has no phase")


@pytest.mark.parametrize(
    "near", ["compute nodes are installed", "Compute nodes are  installed.", "COMPUTE NODES ARE INSTALLED"]
)
def test_a_sentence_of_the_environment_that_differs_by_a_hair_is_refused(near):
    (said,) = mistakes(chunks(SCENARIO), prod(phases={near: {"timeout": 5}}))
    assert repr(near) in said
    assert "this scenario has 'Compute nodes are installed'" in said


def test_a_sentence_of_another_scenario_is_nobodys_mistake():
    assert build(env=prod(phases={"Storage nodes fetch the rings": {"timeout": 5}}))


def test_every_mistake_is_named_at_once():
    low = phase({"role": "zzz", "timeout": "x"}, sentence="a") + phase({"gates": "w"}, "gate", sentence="b")
    assert [said.split(":")[0] for said in mistakes(low, nodes=("n9",), from_phase=9)] == [
        "a", "a", "b", "b", "nodes", "from_phase",
    ]  # fmt: skip


# -- the digest ----------------------------------------------------------------------------------------------------


def test_the_digest_is_always_the_same_of_the_same():
    reordered = {key: DEFINITION[key] for key in reversed(DEFINITION)}
    assert build().digest == build(env=prod(**reordered)).digest
    assert build().digest == build(selection=Selection(("cmp1",), 2)).digest


@pytest.mark.parametrize(
    "changed",
    [
        lambda: build(env=prod(puppet={"timeout": 1})),
        lambda: build(env=prod(exclude={})),
        lambda: build(noop=True),
        lambda: build(SCENARIO.replace("600", "601")),
        lambda: build(SCENARIO.replace("Controllers are", "Both controllers are")),
        lambda: build(SCENARIO.replace("    - tags: [nova]\n", "")),
        lambda: build(SCENARIO.replace("[controller, secondary]", "[secondary, controller]")),
    ],
    ids=["puppet", "exclude", "noop", "an argument", "a sentence", "no argument", "the order of roles"],
)
def test_the_digest_is_another_when_environment_or_scenario_is(changed):
    assert changed().digest != build().digest


# -- what salt says of a scenario that it cannot render ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file", "cure"),
    [
        (
            "swfit",
            "orch/swfit.sls",
            "add the directory that holds orch/ to them, or name one of your own whole, such as site.patch",
        ),
        ("site.patch", "site/patch.sls", "write it there"),
    ],
)
def test_a_scenario_that_is_nowhere_is_told_with_the_place_where_it_was_looked_for(name, file, cure):
    opts = {"file_roots": {"base": ["/srv/salt", "/srv/more"]}}
    said = plan.unrenderable(name, [f"No matching sls found for '{plan.sls_of(name)}' in env 'base'"], opts)
    assert said == (
        f"there is no scenario {name}: {file} is in none of the master's file_roots (/srv/salt, /srv/more); {cure}"
    )


def test_a_scenario_that_cannot_be_rendered_is_told_with_salts_words():
    said = plan.unrenderable("swift", ["Rendering SLS 'base:orch.swift' failed: mapping values are not allowed"], {})
    assert (
        said
        == "scenario swift cannot be rendered: Rendering SLS 'base:orch.swift' failed: mapping values are not allowed"
    )


# -- which nodes ---------------------------------------------------------------------------------------------------


def selected(which, role="storage", **selection):
    return plan.build(phase({"role": role, "nodes": which}), prod(), selection=Selection(**selection)).phases[0]


def test_all_nodes_are_meant_unless_it_says_otherwise():
    assert selected("all").nodes == plan.build(phase({"role": "storage"}), prod()).phases[0].nodes == ("st1", "st2")


def test_new_nodes_are_those_that_were_not_deployed_in_that_role():
    deployed = frozenset({("compute", "cmp1"), ("storage", "cmp2"), ("compute", "cmp3")})
    assert selected("new", "compute", deployed=deployed).nodes == ("cmp2",)


def test_where_nobody_is_new_the_phase_is_left_out_and_says_what_to_do():
    found = selected("new", deployed=frozenset({("storage", "st1"), ("storage", "st2")}))
    assert (found.nodes, found.not_asked) == ((), {})
    assert found.left_out == "role storage of prod has no new nodes; nodes= names some all the same"


def test_nodes_that_are_named_are_new_whatever_was_deployed():
    deployed = frozenset({("storage", "st1"), ("storage", "st2")})
    found = selected("new", nodes=("st2",), deployed=deployed)
    assert (found.nodes, found.not_asked, found.left_out) == (("st2",), {}, "")


def test_in_a_scenario_about_some_nodes_the_other_phases_keep_all_of_theirs():
    low = phase({"role": "compute", "nodes": "named"}, sentence="a")
    low += phase({"role": "storage", "require": [{"phase": "a"}]}, sentence="b")
    built = plan.build(low, prod(exclude={}), selection=Selection(("cmp2",)))
    assert [each.nodes for each in built.phases] == [("cmp2",), ("st1", "st2")]
    assert not built.partial


def test_a_scenario_about_named_nodes_needs_some():
    assert mistakes(phase({"role": "compute", "nodes": "named"})) == [
        "A phase: it is about nodes that are named; name them with nodes="
    ]


def test_named_nodes_of_another_role_leave_the_phase_out():
    assert selected("named", nodes=("cmp1",)).left_out == "none of its nodes was named"


@pytest.mark.parametrize(
    ("which", "nodes"),
    [(1, ("cmp1",)), (2, ("cmp1", "cmp2")), (9, ("cmp1", "cmp2", "cmp3")), ("34%", ("cmp1", "cmp2"))],
)
def test_a_count_or_percentage_means_the_first_ones(which, nodes):
    assert selected(which, "compute").nodes == nodes


def test_the_rest_are_those_that_no_phase_before_had():
    low = phase({"role": "compute", "nodes": 1}, sentence="a")
    low += phase({"message": "well?", "require": [{"phase": "a"}]}, "confirm", sentence="b")
    low += phase({"role": ["compute", "storage"], "nodes": "rest", "require": [{"phase": "b"}]}, sentence="c")
    low += phase({"role": "compute", "nodes": "rest", "require": [{"phase": "c"}]}, sentence="d")
    built = plan.build(low, prod())
    assert built.phases[2].nodes == ("cmp2", "cmp3", "st1", "st2")
    assert built.phases[3].left_out == "phases before it had all of its nodes"


def test_everybody_is_every_role_and_each_node_once():
    found = plan.build(phase({"role": "*"}), prod(roles={**DEFINITION["roles"], "again": ["ctl1"]})).phases[0]
    assert found.roles == ("controller", "secondary", "compute", "storage", "endpoint", "again")
    assert found.nodes == ("ctl1", "ctl2", "cmp1", "cmp2", "cmp3", "st1", "st2")


def test_a_scenario_says_whether_it_is_about_new_nodes():
    assert plan.asks_for_new(phase({"role": "compute", "nodes": "new"}))
    assert not plan.asks_for_new(chunks(SCENARIO))


# -- calls and confirmations ---------------------------------------------------------------------------------------

CALLS = {"drain": [{"function": "lb.drain", "role": "endpoint", "args": ["{node}"]}], "nothing": []}


def test_calls_are_the_environments_by_name_or_in_place():
    given = {
        "role": "compute",
        "before": "drain",
        "check": [{"function": "nova.ready", "expect": True}],
        "after": "nothing",
    }
    found = plan.build(phase(given), prod(calls=CALLS)).phases[0]
    assert found.calls == {
        "before": (environment.Call("lb.drain", "endpoint", ("{node}",)),),
        "check": (environment.Call("nova.ready", expect=True),),
        "after": (),
    }
    assert not {"before", "check", "after"} & set(found.options)


def test_the_environment_may_have_other_calls_for_a_sentence():
    env = prod(calls=CALLS, phases={"A phase": {"before": [{"function": "own.way"}]}})
    found = plan.build(phase({"role": "compute", "before": "drain"}), env).phases[0]
    assert found.calls["before"] == (environment.Call("own.way"),)


def test_a_phase_of_calls_has_one_function_or_several_calls():
    one = plan.build(phase({"role": "compute", "function": "a.b", "within": 30, "canary": 1}, "call"), prod()).phases[0]
    assert one.calls == {"calls": (environment.Call("a.b", within=30),)}
    assert (one.nodes, one.options["canary"]) == (("cmp1", "cmp2", "cmp3"), 1)
    several = plan.build(phase({"role": "compute", "calls": "drain"}, "call"), prod(calls=CALLS)).phases[0]
    assert [call.function for call in several.calls["calls"]] == ["lb.drain"]


@pytest.mark.parametrize(
    ("arguments", "options", "env", "said"),
    [
        ({"calls": "nothing"}, {}, {}, "environment prod has nothing to call for nothing"),
        ({"calls": []}, {}, {}, "it has nothing to call"),
        ({"function": "a.b"}, {"noop": True}, {}, "noop: nothing is called"),
        ({"function": "a.b"}, {}, {"puppet": {"noop": True}}, "noop: nothing is called"),
        ({"function": "a.b"}, {}, {"phases": {"A phase": {"noop": True}}}, "noop: nothing is called"),
    ],
)
def test_a_phase_that_calls_nothing_is_left_out_and_says_why(arguments, options, env, said):
    low = phase({"role": "compute", **arguments}, "call")
    assert plan.build(low, prod(calls=CALLS, **env), **options).phases[0].left_out == said


def test_a_confirmation_has_a_message_and_an_hour():
    found = plan.build(phase({"message": "well?"}, "confirm"), prod()).phases[0]
    assert (found.kind, found.roles, found.nodes, found.left_out) == ("confirm", (), (), "")
    assert found.options == {"message": "well?", "timeout": 3600}
    assert plan.build(phase({"message": "x", "timeout": "60"}, "confirm"), prod()).phases[0].options["timeout"] == 60
    assert plan.build(phase({"message": "x"}, "confirm"), prod(), noop=True).phases[0].left_out == (
        "noop: nothing is changed"
    )


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("puppet", {"nodes": "newest"}, "nodes is 'newest'; write all, new, named, rest, a count, or a percentage"),
        ("puppet", {"nodes": 0}, "nodes is 0; write"),
        ("puppet", {"nodes": True}, "nodes is True; write"),
        ("puppet", {"nodes": "0%"}, "nodes is '0%'; write"),
        ("puppet", {"nodes": ["cmp1"]}, "nodes is ['cmp1']; write"),
        ("puppet", {"waves": {"max_failures": 1}}, "waves: found none of size, grain, pillar; give one"),
        ("puppet", {"waves": {"size": 1, "grain": "rack"}}, "waves: found size and grain of size, grain, pillar; give"),
        ("puppet", {"canary": 0}, "canary: found 0; write a "),
        ("puppet", {"passes": {"until": "clean"}}, "passes: "),
        ("puppet", {"expect": "changed"}, 'expect: found "changed"; write '),
        ("puppet", {"before": "darin"}, "environment prod has no calls darin (did you mean 'drain'?); add them to its"),
        (
            "puppet",
            {"check": [{"function": "a.b", "role": "zzz"}]},
            "check: a.b is called on role zzz, which environment",
        ),
        ("puppet", {"after": [{"function": "x"}]}, 'after:0:function: found "x"; write an execution function'),
        ("call", {}, "phase.call needs either a function or calls"),
        ("call", {"function": "a.b", "calls": "drain"}, "phase.call needs either a function or calls"),
        (
            "call",
            {"calls": "drain", "within": 5, "key": "x"},
            "within, key belongs to a function; write it under calls",
        ),
        (
            "call",
            {"calls": [{"function": "a.b", "role": "zzz"}]},
            "calls: a.b is called on role zzz, which environment prod does not",
        ),
        ("call", {"function": "a.b", "waves": {}}, "waves: found none of size, grain, pillar; give one"),
        ("call", {"function": "a.b", "nodes": "some"}, "nodes is 'some'; write"),
        ("call", {"function": "a.b", "role": "computes"}, "environment prod has no role computes (did you mean 'comp"),
        ("call", {"function": "a.b", "role": []}, "phase.call needs a role"),
        ("call", {"function": "a.b", "passes": 2}, "phase.call does not take passes"),
        ("confirm", {"role": None}, "phase.confirm does not take role; it takes message, timeout"),
        ("confirm", {}, "it needs a message"),
        ("confirm", {"message": " "}, "it needs a message"),
        ("confirm", {"message": ["x"]}, "it needs a message"),
        ("confirm", {"message": "x", "timeout": 0}, "timeout must be "),
    ],
)
def test_each_mistake_of_these_words_has_its_sentence(kind, arguments, said):
    role = {} if kind == "confirm" else {"role": "compute"}
    with pytest.raises(doors.Refused) as refused:
        plan.build(phase({**role, **arguments}, kind), prod(calls=CALLS))
    (sentence,) = str(refused.value).splitlines()
    assert sentence.startswith(f"A phase: {said}")


def test_a_role_that_no_phase_leaves_to_the_operator_cannot_be_named():
    assert mistakes(phase({"role": "compute"}), role=("storage",)) == [
        "role: the scenario says itself which roles it is about; take out role=storage"
    ]
