"""
How much longer ``puppet_agent.run`` takes than the bare ``puppet`` command: the supervisor, the report parsed, the job.

Real Puppet applies the same manifest on the same node in turns: by its own command, by the function in this process,
and by a job of the master to the node's minion, from its publication to its return. All runs find everything as it is
to be, so that Puppet does as little as it can.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import houses
import salt.client
import salt.config
import salt.loader
import trees
from figures import Figure
from os_orchestrator.node import supervisor

TABLE = "One run: wall time over that of the bare puppet command"
NODE = "n1"
#: Seconds.
LONGEST = 600
GOALS = {2000: 1.03}


def measure(work: Path, samples: int, quick: bool) -> list[Figure]:
    ours = {"module_dirs": [str(trees.planted(work / "tree"))]}
    with houses.opened(work / "h", [NODE], master_options=ours, minion_options=ours) as house:
        found = []
        for count in (0,) if quick else (0, 2000):
            found += _measure(house, work, count, samples)
        return found


def _measure(house: houses.House, work: Path, count: int, samples: int) -> list[Figure]:
    """Measure with a manifest of so many resources of the site's own; Puppet has some of its own in any catalog."""
    title = f"{count:,} resources" if count else "empty catalog"
    house.manifest(NODE, manifest(work / f"files{count}", count))
    function, job = _function(house), _job(house)
    seconds = {"bare": _bare(house), "function": function, "job": job}
    ratios: dict[str, list[float]] = {"function": [], "job": []}
    for each in seconds.values():
        each()
    for _ in range(samples):
        took = {name: _timed(each) for name, each in seconds.items()}
        for name, found in ratios.items():
            found.append(took[name] / took["bare"])
            print(f"  {title}: {name} {found[-1]:.3f} of {took['bare']:.2f} s", file=sys.stderr, flush=True)
    subjects = {"function": "puppet_agent.run", "job": "the whole job to a minion"}
    goals = {"function": GOALS.get(count)}
    return [Figure(TABLE, title, subjects[name], tuple(ratios[name]), goal=goals.get(name)) for name in ratios]


def manifest(folder: Path, count: int) -> str:
    """Return a manifest with so many files in a folder."""
    files = "".join(f"file {{ '{folder}/{number}': content => '{number}' }}\n" for number in range(count - 1))
    return f"file {{ '{folder}': ensure => directory }}\n{files}" if count else ""


def _timed(function: Callable[[], None]) -> float:
    began = time.monotonic()
    function()
    return time.monotonic() - began


def _bare(house: houses.House) -> Callable[[], None]:
    home = house.puppet(NODE)
    command = ["puppet", "apply", "--detailed-exitcodes", "--confdir", str(home / "etc"), "--vardir", str(home / "var")]

    def run() -> None:
        # Some facts take longer with more in PATH.
        done = subprocess.run(
            [*command, str(home / "site.pp")], capture_output=True, text=True, env=supervisor.environment(), check=False
        )
        if done.returncode not in (0, 2):
            raise SystemExit(f"puppet apply: exit status {done.returncode}:\n{done.stdout}\n{done.stderr}")

    return run


def _function(house: houses.House) -> Callable[[], None]:
    options = salt.config.minion_config(str(house.root / NODE / "minion"))
    options["grains"] = salt.loader.grains(options)
    run = salt.loader.minion_mods(options)["puppet_agent.run"]
    return lambda: _must_be_good(run())


def _job(house: houses.House) -> Callable[[], None]:
    client = salt.client.LocalClient(c_path=str(Path(house.master.config_dir) / "master"))
    return lambda: _must_be_good(client.cmd(NODE, "puppet_agent.run", timeout=LONGEST).get(NODE))


def _must_be_good(outcome: object) -> None:
    if not isinstance(outcome, dict) or outcome.get("verdict") not in ("changed", "unchanged"):
        raise SystemExit(f"puppet_agent.run: {outcome}")
