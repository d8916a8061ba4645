"""Rings made by swift-ring-builder, as the nodes of a cluster have them."""

import shutil
import subprocess

import gate
import pytest

BUILDER = shutil.which("swift-ring-builder")
pytestmark = pytest.mark.skipif(not BUILDER, reason="not installed: swift-ring-builder (Debian's swift)")
NODES = ["10.0.0.21", "10.0.0.22", "10.0.0.23"]


def builder(directory, ring, *words, good=(0, 1)):
    """Run the ring builder in a directory; it ends with 1 where it has nothing to do or warns."""
    command = [BUILDER, str(directory / f"{ring}.builder"), *words]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode in good, done.stdout + done.stderr


def build(directory, ring, devices, replicas=3):
    """Make a ring of devices, given as (address, weight), each in a zone of its own."""
    places = [(f"r1z{zone}-{node}:6200/d1", weight) for zone, (node, weight) in enumerate(devices, 1)]
    builder(directory, ring, "create", "6", str(replicas), "1")
    builder(directory, ring, "add", *(word for place in places for word in place))
    builder(directory, ring, "rebalance", "--seed", "1")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    directory = tmp_path_factory.mktemp("builder")
    for ring in ("account", "container", "object"):
        build(directory, ring, [(node, "100") for node in NODES])
    return directory


@pytest.fixture
def nodes(tmp_path, built):
    """The directories of the ring builder, three storage nodes and the proxy, all with the same rings."""
    directories = {"builder": built}
    for name in ("st1", "st2", "st3", "proxy"):
        directories[name] = tmp_path / name
        directories[name].mkdir()
        for ring in built.glob("*.ring.gz"):
            shutil.copy(ring, directories[name])
    return directories


@pytest.fixture
def ask(tmp_path, nodes):
    minion = gate.Minion(tmp_path / "minion")

    def asked(name, function="ready", **arguments):
        return minion(f"swift_ring.{function}", directory=str(nodes[name]), **arguments)

    return asked


def test_storage_nodes_are_in_rings_that_are_the_same_everywhere(ask):
    answers = [ask(f"st{number}", addresses=[node]) for number, node in enumerate(NODES, 1)]
    answers += [ask(name, member=False) for name in ("builder", "proxy")]
    assert [answer["reasons"] for answer in answers] == [[]] * 5
    assert len({answer["digest"] for answer in answers}) == 1
    assert answers[0]["devices"] == {"account": 3, "container": 3, "object": 3}


def test_the_partitions_are_those_that_the_builder_has_given(ask):
    ring = ask("st1", "show", rings="object")["object"]
    assert (ring["partitions"], ring["replicas"]) == (64, 3.0)
    assert [(device["ip"], device["port"], device["partitions"]) for device in ring["devices"]] == [
        (node, 6200, 64) for node in NODES
    ]


def test_a_ring_builder_that_lost_its_rings_is_not_ready_whatever_its_exit_code(ask, nodes):
    (nodes["st1"] / "object.ring.gz").unlink()
    answer = ask("st1", member=False)
    assert gate.codes(answer) == ["no_ring"]
    assert "object.ring.gz is not there: run the ring builder" in answer["reasons"][0]["message"]


def test_a_storage_node_that_had_not_exported_its_devices_is_missing_from_the_ring(ask, nodes, tmp_path):
    before = ask("st3", addresses=NODES[2])
    assert before["ready"] is True
    build(tmp_path, "object", [(node, "100") for node in (*NODES[:2], "10.0.0.24")])
    shutil.copy(tmp_path / "object.ring.gz", nodes["st3"])
    answer = ask("st3", addresses=NODES[2])
    assert gate.codes(answer) == ["not_member"]
    assert answer["reasons"][0]["message"].startswith("no device of this node (10.0.0.23) is in the object ring")
    assert answer["digest"] != before["digest"]


def test_a_node_whose_rings_are_old_has_another_digest(ask, nodes, built, tmp_path):
    later = tmp_path / "later"
    shutil.copytree(built, later)
    builder(later, "object", "add", f"r1z1-{NODES[0]}:6200/d2", "100")
    builder(later, "object", "rebalance", "--seed", "1", "--force")
    shutil.copy(later / "object.ring.gz", nodes["proxy"])
    assert ask("proxy", "digest") != ask("st1", "digest")
    answer = ask("proxy", member=False, digest=ask("builder", "digest"))
    assert gate.codes(answer) == ["differs"]
    assert ask("st1", member=False, digest=ask("builder", "digest"))["ready"] is True
    assert ask("proxy", "digest", rings="account,container") == ask("st1", "digest", rings="account,container")


def test_a_device_without_weight_gets_no_partitions(ask, nodes, tmp_path):
    build(tmp_path, "object", zip(NODES, ("100", "100", "0"), strict=True), replicas=2)
    nodes["idle"] = tmp_path
    assert gate.codes(ask("idle", rings="object", addresses=NODES[2])) == ["no_partitions"]
