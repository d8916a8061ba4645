"""Nodes with a Puppet of their own, and a real puppetserver on loopback, for the functional tests of the modules."""

import json
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import salt.config
import salt.loader
import trees
from houses import free_ports, write_puppet, written_facts

SALT_CALL = str(Path(sys.executable).with_name("salt-call"))
SERVER_JAR = Path("/usr/share/puppetserver/puppetserver.jar")
PACKAGED = Path("/etc/puppet/puppetserver")
SERVER_CONF = """
jruby-puppet: {{
    ruby-load-path: [/usr/lib/puppetserver/ruby/vendor_ruby]
    gem-home: {root}/gems
    gem-path: [{root}/gems, /usr/lib/puppetserver/vendored-jruby-gems]
    server-conf-dir: {root}/etc
    server-code-dir: {root}/code
    server-var-dir: {root}/var
    server-run-dir: {root}/run
    server-log-dir: {root}/log
    max-active-instances: 1
}}
webserver: {{ client-auth: want, ssl-host: 127.0.0.1, ssl-port: {port} }}
metrics: {{ server-id: localhost }}
global: {{ logging-config: {root}/etc/logback.xml }}
"""
LOGBACK = """
<configuration>
  <appender name="F" class="ch.qos.logback.core.FileAppender">
    <file>{root}/log/server.log</file><encoder><pattern>%d %-5p [%c{{2}}] %m%n</pattern></encoder>
  </appender>
  <root level="info"><appender-ref ref="F"/></root>
</configuration>
"""
JAVA = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djruby.lib=/usr/share/jruby/lib"]


@dataclass
class Node:
    """A minion's modules as Salt loads them, with Puppet directories of its own."""

    root: Path
    settings: dict = field(default_factory=dict)
    context: dict = field(default_factory=dict)
    functions: object = None
    compiled: Path | None = None

    def configure(self, certname="node.lab.test", **puppet_conf):
        """Write ``puppet.conf``, and an empty manifest to apply."""
        self.etc.mkdir(parents=True)
        (self.etc / "code/environments/production/manifests").mkdir(parents=True)
        places = {"ssldir": "ssl", "rundir": "run", "logdir": "log", "publicdir": "public"}
        settings = {"certname": certname, "codedir": self.etc / "code", "reports": "none"}
        settings |= {name: self.var / place for name, place in places.items()} | written_facts(self.var, certname)
        (self.etc / "puppet.conf").write_text(_ini(main=settings | puppet_conf))
        self.settings = {"mode": "apply", "confdir": str(self.etc), "vardir": str(self.var)}
        self.settings["manifest"] = str(self.manifest(""))
        if self.compiled:
            self.settings["puppet"] = str(self.root / "bin/puppet")
            (self.root / "bin").mkdir()
            write_puppet(self.root / "bin/puppet", self.compiled)
        return self

    def load(self, **settings):
        """Load the modules with these settings of the node instead of its own."""
        options = {
            "id": "node",
            "file_client": "local",
            "root_dir": str(self.root),
            "module_dirs": [str(trees.planted(self.root / "tree"))],
        }
        options |= {"cachedir": str(self.root / "cache"), "puppet_agent": self.settings | settings, "grains": {}}
        (self.root / "salt").mkdir(exist_ok=True)
        (self.root / "cache").mkdir(exist_ok=True)
        (self.root / "salt/minion").write_text(json.dumps(options | {"log_file": "/dev/null"}))
        opts = salt.config.minion_config(str(self.root / "salt/minion"))
        for place in ("pki_dir", "sock_dir", "extension_modules"):  # two salt-calls at once trip over making them
            Path(opts[place]).mkdir(parents=True, exist_ok=True)
        self.functions = salt.loader.minion_mods(opts, context=self.context)
        return self

    @property
    def etc(self):
        return self.root / "etc"

    @property
    def var(self):
        return self.root / "var"

    def conf(self, **settings):
        """Add settings to ``puppet.conf``; the last one of a name counts."""
        path = self.etc / "puppet.conf"
        lines = [line for line in path.read_text().splitlines() if line.partition(" = ")[0] not in settings]
        path.write_text("\n".join(lines) + "\n" + _ini(main=settings).removeprefix("[main]\n"))

    def bare(self, *arguments):
        """Run Puppet's agent by itself and return its exit status."""
        command = ["puppet", "agent", "--onetime", "--no-daemonize", "--detailed-exitcodes", *arguments]
        command += [f"--confdir={self.etc}", f"--vardir={self.var}"]
        return subprocess.run(command, check=False, capture_output=True).returncode

    def manifest(self, text):
        """Write what the node applies."""
        path = self.root / "site.pp"
        path.write_text(text.replace("ROOT", str(self.root)))
        return path

    def __getattr__(self, name):
        """Return a function of puppet_agent."""
        return self.functions[f"puppet_agent.{name}"]

    def folder(self, run_id):
        """Return what lies in a run's directory."""
        return self.root / "cache/puppet_agent/runs" / run_id

    def state(self, run_id):
        return json.loads((self.folder(run_id) / "state.json").read_text())

    def background(self, *arguments):
        """Call a function of puppet_agent in a process of its own, as a minion's job would."""
        command = [
            SALT_CALL,
            "-c",
            str(self.root / "salt"),
            "--local",
            "--out=json",
            "--retcode-passthrough",
            *arguments,
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, text=True, start_new_session=True, **pipes)

    def puppets(self):
        """Return the processes that belong to this node: those that name its directory."""
        own = str(self.root)
        found = psutil.process_iter(["cmdline", "status"])
        found = [each for each in found if any(own in word for word in each.info["cmdline"] or ())]
        return [each for each in found if each.info["status"] != psutil.STATUS_ZOMBIE]

    def until(self, condition, timeout=60):
        """Return what a condition comes to, as soon as it is anything."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return found


@dataclass
class Server:
    """A puppetserver with directories and a certificate authority of its own."""

    root: Path
    port: int
    process: subprocess.Popen = None

    def configure(self):
        """Write its configuration; certificates are signed at once for ``*.lab.test`` and for nobody else."""
        for name in ("etc", "code/environments", "var", "var/yaml/facts", "run", "log", "gems", "conf.d"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        place = {"root": self.root, "port": self.port}
        (self.root / "conf.d/server.conf").write_text(SERVER_CONF.format(**place))
        for name in ("auth.conf", "web-routes.conf"):
            shutil.copy(PACKAGED / "conf.d" / name, self.root / "conf.d" / name)
        (self.root / "etc/logback.xml").write_text(LOGBACK.format(**place))
        (self.root / "etc/autosign.conf").write_text("*.lab.test\n")
        settings = {"certname": "localhost", "keylength": 2048, "ssldir": f"{self.root}/var/ssl", "user": "root"}
        settings |= {"cadir": f"{self.root}/var/ca", "group": "root", "reports": "none", "dns_alt_names": "localhost"}
        (self.root / "etc/puppet.conf").write_text(_ini(main=settings))
        self.manifest("production", "")

    def manifest(self, environment, text):
        """Write the manifest of an environment, which exists from then on."""
        manifests = self.root / "code/environments" / environment / "manifests"
        manifests.mkdir(parents=True, exist_ok=True)
        (manifests / "site.pp").write_text(text)

    def start(self, timeout=120):
        """Start it and return when it answers."""
        command = ["java", *JAVA, "-jar", str(SERVER_JAR), "--config", str(self.root / "conf.d")]
        command += [
            "--bootstrap-config",
            str(PACKAGED / "services.d"),
            "--restart-file",
            str(self.root / "run/restart"),
        ]
        with (self.root / "log/console.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root)
        deadline = time.monotonic() + timeout
        while not self.answers():
            assert self.process.poll() is None, (self.root / "log/console.log").read_text()
            assert time.monotonic() < deadline, (self.root / "log/server.log").read_text()
            time.sleep(0.3)

    def answers(self):
        """Say whether the server serves requests."""
        trusting = ssl._create_unverified_context()
        try:
            url = f"https://localhost:{self.port}/status/v1/simple"
            return urllib.request.urlopen(url, timeout=5, context=trusting).read() == b"running"
        except OSError:
            return False

    def stop(self):
        """End it at once."""
        self.process.kill()
        self.process.wait()


def _ini(**sections):
    lines = []
    for name, settings in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in settings.items()), ""]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Where Puppet's Ruby keeps what it has compiled."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def bare_node(tmp_path, compiled):
    """A node with Puppet directories, whose modules a test loads as it likes."""
    if not shutil.which("puppet"):
        pytest.skip("Puppet is not installed: apt-get install puppet-agent")
    node = Node(tmp_path, compiled=compiled).configure()
    yield node
    for process in node.puppets():
        process.kill()


@pytest.fixture
def node(bare_node):
    """A node that applies a manifest of its own."""
    return bare_node.load()


@pytest.fixture(scope="session")
def puppetserver(tmp_path_factory):
    """A running puppetserver, a certificate authority included."""
    if not SERVER_JAR.exists():
        pytest.skip("puppetserver is not installed: apt-get install puppetserver")
    server = Server(tmp_path_factory.mktemp("puppetserver"), *free_ports(1))
    server.configure()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificates(puppetserver, tmp_path_factory):
    """The ``ssldir`` of a node whose certificate is signed."""
    ssldir = tmp_path_factory.mktemp("certificates")
    command = ["puppet", "ssl", "bootstrap", f"--ssldir={ssldir}", "--certname=node.lab.test", "--server=localhost"]
    # This server lets the request that follows a PUT on the same connection wait for 30 seconds.
    command += [f"--serverport={puppetserver.port}", "--http_keepalive_timeout=0"]
    subprocess.run(command, check=True, capture_output=True)
    return ssldir


@pytest.fixture
def agent(puppetserver, certificates, tmp_path, compiled):
    """A node whose agent has a certificate and a server."""
    node = Node(tmp_path, compiled=compiled)
    at_the_server = {"server": "localhost", "serverport": puppetserver.port, "ssldir": certificates}
    node.configure(**at_the_server, facts_terminus="facter").load(mode="agent")
    yield node
    for process in node.puppets():
        process.kill()
