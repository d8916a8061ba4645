"""What the supervisor makes of Puppet's words, on captured outputs."""

import captured
import pytest
from os_orchestrator.node import supervisor


@pytest.mark.parametrize(
    ("case", "exit_code", "lock"),
    [
        ("agent_busy", 1, "/srv/node/var/state/agent_catalog_run.lock"),
        ("agent_busy_ssl", 1, ""),
        ("agent_disabled", 1, None),
        ("agent_no_catalog", 1, None),
        ("agent_busy", 0, None),
    ],
)
def test_a_lock_in_the_way_is_known_by_what_puppet_says(case, exit_code, lock):
    assert supervisor.lock_in_the_way(exit_code, captured.output(case)) == lock
