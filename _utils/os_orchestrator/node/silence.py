"""
Keeping a node's own agent quiet for the time of a deployment, by the lock with which Puppet disables it.

The lock itself says who keeps the agent quiet: beside Puppet's ``disabled_message`` it has ``quiet``, as ``{owner:
{"message", "since"}}``. So a person's lock is never taken for one of these, and no crash can part a lock from its
record. What was asked for is remembered apart: a lock that has gone since was taken away by a person, and stays away.
"""

import os

from os_orchestrator.node import supervisor

LOCK_MODE = 0o644


def _alone(root):
    return supervisor.locked(root / "quiet.lock")


def _asked(root):
    """Return what was asked for and not taken back, as ``{"lock": path, "owners": {owner: message}}``."""
    found = supervisor.read(root / "quiet.json") or {}
    return {"lock": found.get("lock"), "owners": found.get("owners") or {}}


def lock_of(root):
    """Return the lock by which this node's agent was last asked to be quiet, or None."""
    return _asked(root)["lock"]


def _remember(root, lock, owners):
    if owners:
        supervisor.write(root / "quiet.json", {"lock": str(lock), "owners": owners})
    else:
        (root / "quiet.json").unlink(missing_ok=True)


def _content(owners):
    """Return what Puppet and the next owner find in the lock."""
    return {"disabled_message": "; ".join(each["message"] for each in owners.values()), supervisor.QUIET: owners}


def _create(lock, owners):
    """Disable the agent; leave a lock that somebody else has made."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    whole = lock.with_name(".agent_disabled.quiet")
    supervisor.write(whole, _content(owners), LOCK_MODE)
    try:
        os.link(whole, lock)
    except FileExistsError:
        if not lock.exists():
            raise
    finally:
        whole.unlink(missing_ok=True)


def _enter(lock, owner, message):
    """Write an owner into the lock, or make the lock; return whether that was news."""
    owners = supervisor.quiet_owners(lock)
    is_theirs = bool(owners)
    if owners.get(owner, {}).get("message") == message:
        return False
    owners[owner] = {"message": message, "since": supervisor.now()}
    if is_theirs:
        supervisor.write(lock, _content(owners), LOCK_MODE)
    else:
        _create(lock, owners)
    return True


def _leave(lock, owner):
    """Take an owner out of the lock, and the lock away with the last; return whether there was anything to take."""
    owners = supervisor.quiet_owners(lock)
    was_there = owners.pop(owner, None) is not None
    if was_there and owners:
        supervisor.write(lock, _content(owners), LOCK_MODE)
    elif was_there:
        lock.unlink()
    return was_there


def begin(root, lock, owner, message):
    """Keep the agent quiet for an owner, unless a person does otherwise; return whether that is news, and why not."""
    with _alone(root):
        asked = _asked(root)["owners"]
        if not lock.exists() and asked.get(owner) == message:
            return False, "somebody has enabled the agent since this was asked for, and it stays so"
        is_news = _enter(lock, owner, message)
        if owner not in supervisor.quiet_owners(lock):
            return False, "somebody has disabled the agent, and it stays so"
        try:
            _remember(root, lock, asked | {owner: message})
        except OSError:
            _leave(lock, owner)
            raise
        return is_news, ""


def end(root, lock, owner):
    """Let go for an owner, the last one enables the agent again; return whether that is news, and why not."""
    with _alone(root):
        asked = _asked(root)["owners"]
        had_asked = asked.pop(owner, None) is not None
        was_there = _leave(lock, owner)
        _remember(root, lock, asked)
    if was_there:
        return True, ""
    if had_asked:
        return False, "somebody has enabled or disabled the agent since, and it stays so"
    return False, f"{owner} does not keep the agent quiet"


def give_way(root, lock, message):
    """Let a person's decision to disable the agent stand in the place of a quiet, if there is one."""
    with _alone(root):
        if supervisor.quiet_owners(lock):
            supervisor.write(lock, {"disabled_message": message}, LOCK_MODE)
