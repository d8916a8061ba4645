"""What pillar.example promises to the scenarios, and the scenarios to it."""

from pathlib import Path

import pytest
import yaml
from os_orchestrator import environment

REPOSITORY = Path(__file__).resolve().parents[3]
NAMES = ["demo", "prod"]


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
        assert set(role if isinstance(role, list) else [role]) <= set(found["roles"]), sentence
        if "gate" in arguments and not arguments.get("optional"):
            assert arguments["gate"] in found["gates"], sentence


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_of_the_example_is_one_of_a_scenario(name):
    assert set(definition(name).get("phases", {})) <= set(phases())
