"""What the images of the nodes are made of, layer by layer."""

import hashlib
import shutil
import sys
from importlib import metadata
from pathlib import Path

from machines.layers import Layer
from machines.machine import LAB, REPOSITORY, Trouble, call

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
PACKAGE = Path("/srv/salt-minion.deb")
RELEASE, KEYRING = "bookworm", "/usr/share/keyrings/debian-archive-keyring.gpg"
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
# The Salt that a node has before it is upgraded to the others'.
OLDER_SALT = "3006.28"


def plan(packages):
    """Return the layers of each image by its name, topmost first."""
    base = (Layer("base", packages["base"], (), _bootstrap),)
    over = {name: (Layer(name, packages[name], base, _install_packages), *base) for name in packages.keys() - {"base"}}
    furnished = Layer("furnished", [FURNISH.read_text(), digest_of(SERVER)], over["server"], _furnish_server)
    server = (furnished, *over.pop("server"))
    plugins = Layer("plugins", "", server, _copy_plugins)
    salt = _salt(metadata.version("salt"), base)
    minions = {name: (*salt, plugins, *stack) for name, stack in {"base": base, **over}.items()}
    return {**minions, "server": server, "older": (*_older(base, (*salt, *base)), plugins, *base)}


def _salt(version, base):
    """Return the layers that are Salt, with this project's wheel."""
    salt = Layer("salt", [f"salt=={version}", *BESIDE_SALT], base, _install_salt)
    return Layer("product", _digest(_sources()), (salt, *base), _install_product), salt


def _older(base, newer):
    """Return the layers that are an older Salt from a Debian package, with the package that upgrades it beside it."""
    packed = Layer("package", metadata.version("salt"), newer, _pack_salt)
    older = Layer("older", OLDER_SALT, (*_salt(OLDER_SALT, base), *base), _install_as_package)
    return packed, older


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


def _pack_salt(scratch, version):
    """Make a Debian package of the Salt that is seen."""
    control = (
        f"Package: {PACKAGE.stem}\nVersion: {version}\nArchitecture: all\nMaintainer: the lab\nDescription: Salt\n"
    )
    (scratch.files / "srv/tree/DEBIAN").mkdir(parents=True)
    (scratch.files / "srv/tree/DEBIAN/control").write_text(control)
    pack = f"mkdir /srv/tree/opt && cp -a {SALT} /srv/tree{SALT} && dpkg-deb --build -Zzstd -z1 /srv/tree {PACKAGE}"
    scratch.run("sh", "-c", f"{pack} && rm -r /srv/tree")


def _install_as_package(scratch, version):
    """Let dpkg know the Salt that is seen, as if it had come so."""
    _pack_salt(scratch, version)
    scratch.run("sh", "-c", f"dpkg --install {PACKAGE} && rm {PACKAGE}")


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
