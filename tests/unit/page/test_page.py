"""The page of a deployment: whole, closed to the network, and safe whatever nodes have said."""

import html
import html.parser
import json
import os
import re
import shutil
import stat
import subprocess
import time

import pytest
import recorded
from nodes import DEPLOYMENT, DEPLOYMENTS, deployed
from os_orchestrator import doors, journal, page, verdicts
from os_orchestrator.page import story

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "close": "</title></svg></style></pre><script>",
    "cdata": "]]> <!-- --> <![CDATA[",
    "quotes": '" onload="x" \' onclick=\'y',
    "entity": "&lt;b&gt; &amp;lt; &#60;img src=x&#62;",
    "jinja": "{{ 7 * 7 }} {% for %} {# #}",
    "direction": "abc\u202edef\u2066ghi\u200b",
    "control": "a\x00b\x1b[31mred\x07\x9b1m\r\n\x0b",
    "surrogate": "\ud800 lone",
    "long": "x" * 3000,
}
#: Elements without an end tag.
EMPTY = {"meta"}


class Reader(html.parser.HTMLParser):
    """Reads a page: its text, its elements with their attributes, and whether they are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.text, self.elements, self.open = "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def has(self, tag):
        return any(found == tag for found, _ in self.elements)


def rendered(record, deployment=DEPLOYMENT):
    return page.render(story.read(record, deployment))


def hostile(root, words):
    """Return the page of a deployment of which everything that is free text is such words."""
    recorder = recorded.Recorder(root)
    details = {
        "failures": [{"resource": words, "message": words, "file": words, "line": words}],
        "changes": [{"resource": words, "message": words}],
        "slowest": [{"resource": words, "seconds": 1.0}],
        "log_tail": [f"Error: {words}", words],
        "resources": {},
    }
    outcomes = {
        "n2": verdicts.Outcome("failed", words, 1.0, details),
        "n3": verdicts.Outcome("changed", words, 1, details),
    }
    phases = [
        ("The writer is ready", "gate", words, [words], recorder.gate(said=words)),
        (f"Compute {words}", "puppet", words, ["n2", "n3"], recorder.puppet(["n2", "n3"], outcomes=outcomes)),
        (f"Endpoint {words}", "puppet", words, [], None),
    ]
    words = words.encode("utf-8", "replace").decode()
    arguments = {"excluded": {"n9": words}, "resumes": words}
    recorder.deployment("1", phases, "failed", words, user=words, arguments=arguments)
    return recorder.journal


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_whatever_was_said_is_text_and_nothing_else(tmp_path, monkeypatch, words):
    if words.isascii() or words.isprintable() or "\ud800" not in words:
        record = hostile(tmp_path, words)
        told = story.read(record, "1")
    else:
        # SQLite holds no such text; a story may.
        told = story.read(hostile(tmp_path, "PLACE"), "1")
        told = _replaced(told, "PLACE", words)
    text = page.render(told)
    text.encode("utf-8")
    read = Reader(text)
    assert read.open == []
    assert not {"script", "img", "b1"} & {tag for tag, _ in read.elements}
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    shown = re.sub(r"\s+", " ", "".join(each if each.isprintable() else " " for each in words)).strip()
    assert shown in re.sub(r"\s+", " ", read.text)
    assert all(each.isprintable() or each == "\n" for each in text)


def _replaced(value, old, new):
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def test_what_came_from_a_node_goes_through_verdicts_before_it_is_written(tmp_path):
    answer = {"run_id": "r", "verdict": "failed", "reason": HOSTILE["script"] + HOSTILE["control"]}
    outcome = verdicts.judge(answer, 1, run_id="r", noop=False)
    recorder = recorded.Recorder(tmp_path)
    act = recorder.puppet(["n1"], outcomes={"n1": outcome})
    recorder.deployment("1", [("a", "puppet", "r", ["n1"], act)], "failed")
    read = Reader(rendered(recorder.journal, "1"))
    assert not read.has("script")
    assert "<script>alert(1)</script>" in read.text


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_every_deployment_has_a_page(name, tmp_path):
    record = deployed(tmp_path, name).journal
    read, shown = Reader(rendered(record)), record.deployment(DEPLOYMENT)
    assert read.open == []
    assert f"prod compute {shown['state']}" in " ".join(read.text.split())
    for phase in shown["phases"]:
        assert phase["name"] in read.text
        assert all(node in read.text for node in phase["nodes"] if phase["started"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rolling", "confirmed by bob: two started"),
        ("denied", "denied by bob: nova-compute logs errors"),
        ("rolling", "Compute nodes say what they run succeeded 0.1 s, 4 nodes"),
    ],
)
def test_a_page_says_who_has_confirmed_it_and_what_was_called(name, said, tmp_path):
    assert said in " ".join(Reader(rendered(deployed(tmp_path, name).journal)).text.split())


def test_a_running_deployment_has_a_page_that_says_so(tmp_path):
    record = deployed(tmp_path, "interrupted").journal
    with record._open() as db:
        db.execute("UPDATE deployments SET state = 'running', reason = '', ended = NULL")
        db.execute(
            "INSERT INTO claims VALUES ('prod', ?, 'alice', ?, ?, ?, 0)",
            (DEPLOYMENT, journal.claims._boot_id(), os.getpid(), journal.claims._started(os.getpid())),
        )
    text = " ".join(Reader(rendered(record)).text.split())
    assert "prod compute is running" in text
    assert "What went wrong" not in text


def test_it_needs_nothing_but_itself(tmp_path):
    read = Reader(rendered(deployed(tmp_path, "failed").journal))
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.elements}
    addresses = [value for _, each in read.elements for name, value in each.items() if name in ("href", "src")]
    assert all(address.startswith("#") for address in addresses)
    (policy,) = [each["content"] for tag, each in read.elements if each.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_verdict_and_the_failed_node_come_first(tmp_path):
    text = Reader(rendered(recorded.failed(tmp_path, 40).journal, recorded.FAILED)).text
    order = ["prod compute failed", "What went wrong", "cmp020.example.com in", "Exec[start-slave]", "Timeline"]
    places = [" ".join(text.split()).index(words) for words in order[:2] + order[3:]]
    assert places == sorted(places)


def test_excluded_nodes_and_phases_that_were_left_out_are_told(tmp_path):
    text = " ".join(Reader(rendered(recorded.failed(tmp_path, 5).journal, recorded.FAILED)).text.split())
    assert "cmp999.example.com: disk broken, ticket 4711" in text
    assert "left out, environment prod has no checks for gate endpoint" in text
    assert "partial: not every node was asked" in text


def test_what_was_not_asked_is_told(tmp_path):
    text = " ".join(Reader(rendered(deployed(tmp_path, "partial").journal)).text.split())
    assert "nodes other than cmp1" in text
    assert "phases before 3" in text


@pytest.mark.slow
def test_a_large_journal_is_read_and_drawn_in_under_five_seconds(tmp_path):
    """200 deployments of 1,000 nodes each: SQLite makes many of the few that were recorded."""
    record = recorded.failed(tmp_path, 40).journal
    with record._open() as db:
        db.execute("BEGIN")
        columns = "phase, pass, node || '-' || value, attempt, run_id, verdict, reason, note, seconds, started, ended"
        numbers = (
            "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?) SELECT * FROM n)"
        )
        db.execute(
            f"INSERT INTO runs SELECT deployment, {columns}, details FROM runs, {numbers} WHERE phase = 5", (26,)
        )
        db.execute(
            "UPDATE phases SET nodes = (SELECT json_group_array(node) FROM runs"
            " WHERE runs.deployment = phases.deployment AND runs.phase = number) WHERE number = 5"
        )
        for table, column in (("deployments", "id"), ("phases", "deployment"), ("runs", "deployment")):
            others = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != column]
            others = ", ".join(others).replace(" started,", " started - 100000 * value AS started,")
            first = f"{column} = '20261122010000000000'"
            db.execute(
                f"INSERT INTO {table} SELECT {column} || value, {others} FROM {table}, {numbers} WHERE {first}", (200,)
            )
        assert db.execute("SELECT count(*) FROM deployments").fetchone()[0] == 202
        assert (
            db.execute("SELECT count(DISTINCT node) FROM runs WHERE deployment = ?", (recorded.FAILED,)).fetchone()[0]
            > 1000
        )
    began = time.monotonic()
    text = rendered(record, recorded.FAILED)
    assert time.monotonic() - began < 5
    assert "1026 nodes" in text


# -- the file ------------------------------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone_and_written_anew(tmp_path):
    path = tmp_path / "page.html"
    for text in ("one", "two"):
        page.write(path, page.GENERATOR + text)
    assert path.read_text() == page.GENERATOR + "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_page_says_that_it_is_one_at_its_beginning(tmp_path):
    assert page.GENERATOR in rendered(deployed(tmp_path, "good").journal)[:1000]


def test_another_file_is_not_overwritten(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(doors.Refused) as refused:
        page.write(path, "x")
    assert str(refused.value) == f"{path} exists and is no report; name another file with path="
    assert path.read_text() == "mine"


def test_a_link_is_replaced_and_what_it_points_to_is_not_touched(tmp_path):
    there, link = tmp_path / "there.html", tmp_path / "link.html"
    there.write_text(page.GENERATOR)
    link.symlink_to(there)
    page.write(link, page.GENERATOR + "new")
    assert there.read_text() == page.GENERATOR
    assert not link.is_symlink()


@pytest.mark.parametrize(("place", "why"), [("none/page.html", "No such file or directory"), ("", "Is a directory")])
def test_a_place_where_it_cannot_be_is_refused_in_one_sentence(tmp_path, place, why):
    with pytest.raises(
        doors.Refused, match=f"the report cannot be written to .*: {why}; name another place with path="
    ):
        page.write(tmp_path / place, "x")
    assert list(tmp_path.iterdir()) == []


# -- in a browser --------------------------------------------------------------------------------------------------

MEASURE = """
<script>
const wide = [...document.querySelectorAll("body *")].filter(each => each.scrollWidth > each.clientWidth + 1
  && each.clientWidth && !(each instanceof SVGElement)).map(each => each.outerHTML.slice(0, 80));
document.title = JSON.stringify({page: document.documentElement.scrollWidth, window: innerWidth, wide});
</script>
"""


@pytest.fixture
def chromium(tmp_path):
    """Return a function that opens a page in a browser of a width, and returns what the browser makes of it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no Chromium on this machine; it is too large to be asked for")

    def opened(text, *options):
        path = tmp_path / "page.html"
        # The page's own policy keeps the test's script out, too.
        path.write_text(re.sub(r"<meta http-equiv.*?>", "", text).replace("</body>", MEASURE + "</body>"))
        own = [f"--user-data-dir={tmp_path / 'browser'}", "--headless=new", "--no-sandbox", "--disable-gpu"]
        command = [program, *own, *options, "--dump-dom", path.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return opened


@pytest.mark.parametrize("size", recorded.SIZES)
def test_nothing_is_cut_in_a_browser(chromium, tmp_path, size):
    text = rendered(recorded.resumed(tmp_path, size).journal, recorded.RESUMED)
    for width in (1280, 700):
        dom = chromium(text, f"--window-size={width},900")
        measured = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom, re.S)[1]))
        assert measured["wide"] == []
        assert measured["page"] <= measured["window"] == width


def test_the_browser_runs_nothing_that_a_node_has_said(chromium, tmp_path):
    dom = chromium(
        rendered(hostile(tmp_path, "<script>document.title='caught'</script><img src=x onerror=alert(1)>"), "1")
    )
    assert "caught" not in re.search(r"<title>(.*?)</title>", dom, re.S)[1]
