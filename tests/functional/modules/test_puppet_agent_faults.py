"""Runs of Puppet that something happens to: each is judged by what is true, and leaves nothing behind."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time

import psutil
import pytest
from salt.exceptions import CommandExecutionError

SLOW = "exec { '/bin/sh -c \"echo begin >> ROOT/log; touch ROOT/begun; sleep SECONDS; echo end >> ROOT/log\"': }"
# Ignores SIGTERM, in a session of its own.
STUBBORN = """
exec { 'hang': timeout => 0, command => '/usr/bin/setsid --wait /bin/sh ROOT/stubborn' }
"""
STUBBORN_SCRIPT = "trap '' TERM HUP\ntouch $(dirname $0)/begun\nwhile :; do sleep 1; done\n"
REPORT = "/tests/unit/node/captured/changed.report.yaml"


def slow(node, seconds):
    """Let the node's next run say when it begins and ends, and take a while."""
    (node.root / "begun").unlink(missing_ok=True)
    return node.manifest(SLOW.replace("SECONDS", str(seconds)))


def begun(node):
    """Return when the run is in the middle of its catalog."""
    return node.until((node.root / "begun").exists)


def puppet(node):
    """Return the process of Puppet itself."""
    found = [each for each in node.puppets() if "apply" in each.info["cmdline"] and each.name() != "sh"]
    return next(iter(found), None)


def supervisor(node, run_id):
    return psutil.Process(node.state(run_id)["pid"])


@pytest.fixture
def stand_in(bare_node, repository):
    """A node with a stand-in for Puppet, for what a hundred runs or a bad report do; it exits 2 at once."""

    def load(write_report):
        script = bare_node.root / "puppet"
        parse = 'for word; do case "$word" in --lastrunreport=*) report="${word#*=}";; esac; done'
        script.write_text(f"#!/bin/sh\n{parse}\n{write_report}\nexit 2\n")
        script.chmod(0o755)
        return bare_node.load(puppet=str(script))

    load.report = f"{repository}{REPORT}"
    return load


@pytest.mark.slow
def test_a_run_is_ended_at_its_timeout_with_all_that_it_started(node):
    (node.root / "stubborn").write_text(STUBBORN_SCRIPT)
    node.manifest(STUBBORN)
    outcome = node.run(timeout=15)
    assert (node.root / "begun").exists()
    assert outcome["verdict"] == "timed_out"
    assert "within 15 seconds" in outcome["reason"]
    assert 25 <= outcome["seconds"] < 40
    assert node.until(lambda: not node.puppets())


def test_a_run_that_is_stopped_is_no_success(node):
    slow(node, 60)
    assert node.start(run_id="r1")["verdict"] is None
    begun(node)
    assert node.status("r1")["phase"] == "running"
    outcome = node.stop("r1")
    assert (outcome["verdict"], "puppet_agent.stop" in outcome["reason"]) == ("killed", True)
    assert node.until(lambda: not node.puppets())
    assert (node.stop("r1"), node.wait("r1"), node.run(run_id="r1")) == (outcome, outcome, outcome)
    assert (node.root / "log").read_text() == "begin\n"


@pytest.mark.parametrize(
    ("number", "exit_code", "reason"),
    [(signal.SIGTERM, 1, "told to stop by somebody else"), (signal.SIGKILL, None, "SIGKILL")],
)
def test_a_puppet_that_somebody_ends_is_killed(node, number, exit_code, reason):
    slow(node, 5)
    node.start(run_id="r1")
    begun(node)
    puppet(node).send_signal(number)
    outcome = node.wait("r1")
    assert (outcome["verdict"], outcome["exit_code"]) == ("killed", exit_code)
    assert reason in outcome["reason"]


def test_a_run_whose_supervisor_is_killed_is_over_and_never_made_again(node):
    slow(node, 60)
    node.start(run_id="r1")
    begun(node)
    running = puppet(node)
    supervisor(node, "r1").kill()
    outcome = node.wait("r1")
    assert (outcome["verdict"], "supervisor was killed" in outcome["reason"]) == ("killed", True)
    running.wait(20)
    assert node.run(run_id="r1") == outcome
    assert node.status("r1")["phase"] == "over"
    assert (node.root / "log").read_text() == "begin\n"


def test_a_run_outlives_the_minion_that_started_it(node):
    slow(node, 3)
    job = node.background("puppet_agent.run", "run_id=r1")
    begun(node)
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    supervisor(node, "r1").send_signal(signal.SIGHUP)
    joined = node.run(run_id="r1")
    assert joined["verdict"] == "changed"
    assert (node.root / "log").read_text() == "begin\nend\n"


def test_two_jobs_at_once_make_one_run(node):
    slow(node, 1)
    jobs = [node.background("puppet_agent.run", "run_id=r1") for _ in range(2)]
    outcomes = [json.loads(job.communicate()[0])["local"] for job in jobs]
    assert outcomes[0] == outcomes[1]
    assert (outcomes[0]["verdict"], [job.returncode for job in jobs]) == ("changed", [0, 0])
    assert (node.root / "log").read_text() == "begin\nend\n"


def test_waiting_may_end_before_the_run(node):
    slow(node, 4)
    node.start(run_id="r1")
    outcome = node.wait("r1", timeout=0.1)
    assert (outcome["verdict"], outcome["finished"], node.context["retcode"]) == (None, None, 1)
    assert node.wait("r1", timeout=60)["verdict"] == "changed"


def test_a_run_waits_for_its_turn_and_says_for_whom(node):
    slow(node, 3)
    node.start(run_id="first")
    begun(node)
    node.start(run_id="second")
    waiting = node.until(lambda: node.status("second")["waiting_for_lock"])
    assert waiting["command"] == "the run first"
    assert "the run first" in node.start(run_id="second")["reason"]
    assert {each["run_id"]: each["phase"] for each in node.status()["runs"]} == {
        "first": "running",
        "second": "waiting",
    }
    assert node.wait("second")["verdict"] == "changed"
    assert (node.root / "log").read_text() == "begin\nend\n" * 2


def test_a_run_that_does_not_get_its_turn_is_busy(node):
    slow(node, 5)
    node.start(run_id="first")
    begun(node)
    outcome = node.run(run_id="second", lock_timeout=1)
    assert outcome["verdict"] == "busy"
    assert outcome["reason"] == "the run first was still in the way after lock_timeout=1 seconds"
    assert node.run(run_id="third", lock_timeout=0)["verdict"] == "busy"
    assert node.wait("first")["verdict"] == "changed"


def test_a_run_that_waits_can_be_stopped(node):
    slow(node, 5)
    node.start(run_id="first")
    begun(node)
    node.start(run_id="second")
    node.until(lambda: node.status("second")["waiting_for_lock"])
    assert node.stop("second")["verdict"] == "killed"
    assert node.wait("first")["verdict"] == "changed"
    assert (node.root / "log").read_text() == "begin\nend\n"


@contextlib.contextmanager
def holding(node, lock):
    """Let a process that is called puppet hold one of Puppet's locks."""
    shutil.copy("/bin/sleep", node.root / "puppet")
    with subprocess.Popen([str(node.root / "puppet"), "600"]) as process:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(str(process.pid))
        yield process
        process.kill()


def test_a_run_of_the_agent_in_the_way_is_waited_for(node):
    with holding(node, node.var / "state/agent_catalog_run.lock") as agent:
        outcome = node.run(lock_timeout=1)
        assert outcome["verdict"] == "busy"
        assert f"puppet 600 (pid {agent.pid}) was still in the way" in outcome["reason"]
        status = node.status()
        assert (status["applying"], status["lock"]["pid"]) == (True, agent.pid)
        node.start(run_id="r1")
        assert node.until(lambda: node.status("r1")["waiting_for_lock"])["pid"] == agent.pid
        agent.kill()
        agent.wait()
        assert node.wait("r1")["verdict"] == "unchanged"


def test_an_agent_that_is_turned_away_at_its_certificates_waits_too(bare_node):
    node = bare_node.load(mode="agent")
    with holding(node, node.var / "ssl/ssl.lock"):
        outcome = node.run(lock_timeout=3)
    assert outcome["verdict"] == "busy"
    assert "another Puppet was still in the way" in outcome["reason"]


def test_daemons_that_puppet_starts_live_on(node):
    (node.root / "start").write_text('setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > "$(dirname "$0")/daemon"')
    node.manifest("exec { '/bin/sh ROOT/start': }")
    assert node.run()["verdict"] == "changed"
    daemon = psutil.Process(int((node.root / "daemon").read_text()))
    node.until(lambda: not node.puppets())
    assert daemon.is_running()
    daemon.kill()


@pytest.mark.parametrize(
    ("write_report", "problem"),
    [
        (":", "its report is not there"),
        (': > "$report"', "its report is empty"),
        ('head -n 90 REPORT > "$report"', "its report is not complete"),
        ('head -c 4000 /dev/urandom > "$report"', "its report is not"),
        ('truncate -s 200M "$report"', "its report is too big to be believed (200 MiB)"),
        ('mkdir "$report"', "its report cannot be read"),
    ],
)
def test_a_run_without_a_whole_report_is_never_good(stand_in, write_report, problem):
    outcome = stand_in(write_report.replace("REPORT", stand_in.report)).run()
    assert (outcome["verdict"], outcome["exit_code"]) == ("failed", 2)
    assert problem in outcome["reason"]


def test_the_last_fifty_runs_are_kept_and_none_that_goes_on(stand_in):
    node = stand_in(
        f'mv "$(dirname "$0")/hold" "$report" 2>/dev/null && exec sleep 600; cp {stand_in.report} "$report"'
    )
    (node.root / "hold").touch()
    node.start(run_id="old")
    node.until(lambda: not (node.root / "hold").exists())
    # Turned away at once, all of them: the old one has the turn.
    for number in range(60):
        node.run(run_id=f"r{number}", lock_timeout=0)
    kept = {path.name for path in node.folder("old").parent.iterdir()}
    assert kept == {"old"} | {f"r{number}" for number in range(10, 60)}
    node.stop("old")
    assert node.run(run_id="new")["verdict"] == "changed"
    assert len(list(node.folder("new").parent.iterdir())) == 50


@pytest.fixture
def small_disk(bare_node):
    """A node whose minion has a disk of 200 KiB."""
    cache = bare_node.root / "cache"
    cache.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "none", cache], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield bare_node.load()
    subprocess.run(["umount", "--lazy", cache], check=True)


def fill(path):
    with path.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while True:
            handle.write(b"x" * 512)


def test_a_full_disk_lets_no_run_start(small_disk):
    fill(small_disk.root / "cache/fill")
    outcome = small_disk.run(run_id="r1")
    assert (outcome["verdict"], "No space left on device" in outcome["reason"]) == ("not_started", True)
    (small_disk.root / "cache/fill").unlink()
    assert small_disk.run(run_id="r1")["verdict"] == "unchanged"


def test_a_disk_that_fills_up_in_the_middle_is_told(small_disk):
    node = small_disk
    node.manifest("exec { '/bin/sh -c \"cat /dev/zero > ROOT/cache/fill; true\"': }")
    outcome = node.run(run_id="r1")
    assert (outcome["verdict"], outcome["exit_code"] in (1, 2)) == ("failed", True), outcome["reason"]
    assert "its report" in outcome["reason"]
    assert node.wait("r1")["verdict"] == "failed"


def test_a_cache_that_cannot_be_written_lets_no_run_start(node):
    (node.root / "cache/puppet_agent").write_text("")
    outcome = node.run()
    assert (outcome["verdict"], "cannot be written: File exists" in outcome["reason"]) == ("not_started", True)
    assert node.context["retcode"] == 1


def test_a_supervisor_that_cannot_start_is_told(node, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    outcome = node.run(run_id="r1")
    assert (outcome["verdict"], "supervisor of the run did not start" in outcome["reason"]) == ("not_started", True)


def test_the_supervisor_is_small(node):
    slow(node, 3)
    node.start(run_id="r1")
    begun(node)
    process = supervisor(node, "r1")
    assert process.memory_info().rss < 24 << 20
    assert sum(process.cpu_times()[:2]) < 1
    assert node.wait("r1")["verdict"] == "changed"


def test_asking_again_costs_nothing(node):
    node.run(run_id="r1")
    began = time.monotonic()
    node.run(run_id="r1")
    assert time.monotonic() - began < 0.5
    assert stat.S_IMODE((node.folder("r1") / "outcome.json").stat().st_mode) == 0o600


def test_what_looks_secret_does_not_leave_the_node(node):
    node.manifest("""
    exec { '/bin/true --password=hunter2': }
    exec { 'broken': command => '/bin/sh -c "echo password: hunter2; exit 1"', logoutput => true }
    file { 'ROOT/secret': content => Sensitive('hunter2') }
    notify { 'token=hunter2': }
    """)
    outcome = node.run()
    assert outcome["verdict"] == "failed"
    assert len(outcome["changes"]) >= 3
    assert "hunter2" not in json.dumps(outcome)


def test_a_puppet_that_does_not_do_what_it_says_is_found_out(bare_node):
    script = bare_node.root / "puppet"
    script.write_text('#!/bin/sh\ncase "$1" in agent) exit 0;; esac\nexec puppet "$@"\n')
    script.chmod(0o755)
    node = bare_node.load(puppet=str(script))
    with pytest.raises(CommandExecutionError, match=r"Puppet says that it disabled the agent, but .* says otherwise"):
        node.disable("new disks")
