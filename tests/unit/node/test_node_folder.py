"""Which report in a run's directory is believed."""

import captured
import pytest
import yaml
from os_orchestrator.node import folder


def test_a_report_that_was_cut_anywhere_is_not_believed(tmp_path):
    whole = (captured.FILES / "changed.report.yaml").read_bytes()
    path = tmp_path / "report.yaml"
    for size in (*range(0, len(whole) - 1, 97), *range(len(whole) - 60, len(whole) - 1)):
        path.write_bytes(whole[:size])
        digest, problem = folder.read_report(path)
        assert digest is None, size
        assert problem.startswith(("is ", "has ")), problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\x00\xff" * 500, "is not the YAML of a report"),
        (b"--- [1, 2]", "is not a report"),
        (b"--- !ruby/object:Puppet::Transaction::Report\nhost: {[", "is not the YAML of a report"),
        (b"--- !ruby/object:Puppet::Transaction::Report\nhost: !ruby/object:Evil {}\n", "is not the YAML of a report"),
        (b"[" * 100_000, "is not a report"),
        (b"- " * 100_000, "is not a report"),
        (b"status: changed\n", "is not complete: it has no transaction_completed, noop"),
    ],
)
def test_a_file_that_is_no_report_is_not_believed(tmp_path, content, problem):
    path = tmp_path / "report.yaml"
    path.write_bytes(content)
    digest, found = folder.read_report(path)
    assert digest is None
    assert problem in found


def test_a_huge_report_is_not_even_read(tmp_path):
    path = tmp_path / "report.yaml"
    with path.open("wb") as handle:
        handle.truncate(200 << 20)
    assert folder.read_report(path) == (None, "is too big to be believed (200 MiB)")


def test_a_report_that_is_missing_or_a_folder_is_not_believed(tmp_path):
    assert folder.read_report(tmp_path / "none") == (None, "is not there")
    assert folder.read_report(tmp_path) == (None, "cannot be read (Is a directory)")


def test_reports_are_read_without_libyaml_too(monkeypatch):
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert captured.report("changed")[0]["status"] == "changed"
