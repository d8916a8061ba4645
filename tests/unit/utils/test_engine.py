"""Every node of a pass gets exactly one verdict, and a good one only when its own run was good."""

import inspect

import puppet_agent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import NEVER, Bus, Node, Record, Sink, outcome
from os_orchestrator import deploying, engine, environment, journal, plan, scheduler, transport, verdicts

RUN_ID = "77-1-1-{}"
OPTIONS = {"timeout": 1000, "lock_timeout": 10, "grace": 5, "ping_timeout": 15, "concurrency": 50}
PATIENCE = 1025


def a_plan(nodes, noop=False, **options):
    definition = {"roles": {"compute": list(nodes)}, "puppet": {**OPTIONS, **options}}
    env = environment.build("prod", definition, list(nodes), lambda *_: ())
    return plan.single(env, "compute", {}, noop=noop)


class Rehearsal:
    """A pass over scripted nodes and what came of it."""

    def __init__(
        self, *nodes, accepted=None, noise=(), refuses=(), noop=False, poll_interval=30, record=None, **options
    ):
        names = [node.name for node in nodes]
        self.plan = a_plan(names, noop, **options)
        self.bus = Bus(*nodes, noise=noise, refuses=refuses)
        self.record, self.sink = record or Record(), Sink()
        self.deployment = deploying.Deployment("77", self.plan, self.record, (self.sink,), poll_interval)
        self.phase = self.plan.phases[0]
        self.accepted = names if accepted is None else accepted

    def run(self):
        with self.bus.time():
            return engine.Pass(self.deployment, self.phase, self.bus, self.accepted).run()

    def verdicts(self):
        return {node: found.verdict for node, found in self.run().items()}


def rehearse(*nodes, **options):
    rehearsal = Rehearsal(*nodes, **options)
    return rehearsal, rehearsal.run()


def named(*names, **script):
    return [Node(name, **script) for name in names]


# -- as it should be -----------------------------------------------------------------------------------------------


def test_every_node_is_asked_once_with_all_that_the_phase_says_and_gets_its_verdict():
    nodes = [Node("a"), Node("b", runs=[("unchanged", 5)]), Node("c", runs=[("tolerated", 5)])]
    rehearsal, outcomes = rehearse(*nodes, may_fail=["Exec[x]"], tags=["nova"], puppet_environment="production")
    assert [(node, found.verdict) for node, found in outcomes.items()] == [
        ("a", "changed"),
        ("b", "unchanged"),
        ("c", "tolerated"),
    ]
    ((when, asked, kwargs),) = rehearsal.bus.asked("puppet_agent.run")
    assert asked == ["a", "b", "c"]
    assert kwargs == {
        "run_id": RUN_ID.format(1),
        "noop": False,
        "timeout": 1000,
        "lock_timeout": 10,
        "may_fail": ["Exec[x]"],
        "tags": ["nova"],
        "skip_tags": [],
        "puppet_environment": "production",
    }
    assert when < 1
    assert rehearsal.bus.now < 11


def test_every_argument_that_is_sent_is_one_that_the_module_takes():
    rehearsal, _ = rehearse(Node("a"), mode="apply", manifest="/x.pp", puppet_environment="x", noop=True)
    ((_, _, kwargs),) = rehearsal.bus.asked("puppet_agent.run")
    inspect.signature(puppet_agent.run).bind(**kwargs)


@pytest.mark.parametrize(("of_the_plan", "of_the_phase"), [(True, False), (False, True)])
def test_noop_is_asked_for_and_a_real_run_in_its_place_is_bad(of_the_plan, of_the_phase):
    rehearsal = Rehearsal(Node("a"), Node("b", says=(outcome(RUN_ID.format(1), "changed"), 0)), noop=of_the_plan)
    rehearsal.phase.options["noop"] = of_the_phase
    outcomes = rehearsal.run()
    assert rehearsal.bus.asked("puppet_agent.run")[0][2]["noop"] is True
    assert outcomes["a"].verdict == "changed"
    assert outcomes["b"].verdict == "failed"
    assert "ran for real" in outcomes["b"].reason


def test_the_window_is_kept_full():
    nodes = [Node(f"n{i}", runs=[("changed", seconds)]) for i, seconds in enumerate((30, 10, 10, 5))]
    rehearsal, _ = rehearse(*nodes, concurrency=2)
    begun = [(round(when), asked) for when, asked, _ in rehearsal.bus.asked("puppet_agent.run")]
    assert begun == [(0, ["n0", "n1"]), (10, ["n2"]), (20, ["n3"])]
    assert round(rehearsal.bus.now) == 30


def test_each_step_is_in_the_journal_before_anyone_is_told():
    record = Record()
    rehearsal = Rehearsal(*named("a", "b"), record=record)
    order = []
    rehearsal.sink.append = lambda step: order.append(f"told {step[0]}")
    record.told = order
    rehearsal.run()
    names = [step if isinstance(step, str) else step[0] for step in order]
    assert [name for name in names if name != "stop_asked"] == [
        *["runs_started", "step", "step"],
        *["told node/started"] * 2,
        *["run_ended", "step", "told node/ended"] * 2,
    ]


def test_the_journal_has_it_all(tmp_path):
    record = journal.Journal(tmp_path / "journal.sqlite")
    rehearsal = Rehearsal(
        Node("a"), Node("b", runs=[("failed", 1)]), Node("c", dead=0.0), max_failures=3, record=record
    )
    row = {"id": "77", "environment": "prod", "scenario": "x", "user": "root", "door": "d", "noop": False}
    phases = [{"number": 1, "name": "x", "kind": "puppet", "roles": [], "nodes": ["a", "b", "c"]}]
    phases[0] |= {"state": "planned", "reason": ""}
    record.begin({**row, "partial": False, "digest": "", "arguments": {}}, phases)
    rehearsal.run()
    runs = {run["node"]: (run["verdict"], run["run_id"]) for run in record.deployment("77")["phases"][0]["runs"]}
    assert runs == {"a": ("changed", RUN_ID.format(1)), "b": ("failed", RUN_ID.format(1)), "c": ("missing", "")}


# -- nodes that are not there --------------------------------------------------------------------------------------


def test_nodes_without_a_key_or_an_answer_are_missing_and_nothing_starts():
    rehearsal, outcomes = rehearse(*named("a", "b"), Node("c", dead=0.0), accepted=["a", "c"])
    assert {node: found.verdict for node, found in outcomes.items()} == {"a": "skipped", "b": "missing", "c": "missing"}
    assert outcomes["b"].reason == "it has no accepted key; see salt-key -L"
    assert outcomes["c"].reason == "its minion gave no answer to a ping within 15 s; is salt-minion running there?"
    assert outcomes["a"].reason == "not started: 2 failed, 0 may (max_failures)"
    assert not rehearsal.bus.asked("puppet_agent.run")
    pinged = [(round(when), sorted(nodes)) for when, nodes, _ in rehearsal.bus.asked("test.ping")]
    assert pinged == [(0, ["a", "c"]), (5, ["c"]), (10, ["c"])]


def test_where_nobody_knows_who_has_a_key_all_are_pinged():
    bus = Bus(Node("a"), Node("b", dead=0.0))
    with bus.time():
        absent = engine.present(bus, ["a", "b"], None, 10)
    assert set(bus.asked("test.ping")[0][1]) == {"a", "b"}
    assert list(absent) == ["b"]
    assert absent["b"].endswith("and the syndic above it run, and has its own master accepted its key?")


def test_while_others_still_answer_nobody_is_asked_again():
    """A master that has little time for its nodes gets no more to do by that."""
    bus = Bus(*(Node(name, latency=4.0 * number) for number, name in enumerate("abc", start=1)), Node("d", dead=0.0))
    with bus.time():
        assert list(engine.present(bus, "abcd", "abcd", 18)) == ["d"]
        assert bus.now == 18
    assert [(when, sorted(nodes)) for when, nodes, _ in bus.asked("test.ping")] == [(0, list("abcd"))]


def test_who_has_just_answered_is_not_pinged_again():
    bus = Bus(Node("a"), Node("b"))
    with bus.time():
        for nodes, wait in ((["a"], 0), (["a", "b"], 14), (["a", "b"], 15.5)):
            bus.next(wait)
            assert engine.present(bus, nodes, nodes, 15) == {}
    assert [sorted(nodes) for _, nodes, _ in bus.asked("test.ping")] == [["a"], ["b"], ["a", "b"]]


def test_missing_nodes_count_as_failures():
    _, outcomes = rehearse(*named("a", "b"), Node("c", dead=0.0), max_failures=1)
    assert [found.verdict for found in outcomes.values()] == ["changed", "changed", "missing"]


@pytest.mark.parametrize("answer", [False, "True", 1, None, {"ret": True}])
def test_an_odd_answer_to_a_ping_is_none(answer):
    class Odd(Node):
        def _answer(self, bus, jid, when, _, retcode):
            super()._answer(bus, jid, when, answer, retcode)

    rehearsal = Rehearsal(Odd("a"))
    assert rehearsal.verdicts() == {"a": "missing"}


def test_a_master_that_cannot_publish_makes_its_nodes_missing():
    _, outcomes = rehearse(Node("a"), refuses=[(0, 5)])
    assert outcomes["a"].verdict == "missing"
    assert "it could not be asked: the master's publisher does not answer" in outcomes["a"].reason


def test_nobody_is_pinged_in_vain():
    rehearsal, _ = rehearse(Node("a"), accepted=[])
    assert not rehearsal.bus.published


# -- silence -------------------------------------------------------------------------------------------------------


def test_a_node_that_says_nothing_is_lost_at_its_deadline_and_not_before():
    rehearsal, outcomes = rehearse(Node("a", dead=3.0), Node("b"))
    assert outcomes["b"].verdict == "changed"
    assert outcomes["a"].verdict == "lost"
    assert "no outcome after 17 min 05 s, last heard" in outcomes["a"].reason
    assert "salt a puppet_agent.status" in outcomes["a"].reason
    assert PATIENCE <= rehearsal.bus.now < PATIENCE + 1


def test_an_answer_that_the_master_has_stored_is_no_silence():
    rehearsal = Rehearsal(Node("a", dead=3.0))
    answer = transport.Return("a", "j2", outcome(RUN_ID.format(1), "changed"), 0)
    rehearsal.bus.unheard["j2", "a"] = answer
    assert rehearsal.verdicts() == {"a": "changed"}


def test_the_deadline_is_each_nodes_own():
    rehearsal, outcomes = rehearse(Node("a", dead=3.0), Node("b", dead=500.0), concurrency=1, max_failures=2)
    assert [found.verdict for found in outcomes.values()] == ["lost", "lost"]
    assert rehearsal.bus.now > 2 * PATIENCE


def test_so_many_nodes_are_looked_after_in_turns(monkeypatch):
    monkeypatch.setattr(engine.runs, "_LOOKED_AT", 2)
    nodes = [Node(name, runs=[("changed", 100)], down=[(20, 50)] if name == "d" else []) for name in "abcd"]
    rehearsal, outcomes = rehearse(*nodes)
    assert {outcome.verdict for outcome in outcomes.values()} == {"changed"}
    asked = [sorted(nodes) for _, nodes, _ in rehearsal.bus.asked("saltutil.is_running")]
    assert asked == [["a", "b"], ["c", "d"], ["a", "b"]]


def test_silence_is_noted_once_and_so_is_its_end():
    rehearsal, outcomes = rehearse(Node("a", runs=[("changed", 400)], down=[(40, 200)]))
    assert outcomes["a"].verdict == "changed"
    notes = [step["note"] for step in rehearsal.sink.of("node/noted")]
    assert len(notes) == 2
    assert notes[0].startswith("silent since ")
    assert notes[1] == "answers again"


def test_a_node_whose_minion_restarts_is_asked_again_at_once_with_the_same_run_id():
    rehearsal, outcomes = rehearse(Node("a", runs=[("changed", 100)], down=[(10, 20)]), poll_interval=600)
    assert outcomes["a"].verdict == "changed"
    asked = rehearsal.bus.asked("puppet_agent.run")
    assert [round(when) for when, _, _ in asked] == [0, 20]
    assert {kwargs["run_id"] for _, _, kwargs in asked} == {RUN_ID.format(1)}
    assert len(rehearsal.bus.nodes["a"].made) == 1
    assert len(rehearsal.sink.of("node/started")) == 1
    assert round(rehearsal.bus.now) == 100


def test_a_run_that_ended_while_the_minion_was_down_is_reported_when_it_is_back():
    rehearsal, outcomes = rehearse(Node("a", runs=[("failed", 15)], down=[(10, 20)]), poll_interval=600)
    assert outcomes["a"].verdict == "failed"
    assert round(rehearsal.bus.now) == 20


def test_a_lost_return_is_found_by_looking():
    rehearsal, outcomes = rehearse(Node("a", losses=frozenset([1])), poll_interval=30)
    assert outcomes["a"].verdict == "changed"
    assert len(rehearsal.bus.asked("puppet_agent.run")) == 2
    assert 30 <= rehearsal.bus.now < 31


def test_a_node_that_works_is_left_alone():
    rehearsal, _ = rehearse(Node("a", runs=[("changed", 500)]), poll_interval=30)
    assert len(rehearsal.bus.asked("puppet_agent.run")) == 1
    assert len(rehearsal.bus.asked("saltutil.is_running")) == 16
    assert not rehearsal.sink.of("node/noted")


def test_a_request_that_could_not_be_published_is_sent_again():
    rehearsal, outcomes = rehearse(Node("a", latency=0.5), refuses=[(0.2, 100)])
    assert outcomes["a"].verdict == "changed"
    assert rehearsal.sink.of("node/noted")[0]["note"].startswith("could not be asked: the master's publisher")
    assert 100 < rehearsal.bus.now < 140


@pytest.mark.parametrize(
    "jobs", [None, "none", {"jid": 1}, [None, 1, "x"], [{"pid": 1}], "'saltutil.is_running' is not"]
)
def test_an_odd_answer_to_a_look_means_that_the_run_is_asked_for_again(jobs):
    class Odd(Node):
        def _answer(self, bus, jid, when, answer, retcode):
            super()._answer(bus, jid, when, jobs if isinstance(answer, list) else answer, retcode)

    assert Rehearsal(Odd("a", losses=frozenset([1]))).verdicts() == {"a": "changed"}


def test_a_run_that_only_says_that_it_goes_on_is_waited_for():
    rehearsal = Rehearsal(Node("a", says=(outcome(RUN_ID.format(1), None), 0)))
    assert rehearsal.verdicts() == {"a": "lost"}
    assert len(rehearsal.bus.asked("puppet_agent.run")) > 10


# -- what is not asked for -----------------------------------------------------------------------------------------


def good_return(node, jid, attempt=1):
    return transport.Return(node, jid, outcome(RUN_ID.format(attempt), "changed"), 0)


@pytest.mark.parametrize(
    "noise",
    [
        good_return("a", "j99"),
        good_return("a", "j1"),
        good_return("evil", "j2"),
        transport.Started("evil"),
        transport.Return("a", "j99", None, None),
        transport.Return("evil", "j2", ["x"] * 1000, {}),
    ],
    ids=["unknown jid", "jid of the ping", "node not asked", "start of another", "junk", "junk of another"],
)
def test_what_was_not_asked_for_is_ignored(noise):
    rehearsal, outcomes = rehearse(Node("a", runs=[("failed", 50)]), noise=[(5, noise), (6, noise)])
    assert {node: found.verdict for node, found in outcomes.items()} == {"a": "failed"}
    assert len(rehearsal.sink.of("node/ended")) == 1
    assert len(rehearsal.bus.asked("puppet_agent.run")) == 1


def test_a_return_that_comes_twice_counts_once():
    noise = [(10.2, good_return("a", "j2")), (10.3, good_return("a", "j2"))]
    rehearsal, outcomes = rehearse(Node("a", runs=[("failed", 10)]), Node("b", runs=[("changed", 20)]), noise=noise)
    assert outcomes["a"].verdict == "failed"
    assert [step["node"] for step in rehearsal.sink.of("node/ended")] == ["a", "b"]


def test_a_late_return_of_the_attempt_before_is_not_taken_for_the_next_one():
    noise = [(15, good_return("a", "j2")), (16, good_return("a", "j2", 2))]
    rehearsal, outcomes = rehearse(Node("a", runs=[("failed", 10), ("failed", 20)]), noise=noise, retries={"failed": 1})
    assert outcomes["a"].verdict == "failed"
    assert [step["attempt"] for step in rehearsal.sink.of("node/ended")] == [1, 2]


@pytest.mark.parametrize(
    ("says", "verdict"),
    [
        (("'puppet_agent.run' is not available.", 254), "not_started"),
        ((None, 0), "failed"),
        ((True, 0), "failed"),
        (({"run_id": "another", "verdict": "changed"}, 0), "failed"),
        ((outcome(RUN_ID.format(1), "changed"), 1), "failed"),
        ((outcome(RUN_ID.format(1), "changed", exit_code=6), 0), "failed"),
    ],
)
def test_an_answer_that_shows_no_good_run_is_bad(says, verdict):
    assert Rehearsal(Node("a", says=says)).verdicts() == {"a": verdict}


# -- failures and retries ------------------------------------------------------------------------------------------


def test_after_a_failure_nothing_starts_and_what_runs_is_waited_for():
    nodes = [Node("a", runs=[("failed", 5)]), Node("b", runs=[("changed", 50)]), *named("c", "d")]
    rehearsal, outcomes = rehearse(*nodes, concurrency=2)
    assert [found.verdict for found in outcomes.values()] == ["failed", "changed", "skipped", "skipped"]
    assert outcomes["c"].reason == "not started: 1 failed, 0 may (max_failures)"
    assert not rehearsal.bus.nodes["c"].made
    assert round(rehearsal.bus.now) == 50


@pytest.mark.parametrize(("max_failures", "skipped"), [(0, 3), (1, 2), ("50%", 1), ("100%", 0)])
def test_as_many_may_fail_as_the_phase_allows(max_failures, skipped):
    nodes = named("a", "b", "c", "d", runs=[("failed", 5)])
    _, outcomes = rehearse(*nodes, concurrency=1, max_failures=max_failures)
    assert [found.verdict for found in outcomes.values()].count("skipped") == skipped


def test_a_verdict_with_retries_is_tried_again_as_another_run():
    node = Node("a", runs=[("no_catalog", 5), ("no_catalog", 5), ("changed", 5)])
    rehearsal, outcomes = rehearse(node, retries={"no_catalog": 2})
    assert outcomes["a"].verdict == "changed"
    assert list(node.made) == [RUN_ID.format(1), RUN_ID.format(2), RUN_ID.format(3)]
    ended = [(step["attempt"], step["verdict"]) for step in rehearsal.sink.of("node/ended")]
    assert ended == [(1, "no_catalog"), (2, "no_catalog"), (3, "changed")]
    assert [args[3:5] for args in rehearsal.record.of("run_ended")] == [[RUN_ID.format(n), n] for n in (1, 2, 3)]


def test_retries_come_to_an_end():
    _, outcomes = rehearse(Node("a", runs=[("no_catalog", 5)]), retries={"no_catalog": 2})
    assert outcomes["a"].verdict == "no_catalog"


def test_only_the_verdict_that_was_named_is_tried_again():
    node = Node("a", runs=[("failed", 5), ("changed", 5)])
    _, outcomes = rehearse(node, retries={"no_catalog": 2})
    assert outcomes["a"].verdict == "failed"
    assert len(node.made) == 1


def test_a_node_that_waits_for_its_next_attempt_keeps_its_verdict_when_the_phase_stops():
    nodes = [Node("a", runs=[("no_catalog", 5)]), Node("b", runs=[("failed", 6)]), Node("c", runs=[("changed", 60)])]
    _, outcomes = rehearse(*nodes, concurrency=2, retries={"no_catalog": 3})
    assert [found.verdict for found in outcomes.values()] == ["no_catalog", "failed", "changed"]


def test_a_lost_node_may_be_tried_again():
    node = Node("a", down=[(1, 1030)])
    rehearsal, outcomes = rehearse(node, Node("b"), retries={"lost": 1})
    assert outcomes["a"].verdict == "changed"
    assert [step["verdict"] for step in rehearsal.sink.of("node/ended")] == ["changed", "lost", "changed"]


# -- nodes that others work on -------------------------------------------------------------------------------------


def claim():
    return journal.Claim("other", "66", "bob", 1, 0.0, True)


def test_a_node_that_another_deployment_works_on_waits_and_the_others_do_not():
    record = Record(held=[{"a": claim()}, {"a": claim()}, {"a": claim()}])
    rehearsal, outcomes = rehearse(*named("a", "b", "c"), concurrency=1, record=record)
    assert {node: found.verdict for node, found in outcomes.items()} == dict.fromkeys("abc", "changed")
    assert [asked for _, asked, _ in rehearsal.bus.asked("puppet_agent.run")] == [["b"], ["c"], ["a"]]
    (note,) = rehearsal.sink.of("node/noted")
    assert note["note"] == "waits, deployment 66 of environment other runs Puppet there"


def test_a_node_that_others_work_on_for_too_long_is_busy():
    rehearsal, outcomes = rehearse(*named("a", "b"), record=Record(held=[{"a": claim()}] * 1000), max_failures=1)
    assert {node: found.verdict for node, found in outcomes.items()} == {"a": "busy", "b": "changed"}
    assert "deployment 66 of environment other runs Puppet there, waited 1" in outcomes["a"].reason
    assert outcomes["a"].reason.endswith("(lock_timeout)")
    assert not rehearsal.bus.nodes["a"].made


# -- the operator --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_deployment_is_recorded_and_passed_on(end):
    nodes = [Node("a", runs=[("changed", 100)]), *named("b", "c")]
    rehearsal = Rehearsal(*nodes, concurrency=1, noise=[(50, end())])
    with pytest.raises(end):
        rehearsal.run()
    assert [(data["node"], data["verdict"]) for data in rehearsal.sink.of("node/ended")] == [
        ("b", "interrupted"),
        ("c", "interrupted"),
    ]
    ((_, _, node, _, note, _),) = rehearsal.record.of("run_noted")
    assert (node, note) == ("a", "goes on on its node, the deployment was interrupted")
    assert not rehearsal.bus.nodes["b"].made


def test_the_end_of_the_deployment_during_the_ping_leaves_every_node_interrupted():
    rehearsal = Rehearsal(*named("a", "b", latency=5), noise=[(1, KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        rehearsal.run()
    assert [data["verdict"] for data in rehearsal.sink.of("node/ended")] == ["interrupted", "interrupted"]
    assert not rehearsal.bus.asked("puppet_agent.run")


# -- in words ------------------------------------------------------------------------------------------------------


def test_a_pass_in_which_all_is_good_needs_no_words():
    assert engine.in_words({"a": verdicts.Outcome("changed"), "b": verdicts.Outcome("kept")}) == ""


def test_a_pass_says_how_many_are_bad_and_why_the_first_is():
    outcomes = {
        "a": verdicts.Outcome("changed"),
        "b": verdicts.Outcome("failed", "boom"),
        "c": verdicts.Outcome("lost"),
    }
    assert engine.in_words(outcomes) == "2 of 3 nodes bad: b failed (boom), and 1 more"
    skipped = verdicts.Outcome("skipped", "not started: 1 failed")
    assert engine.in_words({"a": skipped, "b": verdicts.Outcome("lost")}) == "2 of 2 nodes bad: b lost, and 1 more"
    assert engine.in_words({"c": verdicts.Outcome("skipped")}) == "1 of 1 nodes bad: c skipped"


# -- over anything that may happen ---------------------------------------------------------------------------------

verdict = st.sampled_from(["changed", "unchanged", "tolerated", "failed", "no_catalog", "busy"])
attempt = st.tuples(verdict, st.floats(0, 100))
spans = st.lists(st.tuples(st.floats(0, 150), st.floats(0.1, 60)), max_size=2).map(
    lambda drawn: [(begin, begin + length) for begin, length in drawn]
)
scripts = st.fixed_dictionaries(
    {"runs": st.lists(attempt, min_size=1, max_size=3)},
    optional={
        "down": spans,
        "dead": st.floats(0, 150),
        "losses": st.frozensets(st.integers(0, 6), max_size=3),
        "latency": st.floats(0.001, 8),
        "says": st.sampled_from([(None, 0), ("x", 1), (outcome(RUN_ID.format(1), "changed"), 1), ({"run_id": 1}, 0)]),
    },
)
noises = st.lists(
    st.tuples(
        st.floats(0, 200),
        st.builds(
            transport.Return,
            st.sampled_from(["n0", "n1", "evil"]),
            st.sampled_from(["j1", "j77", ""]),
            st.sampled_from([None, True, outcome(RUN_ID.format(1), "changed"), [{"jid": "j2"}]]),
            st.sampled_from([0, 1, None]),
        )
        | st.builds(transport.Started, st.sampled_from(["n0", "n1", "evil"])),
    ),
    max_size=4,
)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(scripts, min_size=1, max_size=6),
    noises,
    st.integers(1, 4),
    st.sampled_from([0, 1, 3, "50%", "100%"]),
    st.dictionaries(st.sampled_from(["failed", "no_catalog", "lost"]), st.integers(0, 2), max_size=2),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=1),
)
def test_whatever_the_nodes_do_each_gets_the_verdict_of_its_run(
    drawn, noise, concurrency, max_failures, retries, refused
):
    nodes = [Node(f"n{number}", **script) for number, script in enumerate(drawn)]
    rehearsal, outcomes = rehearse(
        *nodes,
        noise=noise,
        concurrency=concurrency,
        max_failures=max_failures,
        retries=retries,
        refuses=[(begin, begin + length) for begin, length in refused],
    )
    assert list(outcomes) == [node.name for node in nodes]
    for node in nodes:
        is_true_to_its_run(node, outcomes[node.name], rehearsal)
    is_orderly(rehearsal, concurrency, max_failures, retries)
    attempts = 1 + sum(retries.values())
    assert rehearsal.bus.now <= 20 + len(nodes) * attempts * (PATIENCE + 1)
    assert [args[2] for args in rehearsal.record.of("run_ended")] == [
        data["node"] for data in rehearsal.sink.of("node/ended")
    ]


def is_true_to_its_run(node, found, rehearsal):
    """Hold a node's verdict against what happened on it."""
    if found.verdict in ("missing", "skipped"):
        assert not node.made
        return
    assert found.verdict in verdicts.GOOD
    if found.verdict == "lost":
        # Whatever else happens is found out in the time that there is.
        assert node.dead < NEVER
        return
    verdict, _, end = node.made[list(node.made)[-1]]
    assert end <= rehearsal.bus.now
    assert found.verdict == ("failed" if node.says else verdict)


def is_orderly(rehearsal, concurrency, max_failures, retries):
    """Hold the steps that were told against the window, one after the other."""
    allowed = scheduler.allowance(max_failures, len(rehearsal.phase.nodes))
    running, failures = set(), 0
    for what, data in rehearsal.sink:
        if what == "node/started":
            assert failures <= allowed
            assert data["node"] not in running
            running.add(data["node"])
            assert len(running) <= concurrency
        elif what == "node/ended":
            running.discard(data["node"])
            again = data["attempt"] <= retries.get(data["verdict"], 0) and failures <= allowed
            failures += not data["good"] and not again
    assert not running


# -- from outside --------------------------------------------------------------------------------------------------


def stopped_at(second, *nodes, **options):
    """Return a rehearsal which bob stops at some second, and its outcomes."""
    rehearsal = Rehearsal(*nodes, **options)
    rehearsal.record.stop_asked = lambda _: {"user": "bob"} if rehearsal.bus.now >= second else None
    return rehearsal, rehearsal.run()


def test_a_stop_starts_nothing_more_and_lets_the_running_finish():
    nodes = named("a", "b", "c", runs=[("changed", 30)])
    rehearsal, outcomes = stopped_at(10, *nodes, concurrency=1)
    assert [found.verdict for found in outcomes.values()] == ["changed", "interrupted", "interrupted"]
    assert outcomes["c"].reason == "not started: bob stopped the deployment"
    assert rehearsal.bus.now < 32
    assert not rehearsal.bus.asked("puppet_agent.stop")


def test_a_stop_that_comes_first_starts_nothing():
    rehearsal, outcomes = stopped_at(0, *named("a", "b"))
    assert {found.verdict for found in outcomes.values()} == {"interrupted"}
    assert not rehearsal.bus.asked("puppet_agent.run")


def test_after_a_stop_nothing_is_tried_again():
    _, outcomes = stopped_at(5, Node("a", runs=[("no_catalog", 10), ("changed", 10)]), retries={"no_catalog": 1})
    assert outcomes["a"].verdict == "no_catalog"


def lock(phase, holder=None, run_id="77-1-1-1"):
    return {"run_id": run_id, "phase": phase, "waiting_for_lock": holder, "verdict": None}


def test_whose_lock_a_node_waits_for_is_noted_once_and_that_it_got_it():
    holder = {"lock": "/x", "pid": 4711, "command": "puppet agent --test"}
    told = {"puppet_agent.status": lambda now: lock("waiting", holder) if now < 100 else lock("running")}
    rehearsal, _ = rehearse(Node("a", runs=[("changed", 200)], checks=told), poll_interval=30)
    assert [note["note"] for note in rehearsal.sink.of("node/noted")] == [
        "waits for Puppet's lock, held by puppet agent --test (pid 4711)",
        "waits no longer for Puppet's lock",
    ]
    # Once Puppet is known to work, it is asked no more.
    assert [round(when, -1) for when, _, _ in rehearsal.bus.asked("puppet_agent.status")] == [30, 60, 90, 120]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        [],
        {},
        lock("waiting"),
        lock("waiting", "somebody"),
        lock("waiting", {"command": "x"}, run_id="another"),
        lock("over", {"command": "x"}),
        lock(["waiting"], {"command": "x"}),
    ],
)
def test_what_is_no_answer_about_a_lock_is_not_noted(answer):
    rehearsal, outcomes = rehearse(Node("a", runs=[("changed", 70)], checks={"puppet_agent.status": lambda _: answer}))
    assert rehearsal.sink.of("node/noted") == []
    assert outcomes["a"].verdict == "changed"


def test_who_holds_a_lock_is_said_in_one_printable_line():
    holder = {"pid": "x" * 999, "command": "a\nb\x1b[2J" + "y" * 9999}
    told = {"puppet_agent.status": lambda _: lock("waiting", holder)}
    rehearsal, _ = rehearse(Node("a", runs=[("changed", 70)], checks=told))
    (note,) = {note["note"] for note in rehearsal.sink.of("node/noted")}
    assert note.isprintable()
    assert len(note) < 200
