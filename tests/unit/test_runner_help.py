"""What ``salt-run -d deployment`` and ``salt-run -d environment`` print."""

import pytest
from commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_of_80_columns_is_enough_for_the_help(name):
    wide = [line for line in COMMANDS[name].__doc__.splitlines() if len(line) > 80]
    assert not wide, "\n".join(wide)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_takes_and_returns_and_has_an_example(name):
    text = COMMANDS[name].__doc__
    assert all(parameter in text for parameter in COMMANDS[name].signature.parameters)
    assert "\n    Returns " in text
    assert f"\n        salt-run {name}" in text
