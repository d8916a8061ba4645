"""
The Swift rings of a node: which devices are in them, and whether all nodes have the same.

Exit codes do not prove a ring: a Puppet run that lost its ring files ends with 0 and makes none, and a proxy whose
rings are older than the storage nodes' starts without an error and answers 503. The files themselves tell: their
devices, and a digest that is the same wherever the ring is the same.

Rings are read without Swift: formats 1 (Swift 1.7 and later) and 2 (Swift 2.36 and later). Builder files are pickles:
Swift's own ``swift-ring-builder`` reads them.
"""

import array
import collections
import datetime
import gzip
import hashlib
import ipaddress
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import zlib

from salt.exceptions import CommandExecutionError, SaltInvocationError

_RINGS = ("account", "container", "object")
_MAGIC = b"R1NG"
_DEVICE = ("id", "region", "zone", "ip", "port", "replication_ip", "replication_port", "device", "weight")
_TYPECODE = {2: "H", 4: "I", 8: "Q"}
# Seconds; a builder of a million partitions takes some to be read.
_TIMEOUT = 120
_PATH = "/usr/local/bin:/usr/bin:/bin"
_WAITING = re.compile(
    r"before a partition can be reassigned is (?P<hours>[\d.]+)"
    r" \((?:(?P<days>\d+) days?, )?(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d) remaining\)$",
    re.MULTILINE,
)


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


def _judge_devices(name, who, own):
    """Return why a ring does not use the devices of somebody."""
    if not own:
        sentence = f"no device of {who} is in the {name} ring: run the ring builder after {who} has exported"
        return [_reason("not_member", sentence)]
    idle = [device["device"] for device in own if not device["partitions"]]
    if idle:
        cure = "rebalance it on the ring builder"
        return [_reason("no_partitions", f"the {name} ring has given {', '.join(idle)} of {who} no partition: {cure}")]
    return []


def _parse_waiting(text):
    """Return ``min_part_hours`` and the seconds left of them as ``swift-ring-builder`` printed them, or None."""
    found = _WAITING.search(text)
    if not found:
        return None
    days, hours, minutes, seconds = (int(found[name] or 0) for name in ("days", "h", "m", "s"))
    return {"min_part_hours": float(found["hours"]), "seconds": ((days * 24 + hours) * 60 + minutes) * 60 + seconds}


def _waiting(directory, name):
    """Return how long a builder keeps its partitions where they are."""
    path = os.path.join(directory, f"{name}.builder")
    program = shutil.which("swift-ring-builder", path=_PATH)
    if program is None:
        raise _NoRing("no_swift", "swift-ring-builder is not on this node: ask the ring builder's, or install swift")
    if not os.path.exists(path):
        raise _NoRing("no_builder", f"{path} is not there: ask the ring builder's node, or run Puppet on it")
    owner = os.stat(path)
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace", "cwd": "/"}
    options["env"] = {"PATH": os.path.dirname(program), "LC_ALL": "C.UTF-8"}
    if os.geteuid() == 0:
        # A pickle can run what it likes, and the program makes its directory for backups.
        options |= {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    try:
        done = subprocess.run([program, path], timeout=_TIMEOUT, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NoRing("bad_builder", f"swift-ring-builder {path} did not answer ({error})") from None
    found = _parse_waiting(done.stdout)
    if done.returncode != 0 or found is None:
        said = " ".join((done.stdout + done.stderr).split())[:200]
        raise _NoRing("bad_builder", f"swift-ring-builder {path} exited {done.returncode} and said: {said}")
    return found


def _places(hosts):
    """Return ``{host as given: (addresses, device)}`` of hosts or devices like ``st4/d1``."""
    given = hosts.split(",") if isinstance(hosts, str) else hosts
    good = isinstance(given, (list, tuple)) and given
    if not good or not all(isinstance(each, str) and each.strip(" /") for each in given):
        raise SaltInvocationError(f"hosts={hosts!r} is no list of hosts: give for example 10.0.0.24,10.0.0.25/d1")
    split = {each.strip(): each.strip().partition("/") for each in given}
    return {name: (_resolved(host), device) for name, (host, _, device) in split.items()}


def _resolved(host):
    """Return the addresses by which a ring may have a host; itself if nothing knows it."""
    try:
        return [host, *sorted({found[4][0] for found in socket.getaddrinfo(host, None)})]
    except (OSError, UnicodeError):
        return [host]


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
    found, reasons, who = {}, [], f"this node ({', '.join(mine)})"
    for name in names:
        try:
            found[name] = _read(directory, name)
            reasons += _judge_devices(name, who, _own(found[name], mine)) if member else []
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


def holds(hosts, rings="account,container,object", directory="/etc/swift"):
    """
    Answer whether the rings of this node have devices of these hosts, with partitions: after storage was added.

    hosts
        Addresses in the rings, or names that this node can resolve, as a list or with commas; ``10.0.0.24/d1`` asks for
        one device.

    rings, directory
        As ``show`` takes them.

    Returns ``{"ready", "digest", "identity", "reasons", "warnings", "observed"}``, as ``ready`` does. Codes:
    ``no_ring``, ``bad_ring``, ``not_member``, ``no_partitions``. Not ready sets the return code to 1. Only a wrong
    argument raises.

    CLI Example:

    .. code-block:: bash

        salt -L ring1,st1,proxy1 swift_ring.holds 10.0.0.24,10.0.0.25
    """
    names, places, found, reasons, observed = _names(rings), _places(hosts), {}, [], {}
    for name in names:
        try:
            found[name] = _read(directory, name)
        except _NoRing as error:
            reasons.append(_reason(error.code, str(error)))
            continue
        for host, (addresses, device) in places.items():
            own = [each for each in _own(found[name], addresses) if device in ("", each["device"])]
            reasons += _judge_devices(name, host, own)
            observed.setdefault(name, {})[host] = [_told(each) for each in own]
    whole = _together(found) if len(found) == len(set(names)) else None
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "digest": whole,
        "identity": whole or "",
        "reasons": reasons,
        "warnings": [],
        "observed": observed,
    }


def may_rebalance(rings="account,container,object", directory="/etc/swift"):
    """
    Answer whether ``min_part_hours`` have passed since the last rebalance, so that partitions may move again.

    Before that a rebalance moves nothing and exits 1, whatever was added; and waiting is right, for the partitions that
    the last one moved are still on their way.

    rings
        As ``show`` takes them; their builder files are asked.

    directory
        Where the builder files are. ``/etc/swift`` by default.

    Returns ``{"ready", "seconds", "identity", "reasons", "warnings", "observed"}``: ``seconds`` until the last of them
    may move, ``observed`` as ``{ring: {"min_part_hours", "seconds"}}``. Codes: ``too_soon``, ``no_builder``,
    ``bad_builder``, ``no_swift``. Not ready sets the return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt ring1 swift_ring.may_rebalance
    """
    observed, reasons = {}, []
    for name in _names(rings):
        try:
            observed[name] = _waiting(directory, name)
        except _NoRing as error:
            reasons.append(_reason(error.code, str(error)))
    for name, found in observed.items():
        if found["seconds"]:
            left, hours = datetime.timedelta(seconds=found["seconds"]), f"{found['min_part_hours']:g}"
            sentence = f"the {name} ring may move its partitions in {left} (min_part_hours {hours}): wait until then"
            reasons.append(_reason("too_soon", sentence))
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "seconds": max((found["seconds"] for found in observed.values()), default=None),
        "identity": " ".join(observed),
        "reasons": reasons,
        "warnings": [],
        "observed": observed,
    }
