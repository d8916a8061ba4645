"""Deployments on a real master, real minions and real Puppet, through both doors: `deployment.run` and `state.orch`."""

import stat
import subprocess

import pytest
from sites import DOORS, DOORS_SECOND_SLOW, before, overlap

pytestmark = pytest.mark.salt


@pytest.mark.parametrize("door", DOORS)
def test_compute_runs_in_its_order(site, door):
    for node in ("n3", "n4"):
        site.manifest(node, seconds=3)
    site.writer.touch()

    result = site.deploy(door, "compute")

    assert result.returncode == 0, result.stderr
    (primary, primary_again), (secondary, secondary_again) = site.spans("n1"), site.spans("n2")
    (compute_1,), (compute_2,), (endpoint,) = site.spans("n3"), site.spans("n4"), site.spans("n5")
    assert before(primary, secondary)
    assert before(secondary, primary_again)
    assert before(secondary, secondary_again)
    assert all(
        before(again, compute) for again in (primary_again, secondary_again) for compute in (compute_1, compute_2)
    )
    assert overlap(compute_1, compute_2)
    assert before(compute_1, endpoint)
    assert before(compute_2, endpoint)
    assert site.last()["state"] == "succeeded"


@pytest.mark.parametrize("door", DOORS_SECOND_SLOW)
def test_swift_runs_in_its_order(site, door):
    for node in ("n1", "n2"):
        site.manifest(node, seconds=3)

    result = site.deploy(door, "swift")

    assert result.returncode == 0, result.stderr
    (export_1, fetch_1), (export_2, fetch_2) = site.spans("n1"), site.spans("n2")
    (ring,), (proxy,) = site.spans("n3"), site.spans("n4")
    assert overlap(export_1, export_2)
    assert all(before(export, ring) for export in (export_1, export_2))
    assert all(before(ring, fetch) for fetch in (fetch_1, fetch_2))
    assert overlap(fetch_1, fetch_2)
    assert all(before(fetch, proxy) for fetch in (fetch_1, fetch_2))


FAULTS = {
    "a failing resource": ("exec { 'broken': command => '/bin/false' }", 60, "failed", "Exec[broken]"),
    "a compile error": ("fail('no such thing')", 60, "no_catalog", "no such thing"),
    "a run past its timeout": ("exec { '/bin/sleep 60': }", 6, "timed_out", "6 s"),
}


@pytest.mark.parametrize(
    ("door", "fault"),
    [
        *((DOORS[0], fault) for fault in FAULTS),
        (DOORS[1], "a failing resource"),
        pytest.param(DOORS[1], "a compile error", marks=pytest.mark.slow),
        pytest.param(DOORS[1], "a run past its timeout", marks=pytest.mark.slow),
    ],
)
def test_a_bad_run_ends_the_deployment_and_names_node_and_reason(site, door, fault):
    more, timeout, verdict, reason = FAULTS[fault]
    site.manifest("n2", more)
    site.define(timeout=timeout)

    result = site.deploy(door, "swift")

    assert result.returncode == 1
    (node,) = [node for node in site.shown()["phases"][0]["nodes"] if node["node"] == "n2"]
    assert node["verdict"] == verdict
    assert reason in node["reason"]
    said = result.stdout + result.stderr
    assert "n2" in said
    assert reason in said
    assert "Traceback" not in said
    assert set(site.ran()) <= {"n1", "n2"}
    assert {phase["state"] for phase in site.shown()["phases"][1:]} == {"planned", "left_out"}


@pytest.mark.parametrize("door", DOORS)
def test_a_node_that_is_down_ends_the_deployment_before_others_start(site, house, door):
    house.stop_minion("n2")

    result = site.deploy(door, "swift")

    assert result.returncode == 1
    verdicts = {node["node"]: node["verdict"] for node in site.shown()["phases"][0]["nodes"]}
    assert verdicts == {"n1": "skipped", "n2": "missing"}
    assert "is salt-minion running there?" in result.stdout + result.stderr
    assert site.ran() == []


@pytest.mark.parametrize("door", DOORS)
def test_a_node_without_a_key_is_refused_before_any_node_is_touched(site, door):
    site.define(storage="[n1, n9]")

    result = site.deploy(door, "swift")

    assert result.returncode == (2 if door == "deployment.run" else 1)
    assert "no accepted key of n9" in result.stdout
    assert site.ran() == []


@pytest.mark.parametrize("may_fail", ["[n1, n2]", "[n1]"])
def test_may_fail_tolerates_exactly_what_it_names(site, may_fail):
    broken = (
        "service { 'swift-nosuch': ensure => running, provider => base, start => '/bin/false', status => '/bin/false' }"
    )
    site.manifest("n1", broken)
    if may_fail == "[n1]":
        site.manifest("n2", broken + "\nexec { 'other': command => '/bin/false' }")

    result = site.deploy("deployment.run", "swift")

    first = {node["node"]: node for node in site.shown()["phases"][0]["nodes"]}
    assert first["n1"]["verdict"] == "tolerated"
    if may_fail == "[n1]":
        assert result.returncode == 1
        assert first["n2"]["verdict"] == "failed"
        assert "Exec[other]" in first["n2"]["reason"]
    else:
        # The storage nodes' second pass tolerates nothing.
        assert [phase["state"] for phase in site.shown()["phases"]][:3] == ["succeeded", "succeeded", "failed"]


def test_may_fail_does_not_tolerate_a_compile_error(site):
    site.manifest("n1", "fail('swift-something')")

    result = site.deploy("deployment.run", "swift")

    assert result.returncode == 1
    assert site.shown()["phases"][0]["nodes"][0]["verdict"] == "no_catalog"


def test_test_mode_starts_no_puppet_and_records_nothing(site, house):
    site.writer.touch()

    result = site.deploy("state.orch", "compute", "test=True")

    assert result.returncode == 0
    states = next(iter(result.data["data"].values()))
    assert [state["result"] for state in states.values()].count(None) == 6
    assert any("n3, n4" in state["comment"] for state in states.values())
    assert site.ran() == []
    assert house.salt_run("deployment.history", site.name).data["answer"]["deployments"] == []


def test_test_mode_is_false_when_a_node_is_down(site, house):
    house.stop_minion("n4")

    result = site.deploy("state.orch", "swift", "test=True")

    assert result.returncode == 1
    assert "n4: missing" in result.stdout


@pytest.mark.parametrize("door", DOORS)
def test_noop_runs_every_phase_and_changes_nothing(site, door):
    result = site.deploy(door, "swift", noop=True)

    assert result.returncode == 0, result.stderr
    assert site.ran() == []
    shown = site.shown()
    assert shown["noop"] is True
    puppet = [phase for phase in shown["phases"] if phase["kind"] == "puppet"]
    assert all("would change" in node["did"] for phase in puppet for node in phase["nodes"])


def test_an_empty_endpoint_is_left_out_and_said_so(site, house):
    site.define(endpoint="[]")
    site.writer.touch()

    result = house.salt_run(*site.arguments("deployment.run", "compute"), out=None)

    assert result.returncode == 0, result.stderr
    assert "The endpoint is installed: left out, role endpoint" in result.stdout
    assert "n5" not in site.ran()


def test_a_gate_that_does_not_open_stops_before_the_next_phase_and_says_what_holds_it(site):
    site.define(gate_timeout=3)

    result = site.deploy("deployment.run", "compute")

    assert result.returncode == 1
    assert "file.file_exists on n3: answered false" in result.stdout
    assert "waiting: file.file_exists on n3" in result.stderr
    assert set(site.ran()) == {"n1", "n2"}


def test_a_gate_opens_when_its_condition_comes_true(site, house):
    started = subprocess.Popen(
        house.command("salt-run", *site.arguments("deployment.run", "compute")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in started.stderr:
        if "waiting:" in line:
            site.writer.touch()
    started.communicate(timeout=60)

    assert started.returncode == 0
    assert "n5" in site.ran()


def test_a_misspelt_argument_of_a_scenario_stops_before_the_first_node(site, house, file_root):
    sls = file_root / f"{site.name}.sls"
    sls.write_text(
        "One:\n  phase.puppet:\n    - role: storage\n"
        "Two:\n  phase.puppet:\n    - role: proxy\n    - concurency: 3\n    - require:\n      - phase: One\n"
    )
    pillar = f'pillar={{"environment": "{site.name}"}}'

    refused = house.salt_run("state.orch", site.name, pillar)

    assert refused.returncode == 1
    assert "Two: phase.puppet does not take concurency (did you mean 'concurrency'?)" in refused.stdout
    assert site.ran() == []


def test_one_pass_over_a_role_outside_any_scenario(site, house):
    result = house.salt_run("deployment.puppet", site.name, "storage", "nodes=n2")

    assert result.returncode == 0, result.stderr
    assert site.ran() == ["n2"]
    assert site.last()["scenario"] == "puppet"
    assert site.last()["partial"] is True


def test_a_part_of_a_scenario_is_said_to_be_partial(site):
    result = site.deploy("deployment.run", "swift", from_phase="Storage nodes fetch the rings", nodes="n1,n4")

    assert result.returncode == 0, result.stderr
    assert site.ran() == ["n1", "n4"]
    assert site.last()["partial"] is True


def test_the_journal_is_the_owners_alone(site, house):
    site.deploy("deployment.run", "swift", from_phase="The proxy is installed")
    (journal,) = house.root.rglob("journal.sqlite")

    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.parent.stat().st_mode) == 0o700


def test_a_plan_as_a_graph_is_that_and_nothing_else(site, house):
    result = house.salt_run("deployment.plan", site.name, "compute", "graph=mermaid", out=None)

    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == "flowchart TD"
    assert '  phase5("5 Compute nodes are installed<br/>compute#58; 2 nodes")' in result.stdout.splitlines()
