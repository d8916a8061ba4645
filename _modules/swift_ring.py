"""
The Swift rings of a node: which devices are in them, and whether all nodes have the same.

Exit codes do not prove a ring: a Puppet run that lost its ring files ends with 0 and makes none, and a proxy whose
rings are older than the storage nodes' starts without an error and answers 503. The files themselves tell: their
devices, and a digest that is the same wherever the ring is the same.

Rings are read without Swift: formats 1 (Swift 1.7 and later) and 2 (Swift 2.36 and later).
"""

import array
import collections
import gzip
import hashlib
import ipaddress
import json
import os
import re
import struct
import sys
import zlib

from salt.exceptions import CommandExecutionError, SaltInvocationError

_RINGS = ("account", "container", "object")
_MAGIC = b"R1NG"
_DEVICE = ("id", "region", "zone", "ip", "port", "replication_ip", "replication_port", "device", "weight")
_TYPECODE = {2: "H", 4: "I", 8: "Q"}


class _NoRing(CommandExecutionError):
    """A ring that is not there or cannot be read; ``code`` is the reason code that a predicate gives for it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def _reason(code, message):
    return {"code": code, "message": message}


def _names(value):
    """Return ring names, such as ``object-1`` of a storage policy, given as a list or with commas."""
    items = value.split(",") if isinstance(value, str) else value
    good = isinstance(items, (list, tuple)) and items
    if not good or not all(isinstance(item, str) and item.strip().replace("-", "").isalnum() for item in items):
        raise SaltInvocationError(f"rings={value!r} is no list of rings: give for example account,container,object")
    return [item.strip() for item in items]


def _numbers(data, size, byteorder):
    """Return a table of device numbers of ``size`` bytes each."""
    numbers = array.array(_TYPECODE[size])
    numbers.frombytes(data)
    if byteorder != sys.byteorder:
        numbers.byteswap()
    return numbers


def _parse_v1(raw):
    """Return (metadata, devices, assignments) of format 1: a JSON object, then rows of two bytes per partition."""
    (length,) = struct.unpack_from("!I", raw, 6)
    metadata = json.loads(raw[10 : 10 + length])
    return metadata, metadata["devs"], _numbers(raw[10 + length :], 2, metadata.get("byteorder", sys.byteorder))


def _blob(raw, start):
    (length,) = struct.unpack_from("!Q", raw, start)
    return raw[start + 8 : start + 8 + length]


def _parse_v2(raw):
    """Return (metadata, devices, assignments) of format 2: named sections, and an index whose place is at the end."""
    (place,) = struct.unpack_from("!Q", raw, len(raw) - 16)
    index = json.loads(_blob(raw, place))
    sections = {name: _blob(raw, entry[1]) for name, entry in index.items() if name.startswith("swift/ring/")}
    metadata = json.loads(sections["swift/ring/metadata"])
    assignments = _numbers(sections["swift/ring/assignments"], metadata["dev_id_bytes"], "big")
    return metadata, json.loads(sections["swift/ring/devices"]), assignments


def _parse(raw):
    """Return a ring's contents as ``show`` has them, from its uncompressed bytes."""
    magic, version = struct.unpack_from("!4sH", raw)
    if magic != _MAGIC or version not in (1, 2):
        raise ValueError(f"format {version} of {magic!r} is not known")
    metadata, devices, assignments = (_parse_v1 if version == 1 else _parse_v2)(raw)
    partitions, held = 1 << (32 - metadata["part_shift"]), collections.Counter(assignments)
    present = [device for device in devices if device is not None]
    return {
        "version": metadata.get("version"),
        "partitions": partitions,
        "replicas": round(len(assignments) / partitions, 6),
        "devices": [
            {**{key: device.get(key) for key in _DEVICE}, "partitions": held[device["id"]]} for device in present
        ],
    }


def _together(rings):
    """Return one digest of several rings."""
    lines = [f"{name} {ring['digest']}\n" for name, ring in sorted(rings.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _same_address(one, other):
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other


def _own(ring, addresses):
    """Return a ring's devices at these addresses."""
    return [each for each in ring["devices"] if any(_same_address(each["ip"], address) for address in addresses)]


def _told(device):
    return f"{device['device']} at {device['ip']}:{device['port']}, {device['partitions']} partitions"


def _judge_member(name, ring, addresses):
    """Return why a storage node is not in a ring as it should be."""
    own, where = _own(ring, addresses), ", ".join(addresses)
    if not own:
        sentence = (
            f"no device of this node ({where}) is in the {name} ring: run the ring builder after this node has exported"
        )
        return [_reason("not_member", sentence)]
    idle = [device["device"] for device in own if not device["partitions"]]
    if idle:
        sentence = (
            f"the {name} ring has given {', '.join(idle)} of this node no partition: rebalance it on the ring builder"
        )
        return [_reason("no_partitions", sentence)]
    return []


def _read(directory, name):
    """Return a ring file's contents and digest."""
    path = os.path.join(directory, f"{name}.ring.gz")
    try:
        with gzip.open(path) as file:
            raw = file.read()
        return {"path": path, "digest": hashlib.sha256(raw).hexdigest(), **_parse(raw)}
    except FileNotFoundError:
        raise _NoRing("no_ring", f"{path} is not there: run the ring builder, then Puppet on this node") from None
    except OSError as error:
        raise _NoRing("bad_ring", f"{path} cannot be read ({error.strerror or error})") from None
    except (EOFError, KeyError, TypeError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise _NoRing("bad_ring", f"{path} is no whole ring ({error}): fetch it again from the ring builder") from None


def _addresses(addresses):
    """Return the addresses to look for: the given ones, or all of this node but the loopback's."""
    given = addresses.split(",") if isinstance(addresses, str) else addresses
    if given is None:
        given = [*__grains__.get("ipv4", []), *__grains__.get("ipv6", [])]
        return [address for address in given if not ipaddress.ip_address(address).is_loopback]
    if not isinstance(given, (list, tuple)) or not all(isinstance(each, str) and each.strip() for each in given):
        raise SaltInvocationError(f"addresses={addresses!r} is no list of addresses")
    return [each.strip() for each in given]


def show(rings="account,container,object", directory="/etc/swift"):
    """
    Return the rings of this node.

    rings
        Names as a list or with commas, with those of storage policies, such as ``object-1``.
        ``account,container,object`` by default.

    directory
        Where the ring files are. ``/etc/swift`` by default.

    Returns ``{ring: {"path", "digest", "version", "partitions", "replicas", "devices": [{"id", "region", "zone", "ip",
    "port", "replication_ip", "replication_port", "device", "weight", "partitions"}]}}``. Raises an error if a ring is
    missing or broken.

    CLI Example:

    .. code-block:: bash

        salt st1 swift_ring.show object
    """
    return {name: _read(directory, name) for name in _names(rings)}


def digest(rings="account,container,object", directory="/etc/swift"):
    """
    Return one digest of this node's rings, which is the same on all nodes that have the same rings.

    rings, directory
        As ``show`` takes them.

    Raises an error if a ring is missing or broken.

    CLI Example:

    .. code-block:: bash

        salt -L ring1,st1,st2,proxy1 swift_ring.digest
    """
    return _together(show(rings, directory))


def ready(rings="account,container,object", member=True, digest=None, addresses=None, directory="/etc/swift"):
    """
    Answer whether this node has whole rings, is in each of them, and has those of the ring builder.

    rings, directory
        As ``show`` takes them.

    member
        Whether a device of this node must be in each ring, with partitions: True on storage nodes, False on the ring
        builder and on proxies. True by default.

    digest
        The digest that this node's rings must have: the ring builder's. Any by default.

    addresses
        This node's addresses in the rings, as a list or with commas. All but loopback by default.

    Returns ``{"ready", "digest", "devices", "identity", "reasons", "warnings", "observed"}``: ``digest`` as the
    function of that name, to be asked equal on all nodes; ``devices`` counts them by ring. Codes: ``no_ring``,
    ``bad_ring``, ``not_member``, ``no_partitions``, ``differs``. Not ready sets the return code to 1. Only a wrong
    argument raises.

    CLI Example:

    .. code-block:: bash

        salt 'st*' swift_ring.ready
        salt ring1 swift_ring.ready member=False
    """
    names, mine = _names(rings), _addresses(addresses)
    if digest is not None and not (isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest)):
        raise SaltInvocationError(f"digest={digest!r} is no digest: give what swift_ring.digest answers")
    if not isinstance(member, bool):
        raise SaltInvocationError(f"member={member!r} is not possible: give True or False")
    found, reasons = {}, []
    for name in names:
        try:
            found[name] = _read(directory, name)
            reasons += _judge_member(name, found[name], mine) if member else []
        except _NoRing as error:
            reasons.append(_reason(error.code, str(error)))
    whole = _together(found) if len(found) == len(set(names)) else None
    if whole and digest not in (None, whole):
        reasons.append(
            _reason("differs", "this node's rings are not the ring builder's: run Puppet on this node again")
        )
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "digest": whole,
        "devices": {name: len(ring["devices"]) for name, ring in found.items()},
        "identity": whole or "",
        "reasons": reasons,
        "warnings": [],
        "observed": {
            name: {"digest": ring["digest"], "own": [_told(each) for each in _own(ring, mine)]}
            for name, ring in found.items()
        },
    }
