"""Rings made by swift-ring-builder, as the nodes of a cluster have them."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile

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


def test_a_ring_that_was_just_rebalanced_may_not_move_its_partitions_yet(ask, nodes, tmp_path):
    later = tmp_path / "later"
    shutil.copytree(nodes["builder"], later)
    nodes["later"] = later
    soon = ask("later", "may_rebalance")
    assert gate.codes(soon) == ["too_soon"]
    assert re.match(
        r"the account ring may move its partitions in 0:5\d:\d\d \(min_part_hours 1\): wait until then$",
        soon["reasons"][0]["message"],
    )
    assert 0 < soon["observed"]["object"]["seconds"] <= soon["seconds"] <= 3600
    builder(later, "object", "add", "r1z4-10.0.0.24:6200/d1", "100")
    builder(later, "object", "rebalance", good=(1,))
    assert gate.codes(ask("later", "holds", hosts="10.0.0.24", rings="object")) == ["not_member"]
    for ring in ("account", "container", "object"):
        builder(later, ring, "pretend_min_part_hours_passed")
    answer = ask("later", "may_rebalance")
    assert (answer["ready"], answer["seconds"], answer["identity"]) == (True, 0, "account container object")
    assert answer["observed"]["object"] == {"min_part_hours": 1.0, "seconds": 0}
    builder(later, "object", "rebalance")
    assert ask("later", "holds", hosts="10.0.0.24", rings="object")["ready"] is True


def test_a_ring_of_many_hours_tells_its_days(ask, nodes, tmp_path):
    build(tmp_path, "object", [(node, "100") for node in NODES])
    builder(tmp_path, "object", "set_min_part_hours", "50")
    nodes["days"] = tmp_path
    answer = ask("days", "may_rebalance", rings="object")
    assert 49 * 3600 < answer["seconds"] <= 50 * 3600
    assert "in 2 days, 1:5" in answer["reasons"][0]["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_builder_file_is_read_as_its_owner(ask, nodes):
    nobody = pwd.getpwnam("nobody")
    # Above pytest's own directories, which are for root alone.
    with tempfile.TemporaryDirectory() as place:
        for builder_file in nodes["builder"].glob("*.builder"):
            os.chown(shutil.copy(builder_file, place), nobody.pw_uid, nobody.pw_gid)
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        nodes["nobody"] = place
        assert gate.codes(ask("nobody", "may_rebalance")) == ["too_soon"]
        assert os.stat(f"{place}/backups").st_uid == nobody.pw_uid


def test_a_builder_that_cannot_be_asked_is_told_in_one_sentence(ask, nodes, monkeypatch):
    answer = ask("st1", "may_rebalance", rings="object")
    assert gate.codes(answer) == ["no_builder"]
    assert "object.builder is not there: ask the ring builder's node" in answer["reasons"][0]["message"]
    (nodes["st1"] / "object.builder").write_text("torn")
    answer = ask("st1", "may_rebalance", rings="object")
    assert (gate.codes(answer), answer["seconds"]) == (["bad_builder"], None)
    assert "object.builder exited 2 and said: Ring Builder file is invalid" in answer["reasons"][0]["message"]
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert gate.codes(ask("st1", "may_rebalance", rings="object")) == ["no_swift"]


def test_the_rings_of_every_node_hold_the_hosts_that_were_added(ask, nodes, tmp_path):
    answer = ask("proxy", "holds", hosts=NODES)
    assert (answer["reasons"], answer["digest"]) == ([], ask("st1", "digest"))
    assert answer["observed"]["object"][NODES[0]] == ["d1 at 10.0.0.21:6200, 64 partitions"]
    assert ask("proxy", "holds", hosts=f"{NODES[0]}/d1,{NODES[1]}")["ready"] is True
    missing = ask("proxy", "holds", hosts=[f"{NODES[0]}/d2", "10.0.0.24"], rings="object")
    assert [each["message"] for each in missing["reasons"]] == [
        f"no device of {who} is in the object ring: run the ring builder after {who} has exported"
        for who in ("10.0.0.21/d2", "10.0.0.24")
    ]
    build(tmp_path, "object", zip(NODES, ("100", "100", "0"), strict=True), replicas=2)
    nodes["idle"] = tmp_path
    assert gate.codes(ask("idle", "holds", hosts=NODES, rings="object")) == ["no_partitions"]
    (nodes["st1"] / "object.ring.gz").unlink()
    answer = ask("st1", "holds", hosts=NODES)
    assert (gate.codes(answer), answer["digest"]) == (["no_ring"], None)


def test_a_host_is_found_by_its_name(ask, nodes, tmp_path):
    build(tmp_path, "object", [("127.0.0.1", "100"), (NODES[0], "100"), (NODES[1], "100")])
    nodes["named"] = tmp_path
    assert ask("named", "holds", hosts="localhost", rings="object")["ready"] is True
    assert gate.codes(ask("named", "holds", hosts="nowhere.invalid", rings="object")) == ["not_member"]
