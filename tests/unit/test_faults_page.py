"""The table of faults in the docs has a row for each test that causes one, and no row without its test."""

import re


def test_each_fault_has_its_test_and_each_test_its_row(repository):
    rows = re.findall(r"`(test_\w+)` \|$", (repository / "docs/faults.md").read_text(), re.M)
    files = [*repository.glob("tests/integration/test_faults_of_*.py")]
    files += [repository / f"tests/integration/{name}.py" for name in ("test_answers_of_nodes", "test_kill_anywhere")]
    tests = [name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)]
    assert sorted(rows) == sorted(tests)
