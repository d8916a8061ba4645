"""Every sentence with which the project refuses something is provoked by a test."""

import ast
import re

import haproxy_endpoint
import mysql_endpoint
import mysql_galera
import mysql_mmm
import pytest
import swift_proxy
import swift_ring
from os_orchestrator import doors, resume
from salt.exceptions import CommandExecutionError, SaltInvocationError

#: Names of the exceptions whose text an operator reads.
TOLD = ("Refused", "Claimed", "Unreachable", "SaltInvocationError", "CommandExecutionError")


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        (
            haproxy_endpoint.ready,
            {"backend": "nova", "unchecked": 1},
            "unchecked=1 is not possible: give True or False",
        ),
        (mysql_endpoint.probe, {"address": "a b"}, "address='a b' is no address: give an IP address or a host name"),
        (
            mysql_endpoint.ready,
            {"address": "10.0.0.1", "write_table": "nova"},
            "write_table='nova' is no table: give it as schema.table",
        ),
        (mysql_galera.ready, {"donor": "no"}, "donor='no' is not possible: give True or False"),
        (
            mysql_mmm.writer_ready,
            {"cluster": "a b"},
            "cluster='a b' is no name: letters, digits, '_', '.' and '-' are possible",
        ),
        (
            mysql_mmm.checks,
            {"check": "pong"},
            "check='pong' is not possible: choose from ping, mysql, rep_threads, rep_backlog",
        ),
        (
            mysql_mmm.wait_writer_ready,
            {"timeout": 5, "successes": 5, "interval": 4},
            "timeout=5 cannot hold 5 rounds 4 s apart: give 16 or more",
        ),
        (mysql_mmm.writer_ready, {"sql": "no"}, "sql='no' is not possible: give True or False"),
        (mysql_mmm.set_online, {"host": "db1", "test": "no"}, "test='no' is not possible: give True or False"),
        (
            swift_proxy.ready,
            {"container": "a/b"},
            "container='a/b' is no name: letters, digits, '_' and '-' are possible",
        ),
        (swift_proxy.ready, {"timeout": 0}, "timeout=0 is not possible: give seconds, up to 600"),
        (
            swift_ring.ready,
            {"addresses": "10.0.0.1", "digest": "x"},
            "digest='x' is no digest: give what swift_ring.digest answers",
        ),
        (
            swift_ring.ready,
            {"addresses": "10.0.0.1", "member": "no"},
            "member='no' is not possible: give True or False",
        ),
    ],
)
def test_a_function_of_a_node_refuses_what_it_cannot_do(function, arguments, sentence):
    with pytest.raises(SaltInvocationError) as refused:
        function(**arguments)
    assert str(refused.value) == sentence


def test_an_order_that_the_monitor_does_not_confirm_is_an_error(monkeypatch):
    monkeypatch.setattr(mysql_mmm, "_control", lambda *_: "ERROR: Unknown host name 'db9'!")
    with pytest.raises(CommandExecutionError, match=r"^mmm_control set_online db9 was not confirmed: .*Unknown host"):
        mysql_mmm.set_online("db9", test=False)


def test_a_list_with_a_surplus_comma_is_refused():
    with pytest.raises(doors.Refused, match=r"^nodes holds an empty item; remove the surplus comma$"):
        doors.strings("cmp1,,cmp2", "nodes")


def test_a_pass_outside_any_scenario_cannot_be_resumed():
    row = {"state": "failed", "door": "deployment.puppet", "id": "77"}
    with pytest.raises(doors.Refused) as refused:
        resume.refuse_unless_resumable(row, "prod")
    assert str(refused.value) == (
        "the last deployment of prod, 77, was one pass outside any scenario;"
        " run deployment.puppet again, with nodes= if only some need it"
    )


def _sentences(path):
    """Return the literal parts of each error that a file raises, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        call = node.exc if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) else None
        if call and ast.unparse(call.func).rpartition(".")[2] in TOLD:
            found = [each.value for each in ast.walk(call) if isinstance(each, ast.Constant)]
            yield node.lineno, [each for each in found if isinstance(each, str)]


def _three_words(parts):
    for part in parts:
        words = part.split()
        yield from (" ".join(words[at : at + 3]) for at in range(len(words) - 2))


def test_every_sentence_stands_in_a_test(repository):
    """By three words in a row of it; a sentence of fewer is made of other parts, which have tests of their own."""
    tests = "".join(path.read_text() for kind in ("py", "txt") for path in (repository / "tests").rglob(f"*.{kind}"))
    tests = re.sub(r"\\(.)|\"\s*\n\s*f?r?\"", r"\1", tests)
    missing = [
        f"{path.name}:{line} {parts}"
        for place in ("_modules", "_runners", "_states", "_utils")
        for path in sorted((repository / place).rglob("*.py"))
        for line, parts in _sentences(path)
        if any(_three_words(parts)) and not any(words in tests for words in _three_words(parts))
    ]
    assert not missing, "\n".join(missing)
