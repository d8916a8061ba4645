"""The verdict of a run, by what Puppet left behind, on captured reports and outputs."""

import json

import captured
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from os_orchestrator.node import outcome, report


def judge(case, exit_code, **asked):
    """Judge a captured run as the module would."""
    if not case.startswith("agent"):
        asked = {"mode": "apply", "manifest": "/srv/site"} | asked
    end = captured.ended(exit_code)
    return outcome.judge(captured.asked(**asked), end, *captured.report(case), captured.output(case))


RUNS = [
    # capture, exit code, what was asked, verdict, what the reason must tell
    ("unchanged", 0, {}, "unchanged", ""),
    ("changed", 2, {}, "changed", ""),
    ("noop", 0, {"noop": True}, "changed", ""),
    ("tagged", 0, {"tags": ["nothing_has_this"]}, "unchanged", ""),
    ("failed", 6, {}, "failed", "2 resources failed, 2 resources skipped for failed dependencies; Exec[start-slave]: "),
    ("failed", 6, {"may_fail": ["Exec[*]", "Service[*]"]}, "tolerated", "as may_fail allows"),
    ("failed", 6, {"may_fail": ["Exec[start-slave]"]}, "failed", "Service[no-such-service-here]: change from"),
    ("failed_refresh", 6, {}, "failed", "Exec[restart it]: Failed to call refresh: '/bin/false' returned 1"),
    ("failed_refresh", 6, {"may_fail": "Exec[restart it]"}, "tolerated", "1 resource failed, 1 resource skipped"),
    ("merged", 4, {}, "failed", "1 resource failed, 2 resources skipped"),
    ("merged", 4, {"may_fail": "Exec[fails]"}, "tolerated", ""),
    ("cycle", 1, {"may_fail": "*"}, "failed", "resource is part of a dependency cycle"),
    ("agent_changed", 2, {}, "changed", ""),
    ("agent_changed", 2, {"puppet_environment": "production"}, "changed", ""),
    ("agent_changed", 2, {"noop": True}, "failed", "noop=True was asked for, but Puppet ran with noop=False"),
    ("agent_no_catalog", 1, {"may_fail": "*"}, "no_catalog", "Unknown function: 'no_such_function'"),
    ("agent_server_down", 1, {}, "no_catalog", "Connection refused"),
    ("agent_no_environment", 1, {"puppet_environment": "nosuch"}, "no_catalog", "Environment 'nosuch' not found"),
    (
        "agent_production_instead",
        2,
        {"puppet_environment": "nosuch"},
        "no_catalog",
        "puppet_environment=nosuch was asked for, but Puppet ran the environment production",
    ),
    ("agent_cached", 2, {}, "no_catalog", "from the node's cache"),
    ("agent_cached", 0, {}, "no_catalog", "from the node's cache"),
    ("agent_prerun", 1, {}, "no_catalog", "Could not run command from prerun_command"),
    ("agent_postrun", 1, {}, "failed", "Could not run command from postrun_command"),
    ("agent_runtimeout", 1, {}, "failed", "execution expired"),
    ("agent_terminated", 0, {}, "killed", "exited 0"),
    ("apply_terminated", 1, {}, "killed", "told to stop by somebody else"),
    ("apply_interrupted", 1, {}, "killed", "told to stop by somebody else"),
    ("agent_disabled", 1, {}, "disabled", "maintenance by bob"),
    ("agent_unsigned", 1, {}, "not_started", "puppetserver ca sign --certname stranger.bad.test"),
    ("apply_compile", 1, {}, "no_catalog", "Unknown function"),
    ("apply_syntax", 1, {}, "no_catalog", "Syntax error"),
    ("apply_type", 1, {}, "no_catalog", "Unknown resource type"),
    ("apply_dup", 1, {}, "no_catalog", "Duplicate declaration"),
    ("apply_ral", 1, {}, "no_catalog", "File paths must be fully qualified"),
    ("apply_missing", 1, {}, "no_catalog", "Could not find file"),
    ("apply_environment", 1, {"puppet_environment": "nosuch"}, "no_catalog", "directory environment named 'nosuch'"),
]


@pytest.mark.parametrize(("case", "exit_code", "asked", "verdict", "reason"), RUNS)
def test_a_captured_run_gets_its_verdict(case, exit_code, asked, verdict, reason):
    found, why = judge(case, exit_code, **asked)
    assert found == verdict, why
    assert reason in why
    assert "\n" not in why


def test_an_exit_code_that_contradicts_the_report_is_never_good():
    for case, right in (("changed", 2), ("unchanged", 0), ("agent_changed", 2)):
        for code in {0, 1, 2, 3, 4, 6, 255} - {right}:
            assert judge(case, code)[0] not in outcome.GOOD, (case, code)


def test_a_failure_is_tolerated_only_with_an_exit_code_that_says_failure():
    for code in (0, 1, 2, 255):
        assert judge("failed", code, may_fail="*")[0] == "failed"


def test_without_a_report_no_exit_code_is_good():
    for code in (0, 1, 2, 4, 6):
        verdict, reason = outcome.judge(captured.asked(), captured.ended(code), None, "is not there", "Notice: hello\n")
        assert verdict not in outcome.GOOD
        assert verdict == ("not_started" if code == 1 else "failed"), reason


def test_puppet_that_applied_something_and_left_no_report_did_start():
    verdict, reason = outcome.judge(captured.asked(), captured.ended(1), None, "is empty", captured.output("changed"))
    assert (verdict, "is empty" in reason) == ("failed", True)


@pytest.mark.parametrize(
    ("end", "verdict", "reason"),
    [
        (None, "killed", "supervisor"),
        ({"error": "/usr/bin/puppet cannot be started: Exec format error"}, "not_started", "Exec format error"),
        ({"ended_by": "timeout", "exit_code": 0}, "timed_out", "within 3600 seconds"),
        ({"ended_by": "stop", "exit_code": 0}, "killed", "puppet_agent.stop"),
        ({"ended_by": "lock", "holder": "puppet agent (pid 7)"}, "busy", "puppet agent (pid 7) was still in the way"),
        ({"ended_by": "disabled", "holder": "new disks"}, "disabled", "new disks"),
        ({"signal": 9}, "killed", "SIGKILL"),
        ({"signal": 64}, "killed", "SIGRTMAX"),
    ],
)
def test_what_the_supervisor_saw_comes_before_what_the_report_says(end, verdict, reason):
    end = end and captured.ended(**end)
    found, why = outcome.judge(captured.asked(), end, *captured.report("agent_changed"), "")
    assert (found, reason in why) == (verdict, True), why


def test_only_the_resources_that_are_named_are_tolerated():
    digest, _ = captured.report("failed")
    outcome.judge_report(captured.asked(may_fail="Exec[start-slave]"), 6, digest)
    assert {each["resource"]: each["tolerated"] for each in digest["failures"]} == {
        "Exec[start-slave]": True,
        "Service[no-such-service-here]": False,
    }
    assert [each["tolerated"] for each in digest["skipped"]] == [False, False]


def test_a_report_that_hides_a_failed_resource_is_not_tolerated():
    digest, _ = captured.report("failed")
    digest["resources"]["failed"] = 3
    assert outcome.judge_report(captured.asked(may_fail="*"), 6, digest)[0] == "failed"


def test_resources_skipped_for_something_unnamed_are_not_tolerated():
    digest, _ = captured.report("failed")
    digest["causes"] = ["Package[hidden]"]
    assert outcome.judge_report(captured.asked(may_fail=["Exec[*]", "Service[*]"]), 6, digest)[0] == "failed"


@pytest.mark.parametrize(
    ("pattern", "resource", "named"),
    [
        ("Service[swift-*]", "Service[swift-object]", True),
        ("Service[swift-*]", "Service[swift]", False),
        ("Service[swift-*]", "Service[swift-object] and more", False),
        ("service[swift-*]", "Service[swift-object]", False),
        ("Exec[a?c]", "Exec[abc]", False),
        ("Exec[a?c]", "Exec[a?c]", True),
        ("Exec[[a-z]]", "Exec[q]", False),
        ("Exec[[a-z]]", "Exec[[a-z]]", True),
        ("Exec[/bin/x, y]", "Exec[/bin/x, y]", True),
        ("*", "Anything[at all]", True),
        ("Exec[*" + "a*" * 40 + "b]", "Exec[" + "a" * 400 + "]", False),
    ],
)
def test_in_may_fail_only_the_star_is_special(pattern, resource, named):
    assert outcome.named(resource, [pattern]) is named


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)

WHOLE = report.parse((captured.FILES / "failed.report.yaml").read_bytes())

STATUS = next(iter(WHOLE["resource_statuses"].values()))


@st.composite
def strange_reports(draw):
    """A report with anything in some of its places."""
    strange = WHOLE | draw(st.dictionaries(st.sampled_from(sorted(WHOLE)), ANYTHING))
    rows = st.fixed_dictionaries({}, optional=dict.fromkeys(STATUS, ANYTHING))
    logs = st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE["logs"][0], ANYTHING))
    if draw(st.booleans()):
        strange["resource_statuses"] = draw(st.dictionaries(st.text(), rows, max_size=3))
    if draw(st.booleans()):
        strange["logs"] = draw(st.lists(logs | st.just({"level": "err", "message": []}), max_size=3))
    return strange | {"cached_catalog_status": "not_used"}


@settings(deadline=None)
@given(strange=strange_reports(), code=st.sampled_from([None, 0, 1, 2, 4, 6]))
def test_no_report_breaks_the_judge_or_the_bounds_of_an_outcome(strange, code):
    digest = report.digest(strange)
    asked = captured.asked(may_fail="*")
    verdict, reason = outcome.judge_report(asked, code, digest)
    told = outcome.build(asked, None, captured.ended(code), digest, "", verdict, reason)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_an_outcome_is_small_whatever_the_report_holds():
    monstrous = dict(STATUS, failed=True, resource="Exec[" + "☠" * 5000 + "]", file="x" * 5000, evaluation_time=1.0)
    monstrous["events"] = [{"status": status, "message": "\x1b[31m" + "y" * 9999} for status in ("failure", "success")]
    statuses = {str(number): monstrous for number in range(3000)}
    digest = report.digest(WHOLE | {"resource_statuses": statuses})
    asked, output = captured.asked(), "Error: ☠☠☠\n" * 9000
    told = outcome.build(asked, None, captured.ended(4), digest, output, "failed", "z" * 99999)
    assert len(json.dumps(told)) <= 64 << 10
    assert told["failures"]
    assert "\x1b" not in json.dumps(told)
