"""What one check of a gate found, handed to the next."""

import pytest
from os_orchestrator import environment, replies

MONITOR = environment.Check("mysql_mmm.writer_ready", "mmm_monitor", name="writer")


def answer(raw):
    return replies.Answer(MONITOR, "mon1", True, "", raw, raw)


def test_the_holder_that_one_check_found_is_an_argument_of_the_next():
    given = {
        ("writer", "host_ip"): replies.handed_over(
            [answer({"ready": True, "host_ip": "10.0.0.11"})], "writer", "host_ip"
        )
    }

    assert replies.filled({"node_address": "{writer.host_ip}", "port": 3306}, given) == {
        "node_address": "10.0.0.11",
        "port": 3306,
    }
    assert replies.filled(["at {writer.host_ip}", {"deep": ["{writer.host_ip}"]}], given) == [
        "at 10.0.0.11",
        {"deep": ["10.0.0.11"]},
    ]


@pytest.mark.parametrize(
    "raws",
    [
        [],
        [{"ready": True}],
        [{"host_ip": None}],
        [{"host_ip": ["10.0.0.11"]}],
        ["10.0.0.11"],
        [True],
        [{"host_ip": "10.0.0.11"}, {"host_ip": "10.0.0.12"}],
    ],
)
def test_a_field_that_the_answers_do_not_agree_on_is_not_handed_over(raws):
    with pytest.raises(LookupError, match="needs host_ip of writer"):
        replies.handed_over([answer(raw) for raw in raws], "writer", "host_ip")


def test_what_an_answer_holds_is_never_a_template_itself():
    given = {("writer", "host"): replies.handed_over([answer({"host": "{writer.ip}"})], "writer", "host")}

    assert replies.filled("{writer.host}", given) == "{writer.ip}"


def test_a_check_that_uses_an_answer_which_does_not_come_before_it_is_a_mistake():
    late = [
        {"function": "mysql_endpoint.ready", "role": "compute", "kwargs": {"node_address": "{writer.host_ip}"}},
        {"function": "mysql_mmm.writer_ready", "role": "mmm_monitor", "name": "writer"},
    ]

    with pytest.raises(environment.Invalid, match=r"\{writer.host_ip\} needs an answer that no check before it has"):
        environment.gate_from("writer", {"checks": late})
    assert environment.gate_from("writer", {"checks": late[::-1]}).checks[1].needs == (("writer", "host_ip"),)


# -- calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("{node}", "n1"),
        ("nova/{node}:{node}", "nova/n1:n1"),
        (["{node}", 5, None, {"{node}": "{node}"}], ["n1", 5, None, {"{node}": "n1"}]),
        (("{node}",), ["n1"]),
        ("{nodes} {name.field} {0}", "{nodes} {name.field} {0}"),
    ],
)
def test_arguments_are_about_a_node(value, filled):
    assert replies.about(value, "n1") == filled


@pytest.mark.parametrize("value", [True, None, 0, "", [], {}, "words", {"result": False}])
def test_any_answer_but_false_is_done(value):
    assert replies.satisfies(environment.Call("a.b"), value, 0)


@pytest.mark.parametrize(("value", "retcode"), [(False, 0), (True, 1), ("words", 254), (True, None), (True, False)])
def test_false_or_an_error_is_not_done(value, retcode):
    assert not replies.satisfies(environment.Call("a.b"), value, retcode)
