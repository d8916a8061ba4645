"""A real PuppetDB for the tests, with a PostgreSQL and certificates of its own, on loopback."""

import contextlib
import datetime
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import mariadb
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

JAR, PACKAGED = Path("/usr/share/puppetdb/puppetdb.jar"), Path("/etc/puppetdb")
JAVA = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))
MISSING = "not installed: puppetdb, postgresql (Debian's), or the tests do not run as root"
IS_THERE = JAR.exists() and (POSTGRES / "initdb").exists() and os.geteuid() == 0
SETTINGS = """
[global]
vardir = {root}/var
logging-config = {root}/logback.xml
[database]
subname = //{address}:5432/puppetdb
username = puppetdb
password = puppetdb
maximum-pool-size = 4
[jetty]
host = {address}
port = 8080
ssl-host = {address}
ssl-port = 8081
ssl-key = {root}/ssl/server.key
ssl-cert = {root}/ssl/server.pem
ssl-ca-cert = {root}/ssl/ca.pem
[puppetdb]
certificate-allowlist = {root}/allowed
disable-update-checking = true
[developer]
pretty-print = false
"""
LOGBACK = """
<configuration>
  <appender name="F" class="ch.qos.logback.core.FileAppender">
    <file>{root}/puppetdb.log</file><encoder><pattern>%d %-5p [%c{{2}}] %m%n</pattern></encoder>
  </appender>
  <root level="info"><appender-ref ref="F"/></root>
</configuration>
"""


class PuppetDB:
    """A PuppetDB at an address of loopback, and the files of a client that it lets in."""

    def __init__(self, root, address):
        self.root, self.address = Path(root), address
        self.url, self.clear = f"https://{address}:8081", f"http://{address}:8080"

    @property
    def client(self):
        """What the settings of puppetdb_node call the files of the client."""
        ssl = self.root / "ssl"
        names = {"certificate": "node.lab.test.pem", "private_key": "node.lab.test.key", "ca_file": "ca.pem"}
        return {setting: str(ssl / name) for setting, name in names.items()}

    def order(self, command, version, certname, payload):
        """Give PuppetDB a command as a Puppet server would, and wait until it has been processed."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        words = {"command": command, "version": version, "certname": certname, "secondsToWaitForCompletion": 60}
        body = {"certname": certname, "producer_timestamp": now} | payload
        answer = requests.post(f"{self.clear}/pdb/cmd/v1", params=words, json=body, timeout=90)
        assert answer.json().get("processed"), answer.text

    def export(self, certname, **payload):
        """Let a node export a resource, in the smallest catalog that PuppetDB takes."""
        resource = {"type": "Concat::Fragment", "title": certname, "aliases": [], "exported": True, "tags": ["nova"]}
        resource |= {"file": "site.pp", "line": 1, "parameters": {"content": "server"}}
        stage = {"type": "Stage", "title": "main", "aliases": [], "exported": False, "tags": [], "parameters": {}}
        edge = {"source": {"type": "Stage", "title": "main"}, "target": {k: resource[k] for k in ("type", "title")}}
        catalog = {"version": "1", "environment": "production", "transaction_uuid": None, "catalog_uuid": None}
        catalog |= {"code_id": None, "producer": "puppet.lab.test", "job_id": None}
        catalog |= {"resources": [stage, resource], "edges": [edge | {"relationship": "contains"}]}
        self.order("replace_catalog", 9, certname, catalog | payload)


def _key(path):
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return key


def _certificate(path, name, key, issuer, issuer_key, address=None):
    """Write a certificate for a name; an authority's own if nobody issues it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    builder = builder.add_extension(x509.BasicConstraints(issuer is None, None), critical=True)
    if address:
        names = [x509.DNSName(name), x509.IPAddress(address)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return subject


def _certificates(ssl, address):
    """Write an authority and what it signed: the server, a node that is let in and one that is not."""
    ssl.mkdir()
    authority = _key(ssl / "ca.key")
    issuer = _certificate(ssl / "ca.pem", "Puppet CA", authority, None, authority)
    for name, at in (("server", address), ("node.lab.test", None), ("stranger.lab.test", None)):
        _certificate(ssl / f"{name}.pem", name, _key(ssl / f"{name}.key"), issuer, authority, at)


@contextlib.contextmanager
def _postgres(root, address):
    """Run a PostgreSQL with PuppetDB's database; it refuses to run as root."""
    user = pwd.getpwnam("postgres")
    options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
    root.mkdir()
    os.chown(root, user.pw_uid, user.pw_gid)
    quiet = {"check": True, "capture_output": True, "text": True}
    subprocess.run([POSTGRES / "initdb", "-D", root / "data", "-A", "trust", "--no-sync"], **quiet, **options)
    command = [POSTGRES / "postgres", "-D", root / "data", "-k", root, "-h", address, "-F", "-c", "shared_buffers=32MB"]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        mariadb.wait_until((root / ".s.PGSQL.5432").exists, what="PostgreSQL's socket")
        for statement in ("CREATE ROLE puppetdb LOGIN", "CREATE DATABASE puppetdb OWNER puppetdb"):
            _sql(root, "postgres", statement, **quiet, **options)
        _sql(root, "puppetdb", "CREATE EXTENSION pg_trgm", **quiet, **options)
        yield
    finally:
        process.kill()
        process.wait()


def _sql(root, database, statement, **options):
    command = [POSTGRES / "psql", "-h", root, "-d", database, "-c", statement]
    deadline = time.monotonic() + 30
    while True:
        try:
            return subprocess.run(command, **options)
        except subprocess.CalledProcessError as error:
            if "starting up" not in error.stderr or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def running(root, address):
    """Run a PuppetDB in a directory that any user may look into."""
    root = Path(root)
    _certificates(root / "ssl", address)
    for name in ("conf.d", "var"):
        (root / name).mkdir()
    for name, text in (("conf.d/settings.ini", SETTINGS), ("logback.xml", LOGBACK)):
        (root / name).write_text(text.format(root=root, address=address))
    shutil.copy(PACKAGED / "conf.d/auth.conf", root / "conf.d")
    (root / "allowed").write_text("node.lab.test\n")
    database = PuppetDB(root, str(address))
    command = [shutil.which("java"), *JAVA, "-cp", JAR, "clojure.main", "-m", "puppetlabs.puppetdb.core", "services"]
    command += ["--config", root / "conf.d", "--bootstrap-config", PACKAGED / "bootstrap.cfg"]
    with _postgres(root / "postgres", str(address)), (root / "console.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=root)
        try:
            mariadb.wait_until(lambda: _answers(process, database), timeout=120, interval=0.3, what="PuppetDB")
            yield database
        finally:
            process.kill()
            process.wait()


def _answers(process, database):
    assert process.poll() is None, (database.root / "console.log").read_text()[-2000:]
    return requests.get(f"{database.clear}/pdb/meta/v1/version", timeout=5).status_code == 200
