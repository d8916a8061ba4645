"""What docs/day-two.md shows as YAML is YAML that the program takes."""

import re
from pathlib import Path

import pytest
import yaml
from nodes import chunks
from os_orchestrator import environment, plan

PAGE = (Path(__file__).resolve().parents[2] / "docs/day-two.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
SCENARIOS = {path.stem for path in (Path(__file__).resolve().parents[2] / "orch").glob("*.sls")}


@pytest.fixture
def prod():
    """The environment that the page writes, piece by piece."""
    definition = {"roles": {"compute": ["cmp1", "cmp2"], "endpoint": ["lb1"]}}
    for block in BLOCKS[:2]:
        definition |= yaml.safe_load(block)
    return environment.build("prod", definition, ["cmp1", "cmp2", "lb1"], lambda *_: ())


def test_the_environment_of_the_page_is_one(prod):
    assert set(prod.calls) == {"drain", "health", "restore"}
    assert prod.phases["Nodes are changed wave by wave"]["waves"] == {"grain": "rack", "max_failures": 0}


def test_the_scenario_of_the_page_is_a_plan(prod):
    built = plan.build(chunks(BLOCKS[2], "site.kernel"), prod)
    assert [(phase.kind, phase.nodes) for phase in built.phases] == [
        ("puppet", ("cmp1",)),
        ("call", ("cmp1",)),
        ("confirm", ()),
        ("puppet", ("cmp2",)),
    ]
    assert [call.function for call in built.phases[3].calls["after"]] == [
        "haproxy_endpoint.enable",
        "haproxy_endpoint.up",
    ]


def test_every_scenario_of_day_two_is_on_the_page():
    assert set(re.findall(r"^\| `(\w+)` \| `deployment.run", PAGE, re.M)) == SCENARIOS - {"compute", "swift"}
