"""Deployments that end before their time, and what goes on with them: another one, `deployment.resume`, the report."""

import os
import signal

import pytest
from sites import DOORS, wait_until


def test_a_second_deployment_of_the_environment_is_told_whose_it_is(site, house, started):
    first = started("deployment.run", site.name, "swift")

    second = site.deploy("deployment.run", "swift")
    status = house.salt_run("deployment.status", site.name)

    assert second.returncode == 2
    assert f"environment {site.name} is being deployed by root since" in second.stdout
    assert f"salt-run deployment.status {site.name}" in second.stdout
    assert status.data["answer"]["deployments"][0]["state"] == "running"
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert site.ran().count("n1") == 2


def test_a_killed_deployment_leaves_nothing_that_must_be_removed(site, house, started):
    first = started("deployment.run", site.name, "swift", seconds=3)
    first.kill()
    first.wait()

    status = house.salt_run("deployment.status", site.name)
    again = site.deploy("deployment.run", "swift")

    assert status.data["answer"]["deployments"][0]["state"] == "interrupted"
    assert again.returncode == 0, again.stderr


@pytest.mark.salt
@pytest.mark.parametrize(
    ("door", "ending"),
    [
        *((door, signal.SIGINT) for door in DOORS),
        (DOORS[0], signal.SIGTERM),
        pytest.param(DOORS[1], signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_deployment_starts_nothing_more_and_lets_the_runs_go_on(site, started, door, ending):
    first = started(*site.arguments(door, "swift"), seconds=4)

    os.killpg(first.pid, ending)
    out, _ = first.communicate(timeout=30)

    assert first.returncode == 1
    assert "interrupted in phase 1" in out
    assert site.last()["state"] == "interrupted"
    wait_until(lambda: len(site.spans("n1")) == 1)
    assert set(site.ran()) == {"n1", "n2"}


@pytest.mark.slow
def test_a_minion_that_is_killed_in_mid_run_costs_a_gap_and_no_verdict(site, house, started):
    first = started("deployment.run", site.name, "swift", seconds=8)

    house.stop_minion("n1")
    house.start_minion("n1")
    first.communicate(timeout=90)

    assert first.returncode == 0
    assert [node["verdict"] for node in site.shown()["phases"][0]["nodes"]] == ["changed", "changed"]
    assert site.ran().count("n1") == 2


def test_a_failed_deployment_goes_on_where_it_failed_once_the_node_is_mended(site, house):
    site.manifest("n2", "exec { 'broken': command => '/bin/false' }")
    assert site.deploy("deployment.run", "swift").returncode == 1
    failed = site.last()["id"]
    site.manifest("n2")

    result = house.salt_run("deployment.resume", site.name)

    assert result.returncode == 0, result.stderr
    assert result.data["answer"]["resumes"] == failed
    first = {node["node"]: node["verdict"] for node in result.data["answer"]["phases"][0]["nodes"]}
    assert first == {"n1": "kept", "n2": "changed"}
    # Two passes of each storage node, and the pass of n2 that failed.
    assert [site.ran().count(node) for node in ("n1", "n2", "n3", "n4")] == [2, 3, 1, 1]


def test_the_report_of_a_resumed_deployment_tells_both_parts(site, house, tmp_path):
    site.manifest("n2", "exec { 'broken': command => '/bin/false' }")
    assert site.deploy("deployment.run", "swift").returncode == 1
    site.manifest("n2")
    resumed = house.salt_run("deployment.resume", site.name).data["answer"]

    result = house.salt_run("deployment.report", "last", site.name, f"path={tmp_path / 'page.html'}", out=None)

    assert (result.returncode, result.stdout) == (0, f"{tmp_path / 'page.html'}\n")
    page = (tmp_path / "page.html").read_text()
    assert f"Before: deployment {resumed['resumes']} failed" in page
    assert "<code>Exec[broken]</code>" in page
    assert "n2: failed after" in page
    assert "n1: kept, changed in" in page


@pytest.mark.salt
def test_a_killed_deployment_is_resumed_without_running_anything_twice(site, house, started):
    first = started("deployment.run", site.name, "swift", seconds=5)
    first.kill()
    first.wait()

    result = house.salt_run("deployment.resume", site.name)

    assert result.returncode == 0, result.stderr
    assert [site.ran().count(node) for node in ("n1", "n2", "n3", "n4")] == [2, 2, 1, 1]


def test_a_deployment_whose_environment_has_changed_is_resumed_only_by_force(site, house):
    site.manifest("n2", "exec { 'broken': command => '/bin/false' }")
    assert site.deploy("deployment.run", "swift").returncode == 1
    site.manifest("n2")
    site.define(storage="[n1, n2, n5]")

    refused = house.salt_run("deployment.resume", site.name)
    forced = house.salt_run("deployment.resume", site.name, "force=True")
    again = house.salt_run("deployment.resume", site.name)

    assert refused.returncode == 2
    assert "'Storage nodes export their devices' now has n5" in refused.stdout
    assert "force=True" in refused.stdout
    assert forced.returncode == 0, forced.stderr
    assert again.returncode == 2
    assert "has succeeded, there is nothing to resume" in again.stdout
