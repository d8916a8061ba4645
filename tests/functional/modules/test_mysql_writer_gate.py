"""
Each way in which a writer's address lies, caused for real, and what the gate's two predicates say of it.

The databases, their replication and their ports are real; what the monitor shows in each case is what MySQL-MMM was
seen to show. With GATE_TABLE=path the rows are also written as the table of docs/gates.md.
"""

import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import gate
import mariadb
import pymysql
import pytest

pytestmark = pytest.mark.skipif(bool(mariadb.missing()), reason=mariadb.missing())
NETWORK = mariadb.network()
VIP, DB1, DB2 = f"{NETWORK}.50", f"{NETWORK}.11", f"{NETWORK}.12"


class Site:
    """Two masters, the writer's address, and the monitor that watches them."""

    def __init__(self, servers, vip, monitor, minion):
        (self.db1, self.db2), self.vip, self.monitor, self.minion = servers, vip, monitor, minion

    def shows(self, writer="db1", **states):
        """Let the monitor show this; ``first`` and ``mode`` as the stand-in takes them."""
        more = {key: states.pop(key, None) for key in ("first", "last", "down", "answers")}
        mode, agent = states.pop("mode", "ACTIVE"), states.pop("agent_down", None)
        hosts = gate.hosts(writer, network=NETWORK, **states)
        for name in hosts:
            hosts[name]["agent"] = name != agent
        self.monitor.set(mode=mode, hosts=hosts, **more)

    def check_says(self, host, check, message):
        self.monitor.state["hosts"][host]["checks"] = {check: message}
        self.monitor.set()

    def by_the_monitor(self):
        return self.minion("mysql_mmm.writer_ready", expected_ip=VIP, sql=False)

    def by_all_views(self):
        return self.minion("mysql_mmm.writer_ready", expected_ip=VIP)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with mariadb.pair(tmp_path_factory.mktemp("db"), [DB1, DB2]) as servers:
        yield servers


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory, pair):
    root = tmp_path_factory.mktemp("site")
    monitor = gate.Monitor(root / "mmm")
    login = {"mysql.user": mariadb.USER, "mysql.pass": mariadb.PASSWORD}
    with mariadb.Forwarder(VIP, pair[0]) as vip:
        yield Site(pair, vip, monitor, gate.Minion(root / "minion", mysql_mmm=monitor.settings, **login))


@pytest.fixture
def site(whole_site):
    """A site where all is well."""
    whole_site.vip.lead_to(whole_site.db1)
    whole_site.shows()
    return whole_site


@pytest.fixture(scope="module")
def table():
    """The rows of the documented table, written at the end where that is asked for."""
    rows = []
    yield rows
    if os.environ.get("GATE_TABLE"):
        Path(os.environ["GATE_TABLE"]).write_text("\n".join(rows) + "\n")


# What is caused: each leaves the site as it was, by itself.


@contextmanager
def writer_frozen(site):
    with site.db1.frozen():
        yield


@contextmanager
def writer_killed(site):
    site.db1.kill()
    yield
    site.db1.start()


@contextmanager
def writer_killed_and_noticed(site):
    """The poll between the loss of the old writer and the choice of the new one."""
    site.db1.kill()
    site.vip.lead_to()
    site.shows(None, db1="HARD_OFFLINE")
    yield
    site.db1.start()


@contextmanager
def writer_read_only(site):
    site.db1.query("SET GLOBAL read_only = 1")
    yield
    site.db1.query("SET GLOBAL read_only = 0")


@contextmanager
def address_leads_to_the_standby(site):
    site.vip.lead_to(site.db2)
    yield


@contextmanager
def address_leads_to_a_writable_standby(site):
    site.db2.query("SET GLOBAL read_only = 0")
    site.vip.lead_to(site.db2)
    yield
    site.db2.query("SET GLOBAL read_only = 1")


@contextmanager
def address_on_both(site):
    site.vip.lead_to(site.db1, site.db2)
    yield


@contextmanager
def both_writable(site):
    site.db2.query("SET GLOBAL read_only = 0")
    yield
    site.db2.query("SET GLOBAL read_only = 1")


@contextmanager
def too_many_connections(site):
    site.db1.query("SET GLOBAL max_connections = 10")
    with ExitStack() as held:
        with suppress(pymysql.err.OperationalError):
            while True:
                client = pymysql.connect(host=DB1, user=mariadb.USER, password=mariadb.PASSWORD)
                held.callback(client.close)
        yield
    site.db1.query("SET GLOBAL max_connections = 151")


@contextmanager
def proxy_for_a_dead_backend(site):
    site.vip.lead_to((f"{NETWORK}.99", mariadb.PORT))
    yield


@contextmanager
def address_nowhere(site):
    site.vip.lead_to()
    yield


@contextmanager
def standby_replication_stopped(site):
    site.db2.query("STOP SLAVE")
    site.shows(db2="REPLICATION_FAIL")
    site.check_says("db2", "rep_threads", "ERROR: Replication is broken")
    yield
    site.db2.query("START SLAVE")
    mariadb.wait_until(lambda: mariadb.replicates(site.db2))


@contextmanager
def writer_replication_stopped(site):
    site.db1.query("STOP SLAVE")
    yield
    site.db1.query("START SLAVE")
    mariadb.wait_until(lambda: mariadb.replicates(site.db1))


@contextmanager
def failed_over(site):
    """What MySQL-MMM does after the writer's death, done by hand; then everything put back."""
    site.db1.kill()
    site.db2.query("SET GLOBAL read_only = 0")
    site.vip.lead_to(site.db2)
    site.shows("db2", db1="HARD_OFFLINE")
    site.check_says("db1", "mysql", f"ERROR: Connect error (host = {DB1}:3306, user = mmm_monitor)!")
    yield
    site.db1.start()
    site.db2.query("SET GLOBAL read_only = 1")


@contextmanager
def old_writer_comes_back_writable(site):
    site.db2.query("SET GLOBAL read_only = 0")
    site.vip.lead_to(site.db2, site.db1)
    site.shows("db2", db1="AWAITING_RECOVERY")
    yield
    site.db2.query("SET GLOBAL read_only = 1")


def shown(**states):
    @contextmanager
    def cause(site):
        site.shows(**states)
        yield

    return cause


@contextmanager
def check_fails(site):
    site.db1.kill()
    site.check_says("db1", "mysql", "ERROR: Connect error")
    yield
    site.db1.start()


DOCUMENTED = (gate.REPOSITORY / "docs/gates.md").read_text()
PASSIVE = ["# --- Monitor is in PASSIVE MODE ---", "# Cause: Admin switched to passive mode."]
# What is caused; how; the codes by the monitor's view alone; the codes by all views; the warnings by all views.
CASES = [
    ("nothing", shown(), [], [], []),
    ("writer frozen (SIGSTOP)", writer_frozen, [], ["connect"], []),
    ("writer killed (SIGKILL), not yet noticed", writer_killed, [], ["connect"], []),
    ("monitor cut off, writer killed", writer_killed, [], ["connect"], []),
    ("writer killed, its check fails", check_fails, ["check_failed"], ["check_failed", "connect"], []),
    ("writer killed, noticed, nobody chosen yet", writer_killed_and_noticed, ["no_writer"], ["no_writer"], []),
    ("failed over to db2", failed_over, [], [], ["standby_not_online", "other_unreachable"]),
    ("writer set read_only", writer_read_only, [], ["read_only"], []),
    ("address leads to db2 (stale ARP)", address_leads_to_the_standby, [], ["wrong_server", "read_only"], []),
    ("address leads to db2, writable", address_leads_to_a_writable_standby, [], ["wrong_server"], []),
    ("address on both nodes", address_on_both, [], ["wrong_server", "read_only"], []),
    ("address on both nodes, old writer back", old_writer_comes_back_writable, [], ["wrong_server"], []),
    ("both masters writable", both_writable, [], ["other_writable"], []),
    ("too many connections", too_many_connections, [], ["connect"], []),
    ("a proxy accepts for a dead backend", proxy_for_a_dead_backend, [], ["connect"], []),
    ("address on no node", address_nowhere, [], ["connect"], []),
    ("replication stopped on the standby", standby_replication_stopped, [], [], ["standby_not_online", "replication"]),
    ("replication stopped on the writer", writer_replication_stopped, [], [], []),
    ("monitor down", shown(down=True), ["monitor_unreachable"], ["monitor_unreachable"], []),
    ("monitor passive", shown(mode="PASSIVE", first=PASSIVE), ["mode"], ["mode"], []),
    ("monitor waits for the other master", shown(mode="WAIT"), ["mode"], ["mode"], []),
    (
        "manual mode, writer offline",
        shown(mode="MANUAL", db1="HARD_OFFLINE"),
        ["mode", "not_online"],
        ["mode", "not_online"],
        [],
    ),
    ("agent of the writer's node down", shown(agent_down="db1"), ["agent_unreachable"], ["agent_unreachable"], []),
    (
        "monitor just started",
        shown(writer=None, db1="AWAITING_RECOVERY", db2="AWAITING_RECOVERY"),
        ["no_writer"],
        ["no_writer"],
        [],
    ),
    (
        "both set offline",
        shown(writer=None, db1="ADMIN_OFFLINE", db2="ADMIN_OFFLINE"),
        ["no_writer"],
        ["no_writer"],
        [],
    ),
]


def row(caused, show, monitor, answer):
    """Return a row of the documented table."""
    said = " ".join(" ".join(line.split()) for line in show.splitlines()).replace(NETWORK, "10.0.0")
    codes = ", ".join(f"`{code}`" for code in gate.codes(monitor)) or "ready"
    sentences = "; ".join(reason["message"] for reason in answer["reasons"]) or f"ready: {answer['identity']}"
    warnings = f" (warns: {', '.join(gate.warned(answer))})" if answer["warnings"] else ""
    return f"| {caused} | `{said}` | {codes} | {(sentences + warnings).replace(NETWORK, '10.0.0')} |"


def within_two_rounds(site, codes):
    """Return the first answer that gives these codes, else the last: an address on two nodes leads to them in turn."""
    answer = site.by_all_views()
    return answer if gate.codes(answer) == codes else site.by_all_views()


@pytest.mark.parametrize(("caused", "cause", "monitor", "codes", "warnings"), CASES, ids=[case[0] for case in CASES])
def test_the_gate_sees(site, table, caused, cause, monitor, codes, warnings):
    with cause(site):
        by_monitor, answer = site.by_the_monitor(), within_two_rounds(site, codes)
        table.append(row(caused, site.monitor.show(), by_monitor, answer))
        # The network's own words vary; what was caused, shown and concluded does not.
        assert table[-1].split(" (Lost")[0].split(" ([Errno")[0] in DOCUMENTED
        assert (gate.codes(by_monitor), by_monitor["ready"]) == (monitor, not monitor)
        assert (gate.codes(answer), answer["ready"]) == (codes, not codes)
        assert site.minion.retcode == int(bool(codes))
        assert set(warnings) <= set(gate.warned(answer))
    site.vip.lead_to(site.db1)
    site.shows()
    cured = within_two_rounds(site, [])
    assert (cured["reasons"], cured["identity"]) == ([], f"db1/{VIP}/server 1")


def test_an_address_on_two_nodes_never_holds_long_enough(site):
    with address_on_both(site):
        answer = site.minion("mysql_mmm.wait_writer_ready", timeout=3, successes=3, interval=0.1)
    assert answer["ready"] is False
    assert "wrong_server" in gate.codes(answer) or gate.codes(answer) == ["unstable"]


def test_a_failover_in_the_middle_of_the_wait_starts_the_count_anew(site):
    site.monitor.set(log="calls")
    calls = site.monitor.directory / "calls"
    cure = ExitStack()

    def fail_over_after_three_rounds():
        # Three calls in a round, and a line as each begins and ends.
        mariadb.wait_until(lambda: calls.exists() and len(calls.read_text().splitlines()) >= 18)
        cure.enter_context(failed_over(site))

    other = threading.Thread(target=fail_over_after_three_rounds)
    other.start()
    answer = site.minion("mysql_mmm.wait_writer_ready", timeout=60, successes=5, interval=0.5)
    other.join()
    cure.close()
    assert (answer["ready"], answer["identity"]) == (True, f"db2/{VIP}/server 2")
    assert answer["rounds"] >= 3 + 5


def test_a_frozen_server_is_not_waited_for_longer_than_the_timeouts(site):
    began = time.monotonic()
    with site.db1.frozen():
        answer = site.minion("mysql_endpoint.ready", VIP, node_address=DB1, timeout=1)
    assert gate.codes(answer) == ["connect"]
    assert time.monotonic() - began < 3


def test_the_server_is_really_frozen_when_the_port_still_opens(site):
    site.db1.signal(signal.SIGSTOP)
    try:
        with mariadb.socket.create_connection((DB1, mariadb.PORT), timeout=2):
            pass
    finally:
        site.db1.signal(signal.SIGCONT)
