"""What matters of Puppet's reports and output, on captured ones."""

import captured
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
