"""The scenarios are data: what they say, the example environments have, the states take and the README tells."""

import fnmatch
import itertools
import re
from pathlib import Path

import phase
import pytest
import yaml
from os_orchestrator import environment, plan, words

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.stem for path in (REPOSITORY / "orch").glob("*.sls"))
ENVIRONMENTS = sorted(path.stem for path in (REPOSITORY / "pillar.example/environments").glob("*.sls"))
#: What a scenario does, without the gates that a site may leave out.
ORDER = {
    "compute": [
        ["primary_controller"],
        ["secondary_controller"],
        ["primary_controller", "secondary_controller"],
        "writer",
        ["compute"],
        ["endpoint"],
    ],
    "swift": [["storage"], ["ring_builder"], ["storage"], ["proxy"]],
    "site": [
        ["primary_controller", "storage"],
        ["secondary_controller", "ring_builder"],
        ["primary_controller", "secondary_controller", "storage"],
        "writer",
        ["compute", "proxy"],
        ["endpoint"],
    ],
    "add_compute": ["writer", ["compute"], ["endpoint"]],
    "add_storage": [["storage"], ["ring_builder"], ["storage", "proxy"]],
    "remove_compute": [["compute"], ["compute"], ["endpoint"], ["compute"]],
    "rolling": [["{role}"]],
    "configure": [["{role}"], "confirm", ["{role}"]],
    "audit": [["*"]],
}
#: What an operator says of a scenario that leaves something to him, in the example environments.
CHOSEN = {
    "rolling": {"role": ("compute",)},
    "configure": {"role": ("compute",)},
    "remove_compute": {"nodes": ("compute",)},
}


def text(scenario):
    return (REPOSITORY / f"orch/{scenario}.sls").read_text()


def phases(scenario):
    """Return each sentence of a scenario with its kind and its arguments."""
    found = []
    for sentence, body in yaml.safe_load(text(scenario)).items():
        ((function, arguments),) = body.items()
        state, _, kind = function.partition(".")
        assert state == "phase", sentence
        assert all(len(argument) == 1 for argument in arguments), sentence
        found.append((sentence, kind, {key: value for argument in arguments for key, value in argument.items()}))
    return found


def example(name):
    """Return an environment of pillar.example, every node of which has a key."""
    path = REPOSITORY / f"pillar.example/environments/{name}.sls"
    definition = yaml.safe_load(path.read_text())["environments"][name]
    accepted = []
    for role in definition["roles"].values():
        target = role.get("target") if isinstance(role, dict) else None
        nodes = role.get("nodes", ()) if isinstance(role, dict) else role
        accepted += [target.replace("*", str(number + 1)) for number in range(role["count"])] if target else nodes
    return environment.build(name, definition, accepted, lambda target, _: fnmatch.filter(accepted, target))


def low(scenario):
    return [
        {
            "state": "phase",
            "fun": kind,
            "name": sentence,
            "__id__": sentence,
            "__sls__": f"orch.{scenario}",
            **arguments,
        }
        for sentence, kind, arguments in phases(scenario)
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_phase_requires_the_one_before_it(scenario):
    found = phases(scenario)
    assert "require" not in found[0][2]
    for (before, _, _), (sentence, _, arguments) in itertools.pairwise(found):
        assert arguments["require"] == [{"phase": before}], sentence


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_phases_have_only_arguments_that_the_states_take(scenario):
    for sentence, kind, arguments in phases(scenario):
        assert set(arguments) - {"require"} <= words.ARGUMENTS[kind], sentence


@pytest.mark.parametrize("kind", sorted(words.ARGUMENTS))
def test_the_states_and_the_plan_know_the_same_arguments(kind):
    assert set(getattr(phase, kind).signature.parameters) - {"name"} == words.ARGUMENTS[kind]


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_a_plan_for_every_example_environment(scenario, name):
    env = example(name)
    chosen = dict(CHOSEN.get(scenario, {}))
    if "nodes" in chosen:
        chosen["nodes"] = tuple(env.roles[role].nodes[0] for role in chosen["nodes"])
    built = plan.build(low(scenario), env, selection=plan.Selection(**chosen))
    assert [found.name for found in built.phases] == [sentence for sentence, _, _ in phases(scenario)]
    assert all(found.nodes for found in built.phases if not found.left_out and found.kind != "confirm")
    assert not [found.name for found in built.phases if found.left_out and found.kind == "puppet"]
    used = {role for found in built.phases for role in found.roles}
    assert used <= set(env.roles)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_order_is_the_one_that_the_services_need(scenario):
    steps = []
    for _, _, arguments in phases(scenario):
        role = arguments.get("role")
        if not arguments.get("optional"):
            steps.append([role] if isinstance(role, str) else role or arguments.get("gate", "confirm"))
    assert steps == ORDER[scenario]


def test_storage_may_fail_before_there_are_rings_and_not_after():
    tolerated = [arguments.get("may_fail") for _, _, arguments in phases("swift") if arguments.get("role") == "storage"]
    assert tolerated == [["Service[swift-*]"], None]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenarios_are_plain_yaml_that_names_no_machine(scenario):
    assert not re.search(r"\{[%{#]|\bsleep\b|cmd\.|\d+\.\d+\.\d+", text(scenario))
    nodes = {node for name in ENVIRONMENTS for role in example(name).roles.values() for node in role.nodes}
    assert not nodes & set(re.findall(r"[\w.-]+", text(scenario)))


@pytest.mark.parametrize("scenario", ["compute", "swift"])
def test_a_scenario_begins_with_the_two_commands_that_run_it(scenario):
    head = "\n".join(text(scenario).splitlines()[:3])
    assert f"salt-run deployment.run prod {scenario}" in head
    assert f"""salt-run state.orch orch.{scenario} pillar='{{"environment": "prod"}}'""" in head


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_begins_with_the_command_that_runs_it(scenario):
    assert f"salt-run deployment.run prod {scenario}" in "\n".join(text(scenario).splitlines()[:3])


@pytest.mark.parametrize("scenario", ["compute", "swift"])
def test_the_readme_has_the_phases_of_every_scenario_in_order(scenario):
    readme = (REPOSITORY / "README.md").read_text()
    table = readme.partition(f"`orch/{scenario}.sls`:\n\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [sentence for sentence, _, _ in phases(scenario)]


@pytest.mark.parametrize("kind", sorted(words.ARGUMENTS))
def test_the_manual_has_every_argument_of_a_phase(kind):
    manual = (REPOSITORY / "docs/scenarios.md").read_text()
    section = manual.partition(f"## phase.{kind}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == words.ARGUMENTS[kind]
