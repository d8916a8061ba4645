"""What an operator reads: golden texts of small deployments, and what holds for any."""

import importlib.util
import os
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import DEPLOYMENT, DEPLOYMENTS, ROLLING, SCENARIO, Clock, chunks, deployed, rolling_site, small_site
from os_orchestrator import plan, report

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("deployment_output", HERE.parents[2] / "_output/deployment.py")
outputter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(outputter)


@pytest.fixture(autouse=True, scope="module")
def _utc():
    with mock.patch.object(outputter, "time", Clock()):
        yield


def shown(answer):
    """Return what the outputter makes of the answer of a runner, as the runner returns it."""
    return outputter.output({"answer": answer, "outputter": "deployment", "retcode": 0})


def summary(master):
    return report.summary(master.journal.deployment(DEPLOYMENT))


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_is_told_in_a_page(name, tmp_path):
    text = shown(summary(deployed(tmp_path, name)))
    assert text + "\n" == (HERE / f"summaries/{name}.txt").read_text()
    assert max(map(len, text.splitlines())) <= 100


def test_a_deployment_that_was_killed_is_told_as_interrupted(tmp_path):
    master = deployed(tmp_path, "interrupted")
    with master.journal._open() as db:
        db.execute("UPDATE deployments SET state = 'running', reason = '', ended = NULL")
    assert shown(summary(master)).splitlines()[-2:] == [
        "prod compute interrupted: 1 changed, 1 unchanged",
        "  the process that ran it has died; the runs on the nodes may go on",
    ]


def planned(master, absent=(), **options):
    built = plan.build(chunks(SCENARIO), master.environment({}, "prod"), **options)
    return report.plan(built, dict(absent), master.journal.seconds("prod", "compute"))


def test_a_plan_is_told_in_a_page(tmp_path):
    master = small_site(tmp_path, exclude={"cmp2": "disk broken"}, roles={"compute": ["cmp1", "cmp2", "cmp3"]})
    found = planned(master, {"cmp3": "it has no accepted key; see salt-key -L"}, noop=True)
    assert shown(found) == (
        "prod compute (noop): 4 phases\n"
        "\n"
        " 1. Controllers are installed\n"
        "    controller: ctl1, ctl2\n"
        " 2. The writer is ready\n"
        "    gate writer: 2 good rounds, every 4 s, 30 s at most\n"
        "      mysql_mmm.writer_ready on controller (2 nodes) is true\n"
        " 3. Compute nodes are installed\n"
        "    compute: cmp1, cmp3\n"
        "    may fail: Exec[start-slave]\n"
        "    missing: cmp3\n"
        "    not asked: cmp2\n"
        " 4. The endpoint is installed: left out, role endpoint of prod has no nodes\n"
        "\n"
        "Missing now:\n"
        "  cmp3: it has no accepted key; see salt-key -L\n"
        "\n"
        "Excluded:\n"
        "  cmp2: disk broken"
    )


def test_a_plan_says_how_long_it_took_last_time_and_who_is_not_asked(tmp_path):
    master = deployed(tmp_path, "good")
    text = shown(planned(master, selection=plan.Selection(("cmp1",), 2)))
    assert " 1. Controllers are installed: left out, before from_phase\n" in text
    assert " 3. Compute nodes are installed  (last time 10.1 s)\n    compute: cmp1\n" in text
    assert "    not asked: cmp2" in text


def test_a_plan_says_how_long_all_took_last_time_if_that_is_known_of_each_phase(tmp_path):
    assert shown(planned(deployed(tmp_path / "a", "good"))).startswith("prod compute: 4 phases, 36.2 s last time\n")
    assert shown(planned(deployed(tmp_path / "b", "failed"))).startswith("prod compute: 4 phases\n")


def test_a_plan_says_what_is_special_about_a_phase(tmp_path):
    puppet = {"max_failures": "10%", "tags": ["nova"], "skip_tags": ["neutron"], "retries": {"no_catalog": 2}}
    text = shown(planned(small_site(tmp_path, roles={"compute": {"nodes": ["cmp1"], "puppet": puppet}})))
    assert (
        "    compute: cmp1\n"
        "    may fail: Exec[start-slave]\n"
        "    goes on starting nodes until more than 10% have failed\n"
        "    only tags: nova\n"
        "    without tags: neutron\n"
        "    tried again: no_catalog 2 times\n"
    ) in text


def test_a_plan_says_how_a_change_goes_through_its_nodes(tmp_path):
    built = plan.build(chunks(ROLLING), rolling_site(tmp_path).environment({}, "prod"))
    assert shown(report.plan(built, {"cmp3": "it has no accepted key; see salt-key -L"}, {})) == (
        "prod compute: 4 phases\n"
        "\n"
        " 1. The change comes to compute nodes in waves\n"
        "    compute: cmp1, cmp2, cmp3, cmp4\n"
        "    1 first, as the canary\n"
        "    in waves of 2, 0 may fail in each\n"
        "    before: haproxy.disable_server {node} on endpoint\n"
        "    check: nova.ready is true, within 30.0 s\n"
        "    after: haproxy.enable_server {node} on endpoint\n"
        "    missing: cmp3\n"
        " 2. Somebody has looked at them\n"
        "    waits 40.0 s for an operator: do instances start on the new compute nodes?\n"
        " 3. Compute nodes say what they run\n"
        "    compute: cmp1, cmp2, cmp3, cmp4\n"
        "    calls: service.status nova-compute is true\n"
        "    missing: cmp3\n"
        " 4. Nothing is left to change\n"
        "    compute: cmp1, cmp2, cmp3, cmp4\n"
        "    passes until one changes nothing, 3 at most\n"
        "    missing: cmp3\n"
        "\n"
        "Missing now:\n"
        "  cmp3: it has no accepted key; see salt-key -L"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"waves": "25%"}, "in waves of 25%"),
        ({"waves": {"grain": "rack"}}, "in waves by grain rack"),
        ({"waves": {"pillar": "site:rack", "max_failures": 1}}, "in waves by pillar site:rack, 1 may fail in each"),
        ({"canary": "10%"}, "10% first, as the canary"),
        ({"passes": 2}, "2 passes"),
        ({"expect": "unchanged"}, "must be unchanged"),
        ({"check": [{"function": "a.b", "key": "x:y", "expect": 5}]}, "check: a.b: x:y is 5"),
        ({"after": [{"function": "a.b", "kwargs": {"n": 1}, "always": True}]}, "after: a.b n=1, always"),
    ],
)
def test_a_plan_says_each_of_these_in_a_line(tmp_path, arguments, said):
    built = plan.single(rolling_site(tmp_path).environment({}, "prod"), "compute", arguments, noop=False)
    assert f"\n    {said}" in shown(report.plan(built, {}, {}))


def test_a_plan_shows_no_secrets_of_its_calls(tmp_path):
    call = {"function": "a.b", "kwargs": {"password": "hunter2"}}
    built = plan.single(rolling_site(tmp_path).environment({}, "prod"), "compute", {"before": [call]}, noop=False)
    found = report.plan(built, {}, {})
    assert "hunter2" not in str(found)
    assert "before: a.b password=********" in shown(found)


def test_a_plan_says_what_each_gate_will_ask_and_shows_no_secrets(tmp_path):
    checks = [
        {"function": "network.connect", "role": "compute", "kwargs": {"host": "10.0.0.10", "password": "hunter2"}},
        {"function": "mysql.get_slave_status", "role": "controller", "key": "Slave_SQL_Running", "expect": "Yes"},
        {"function": "pkg.version", "role": "compute", "args": ["nova"], "expect": "equal"},
        {"function": "a.b", "role": "endpoint", "expect": {"value": [1]}},
    ]
    master = small_site(tmp_path, roles={"compute": ["cmp1"]})
    master.definition["gates"]["writer"]["checks"] = checks
    found = planned(master)
    assert "hunter2" not in str(found)
    assert shown(found).split("\n")[6:10] == [
        "      network.connect host=10.0.0.10 password=******** on compute is true",
        "      mysql.get_slave_status on controller (2 nodes): Slave_SQL_Running is Yes",
        "      pkg.version nova on compute is equal on all nodes",
        "      a.b on endpoint (0 nodes) is [1]",
    ]


def test_a_plan_of_many_nodes_says_how_many_at_once(tmp_path):
    compute = {"nodes": [f"cmp{number}.example.com" for number in range(30)], "puppet": {"concurrency": 10}}
    text = shown(planned(small_site(tmp_path, roles={"compute": compute})))
    assert "\n    10 at once\n" in text
    assert "\n             cmp" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_history_is_a_line_each_with_the_reason(tmp_path):
    master = deployed(tmp_path, "gate_held")
    assert shown(report.history(master.journal.deployments())) == (
        "20261123000000000000  2026-11-23 00:00:00  prod compute  failed  38.2 s  by alice\n"
        "    The writer is ready: not open within 30 s; held by mysql_mmm.writer_ready on ctl1: the writer is\n"
        "    on nobody"
    )


def test_the_status_is_the_page_of_what_runs_and_a_line_of_what_has_ended(tmp_path):
    running, ended = deployed(tmp_path / "a", "interrupted"), deployed(tmp_path / "b", "excluded")
    with running.journal._open() as db:
        db.execute("UPDATE deployments SET state = 'running', reason = '', ended = NULL")
    found = running.journal.deployment(DEPLOYMENT)
    text = shown(report.status([{**found, "state": "running", "reason": ""}, ended.journal.deployment(DEPLOYMENT)]))
    assert "    cmp1  unheard                goes on on its node, the deployment was interrupted\n" in text
    assert text.endswith(
        "prod compute running: 1 changed, 1 unchanged\n\n"
        "20261123000000000000  2026-11-23 00:00:00  prod compute, partial  succeeded  36.2 s  by alice"
    )


@pytest.mark.parametrize("empty", [report.status([]), report.history([])])
def test_before_the_first_deployment_that_is_said(empty):
    assert shown(empty) == "nothing has been deployed yet"


def test_a_refusal_is_the_one_line_that_it_is():
    sentence = "environment prod has no role computes (did you mean 'compute'?); " * 3
    assert shown({"error": sentence}) == sentence
    assert shown({"error": "one\ntwo"}) == "one\ntwo"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"answer": {"text": "a\n  b", "environments": {}}}, "a\n  b"),
        ({"answer": ["a", "b"]}, "a\nb"),
        ({"answer": {"key": 1, "other": [2]}}, "key: 1\nother: [2]"),
        ({"answer": "words"}, "words"),
        ({"answer": None}, "None"),
        ("Exception occurred in runner", "Exception occurred in runner"),
        ([1], "1"),
        (None, "None"),
    ],
)
def test_whatever_comes_is_shown(data, text):
    assert outputter.output(data) == text


def test_a_node_that_was_killed_says_so_before_its_failures(tmp_path):
    found = summary(deployed(tmp_path, "failed"))
    node = found["phases"][2]["nodes"][1]
    node.update(verdict="killed", did="Puppet was ended by SIGKILL")
    text = shown(found)
    assert "killed          2.8 s  Puppet was ended by SIGKILL\n" in text
    assert text.index("SIGKILL") < text.index("Exec[start-slave]")


def test_of_many_failures_three_are_told(tmp_path):
    found = summary(deployed(tmp_path, "failed"))
    node = found["phases"][2]["nodes"][1]
    node["failures"] = [{"resource": f"Exec[{number}]", "message": "boom", "tolerated": False} for number in range(9)]
    text = shown(found)
    assert "Exec[2]: boom\n" in text
    assert "Exec[3]" not in text
    assert "and 6 more\n" in text


def test_what_is_longer_than_its_column_stands_below(tmp_path):
    found = summary(deployed(tmp_path, "failed"))
    node = found["phases"][2]["nodes"][1]
    path = f"/srv/{'deep/' * 12}init.pp"
    node["failures"] = [{"resource": "File[a]", "message": "boom", "file": path, "line": 7, "tolerated": False}]
    node["did"] = "File[a]: boom"
    lines = shown(found).splitlines()
    at = lines.index("    cmp2  failed          2.8 s")
    assert lines[at + 1 : at + 2] == [f"        File[a]: boom ({path}:7)"]


def test_a_terminal_that_is_narrower_gets_shorter_lines(tmp_path):
    found = summary(deployed(tmp_path, "failed"))
    for columns, most in ((80, 80), (20, 60), (200, 100)):
        with mock.patch.object(outputter.os, "get_terminal_size", return_value=os.terminal_size((columns, 24))):
            assert most - 20 < max(map(len, shown(found).splitlines())) <= most


def test_a_deployment_that_goes_on_with_another_says_so_below_its_title(tmp_path):
    found = {**summary(deployed(tmp_path, "good")), "resumes": "20261122230000000000"}
    assert shown(found).splitlines()[1:3] == ["  resumes 20261122230000000000", ""]


words = st.lists(st.text(alphabet="abc-/[]:", min_size=1, max_size=12), max_size=40).map(" ".join)
hidden = words | st.sampled_from(["\x1b[2J", "a\nb", "\r\n", "\u202e", "\x9b31m", "\x00", "\t", "\u2028x"])


@settings(max_examples=150, deadline=None)
@given(hidden, st.text(alphabet="abc.-", min_size=1, max_size=90), st.integers(1, 12), words)
def test_no_line_is_wider_than_100_columns_and_none_has_control_characters(said, node, count, name):
    nodes = [
        {"node": node, "verdict": "failed", "good": False, "did": said, "seconds": 3.0, "started": 1.0, "attempt": 1}
        | {"failures": [{"resource": said, "message": said, "file": "/a/b.pp", "line": 3, "tolerated": False}]}
    ] * count
    common = {"number": 1, "name": name, "roles": [name], "left_out": "", "reason": said, "seconds": 5.0}
    phases = [
        {**common, "kind": "puppet", "state": "failed", "nodes": nodes},
        {**common, "kind": "puppet", "state": "left_out"},
        {
            **common,
            "kind": "gate",
            "state": "failed",
            "answers": [{"check": "a.b", "node": node, "good": False, "said": said}] * count,
        },
        {**common, "kind": "confirm", "state": "running", "reason": "", "message": said, "nodes": []},
        {**common, "kind": "puppet", "state": "succeeded", "nodes": []},
    ]
    head = {"id": "1", "environment": "prod", "scenario": "x", "user": said, "door": "d", "noop": True, "partial": True}
    head |= {"state": "failed", "reason": said, "started": 1.0, "ended": 9.0, "excluded": {node: said}}
    arguments = {"args": [said], "kwargs": {"a": said}}
    timing = {"timeout": 60, "within": 30, "interval": 5, "always": True}
    planned_phases = [
        {**common, "kind": "puppet", "nodes": [node] * count, "not_asked": {node: said}, "missing": {node: said}}
        | {"last_seconds": 4000.0, "options": {"may_fail": [said] * count, "concurrency": 1}}
        | {
            "calls": {"before": [{"function": "a.b", "role": name, "key": said, "expect": said, **timing, **arguments}]}
        },
        {**common, "kind": "confirm", "nodes": [], "not_asked": {}, "missing": {}, "last_seconds": None}
        | {"options": {"message": said, "timeout": 60}},
        {**common, "kind": "gate", "nodes": [node], "not_asked": {}, "missing": {}, "last_seconds": None}
        | {"gate": {"name": name, "successes": 1, "interval": 5, "timeout": 300}}
        | {"checks": [{"function": "a.b", "role": name, "expect": said, "key": said, "asks": 1, **arguments}]},
    ]
    for answer in (
        {"kind": "deployment", **head, "phases": phases},
        {"kind": "history", "deployments": [head]},
        {"kind": "status", "deployments": [{**head, "state": "running", "phases": phases}, head]},
        {"kind": "plan", **head, "phases": planned_phases},
    ):
        for line in shown(answer).split("\n"):
            assert line.isprintable()
            longest = max(map(len, line.split()), default=0)
            assert len(line) <= 100 or len(line.lstrip()) == longest
