"""
The part of :mod:`environment` that reads the pillar; nothing else does. The definitions, compiled for the virtual id.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import salt.config
import salt.key
import salt.pillar

from os_orchestrator import doors
from os_orchestrator.environment_mistakes import Invalid, Mistake, shown

#: The id whose pillar holds the environments, unless the master's configuration names another.
PILLAR_ID = "os-orchestrator"

_KEY_STATES = {
    "minions": "accepted",
    "minions_pre": "pending",
    "minions_rejected": "rejected",
    "minions_denied": "denied",
}


def pick(found: Mapping[str, object], name: str) -> object:
    """Return the definition of one environment among all; raises :class:`doors.Refused` with what there is."""
    if name not in found:
        there = f"there are {', '.join(sorted(found))}" if found else "the pillar defines none"
        near = doors.did_you_mean(name, found)
        cure = "" if near else "; a new one must be named in the pillar's top file, too"
        raise doors.Refused(f"there is no environment {name!r}{near}; {there}{cure}")
    return found[name]


def definitions(opts: Mapping) -> dict[str, object]:
    """
    Return the environments' definitions by name, from the pillar of the virtual id alone.

    The master's configuration is read anew: the options of an orchestration carry a pillar that would be merged in.
    """
    master = salt.config.master_config(opts["conf_file"])
    virtual = pillar_id(master)
    _refuse_a_key_of(virtual, master)
    pillar = _compiled(virtual, master)
    if "environments" not in pillar:
        near = doors.nearest("environments", pillar)
        raise doors.Refused(
            f"the pillar of {virtual} has no environments{f' (but {near!r})' if near else ''}; "
            f"name their SLS under '{virtual}' in the pillar's top.sls, as pillar.example does"
        )
    found = pillar["environments"]
    if not isinstance(found, Mapping):
        raise Invalid([Mistake("environments", f"found {shown(found)}", "write a mapping of names to environments")])
    return {str(name): definition for name, definition in found.items()}


def pillar_id(master: Mapping) -> str:
    """Return the id whose pillar holds the environments, from the master's configuration."""
    ours = master.get("os_orchestrator") or {}
    found = ours.get("pillar_id", PILLAR_ID) if isinstance(ours, Mapping) else None
    if not isinstance(found, str) or not found:
        raise doors.Refused(
            f"os_orchestrator in the master's configuration is {shown(ours)}; "
            "it must be a mapping, with a text for pillar_id if that is given"
        )
    return found


def _refuse_a_key_of(virtual: str, master: Mapping) -> None:
    """Refuse to go on when a minion has asked for the virtual id: the master would give it the pillar."""
    for state, ids in salt.key.get_key(dict(master)).list_keys().items():
        if virtual in ids:
            raise doors.Refused(
                f"a minion has a key of the id {virtual} ({_KEY_STATES.get(state, state)}), which must belong to none, "
                f"since its pillar holds the environments; delete it with salt-key -d {virtual}"
            )


def _compiled(virtual: str, master: Mapping) -> dict:
    """Return the pillar of the virtual id, compiled alone; half a pillar is refused."""
    options = {**master, "pillar": {}, "pillar_opts": False, "pillar_safe_render_error": False}
    with _errors_of_salt() as logged:
        try:
            pillar = salt.pillar.Pillar(options, {"id": virtual}, virtual, "base").compile_pillar()
        except Exception as exc:
            what = f"{type(exc).__name__}: {exc}"
            raise doors.Refused(f"pillar of {virtual}: it cannot be compiled ({what}); look at its top.sls") from exc
    # Salt leaves out without an error what has an unknown renderer or an external pillar that is not there.
    errors = pillar.get("_errors") or logged
    if errors:
        raise doors.Refused("; ".join(f"pillar of {virtual}: {_render_error(error)}" for error in errors))
    return pillar


@contextmanager
def _errors_of_salt() -> Iterator[list[str]]:
    """Collect what Salt logs as an error while this thread compiles a pillar, in place of logging it: it is raised."""
    logged: list[str] = []
    here = threading.get_ident()

    def goes_on(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or record.thread != here:
            return True
        logged.append(record.getMessage())
        return False

    loggers = [logging.getLogger(name) for name in ("salt.pillar", "salt.template", "salt.utils.templates")]
    for logger in loggers:
        logger.addFilter(goes_on)
    try:
        yield logged
    finally:
        for logger in loggers:
            logger.removeFilter(goes_on)


def _render_error(error: object) -> str:
    """Return an error of Salt's pillar in one line, without the excerpt and the traceback."""
    text = re.split(r"\n---|\nTraceback ", str(error))[0]
    line = re.search(r"; line \d+$", str(error), re.M)
    return " ".join(text.split()) + (line[0] if line and line[0] not in text else "")
