"""
From the node file of the MCollective orchestrator of 2012 to the pillar of an environment. Pure.

That file had one line for each node, ``name: {ip, role}``; later a top-level ``use_case`` and ``domain_name``, also
under ``common: orchestrator_common``, and ``/regex/`` in place of a name. What it did not say is said in comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import salt.utils.yaml

from os_orchestrator import doors, environment_schema

#: The roles of the file; its controllers are told apart by their order.
_ROLES = ("controller", "compute", "storage", "proxy")
#: Roles that the scenarios name, in the order in which they are written.
_COMPUTE = ("primary_controller", "secondary_controller", "compute", "endpoint")
_SWIFT = ("storage", "ring_builder", "proxy")
_USE_CASES = ("minimal", "simple", "compact", "full")
_SETTINGS = ("use_case", "domain_name", "common")
_NODE = re.compile(environment_schema.NODE["pattern"])


@dataclass
class _File:
    """What the file says: for each of its roles the nodes with their addresses, and the expressions."""

    use_case: str = ""
    domain: str = ""
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    expressions: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Role:
    """One role of the environment: its nodes with what is remarked of each, or an expression, and remarks."""

    nodes: dict[str, str] = field(default_factory=dict)
    expression: str = ""
    remarks: list[str] = field(default_factory=list)


def convert(text: str, source: str, name: str) -> str:
    """
    Return the pillar SLS of an environment; raises :class:`doors.Refused` with every mistake, a line each.

    source, name
        The file's name, for the sentences, and the environment's.
    """
    if not re.fullmatch(environment_schema.NAME["pattern"], name):
        raise doors.Refused(f"the environment cannot be called {name!r}; write {environment_schema.NAME['title']}")
    found = _read(text, source)
    roles = _roles(found)
    return "\n".join([*_head(found, source, name), *_body(roles, name)]) + "\n"


# -- reading ---------------------------------------------------------------------------------------------------------


def _read(text: str, source: str) -> _File:
    try:
        data = salt.utils.yaml.safe_load(text)
    except Exception as error:
        said = " ".join(str(error).split())
        raise doors.Refused(f"{source} is no YAML: {said}; correct it there") from error
    if not isinstance(data, Mapping) or not data:
        raise doors.Refused(f"{source} holds {_kind(data)}, not nodes; write each as `name: {{ip: …, role: …}}`")
    found = _File()
    mistakes = _settings(data, found)
    for key, entry in data.items():
        if key not in _SETTINGS:
            mistakes += _node(str(key), entry, found)
    if not mistakes and not found.nodes and not found.expressions:
        mistakes = ["it names no node; write each as `name: {ip: …, role: …}`"]
    if mistakes:
        raise doors.Refused("\n".join(f"{source}: {mistake}" for mistake in mistakes))
    return found


def _settings(data: Mapping, found: _File) -> list[str]:
    """Take what the file says of the whole, at its top or under ``common``; return what is wrong with it."""
    mistakes = []
    common = data.get("common") or {}
    inner = common.get("orchestrator_common") if isinstance(common, Mapping) else None
    if "common" in data and not isinstance(inner, Mapping):
        mistakes.append("common holds no mapping orchestrator_common; write `common: {orchestrator_common: {…}}`")
    said = {**(inner if isinstance(inner, Mapping) else {}), **data}
    case, domain = said.get("use_case", ""), said.get("domain_name", "")
    if case and case not in _USE_CASES:
        near = doors.did_you_mean(case, _USE_CASES)
        mistakes.append(f"use_case is {case!r}{near}; write one of {', '.join(_USE_CASES)}")
    if domain and not (isinstance(domain, str) and _NODE.fullmatch(domain)):
        mistakes.append(f"domain_name is {domain!r}; write a domain such as example.com")
    if not mistakes:
        found.use_case, found.domain = str(case), str(domain).strip(".")
    return mistakes


def _node(key: str, entry: object, found: _File) -> list[str]:
    """Take one node, or one expression; return what is wrong with it."""
    if not isinstance(entry, Mapping):
        near = doors.nearest(key, _SETTINGS)
        cure = f"write {near!r}" if near else "write `{ip: …, role: …}`"
        return [f"{key} is {_kind(entry)}, not a mapping with a role; {cure}"]
    role = entry.get("role")
    if not isinstance(role, str) or not role:
        return [f"{key} has no role; write one of {', '.join(_ROLES)}"]
    role = role.replace("-", "_")
    if role not in _ROLES and role not in (*_COMPUTE, *_SWIFT):
        return [f"{key} has role {role!r}{doors.did_you_mean(role, _ROLES)}; write one of {', '.join(_ROLES)}"]
    expression = re.fullmatch(r"/(.*)/", key, re.S)
    if expression:
        return _expression(key, expression[1], role, found)
    node = f"{key}.{found.domain}" if found.domain and "." not in key else key
    if not _NODE.fullmatch(node):
        return [f"{key} is no minion id; write one without blanks, slashes and wildcards, or /regex/"]
    found.nodes.setdefault(role, {})[node] = str(entry.get("ip") or "")
    return []


def _expression(key: str, expression: str, role: str, found: _File) -> list[str]:
    try:
        re.compile(expression)
    except re.error as error:
        return [f"{key} is no regular expression that Salt can match: {error}; correct it"]
    if not expression or not expression.isprintable():
        return [f"{key} is no regular expression that Salt can match: it is empty or not printable; correct it"]
    found.expressions.setdefault(role, []).append(expression)
    return []


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, Mapping) else repr(value)


# -- roles -----------------------------------------------------------------------------------------------------------


def _roles(found: _File) -> dict[str, _Role]:
    """Return the roles of the environment, in the order of the scenarios."""
    named = {role: _Role(dict(sorted(nodes.items()))) for role, nodes in found.nodes.items()}
    for role, expressions in found.expressions.items():
        _match(named.setdefault(role, _Role()), expressions)
    _split_controllers(named)
    if found.use_case == "compact" or any(role in named for role in _SWIFT):
        _add_swift(named, found.use_case)
    wanted = [*_COMPUTE, *(role for role in _SWIFT if role in named)]
    roles = {role: named.get(role, _Role(remarks=_missing(role))) for role in wanted}
    return {**roles, **{role: each for role, each in named.items() if role not in roles}}


def _match(role: _Role, expressions: Iterable[str]) -> None:
    """Make a role one of an expression; Salt's begin at the start of an id, those of the file did anywhere."""
    anywhere = [one if one.startswith(("^", r"\A")) else f".*(?:{one})" for one in expressions]
    each = [*(f"{re.escape(node)}$" for node in role.nodes), *anywhere]
    role.nodes, role.expression = {}, each[0] if len(each) == 1 else "|".join(f"(?:{one})" for one in each)
    role.remarks.append(f"was {', '.join(f'/{each}/' for each in expressions)}, whoever answered")
    role.remarks.append("how many must it match? add `count`, else a node without a key goes unnoticed")


def _split_controllers(named: dict[str, _Role]) -> None:
    """Make the first controller by name the primary one, as it was there; of an expression nobody knows which is."""
    controllers = named.pop("controller", None)
    if controllers is None:
        return
    if controllers.expression:
        controllers.remarks.append("all controllers; write the first one under primary_controller, the others here")
        primary = _Role(remarks=["TO DO: the first controller; until it is here, its phase is left out"])
        named.setdefault("primary_controller", primary)
        named.setdefault("secondary_controller", controllers)
        return
    first, *others = controllers.nodes
    named.setdefault("primary_controller", _Role({first: controllers.nodes[first]}, remarks=["the first by name"]))
    if others:
        named.setdefault("secondary_controller", _Role({node: controllers.nodes[node] for node in others}))


def _add_swift(named: dict[str, _Role], use_case: str) -> None:
    """Add who stores and who builds the rings, which the file did not say."""
    if use_case == "compact":
        primary, secondary = named.get("primary_controller", _Role()), named.get("secondary_controller", _Role())
        both = _Role({**primary.nodes, **secondary.nodes}, secondary.expression, ["compact: Swift on the controllers"])
        named.setdefault("storage", both)
        named.setdefault("proxy", both)
    builders = named.get("proxy", _Role()).nodes
    remark = "the file did not say which one; the first proxy is a guess" if builders else "TO DO: which node?"
    first = dict(list(builders.items())[:1])
    named.setdefault("ring_builder", _Role(first, remarks=[remark]))
    for role in ("storage", "proxy"):
        named.setdefault(role, _Role(remarks=_missing(role)))


def _missing(role: str) -> list[str]:
    return [f"the file has no {role}; its phases are left out"]


# -- writing ---------------------------------------------------------------------------------------------------------


def _head(found: _File, source: str, name: str) -> list[str]:
    """Return the comments on the whole: what the file said that has no place here, and what it did not know."""
    domain = f"#   Names without a dot have got its domain_name, {found.domain}."
    case = f"# Its use_case was {found.use_case}; here a scenario says the order: compute, swift."
    return [
        f"# Converted from {_comment(source)}, the node file of the MCollective orchestrator.",
        f"#   salt-run environment.validate {name}",
        *([case] if found.use_case else []),
        "# What that file could not know, and you must look at:",
        "# - Nodes are minion ids here, as salt-key -L shows them. Addresses are in comments only.",
        *([domain] if found.domain else []),
        "# - Puppet: puppet_environment, timeouts and how many at once have their defaults; see docs/environment.md.",
        "# - What may fail in a first pass: name it under `phases`, by the sentence of the scenario.",
        "# - Gates: what must hold before the next phase. That of the database's writer is empty so far.",
    ]


def _body(roles: Mapping[str, _Role], name: str) -> list[str]:
    lines = ["environments:", f"  {_scalar(name)}:", "    roles:"]
    for role, each in roles.items():
        lines += [f"      # {_comment(remark)}" for remark in each.remarks]
        lines += _role(role, each)
    return [
        *lines,
        "    gates:",
        "      # Without a check its phase is left out, and compute nodes start though nobody has asked the database;",
        "      # pillar.example/environments/prod.sls has one for MySQL-MMM, docs/gates.md those for others.",
        "      writer: {checks: []}",
    ]


def _role(name: str, role: _Role) -> list[str]:
    if role.expression:
        return [f"      {name}: {{target: {_scalar(role.expression)}, target_type: pcre}}"]
    if not role.nodes:
        return [f"      {name}: []"]
    notes = {node: f"    # {_comment(address)}" if address else "" for node, address in role.nodes.items()}
    return [f"      {name}:", *(f"        - {_scalar(node)}{note}" for node, note in notes.items())]


def _scalar(text: str) -> str:
    """Return a text as YAML reads it back: in quotes, where it needs them. A pillar is a Jinja template, too."""
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", text) and isinstance(salt.utils.yaml.safe_load(text), str)
    quoted = text if plain else json.dumps(text, ensure_ascii=False)
    return re.sub(r"\{(?=[{%#])", r"\\x7b", quoted)


def _comment(text: str) -> str:
    """Return a text as it may stand in a comment: a line, and nothing in it that Jinja would act on."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return re.sub(r"\{(?=[{%#])", "{ ", printable)
