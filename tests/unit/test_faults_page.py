"""The tables of faults in the docs have a row for each test that causes one, and no row without its test."""

import re

import pytest

TESTS = {
    "faults": ("test_faults_of_*", "test_answers_of_nodes", "test_kill_anywhere"),
    "scale": ("test_syndic",),
}


@pytest.mark.parametrize("page", TESTS)
def test_each_fault_has_its_test_and_each_test_its_row(repository, page):
    rows = re.findall(r"`(test_\w+)` \|$", (repository / f"docs/{page}.md").read_text(), re.M)
    files = [path for name in TESTS[page] for path in repository.glob(f"tests/integration/{name}.py")]
    tests = [name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)]
    assert sorted(rows) == sorted(tests)
