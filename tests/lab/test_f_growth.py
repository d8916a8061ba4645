"""Day two: the clusters grow, are changed and looked after while they are used."""

import pytest
from machines.machine import until

pytestmark = pytest.mark.slow
MINUTES = 60


def _more_storage(environment):
    environment["roles"]["storage"] = ["st1", "st2", "st3"]


def _more_compute(environment):
    environment["roles"]["compute"] = {"target": "cmp*", "count": 3, "puppet": {"concurrency": 1}}
    environment["gates"]["endpoint"]["checks"][0]["kwargs"]["count"] = 3


def test_nothing_has_drifted_in_a_cluster_that_was_just_deployed(lab, swift, compute):
    done = lab.deploy("run", "lab", "audit")
    assert (done.status, done.all_verdicts()) == (0, {"unchanged"}), done.progress


def test_swift_grows_by_a_storage_node_while_objects_are_written_and_read(lab, swift):
    lab.up("st3")
    services = ("systemctl", "show", "--property=MainPID", "swift-object", "swift-proxy")
    before = [lab.nodes[name].run(*services) for name in ("st1", "st2", "px1")]
    client = lab.client("px1", "objects")
    with lab.pillar(_more_storage):
        done = lab.deploy("run", "lab", "add_storage")
    assert done.status == 0, done.progress
    # There are rings by now, those of before, so the services start at once.
    assert done.verdicts("New storage nodes export their devices") == {"st3": "changed"}
    assert done.verdicts("Storage nodes and proxies fetch the rings") == dict.fromkeys(
        ("st1", "st2", "st3", "px1"), "changed"
    )
    arrived = ("find", "/srv/node", "-path", "*/objects/*", "-name", "*.data")
    until(lambda: lab.nodes["st3"].run(*arrived), 5 * MINUTES, "objects are on st3", interval=1)
    told = lab.told(client)
    assert (told["failed"], told["read"]) == ([], 2 * told["written"])
    assert [lab.nodes[name].run(*services) for name in ("st1", "st2", "px1")] == before


def test_the_balancer_grows_by_a_keystone_while_tokens_are_issued(lab, compute):
    lab.up("cmp3")
    client = lab.client("ep1", "tokens", "1")
    with lab.pillar(_more_compute):
        done = lab.deploy("run", "lab", "add_compute")
    assert done.status == 0, done.progress
    assert done.verdicts("New compute nodes are installed") == {"cmp3": "changed"}
    assert done.verdicts("The endpoint takes them up") == {"ep1": "changed"}
    assert lab.told(lab.client("ep1", "tokens", "6"))["issued"] == {"cmp1": 2, "cmp2": 2, "cmp3": 2}
    assert lab.told(client)["failed"] == []


def test_a_change_rolls_over_every_keystone_and_no_token_is_refused(lab, compute):
    for name in ("cmp1", "cmp2"):
        lab.nodes[name].run("sed", "-i", "s/^processes.*/processes = 2/", "/etc/keystone/keystone-uwsgi.ini")
    drifted = lab.deploy("run", "lab", "audit")
    assert drifted.status == 1
    verdicts = drifted.verdicts("Nothing has drifted")
    assert {node for node, verdict in verdicts.items() if verdict == "drifted"} == {"cmp1", "cmp2"}
    client = lab.client("ep1", "tokens", "1")
    done = lab.deploy("run", "lab", "rolling", "role=compute")
    assert done.status == 0, done.progress
    assert done.verdicts("Nodes are changed wave by wave") == {"cmp1": "changed", "cmp2": "changed"}
    told = lab.told(client)
    assert told["failed"] == []
    assert lab.told(lab.client("ep1", "tokens", "4"))["failed"] == []
