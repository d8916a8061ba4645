"""The runner ``deployment`` on a real master's configuration and journal: what it refuses, before any node is asked."""

import json

import pytest
import salt.utils.args
from masters import Master
from trees import REPOSITORY

pytestmark = pytest.mark.salt

ENVIRONMENT = """
environments:
  prod:
    roles: {storage: [n1, n2], ring_builder: [n3], proxy: [n4]}
"""


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    found = Master(tmp_path_factory.mktemp("master"))
    (found.root / "conf").mkdir()
    (found.root / "states").mkdir()
    (found.root / "states/orch").symlink_to(REPOSITORY / "orch")
    found.configure()
    found.accept("n1", "n2", "n3", "n4")
    found.environments(ENVIRONMENT)
    return found


def refused(master, name, *given):
    """Return what a command answers, and its exit status; an orchestration needs the job that salt-run makes of it."""
    if name == "deployment.run":
        done = master.salt_run(name, *given, "--out=json")
        return json.loads(done.stdout)["answer"], done.returncode
    args, kwargs = salt.utils.args.parse_input(given, condition=False)
    return master.call(name, *args, **kwargs)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deployment.run", "prod"], "deployment.run needs scenario"),
        (["deployment.run", "prod", "swift", "color=red"], "does not know the argument 'color'"),
        (["deployment.run", "prod", "nosuch"], "there is no scenario nosuch"),
        (["deployment.run", "nosuch", "swift"], "there is no environment 'nosuch'"),
        (["deployment.run", "prod", "swift", "noop=perhaps"], "noop must be true or false"),
        (["deployment.run", "prod", "swift", "nodes=n99"], "n99 is in no role"),
        (["deployment.run", "prod", "swift", "from_phase=nine"], "no phase nine"),
        (["deployment.run", "prod", "swift", "from_phase=0"], "no phase 0"),
        (["deployment.plan"], "deployment.plan needs environment, and needs scenario"),
        (["deployment.plan", "prod", "nosuch"], "there is no scenario nosuch"),
        (["deployment.plan", "prod", "swift", "graph=svg"], "graph must be mermaid or dot, not 'svg'"),
        (["deployment.puppet", "prod", "storrage"], "did you mean 'storage'?"),
        (["deployment.puppet", "prod"], "deployment.puppet needs role"),
        (["deployment.puppet", "prod", "storage", "concurrency=0"], "concurrency"),
        (["deployment.status", "nosuch"], "has never been deployed"),
        (["deployment.status", "a", "b"], "no place for the argument"),
        (["deployment.history", "limit=none"], "limit must be a whole number"),
        (["deployment.show"], "deployment.show needs deployment"),
        (["deployment.show", "42"], "there is no deployment 42"),
        (["deployment.report", "42"], "there is no deployment 42"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_refused_with_one_sentence(master, arguments, sentence):
    answer, retcode = refused(master, *arguments)
    assert retcode == 2
    assert list(answer) == ["error"]
    assert sentence in answer["error"]
    assert len(answer["error"].splitlines()) == 1


def test_a_refusal_is_a_line_on_stdout_and_an_exit_status(master):
    done = master.salt_run("deployment.run", "prod", "swift", "color=red")
    assert done.returncode == 2
    assert "does not know the argument 'color'" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stdout + done.stderr
