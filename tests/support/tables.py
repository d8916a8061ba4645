"""The tables of a page of documentation."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
_HEADING = re.compile(r"#+ (.*)")
_ROW = re.compile(r"\| `([^`]+)` \| ([^|]+) \|")


def fields(page):
    """Return what a page says of fields: under each heading that has a table, the type of each field in words."""
    found, heading = {}, ""
    for line in (DOCS / page).read_text().splitlines():
        if match := _HEADING.match(line):
            heading = match[1].strip("`")
        elif match := _ROW.match(line):
            found.setdefault(heading, {})[match[1]] = match[2].strip()
    return found


TYPES = {"text": str, "number": (int, float), "truth": bool, "list": list, "mapping": dict, "null": type(None)}


def is_of(value, words):
    """Whether a value is of a type as the pages write it: ``number or null``, ``any``."""
    if words == "any":
        return True
    kinds = words.split(" or ")
    return ("truth" in kinds) if isinstance(value, bool) else any(isinstance(value, TYPES[kind]) for kind in kinds)
