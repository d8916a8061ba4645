"""
The images of the nodes: layers of files, each built once over others and laid over them by overlayfs.

A layer's directory is named by a digest of all that it is made of: a layer that is there is the right one, and a change
of the lab, of Salt's version or of this project builds what it must and nothing else.
"""

import hashlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from machines.machine import HOME, LAB, REPOSITORY, Trouble, call

IMAGES = HOME / "images"
SOURCES = (
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "pyproject.toml",
    "setup.py",
    "tests/requirements.txt",
    "_*",
    "orch",
    "pillar.example",
)
SERVER, FURNISH = LAB / "files/puppet", LAB / "machines/furnish"
RELEASE, KEYRING = "bookworm", "/usr/share/keyrings/debian-archive-keyring.gpg"
# No part in the machine's own systemd, if it has one.
ALIEN = ("--register=no", "--keep-unit")
# Documentation has no reader here, and what is interrupted is built anew, so nothing waits for the disk.
DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""
INSTALL = "apt-get install -qq --yes --no-install-recommends"
# Salt in the nodes: an environment of its own, made with Debian's Python, which images keep read-only.
SALT, BESIDE_SALT = "/opt/salt", ("jsonschema", "PyMySQL")


def build(packages):
    """Build the layers that are missing and return those of each image by its name, topmost first."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    base = (_layer("base", packages["base"], (), _bootstrap),)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        salt = pool.submit(_layer, "salt", [f"salt=={metadata.version('salt')}", *BESIDE_SALT], base, _install_salt)
        others = sorted(packages.keys() - {"base"}, reverse=True)
        stacks = {name: pool.submit(_layer, name, packages[name], base, _install_packages) for name in others}
        stacks = {"base": base, **{name: (layer.result(), *base) for name, layer in stacks.items()}}
        salt = salt.result()
    product = _layer("product", _digest(_sources()), (salt, *base), _install_product)
    furnished = _layer("furnished", [FURNISH.read_text(), digest_of(SERVER)], stacks["server"], _furnish_server)
    stacks["server"] = (furnished, *stacks["server"])
    plugins = _layer("plugins", "", stacks["server"], _copy_plugins)
    return {name: (product, salt, plugins, *stack) for name, stack in stacks.items()}


def prune(stacks):
    """Remove the layers that no image has any more."""
    for layer in set(IMAGES.iterdir()) - {layer for stack in stacks.values() for layer in stack}:
        shutil.rmtree(layer)


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
        options += [f"--machine={self.place.name.replace('_', '-')}", *(f"--bind-ro={bind}" for bind in binds)]
        with overlay(self.root, self.below, self.files, self.work):
            call(
                "systemd-nspawn",
                "-q",
                "-D",
                self.root,
                *ALIEN,
                "--as-pid2",
                "--resolv-conf=replace-host",
                *options,
                *command,
            )
        for trace in ("etc/resolv.conf", "etc/machine-id"):
            (self.files / trace).unlink(missing_ok=True)


def _layer(name, made_of, below, make):
    """Return a layer's directory, built by ``make`` unless it is there already."""
    recipe = json.dumps([inspect.getsource(make), made_of, [each.name for each in below]])
    place = IMAGES / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not place.exists():
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=IMAGES.parent, prefix=f"{name}-", ignore_cleanup_errors=True) as scratch:
            making = Scratch(Path(scratch), below)
            make(making, made_of)
            making.files.rename(place)
        size = call("du", "-sm", place).split()[0]
        print(f"Image layer {name} took {time.monotonic() - begun:.0f} seconds and {size} MB.", flush=True)
    return place


def _bootstrap(scratch, packages):
    """Make Debian's smallest system with these packages, from the machine's own sources of Debian."""
    listed = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)")
    targets = call(*listed, "Created-By: Packages", "Origin: Debian").splitlines()
    sources = sorted({target for target in targets if target.split()[1].startswith(RELEASE)})
    if not sources:
        raise Trouble(f"apt has no sources of Debian {RELEASE} on this machine: the nodes are made from them")
    (scratch.place / "sources").write_text("".join(f"deb [signed-by={KEYRING}] {source}\n" for source in sources))
    configure = f"printf '{DPKG}' >\"$1/etc/dpkg/dpkg.cfg.d/lab\""
    options = ("--quiet", "--mode=root", "--variant=minbase", f"--essential-hook={configure}")
    call("mmdebstrap", *options, f"--include={','.join(packages)}", RELEASE, scratch.files, scratch.place / "sources")
    _enable_nothing(scratch.files)


def _install_packages(scratch, packages):
    policy = scratch.files / "usr/sbin/policy-rc.d"
    policy.parent.mkdir(parents=True)
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    scratch.run("sh", "-c", f"apt-get update -qq && {INSTALL} {' '.join(packages)} && apt-get clean")
    policy.unlink()
    _enable_nothing(scratch.files)


def _enable_nothing(files):
    for target in ("multi-user", "timers"):
        for wanted in (files / "etc/systemd/system" / f"{target}.target.wants").glob("*"):
            wanted.unlink()


def _install_salt(scratch, wanted):
    """Install Salt from wheels made on the machine, with whatever package index it is configured for."""
    _wheels(scratch.place, *wanted)
    _pip_in(scratch, "python3 -m venv", wanted)


def _install_product(scratch, _):
    source = scratch.place / "source"
    for file in _sources():
        (source / file.relative_to(REPOSITORY)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, source / file.relative_to(REPOSITORY))
    _wheels(scratch.place, "--no-deps", "--no-build-isolation", source)
    _pip_in(scratch, "test -d", ["os-orchestrator"])


def _wheels(place, *what):
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", place / "wheels", *what)


def _pip_in(scratch, prepare, wanted):
    pip = f"{SALT}/bin/pip install --quiet --no-index --find-links /mnt {' '.join(wanted)}"
    scratch.run("sh", "-c", f"{prepare} {SALT} && {pip}", binds=[f"{scratch.place}/wheels:/mnt"])


def _furnish_server(scratch, _):
    shutil.copytree(SERVER, scratch.files, dirs_exist_ok=True)
    scratch.run("sh", "-c", FURNISH.read_text())


def _copy_plugins(scratch, _):
    """Give agents beforehand what they would fetch from the server in their first run, a file at a time."""
    there, here = "/usr/share/puppet/modules.available", "/var/cache/puppet"
    copy = f"for kind in lib facts.d; do cp -rT {there}/$module/$kind {here}/$kind; done"
    scratch.run("sh", "-c", f"mkdir -p {here}; for module in $(ls {there}); do {copy}; done 2>/dev/null; true")


def _sources():
    """Return the files that the wheel is made of."""
    listed = ("git", "-C", REPOSITORY, "ls-files", "-z", "--", *SOURCES)
    return [REPOSITORY / name for name in call(*listed).split("\0") if name]


def digest_of(directory):
    """Return a digest of all files in a directory."""
    return _digest(sorted(each for each in directory.rglob("*") if each.is_file()))


def _digest(files):
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
