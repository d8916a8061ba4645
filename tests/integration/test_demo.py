import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="module")
def demo(repository):
    return repository / "demo"


def start(*command, stdin=subprocess.DEVNULL):
    """Start a command in a session of its own, as a terminal would."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def root_of(output):
    """Return the directory that a demo said that it lives in."""
    return Path(re.search(r"lies in (/tmp/\S+)\.$", output, re.M)[1])


def survivors(root):
    """Return the processes that have a file of a demo's directory open or name it in their arguments."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            files = [os.readlink(each) for each in Path(f"/proc/{process.pid}/fd").iterdir()]
            found += [process] if any(str(root) in each for each in [*files, *process.cmdline()]) else []
    return found


def assert_nothing_is_left(root):
    assert not root.exists()
    assert not survivors(root)


def prompt(demo, *lines):
    """Type lines at the demo's prompt and return the exit status and what the commands printed."""
    shell = start(sys.executable, str(demo / "demo_shell.py"), stdin=subprocess.PIPE)
    stdout, stderr = shell.communicate("\n".join(lines) + "\n", timeout=240)
    assert_nothing_is_left(root_of(stdout))
    return shell.returncode, stdout, stderr


@pytest.mark.timeout(600)
def test_the_demo_deploys_both_scenarios_and_the_second_time_changes_nothing(demo):
    run = start(sys.executable, str(demo / "demo.py"))
    stdout, stderr = run.communicate(timeout=580)
    assert run.returncode == 0, stderr
    first, second = stdout.split("# Once more")
    assert "demo compute succeeded" in first
    assert "demo swift succeeded" in first
    assert re.search(r"ctl1 +tolerated .*Exec\[start-replication\]", first)
    assert re.search(r"st1 +tolerated .*Service\[swift-account\]", first)
    assert re.search(r"demo compute succeeded after [\d.]+ s: 7 unchanged", second)
    assert re.findall(r"Comment: (\d unchanged)", second) == [
        "2 unchanged",
        "1 unchanged",
        "2 unchanged",
        "1 unchanged",
    ]
    assert_nothing_is_left(root_of(stdout))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(demo, number):
    run = start(sys.executable, str(demo / "demo.py"))
    said = ""
    while "started" not in said:
        said += run.stderr.readline()
    if number == signal.SIGINT:
        os.killpg(run.pid, number)  # as the terminal does it
    else:
        os.kill(run.pid, number)
    stdout, _ = run.communicate(timeout=120)
    assert run.returncode == 128 + number
    assert_nothing_is_left(root_of(stdout))


def test_a_demo_in_which_a_command_fails_fails(demo):
    program = "import demo; demo.COMMANDS = ('true', 'salt nobody test.ping'); demo.main()"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=demo, check=False)
    assert run.returncode == 1
    assert "These commands failed: salt nobody test.ping" in run.stderr


def test_at_the_demos_prompt_salt_works_as_typed_and_the_nodes_need_each_other(demo):
    status, stdout, stderr = prompt(
        demo,
        "salt-run environment.validate demo",
        "salt '*1' puppet_agent.run --static --out=json",
        "exit 5",
    )
    assert status == 5, stderr
    assert "demo is valid" in stdout
    outcomes = json.loads(stdout[stdout.index("{") :])
    assert {node: outcome["verdict"] for node, outcome in outcomes.items()} == {
        "ctl1": "failed",
        "cmp1": "failed",
        "ep1": "changed",
        "st1": "failed",
        "ring1": "failed",
        "px1": "failed",
    }
    assert "no other database server is known yet" in json.dumps(outcomes["ctl1"]["log_tail"])
    assert "Connection refused" in json.dumps(outcomes["cmp1"]["log_tail"])
    assert "too few for 2 replicas" in json.dumps(outcomes["ring1"]["log_tail"])
    assert all(each["resource"].startswith("Service[swift-") for each in outcomes["st1"]["failures"])


def typed(page):
    """Return what a page shows to be typed at the demo's prompt, in its order: whole scripts, and lines at a prompt."""
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```$", page.read_text(), re.S | re.M):
        lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        yield from [block] if kind == "sh" else [line for line in lines if not line.startswith("make ")]


@pytest.mark.slow
def test_the_first_deployment_goes_as_its_page_says(demo, repository, tmp_path):
    lines = list(typed(repository / "docs/first-deployment.md"))
    status, stdout, stderr = prompt(demo, f"cd {tmp_path}", *lines)
    assert status == 0, stdout + stderr
    said = re.findall(r"^(?:demo compute|shop site\.shop) (?:succeeded|failed) after .*$", stdout, re.M)
    assert [re.sub(r"[\d.]+ s", "- s", line) for line in said] == [
        "demo compute succeeded after - s: 1 tolerated, 5 changed, 1 unchanged",
        "shop site.shop failed after - s: 2 changed, 1 failed",
        "shop site.shop succeeded after - s: 2 kept, 1 changed",
    ]
    assert "shop is valid: 2 roles, 3 nodes, 1 gate" in stdout
    (report,) = tmp_path.iterdir()
    assert "Exec[the shop has its licence]" in report.read_text()
