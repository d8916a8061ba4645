"""What is wrong with a definition in itself, a sentence each: what JSON cannot hold, what the schema does not allow."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from os_orchestrator import doors, environment_schema

_DEPTH = 32


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a definition: where, what is there, and what to write instead."""

    path: str
    found: str
    cure: str

    def __str__(self):
        place = f"{self.path}: " if self.path else ""
        return " ".join(f"{place}{self.found}; {self.cure}".split())


class Invalid(doors.Refused):
    """A definition with mistakes: all of them, a sentence and a line each."""

    def __init__(self, mistakes: Iterable[Mistake]):
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


# -- plain values --------------------------------------------------------------------------------------------------


def at(path: Sequence) -> str:
    """Return a path as Salt writes it, for example ``environments:prod:roles``."""
    return ":".join(map(str, path))


def as_plain(value: object, path: tuple, mistakes: list[Mistake]) -> Any:
    """Return a value as JSON can hold it, noting what YAML can hold and JSON cannot."""
    if len(path) > _DEPTH:
        mistakes.append(Mistake(at(path[:4]), "mappings or lists in each other without end", "write it flat"))
        return None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                mistakes.append(Mistake(at((*path, key)), f"the key {shown(key)} is no text", "put it in quotes"))
        return {str(key): as_plain(item, (*path, str(key)), mistakes) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [as_plain(item, (*path, index), mistakes) for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    mistakes.append(Mistake(at(path), f"found {shown(value)}", "write a text, a number, true or false"))
    return None


def shown(value: object) -> str:
    """Return in a few words what was found."""
    if value is None:
        return "nothing"
    if isinstance(value, (Mapping, Sequence, Set)) and not isinstance(value, (str, bytes)):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool, int)) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# -- what the schema says ------------------------------------------------------------------------------------------


@functools.cache
def _validator(part: str):
    """Return the validator of one part of the schema (``environment``, ``gate``, ``phase``)."""
    try:
        import jsonschema
    except ImportError:
        raise doors.Refused(
            "environments cannot be checked: the Python library jsonschema is missing on the master; "
            "install it with salt-pip install jsonschema"
        ) from None

    def whole(_validator, pattern, value, _schema):
        # Python's `$` would let a line end pass.
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")

    draft = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": whole})
    return draft(environment_schema.part(part))


def schema_mistakes(part: str, value: object, path: tuple) -> list[Mistake]:
    """Return what a part of a definition has against the schema, in the order of the paths."""
    errors = sorted(_validator(part).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    found = (mistake for error in errors for mistake in _mistakes(error, (*path, *error.absolute_path)))
    return list(dict.fromkeys(found))


def _mistakes(error, path: tuple) -> Iterator[Mistake]:
    """Yield the mistakes in one error of the schema's validator."""
    kind, value, schema = error.validator, error.instance, error.schema
    known = schema.get("properties", {})
    unknown = [key for key in value if key not in known] if isinstance(value, dict) else []
    place, found, write = at(path), f"found {shown(value)}", f"write {environment_schema.wanted(schema)}"
    if "propertyNames" in error.absolute_schema_path:
        yield Mistake(place, f"found the {schema['$comment']} {shown(value)}", write)
    elif kind == "additionalProperties":
        for key in unknown:
            near = doors.nearest(key, known)
            yield Mistake(place, f"unknown key {key!r}", f"write {near!r}" if near else f"known are {', '.join(known)}")
    elif kind == "required":
        for key in error.validator_value:
            # A misspelt key has its own mistake, and needs no second one for what it was meant to be.
            if key not in value and not doors.nearest(key, unknown):
                yield Mistake(place, f"{key} is missing", f"give {environment_schema.wanted(known[key])}")
    elif kind == "dependentRequired":
        lone = [key for key in error.validator_value if key in value and "target" not in value]
        yield Mistake(place, f"found {' and '.join(lone)} without target", "give a target, or the nodes alone")
    elif kind == "oneOf":
        if isinstance(value, dict) and not unknown:
            both = "both nodes and target" if "nodes" in value else "neither nodes nor target"
            yield Mistake(place, f"found {both}", "give one of them")
    else:
        yield Mistake(place, found, write)
