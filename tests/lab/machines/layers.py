"""
Layers of files, each built once over others and laid over them by overlayfs.

A layer's directory is named by a digest of all that it is made of: a layer that is there is the right one, and a change
of the lab, of Salt's version or of this project builds what it must and nothing else.
"""

import hashlib
import inspect
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from machines.machine import HOME, call, in_parallel

LAYERS = HOME / "images"
# No part in the machine's own systemd, if it has one.
ALIEN = ("--register=no", "--keep-unit")
# One more than the machine has cores, for a build waits for its downloads too.
BUILDERS = threading.Semaphore(1 + os.cpu_count())


@dataclass(eq=False)
class Layer:
    """
    The files of a layer. ``make`` fills a ``Scratch`` with what it is ``made_of``; ``below`` are the layers that it
    sees meanwhile, topmost first.
    """

    name: str
    made_of: object
    below: tuple
    make: Callable
    building: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def place(self):
        recipe = json.dumps([inspect.getsource(self.make), self.made_of, [each.place.name for each in self.below]])
        return LAYERS / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def build(self):
        """Build it, and what is below, unless it is there. Whoever asks meanwhile waits."""
        with self.building:
            if not self.place.exists():
                in_parallel(Layer.build, self.below)
                with BUILDERS:
                    self._make()

    def _make(self):
        begun = time.monotonic()
        LAYERS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=HOME, prefix=f"{self.name}-", ignore_cleanup_errors=True) as place:
            making = Scratch(Path(place), [layer.place for layer in self.below])
            self.make(making, self.made_of)
            making.files.rename(self.place)
        size = call("du", "-sm", self.place).split()[0]
        print(f"Image layer {self.name} took {time.monotonic() - begun:.0f} seconds and {size} MB.", flush=True)


def prune(layers):
    """Remove all layers but these and those that they are made over."""
    for place in set(LAYERS.glob("*")) - {each.place for layer in layers for each in (layer, *layer.below)}:
        shutil.rmtree(place)


@contextmanager
def overlay(root, below, upper, work):
    """Mount layers, topmost first, and over them the directory that takes the changes."""
    lower = ":".join(map(str, below))
    call("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", root)
    try:
        yield
    finally:
        call("umount", root)


class Scratch:
    """A layer in the making: ``files`` will be it, and programs run in a root made of it and the layers below."""

    def __init__(self, place, below):
        self.place, self.below = place, below
        self.files, self.root, self.work = (place / name for name in ("files", "root", "work"))
        for directory in (self.files, self.root, self.work):
            directory.mkdir(mode=0o755)

    def run(self, *command, binds=()):
        """Run a command in that root, with the machine's network and proxies."""
        told = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        options = [f"--setenv={name}={value}" for name, value in {**told, "DEBIAN_FRONTEND": "noninteractive"}.items()]
        # A name that nspawn takes: no underscore, no dash at its end.
        options += [f"--machine={self.place.name.replace('_', '-')}-lab", *(f"--bind-ro={bind}" for bind in binds)]
        options += [*ALIEN, "--as-pid2", "--resolv-conf=replace-host"]
        with overlay(self.root, self.below, self.files, self.work):
            call("systemd-nspawn", "-q", "-D", self.root, *options, *command)
        for trace in ("etc/resolv.conf", "etc/machine-id"):
            (self.files / trace).unlink(missing_ok=True)
