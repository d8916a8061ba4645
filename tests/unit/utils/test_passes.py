"""Several passes over the nodes of a phase, until they are as they should be."""

import pytest
from nodes import DEPLOYMENT, deployed, small_site
from os_orchestrator import passes
from os_orchestrator.plan import Phase

CLEAN = """
Nothing is left to change:
  phase.puppet:
    - role: controller
    - passes: {passes}
"""


def site(root, *runs, **options):
    """Return a master with two controllers, of which the first runs so."""
    scripts = {"ctl1": {"runs": [(verdict, 5) for verdict in runs]}, "ctl2": {"runs": [("unchanged", 5)]}}
    return small_site(root, roles={"compute": []}, scripts=scripts, **options)


def deploy(master, wanted="{until: clean, at_most: 3}", deployment="1", **pillar):
    (result,) = master.deploy(CLEAN.replace("{passes}", str(wanted)), deployment, **pillar).values()
    return result


def told(master):
    return [(event["number"], event["changed"]) for _, event in master.bus.fired if event["what"] == "pass/ended"]


def made(master):
    return {name: list(node.made) for name, node in master.bus.nodes.items() if node.made}


def test_the_first_clean_pass_is_the_last(tmp_path):
    master = site(tmp_path, "changed", "unchanged")
    result = deploy(master)
    assert (result.result, result.reason) == (True, "")
    assert told(master) == [(1, {"nodes": 1, "resources": 1}), (2, {"nodes": 0, "resources": 0})]
    assert made(master) == {"ctl1": ["1-1-1-1", "1-1-2-1"], "ctl2": ["1-1-1-1", "1-1-2-1"]}
    runs = master.journal.deployment("1")["phases"][0]["runs"]
    assert [(run["pass"], run["node"], run["verdict"]) for run in runs] == [
        (1, "ctl1", "changed"),
        (1, "ctl2", "unchanged"),
        (2, "ctl1", "unchanged"),
        (2, "ctl2", "unchanged"),
    ]


def test_what_changes_each_time_is_named_though_the_phase_has_succeeded(tmp_path):
    master = site(tmp_path, "changed")
    result = deploy(master)
    warning = "not clean after 3 passes, which changed 1, 1, 1 resources; each time: Exec[write] of ctl1"
    assert (result.result, result.reason) == (True, warning)
    assert result.comment.endswith(warning)
    assert master.journal.deployment("1")["phases"][0]["reason"] == warning


def test_so_many_passes_are_so_many_and_warn_of_nothing(tmp_path):
    master = site(tmp_path, "changed")
    assert deploy(master, 2).reason == ""
    assert len(made(master)["ctl1"]) == len(made(master)["ctl2"]) == 2


def test_one_pass_is_not_told_of(tmp_path):
    master = site(tmp_path, "changed")
    deploy(master, 1)
    assert told(master) == []


def test_a_bad_node_ends_the_passes(tmp_path):
    master = site(tmp_path, "changed", "failed", "unchanged")
    result = deploy(master, 4)
    assert result.result is False
    assert result.reason.startswith("1 of 2 nodes bad: ctl1 failed")
    assert len(made(master)["ctl1"]) == 2


@pytest.mark.parametrize("wanted", [2, "{until: clean, at_most: 3}"])
def test_a_stop_between_two_passes_is_no_success(tmp_path, wanted):
    master = site(tmp_path, "changed")
    master.bus.when("node/started", 1, lambda _: master.journal.ask_to_stop("1", "carol", False))
    assert deploy(master, wanted).result is False
    head = master.journal.head("1")
    assert (head["state"], head["reason"].split(";")[0]) == (
        "interrupted",
        "stopped by carol in phase 1, Nothing is left to change",
    )
    assert len(made(master)["ctl1"]) == 1


def test_a_resumed_deployment_keeps_each_pass_that_was_made(tmp_path):
    master = site(tmp_path, "changed", "failed", "unchanged")
    assert deploy(master, 2).result is False
    assert deploy(master, 2, "2", resume="1").result is True
    assert made(master) == {"ctl1": ["1-1-1-1", "1-1-2-1", "2-1-2-1"], "ctl2": ["1-1-1-1", "1-1-2-1"]}


def test_what_a_kept_node_changed_counts_in_the_pass_in_which_it_did(tmp_path):
    master = site(tmp_path, "changed", "failed", "unchanged")
    assert deploy(master).result is False
    result = deploy(master, deployment="2", resume="1")
    assert (result.result, result.reason) == (True, "")
    assert [(number, changed["nodes"]) for number, changed in told(master)] == [(1, 1), (2, 1), (1, 1), (2, 0)]


def test_the_summary_warns_of_it(tmp_path):
    phase = deployed(tmp_path, "unclean").journal.deployment(DEPLOYMENT)["phases"][3]
    assert phase["state"] == "succeeded"
    assert phase["reason"].endswith("; each time: Exec[write] of cmp2")


@pytest.mark.parametrize(
    ("wanted", "limits"),
    [(None, (1, False)), (1, (1, False)), (3, (3, False)), ({"until": "clean", "at_most": 4}, (4, True))],
)
def test_a_phase_has_so_many_passes(wanted, limits):
    assert passes.limits(Phase(1, "x", "puppet", (), (), {"passes": wanted})) == limits
    assert passes.limits(Phase(1, "x", "call", (), ())) == (1, False)


def test_of_what_changes_each_time_five_are_named():
    many = {f"File[{number}]" for number in range(9)}
    said = passes.warning([{"a": many | {"File[once]"}, "b": {"Exec[x]"}}, {"a": many}])
    named = ", ".join(f"File[{number}] of a" for number in range(5))
    assert said == f"not clean after 2 passes, which changed 11, 9 resources; each time: {named} and 4 more"


def test_what_changed_in_one_pass_only_is_not_named():
    assert passes.warning([{"a": {"Exec[x]"}}, {"a": {"Exec[y]"}}]) == (
        "not clean after 2 passes, which changed 1, 1 resources"
    )
    assert passes.warning([{"a": {"Exec[x]"}}]) == "not clean after 1 pass, which changed 1 resources"
