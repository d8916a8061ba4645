"""Every command with ``--out json`` prints one JSON document on stdout, whatever becomes of it."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import COMMANDS

NODES_OF_2012 = "controller-01: {ip: 10.0.0.101, role: controller}\n"
#: Arguments that each command is refused with: a name that is nowhere, a limit that is none, an argument too many.
REFUSED = {
    "deployment.confirm": ["nosuch"],
    "deployment.deny": ["nosuch"],
    "deployment.history": ["limit=none"],
    "deployment.plan": ["nosuch", "swift"],
    "deployment.puppet": ["nosuch", "storage"],
    "deployment.report": ["42"],
    "deployment.resume": ["nosuch"],
    "deployment.run": ["nosuch", "swift"],
    "deployment.show": ["42"],
    "deployment.status": ["nosuch"],
    "deployment.stop": ["nosuch"],
    "deployment.unlock": ["nosuch"],
    "deployment.watch": ["nosuch"],
    "environment.convert": ["/nowhere/nodes.yaml"],
    "environment.list": ["all"],
    "environment.show": ["nosuch"],
    "environment.validate": ["nosuch"],
}


SCENARIO = """
One is installed:
  phase.puppet:
    - role: proxy
An operator has looked at it:
  phase.confirm:
    - message: is it as it should be?
    - require:
      - phase: One is installed
"""


def the_one_document(text):
    """Return what stdout holds; anything beside one document is an error."""
    found = json.loads(text)
    assert set(found) == {"answer", "outputter", "retcode"}
    return found


@pytest.fixture
def said(house):
    """Return a function that runs a command with ``--out json`` and returns its answer, and the names of all that."""
    names = set()

    def run(*arguments, status=0):
        names.add(arguments[0])
        result = house.run("salt-run", *arguments)
        found = the_one_document(result.stdout)
        assert (result.returncode, found["retcode"]) == (status, status), (arguments, result.stdout)
        return found["answer"]

    run.names = names
    return run


@pytest.fixture
def waiting(site, house, file_root):
    """Return a function that starts a deployment which waits for an operator, and returns its process."""
    (file_root / site.name).mkdir()
    (file_root / site.name / "looked.sls").write_text(SCENARIO)

    def start():
        command = house.command("salt-run", "deployment.run", site.name, f"{site.name}.looked", "--out=json")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert any("waits for an operator" in line for line in process.stderr)
        return process

    return start


@pytest.mark.salt
def test_what_an_operator_has_decided_is_one_document(site, said, waiting):
    for command, word, status in (("deny", "denied", 1), ("confirm", "confirmed", 0)):
        process = waiting()
        assert said(f"deployment.{command}", site.name)["answer"] == word
        assert said(f"deployment.{command}", site.name, status=2)["error"]
        out, _ = process.communicate(timeout=60)
        assert the_one_document(out)["retcode"] == process.returncode == status


def test_what_a_command_answers_is_one_document(site, house, started, said, tmp_path):
    (tmp_path / "nodes.yaml").write_text(NODES_OF_2012)
    site.hold("n1")
    first = started("deployment.run", site.name, "swift", "--out=json", seconds=0)
    said.names.add("deployment.run")
    watching = subprocess.Popen(
        house.command("salt-run", "deployment.watch", site.name, "--out=json"), stdout=subprocess.PIPE, text=True
    )
    said.names.add("deployment.watch")
    assert said("deployment.status", site.name)["deployments"][0]["state"] == "running"
    assert said("deployment.run", site.name, "swift", status=2)["error"].startswith("environment ")
    assert said("deployment.unlock", site.name, status=2)["error"].startswith("environment ")
    assert said("deployment.stop", site.name, "wait=0", status=1)["state"] == "running"
    site.let_go("n1")
    for process in (first, watching):
        out, _ = process.communicate(timeout=60)
        assert the_one_document(out)["answer"]["state"] == "interrupted"
        assert process.returncode == 1

    site.trace.write_text("")
    site.hold("n1")
    dead = started("deployment.run", site.name, "swift", seconds=0)
    dead.kill()
    dead.wait()
    assert said("deployment.unlock", site.name)["pid"] == dead.pid
    assert said("deployment.stop", site.name, status=2)["error"].endswith("force=True")
    assert said("deployment.stop", site.name, "force=True")["running"] == []
    site.let_go("n1")
    assert said("deployment.resume", site.name)["state"] == "succeeded"
    assert said("deployment.resume", site.name, status=2)["error"].startswith("the last deployment of ")

    assert said("deployment.puppet", site.name, "storage", "nodes=n2")["state"] == "succeeded"
    assert said("deployment.plan", site.name, "swift")["kind"] == "plan"
    assert said("deployment.plan", site.name, "swift", "graph=dot")["syntax"] == "dot"
    assert said("deployment.history")["kind"] == "history"
    assert said("deployment.show", "last")["kind"] == "deployment"
    assert said("deployment.report", "last", site.name, f"path={tmp_path}")["path"].startswith(str(tmp_path))
    assert site.name in said("environment.list")["environments"]
    assert said("environment.show", site.name)["environment"] == site.name
    assert said("environment.validate", site.name)["environments"][site.name]["valid"]
    assert said("environment.convert", str(tmp_path / "nodes.yaml"), "prod")["environment"] == "prod"
    assert said.names == set(COMMANDS) - {"deployment.confirm", "deployment.deny"}


@pytest.mark.salt
def test_a_refusal_is_one_document(said):
    assert set(REFUSED) == set(COMMANDS)
    calls = [[name, *arguments] for name, arguments in REFUSED.items()] + [["deployment.show", "last", "colour=red"]]
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = list(pool.map(lambda call: said(*call, status=2), calls))
    for call, answer in zip(calls, answers, strict=True):
        assert list(answer) == ["error"], call
        assert len(answer["error"].splitlines()) == 1, call
        assert "Traceback" not in answer["error"], call
