"""What an operator sees of a deployment that runs: in the terminal that runs it, and in another."""

import json
import os
import re
import signal
import subprocess

import pytest
from sites import DOORS_SECOND_SLOW, wait_until
from terminal import Terminal

CTRL_C = b"\x03"
REDRAWN = re.compile(r"\[\d/6\] |  n\d ")


@pytest.fixture
def terminal(house, tmp_path):
    """Return a function that runs ``salt-run`` in a terminal; its standard output is in ``stdout``."""
    opened = []

    def run(*arguments, **environment):
        opened.append(Terminal(house.command("salt-run", *arguments), tmp_path / "stdout", **environment))
        return opened[-1]

    yield run
    for each in opened:
        each.close()


def result(tmp_path):
    return json.loads((tmp_path / "stdout").read_text())["answer"]


def steps(lines):
    """Return the lines of a deployment's steps, without Salt's own."""
    return [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]


def test_a_terminal_shows_who_runs_below_lines_that_stay(site, terminal, tmp_path):
    site.manifest("n1", seconds=3)
    shown = terminal("deployment.run", site.name, "swift", "--out=json")
    screen = shown.until(lambda screen: any(line.startswith("  n1 ") for line in screen.lines))
    assert any(re.match(r"\[1/6\] Storage nodes export their devices +\d\.\d s$", line) for line in screen.lines)
    assert not screen.cursor_is_shown

    assert shown.ended() == 0
    assert screen.cursor_is_shown
    assert result(tmp_path)["state"] == "succeeded"
    told = steps(screen.lines)
    assert not any(map(REDRAWN.match, screen.lines))
    assert any(re.match(r"[\d:]{8}   n1  changed +\d", line) for line in told)
    assert not any("started" in line for line in told)


def test_a_gate_is_shown_with_what_holds_it(site, terminal):
    shown = terminal("deployment.run", site.name, "compute")
    held = "file.file_exists on n3: answered false"
    screen = shown.until(
        lambda screen: any(re.search(rf"since [\d:]+: {re.escape(held)}", line) for line in screen.seen)
    )
    site.writer.touch()
    assert shown.ended() == 0
    assert any("of 2 good in a row" in line for line in screen.seen)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_where_there_are_no_colours_none_are_sent(site, terminal, environment):
    shown = terminal("deployment.run", site.name, "swift", "from_phase=5", **environment)
    assert shown.ended() == 0
    assert {code for code in shown.screen.colours if re.search(r"(^|;)[349]\d", code)} == set()
    assert any("n4" in line and "changed" in line for line in steps(shown.screen.lines))


def test_ctrl_c_leaves_the_terminal_in_order(site, terminal, tmp_path):
    site.manifest("n1", seconds=4)
    shown = terminal("deployment.run", site.name, "swift", "--out=json")
    shown.until(lambda screen: any(line.startswith("  n1 ") for line in screen.lines) and site.ran())

    shown.press(CTRL_C)

    assert shown.ended() == 1
    assert shown.screen.cursor_is_shown
    assert result(tmp_path)["state"] == "interrupted"
    assert not any(map(REDRAWN.match, shown.screen.lines))
    wait_until(lambda: site.spans("n1"))


def test_a_pipe_gets_plain_lines(site):
    shown = site.deploy("deployment.run", "swift", from_phase=5)
    assert "\x1b" not in shown.stderr + shown.stdout


# -- another terminal --------------------------------------------------------------------------------------------------


def watched(house, site, *more):
    return subprocess.Popen(
        house.command("salt-run", "deployment.watch", site.name, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(process):
    """Leave a watch as an operator does, and return its result and lines."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    return out, steps(err.splitlines())


@pytest.mark.parametrize("door", DOORS_SECOND_SLOW)
def test_who_watches_loses_no_step_and_sees_none_twice(site, house, started, door):
    site.writer.touch()
    first = started(*site.arguments(door, "compute"), "--out=json", seconds=4)
    glance = watched(house, site)
    early = [glance.stderr.readline().rstrip("\n") for _ in range(3)]
    out, more = left(glance)
    assert f"salt-run deployment.watch {site.name} shows it again" in out

    whole = watched(house, site, "--out=json")
    out, err = whole.communicate(timeout=90)
    _, told = first.communicate(timeout=90)

    assert (first.returncode, whole.returncode) == (0, 0), err
    assert json.loads(out)["answer"]["state"] == "succeeded"
    seen = steps(err.splitlines())
    assert early + more == seen[: len(early + more)]
    assert seen[0].endswith(f"deployment {site.last()['id']}")
    assert "succeeded after" in seen[-1]
    assert len(seen) == len(set(seen))
    if door == "deployment.run":
        assert seen == steps(told.splitlines())


def test_who_watches_is_told_that_it_failed(site, house, started):
    site.manifest("n2", "exec { 'broken': command => '/bin/false' }")
    first = started("deployment.run", site.name, "swift", seconds=3)
    watch = watched(house, site)
    out, err = watch.communicate(timeout=60)
    first.communicate(timeout=60)

    assert watch.returncode == 1
    assert "n2" in out
    assert re.search(r"n2 +failed", err)


def test_who_watches_is_told_that_the_process_has_died(site, house, started):
    first = started("deployment.run", site.name, "swift", seconds=3)
    watch = watched(house, site)
    assert watch.stderr.readline()
    first.kill()
    first.wait()
    out, _ = watch.communicate(timeout=30)

    assert watch.returncode == 1
    assert "the process that ran it has died" in out
    wait_until(lambda: site.spans("n1"))


def test_where_nothing_is_deployed_there_is_nothing_to_watch(site, house):
    never = house.salt_run("deployment.watch", site.name, out=None)
    site.deploy("deployment.run", "swift", from_phase=5)
    over = house.salt_run("deployment.watch", site.name, out=None)

    assert (never.returncode, over.returncode) == (2, 2)
    assert "has never been deployed" in never.stdout
    assert f"nothing is being deployed on {site.name}; its last deployment, swift by root, is succeeded" in over.stdout
    assert f"salt-run deployment.show {site.last()['id']}" in over.stdout
    assert len((never.stdout + over.stdout).splitlines()) == 2


# -- why it stands still -----------------------------------------------------------------------------------------------


def status(house, site):
    return house.salt_run("deployment.status", site.name).data["answer"]["deployments"][0]


def test_the_status_says_what_each_node_waits_for(site, house, started):
    site.define(concurrency=1)
    first = started("deployment.puppet", site.name, "storage", seconds=12)
    found = status(house, site)
    text = house.salt_run("deployment.status", site.name, out=None).stdout
    first.communicate(timeout=60)

    assert re.fullmatch(
        r"phase 1 of 1, Puppet on storage: 0 of 2 nodes done, 1 run, 1 wait, since [\d:]{8}",
        found["stands"],
    )
    waits = {node["node"]: node["waits_for"] for node in found["phases"][0]["nodes"]}
    assert re.fullmatch(r"its Puppet run, since [\d:]{8}", waits["n1"])
    assert waits["n2"] == "a place: 1 run at once"
    assert "    waiting: n2 (for a place: 1 run at once)\n" in text
    assert re.search(r"    n1  running +waits for its Puppet run, since", text)


def test_the_status_says_which_answer_holds_a_gate(site, house, started):
    first = started("deployment.run", site.name, "compute", seconds=0)
    held = "file.file_exists on n3: answered false (and 1 more)"
    found = wait_until(lambda: "held since" in (status(house, site).get("stands") or "") and status(house, site))
    site.writer.touch()
    first.communicate(timeout=60)

    pattern = rf"phase 4 of 7, gate writer: round \d+, held since [\d:]{{8}} by {re.escape(held)}"
    assert re.fullmatch(pattern, found["stands"])
    assert found["phases"][4]["nodes"][0]["waits_for"] == "phase 4, The writer is ready"
