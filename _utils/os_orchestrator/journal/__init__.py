"""
The master's record of deployments: an SQLite file that is whole at every instant and readable while a deployment runs.

Only this package touches SQLite. A connection is opened per use and never kept over a fork. Times are seconds since
the epoch, UTC, by the master's clock; a node's clock is never asked.

Each room uses only rooms below it::

    writing  reading    what happens · what happened
    claims              who works on an environment
    file                the file and its tables
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from os_orchestrator import doors
from os_orchestrator.journal.claims import Claim, Claimed
from os_orchestrator.journal.reading import Reading
from os_orchestrator.journal.writing import Writing

__all__ = ["Claim", "Claimed", "Journal", "of", "user"]


class Journal(Writing, Reading):
    """
    The journal in one file, made with mode 0600 in a directory of mode 0700.

    keep
        Deployments kept per environment; older ones are forgotten when a new one begins.
    """


def of(opts: Mapping) -> Journal:
    """Return the journal that the master's configuration names: ``os_orchestrator: {journal: PATH, keep: COUNT}``."""
    settings = opts.get("os_orchestrator") or {}
    if not isinstance(settings, Mapping):
        raise doors.Refused(f"os_orchestrator in the master's configuration must be a mapping, not {settings!r}")
    default = os.path.join(opts.get("cachedir") or "/var/cache/salt/master", "os_orchestrator", "journal.sqlite")
    keep = doors.number(settings.get("keep", 200), "os_orchestrator:keep", minimum=1, whole=True)
    return Journal(str(settings.get("journal", default)), keep)


def user() -> str:
    """Return the name of who runs this process, behind sudo too."""
    return os.environ.get("SUDO_USER") or getpass.getuser()
