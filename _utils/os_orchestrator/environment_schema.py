"""
What an environment's definition in pillar may say, as a JSON Schema (draft 2020-12).

The published schema and the reference table of the manual are made from it::

    PYTHONPATH=_utils python -m os_orchestrator.environment_schema docs

``title`` is what the sentence of a mistake asks for, ``description`` is the table's, and the ``$comment`` of
``propertyNames`` says what the keys of an open mapping are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

WEEK = 7 * 24 * 3600

#: Names of environments, roles and gates: files, events and scenarios hold them.
NAME: dict[str, Any] = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$",
    "title": "a name of letters, digits, dashes, dots and underscores",
}
#: A minion id.
NODE: dict[str, Any] = {
    "type": "string",
    "pattern": r"^[^\s/\\,*?\[\]]+$",
    "title": "a minion id, or {target: ...} in place of the list for a pattern",
}
_NODES = {"type": "array", "items": NODE, "title": "a list of minion ids, [] for none"}
_RESOURCE = {"type": "string", "pattern": r"^[^\[\]\s]+\[.+\]$", "title": "a resource such as 'Service[swift-*]'"}
_TAG = {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_:.-]*$", "title": "a Puppet tag or class"}


def _seconds(description: str, default: float | None = None, minimum: float = 1) -> dict:
    """Return the schema of a time span."""
    span = {"type": "number", "minimum": minimum, "maximum": WEEK, "description": description}
    return span if default is None else {**span, "default": default}


#: What a phase, a role or the environment may say about its Puppet runs.
_PHASE: dict[str, dict[str, Any]] = {
    "may_fail": {
        "type": "array",
        "items": _RESOURCE,
        "default": [],
        "title": "a list of resources such as ['Service[swift-*]']",
        "description": "Resources whose failure is tolerated; only `*` is special.",
    },
    "max_failures": {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"}],
        "default": 0,
        "title": "a count, or a percentage such as '10%'",
        "description": "Nodes that may end badly before no further node is started; the phase fails if one has.",
    },
    "concurrency": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10000,
        "default": 50,
        "description": "Nodes that run Puppet at the same time.",
    },
    "timeout": _seconds("Seconds for one Puppet run.", 3600),
    "lock_timeout": _seconds("Seconds to wait for another Puppet run on the node to end.", 600, 0),
    "tags": {
        "type": "array",
        "items": _TAG,
        "default": [],
        "title": "a list of tags",
        "description": "Puppet applies only resources with one of these tags.",
    },
    "skip_tags": {
        "type": "array",
        "items": _TAG,
        "default": [],
        "title": "a list of tags",
        "description": "Puppet leaves out resources with one of these tags.",
    },
    "noop": {"type": "boolean", "default": False, "description": "Puppet only says what it would change."},
    "retries": {
        "type": "object",
        "propertyNames": {
            "enum": ["busy", "disabled", "failed", "killed", "lost", "no_catalog", "not_started", "timed_out"],
            "$comment": "verdict",
        },
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 10},
        "default": {},
        "title": "a mapping of verdicts to counts such as {no_catalog: 1}",
        "description": "How often a node is tried again, by verdict.",
    },
}
_HOW_MANY = {"type": ["integer", "string"], "minimum": 1, "pattern": "^(100|[1-9][0-9]?)%$"}
_CALLS = {
    "type": ["array", "string"],
    "items": {"$ref": "#/$defs/call"},
    "default": [],
    "title": "the name of calls of the environment, or a list of calls in place",
}
#: What a phase alone may say: how it goes through its nodes, and what else goes with each of them.
_WAY: dict[str, dict[str, Any]] = {
    "canary": {
        **_HOW_MANY,
        "title": "a count, or a percentage such as '10%'",
        "description": "Nodes that go first, all of which must end well before any other starts.",
    },
    "waves": {
        **_HOW_MANY,
        "type": ["integer", "string", "object"],
        "additionalProperties": False,
        "properties": {
            "size": {**_HOW_MANY, "title": "a count, or a percentage such as '10%'"},
            "grain": {"type": "string", "minLength": 1, "title": "the name of a grain"},
            "pillar": {"type": "string", "minLength": 1, "title": "the path of a pillar key"},
            "max_failures": {
                "type": ["integer", "string"],
                "minimum": 0,
                "pattern": "^(100|[1-9]?[0-9])%$",
                "title": "a count, or a percentage such as '10%'",
            },
        },
        "title": "a count, a percentage such as '10%', or a mapping with size, grain or pillar, and max_failures",
        "description": "Nodes that run before the next ones may start: so many, or those of one value of a grain or "
        "pillar key such as the rack. `max_failures` there is what may fail of one wave.",
    },
    "passes": {
        "type": ["integer", "object"],
        "minimum": 1,
        "maximum": 100,
        "additionalProperties": False,
        "required": ["until", "at_most"],
        "properties": {
            "until": {"enum": ["clean"]},
            "at_most": {"type": "integer", "minimum": 1, "maximum": 100},
        },
        "default": 1,
        "title": "a count, or {until: clean, at_most: 4}",
        "description": "Puppet runs on each node, all nodes once before any has its next; `until: clean` ends with the "
        "first pass that changes nothing.",
    },
    "before": {**_CALLS, "description": "Calls for each node before Puppet runs there."},
    "check": {**_CALLS, "description": "Calls for each node after Puppet ran well there, to see whether it is well."},
    "after": {**_CALLS, "description": "Calls for each node that is well, at its end; with `always`, for any other."},
    "expect": {
        "enum": ["unchanged"],
        "description": "`unchanged`: a node where anything changes, or would, ends as `drifted`, which is bad.",
    },
}
_PUPPET: dict[str, dict[str, Any]] = {
    "puppet_environment": {
        "type": "string",
        "pattern": "^[A-Za-z0-9_]+$",
        "title": "the name of a Puppet environment: letters, digits and underscores",
        "description": "Puppet's environment; a run that got another one has failed. The node's own unless given.",
    },
    "mode": {
        "enum": ["agent", "apply"],
        "description": "`puppet agent`, or `puppet apply` with a manifest. The node's own setting unless given.",
    },
    "manifest": {
        "type": "string",
        "pattern": "^/[^\n]*$",
        "title": "an absolute path",
        "description": "The manifest for `mode: apply`. The node's own setting unless given.",
    },
    **_PHASE,
    "ping_timeout": _seconds(
        "Seconds within which a node has answered before a phase starts; one that has not is pinged, and has as long.",
        15,
    ),
    "grace": _seconds(
        "Seconds past `lock_timeout` and `timeout`, and past the 10 in which a node ends a run, until it is lost.",
        60,
        0,
    ),
}
_FUNCTION = {
    "type": "string",
    "pattern": r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$",
    "title": "an execution function such as mysql_mmm.writer_ready",
    "description": "The execution function to call.",
}
_GIVEN: dict[str, dict[str, Any]] = {
    "args": {
        "type": "array",
        "default": [],
        "title": "a list",
        "description": "Its positional arguments. No credentials: they would lie in the job cache.",
    },
    "kwargs": {
        "type": "object",
        "default": {},
        "title": "a mapping",
        "description": "Its named arguments. No credentials here either.",
    },
}
_EXPECT = {
    "type": ["boolean", "string", "number", "object"],
    "additionalProperties": False,
    "required": ["value"],
    "properties": {"value": {}},
    "title": "true, done, equal, a text or number, or {value: ...}",
    "description": "`true`: the answer, its `ready` or its `result` is true. `done`: it is no error, and not false. "
    "`equal`: the answers of all nodes are the same. `{value: X}`, or any other text or number: the answer is that.",
}
_KEY = {
    "type": "string",
    "minLength": 1,
    "title": "the path of a part of the answer such as server_id or status:writer",
    "description": "The part of the answer to look at, a path with colons. All of it unless given.",
}
_OF_A_ROLE = {"$ref": "#/$defs/puppet", "description": "What differs for this role: any key of `puppet`."}
_OF_PHASES = {**_PHASE, **_WAY}
_OF_A_PHASE = {
    "$ref": "#/$defs/phase",
    "description": f"What differs for this phase, the strongest of all: {', '.join(f'`{key}`' for key in _OF_PHASES)}.",
}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Environments of os-orchestrator",
    "description": "The pillar of the id os-orchestrator: what is deployed where.",
    "type": "object",
    "required": ["environments"],
    "properties": {
        "environments": {
            "type": "object",
            "propertyNames": {**NAME, "$comment": "environment"},
            "additionalProperties": {"$ref": "#/$defs/environment"},
        },
    },
    "$defs": {
        "environment": {
            "type": "object",
            "additionalProperties": False,
            "required": ["roles"],
            "properties": {
                "roles": {
                    "type": "object",
                    "propertyNames": {**NAME, "$comment": "role"},
                    "additionalProperties": {"$ref": "#/$defs/role"},
                    "title": "a mapping of roles to their nodes",
                    "description": "Which nodes play which part.",
                },
                "exclude": {
                    "type": "object",
                    "propertyNames": {**NODE, "$comment": "node"},
                    "additionalProperties": {
                        "type": "string",
                        "pattern": r"^[^\n]*\S[^\n]*$",
                        "title": "the reason, in a line of text",
                        "description": "Why this node is left out of every phase; each summary says so.",
                    },
                    "default": {},
                    "title": "a mapping of nodes to the reasons why they are left out",
                    "description": "Nodes that are left out of every phase, and why.",
                },
                "puppet": {"$ref": "#/$defs/puppet", "description": "How Puppet runs in this environment."},
                "quiet_agents": {
                    "type": "boolean",
                    "default": False,
                    "description": "Whether the nodes' own agents are kept from running for the time of a deployment.",
                },
                "phases": {
                    "type": "object",
                    "propertyNames": {
                        "type": "string",
                        "minLength": 1,
                        "title": "a sentence of a scenario",
                        "$comment": "sentence",
                    },
                    "additionalProperties": _OF_A_PHASE,
                    "default": {},
                    "title": "a mapping of a scenario's sentences to what differs here",
                },
                "gates": {
                    "type": "object",
                    "propertyNames": {**NAME, "$comment": "gate"},
                    "additionalProperties": {"$ref": "#/$defs/gate"},
                    "default": {},
                    "title": "a mapping of gates to their checks",
                    "description": "Conditions that must hold, steadily, before the next phase starts.",
                },
                "calls": {
                    "type": "object",
                    "propertyNames": {**NAME, "$comment": "name of calls"},
                    "additionalProperties": {"$ref": "#/$defs/calls"},
                    "default": {},
                    "title": "a mapping of names to lists of calls",
                    "description": "What a scenario's `before`, `check`, `after` and `calls` name: taking a node out "
                    "of service, looking whether it is well, putting it back.",
                },
            },
        },
        "role": {
            "description": "A list of minion ids (`[]`: none here), or a mapping with either `nodes` or `target`.",
            "title": "a list of minion ids ([] for none), {nodes: [...]} or {target: ...}",
            "type": ["array", "object"],
            "items": NODE,
            "additionalProperties": False,
            "oneOf": [
                {"type": "array"},
                {"type": "object", "required": ["nodes"]},
                {"type": "object", "required": ["target"]},
            ],
            "dependentRequired": {"count": ["target"], "target_type": ["target"]},
            "properties": {
                "nodes": {**_NODES, "description": "The ids, in the order in which they start."},
                "target": {
                    "type": "string",
                    "minLength": 1,
                    "title": "a Salt target",
                    "description": "A Salt target over the accepted keys; the ids are sorted.",
                },
                "target_type": {
                    "enum": [
                        "glob",
                        "compound",
                        "grain",
                        "grain_pcre",
                        "ipcidr",
                        "list",
                        "nodegroup",
                        "pcre",
                        "pillar",
                        "pillar_exact",
                        "pillar_pcre",
                    ],
                    "default": "glob",
                    "description": "The target's type, as for `salt`.",
                },
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "How many nodes the target must match, those under `exclude` included.",
                },
                "puppet": _OF_A_ROLE,
            },
        },
        "puppet": {
            "type": "object",
            "additionalProperties": False,
            "default": {},
            "title": "a mapping",
            "properties": _PUPPET,
        },
        "phase": {
            "type": "object",
            "additionalProperties": False,
            "title": "a mapping",
            "properties": {**_PHASE, **_WAY},
        },
        "gate": {
            "type": "object",
            "additionalProperties": False,
            "required": ["checks"],
            "title": "a mapping with checks",
            "properties": {
                "checks": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/check"},
                    "title": "a list of checks, [] for none",
                    "description": "Execution functions and what they must answer, asked in this order.",
                },
                "successes": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 1000,
                    "default": 1,
                    "description": "Rounds in a row in which every check must hold.",
                },
                "interval": _seconds("Seconds from one round to the next.", 5, 0.1),
                "timeout": _seconds("Seconds until the gate has failed.", 300),
            },
        },
        "check": {
            "type": "object",
            "additionalProperties": False,
            "required": ["function", "role"],
            "title": "a mapping with function and role",
            "properties": {
                "function": _FUNCTION,
                "role": {
                    "type": "string",
                    "title": "the name of a role",
                    "description": "The role on whose nodes it is called, on all of them.",
                },
                "name": {
                    "type": "string",
                    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                    "title": "a word of letters, digits and underscores",
                    "description": "By which later checks use its answer: `'{NAME.FIELD}'` in their arguments.",
                },
                **_GIVEN,
                "expect": {**_EXPECT, "default": True},
                "key": _KEY,
                "timeout": _seconds("Seconds for one answer.", 30, 0.1),
            },
        },
        "calls": {"type": "array", "items": {"$ref": "#/$defs/call"}, "title": "a list of calls, [] for none"},
        "call": {
            "type": "object",
            "additionalProperties": False,
            "required": ["function"],
            "title": "a mapping with function",
            "properties": {
                "function": _FUNCTION,
                "role": {
                    "type": "string",
                    "title": "the name of a role",
                    "description": "The role on whose nodes it is called, on all of them; on the node itself unless "
                    "given. `{node}` in the arguments is the node that it is for.",
                },
                **_GIVEN,
                "expect": {**_EXPECT, "default": "done"},
                "key": _KEY,
                "timeout": _seconds("Seconds for one answer.", 60, 0.1),
                "within": _seconds("Seconds within which it must hold, asked again until then; 0: asked once.", 0, 0),
                "interval": _seconds("Seconds from one time of asking to the next.", 5, 0.1),
                "always": {
                    "type": "boolean",
                    "default": False,
                    "description": "For `after`: call it also when something before it has failed.",
                },
            },
        },
    },
}

#: Every setting of ``puppet``, and what it is where nobody says otherwise.
PUPPET_DEFAULTS: dict[str, Any] = {name: schema.get("default") for name, schema in _PUPPET.items()}
#: What a phase alone may say, and what it is where nobody says it.
WAY_DEFAULTS: dict[str, Any] = {name: schema.get("default") for name, schema in _WAY.items()}


def part(name: str) -> dict:
    """Return the schema of one definition (``environment``, ``gate``, ``phase`` …), complete in itself."""
    return {"$schema": SCHEMA["$schema"], "$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}


def wanted(schema: Mapping) -> str:
    """Return in words what a schema asks for, for example ``a whole number from 1 to 1000``."""
    if "title" in schema:
        return schema["title"]
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    kind = str(schema.get("type"))
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _limits(schema)
    words = {"boolean": "true or false", "string": "a text", "array": "a list", "object": "a mapping"}
    return words.get(kind, "something else")


def _limits(schema: Mapping) -> str:
    """Return the limits of a number in words."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is None:
        return "" if low is None else f" of at least {low}"
    return f" from {low} to {high}"


def _resolved(schema: Mapping) -> dict:
    """Return a schema with its reference followed; what stands beside the reference wins."""
    if "$ref" not in schema:
        return dict(schema)
    return {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}


def rows(schema: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, value, default and meaning of everything that can be written under a schema, in order."""
    for name, found in _children(schema):
        child, here = _resolved(found), (*path, name)
        default = json.dumps(child["default"]) if child.get("default") not in (None, {}, []) else ""
        if "description" in child:
            yield ":".join(here), wanted(child), default, child["description"]
        # What a role or a phase may override is in the table once, under `puppet`.
        if found not in (_OF_A_ROLE, _OF_A_PHASE):
            yield from rows(child, here)


def _children(schema: Mapping) -> Iterator[tuple[str, dict]]:
    """Yield the names and schemas directly under a mapping or list; ``<role>`` stands for a name of the user's."""
    yield from schema.get("properties", {}).items()
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield f"<{schema['propertyNames']['$comment']}>", schema["additionalProperties"]
    if "$ref" in schema.get("items", {}):
        yield "<number>", schema["items"]


def table() -> str:
    """Return the reference table of the manual, in Markdown."""
    lines = ["| key under `environments:<environment>` | value | default | meaning |", "|---|---|---|---|"]
    for key, value, default, meaning in rows(SCHEMA["$defs"]["environment"]):
        lines.append(f"| `{key}` | {value} | {default and f'`{default}`'} | {meaning} |")
    return "\n".join(lines)


def document() -> str:
    """Return the published schema."""
    return json.dumps(SCHEMA, indent=2) + "\n"


def manual(text: str) -> str:
    """Return the manual's text with the reference table in it made anew."""
    between = re.compile(r"(<!-- reference -->\n).*(<!-- end of reference -->)", re.S)
    return between.sub(lambda found: f"{found[1]}{table()}\n{found[2]}", text)


def main(folder: str) -> None:
    """Write the published schema and the manual's table into ``folder``."""
    docs = Path(folder)
    (docs / "environment.schema.json").write_text(document())
    (docs / "environment.md").write_text(manual((docs / "environment.md").read_text()))


if __name__ == "__main__":
    main(sys.argv[1])
