"""Capacity, configuration changes and audits: scenarios of the same words on a real master, minions and Puppet."""

import json
import subprocess

import pytest
from sites import wait_until

ENVIRONMENT = """
environments:
  {name}:
    roles: {roles}
    puppet: {{timeout: 60, lock_timeout: 5, grace: 5, ping_timeout: 10}}
    quiet_agents: {quiet}
    gates: {{writer: {{checks: []}}}}
    calls: {calls}
"""
NOTHING = {name: [] for name in ("drain", "health", "restore", "deactivate", "gone")}


@pytest.fixture
def define(site, house):
    """Return a function that gives the site's environment other roles and calls."""

    def defined(quiet=False, calls=None, **roles):
        calls = {**NOTHING, **(calls or {})}
        text = ENVIRONMENT.format(name=site.name, roles=json.dumps(roles), calls=json.dumps(calls), quiet=quiet)
        house.pillar(site.name, text)

    return defined


@pytest.fixture
def scenario(site, file_root):
    """Return a function that writes a scenario of the test's own and returns its name."""

    def write(text):
        folder = file_root / site.name
        folder.mkdir(exist_ok=True)
        (folder / "own.sls").write_text(text)
        return f"{site.name}.own"

    return write


def verdicts(result, phase=0):
    return {node["node"]: node["verdict"] for node in result.data["answer"]["phases"][phase]["nodes"]}


def test_only_new_compute_nodes_are_deployed_and_then_the_endpoint(site, house, define):
    define(compute=["n1", "n2"], endpoint=["n5"])
    assert house.salt_run("deployment.run", site.name, "add_compute").returncode == 0
    assert sorted(site.ran()) == ["n1", "n2", "n5"]

    define(compute=["n1", "n2", "n3"], endpoint=["n5"])
    result = house.salt_run("deployment.run", site.name, "add_compute")

    assert result.returncode == 0, result.stderr
    assert site.ran()[3:] == ["n3", "n5"]
    again = house.salt_run("deployment.run", site.name, "add_compute")
    assert again.returncode == 0
    assert site.ran()[5:] == ["n5"]
    assert "role compute of" in again.data["answer"]["phases"][1]["reason"]


def test_a_new_node_that_failed_is_still_new_and_resume_takes_it_up(site, house, define):
    define(compute=["n1"], endpoint=["n5"])
    site.manifest("n1", "fail('no')")
    assert house.salt_run("deployment.run", site.name, "add_compute").returncode == 1
    site.manifest("n1")
    result = house.salt_run("deployment.resume", site.name)
    assert result.returncode == 0, result.stderr
    assert site.ran() == ["n1", "n5"]


def test_a_dead_node_is_removed(site, house, define, tmp_path):
    noted = tmp_path / "noted"
    noted.touch()
    note = [{"function": "file.append", "role": "endpoint", "args": [str(noted), "{node}"]}]
    define(compute=["n1", "n2"], endpoint=["n5"], calls={"drain": note})
    house.stop_minion("n2")

    refused = house.salt_run("deployment.run", site.name, "remove_compute", out=None)
    result = house.salt_run("deployment.run", site.name, "remove_compute", "nodes=n2")

    assert (refused.returncode, noted.read_text().split()) == (2, ["n2"])
    assert "name them with nodes=" in refused.stdout
    assert result.returncode == 0, result.stderr
    assert verdicts(result) == {"n2": "done"}
    assert site.ran() == ["n5"]


def test_a_change_waits_for_an_operator_who_denies_it_and_then_for_one_who_confirms(site, house, define):
    define(compute=["n1", "n2", "n3"])

    def begun():
        command = house.command("salt-run", "deployment.run", site.name, "configure", "role=compute", "--out=json")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asked = next(line for line in process.stderr if "waits for an operator" in line)
        assert "salt-run deployment.confirm" in asked
        return process

    def status():
        return house.salt_run("deployment.status", site.name).data["answer"]["deployments"][0]["stands"]

    early = house.salt_run("deployment.confirm", site.name, out=None)
    assert (early.returncode, "has never been deployed" in early.stdout) == (2, True)
    first = begun()
    assert "phase 2 of 3, An operator has looked at it: waits for an operator until" in status()
    denied = house.salt_run("deployment.deny", site.name, "it smells", out=None)
    out, _ = first.communicate(timeout=60)
    assert (denied.returncode, first.returncode) == (0, 1), denied.stdout
    assert "denied by root: it smells" in json.loads(out)["answer"]["reason"]
    assert site.ran() == ["n1"]

    second = begun()
    assert house.salt_run("deployment.confirm", site.last()["id"]).returncode == 0
    out, err = second.communicate(timeout=90)
    assert second.returncode == 0, err
    assert site.ran() == ["n1", "n1", "n2", "n3"]


def test_an_audit_tells_what_has_drifted_and_changes_nothing(site, house, define, tmp_path):
    kept, drifted = tmp_path / "kept", tmp_path / "drifted"
    kept.write_text("as it should be\n")
    drifted.write_text("touched by hand\n")
    for node, path in (("n1", kept), ("n2", drifted)):
        house.manifest(node, f"file {{ '{path}': content => \"as it should be\\n\" }}")
    define(compute=["n1"], storage=["n1", "n2"])

    result = house.salt_run("deployment.run", site.name, "audit")

    assert result.returncode == 1
    assert verdicts(result) == {"n1": "unchanged", "n2": "drifted"}
    assert f"1 resource: File[{drifted}]" in result.data["answer"]["reason"]
    assert drifted.read_text() == "touched by hand\n"
    house.manifest("n2", "")
    assert house.salt_run("deployment.run", site.name, "audit").returncode == 0


def test_waves_are_made_by_a_grain_and_a_node_without_it_is_not_started(site, house, define, scenario):
    define(compute=["n1", "n2", "n3"])
    own = scenario("Racks:\n  phase.puppet:\n    - role: compute\n    - waves: {grain: rack}\n")
    for node, rack in (("n1", "a"), ("n2", "b"), ("n3", "a")):
        house.salt(node, "grains.setval", "rack", rack)
    try:
        result = house.salt_run("deployment.run", site.name, own)
        assert result.returncode == 0, result.stderr
        assert "wave, 1 of 2: n1, n3" in result.stderr
        assert site.ran()[2] == "n2"
        house.salt("n2", "grains.delkey", "rack")
        result = house.salt_run("deployment.run", site.name, own)
        assert verdicts(result) == {"n1": "skipped", "n2": "not_started", "n3": "skipped"}
    finally:
        house.salt("n[123]", "grains.delkey", "rack")


def test_passes_go_on_until_one_is_clean(site, house, define, scenario, tmp_path):
    count = tmp_path / "count"
    shell = f"echo >> {count}; test $(wc -l < {count}) -lt 3"
    house.manifest("n1", f"exec {{ 'settle': command => '/bin/true', onlyif => \"/bin/sh -c '{shell}'\" }}")
    define(compute=["n1"])
    own = scenario("Settles:\n  phase.puppet:\n    - role: compute\n    - passes: {until: clean, at_most: 4}\n")

    result = house.salt_run("deployment.run", site.name, own)

    assert result.returncode == 0, result.stderr
    assert verdicts(result) == {"n1": "unchanged"}
    assert "pass 2 of at most 4: 1 resource of 1 node changed" in result.stderr
    assert "pass 3 of at most 4: nothing changed" in result.stderr

    house.manifest("n1", "exec { 'always': command => '/bin/true' }")
    result = house.salt_run("deployment.run", site.name, own)
    assert result.returncode == 0
    said = "not clean after 4 passes, which changed 1, 1, 1, 1 resources; each time: Exec[always] of n1"
    assert said in result.data["answer"]["phases"][0]["reason"]


def test_a_function_is_called_for_each_node_of_a_role(site, house, define, scenario, tmp_path):
    define(compute=["n1", "n2"])
    calls = json.dumps([{"function": "file.touch", "args": [f"{tmp_path}/{{node}}"]}])
    own = scenario(f"Touched:\n  phase.call:\n    - role: compute\n    - calls: {calls}\n")
    result = house.salt_run("deployment.run", site.name, own)
    assert result.returncode == 0, result.stderr
    assert verdicts(result) == {"n1": "done", "n2": "done"}
    assert {"n1", "n2"} <= {path.name for path in tmp_path.iterdir()}

    own = scenario("Fails:\n  phase.call:\n    - role: compute\n    - function: no.such\n")
    result = house.salt_run("deployment.run", site.name, own)
    assert result.returncode == 1
    assert verdicts(result) == {"n1": "failed", "n2": "failed"}
    assert "no.such" in result.data["answer"]["reason"]


def test_a_whole_site_is_deployed_side_by_side(site, house):
    site.writer.touch()
    result = site.deploy("deployment.run", "site")
    assert result.returncode == 0, result.stderr
    ran = site.ran()
    # n1 is the primary controller and a storage node: it runs once in a phase all the same.
    assert (sorted(ran[:2]), sorted(ran[2:4]), sorted(ran[4:6])) == (["n1", "n2"], ["n2", "n3"], ["n1", "n2"])
    assert (sorted(ran[6:8]), ran[8:]) == (["n3", "n4"], ["n5"])


def _agent(house, node):
    found = house.salt(node, "puppet_agent.status").data[node]
    return found["enabled"], found["disabled_message"]


def test_agents_are_quiet_for_the_time_of_a_deployment_and_as_they_were_afterwards(site, house, define):
    define(quiet=True, compute=["n1", "n2"])
    house.salt("n2", "puppet_agent.disable", "disk broken")
    try:
        site.hold("n1")
        command = house.command("salt-run", "deployment.puppet", site.name, "compute", "--out=json")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: "n1" in site.ran(), 60)
        enabled, message = _agent(house, "n1")
        site.let_go("n1")
        out, err = process.communicate(timeout=90)
        assert (enabled, f"{site.name} puppet, deployment" in message) == (False, True)
        nodes = {node["node"]: node["verdict"] for node in json.loads(out)["answer"]["phases"][0]["nodes"]}
        assert nodes == {"n1": "changed", "n2": "disabled"}
        assert "not on n2" in err
        assert _agent(house, "n1") == (True, None)
        assert _agent(house, "n2") == (False, "disk broken")
    finally:
        house.salt("n2", "puppet_agent.enable")


@pytest.fixture
def killed(site, house, define):
    """A deployment that keeps agents quiet, killed while Puppet works on n1."""
    define(quiet=True, compute=["n1"], endpoint=["n5"])
    site.hold("n1")
    process = subprocess.Popen(
        house.command("salt-run", "deployment.run", site.name, "add_compute"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: "n1" in site.ran(), 60)
    process.kill()
    process.wait()
    site.let_go("n1")
    assert _agent(house, "n1")[0] is False


def test_agents_of_a_deployment_that_was_killed_are_restored_by_the_one_that_goes_on(site, house, killed):
    result = house.salt_run("deployment.resume", site.name)
    assert result.returncode == 0, result.stderr
    assert site.ran() == ["n1", "n5"]
    assert _agent(house, "n1") == (True, None)


@pytest.mark.parametrize("command", [["unlock"], ["stop", "force=True"]], ids=" ".join)
def test_agents_of_a_deployment_that_was_killed_are_restored_by_who_ends_it(site, house, killed, command):
    what, *more = command
    result = house.salt_run(f"deployment.{what}", site.name, *more)
    assert (result.returncode, result.data["answer"]["quiet"]) == (0, {})
    assert _agent(house, "n1") == (True, None)
