"""A gate opens after so many good rounds in a row, and nothing but a satisfying answer from every node is good."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import Bus, Node, Record, Sink
from os_orchestrator import deploying, environment, gates, plan, replies, transport

ASK = "mysql_mmm.writer_ready"
PROBE = "mysql_endpoint.ready"


def check(**changes):
    return environment.Check(**{"function": ASK, "role": "monitor", **changes})


def returns(**answers):
    """Return what nodes answered, each with a return code if it is given as a tuple."""
    pairs = {node: answer if isinstance(answer, tuple) else (answer, 0) for node, answer in answers.items()}
    return {node: transport.Return(node, "1", answer, retcode) for node, (answer, retcode) in pairs.items()}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# -- one answer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, {"ready": True}, {"result": True}, {"ready": True, "reasons": []}])
def test_true_is_true_or_says_so(value):
    assert replies.satisfies(check(), value, 0)


@pytest.mark.parametrize(
    "value",
    [False, None, 0, 1, 1.0, "True", "true", "", [], [True], {}, {"ready": False}, {"ready": 1}, {"ready": "true"},
     {"ready": False, "result": False}, {"result": None}, {"success": True}, "ERROR: boom", math.nan],
)  # fmt: skip
def test_nothing_else_is_true(value):
    assert not replies.satisfies(check(), value, 0)


@pytest.mark.parametrize("retcode", [1, 2, -1, None, True, False, "0", "", 0.0, [], {}])
@pytest.mark.parametrize(("expect", "value"), [(True, True), ("equal", 5), (5, 5), ({"value": "x"}, "x")])
def test_a_job_that_did_not_end_with_0_satisfies_nothing(expect, value, retcode):
    assert replies.satisfies(check(expect=expect), value, 0)
    assert not replies.satisfies(check(expect=expect), value, retcode)


@pytest.mark.parametrize(
    ("expect", "value", "satisfied"),
    [
        (5, 5, True),
        (5, 5.0, False),
        (5, "5", False),
        (1, True, False),
        (0, False, False),
        (False, False, True),
        (False, 0, False),
        (False, None, False),
        ("db1", "db1", True),
        ("db1", "db1 ", False),
        (1.5, 1.5, True),
        ({"value": "equal"}, "equal", True),
        ({"value": True}, True, True),
        ({"value": True}, {"ready": True}, False),
        ({"value": None}, None, True),
        ({"value": [1, 2]}, [1, 2], True),
        ({"value": [1, 2]}, [2, 1], False),
        ({"value": [1]}, [True], False),
        ({"value": {"a": 1, "b": 2}}, {"b": 2, "a": 1}, True),
        ({"value": {"a": 1}}, {"a": 1, "b": 2}, False),
        ({"value": "x"}, nested(100_000), False),
        ({"value": "x"}, {1: 1, "a": 2}, False),
        ({"value": "x"}, 10**5000, False),
    ],
    ids=lambda value: None if isinstance(value, (bool, str)) else type(value).__name__,
)
def test_a_value_is_the_one_that_is_expected_in_type_too(expect, value, satisfied):
    assert replies.satisfies(check(expect=expect), value, 0) is satisfied


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        (None, {"a": 1}, {"a": 1}),
        ("a", {"a": 1}, 1),
        ("a:b", {"a": {"b": [2]}}, [2]),
        ("a:b", {"a": {"c": 2}}, None),
        ("a:b", {"a": 5}, None),
        ("a", "a", None),
        ("a", None, None),
        ("0", [1], None),
        ("a:b", {"a:b": 1}, None),
    ],
)
def test_a_key_leads_to_a_part_of_the_answer(key, value, part):
    assert replies.chosen(check(key=key), value) == part


# -- all the answers to one check ----------------------------------------------------------------------------------


def judged(the_check, nodes, **answers):
    return {a.node: (a.good, a.said) for a in replies.judge(the_check, nodes, returns(**answers))}


def test_every_node_that_was_asked_has_an_answer_and_silence_is_not_good():
    found = judged(check(timeout=7.5), ["a", "b", "c"], a=True, b=False, evil=True)
    assert found == {
        "a": (True, "answered true"),
        "b": (False, "answered false"),
        "c": (False, "no answer within 7.5 s"),
    }


def test_a_predicate_is_quoted_with_its_reasons():
    reasons = [{"code": "x", "message": f"reason {number}"} for number in range(5)]
    assert judged(check(), ["a"], a={"ready": False, "reasons": reasons})["a"] == (
        False,
        "reason 0; reason 1; reason 2",
    )
    assert judged(check(), ["a"], a={"ready": False, "reasons": ["one", 2]})["a"][1] == "one; 2"
    assert judged(check(), ["a"], a={"ready": True, "reasons": []})["a"][1].startswith('answered {"re')


def test_an_answer_is_quoted_by_the_part_that_was_looked_at():
    assert judged(check(key="a:b", expect=2), ["a"], a={"a": {"b": 3}})["a"] == (False, "a:b is 3")
    assert judged(check(), ["a"], a=("ERROR: no such file", 1))["a"] == (False, 'answered "ERROR: no such file"')


@pytest.mark.parametrize(
    "answer",
    [
        "\x1b[31mred\n",
        {"reasons": ["\x1b]0;x\x07", "\u202e"], "ready": False},
        {"reasons": [nested(100_000)]},
        {"reasons": [{"message": None}]},
        {"reasons": 6},
        "x" * 10**6,
        {"a": ["y" * 1000] * 1000},
        {1: 1, "a": 2},
        {b"x": 1},
        b"\xff",
        nested(100_000),
        10**5000,
        [math.nan],
    ],
    ids=lambda answer: type(answer).__name__,
)
@pytest.mark.parametrize("expect", [True, "equal", 5])
def test_whatever_is_answered_is_quoted_in_one_short_line(answer, expect):
    for key in (None, "a", "reasons"):
        (found,) = replies.judge(check(expect=expect, key=key), ["a"], returns(a=answer))
        assert found.said.isprintable()
        assert len(found.said) <= 400
        assert not found.good or expect == "equal"


def test_answers_are_equal_when_all_are_there_and_the_same():
    same = check(expect="equal")
    assert all(good for good, _ in judged(same, ["a", "b"], a={"x": 1, "y": [2]}, b={"y": [2], "x": 1}).values())
    found = judged(same, ["a", "b", "c"], a=1, b=1, c=2)
    assert {node: good for node, (good, _) in found.items()} == {"a": False, "b": False, "c": False}
    assert found["c"][1] == "differs between nodes: answered 2"


def test_equal_needs_an_answer_of_every_node():
    found = judged(check(expect="equal"), ["a", "b", "c", "d"], a=1, b=None, c=(1, 1))
    assert [good for good, _ in found.values()] == [True, False, False, False]
    found = judged(check(expect="equal"), ["a", "b", "c"], a=1, b=2)
    assert found["c"] == (False, "no answer within 30 s")


@pytest.mark.parametrize(
    "other",
    [True, "1", 1.0, [1], None, {"x": 1}, 10**5000, nested(100_000)],
    ids=["true", "text", "float", "list", "none", "mapping", "huge", "nested"],
)
def test_what_only_looks_equal_is_not(other):
    assert not all(good for good, _ in judged(check(expect="equal"), ["a", "b"], a=1, b=other).values())


def test_long_answers_that_differ_at_their_ends_are_not_equal():
    long = "x" * 200_000
    found = judged(check(expect="equal"), ["a", "b"], a=[long, 1], b=[long, 2])
    assert not any(good for good, _ in found.values())


def test_answers_that_cannot_be_compared_are_not_equal():
    assert judged(check(expect="equal"), ["a", "b"], a={1: 1, "a": 2}, b={1: 1, "a": 2}) != {}
    assert not any(good for good, _ in judged(check(expect="equal"), ["a"], a={1: 1, "a": 2}).values())


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        ),
    ),
    st.sampled_from([True, False, "equal", "x", 1, 1.5, {"value": None}, {"value": [1]}]),
    st.sampled_from([None, "a", "a:b"]),
    st.integers(-1, 2) | st.none() | st.booleans(),
)
def test_any_answer_can_be_judged(answer, expect, key, retcode):
    found = replies.judge(check(expect=expect, key=key), ["a", "b"], returns(a=(answer, retcode)))
    assert [a.node for a in found] == ["a", "b"]
    assert not found[1].good
    assert not found[0].good or retcode == 0
    assert all(a.said.isprintable() for a in found)
    gates._identity(found)


# -- rounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "rounds", "opened"),
    [
        (1, "a", 1),
        (1, "-a", 2),
        (3, "aaa", 3),
        (3, "aa-aaa", 6),
        (3, "aa-aa-a", None),
        (3, "abcabc", None),
        (3, "aabbb", 5),
        (3, "aab-bb", None),
        (2, "a-a-a-aa", 8),
        (2, "-----", None),
        (2, "aba--bb", 7),
    ],
)
def test_so_many_good_rounds_in_a_row_of_the_same_kind_open_it(successes, rounds, opened):
    counted, found = gates.Rounds(successes), None
    for number, kind in enumerate(rounds, 1):
        counted.add(kind != "-", kind)
        if counted.open and found is None:
            found = number
    assert found == opened


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.lists(st.sampled_from("ab-"), max_size=30))
def test_it_is_open_exactly_when_the_last_rounds_were_all_good_and_the_same(successes, rounds):
    counted = gates.Rounds(successes)
    for number, kind in enumerate(rounds, 1):
        counted.add(kind != "-", kind)
        last = rounds[max(0, number - successes) : number]
        assert counted.open is (len(last) == successes and len(set(last)) == 1 and last[0] != "-")


# -- the whole -----------------------------------------------------------------------------------------------------


class Rehearsal:
    """A gate in front of scripted nodes; ``answers`` are ``f(now)`` by node and function."""

    def __init__(self, answers, checks=None, refuses=(), noise=(), **numbers):
        gate = {
            "checks": checks or [{"function": ASK, "role": "monitor"}],
            "successes": 3,
            "interval": 4,
            "timeout": 60,
        }
        roles = {"monitor": [node for node in answers if "mon" in node], "compute": [n for n in answers if "cmp" in n]}
        definition = {"roles": roles, "gates": {"writer": {**gate, **numbers}}}
        env = environment.build("prod", definition, list(answers), lambda *_: ())
        chunk = {"state": "phase", "fun": "gate", "name": "It is ready", "__id__": "It is ready", "__sls__": "orch.x"}
        the_plan = plan.build([{**chunk, "gate": "writer"}], env)
        self.bus = Bus(*(Node(name, checks=asked) for name, asked in answers.items()), refuses=refuses, noise=noise)
        self.record, self.sink = Record(), Sink()
        self.gate = gates.Gate(
            deploying.Deployment("77", the_plan, self.record, (self.sink,)), the_plan.phases[0], self.bus
        )

    def run(self):
        with self.bus.time():
            return self.gate.run()

    @property
    def rounds(self):
        return self.sink.of("gate/round")


def ready(*spans, identity=None):
    """Return a predicate that is ready in these spans of time, and always if there are none."""

    def answer(now):
        good = not spans or any(begin <= now < end for begin, end in spans)
        reasons = [] if good else [{"code": "x", "message": f"not yet at {now:.0f}"}]
        found = {"ready": good, "reasons": reasons}
        return {**found, "identity": identity(now)} if identity else found

    return {ASK: answer}


def test_it_opens_after_so_many_good_rounds_one_each_interval():
    rehearsal = Rehearsal({"mon1": ready()})
    assert rehearsal.run() == (True, "")
    assert [round(when) for when, _, _ in rehearsal.bus.asked(ASK)] == [0, 4, 8]
    assert [(r["good"], r["in_a_row"], r["successes"]) for r in rehearsal.rounds] == [(True, n, 3) for n in (1, 2, 3)]


def test_a_bad_round_in_between_starts_the_count_anew():
    rehearsal = Rehearsal({"mon1": ready((0, 5), (9, 99))})
    assert rehearsal.run() == (True, "")
    assert [r["in_a_row"] for r in rehearsal.rounds] == [1, 2, 0, 1, 2, 3]
    assert [r["held_by"] for r in rehearsal.rounds if r["held_by"]] == [f"{ASK} on mon1: not yet at 8"]


def test_a_writer_that_moves_starts_the_count_anew():
    rehearsal = Rehearsal({"mon1": ready(identity=lambda now: "db1" if now < 7 else "db2")})
    assert rehearsal.run() == (True, "")
    assert [r["in_a_row"] for r in rehearsal.rounds] == [1, 2, 1, 2, 3]


def test_a_writer_that_flaps_never_opens_it():
    rehearsal = Rehearsal({"mon1": ready(identity=lambda now: int(now / 4) % 2)}, successes=2)
    assert rehearsal.run() == (False, "not open within 60 s; held by too few good rounds in a row")


def test_an_identity_that_cannot_be_compared_is_never_the_same():
    rehearsal = Rehearsal({"mon1": ready(identity=lambda _: {1: 1, "a": 2})}, successes=2)
    assert not rehearsal.run()[0]


def test_at_its_timeout_it_says_what_held_it():
    rehearsal = Rehearsal({"mon1": ready((1000, 1001))}, timeout=20)
    assert rehearsal.run() == (False, f"not open within 20 s; held by {ASK} on mon1: not yet at 16")
    assert rehearsal.bus.now <= 20
    assert len(rehearsal.rounds) == 5


def test_the_number_of_nodes_that_hold_it_is_told():
    rehearsal = Rehearsal({name: ready((1000, 1001)) for name in ("mon1", "mon2", "mon3")}, timeout=12)
    assert rehearsal.run()[1].endswith("held by mysql_mmm.writer_ready on mon1: not yet at 8 (and 2 more)")


def test_what_holds_it_is_news_once():
    rehearsal = Rehearsal(
        {"mon1": {ASK: lambda now: {"ready": False, "reasons": ["early" if now < 9 else "late"]}}}, timeout=24
    )
    rehearsal.run()
    assert [r["news"] for r in rehearsal.rounds] == [True, False, False, True, False, False]


def test_silence_is_not_good():
    def silent(now):
        raise LookupError

    rehearsal = Rehearsal({"mon1": ready(), "mon2": {ASK: silent}}, timeout=40, interval=1)
    assert rehearsal.run() == (False, f"not open within 40 s; held by {ASK} on mon2: no answer within 30 s")


def test_an_answer_that_comes_late_is_not_taken_for_the_next_rounds():
    def late(now):
        raise LookupError

    answers = [(when, transport.Return("mon1", "j1", {"ready": True}, 0)) for when in (6, 7, 12, 18)]
    checks = [{"function": ASK, "role": "monitor", "timeout": 5}]
    rehearsal = Rehearsal({"mon1": {ASK: late}}, checks, noise=answers, successes=1, timeout=30)
    assert not rehearsal.run()[0]


def test_who_was_not_asked_cannot_answer():
    noise = [
        (when / 10, transport.Return("evil", f"j{jid}", {"ready": True}, 0)) for when in range(20) for jid in (1, 2)
    ]
    rehearsal = Rehearsal({"mon1": ready((1000, 1001))}, noise=noise, successes=1, timeout=8)
    assert not rehearsal.run()[0]


def test_the_checks_are_asked_in_order_up_to_the_first_that_does_not_hold():
    checks = [{"function": ASK, "role": "monitor"}, {"function": PROBE, "role": "compute", "kwargs": {"address": "x"}}]
    rehearsal = Rehearsal(
        {"mon1": ready((5, 99)), "cmp1": {PROBE: lambda now: now > 10}, "cmp2": {PROBE: lambda _: True}}, checks
    )
    assert rehearsal.run() == (True, "")
    asked = [
        (round(when), function, sorted(nodes), kwargs) for when, nodes, function, kwargs in rehearsal.bus.published
    ]
    assert asked[:4] == [
        (0, ASK, ["mon1"], {}),
        (4, ASK, ["mon1"], {}),
        (8, ASK, ["mon1"], {}),
        (8, PROBE, ["cmp1", "cmp2"], {"address": "x"}),
    ]
    assert [r["held_by"] for r in rehearsal.rounds][:4] == [
        f"{ASK} on mon1: not yet at 0",
        f"{ASK} on mon1: not yet at 4",
        f"{PROBE} on cmp1: answered false",
        "",
    ]


HANDED = [
    {"function": ASK, "role": "monitor", "name": "writer"},
    {"function": PROBE, "role": "compute", "kwargs": {"holder": "{writer.host}"}, "args": ["at {writer.host}"]},
]


def test_what_one_check_found_is_handed_to_the_next_in_each_round_anew():
    answers = {
        "mon1": {ASK: lambda now: {"ready": True, "host": "db1" if now < 6 else "db2"}},
        "cmp1": {PROBE: lambda now: now > 6},
    }
    rehearsal = Rehearsal(answers, HANDED, successes=1)
    assert rehearsal.run() == (True, "")
    assert [kwargs["holder"] for _, _, kwargs in rehearsal.bus.asked(PROBE)] == ["db1", "db1", "db2"]


@pytest.mark.parametrize("other", ["db2", ["db1"], {"db1": 1}, None, ""])
def test_what_the_nodes_do_not_agree_on_is_handed_to_nobody(other):
    answers = {
        "mon1": {ASK: lambda _: {"ready": True, "host": "db1"}},
        "mon2": {ASK: lambda _: {"ready": True, "host": other}},
        "cmp1": {PROBE: lambda _: True},
    }
    rehearsal = Rehearsal(answers, HANDED, timeout=12)
    assert rehearsal.run()[1].startswith(
        f"not open within 12 s; held by {PROBE} on cmp1: could not be asked: it needs host of writer, and the answers"
    )
    assert not rehearsal.bus.asked(PROBE)


def test_answers_must_be_equal_on_all_nodes():
    checks = [{"function": ASK, "role": "monitor", "expect": "equal", "key": "digest"}]
    answers = {
        "mon1": {ASK: lambda _: {"digest": "aa"}},
        "mon2": {ASK: lambda now: {"digest": "bb" if now < 6 else "aa"}},
    }
    rehearsal = Rehearsal(answers, checks, successes=2)
    assert rehearsal.run() == (True, "")
    assert [r["good"] for r in rehearsal.rounds] == [False, False, True, True]
    assert "differs between nodes: digest is" in rehearsal.rounds[0]["held_by"]


def test_a_master_that_cannot_publish_holds_it():
    rehearsal = Rehearsal({"mon1": ready()}, refuses=[(0, 9)])
    assert rehearsal.run() == (True, "")
    assert [r["good"] for r in rehearsal.rounds] == [False, False, False, True, True, True]
    assert rehearsal.rounds[0]["held_by"].startswith(f"{ASK} on mon1: could not be asked: the master's publisher")


def test_every_round_is_in_the_journal_with_every_answer():
    rehearsal = Rehearsal({"mon1": ready((3, 99)), "mon2": ready()}, successes=1)
    rehearsal.run()
    rounds = rehearsal.record.of("round")
    assert [args[:4] for args in rounds] == [["77", 1, 1, False], ["77", 1, 2, True]]
    assert rounds[0][4] == [
        {"check": ASK, "node": "mon1", "good": False, "said": "not yet at 0"},
        {"check": ASK, "node": "mon2", "good": True, "said": 'answered {"ready": true, "reasons": []}'},
    ]


def test_the_operator_may_end_it():
    rehearsal = Rehearsal({"mon1": ready((1000, 1001))}, noise=[(10, KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        rehearsal.run()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "-", "?"]), min_size=1, max_size=20),
    st.integers(1, 4),
    st.sampled_from([0.5, 4, 7]),
)
def test_it_opens_if_and_only_if_the_last_rounds_were_good_and_the_same(script, successes, interval):
    def answer(now):
        told.append(script[min(len(told), len(script) - 1)])
        if told[-1] == "?":
            raise LookupError
        return {"ready": told[-1] != "-", "identity": told[-1]}

    told = []
    checks = [{"function": ASK, "role": "monitor", "timeout": 2}]
    rehearsal = Rehearsal({"mon1": {ASK: answer}}, checks, successes=successes, interval=interval, timeout=60)
    opened, reason = rehearsal.run()
    steady = [told[max(0, n - successes) : n] for n in range(1, len(told) + 1)]
    good = [len(last) == successes and len(set(last)) == 1 and last[0] in "ab" for last in steady]
    assert opened is good[-1]
    assert not any(good[:-1])
    assert opened is not bool(reason)
    assert rehearsal.bus.now <= 60 + 2
