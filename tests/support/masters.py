"""A master's files, for runners that need its configuration, keys and pillar, but no daemon."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import salt.config
import salt.loader
import trees


@dataclass
class Master:
    """A master's files. Salt is not running."""

    root: Path

    @property
    def conf_file(self):
        return self.root / "conf/master"

    @property
    def opts(self):
        return salt.config.master_config(str(self.conf_file))

    def configure(self, **options):
        ours = {
            "root_dir": str(self.root),
            "id": "themaster",
            "module_dirs": [str(trees.planted(self.root / "tree"))],
            "pillar_roots": {"base": [str(self.root / "pillar")]},
            "file_roots": {"base": [str(self.root / "states")]},
            "log_level_logfile": "quiet",
        }
        self.conf_file.write_text(json.dumps({**ours, **options}))
        # Made by salt-master's start.
        (Path(self.opts["cachedir"]) / "proc").mkdir(parents=True, exist_ok=True)

    def accept(self, *ids, state="minions"):
        """Put keys of minions into one of the states of ``salt-key -L``."""
        for name in ids:
            path = Path(self.opts["pki_dir"]) / state / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("-----BEGIN PUBLIC KEY-----\n")

    def pillar(self, name, text):
        path = self.root / "pillar" / f"{name}.sls"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def environments(self, text):
        self.pillar("top", "base:\n  os-orchestrator:\n    - environments\n  themaster:\n    - own\n")
        self.pillar("own", "environments: {mine: {roles: {}}}\n")
        self.pillar("environments", text)

    def call(self, name, *args, **kwargs):
        """Call a runner function as Salt's loader has it, and return its answer and retcode."""
        answer = salt.loader.runner(self.opts, context={})[name](*args, **kwargs)
        return answer["answer"], answer["retcode"]

    def salt_run(self, *args):
        """Run ``salt-run`` as an operator would."""
        command = [
            sys.executable,
            str(Path(sys.executable).parent / "salt-run"),
            "-c",
            str(self.conf_file.parent),
            *args,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ})
