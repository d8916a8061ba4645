"""What puppet_agent makes of what Puppet left behind, on captured reports and outputs."""

import inspect
import json
from pathlib import Path

import puppet_agent
import pytest
import salt.exceptions
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

CAPTURED = Path(__file__).with_name("puppet_agent")
ASKED = {"noop": None, "tags": None, "skip_tags": None, "puppet_environment": None, "may_fail": None, "mode": None}
ASKED |= {"timeout": 3600, "lock_timeout": 600, "show_diff": False, "manifest": None}


def request(**asked):
    """Return the request of a run; a captured one of ``puppet apply`` needs a manifest."""
    return puppet_agent._request({}, "r1", ASKED | asked)


def ended(exit_code=None, **known):
    return puppet_agent._ended(exit_code=exit_code, **known)


def output(case):
    return (CAPTURED / f"{case}.output.log").read_text()


def report(case):
    return puppet_agent._read_report(CAPTURED / f"{case}.report.yaml")


def judge(case, exit_code, **asked):
    """Judge a captured run as the module would."""
    if not case.startswith("agent"):
        asked = {"mode": "apply", "manifest": "/srv/site"} | asked
    return puppet_agent._judge(request(**asked), ended(exit_code), *report(case), output(case))


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
            assert judge(case, code)[0] not in puppet_agent.GOOD, (case, code)


def test_a_failure_is_tolerated_only_with_an_exit_code_that_says_failure():
    for code in (0, 1, 2, 255):
        assert judge("failed", code, may_fail="*")[0] == "failed"


def test_without_a_report_no_exit_code_is_good():
    for code in (0, 1, 2, 4, 6):
        verdict, reason = puppet_agent._judge(request(), ended(code), None, "is not there", "Notice: hello\n")
        assert verdict not in puppet_agent.GOOD
        assert verdict == ("not_started" if code == 1 else "failed"), reason


def test_puppet_that_applied_something_and_left_no_report_did_start():
    verdict, reason = puppet_agent._judge(request(), ended(1), None, "is empty", output("changed"))
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
    end = end and ended(**end)
    found, why = puppet_agent._judge(request(), end, *report("agent_changed"), "")
    assert (found, reason in why) == (verdict, True), why


def test_only_the_resources_that_are_named_are_tolerated():
    digest, _ = report("failed")
    puppet_agent._judge_report(request(may_fail="Exec[start-slave]"), 6, digest)
    assert {each["resource"]: each["tolerated"] for each in digest["failures"]} == {
        "Exec[start-slave]": True,
        "Service[no-such-service-here]": False,
    }
    assert [each["tolerated"] for each in digest["skipped"]] == [False, False]


def test_a_report_that_hides_a_failed_resource_is_not_tolerated():
    digest, _ = report("failed")
    digest["resources"]["failed"] = 3
    assert puppet_agent._judge_report(request(may_fail="*"), 6, digest)[0] == "failed"


def test_resources_skipped_for_something_unnamed_are_not_tolerated():
    digest, _ = report("failed")
    digest["causes"] = ["Package[hidden]"]
    assert puppet_agent._judge_report(request(may_fail=["Exec[*]", "Service[*]"]), 6, digest)[0] == "failed"


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
    assert puppet_agent._named(resource, [pattern]) is named


def test_a_report_tells_what_failed_where_and_why():
    digest, _ = report("failed")
    assert digest["failures"][0] == {
        "resource": "Exec[start-slave]",
        "message": "change from 'notrun' to ['0'] failed: '/bin/false' returned 1 instead of one of [0]",
        "file": "/srv/site/failed.pp",
        "line": 2,
        "tolerated": False,
    }
    assert [each["resource"] for each in digest["skipped"]] == ["Notify[replicating]", "Notify[replicated]"]
    assert digest["resources"] == {
        "total": 12,
        "changed": 1,
        "failed": 2,
        "failed_to_restart": 0,
        "skipped": 2,
        "out_of_sync": 3,
        "restarted": 0,
        "corrective_change": 0,
    }
    assert digest["changes"] == [{"resource": "File[/srv/site/before]", "message": "created"}]


def test_resources_skipped_by_tag_are_no_failures():
    digest, _ = report("tagged")
    assert digest["resources"]["skipped"] == 9
    assert digest["skipped"] == []


def test_noop_tells_what_would_change():
    digest, _ = report("noop")
    would = {"resource": "File[/srv/site/motd]", "message": "current_value 'absent', should be 'file' (noop)"}
    assert (digest["noop"], digest["changes"]) == (True, [would])


def test_a_report_that_was_cut_anywhere_is_not_believed(tmp_path):
    whole = (CAPTURED / "changed.report.yaml").read_bytes()
    path = tmp_path / "report.yaml"
    for size in (*range(0, len(whole) - 1, 97), *range(len(whole) - 60, len(whole) - 1)):
        path.write_bytes(whole[:size])
        digest, problem = puppet_agent._read_report(path)
        assert digest is None, size
        assert problem.startswith(("is ", "has ")), problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\x00\xff" * 500, "is not the YAML of a report"),
        (b"--- [1, 2]", "is not a report"),
        (b"--- !ruby/object:Puppet::Transaction::Report\nhost: {[", "is not the YAML of a report"),
        (b"--- !ruby/object:Puppet::Transaction::Report\nhost: !ruby/object:Evil {}\n", "is not the YAML of a report"),
        (b"[" * 100_000, "is not a report"),
        (b"- " * 100_000, "is not a report"),
        (b"status: changed\n", "is not complete: it has no transaction_completed, noop"),
    ],
)
def test_a_file_that_is_no_report_is_not_believed(tmp_path, content, problem):
    path = tmp_path / "report.yaml"
    path.write_bytes(content)
    digest, found = puppet_agent._read_report(path)
    assert digest is None
    assert problem in found


def test_a_huge_report_is_not_even_read(tmp_path):
    path = tmp_path / "report.yaml"
    with path.open("wb") as handle:
        handle.truncate(200 << 20)
    assert puppet_agent._read_report(path) == (None, "is too big to be believed (200 MiB)")


def test_a_report_that_is_missing_or_a_folder_is_not_believed(tmp_path):
    assert puppet_agent._read_report(tmp_path / "none") == (None, "is not there")
    assert puppet_agent._read_report(tmp_path) == (None, "cannot be read (Is a directory)")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)
WHOLE = puppet_agent._parse_report((CAPTURED / "failed.report.yaml").read_bytes())
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
    digest = puppet_agent._digest(strange)
    asked = request(may_fail="*")
    verdict, reason = puppet_agent._judge_report(asked, code, digest)
    outcome = puppet_agent._outcome(asked, None, ended(code), digest, "", verdict, reason)
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome


def test_an_outcome_is_small_whatever_the_report_holds():
    monstrous = dict(STATUS, failed=True, resource="Exec[" + "☠" * 5000 + "]", file="x" * 5000, evaluation_time=1.0)
    monstrous["events"] = [{"status": status, "message": "\x1b[31m" + "y" * 9999} for status in ("failure", "success")]
    statuses = {str(number): monstrous for number in range(3000)}
    digest = puppet_agent._digest(WHOLE | {"resource_statuses": statuses})
    outcome = puppet_agent._outcome(request(), None, ended(4), digest, "Error: ☠☠☠\n" * 9000, "failed", "z" * 99999)
    assert len(json.dumps(outcome)) <= 64 << 10
    assert outcome["failures"]
    assert "\x1b" not in json.dumps(outcome)


def test_the_tail_of_the_log_is_bounded_and_shows_no_diff():
    diff = "Notice: /Stage[main]/File[x]/content: \n--- /etc/x\n+++ /tmp/y\n@@ -1 +1 @@\n-old secret\n+new secret\n"
    tail = puppet_agent._log_tail("Info: one\n" * 3 + diff + "".join(f"Notice: {n} {'x' * 999}\n" for n in range(99)))
    assert len(tail) == 40
    assert all(len(line) <= 300 for line in tail)
    assert puppet_agent._log_tail("Info: one\n" * 3 + diff) == ["Info: one", "Notice: /Stage[main]/File[x]/content:"]


@pytest.mark.parametrize(
    ("case", "exit_code", "lock"),
    [
        ("agent_busy", 1, "/srv/node/var/state/agent_catalog_run.lock"),
        ("agent_busy_ssl", 1, ""),
        ("agent_disabled", 1, None),
        ("agent_no_catalog", 1, None),
        ("agent_busy", 0, None),
    ],
)
def test_a_lock_in_the_way_is_known_by_what_puppet_says(case, exit_code, lock):
    assert puppet_agent._lock_in_the_way(exit_code, output(case)) == lock


def test_the_command_of_an_agent_asks_for_the_truth():
    command = puppet_agent._command("/bin/puppet", {}, request(), "/run/r1/report.yaml")
    assert command[:2] == ["/bin/puppet", "agent"]
    assert {"--onetime", "--no-daemonize", "--detailed-exitcodes", "--no-usecacheonfailure"} <= set(command)
    assert {"--lastrunreport=/run/r1/report.yaml", "--report", "--no-show_diff", "--runtimeout=0"} <= set(command)
    assert not {"--noop", "--no-noop"} & set(command)


def test_the_command_carries_what_was_asked_for():
    asked = request(noop=False, tags="a,b::c", skip_tags=["d"], puppet_environment="test", show_diff=True)
    command = puppet_agent._command("puppet", {"confdir": "/c", "vardir": "/v"}, asked, "r")
    assert {"--no-noop", "--tags=a,b::c", "--skip_tags=d", "--environment=test", "--show_diff"} <= set(command)
    assert {"--confdir=/c", "--vardir=/v", "--strict_environment_mode"} <= set(command)


def test_the_command_of_apply_ends_with_its_manifest():
    asked = request(mode="apply", manifest="/etc/site.pp", noop=True)
    command = puppet_agent._command("puppet", {"modulepath": "/m:/n"}, asked, "r")
    assert command[1] == "apply"
    assert command[-2:] == ["--modulepath=/m:/n", "/etc/site.pp"]
    assert "--noop" in command
    assert "--onetime" not in command


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"noop": "yes"}, "noop='yes'"),
        ({"noop": 1}, "noop=1"),
        ({"show_diff": None}, "show_diff=None"),
        ({"tags": "a;b"}, "tags='a;b'"),
        ({"tags": ["a b"]}, "tags='a b'"),
        ({"tags": ["--noop x"]}, "tags='--noop x'"),
        ({"tags": {"a": 1}}, "tags={'a': 1}"),
        ({"skip_tags": [1]}, "skip_tags=1"),
        ({"puppet_environment": "Prod"}, "puppet_environment='Prod'"),
        ({"puppet_environment": "a b"}, "puppet_environment='a b'"),
        ({"puppet_environment": "prod\n"}, "puppet_environment='prod\\n'"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "600"}, "timeout='600'"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": 10**12}, "timeout=1000000000000"),
        ({"lock_timeout": -1}, "lock_timeout=-1"),
        ({"may_fail": [""]}, "may_fail=['']"),
        ({"may_fail": 5}, "may_fail=5"),
        ({"mode": "solo"}, "mode='solo'"),
        ({"mode": "apply"}, "manifest=None"),
        ({"manifest": "/etc/site.pp"}, "manifest='/etc/site.pp'"),
        ({"mode": "apply", "manifest": "site.pp"}, "manifest='site.pp'"),
        ({"mode": "apply", "manifest": "/x\ny"}, "manifest='/x\\ny'"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(asked, named):
    with pytest.raises(salt.exceptions.SaltInvocationError) as refused:
        request(**asked)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_asked_may_come_as_the_command_line_sends_it():
    asked = request(tags="a, b", may_fail="Exec[x, y]", timeout=1.5)
    assert (asked["tags"], asked["may_fail"]) == (["a", "b"], ["Exec[x, y]"])


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "-x", "a/b", "a b", "x" * 129, "ü", 5, ["a"], "a\n"])
def test_a_run_id_cannot_leave_its_place(run_id, monkeypatch):
    monkeypatch.setattr(puppet_agent, "__opts__", {"cachedir": "/nowhere"}, raising=False)
    with pytest.raises(salt.exceptions.SaltInvocationError, match="run_id"):
        puppet_agent._folder(run_id)


def test_the_settings_of_a_node_are_taken_or_refused():
    assert puppet_agent._node_settings({}) == {}
    found = puppet_agent._node_settings({"modulepath": ["/a", "/b"], "confdir": "", "mode": "apply"})
    assert found == {"modulepath": "/a:/b", "mode": "apply"}
    with pytest.raises(salt.exceptions.CommandExecutionError, match="puppet, confdir, vardir, mode"):
        puppet_agent._node_settings({"confidr": "/etc"})
    with pytest.raises(salt.exceptions.CommandExecutionError, match="nothing else"):
        puppet_agent._node_settings(["confdir"])
    with pytest.raises(salt.exceptions.SaltInvocationError, match="puppet_agent:vardir='var'"):
        puppet_agent._node_settings({"vardir": "var"})


def test_reports_are_read_without_libyaml_too(monkeypatch):
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert report("changed")[0]["status"] == "changed"


def test_these_are_the_functions_that_salt_offers():
    offered = {name for name, _ in inspect.getmembers(puppet_agent, inspect.isroutine) if not name.startswith("_")}
    assert offered == {"run", "start", "wait", "stop", "status", "last_run", "enable", "disable"}


def test_every_function_that_salt_offers_is_documented():
    for name in ("run", "start", "wait", "stop", "status", "last_run", "enable", "disable"):
        function = getattr(puppet_agent, name)
        assert f"puppet_agent.{name}" in function.__doc__.partition("CLI Example")[2]
        undocumented = [each for each in inspect.signature(function).parameters if each not in function.__doc__]
        assert name == "start" or not undocumented
