"""``deployment.report`` on a real master's configuration and journal, as an operator types it."""

import json
import stat

import pytest
import recorded
from masters import Master
from os_orchestrator import journal, page

pytestmark = pytest.mark.salt


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    found = Master(tmp_path_factory.mktemp("master"))
    (found.root / "conf").mkdir()
    found.configure()
    recorder = recorded.resumed(found.root, 5)
    recorder.deployment(
        "20261123060000000000", [("a", "puppet", "r", ["n1"], recorder.puppet(["n1"]))], environment="test"
    )
    record = journal.of(found.opts)
    record.path.parent.mkdir(mode=0o700, parents=True)
    recorder.journal.path.rename(record.path)
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_is_written_where_one_is_and_its_path_is_all_that_is_printed(master, here):
    done = master.salt_run("deployment.report", "last", "prod")
    written = here / f"prod-compute-{recorded.RESUMED}.html"
    assert (done.returncode, done.stdout) == (0, f"{written}\n")
    assert [path.name for path in here.iterdir()] == [written.name]
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    text = written.read_text()
    assert f"deployment {recorded.RESUMED}" in text
    assert f"Before: deployment {recorded.FAILED} failed" in text


def test_json_is_one_document(master, here):
    done = master.salt_run("deployment.report", recorded.FAILED, "path=compute.html", "--out", "json")
    assert json.loads(done.stdout)["answer"] == {
        "deployment": recorded.FAILED,
        "path": str(here / "compute.html"),
        "text": str(here / "compute.html"),
    }


def test_a_path_may_be_a_directory(master, here):
    answer, retcode = master.call("deployment.report", "last", path=str(here))
    assert (answer["path"], retcode) == (str(here / "test-compute-20261123060000000000.html"), 0)


def test_what_is_not_called_from_a_terminal_is_written_beside_the_journal(master, here):
    answer, _ = master.call("deployment.report", recorded.FAILED)
    reports = journal.of(master.opts).path.parent / "reports"
    assert answer["path"] == str(reports / f"prod-compute-{recorded.FAILED}.html")
    assert stat.S_IMODE(reports.stat().st_mode) == 0o700
    assert list(here.iterdir()) == []


def test_a_page_is_written_anew_and_another_file_is_not(master, here):
    file = here / "page.html"
    for _ in range(2):
        assert master.call("deployment.report", "last", path=str(file))[1] == 0
    file.write_text("mine")
    answer, retcode = master.call("deployment.report", "last", path=str(file))
    assert (answer["error"], retcode) == (f"{file} exists and is no report; name another file with path=", 2)
    assert page.GENERATOR not in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "deployment.report needs deployment; it takes deployment [environment=] [path=]"),
        (["42"], "there is no deployment 42 in the journal; salt-run deployment.history lists them"),
        (["last", "nosuch"], "nosuch has never been deployed; begin with deployment.run"),
        (["42", "prod"], "deployment 42 needs no environment; that goes with last, for its newest"),
        (
            ["last", None, "none/page.html"],
            "the report cannot be written to {here}/none/page.html: No such file or directory;"
            " name another place with path=",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(master, here, arguments, sentence):
    answer, retcode = master.call("deployment.report", *arguments)
    assert (answer, retcode) == ({"error": sentence.format(here=here)}, 2)


def test_show_takes_the_last_of_an_environment_too(master):
    assert master.call("deployment.show", "last", "prod")[0]["id"] == recorded.RESUMED
    assert master.call("deployment.show", "last")[0]["environment"] == "test"


@pytest.mark.parametrize("syntax", ["svg", "Mermaid"])
def test_a_graph_in_another_syntax_is_refused_before_anything_is_asked(master, syntax):
    answer, retcode = master.call("deployment.plan", "prod", "compute", graph=syntax)
    assert retcode == 2
    assert answer["error"].startswith(f"graph must be mermaid or dot, not {syntax!r}")
