"""A cluster that grows by a node, pass by pass, while it is used: what the roles of the lab's Puppet are good for."""

import pytest
from machines.machine import until

pytestmark = pytest.mark.slow
MINUTES = 60


def _grown(environment):
    environment["roles"]["storage"] = ["st1", "st2", "st3"]
    environment["roles"]["compute"] = {"target": "cmp*", "count": 3, "puppet": {"concurrency": 1}}


def _passes(lab, *roles):
    """Run Puppet on roles, one after the other, and return what became of their nodes."""
    verdicts = {}
    for role, *words in roles:
        done = lab.deploy("puppet", "lab", role, *words)
        assert done.status == 0, done.progress
        verdicts.update({node["node"]: node["verdict"] for node in done.answer["phases"][0]["nodes"]})
    return verdicts


def test_swift_grows_by_a_storage_node_while_objects_are_written_and_read(lab, swift):
    lab.up("st3")
    services = ("systemctl", "show", "--property=MainPID", "swift-object", "swift-proxy")
    before = [lab.nodes[name].run(*services) for name in ("st1", "st2", "px1")]
    client = lab.client("px1", "objects")
    with lab.pillar(_grown):
        verdicts = _passes(lab, ("storage", "nodes=st3"), ("ring_builder",), ("storage",), ("proxy",))
    assert verdicts == dict.fromkeys(("ring1", "st1", "st2", "st3", "px1"), "changed")
    ready = lab.ask("st*", "swift_ring.ready")
    assert [(name, answer["ready"]) for name, answer in sorted(ready.items())] == [
        (name, True) for name in ("st1", "st2", "st3")
    ]
    assert len({answer["digest"] for answer in ready.values()}) == 1
    arrived = ("find", "/srv/node", "-path", "*/objects/*", "-name", "*.data")
    until(lambda: lab.nodes["st3"].run(*arrived), 5 * MINUTES, "objects are on st3", interval=1)
    told = lab.told(client)
    assert (told["failed"], told["read"]) == ([], 2 * told["written"])
    assert [lab.nodes[name].run(*services) for name in ("st1", "st2", "px1")] == before


def test_the_balancer_grows_by_a_keystone_while_tokens_are_issued(lab, compute):
    lab.up("cmp3")
    client = lab.client("ep1", "tokens", "1")
    with lab.pillar(_grown):
        verdicts = _passes(lab, ("compute", "nodes=cmp3"), ("endpoint",))
    assert verdicts == {"cmp3": "changed", "ep1": "changed"}
    asked = ("haproxy_endpoint.ready", "keystone", "count=3")
    until(lambda: lab.ask("ep1", *asked)["ep1"]["ready"], MINUTES, "three are behind the balancer", interval=1)
    assert lab.told(lab.client("ep1", "tokens", "6"))["issued"] == {"cmp1": 2, "cmp2": 2, "cmp3": 2}
    assert lab.told(client)["failed"] == []
