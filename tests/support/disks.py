"""Disks that fill up. Needs root."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(place, size):
    """Mount a small file system in place of a directory; it is gone on leaving."""
    place.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place):
    """Write until nothing more fits."""
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
