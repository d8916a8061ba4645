"""Agents are kept quiet for the time of a deployment, and whoever is not is told."""

import pytest
from nodes import DEPLOYMENT, SCENARIO, Node, deployed, small_site
from os_orchestrator import quieting


@pytest.fixture
def quiet(tmp_path):
    return deployed(tmp_path, "quiet")


def told(master, what):
    return [event for _, event in master.bus.fired if event["what"] == what]


def test_each_node_is_asked_once_for_the_environment_with_who_and_why(quiet):
    ((_, nodes, kwargs),) = quiet.bus.asked("puppet_agent.quiet")
    assert sorted(nodes) == ["cmp1", "cmp2", "ctl1", "ctl2"]
    assert kwargs == {"owner": "prod", "message": f"prod compute, deployment {DEPLOYMENT}, by alice"}


def test_our_own_runs_say_whose_they_are(quiet):
    assert {kwargs["quiet_owner"] for _, _, kwargs in quiet.bus.asked("puppet_agent.run")} == {"prod"}


def test_a_node_whose_agent_a_person_holds_is_told_and_one_that_says_nothing_at_the_end(quiet):
    (begun,), (ended,) = told(quiet, "agents/quiet"), told(quiet, "agents/restored")
    assert begun["refused"] == {"cmp2": "disabled by hand: disk broken"}
    assert ended["refused"] == {"cmp1": "no answer"}
    whats = [event["what"] for _, event in quiet.bus.fired]
    assert whats.index("agents/quiet") < whats.index("phase/started")
    assert whats[-2:] == ["agents/restored", "deployment/ended"]


@pytest.mark.parametrize("way", [{"noop": True}, {}])
def test_nobody_is_asked_without_quiet_agents_or_under_noop(tmp_path, way):
    master = small_site(tmp_path, quiet=bool(way))
    master.deploy(SCENARIO, DEPLOYMENT, **way)
    assert not master.bus.asked("puppet_agent.quiet")
    assert not master.bus.asked("puppet_agent.unquiet")
    # What a dead deployment may have left quiet does not keep a rehearsal from running.
    owners = {kwargs.get("quiet_owner") for _, _, kwargs in master.bus.asked("puppet_agent.run")}
    assert owners == ({"prod"} if way else {None})


def test_what_a_dead_deployment_left_quiet_can_be_restored_by_its_record(quiet):
    assert quiet.journal.head(DEPLOYMENT)["arguments"]["quiet"] == ["ctl1", "ctl2", "cmp1", "cmp2"]
    with quiet.running():
        assert quieting.restore("prod", ["ctl1", "cmp1"], quiet.bus, 15) == {"cmp1": "no answer"}
        quiet.bus.nodes["ctl1"] = Node("ctl1", dead=0.0)
        assert set(quieting.restore("prod", ["ctl1"], quiet.bus, 15)) == {"ctl1"}
        left = {"environment": "prod", "arguments": {"quiet": ["ctl1", "cmp1"]}}
        assert set(quieting.restore_left(left, quiet.bus)) == {"ctl1", "cmp1"}
        assert quieting.restore_left({**left, "arguments": {}}, quiet.bus) == {}
