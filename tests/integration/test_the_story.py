"""
The operator's two hours at small scale: a deployment that stands still and says why, fails at one node, goes on from
there once that is mended, and is shown to a colleague.
"""

import time

from sites import before, wait_until


def status(house, site):
    """Return what ``deployment.status`` prints, without its line breaks."""
    return " ".join(house.salt_run("deployment.status", site.name, out=None).stdout.split())


def verdicts(shown):
    return {
        phase["number"]: {node["node"]: node["verdict"] for node in phase["nodes"]}
        for phase in shown["phases"]
        if phase["kind"] == "puppet"
    }


def test_a_deployment_from_its_start_to_the_report_of_both_its_parts(site, house, started, tmp_path):
    site.manifest("n3", "exec { 'nova-manage db sync': command => '/bin/false' }")
    site.define(gate_timeout=120)

    # It is started, and stands still: why?
    first = started("deployment.run", site.name, "compute", seconds=0)
    held = wait_until(lambda: "held since" in (said := status(house, site)) and said, 60)
    assert "phase 4 of 7, gate writer: round " in held
    assert "file.file_exists on n3: answered false (and 1 more)" in held
    assert "5. Compute nodes are installed: not started" in held

    # The writer comes up. One node fails: which, at what?
    site.writer.touch()
    out, _ = first.communicate(timeout=90)
    assert first.returncode == 1
    assert "Compute nodes are installed: failed" in out
    ended = status(house, site)
    assert "Compute nodes are installed: 1 of 2 nodes bad: n3 failed (" in ended
    assert "Exec[nova-manage db sync]: change from 'notrun' to ['0'] failed" in ended
    shown = site.shown()
    assert verdicts(shown) == {
        1: {"n1": "changed"},
        2: {"n2": "changed"},
        3: {"n1": "changed", "n2": "changed"},
        5: {"n3": "failed", "n4": "changed"},
        6: {"n5": None},
    }
    (failure,) = next(node for node in shown["phases"][4]["nodes"] if node["node"] == "n3")["failures"]
    assert (failure["resource"], failure["file"]) == ("Exec[nova-manage db sync]", str(house.puppet("n3") / "site.pp"))

    # It is mended, and what is left is run: nothing else.
    site.manifest("n3")
    since = time.time()
    resumed = house.salt_run("deployment.resume", site.name)
    assert resumed.returncode == 0, resumed.stderr
    assert verdicts(resumed.data["answer"]) == {
        1: {"n1": "kept"},
        2: {"n2": "kept"},
        3: {"n1": "kept", "n2": "kept"},
        5: {"n3": "changed", "n4": "kept"},
        6: {"n5": "changed"},
    }
    assert {node: len(site.spans(node)) for node in house.minions} == {"n1": 2, "n2": 2, "n3": 2, "n4": 1, "n5": 1}
    assert [node for node in house.minions if site.spans(node)[-1][0] > since] == ["n3", "n5"]
    assert before(site.spans("n3")[-1], site.spans("n5")[-1])

    # And a colleague reads it next week.
    both = {row["id"]: row["state"] for row in house.salt_run("deployment.history").data["answer"]["deployments"]}
    assert both == {shown["id"]: "failed", resumed.data["answer"]["id"]: "succeeded"} | both
    place = tmp_path / "page.html"
    report = house.salt_run("deployment.report", "last", site.name, f"path={place}", out=None)
    assert (report.returncode, report.stdout) == (0, f"{place}\n")
    page = place.read_text()
    assert f"Before: deployment {shown['id']} failed" in page
    assert "<code>Exec[nova-manage db sync]</code>" in page
    assert "n3: failed after" in page
    assert "n3: changed after" in page
    assert "n4: kept, changed in" in page
