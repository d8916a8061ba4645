"""What pillar.example promises to the scenarios, and the scenarios to it."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml
from os_orchestrator import environment

REPOSITORY = Path(__file__).resolve().parents[3]
NAMES = ["demo", "prod"]
#: Roles that a scenario leaves to the environment, or to the operator.
LEFT_OPEN = {"*", "{role}"}


def definition(name):
    return yaml.safe_load((REPOSITORY / f"pillar.example/environments/{name}.sls").read_text())["environments"][name]


def phases():
    """Return the arguments of every phase of every scenario, by sentence."""
    found = {}
    for path in (REPOSITORY / "orch").glob("*.sls"):
        for sentence, body in yaml.safe_load(path.read_text()).items():
            for arguments in body.values():
                found[sentence] = {key: value for argument in arguments for key, value in argument.items()}
    return found


def test_the_top_file_lists_every_environment():
    (targets,) = yaml.safe_load((REPOSITORY / "pillar.example/top.sls").read_text()).values()
    assert targets == {environment.PILLAR_ID: ["environments.prod", "environments.demo"]}


@pytest.mark.parametrize("name", NAMES)
def test_every_role_and_gate_of_the_scenarios_is_in_the_example(name):
    found = definition(name)
    for sentence, arguments in phases().items():
        role = arguments.get("role", [])
        assert set(role if isinstance(role, list) else [role]) - LEFT_OPEN <= set(found["roles"]), sentence
        assert {arguments[what] for what in (*environment.CALLING, "calls") if what in arguments} <= set(found["calls"])
        if "gate" in arguments and not arguments.get("optional"):
            assert arguments["gate"] in found["gates"], sentence


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_of_the_example_is_one_of_a_scenario(name):
    assert set(definition(name).get("phases", {})) <= set(phases())


@pytest.mark.parametrize("name", NAMES)
def test_every_check_of_the_example_is_a_function_that_takes_its_arguments(name):
    for gate in definition(name)["gates"].values():
        for check in gate["checks"]:
            takes_its_arguments(check)


@pytest.mark.parametrize("name", NAMES)
def test_every_call_of_the_example_is_a_function_that_takes_its_arguments(name):
    for calls in definition(name)["calls"].values():
        for call in calls:
            takes_its_arguments(call)


def takes_its_arguments(asked):
    module, _, function = asked["function"].partition(".")
    ours = (REPOSITORY / f"_modules/{module}.py").exists()
    found = importlib.import_module(module if ours else f"salt.modules.{module}")
    inspect.signature(getattr(found, function)).bind(*asked.get("args", ()), **asked.get("kwargs", {}))


def test_the_writer_of_prod_must_hold_for_longer_than_its_monitor_may_be_wrong():
    gate = definition("prod")["gates"]["writer"]
    assert gate["successes"] * gate["interval"] > 15
