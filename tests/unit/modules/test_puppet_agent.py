"""What puppet_agent offers to Salt, and where it keeps a run."""

import inspect

import puppet_agent
import pytest
import salt.exceptions

OFFERED = {"run", "start", "wait", "stop", "status", "last_run", "enable", "disable", "quiet", "unquiet"}


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "-x", "a/b", "a b", "x" * 129, "ü", 5, ["a"], "a\n"])
def test_a_run_id_cannot_leave_its_place(run_id, monkeypatch):
    monkeypatch.setattr(puppet_agent, "__opts__", {"cachedir": "/nowhere"}, raising=False)
    with pytest.raises(salt.exceptions.SaltInvocationError, match="run_id"):
        puppet_agent._place(run_id)


def test_these_are_the_functions_that_salt_offers():
    offered = {name for name, _ in inspect.getmembers(puppet_agent, inspect.isroutine) if not name.startswith("_")}
    assert offered == OFFERED


def test_every_function_that_salt_offers_is_documented():
    for name in OFFERED:
        function = getattr(puppet_agent, name)
        assert f"puppet_agent.{name}" in function.__doc__.partition("CLI Example")[2]
        undocumented = [each for each in inspect.signature(function).parameters if each not in function.__doc__]
        assert name == "start" or not undocumented
