import types
from decimal import Decimal

import pytest
import salt.state
import salt.utils.args
from os_orchestrator import doors
from salt.exceptions import CommandExecutionError, SaltInvocationError

SOURCE = '''
from os_orchestrator import doors

__func_alias__ = {"list_": "list"}


@doors.runner
def list_():
    """
    List them.
    """
    return doors.answer(["a", "b"])


@doors.runner
def plan(environment, scenario, noop=False, *, nodes=None):
    return doors.answer([environment, scenario, noop, nodes])


@doors.runner
def fail(exception):
    raise exception


@doors.runner
def fails_softly():
    return doors.answer("not all", 1)


@doors.runner
def nonsense():
    return None


@doors.runner
def whose():
    return doors.answer(__user__)


@doors.state
def phase(name, role, timeout=None, parts=()):
    if isinstance(role, BaseException):
        raise role
    return {"name": name, "result": True, "changes": {}, "comment": f"{role} {timeout}"}
'''


@pytest.fixture
def toy():
    """A module as Salt's loader makes it: its functions have its globals."""
    module = types.ModuleType("salt.loaded.ext.runners.toy")
    module.__context__ = {}
    exec(SOURCE, module.__dict__)
    return module


@pytest.fixture
def said(toy):
    """Return the sentence of a refused call, having checked that it is one, and that both exit statuses say so."""

    def call(name, *args, **kwargs):
        answer = getattr(toy, name)(*args, **kwargs)
        assert answer["retcode"] == 2
        assert toy.__context__["retcode"] == 2
        assert list(answer["answer"]) == ["error"]
        return answer["answer"]["error"]

    return call


# -- what comes in -------------------------------------------------------------------------------------------------


def test_a_call_gets_its_arguments_as_python_would_pass_them(toy):
    answer = toy.plan("prod", "compute", nodes="a", __pub_user="root", __orchestration_jid__="1")
    assert answer == {"answer": ["prod", "compute", False, "a"], "outputter": "deployment", "retcode": 0}
    assert toy.__context__["retcode"] == 0


USAGE = "it takes environment scenario [noop=False] [nodes=]"


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((), {}, f"toy.plan needs environment, and needs scenario; {USAGE}"),
        (("prod",), {}, f"toy.plan needs scenario; {USAGE}"),
        (("a", "b", "c", "d"), {}, f"toy.plan has no place for the argument 'd'; {USAGE}"),
        (("a", "b"), {"node": 1}, f"toy.plan does not know the argument 'node' (did you mean 'nodes'?); {USAGE}"),
        (("a", "b"), {"xyz": 1}, f"toy.plan does not know the argument 'xyz'; {USAGE}"),
        (("a", "b"), {"scenario": 1}, f"toy.plan got scenario twice; {USAGE}"),
        (
            ("prod",),
            {"scenaro": 1},
            "toy.plan does not know the argument 'scenaro' (did you mean 'scenario'?), and needs scenario; " + USAGE,
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(said, args, kwargs, sentence):
    assert said("plan", *args, **kwargs) == sentence


def test_a_function_is_called_as_the_operator_types_it(said):
    assert said("list_", "x") == "toy.list has no place for the argument 'x'; it takes no arguments"


def test_salt_leaves_the_checking_of_arguments_to_the_door(toy):
    spec = salt.utils.args.get_function_argspec(toy.plan)
    assert (spec.args, spec.varargs, spec.keywords) == ([], "args", "kwargs")


def test_a_door_keeps_name_documentation_and_module(toy):
    assert toy.list_.__name__ == "list_"
    assert "List them" in toy.list_.__doc__
    assert toy.list_.__module__ == toy.__name__


def test_what_salt_puts_into_the_globals_of_a_loaded_function_reaches_it(toy):
    toy.whose.__globals__["__user__"] = "alice"
    assert toy.whose()["answer"] == "alice"


# -- what goes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [doors.Refused, SaltInvocationError, CommandExecutionError])
def test_a_sentence_that_was_meant_for_the_operator_is_given_as_it_is(said, caplog, kind):
    assert said("fail", kind("there is no node x; see salt-key -L")) == "there is no node x; see salt-key -L"
    assert not caplog.records


def test_an_exception_that_nobody_foresaw_is_a_sentence_and_a_line_in_the_log(said, caplog):
    caplog.set_level("DEBUG")
    sentence = "unexpected: toy.fail failed with KeyError: 'x'"
    assert said("fail", KeyError("x")) == f"{sentence}; run it again with -l debug to see where"
    lines = {record.levelname: record for record in caplog.records if record.name == doors.__name__}
    assert lines["ERROR"].message == sentence
    assert lines["ERROR"].exc_info is None
    assert lines["DEBUG"].exc_info is not None


def test_a_function_that_gives_no_answer_is_not_a_success(said):
    assert said("nonsense").startswith("unexpected: toy.nonsense failed")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_operator_can_end_a_function(toy, kind):
    with pytest.raises(kind):
        toy.fail(kind())
    with pytest.raises(kind):
        toy.phase("One", role=kind())


def test_a_retcode_of_the_function_is_set_where_the_orchestration_looks(toy):
    assert toy.fails_softly()["retcode"] == 1
    assert toy.__context__["retcode"] == 1


def test_a_success_clears_the_retcode_of_the_call_before(toy):
    toy.plan()
    toy.list_()
    assert toy.__context__["retcode"] == 0


def test_an_answer_has_no_data_key_which_salt_takes_for_state_results():
    assert "data" not in doors.answer("text")


# -- states --------------------------------------------------------------------------------------------------------


def _as_salt_calls(door, low):
    """Call a state as ``salt.state`` does with a low chunk."""
    called = salt.utils.args.format_call(door, low, expected_extra_kws=salt.state.STATE_INTERNAL_KEYWORDS)
    return door(*called["args"], **called["kwargs"])


LOW = {
    "name": "One",
    "state": "toy",
    "fun": "phase",
    "order": 10000,
    "require": [{"toy": "Zero"}],
    "retry": {"attempts": 2},
    "__id__": "One",
    "__sls__": "orch.compute",
    "__env__": "base",
    "__sls_included_from__": [],
    "__orchestration_jid__": "1",
}


def test_a_state_gets_what_the_scenario_wrote_and_nothing_of_salts(toy):
    ret = _as_salt_calls(toy.phase, {**LOW, "role": "compute", "timeout": 5})
    assert ret == {"name": "One", "result": True, "changes": {}, "comment": "compute 5"}


ROLE = "it takes role [timeout=] [parts=()]"


@pytest.mark.parametrize(
    ("written", "comment"),
    [
        ({}, f"toy.phase needs role; {ROLE}"),
        (
            {"role": "x", "timout": 5},
            f"toy.phase does not know the argument 'timout' (did you mean 'timeout'?); {ROLE}",
        ),
        ({"role": doors.Refused("no such role")}, "no such role"),
        (
            {"role": ValueError("odd")},
            "unexpected: toy.phase failed with ValueError: odd; run it again with -l debug to see where",
        ),
    ],
)
def test_a_state_that_is_refused_is_false_and_says_why(toy, written, comment):
    ret = _as_salt_calls(toy.phase, {**LOW, **written})
    assert ret == {"name": "One", "result": False, "changes": {}, "comment": comment}


def test_state_arguments_are_those_that_are_not_salts():
    assert doors.state_arguments({**LOW, "role": "compute"}) == {"name": "One", "role": "compute"}


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
    [(True, True), ("True", True), (" yes ", True), ("on", True), (1, True), (False, False), ("no", False), (0, False)],
)
def test_truth_as_an_operator_types_it(value, found):
    assert doors.boolean(value, "noop") is found


@pytest.mark.parametrize("value", ["maybe", "", None, 2, [], {}, 1.0])
def test_what_is_neither_true_nor_false_is_refused(value):
    with pytest.raises(doors.Refused, match=r"^noop must be true or false, not "):
        doors.boolean(value, "noop")


@pytest.mark.parametrize(("value", "found"), [(5, 5), ("5", 5), (" 2.5 ", 2.5), (5.0, 5), ("1e3", 1000), (-1, -1)])
def test_numbers_as_an_operator_types_them(value, found):
    number = doors.number(value, "timeout")
    assert (number, type(number)) == (found, type(found))


@pytest.mark.parametrize("value", [True, None, "", "x", "nan", float("inf"), "1e999", [1], {}, Decimal(1), b"1"])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(doors.Refused, match=r"^timeout must be a number, not "):
        doors.number(value, "timeout")


@pytest.mark.parametrize(
    ("value", "limits", "sentence"),
    [
        (0, {"minimum": 1}, "n must be a number of at least 1, not 0"),
        (9, {"maximum": 8}, "n must be a number of at most 8, not 9"),
        ("9", {"minimum": 1, "maximum": 8, "whole": True}, "n must be a whole number from 1 to 8, not '9'"),
        (1.5, {"whole": True}, "n must be a whole number, not 1.5"),
    ],
)
def test_a_number_out_of_its_limits_is_refused_with_them(value, limits, sentence):
    with pytest.raises(doors.Refused) as refused:
        doors.number(value, "n", **limits)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("a", ("a",)),
        ("a, b,c", ("a", "b", "c")),
        (["a", "b,c"], ("a", "b,c")),
        (("a",), ("a",)),
        (4711, ("4711",)),
        ([1, "b"], ("1", "b")),
    ],
)
def test_lists_as_an_operator_types_them(value, found):
    assert doors.strings(value, "nodes") == found


@pytest.mark.parametrize(
    "value", [{"a": 1}, True, 1.5, ["a", None], ["a", 1.10], [["a"]], "a,,b", ["a", ""], ["a", True]]
)
def test_what_is_no_list_of_strings_is_refused(value):
    with pytest.raises(doors.Refused, match=r"^nodes "):
        doors.strings(value, "nodes")


def test_the_nearest_name_is_none_when_nothing_is_near():
    assert doors.nearest("nodse", ["nodes", "noop"]) == "nodes"
    assert doors.nearest("xyz", ["nodes", "noop"]) is None
