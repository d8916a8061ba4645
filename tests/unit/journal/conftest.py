"""A journal of one test."""

import pytest
from journals import no_claims
from os_orchestrator import journal


@pytest.fixture
def record(tmp_path):
    with no_claims():
        yield journal.Journal(tmp_path / "here" / "journal.sqlite")
