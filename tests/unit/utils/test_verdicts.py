"""An answer is input from another machine: a good verdict must be shown by every fact that comes with it."""

import copy
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from os_orchestrator import verdicts

#: Returned by `salt-call puppet_agent.run mode=apply manifest=...`; only the paths have been made others.
OUTCOMES = {path.stem: json.loads(path.read_text()) for path in Path(__file__).with_name("outcomes").glob("*.json")}
RUN_ID = "20261123004000123456-1-1-1"
NOOP = ("noop", "noop_unchanged")
GOOD = ("unchanged", "changed", "tolerated", *NOOP)
BAD = ("failed", "no_catalog", "timed_out")


HUGE = 10**400


def judge(answer, retcode=0, noop=False):
    return verdicts.judge(answer, retcode, run_id=RUN_ID, noop=noop)


def outcome(name, **changes):
    """Return a captured outcome with some of its fields changed, those that are ``...`` taken out."""
    found = {**copy.deepcopy(OUTCOMES[name]), **changes}
    return {key: value for key, value in found.items() if value is not ...}


def resources(name, **changes):
    return {"resources": {**OUTCOMES[name]["resources"], **changes}}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# -- answers that are what they say --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_a_good_outcome_is_believed_and_kept_whole(name):
    answer = outcome(name)
    found = judge(answer, noop=name in NOOP)
    assert found.good
    assert found.verdict == answer["verdict"]
    assert found.reason == answer["reason"]
    assert found.seconds == answer["seconds"]
    assert found.resources == answer["resources"]
    assert {key: found.details[key] for key in ("failures", "changes", "slowest", "exit_code")} == {
        key: answer[key] for key in ("failures", "changes", "slowest", "exit_code")
    }
    assert found.details["log_tail"] == []
    assert found.details["transaction_uuid"] == answer["transaction_uuid"]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("retcode", [0, 1])
def test_a_bad_outcome_stays_the_one_it_is(name, retcode):
    found = judge(outcome(name), retcode)
    assert not found.good
    assert (found.verdict, found.reason) == (name, OUTCOMES[name]["reason"])
    assert found.details["failures"] == OUTCOMES[name]["failures"]


@pytest.mark.parametrize("verdict", sorted(verdicts.OF_NODES - {"unchanged", "changed", "tolerated"}))
def test_a_bad_verdict_needs_no_proof(verdict):
    assert judge({"run_id": RUN_ID, "verdict": verdict}, 1) == judge({"run_id": RUN_ID, "verdict": verdict}, 0)
    assert judge({"run_id": RUN_ID, "verdict": verdict}).verdict == verdict


def test_a_run_that_goes_on_has_no_verdict():
    found = judge(outcome("changed", verdict=None, reason="waits since 10:00 for pid 7"))
    assert found == verdicts.Outcome(None, "waits since 10:00 for pid 7")
    assert not found.good


def test_every_verdict_is_good_or_bad_as_the_table_says():
    good = {verdict for verdict, is_good in verdicts.GOOD.items() if is_good}
    assert good == {"unchanged", "changed", "tolerated", "done", "kept", "not_asked"}
    # What is the master's to say, no node may.
    assert not {"done", "drifted", "kept", "not_asked", "missing", "lost", "skipped", "interrupted"} & verdicts.OF_NODES
    assert {verdict for verdict in verdicts.OF_NODES if verdicts.GOOD[verdict]} == {"unchanged", "changed", "tolerated"}
    assert not verdicts.Outcome("made_up").good


# -- answers that are not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, True, False, 0, 2, 1.5, math.nan, "", "fine", b"\xff", [], [1], ["changed"]])
def test_what_is_no_outcome_is_a_failure(answer):
    found = judge(answer)
    assert found.verdict == "failed"
    assert "answered something that is no outcome of a run" in found.reason


@pytest.mark.parametrize(
    ("answer", "verdict", "said"),
    [
        ("'puppet_agent.run' is not available.", "not_started", "saltutil.sync_all"),
        ("Passed invalid arguments to puppet_agent.run: unexpected 'may_fail'", "not_started", "another version"),
        ("ERROR: no space left", "failed", "run: no space left"),
        ("The minion function caused an exception: Traceback\n  File", "failed", "exception: Traceback File"),
    ],
)
def test_what_salt_says_in_place_of_an_outcome_is_passed_on(answer, verdict, said):
    found = judge(answer, 1)
    assert found.verdict == verdict
    assert said in " ".join(found.reason.split())


@pytest.mark.parametrize("run_id", [None, "", 1, "20261123004000123456-1-1-2", RUN_ID + "\n", [RUN_ID], ...])
def test_the_outcome_of_another_run_is_not_believed(run_id):
    found = judge(outcome("changed", run_id=run_id))
    assert found.verdict == "failed"
    assert f"asked for {RUN_ID}" in found.reason


@pytest.mark.parametrize(
    "verdict", ["", "good", "Changed", "kept", "not_asked", "skipped", "lost", "missing", True, 0, [], {}, ["changed"]]
)
def test_a_verdict_that_no_node_can_give_is_a_failure(verdict):
    found = judge(outcome("changed", verdict=verdict))
    assert found.verdict == "failed"
    assert "unknown verdict" in found.reason


@pytest.mark.parametrize("retcode", [1, 2, -1, None, "", "0", False, True, 0.0, math.nan, [], {}, [0]])
@pytest.mark.parametrize("name", ["unchanged", "changed", "tolerated"])
def test_a_good_verdict_needs_a_job_that_ended_with_0(name, retcode):
    found = judge(outcome(name), retcode)
    assert found.verdict == "failed"
    assert f"says {name}, but its job ended with" in found.reason


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        *[("unchanged", {"exit_code": code}, "but Puppet exited") for code in (2, 4, 1, None, False, "0", 0.0, [], {})],
        *[("changed", {"exit_code": code}, "but Puppet exited") for code in (0, 6, 1, -15, None, True, [2], {"a": 2})],
        *[("tolerated", {"exit_code": code}, "but Puppet exited") for code in (0, 2, 1, None, [6])],
        ("changed", {"verdict": "unchanged"}, "but Puppet exited 2"),
        ("unchanged", {"verdict": "tolerated"}, "but Puppet exited 0"),
        ("failed", {"verdict": "changed"}, "but Puppet exited 6"),
        ("failed", {"verdict": "changed", "exit_code": 2}, "but 1 resources failed"),
        ("failed", {"verdict": "tolerated"}, "but Exec[start-slave] failed"),
        ("no_catalog", {"verdict": "unchanged", "exit_code": 0}, "no report of its run"),
        ("timed_out", {"verdict": "changed", "exit_code": 2}, "no report of its run"),
        ("changed", {"noop": True}, "with --noop, asked for the opposite"),
        *[("changed", {"noop": noop}, "but not whether it ran with --noop") for noop in (None, 0, "false", ...)],
        *[("changed", {"transaction_uuid": uuid}, "no report of its run") for uuid in ("", None, ..., 7, True, ["x"])],
        *[("changed", {"resources": wrong}, "not how many") for wrong in (..., None, [], {}, "none", 0)],
        *[("changed", resources("changed", failed=n), "not how many") for n in (None, "0", 0.0, False, [], {})],
        *[("changed", resources("changed", failed=n), "impossible numbers") for n in (-1, 10**9, -(10**30))],
        ("changed", resources("changed", failed=1), "but 1 resources failed"),
        ("unchanged", resources("unchanged", failed_to_restart=2), "but 2 resources failed"),
        ("unchanged", resources("unchanged", changed=3), "but 3 resources changed"),
        ("tolerated", resources("tolerated", failed=0), "but no resources failed"),
        ("tolerated", {"failures": [{"resource": "Exec[x]", "tolerated": False}]}, "but Exec[x] failed"),
        ("tolerated", {"failures": [{"resource": "Exec[x]", "tolerated": "yes"}]}, "but Exec[x] failed"),
        ("tolerated", {"failures": [{"resource": "Exec[x]"}]}, "but Exec[x] failed"),
        ("changed", {"failures": [{"resource": "Exec[x]", "message": "boom"}]}, "but Exec[x] failed"),
    ],
)
def test_a_good_verdict_that_contradicts_its_own_facts_is_a_failure(name, changes, said):
    found = judge(outcome(name, **changes))
    assert found.verdict == "failed"
    assert said in found.reason


@pytest.mark.parametrize(("name", "noop"), [*((name, True) for name in GOOD[:3]), *((name, False) for name in NOOP)])
def test_a_real_run_in_place_of_a_noop_one_is_not_believed_nor_the_other_way(name, noop):
    found = judge(outcome(name), noop=noop)
    assert found.verdict == "failed"
    assert "asked for the opposite" in found.reason


def test_a_noop_run_ends_with_0_but_for_resources_that_are_never_noop():
    assert judge(outcome("noop"), noop=True).good
    assert judge(outcome("noop", exit_code=2), noop=True).good
    assert not judge(outcome("noop", exit_code=4), noop=True).good


@pytest.mark.parametrize("missing", sorted(set(OUTCOMES["changed"])))
def test_an_outcome_that_lacks_any_field_is_judged_all_the_same(missing):
    found = judge(outcome("changed", **{missing: ...}))
    needed = {"run_id", "exit_code", "noop", "resources", "transaction_uuid"}
    assert found.verdict == ("failed" if missing in needed else None if missing == "verdict" else "changed")


# -- what is kept of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -1, 10**10, "5", None, True, [], HUGE])
def test_seconds_that_are_none_count_as_0(seconds):
    assert judge(outcome("changed", seconds=seconds)).seconds == 0.0


@pytest.mark.parametrize(
    "hidden",
    [
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "a\nb\r\nc",
        "\x00\x08",
        "\x9b2J",
        "\u202eevil",
        "\u2028",
        "\ud800",
        "\x7f",
    ],
)
def test_control_characters_never_get_in(hidden):
    row = {"resource": hidden, "message": hidden, hidden: hidden}
    found = judge(
        outcome("failed", reason=hidden, environment=hidden, failures=[row], log_tail=[hidden], config_version=hidden)
    )
    kept = json.dumps([found.reason, found.details], ensure_ascii=False)
    assert found.reason.isprintable()
    assert kept.isprintable()
    kept.encode()
    answered = judge(hidden).reason + judge(outcome("failed", verdict=hidden)).reason
    assert answered.isprintable()


def test_colours_go_and_the_words_stay():
    assert verdicts.text("\x1b[1;31mError:\x1b[0m  it\tbroke\n") == "Error:  it broke"


def test_a_text_is_one_line_of_its_limit_at_most():
    assert verdicts.text("x" * 500) == "x" * 500
    assert verdicts.text("x" * 501) == "x" * 499 + "…"
    assert verdicts.text("a\nb", 2) == "a…"
    assert len(verdicts.text("\n" * 10**6 + "x", 10)) <= 10


def test_of_what_is_long_or_deep_a_part_is_shown():
    assert verdicts.text(nested(100_000)) == "[[[[[...]]]]]"
    assert verdicts.text({"a": list(range(1000))}).startswith("{'a': [0, 1, 2,")
    assert verdicts.text(10**5000) == "a number of thousands of digits"


JUNK = {
    "a long text": "x" * 10**6,
    "a long text of wide characters": "😀" * 10**5,
    "long texts": ["x" * 10**5] * 200,
    "rows of wide characters": [{"resource": "😀" * 1000, **{f"key{i}": "😀" * 1000 for i in range(20)}}] * 60,
    "rows of huge numbers": [{f"k{i}": 10**4000 + i for i in range(5)}] * 20,
    "rows of numbers beyond all": [{"line": 10**5000}],
    "a big mapping": {str(i): "y" * 100 for i in range(10**4)},
    "a list in lists": nested(100_000),
    "rows of lists in lists": [{"message": nested(100_000)}] * 60,
    "a long list": list(range(10**5)),
    "a huge number": 10**4000,
    "no number": math.nan,
    "rows of no numbers": [{"seconds": math.nan, "line": -math.inf}] * 5,
}


@pytest.mark.parametrize("junk", sorted(JUNK))
@pytest.mark.parametrize("name", ["changed", "failed"])
def test_whatever_a_field_holds_the_details_are_bounded(name, junk):
    for key in OUTCOMES[name].keys() - {"run_id", "verdict"}:
        bounded(judge({**OUTCOMES[name], key: JUNK[junk]}))
    bounded(judge({**dict.fromkeys(OUTCOMES[name], JUNK[junk]), "run_id": RUN_ID, "verdict": name}))
    bounded(judge(JUNK[junk]))
    bounded(judge(outcome(name), JUNK[junk]))


def bounded(found):
    kept = json.dumps(dict(found.details), allow_nan=False)
    assert len(kept) <= 65536
    assert len(found.reason) <= 600
    assert math.isfinite(found.seconds)
    return kept


def test_of_a_long_log_the_end_is_kept_and_of_failures_the_beginning():
    rows = [{"resource": f"Exec[{i}]", "message": "😀" * 500} for i in range(60)]
    found = judge(outcome("failed", failures=rows, log_tail=[f"{i}" + "😀" * 300 for i in range(40)]))
    assert found.details["failures"][0]["resource"] == "Exec[0]"
    assert found.details["log_tail"] == [] or found.details["log_tail"][-1].startswith("39")


# -- anything at all -----------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=8,
)
fields = sorted(set().union(*OUTCOMES.values()))
nearly = st.tuples(
    st.sampled_from(sorted(OUTCOMES)),
    st.dictionaries(
        st.sampled_from(fields),
        anything | st.sampled_from([0, 2, 4, 6, True, False, "changed", "unchanged", "tolerated", RUN_ID, "x"]),
        max_size=3,
    ),
    st.dictionaries(
        st.sampled_from(sorted(OUTCOMES["changed"]["resources"])), anything | st.integers(0, 2), max_size=2
    ),
).map(lambda drawn: {**OUTCOMES[drawn[0]], **resources(drawn[0], **drawn[2]), **drawn[1]})


@settings(max_examples=400, deadline=None)
@given(anything | nearly, st.just(0) | anything, st.booleans())
def test_any_answer_is_an_outcome_and_a_good_one_is_proven(answer, retcode, noop):
    found = judge(answer, retcode, noop)
    bounded(found)
    assert found.verdict is None or found.verdict in verdicts.OF_NODES
    assert found.reason.isprintable()
    if found.good:
        assert proven(answer, retcode, noop)


def proven(answer, retcode, noop):
    """Whether an answer has all that a good one must have, said once more in other words."""
    counts, code = answer["resources"], answer["exit_code"]
    failed = counts["failed"] + counts["failed_to_restart"]
    codes = {"unchanged": (0,), "changed": (2,), "tolerated": (4, 6)}[answer["verdict"]]
    tolerated = answer["verdict"] == "tolerated"
    return (
        answer["run_id"] == RUN_ID
        and (retcode, type(retcode)) == (0, int)
        and answer["noop"] is noop
        and type(code) is int
        # Resources with a `noop => false` of their own are changed all the same, and Puppet says so.
        and code in ((0, *codes) if noop else codes)
        and bool(answer["transaction_uuid"])
        and (failed > 0 if tolerated else failed == 0)
    )


@settings(max_examples=150, deadline=None)
@given(anything, st.integers(1, 600))
def test_any_value_is_one_printable_line(value, limit):
    shown = verdicts.text(value, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    shown.encode()
