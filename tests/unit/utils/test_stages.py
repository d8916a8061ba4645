"""A node goes through stages: calls before, Puppet, calls that check it, calls after; or through calls alone."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import GOOD, NEVER, Bus, Node, Record, Sink
from os_orchestrator import deploying, engine, environment, journal, plan, resume, scheduler, verdicts

OPTIONS = {"timeout": 100, "lock_timeout": 10, "grace": 5, "ping_timeout": 15, "concurrency": 50}
NAME = "A phase"
BEFORE = [{"function": "svc.drain", "timeout": 20}]
CHECK = [{"function": "svc.ready", "expect": True, "timeout": 20, "within": 30, "interval": 10}]
AFTER = [{"function": "svc.back", "timeout": 20}]
ALWAYS = [{**AFTER[0], "always": True}]
STAGES = {"before": BEFORE, "check": CHECK, "after": AFTER}


def ok(_now):
    return True


def no(_now):
    return False


def silent(_now):
    raise LookupError


WELL = {"svc.drain": ok, "svc.ready": ok, "svc.back": ok, "svc.call": ok}


class Stages:
    """A pass with calls over scripted nodes and what came of it."""

    def __init__(self, *nodes, kind="puppet", roles=None, bus=None, record=None, noop=False, earlier=None, **says):
        names = [node.name for node in nodes]
        roles = {"compute": names, **(roles or {})}
        puppet = {**OPTIONS, **{key: says.pop(key) for key in ("retries",) if key in says}}
        everybody = list(dict.fromkeys(node for listed in roles.values() for node in listed))
        env = environment.build("prod", {"roles": roles, "puppet": puppet}, everybody, lambda *_: ())
        chunk = {"__id__": NAME, "name": NAME, "state": "phase", "fun": kind, "__sls__": "orch.x", "role": "compute"}
        self.plan = plan.build([{**chunk, **says}], env, noop=noop)
        self.phase, self.accepted = self.plan.phases[0], everybody
        self.bus = Bus(*nodes) if bus is None else bus
        self.record, self.sink = record or Record(), Sink()
        self.earlier = earlier or resume.NOTHING

    def run(self, deployment="77", number=1):
        told = deploying.Deployment(deployment, self.plan, self.record, (self.sink,), 30, self.earlier)
        with self.bus.time():
            return engine.Pass(told, self.phase, self.bus, self.accepted, number).run()

    def times(self, function):
        return [round(when) for when, _, _ in self.bus.asked(function)]


def node(name="a", **checks):
    script = checks.pop("script", {})
    return Node(name, checks={**WELL, **{f"svc.{what}": answer for what, answer in checks.items()}}, **script)


def stages(*nodes, **says):
    found = Stages(*nodes, **says)
    return found, found.run()


# -- around a run --------------------------------------------------------------------------------------------------


def test_calls_go_before_puppet_and_after_it_in_their_order():
    found, outcomes = stages(node(), **STAGES)
    assert outcomes["a"].verdict == "changed"
    asked = [function for _, _, function, _ in found.bus.published if function != "test.ping"]
    assert asked == ["svc.drain", "puppet_agent.run", "svc.ready", "svc.back"]
    calls = outcomes["a"].details["calls"]
    assert [(call["what"], call["function"], call["good"]) for call in calls] == [
        ("before", "svc.drain", True),
        ("check", "svc.ready", True),
        ("after", "svc.back", True),
    ]
    assert [step["note"] for step in found.sink.of("node/noted")] == [
        "before: svc.drain on a",
        "its Puppet run",
        "check: svc.ready on a",
        "after: svc.back on a",
    ]


@pytest.mark.parametrize(("answer", "said"), [(no, "answered false"), (silent, "no answer within 20 s")])
def test_where_a_call_before_does_not_hold_puppet_is_never_asked(answer, said):
    found, outcomes = stages(node(drain=answer), **STAGES)
    assert outcomes["a"].verdict == "not_started"
    assert outcomes["a"].reason == f"before: svc.drain on a: {said}"
    assert not found.bus.asked("puppet_agent.run")
    assert not found.bus.asked("svc.back")


def test_a_node_that_is_not_well_has_failed_and_is_not_put_back():
    found, outcomes = stages(node(ready=no), node("b"), **STAGES)
    assert outcomes["a"].verdict == "failed"
    assert outcomes["a"].reason == "check: svc.ready on a: answered false, within 30 s"
    assert outcomes["a"].details["resources"]["changed"] == 1
    assert [nodes for _, nodes, _ in found.bus.asked("svc.back")] == [["b"]]
    assert outcomes["b"].verdict == "changed"


def test_a_node_that_becomes_well_in_time_is_good():
    found, outcomes = stages(node(ready=lambda now: now > 25), **STAGES)
    assert outcomes["a"].verdict == "changed"
    assert found.times("svc.ready") == [10, 20, 30]
    assert outcomes["a"].details["calls"][1]["times"] == 3


def test_where_puppet_failed_nothing_is_checked_and_nothing_put_back():
    found, outcomes = stages(node(script={"runs": [("failed", 5)]}), **STAGES)
    assert outcomes["a"].verdict == "failed"
    assert not found.bus.asked("svc.ready")
    assert not found.bus.asked("svc.back")


@pytest.mark.parametrize(
    ("broken", "verdict"),
    [
        ({"drain": no}, "not_started"),
        ({"ready": no}, "failed"),
        ({"script": {"runs": [("failed", 5)]}}, "failed"),
        ({"script": {"runs": [("no_catalog", 5)]}}, "no_catalog"),
    ],
)
def test_what_is_called_always_is_called_after_a_failure_too(broken, verdict):
    found, outcomes = stages(node(**broken), before=BEFORE, check=CHECK, after=[*AFTER, {**ALWAYS[0], "args": ["x"]}])
    assert outcomes["a"].verdict == verdict
    assert len(found.bus.asked("svc.back")) == 1


def test_a_node_that_could_not_be_put_back_is_bad_although_puppet_was_good():
    _, outcomes = stages(node(back=no), **STAGES)
    assert (outcomes["a"].verdict, outcomes["a"].reason) == ("failed", "after: svc.back on a: answered false")


def test_the_first_reason_is_kept_where_putting_back_fails_as_well():
    _, outcomes = stages(node(ready=no, back=no), before=BEFORE, check=CHECK, after=ALWAYS)
    assert outcomes["a"].reason == (
        "check: svc.ready on a: answered false, within 30 s; after: svc.back on a: answered false"
    )


def test_of_a_lost_node_nothing_is_put_back():
    found, outcomes = stages(node(script={"dead": 3.0}), before=BEFORE, after=ALWAYS)
    assert outcomes["a"].verdict == "lost"
    assert not found.bus.asked("svc.back")


def test_under_noop_nothing_is_called():
    found, outcomes = stages(node(drain=no), **STAGES, noop=True)
    assert outcomes["a"].verdict == "changed"
    assert {function for _, _, function, _ in found.bus.published} == {"test.ping", "puppet_agent.run"}


def test_a_node_that_is_tried_again_is_taken_out_again_and_both_attempts_have_their_calls():
    script = {"runs": [("no_catalog", 5), ("changed", 5)]}
    found, outcomes = stages(node(script=script), before=BEFORE, after=AFTER, retries={"no_catalog": 1})
    assert outcomes["a"].verdict == "changed"
    assert len(found.bus.asked("svc.drain")) == 2
    assert len(found.bus.asked("svc.back")) == 1
    recorded = [args[5].details["calls"] for args in found.record.of("run_ended")]
    assert [[call["what"] for call in calls] for calls in recorded] == [["before"], ["before", "after"]]


def test_the_time_that_calls_take_is_none_of_puppets():
    slow = lambda now: now > 90  # noqa: E731
    before = [{**BEFORE[0], "expect": True, "within": 120, "interval": 5}]
    found, outcomes = stages(node(drain=slow, script={"runs": [("changed", 90)]}), before=before)
    assert outcomes["a"].verdict == "changed"
    assert found.bus.now > 180


def test_what_a_call_is_about_is_put_in_and_asked_where_it_belongs():
    def drain(_now, server, why):
        return f"{server} {why}"

    before = [{"function": "lb.drain", "role": "endpoint", "args": ["{node}"], "kwargs": {"why": "{node} changes"}}]
    balancers = [Node(name, does={"lb.drain": drain}) for name in ("lb1", "lb2")]
    bus = Bus(node(), *balancers)
    found, outcomes = stages(node(), roles={"endpoint": ["lb1", "lb2"]}, bus=bus, before=before)
    (call,) = outcomes["a"].details["calls"]
    assert (call["nodes"], call["said"]) == (["lb1", "lb2"], 'answered "a a changes"')
    ((_, asked, kwargs),) = found.bus.asked("lb.drain")
    assert (asked, kwargs) == (["lb1", "lb2"], {"why": "a changes"})


def test_a_call_that_fails_on_its_node_does_not_hold():
    def drain(_now):
        raise RuntimeError("no such server")

    bus = Bus(Node("a", does={"svc.drain": drain}))
    _, outcomes = stages(node(), bus=bus, before=BEFORE)
    assert outcomes["a"].reason == 'before: svc.drain on a: answered "ERROR: no such server"'


# -- what must not change ------------------------------------------------------------------------------------------


def test_a_node_that_must_be_unchanged_and_is_not_has_drifted():
    nodes = [node("a", script={"runs": [("unchanged", 5)]}), node("b"), node("c", script={"runs": [("failed", 5)]})]
    _, outcomes = stages(*nodes, expect="unchanged", max_failures="100%")
    assert {name: outcome.verdict for name, outcome in outcomes.items()} == {
        "a": "unchanged",
        "b": "drifted",
        "c": "failed",
    }
    assert outcomes["b"].reason.startswith("1 resource: ")
    assert not outcomes["b"].good


# -- calls alone ---------------------------------------------------------------------------------------------------


def test_calls_alone_run_no_puppet():
    found, outcomes = stages(node("a"), node("b", call=no), kind="call", function="svc.call", max_failures=1)
    assert {name: outcome.verdict for name, outcome in outcomes.items()} == {"a": "done", "b": "failed"}
    assert outcomes["a"].reason == "answered true"
    assert outcomes["b"].reason == "svc.call on b: answered false"
    assert not found.bus.asked("puppet_agent.run")


def test_a_node_that_says_nothing_to_its_calls_is_lost():
    _, outcomes = stages(node(call=silent), kind="call", function="svc.call")
    assert (outcomes["a"].verdict, outcomes["a"].reason) == ("lost", "svc.call on a: no answer within 60 s")


def test_a_call_that_could_not_be_sent_has_failed_and_its_node_is_not_lost():
    bus = Bus(node(), refuses=[(0.01, 90)])
    _, outcomes = stages(node(), kind="call", function="svc.call", bus=bus)
    assert outcomes["a"].verdict == "failed"
    assert outcomes["a"].reason.startswith("could not be asked: the master's publisher does not answer")


def test_calls_that_are_all_made_elsewhere_need_no_node_that_answers():
    bus = Bus(node(script={"dead": 0.0}), Node("lb1", checks={"lb.remove": ok}))
    calls = [{"function": "lb.remove", "role": "endpoint", "args": ["{node}"]}]
    found, outcomes = stages(node(), kind="call", roles={"endpoint": ["lb1"]}, bus=bus, calls=calls)
    assert outcomes["a"].verdict == "done"
    assert not found.bus.asked("test.ping")


def test_calls_on_a_role_without_nodes_are_done():
    calls = [{"function": "lb.remove", "role": "endpoint"}]
    found, outcomes = stages(node(), kind="call", roles={"endpoint": []}, calls=calls)
    assert (outcomes["a"].verdict, outcomes["a"].reason) == ("done", "its calls are on roles without nodes")
    assert not found.bus.asked("puppet_agent.run")


def test_calls_have_their_window_and_their_failures():
    slow = [node(name, call=silent) for name in "abc"]
    found, outcomes = stages(*slow, kind="call", function="svc.call", timeout=5, concurrency=1)
    assert [outcome.verdict for outcome in outcomes.values()] == ["lost", "skipped", "skipped"]
    assert found.times("svc.call") == [0]


# -- one group before the next -------------------------------------------------------------------------------------


def test_the_canary_goes_first_and_the_waves_after_it():
    found, outcomes = stages(*[node(name) for name in "abcde"], canary=1, waves=2)
    assert {outcome.verdict for outcome in outcomes.values()} == {"changed"}
    assert [asked for _, asked, _ in found.bus.asked("puppet_agent.run")] == [["a"], ["b", "c"], ["d", "e"]]
    told = [(step["wave"], step["waves"], step["nodes"], step["canary"]) for step in found.sink.of("wave/started")]
    assert told == [(1, 3, ["a"], True), (2, 3, ["b", "c"], False), (3, 3, ["d", "e"], False)]
    assert found.record.of("phase_waves") == [["77", 1, [["a"], ["b", "c"], ["d", "e"]]]]


def test_a_canary_that_fails_or_is_missing_ends_it_whatever_may_fail():
    for script in ({"runs": [("failed", 5)]}, {"dead": 0.0}):
        found, outcomes = stages(node(script=script), node("b"), canary=1, max_failures="100%")
        assert outcomes["b"].verdict == "skipped"
        assert outcomes["b"].reason == "not started: a failed, and goes first (canary)"
        assert not found.bus.nodes["b"].made


def test_a_wave_in_which_too_many_fail_is_named():
    scripts = [{}, {}, {"runs": [("failed", 5)]}, {}, {}]
    nodes = [node(f"n{number}", script=script) for number, script in enumerate(scripts)]
    _, outcomes = stages(*nodes, waves={"size": 2, "max_failures": 0}, max_failures=5)
    assert [outcome.verdict for outcome in outcomes.values()] == ["changed", "changed", "failed", "changed", "skipped"]
    assert outcomes["n4"].reason == "not started: 1 of wave 2 failed, 0 may (waves)"


def test_a_node_without_the_key_of_the_waves_is_not_started():
    racks = {"a": "r1", "b": "r2", "c": "r1"}
    nodes = [Node(name, checks={**WELL, "grains.get": lambda _, rack=rack: rack}) for name, rack in racks.items()]
    nodes.append(Node("d", checks={**WELL, "grains.get": lambda _: ""}))
    found, outcomes = stages(*nodes, waves={"grain": "rack"}, max_failures=1)
    assert [asked for _, asked, _ in found.bus.asked("puppet_agent.run")] == [["a", "c"], ["b"]]
    assert outcomes["d"].verdict == "not_started"
    assert outcomes["d"].reason == "it has no grain rack, by whose value the waves are made"


# -- its end -------------------------------------------------------------------------------------------------------


def test_where_a_node_was_left_is_noted():
    found = Stages(node(ready=no), node("b", script={"runs": [("changed", 90)]}), **STAGES)
    found.bus.later(25, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        found.run()
    notes = {step["node"]: step["note"] for step in found.sink.of("node/noted")}
    assert notes == {
        "a": "left at check: svc.ready on a, the deployment was interrupted",
        "b": "goes on on its node, the deployment was interrupted",
    }
    assert not found.sink.of("node/ended")


# -- over anything that may happen ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The process that runs the deployment is gone: it writes nothing more."""


def later(when):
    return lambda now: now >= when


answers = st.sampled_from([ok, ok, ok, no, silent]) | st.floats(0, 120).map(later)
run = st.tuples(
    st.sampled_from(["changed", "changed", "unchanged", "tolerated", "failed", "no_catalog"]), st.floats(0, 60)
)
scripts = st.fixed_dictionaries(
    {"runs": st.lists(run, min_size=1, max_size=3), "answers": st.tuples(answers, answers, answers)},
    optional={
        "dead": st.floats(0, 200),
        "down": st.tuples(st.floats(0, 150), st.floats(0.1, 40)).map(lambda span: [(span[0], sum(span))]),
        "losses": st.frozensets(st.integers(0, 8), max_size=3),
    },
)
waves = st.sampled_from([1, 2, "50%", {"size": 2, "max_failures": 0}, {"size": 2, "max_failures": 1}])
ways = st.fixed_dictionaries(
    {},
    optional={
        "canary": st.sampled_from([1, 2, "50%"]),
        "waves": waves,
        "before": st.just(BEFORE),
        "check": st.just(CHECK),
        "after": st.sampled_from([AFTER, ALWAYS]),
        "concurrency": st.integers(1, 4),
        "max_failures": st.sampled_from([0, 1, 3, "50%", "100%"]),
        "retries": st.sampled_from([{}, {"failed": 1}, {"lost": 1, "no_catalog": 2}]),
    },
)


def scripted(drawn):
    for number, script in enumerate(drawn):
        drain, ready, back = script["answers"]
        checks = {"svc.drain": drain, "svc.ready": ready, "svc.back": back}
        yield Node(f"n{number}", checks=checks, **{key: value for key, value in script.items() if key != "answers"})


@settings(max_examples=150, deadline=None)
@given(st.lists(scripts, min_size=1, max_size=6), ways)
def test_whatever_is_called_every_node_gets_the_verdict_of_its_stages(drawn, way):
    found, outcomes = stages(*scripted(drawn), **way)
    assert list(outcomes) == list(found.phase.nodes)
    for name, outcome in outcomes.items():
        is_true_to_its_stages(found, found.bus.nodes[name], outcome, way)
    groups_are_in_order(found, way)


def is_true_to_its_stages(found, node, outcome, way):
    """Hold a node's verdict against what happened on it and what was called for it."""
    asked = [function for _, nodes, function, _ in found.bus.published if node.name in nodes]
    if outcome.verdict in ("missing", "skipped"):
        assert not node.made
        return
    if outcome.verdict == "lost":
        # Its answer and each one to a look in the time that is left can be lost on their way.
        assert node.dead < NEVER or node.losses
        assert asked[-1] not in ("svc.back", "svc.ready")
        return
    if outcome.verdict == "not_started":
        assert outcome.reason.startswith("before: svc.drain")
        return
    verdict, _, end = node.made[list(node.made)[-1]]
    assert end <= found.bus.now
    if "check: " in outcome.reason or "after: " in outcome.reason:
        assert not outcome.good
    else:
        assert outcome.verdict == verdict
    if "after: " not in outcome.reason and verdict in GOOD:
        assert outcome.good is ("check: " not in outcome.reason)
    if outcome.good:
        assert [call["good"] for call in outcome.details.get("calls", ())] == [True] * len(
            [what for what in ("before", "check", "after") if way.get(what)]
        )
    elif verdict not in GOOD and way.get("after") == AFTER:
        assert "svc.back" not in asked


def groups_are_in_order(found, way):
    """No node of a later wave starts before all of the earlier ones have ended, and never more at once than may."""
    recorded = found.record.of("phase_waves")
    groups = recorded[0][2] if recorded else [list(found.phase.nodes)]
    group = {name: number for number, names in enumerate(groups) for name in names}
    running, over = set(), set()
    retries = found.phase.options.get("retries", {})
    for what, data in found.sink:
        if what == "node/started":
            earlier = {name for name in group if group[name] < group[data["node"]]}
            assert earlier <= over
            running.add(data["node"])
            assert len(running) <= way.get("concurrency", 50)
        elif what == "node/ended":
            running.discard(data["node"])
            if data["attempt"] > retries.get(data["verdict"], 0) or data["verdict"] == "not_started":
                over.add(data["node"])
    assert not running
    canaries = (
        set(found.phase.nodes[: scheduler.size(way["canary"], len(found.phase.nodes))]) if "canary" in way else ()
    )
    bad = {data["node"] for what, data in found.sink if what == "node/ended" and not data["good"]}
    started = {data["node"] for what, data in found.sink if what == "node/started"}
    if bad & set(canaries) and not retries:
        assert started <= set(canaries)


@settings(max_examples=25, deadline=None)
@given(st.lists(scripts, min_size=1, max_size=4), ways, st.floats(0, 150), st.sampled_from([KeyboardInterrupt, Killed]))
def test_after_an_interrupted_or_killed_deployment_nothing_is_counted_twice(drawn, way, when, end):
    way = {**way, "retries": {}}
    nodes = list(scripted(drawn))
    with tempfile.TemporaryDirectory() as place:
        record = journal.Journal(Path(place) / "journal.sqlite")
        first = Stages(*nodes, record=record, **way)
        begin(first, "77")
        first.bus.later(when, end())
        with contextlib.suppress(end):
            first.run("77")
        before = {each["node"]: each for each in record.deployment("77")["phases"][0]["runs"]}
        second = Stages(*nodes, record=record, bus=first.bus, earlier=resume.read(record.deployment("77")), **way)
        begin(second, "78")
        try:
            outcomes = second.run("78")
        except end:
            return
        after = record.deployment("78")["phases"][0]["runs"]
    assert sorted(each["node"] for each in after) == sorted(outcomes) == sorted(node.name for node in nodes)
    assert all(each["verdict"] in verdicts.GOOD for each in after)
    for node in nodes:
        earlier = before.get(node.name)
        if earlier and verdicts.GOOD.get(earlier["verdict"], False):
            assert outcomes[node.name].verdict == "kept"
            assert list(node.made) == ["77-1-1-1"]
        elif earlier and earlier["verdict"] in (None, "lost") and earlier["run_id"]:
            # Asked for by its id again: the run that nobody has heard of is joined, never made a second time.
            assert list(node.made) in ([], ["77-1-1-1"])
        else:
            assert len(node.made) <= 2


def begin(found, deployment):
    row = {"id": deployment, "environment": "prod", "scenario": "x", "user": "root", "door": "d", "noop": False}
    phase = {"number": 1, "name": NAME, "kind": "puppet", "roles": ["compute"], "nodes": list(found.phase.nodes)}
    with found.bus.time():
        found.record.begin(
            {**row, "partial": False, "digest": "", "arguments": {}}, [{**phase, "state": "planned", "reason": ""}]
        )
