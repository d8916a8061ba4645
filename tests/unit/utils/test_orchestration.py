"""A deployment from its first phase to its last, on scripted nodes: what is begun, claimed, recorded and refused."""

from unittest import mock

import pytest
from nodes import ROLLING, SCENARIO, WRITER, chunks, ready_since, rolling_site, small_site
from os_orchestrator import doors, journal, orchestration, plan

PHASES = (
    "Controllers are installed",
    "The writer is ready",
    "Compute nodes are installed",
    "The endpoint is installed",
)


def results(found):
    return [result.result for result in found.values()]


def test_every_phase_runs_in_order_and_the_environment_is_free_afterwards(tmp_path):
    master = small_site(tmp_path)
    found = master.deploy(SCENARIO)
    assert tuple(found) == PHASES
    assert results(found) == [True, True, True, True]
    asked = [(function, sorted(nodes)) for _, nodes, function, _ in master.bus.published if function != WRITER]
    assert asked == [
        ("test.ping", ["ctl1", "ctl2"]),
        ("puppet_agent.run", ["ctl1", "ctl2"]),
        ("test.ping", ["cmp1", "cmp2"]),
        ("puppet_agent.run", ["cmp1", "cmp2"]),
    ]
    assert master.journal.deployment("1")["state"] == "succeeded"
    assert master.journal.holder("prod") is None
    assert not orchestration._sessions


def test_a_state_tells_what_changed_and_every_bad_node(tmp_path):
    master = small_site(tmp_path, scripts={"cmp2": {"runs": [("failed", 5)]}})
    result = master.deploy(SCENARIO)[PHASES[2]]
    assert result.comment.splitlines()[0] == "1 changed, 1 failed"
    assert result.comment.splitlines()[1].startswith("cmp2: failed, 1 resource failed, ")
    assert result.changes["cmp1"] == "1 changed"


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        ({"scripts": {"ctl2": {"runs": [("failed", 5)], "checks": ready_since(0)}}}, 0),
        ({"ready": 1000}, 1),
        ({"scripts": {"cmp2": {"dead": 5}}}, 2),
    ],
)
def test_the_first_phase_that_fails_ends_the_deployment_and_frees_the_environment(tmp_path, options, failed):
    master = small_site(tmp_path, **options)
    found = master.deploy(SCENARIO)
    assert results(found) == [True] * failed + [False]
    row = master.journal.deployment("1")
    assert row["state"] == "failed"
    assert row["reason"].startswith(f"{PHASES[failed]}: ")
    assert [phase["state"] for phase in row["phases"]][failed:3] == ["failed", "planned", "planned"][: 3 - failed]
    assert master.journal.holder("prod") is None


def test_a_deployment_of_which_a_phase_was_never_called_has_not_succeeded(tmp_path):
    # As when a state between two phases has failed, on which only the one of them waited.
    master = small_site(tmp_path)
    order = orchestration.Order(master.opts, "1", {"environment": "prod"}, tuple(chunks(SCENARIO)), False)
    with master.running():
        for name in (PHASES[0], PHASES[1], PHASES[3]):
            orchestration.run_phase(order, name)
    row = master.journal.deployment("1")
    assert (row["state"], row["reason"]) == ("failed", "Compute nodes are installed: never begun")
    assert master.journal.holder("prod") is None


def test_no_phase_starts_after_the_deployment_has_ended(tmp_path):
    master = small_site(tmp_path, ready=1000)
    order = orchestration.Order(master.opts, "1", {"environment": "prod"}, tuple(chunks(SCENARIO)), False)
    with master.running():
        assert [orchestration.run_phase(order, name).result for name in PHASES] == [True, False, False, False]
        late = orchestration.run_phase(order, PHASES[2])
    assert late.comment == "not started: the deployment has ended"
    assert not [nodes for _, nodes, _ in master.bus.asked("puppet_agent.run") if "cmp1" in nodes]


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(("when", "phase"), [(5, 1), (15, 2), (30, 3)])
def test_when_the_operator_ends_it_that_is_recorded_and_the_environment_is_free(tmp_path, end, when, phase):
    master = small_site(tmp_path, noise=[(when, end())])
    found = master.deploy(SCENARIO)
    last, row = list(found.values())[-1], master.journal.deployment("1")
    assert last.result is False
    assert last.comment.startswith(f"interrupted in phase {phase}, {PHASES[phase - 1]}; the runs on the nodes go on")
    assert (row["state"], row["reason"]) == ("interrupted", last.comment)
    assert row["phases"][phase - 1]["state"] == "interrupted"
    assert master.journal.holder("prod") is None


def test_an_error_that_nobody_foresaw_ends_the_deployment_too(tmp_path):
    master = small_site(tmp_path, noise=[(5, ZeroDivisionError("odd"))])
    with pytest.raises(ZeroDivisionError):
        master.deploy(SCENARIO)
    row = master.journal.deployment("1")
    assert (row["state"], row["reason"]) == ("failed", f"{PHASES[0]}: odd")
    assert (row["phases"][0]["state"], row["phases"][0]["reason"]) == ("failed", "odd")
    assert master.journal.holder("prod") is None


@pytest.mark.parametrize("error", [doors.Refused("the event bus of the master does not answer"), KeyboardInterrupt()])
def test_a_bus_that_cannot_be_had_ends_the_deployment_and_frees_the_environment(tmp_path, error):
    master = small_site(tmp_path)
    with mock.patch.object(type(master.bus), "__enter__", side_effect=error), pytest.raises(type(error)):
        master.deploy(SCENARIO)
    row = master.journal.deployment("1")
    assert (row["state"], row["reason"]) == ("failed", f"{PHASES[0]}: {str(error) or 'KeyboardInterrupt'}")
    assert master.journal.holder("prod") is None


def test_a_bus_that_goes_between_two_phases_ends_the_deployment_too(tmp_path):
    master = small_site(tmp_path)
    gone = doors.Refused("the event bus of the master does not answer")
    with mock.patch.object(type(master.bus), "__enter__", side_effect=[master.bus, gone]), pytest.raises(doors.Refused):
        master.deploy(SCENARIO)
    states = [phase["state"] for phase in master.journal.deployment("1")["phases"]]
    assert states[:3] == ["succeeded", "failed", "planned"]
    assert master.journal.holder("prod") is None


def test_a_deployment_that_cannot_be_recorded_leaves_the_environment_free(tmp_path):
    master = small_site(tmp_path)
    master.deploy(SCENARIO)
    asked = len(master.bus.published)
    with pytest.raises(doors.Refused, match="UNIQUE"):
        master.deploy(SCENARIO)
    assert master.journal.holder("prod") is None
    assert len(master.bus.published) == asked


def test_an_environment_that_another_deploys_is_refused_and_nothing_is_recorded(tmp_path):
    master = small_site(tmp_path)
    with master.running():
        master.journal.claim("prod", "0", "bob")
        with pytest.raises(journal.Claimed, match="environment prod is being deployed by bob"):
            master.deploy(SCENARIO)
    assert master.journal.deployments() == []
    assert not master.bus.published


def test_a_scenario_that_is_wrong_anywhere_is_refused_before_the_first_node(tmp_path):
    master = small_site(tmp_path)
    with pytest.raises(doors.Refused, match=r"Compute nodes are installed: phase.puppet does not take rolle"):
        master.deploy(SCENARIO.replace("role: compute", "rolle: compute"))
    assert not master.bus.published
    assert master.journal.deployments() == []


@pytest.mark.parametrize(
    ("pillar", "said"),
    [
        ({"environment": None}, "no environment was named"),
        ({"environment": ""}, "no environment was named"),
        ({"environment": ["prod"]}, "no environment was named"),
        ({"noop": "maybe"}, "noop must be true or false, not 'maybe'"),
        ({"nodes": {"a": 1}}, "nodes must be a list or a comma separated string"),
        ({"nodes": "zz"}, "nodes: zz is in no role of prod"),
        ({"from_phase": 9}, "from_phase: the scenario has no phase 9"),
    ],
)
def test_a_wrong_pillar_is_refused_before_the_first_node(tmp_path, pillar, said):
    master = small_site(tmp_path)
    with pytest.raises(doors.Refused, match=said):
        master.deploy(SCENARIO, **pillar)
    assert not master.bus.published


def test_the_pillar_of_the_command_line_may_hold_text(tmp_path):
    master = small_site(tmp_path)
    found = master.deploy(SCENARIO, noop="true", nodes="cmp1, cmp2", from_phase="2")
    assert results(found) == [True, True, True, True]
    assert master.bus.asked("puppet_agent.run")[0][2]["noop"] is True
    assert master.journal.deployment("1")["partial"]


# -- resumed -----------------------------------------------------------------------------------------------------


def test_a_resumed_deployment_runs_those_that_were_not_good_and_joins_the_run_that_nobody_heard_of(tmp_path):
    nodes = {"cmp1": {"runs": [("changed", 10)]}, "cmp2": {"runs": [("failed", 5), ("changed", 5)]}}
    roles = {"compute": ["cmp1", "cmp2", "cmp3"], "controller": ["ctl1", "ctl2"]}
    nodes["cmp3"] = {"runs": [("unchanged", 150)], "down": [(30, 300)]}
    master = small_site(tmp_path, roles=roles, scripts=nodes)
    assert results(master.deploy(SCENARIO, "1")) == [True, True, False]
    first = {run["node"]: run["verdict"] for run in master.journal.deployment("1")["phases"][2]["runs"]}
    assert first == {"cmp1": "changed", "cmp2": "failed", "cmp3": "lost"}

    with master.bus.time():
        while master.bus.now < 301:
            master.bus.next(100)
    assert results(master.deploy(SCENARIO, "2", resume="1")) == [True, True, True, True]
    again = master.journal.deployment("2")
    verdicts = {run["node"]: run["verdict"] for phase in again["phases"] for run in phase["runs"]}
    assert verdicts == {"ctl1": "kept", "ctl2": "kept", "cmp1": "kept", "cmp2": "changed", "cmp3": "unchanged"}
    assert {name: list(node.made) for name, node in master.bus.nodes.items() if "cmp" in name} == {
        "cmp1": ["1-3-1-1"],
        "cmp2": ["1-3-1-1", "2-3-1-1"],
        "cmp3": ["1-3-1-1"],
    }
    assert again["arguments"]["resumes"] == "1"


@pytest.mark.parametrize("resumed", ["9", "1"])
def test_what_cannot_be_resumed_is_refused_before_the_first_node(tmp_path, resumed):
    master = small_site(tmp_path)
    master.deploy(SCENARIO, "1")
    asked = len(master.bus.published)
    with pytest.raises(doors.Refused, match=r"has no deployment to resume|there is nothing to resume"):
        master.deploy(SCENARIO, "2", resume=resumed)
    assert len(master.bus.published) == asked
    assert master.journal.holder("prod") is None


# -- test=True -----------------------------------------------------------------------------------------------------


def test_test_mode_says_what_would_run_and_only_pings(tmp_path):
    master = small_site(tmp_path)
    found = master.deploy(SCENARIO, test=True)
    assert results(found) == [None, None, None, True]
    assert [result.comment for result in found.values()] == [
        "would run Puppet on ctl1, ctl2",
        "gate writer would ask ctl1, ctl2",
        "would run Puppet on cmp1, cmp2",
        "would be left out: role endpoint of prod has no nodes",
    ]
    assert {function for _, _, function, _ in master.bus.published} == {"test.ping"}
    assert master.journal.deployments() == []
    assert master.journal.holder("prod") is None


def test_test_mode_says_what_would_be_called_and_whom_it_would_wait_for(tmp_path):
    master = rolling_site(tmp_path)
    assert [result.comment for result in master.deploy(ROLLING, test=True).values()] == [
        "would run Puppet on cmp1, cmp2, cmp3, cmp4",
        "would wait for an operator: do instances start on the new compute nodes?",
        "would call service.status for cmp1, cmp2, cmp3, cmp4",
        "would run Puppet on cmp1, cmp2, cmp3, cmp4",
    ]
    assert {function for _, _, function, _ in master.bus.published} == {"test.ping"}


def test_test_mode_is_false_where_a_node_is_missing(tmp_path):
    found = small_site(tmp_path, scripts={"ctl2": {"dead": 0}}).deploy(SCENARIO, test=True)
    assert found[PHASES[0]].result is False
    assert found[PHASES[0]].comment.startswith("ctl2: missing, its minion gave no answer")


def test_test_mode_refuses_what_is_wrong(tmp_path):
    with pytest.raises(doors.Refused, match="role nowhere"):
        small_site(tmp_path).deploy(SCENARIO.replace("role: compute", "role: nowhere"), test=True)


# -- outside any scenario ------------------------------------------------------------------------------------------


def test_one_pass_over_a_role_has_the_same_claim_and_journal(tmp_path):
    master = small_site(tmp_path)
    with master.running():
        single = plan.single(master.environment({}, "prod"), "compute", {}, noop=False)
        result = orchestration.run_single(master.opts, "5", single)
    assert result.result is True
    row = master.journal.deployment("5")
    assert (row["scenario"], row["state"], row["user"], row["door"]) == (
        "puppet",
        "succeeded",
        "alice",
        "deployment.run",
    )
    assert master.journal.holder("prod") is None


def test_who_is_missing_of_a_plan_is_found_by_pings(tmp_path):
    master = small_site(tmp_path, scripts={"cmp2": {"dead": 0}})
    with master.running():
        the_plan = plan.build(chunks(SCENARIO), master.environment({}, "prod"))
        absent = orchestration.absent(master.opts, the_plan)
    assert list(absent) == ["cmp2"]
    pinged = [sorted(nodes) for _, nodes, _ in master.bus.asked("test.ping")]
    assert pinged == [["cmp1", "cmp2", "ctl1", "ctl2"], ["cmp2"], ["cmp2"]]


def test_a_master_that_cannot_publish_fails_the_phase_with_the_reason(tmp_path):
    found = small_site(tmp_path, refuses=[(0, 5)]).deploy(SCENARIO)
    assert results(found) == [False]
    assert "could not be asked: the master's publisher" in found[PHASES[0]].reason


# -- stopped from outside ------------------------------------------------------------------------------------------


def stopped_at(tmp_path, second, **options):
    master = small_site(tmp_path, **options)

    def asked(_record, _deployment):
        return {"user": "bob", "at": 0.0, "force": False} if master.bus.now >= second else None

    with mock.patch.object(journal.Journal, "stop_asked", asked):
        found = master.deploy(SCENARIO)
    return master.journal.deployment("1"), found


def test_a_deployment_that_is_stopped_ends_with_the_phase_that_runs_and_says_by_whom(tmp_path):
    stopped, found = stopped_at(tmp_path, 5)
    assert stopped["state"] == "interrupted"
    assert stopped["reason"] == (
        "stopped by bob in phase 1, Controllers are installed; salt-run deployment.resume prod goes on from there"
    )
    assert [phase["state"] for phase in stopped["phases"]] == ["succeeded", "planned", "planned", "left_out"]
    assert found[PHASES[1]].result is False


def test_a_gate_that_is_stopped_is_interrupted(tmp_path):
    stopped, found = stopped_at(tmp_path, 15, ready=1000)
    assert [phase["state"] for phase in stopped["phases"]][:3] == ["succeeded", "interrupted", "planned"]
    assert found[PHASES[1]].reason == "not open when bob stopped the deployment"


def test_a_stop_that_leaves_nothing_undone_is_no_interruption(tmp_path):
    stopped, _ = stopped_at(tmp_path, 30)
    assert stopped["state"] == "succeeded"


def test_how_long_a_phase_took_last_time_is_told_as_it_starts(tmp_path):
    assert last_seconds(small_site(tmp_path), "1") == {None}
    again = last_seconds(small_site(tmp_path), "2")
    assert None not in again
    assert all(seconds > 1 for seconds in again)


def last_seconds(master, deployment):
    master.deploy(SCENARIO, deployment)
    return {event["last_seconds"] for _, event in master.bus.fired if event["what"] == "phase/started"}


# -- nodes that are new --------------------------------------------------------------------------------------------

ADD = """
New compute nodes are installed:
  phase.puppet:
    - role: compute
    - nodes: new

The endpoint learns of them:
  phase.puppet:
    - role: controller
    - require:
      - phase: New compute nodes are installed
"""


def added(master, deployment, **pillar):
    """Return the nodes of the first phase of a deployment of new nodes, and why it was left out."""
    master.deploy(ADD, deployment, **pillar)
    phase = master.journal.deployment(deployment)["phases"][0]
    return [run["node"] for run in phase["runs"]], phase["reason"]


def test_new_nodes_are_those_that_no_deployment_has_made_well(tmp_path):
    master = small_site(tmp_path, roles={"compute": ["cmp1"]})
    assert added(master, "1", noop=True) == (["cmp1"], "")
    assert added(master, "2") == (["cmp1"], "")
    none = "role compute of prod has no new nodes; nodes= names some all the same"
    assert added(master, "3") == ([], none)
    assert added(master, "4", nodes="cmp1") == (["cmp1"], "")
    assert master.journal.known("prod") == {("compute", "cmp1"), ("controller", "ctl1"), ("controller", "ctl2")}


def test_a_node_that_failed_stays_new_and_one_that_was_new_stays_so_for_who_resumes(tmp_path):
    scripts = {"cmp2": {"runs": [("failed", 5), ("changed", 5)]}}
    master = small_site(tmp_path, scripts=scripts)
    assert added(master, "1")[0] == ["cmp1", "cmp2"]
    assert master.journal.known("prod") == {("compute", "cmp1")}
    master.deploy(ADD, "2", resume="1")
    phase = master.journal.deployment("2")["phases"][0]
    assert {run["node"]: run["verdict"] for run in phase["runs"]} == {"cmp1": "kept", "cmp2": "changed"}
    assert ("compute", "cmp2") in master.journal.known("prod")


def test_a_node_that_is_excluded_for_a_while_is_not_new_afterwards_and_one_that_was_gone_is(tmp_path):
    master = small_site(tmp_path)
    added(master, "1")
    master.definition["exclude"] = {"cmp2": "disk broken"}
    added(master, "2")
    assert ("compute", "cmp2") in master.journal.known("prod")
    master.definition["exclude"] = {}
    master.definition["roles"]["compute"] = ["cmp1"]
    added(master, "3")
    master.definition["roles"]["compute"] = ["cmp1", "cmp2"]
    assert added(master, "4")[0] == ["cmp2"]
