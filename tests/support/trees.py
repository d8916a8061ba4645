"""
The repository as one has it who installs it: what Salt loads, without virtual environments and caches.

Salt lists all that lies in its ``file_roots`` and beside its ``module_dirs``, and does so for every job.
"""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("_modules", "_output", "_runners", "_states", "_utils", "orch")


def planted(folder):
    """Make the tree as a folder, unless it is there, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if not (folder / part).exists():
            (folder / part).symlink_to(REPOSITORY / part)
    return folder
