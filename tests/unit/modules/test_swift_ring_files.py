"""Ring files of both formats; the second is written here as Swift's documentation has it: Debian's writes the first."""

import array
import gzip
import hashlib
import json
import struct
import sys

import pytest
import swift_ring
from salt.exceptions import CommandExecutionError, SaltInvocationError

DEVICES = [
    {"id": 0, "region": 1, "zone": 1, "ip": "10.0.0.21", "port": 6200, "device": "d1", "weight": 100.0},
    None,
    {"id": 2, "region": 1, "zone": 2, "ip": "10.0.0.22", "port": 6200, "device": "d1", "weight": 100.0},
    {"id": 3, "region": 1, "zone": 3, "ip": "fe80::23", "port": 6200, "device": "d1", "weight": 0.0},
]
TABLE = [0, 2, 0, 2, 2, 0]
POWER = 2


def bytes_of(numbers, byteorder):
    table = array.array("H", numbers)
    if byteorder != sys.byteorder:
        table.byteswap()
    return table.tobytes()


def v1(byteorder=sys.byteorder):
    metadata = {"devs": DEVICES, "part_shift": 32 - POWER, "replica_count": 2, "byteorder": byteorder, "version": 5}
    text = json.dumps(metadata).encode()
    return struct.pack("!4sHI", b"R1NG", 1, len(text)) + text + bytes_of(TABLE, byteorder)


def v2():
    sections = {
        "swift/ring/metadata": json.dumps({"part_shift": 32 - POWER, "dev_id_bytes": 2, "version": 5}).encode(),
        "swift/ring/devices": json.dumps(DEVICES).encode(),
        "swift/ring/assignments": bytes_of(TABLE, "big"),
    }
    raw, index = struct.pack("!4sH", b"R1NG", 2), {}
    for name, data in sections.items():
        digest = hashlib.sha256(data).hexdigest()
        index[name] = [0, len(raw), None, len(raw) + 8 + len(data), "sha256", digest]
        raw += struct.pack("!Q", len(data)) + data
    index["swift/index"] = [0, len(raw), None, None, None, None]
    text = json.dumps(index).encode()
    return raw + struct.pack("!Q", len(text)) + text + struct.pack("!QQ", len(raw), 0)


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A storage node with the address of the first device; ``node`` writes a ring of it."""
    monkeypatch.setattr(swift_ring, "__context__", {}, raising=False)
    monkeypatch.setattr(swift_ring, "__grains__", {"ipv4": ["127.0.0.1", "10.0.0.21"], "ipv6": ["::1"]}, raising=False)

    def write(raw, name="object"):
        (tmp_path / f"{name}.ring.gz").write_bytes(gzip.compress(raw))
        return str(tmp_path)

    return write


@pytest.mark.parametrize("raw", [v1("little"), v1("big"), v2()], ids=["v1", "v1 of a big-endian machine", "v2"])
def test_devices_and_their_partitions_are_read(node, raw):
    ring = swift_ring.show("object", directory=node(raw))["object"]
    assert [(each["ip"], each["partitions"]) for each in ring["devices"]] == [
        ("10.0.0.21", 3),
        ("10.0.0.22", 3),
        ("fe80::23", 0),
    ]
    assert (ring["version"], ring["partitions"], ring["replicas"]) == (5, 4, 1.5)


def test_a_digest_tells_rings_apart_and_not_how_they_were_compressed(node, tmp_path):
    first = swift_ring.digest("object", directory=node(v1()))
    (tmp_path / "object.ring.gz").write_bytes(gzip.compress(v1(), compresslevel=1, mtime=1))
    assert swift_ring.digest("object", directory=str(tmp_path)) == first
    assert swift_ring.digest("object", directory=node(v1()[:-2])) != first


def test_a_storage_node_in_the_ring_is_ready(node):
    answer = swift_ring.ready("object", directory=node(v1()))
    assert (answer["ready"], answer["devices"], answer["reasons"]) == (True, {"object": 3}, [])
    assert answer["digest"] == answer["identity"] == swift_ring.digest("object", directory=node(v1()))
    assert swift_ring.__context__["retcode"] == 0


@pytest.mark.parametrize(
    ("addresses", "code"),
    [("10.0.0.22", None), ("10.0.0.99", "not_member"), ("fe80:0::23", "no_partitions"), ("10.0.0.99,10.0.0.22", None)],
)
def test_a_storage_node_must_be_in_the_ring_with_partitions(node, addresses, code):
    answer = swift_ring.ready("object", addresses=addresses, directory=node(v1()))
    assert [reason["code"] for reason in answer["reasons"]] == ([code] if code else [])
    assert swift_ring.ready("object", member=False, addresses=addresses, directory=node(v1()))["ready"] is True


BROKEN = {
    "empty": b"",
    "not compressed": b"not compressed",
    "torn": gzip.compress(v1())[:-20],
    "nothing in it": gzip.compress(b""),
    "a pickle of old": gzip.compress(b"(dp0\nS'devs'"),
    "an unknown format": gzip.compress(v1().replace(b"R1NG\x00\x01", b"R1NG\x00\x09")),
    "v1 cut short": gzip.compress(v1()[:40]),
    "v2 cut short": gzip.compress(v2()[:-1]),
    "a part missing": gzip.compress(v1().replace(b'"part_shift"', b'"port_shift"')),
}


@pytest.mark.parametrize("name", [None, *BROKEN])
def test_a_ring_that_is_missing_or_broken_is_told_in_one_sentence(node, tmp_path, name):
    if name:
        (tmp_path / "object.ring.gz").write_bytes(BROKEN[name])
    answer = swift_ring.ready("object", directory=str(tmp_path))
    assert [reason["code"] for reason in answer["reasons"]] == ["bad_ring" if name else "no_ring"]
    assert (answer["digest"], answer["identity"], swift_ring.__context__["retcode"]) == (None, "", 1)
    with pytest.raises(CommandExecutionError, match=r"object\.ring\.gz") as error:
        swift_ring.digest("object", directory=str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rings", ["", "../object", "a/b", [], 5, None, [1]])
def test_a_wrong_name_is_refused(node, rings):
    with pytest.raises(SaltInvocationError, match="is no list of rings"):
        swift_ring.ready(rings)
    with pytest.raises(SaltInvocationError):
        swift_ring.ready(member="yes")
    with pytest.raises(SaltInvocationError):
        swift_ring.ready(addresses=5)
    for hosts in ("", [], None, 5, ["/"], [1]):
        with pytest.raises(SaltInvocationError, match="is no list of hosts"):
            swift_ring.holds(hosts)
    with pytest.raises(SaltInvocationError, match="is no digest"):
        swift_ring.ready(digest="{builder.digest}")
