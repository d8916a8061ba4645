"""A deployment of ours and a plain orchestration, side by side on the same nodes, for one fault that meets both."""

import json
import subprocess
from dataclasses import dataclass

OURS = """
Storage nodes are installed:
  phase.puppet:
    - role: storage

The proxy is installed:
  phase.puppet:
    - role: proxy
    - require:
      - phase: Storage nodes are installed
"""
# What one writes without us: Puppet by cmd.run, its good exit codes named, the next step required.
PUPPET = (
    "puppet apply --detailed-exitcodes --color=false --confdir {home}/etc --vardir {home}/plain"
    " --rundir {home}/plain/run --publicdir {home}/plain/public {home}/site.pp"
)


@dataclass
class Told:
    """What a command came to: its exit status and all that it printed."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Contest:
    """Both orchestrations of a site: the storage nodes n1 and n2, then the proxy n4."""

    site: object
    file_root: object
    ours: subprocess.Popen = None
    plain: subprocess.Popen = None

    @property
    def plain_trace(self):
        return self.site.trace.with_name("plain")

    def write(self):
        """Write both scenarios into the master's file root."""
        self.plain_trace.touch()
        folder = self.file_root / self.site.name
        folder.mkdir()
        (folder / "ours.sls").write_text(OURS)
        (folder / "plain.sls").write_text("#!yaml\n" + json.dumps(self._plain()))

    def _plain(self):
        kwarg = {"template": "jinja", "success_retcodes": [0, 2], "env": [{"TRACE": str(self.plain_trace)}]}
        command = PUPPET.format(home=self.site.house.root / "puppet/{{ grains.id }}")

        def step(nodes, **more):
            rest = [{key: value} for key, value in more.items()]
            return {
                "salt.function": [
                    {"name": "cmd.run"},
                    {"tgt": nodes},
                    {"tgt_type": "list"},
                    {"arg": [command]},
                    {"kwarg": kwarg},
                    *rest,
                ]
            }

        return {"storage": step(["n1", "n2"]), "proxy": step(["n4"], require=[{"salt": "storage"}])}

    def start(self):
        """Start both; they run at the same time."""
        self.write()
        house, name = self.site.house, self.site.name
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        self.ours = subprocess.Popen(house.command("salt-run", "deployment.run", name, f"{name}.ours"), **pipes)
        self.plain = subprocess.Popen(house.command("salt-run", "state.orch", f"{name}.plain"), **pipes)

    def began(self, node):
        """Whether Puppet works on a node for both."""
        return all(f"start {node} " in trace.read_text() for trace in (self.site.trace, self.plain_trace))

    def finish(self, timeout=120):
        """Return what both came to."""
        told = []
        for process in (self.ours, self.plain):
            out, err = process.communicate(timeout=timeout)
            told.append(Told(process.returncode, out, err))
        return told

    def outcome(self, timeout=120):
        """Return exit status of both, as a pair."""
        return tuple(told.returncode for told in self.finish(timeout))

    def end(self):
        """End what still runs of both."""
        for process in (self.ours, self.plain):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()

    def verdicts(self, phase=0):
        """Return our verdicts of a phase, by node."""
        return {node["node"]: node["verdict"] for node in self.site.shown()["phases"][phase]["nodes"]}

    @property
    def went_on(self):
        """Whether each went on to the proxy, ours and the plain one."""
        return tuple("start n4 " in trace.read_text() for trace in (self.site.trace, self.plain_trace))
