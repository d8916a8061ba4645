"""
Whether this node's Galera member may be used: MariaDB Galera Cluster, Percona XtraDB Cluster.

Asked on each database node, of its own server; the address that clients use is asked by ``mysql_endpoint.ready``, from
the clients.

:depends: ``mysql_endpoint``, of which it has the connection, the login and the timeouts

:configuration: See ``mysql_endpoint``: ``mysql.unix_socket`` or ``mysql.host`` say where this node's server is.
"""

from salt.exceptions import CommandExecutionError, SaltInvocationError

_USABLE = ("Synced",)
_DONOR = ("Donor/Desynced",)


def _reason(code, message):
    return {"code": code, "message": message}


def _member(probed):
    """Return a member's own view of its cluster, in named fields."""
    said = probed["galera"]
    return {
        "node": said["node_name"] or probed["hostname"],
        "server_id": probed["server_id"],
        "version": probed["version"],
        "read_only": probed["read_only"],
        "ready": said["ready"] == "ON",
        "connected": said["connected"] == "ON",
        "cluster_status": said["cluster_status"],
        "cluster_uuid": said["cluster_state_uuid"],
        "view": said["cluster_conf_id"],
        "size": int(said["cluster_size"] or 0),
        "state": said["local_state_comment"],
        "addresses": [each for each in said["incoming_addresses"].split(",") if each],
    }


def _judge(member, size, donor, writable):
    """Return every reason for which a member may not be used."""
    node, states = member["node"], _USABLE + (_DONOR if donor else ())
    found = {
        "not_connected": not member["connected"] and f"{node} is not connected to its cluster (wsrep_connected is OFF)",
        "not_primary": member["cluster_status"] != "Primary"
        and f"{node} is in a part of the cluster that is {member['cluster_status'] or 'unknown'}, not Primary",
        "too_small": member["size"] < size and f"{node} sees {member['size']} members of its cluster, {size} are asked",
        "not_synced": member["state"] not in states and f"{node} is {member['state'] or 'in no state'}, not Synced",
        "not_ready": not member["ready"] and f"{node} takes no statements (wsrep_ready is OFF)",
        "read_only": writable and member["read_only"] and f"{node} is read-only",
    }
    return [_reason(code, message) for code, message in found.items() if message]


def _answer(member, reasons):
    uuid, view = member.get("cluster_uuid"), member.get("view")
    __context__["retcode"] = 1 if reasons else 0
    return {
        "ready": not reasons,
        "host": member.get("node"),
        "server_id": member.get("server_id"),
        "size": member.get("size"),
        "state": member.get("state"),
        "identity": f"{uuid}/view {view}" if uuid else "",
        "reasons": reasons,
        "warnings": [],
        "observed": member,
    }


def status(timeout=5):
    """
    Return this node's own view of its cluster.

    timeout
        Seconds for connecting, for each read and for each write. 5 by default.

    Returns ``{"node", "server_id", "version", "read_only", "ready", "connected", "cluster_status", "cluster_uuid",
    "view", "size", "state", "addresses"}``. Raises an error if the server does not answer or has no Galera.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' mysql_galera.status
    """
    probed = __salt__["mysql_endpoint.probe"](timeout=timeout)
    if not probed["galera"]:
        raise CommandExecutionError(
            "this node's server runs without Galera (wsrep_on is OFF): see wsrep_on and wsrep_provider"
        )
    return _member(probed)


def ready(size=3, donor=False, writable=True, timeout=5):
    """
    Answer whether this node's member may be used: ready, connected, in the Primary part, Synced, with enough members.

    size
        Members that the cluster must have at least. 3 by default, the fewest of which one may fail.

    donor
        Take a member that is sending its state to another one (``Donor/Desynced``) for usable. False by default.

    writable
        Ask also that the server is not read-only. True by default.

    timeout
        Seconds for connecting, for each read and for each write. 5 by default.

    Returns ``{"ready", "host", "server_id", "size", "state", "identity", "reasons", "warnings", "observed"}``, reasons
    as ``{"code", "message"}``. Codes: ``connect``, ``auth``, ``no_driver``, ``not_galera``, ``not_connected``,
    ``not_primary``, ``too_small``, ``not_synced``, ``not_ready``, ``read_only``. ``identity`` changes with the
    membership, so that a gate's count starts anew. Not ready sets the return code to 1. Only a wrong argument raises.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' mysql_galera.ready size=3
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise SaltInvocationError(f"size={size!r} is not possible: give a whole number, 1 or more")
    for name, value in (("donor", donor), ("writable", writable)):
        if not isinstance(value, bool):
            raise SaltInvocationError(f"{name}={value!r} is not possible: give True or False")
    try:
        member = status(timeout)
    except SaltInvocationError:
        raise
    except CommandExecutionError as error:
        return _answer({}, [_reason(getattr(error, "code", "not_galera"), str(error))])
    return _answer(member, _judge(member, size, donor, writable))
