"""The codes that the gates' modules give are the codes that the docs explain."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = (
    "mysql_mmm",
    "mysql_endpoint",
    "mysql_galera",
    "swift_ring",
    "swift_proxy",
    "haproxy_endpoint",
    "puppetdb_node",
)
PAGES = ("gates", "day-two-calls")
GIVEN = re.compile(
    r"\b(?:_reason|_NoView|_NoAnswer|_NoRing|_NotServed|_Unknown)\(\s*\"(\w+)\""
    r"|^ {8}\"(\w+)\": (?:not )?(?:member\[|writable)",
    re.M,
)


@pytest.mark.parametrize("name", MODULES)
def test_every_code_of_a_module_is_explained(name):
    source = (REPOSITORY / f"_modules/{name}.py").read_text()
    codes = {first or second for first, second in GIVEN.findall(source)}
    pages = "".join((REPOSITORY / f"docs/{page}.md").read_text() for page in PAGES)
    documented = set(re.findall(r"`(\w+)`", pages))
    assert codes
    assert codes <= documented
