"""Wrong orders and a broken node, on nodes that are as Debian left them. The right order heals them afterwards."""


def test_the_nodes_have_the_project_as_a_wheel(lab):
    printed = lab.master("/opt/salt/bin/python", "-m", "os_orchestrator.tree").stdout.strip()
    assert printed in lab.master("cat", "/etc/salt/master").stdout
    assert {answer["enabled"] for answer in lab.ask("*", "puppet_agent.status").values()} == {True}


def test_the_environment_is_valid(lab):
    done = lab.salt_run("environment.validate", "lab")
    assert done.returncode == 0, done.stdout


def test_a_proxy_before_anything_else_fails(lab):
    done = lab.deploy("run", "lab", "wrong.proxy_first")
    assert (done.status, done.all_verdicts()) == (1, {"failed"})
    assert "swift-proxy" in done.did("px1")


def test_a_storage_node_that_fails_its_first_pass_stops_all_before_the_ring_builder(lab):
    with lab.without_server("st2"):
        done = lab.deploy("run", "lab", "swift")
    assert done.status == 1
    assert done.verdicts("Storage nodes export their devices") == {"st1": "tolerated", "st2": "no_catalog"}
    assert done.verdicts("The ring builder builds the rings") == {"ring1": None}


def test_an_endpoint_before_compute_nodes_is_caught_by_its_gate_alone(lab):
    """Hidden: Puppet exits 2, HAProxy starts without an error and answers 503."""
    done = lab.deploy("run", "lab", "wrong.endpoint_first")
    assert done.verdicts("The endpoint is installed") == {"ep1": "changed"}
    assert (done.status, done.phase("The endpoint serves every compute node")["state"]) == (1, "failed")
