"""Which definition of the pillar is taken, and what is said when there is none."""

import pytest
from os_orchestrator import doors, environment_pillar


def test_an_unknown_environment_is_refused_with_those_that_there_are():
    found = {"prod": {}, "demo": {}}
    assert environment_pillar.pick(found, "demo") == {}
    with pytest.raises(doors.Refused) as refused:
        environment_pillar.pick(found, "prd")
    assert str(refused.value) == "there is no environment 'prd' (did you mean 'prod'?); there are demo, prod"
    with pytest.raises(doors.Refused) as refused:
        environment_pillar.pick(found, "shop")
    assert str(refused.value) == (
        "there is no environment 'shop'; there are demo, prod; a new one must be named in the pillar's top file, too"
    )
    with pytest.raises(doors.Refused, match="the pillar defines none; a new one must be named"):
        environment_pillar.pick({}, "prod")


JINJA_SYNTAX = """Rendering SLS 'prod' failed, render error:
Jinja syntax error: unexpected 'end of template'; line 1

---
a: {{ nope(    <======================
---"""
YAML = """Rendering SLS 'prod' failed, render error:
while parsing a flow node
did not find expected node content
  in "<unicode string>", line 2, column 1"""
JINJA = """Rendering SLS 'prod' failed, render error:
Jinja error: x
Traceback (most recent call last):
  File "salt/utils/templates.py", line 582, in render_jinja_tmpl
jinja2.exceptions.TemplateNotFound: x

; line 7

---
{% include 'x' %}    <======================"""
ABSENT = "Specified SLS 'nope' in environment 'base' is not available on the salt master"
FAILED = "Rendering SLS 'prod' failed, render error: "


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (JINJA_SYNTAX, f"{FAILED}Jinja syntax error: unexpected 'end of template'; line 1"),
        (
            YAML,
            FAILED
            + 'while parsing a flow node did not find expected node content in "<unicode string>", line 2, column 1',
        ),
        (JINJA, f"{FAILED}Jinja error: x; line 7"),
        (ABSENT, ABSENT),
    ],
)
def test_an_error_of_the_pillar_is_one_line_without_excerpt_and_traceback(error, line):
    assert environment_pillar._render_error(error) == line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "os-orchestrator"),
        ({"os_orchestrator": None}, "os-orchestrator"),
        ({"os_orchestrator": {"pillar_id": "x"}}, "x"),
    ],
)
def test_the_virtual_id_is_an_option_of_the_master(options, expected):
    assert environment_pillar.pillar_id(options) == expected


@pytest.mark.parametrize("options", ["x", ["x"], {"pillar_id": ""}, {"pillar_id": 5}])
def test_a_virtual_id_that_is_none_is_refused(options):
    with pytest.raises(doors.Refused, match=r"^os_orchestrator in the master's configuration is "):
        environment_pillar.pillar_id({"os_orchestrator": options})
