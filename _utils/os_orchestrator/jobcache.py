"""
What the master has stored of nodes' answers.

On the bus an answer is a rumour: any minion may put an event there, under any name and tag. Into the job cache the
master writes alone, what came from a minion that has proved who it is, or from one that claims to be its syndic
(docs/security.md shuts that); the first answer of a node to a job stays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import salt.payload
import salt.utils.jid
from salt.exceptions import SaltDeserializationError

#: Bytes of the longest answer that is read. An outcome of ours has 64 KiB at most; a larger one is somebody's mistake.
LARGEST = 4 * 2**20


@dataclass(frozen=True)
class Stored:
    """An answer as its node sent it, and the return code of the job."""

    answer: object
    retcode: object


class JobCache:
    """The master's local job cache (``master_job_cache: local_cache``, Salt's own default)."""

    def __init__(self, opts: Mapping):
        self._jobs, self._hash = os.path.join(opts["cachedir"], "jobs"), opts["hash_type"]

    def find(self, jid: str, node: str) -> Stored | None:
        """Return what a node has answered to a job, or None if the master has no answer of it."""
        path = Path(salt.utils.jid.jid_dir(jid, self._jobs, self._hash), node, "return.p")
        try:
            size = path.stat().st_size
            if size > LARGEST:
                return Stored(f"an answer of {size} bytes; {LARGEST} are the most that is read", 1)
            stored = salt.payload.loads(path.read_bytes(), encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SaltDeserializationError) as error:
            return Stored(f"an answer that the job cache cannot give back: {error}", 1)
        return Stored(stored.get("return"), stored.get("retcode")) if isinstance(stored, Mapping) else None


def of(opts: Mapping) -> JobCache | None:
    """Return the master's job cache; None where answers are not kept there (see docs/security.md)."""
    local = opts.get("master_job_cache", "local_cache") == "local_cache"
    return JobCache(opts) if local and opts.get("job_cache", True) and not opts.get("ext_job_cache") else None
