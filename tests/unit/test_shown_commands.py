"""What the documentation shows of the operator's commands is what the runners take."""

import re
import shlex
from pathlib import Path

import pytest
from commands import COMMANDS
from os_orchestrator import doors
from salt.utils.args import parse_input

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def typed(page):
    """Return each command that a page shows at a prompt, word by word, without what the shell does with it."""
    for line in re.findall(r"^\$ salt-run ((?:deployment|environment)\..*)$", page.read_text(), re.M):
        command = re.split(r" [|>&]", line)[0]
        yield [word for word in shlex.split(command, comments=True) if word not in ("--out", "json")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_that_is_shown_is_one_that_would_be_taken(page):
    for name, *words in typed(page):
        args, kwargs = parse_input(words, condition=False)
        doors.bind(name, COMMANDS[name].signature, args, kwargs)


def test_the_page_of_day_to_day_commands_has_all_of_them():
    shown = {words[0] for words in typed(REPOSITORY / "docs/operating.md")}
    assert shown >= {name for name in COMMANDS if name.startswith("deployment.")}
