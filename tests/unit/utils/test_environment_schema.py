import dataclasses
from pathlib import Path

import jsonschema
import pytest
import yaml
from os_orchestrator import environment, environment_schema, verdicts, words

DOCS = Path(__file__).resolve().parents[3] / "docs"
DEFINITIONS = environment_schema.SCHEMA["$defs"]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(environment_schema.SCHEMA)


def test_the_published_schema_is_the_one_that_is_used():
    assert (DOCS / "environment.schema.json").read_text() == environment_schema.document()


def test_the_table_of_the_manual_is_made_from_the_schema():
    text = (DOCS / "environment.md").read_text()
    assert text.count(environment_schema.table()) == 1
    assert text == environment_schema.manual(text)


def test_every_key_is_in_the_table_with_its_meaning():
    keys = {word for key, *_ in environment_schema.rows(DEFINITIONS["environment"]) for word in key.split(":")}
    for name in ("environment", "role", "puppet", "gate", "check"):
        assert keys >= set(DEFINITIONS[name]["properties"]), name
    assert all(meaning for *_, meaning in environment_schema.rows(DEFINITIONS["environment"]))


def test_the_command_writes_both_files(tmp_path):
    (tmp_path / "environment.md").write_text("before\n<!-- reference -->\nold\n<!-- end of reference -->\nafter\n")
    environment_schema.main(str(tmp_path))
    written = (tmp_path / "environment.md").read_text()
    assert written.startswith("before\n<!-- reference -->\n| key")
    assert written.endswith("|\n<!-- end of reference -->\nafter\n")
    assert (tmp_path / "environment.schema.json").read_text() == environment_schema.document()


@pytest.mark.parametrize(("name", "kind"), [("gate", environment.Gate), ("check", environment.Check)])
def test_defaults_of_the_schema_are_those_of_the_values(name, kind):
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, schema in DEFINITIONS[name]["properties"].items():
        if "default" in schema and fields[key].default is not dataclasses.MISSING:
            assert fields[key].default == (tuple(schema["default"]) if key == "args" else schema["default"]), key


def test_retries_may_name_every_bad_verdict_of_a_run():
    named = DEFINITIONS["phase"]["properties"]["retries"]["propertyNames"]["enum"]
    bad = {verdict for verdict in verdicts.OF_NODES if not verdicts.GOOD[verdict]}
    assert set(named) == bad | {"lost"}


def test_what_a_scenario_may_say_of_a_phase_an_environment_may_say_too():
    assert set(DEFINITIONS["phase"]["properties"]) == words.ARGUMENTS["puppet"] - {"role", "nodes"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "a whole number of at least 1"),
        ({"type": "number", "minimum": 0, "maximum": 5}, "a number from 0 to 5"),
        ({"type": "integer"}, "a whole number"),
        ({"enum": ["a", "b"]}, "one of a, b"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "string", "title": "a name"}, "a name"),
    ],
)
def test_what_is_wanted_is_said_in_words(schema, words):
    assert environment_schema.wanted(schema) == words


def _examples():
    """Return the YAML examples of the manual that are part of an environment."""
    blocks = (DOCS / "environment.md").read_text().split("```yaml\n")[1:]
    return [found for block in blocks if set(found := yaml.safe_load(block.partition("```")[0])) <= {"roles", "gates"}]


def test_the_examples_of_the_manual_are_valid():
    examples = _examples()
    assert len(examples) == 2
    for example in examples:
        jsonschema.validate({"roles": {}, **example}, environment_schema.part("environment"))
