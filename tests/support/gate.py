"""What the tests of the gates share: a minion's modules as Salt loads them, and the stand-in for MMM's monitor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import salt.config
import salt.loader
import trees

REPOSITORY = Path(__file__).resolve().parents[2]
STANDIN = REPOSITORY / "tests/standins/mmm_control"


class Minion:
    """The execution modules of one node, without a master."""

    def __init__(self, root, **settings):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.options = {
            "id": "node",
            "file_client": "local",
            "root_dir": str(self.root),
            "cachedir": str(self.root / "cache"),
            "module_dirs": [str(trees.planted(self.root / "tree"))],
            **settings,
        }
        self.context = {}
        options = salt.config.minion_config(None)
        options.update(self.options, grains={"ipv4": ["127.0.0.1"], "ipv6": []}, conf_file=str(self.root / "minion"))
        self.functions = salt.loader.minion_mods(options, context=self.context)

    def __call__(self, function, *args, **kwargs):
        """Call a function and return what it returns; ``retcode`` tells its return code."""
        self.context.pop("retcode", None)
        return self.functions[function](*args, **kwargs)

    @property
    def retcode(self):
        return self.context.get("retcode", 0)

    def call(self, *words, prefix=(), timeout=60):
        """Run ``salt-call`` as an operator would; return (exit status, what it printed, standard error)."""
        (self.root / "minion").write_text(json.dumps(self.options))
        program = str(Path(sys.executable).with_name("salt-call"))
        command = [*prefix, program, "--local", "-c", str(self.root), "-l", "error", "--out", "json", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        return done.returncode, done.stdout, done.stderr


class Monitor:
    """The stand-in for ``mmm_control`` in a directory of its own; ``settings`` lead a minion to it."""

    def __init__(self, directory, **state):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        # The interpreter by its path: what `env` finds may be a slow wrapper.
        program = self.directory / "mmm_control"
        program.write_text(STANDIN.read_text().replace("#!/usr/bin/env python3", f"#!{sys.executable} -IS", 1))
        program.chmod(0o755)
        self.state = {}
        self.set(**state)

    @property
    def settings(self):
        return {"mmm_control": str(self.directory / "mmm_control"), "lock": str(self.directory / "lock"), "timeout": 5}

    def set(self, cluster="", **changes):
        """Change what the monitor knows; None takes a thing away."""
        self.state = {key: value for key, value in {**self.state, **changes}.items() if value is not None}
        name = f"mmm_mon_{cluster}" if cluster else "mmm_mon"
        written = self.directory / f"{name}.new"
        written.write_text(json.dumps(self.state))
        os.replace(written, self.directory / f"{name}.json")

    def show(self):
        """Return what ``mmm_control show`` prints now."""
        return subprocess.run([self.directory / "mmm_control", "show"], capture_output=True, text=True).stdout.rstrip(
            "\n"
        )


def hosts(writer="db1", *, network="10.77.0", **states):
    """Return the two masters of the facts as a state, the writer's role on one of them or on nobody."""
    return {
        name: {
            "ip": f"{network}.1{number}",
            "state": states.get(name, "ONLINE"),
            "roles": [f"writer({network}.50)"] if name == writer else [],
        }
        for number, name in enumerate(("db1", "db2"), 1)
    }


def codes(answer):
    """Return the reason codes of a predicate's answer, without doubles."""
    return list(dict.fromkeys(reason["code"] for reason in answer["reasons"]))


def warned(answer):
    return list(dict.fromkeys(warning["code"] for warning in answer["warnings"]))
