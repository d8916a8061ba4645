"""What matters of Puppet's reports and output, on captured ones."""

import re

import captured
import pytest
from os_orchestrator.node import report


def test_a_report_tells_what_failed_where_and_why():
    digest, _ = captured.report("failed")
    assert digest["failures"][0] == {
        "resource": "Exec[start-slave]",
        "message": "change from 'notrun' to ['0'] failed: '/bin/false' returned 1 instead of one of [0]",
        "file": "/srv/site/failed.pp",
        "line": 2,
        "tolerated": False,
    }
    assert [each["resource"] for each in digest["skipped"]] == ["Notify[replicating]", "Notify[replicated]"]
    assert digest["resources"] == {
        "total": 12,
        "changed": 1,
        "failed": 2,
        "failed_to_restart": 0,
        "skipped": 2,
        "out_of_sync": 3,
        "restarted": 0,
        "corrective_change": 0,
    }
    assert digest["changes"] == [{"resource": "File[/srv/site/before]", "message": "created"}]


def test_a_failure_has_its_place_once():
    why = (
        "change from 'directory' to 'file' failed: Could not set 'file' on ensure: Is a directory - Is a directory: /a"
    )
    status = {"resource": "File[/a]", "file": "/srv/site/init.pp", "line": 12}
    event = {"status": "failure", "message": f"{why} (file: /srv/site/init.pp, line: 12)"}
    row = report._failure({**status, "events": [event]}, [])
    assert (row["message"], row["file"], row["line"]) == (why, "/srv/site/init.pp", 12)
    unplaced = report._failure({"resource": "File[/a]", "events": [event]}, [])
    assert unplaced["message"] == event["message"]


def test_resources_skipped_by_tag_are_no_failures():
    digest, _ = captured.report("tagged")
    assert digest["resources"]["skipped"] == 9
    assert digest["skipped"] == []


def test_noop_tells_what_would_change():
    digest, _ = captured.report("noop")
    would = {"resource": "File[/srv/site/motd]", "message": "current_value 'absent', should be 'file' (noop)"}
    assert (digest["noop"], digest["changes"]) == (True, [would])


def test_the_tail_of_the_log_is_bounded_and_shows_no_diff():
    diff = "Notice: /Stage[main]/File[x]/content: \n--- /etc/x\n+++ /tmp/y\n@@ -1 +1 @@\n-old secret\n+new secret\n"
    tail = report.log_tail("Info: one\n" * 3 + diff + "".join(f"Notice: {n} {'x' * 999}\n" for n in range(99)))
    assert len(tail) == 40
    assert all(len(line) <= 300 for line in tail)
    assert report.log_tail("Info: one\n" * 3 + diff) == ["Info: one", "Notice: /Stage[main]/File[x]/content:"]


REPORTS = sorted(path.name.removesuffix(".report.yaml") for path in captured.FILES.glob("*.report.yaml"))
DULL = """\
  File[/{number}]:
    title: "/{number}"
    file: "/srv/site.pp"
    line: {number}
    resource: File[/{number}]
    resource_type: File
    provider_used: posix
    containment_path:
    - Stage[main]
    - Main
    - File[/{number}]
    evaluation_time: {seconds}
    tags:
    - file
    - class
    time: '2026-11-23T11:52:39.013200921+00:00'
    failed: false
    failed_to_restart: false
    changed: false
    out_of_sync: false
    skipped: false
    change_count: 0
    out_of_sync_count: 0
    events: []
    corrective_change: false
"""


def whole(content):
    """Return what matters of a report of which nothing was left out."""
    return report.digest(report._loaded(re.sub(rb"\A--- !ruby/object:\S+", b"---", content)))


def with_dull_ones(case, count=200):
    """Return a captured report with so many more resources of which there is nothing to tell, some of them slow."""
    head, mark, statuses = (captured.FILES / f"{case}.report.yaml").read_text().partition("\nresource_statuses:\n")
    more = "".join(DULL.format(number=number, seconds=number % 7 * 0.25) for number in range(count))
    return (head + mark + more + statuses).encode()


@pytest.mark.parametrize("case", [each for each in REPORTS if not captured.report(each)[1]])
def test_what_is_left_out_of_a_report_does_not_matter(case):
    content = with_dull_ones(case) if captured.report(case)[0]["resources"]["total"] else b""
    for each in ((captured.FILES / f"{case}.report.yaml").read_bytes(), content):
        assert not each or report.digest(report.parse(each)) == whole(each)


def test_most_of_the_dull_ones_are_left_out():
    read = report.parse(with_dull_ones("changed", 1000))["resource_statuses"]
    slow = [name for name, each in read.items() if each["evaluation_time"] == 1.5]
    assert len(read) < 30
    assert len(slow) == report.SLOWEST


@pytest.mark.parametrize(
    "line", ["failed: true", "skipped: true", "changed: true", "out_of_sync_count: 1", "events:\n    - x"]
)
def test_a_resource_of_which_there_is_something_to_tell_is_not_left_out(line):
    field = line.partition(":")[0]
    told = re.sub(rf"(?m)^    {field}: .*$", f"    {line}", DULL.format(number=99, seconds=0)).encode()
    mark = b"\nresource_statuses:\n"
    assert "File[/99]" in report.parse(with_dull_ones("changed").replace(mark, mark + told))["resource_statuses"]


def test_a_report_that_refers_to_what_was_left_out_is_read_whole():
    anchored = with_dull_ones("changed").replace(b'title: "/0"', b'title: &1 "/0"')
    content = anchored.replace(b"\ncatalog_uuid: ", b"\nmore: *1\ncatalog_uuid: ")
    assert report.parse(content)["more"] == "/0"
