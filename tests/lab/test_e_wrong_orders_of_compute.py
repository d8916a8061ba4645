"""Compute in a wrong order."""

import pytest


@pytest.mark.slow
def test_compute_nodes_without_a_writer_are_held_by_its_gate_and_fail_without_it(lab, compute):
    lab.replace_disk("cmp1")
    for name in ("ctl1", "ctl2"):
        lab.nodes[name].run("systemctl", "stop", "keepalived")
    held = lab.deploy("run", "lab", "wrong.writer_lost")
    assert (held.status, held.verdicts("Compute nodes are installed")) == (1, {"cmp1": None, "cmp2": None})
    done = lab.deploy("run", "lab", "wrong.compute_without_writer")
    assert done.status == 1
    assert done.verdicts("Compute nodes are installed")["cmp1"] in ("failed", "timed_out")
    healed = lab.deploy("run", "lab", "compute")
    assert healed.status == 0, healed.progress
