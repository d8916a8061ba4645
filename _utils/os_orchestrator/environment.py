"""
An environment: what the pillar says of a set of nodes, checked as a whole and made one typed value.

All here is pure but :func:`load`, which asks the part of this room that reads the pillar. Others see this file alone::

    environment                               roles, gates, calls and the whole, checked and built
    environment_pillar                        the definitions in the pillar
    environment_mistakes  environment_values  what the schema does not allow · what an environment is
    environment_schema                        what may be written
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from os_orchestrator import doors, environment_schema
from os_orchestrator.environment_mistakes import Invalid, Mistake, as_plain, at, schema_mistakes, shown
from os_orchestrator.environment_pillar import PILLAR_ID, definitions, pick, pillar_id
from os_orchestrator.environment_values import ANSWER, Call, Check, Environment, Gate, Role

__all__ = [
    "ANSWER",
    "CALLING",
    "PILLAR_ID",
    "Call",
    "Check",
    "Environment",
    "Gate",
    "Invalid",
    "Mistake",
    "Role",
    "build",
    "calls_from",
    "definitions",
    "gate_from",
    "gate_with",
    "load",
    "phase_mistakes",
    "pick",
    "pillar_id",
]

#: What a phase may say that names calls of its environment, or has them in place.
CALLING = ("before", "check", "after")

Match = Callable[[str, str], Iterable[str]]


# -- roles and gates -----------------------------------------------------------------------------------------------


def _not_matched(target: object, path: str) -> Mistake:
    """Return the mistake of a target on a master of masters: the masters below do not say all that it matches."""
    found = f"target {target!r} on a master of masters (order_masters), which does not know the nodes below"
    return Mistake(path, found, "list them, as nodes: [...]; salt with that target shows who answers")


def _matched(definition: Mapping, match: Match, path: str) -> tuple[tuple[str, ...], list[Mistake]]:
    """Return the nodes that a role's target matches, and what is wrong with that."""
    target, expected = definition["target"], definition.get("count")
    try:
        nodes = tuple(sorted(set(match(target, definition.get("target_type", "glob")))))
    except Exception as exc:
        return (), [Mistake(path, f"target {target!r} cannot be matched: {exc}", "correct target and target_type")]
    if not nodes:
        cure = "missing keys? see salt-key -L; a role without nodes is []"
        return (), [Mistake(path, f"target {target!r} matches no node", cure)]
    if expected is not None and len(nodes) != expected:
        found = f"target {target!r} matches {len(nodes)} nodes, {expected:g} expected"
        return nodes, [Mistake(path, found, "missing keys? see salt-key -L; else correct count")]
    return nodes, []


def _listed(nodes: Sequence[str], path: str) -> tuple[tuple[str, ...], list[Mistake]]:
    """Return the nodes of a role's list, and which of them are there twice."""
    twice = [node for node, times in Counter(nodes).items() if times > 1]
    return tuple(nodes), [Mistake(path, f"{node} is there more than once", "write it once") for node in twice]


def _role(
    name: str,
    definition: object,
    accepted: Collection[str] | None,
    excluded: Collection[str],
    match: Match,
    path: str,
) -> tuple[Role, list[Mistake]]:
    """Return a role with all its nodes, the excluded ones too, and its mistakes."""
    mapping: Mapping[str, Any] = definition if isinstance(definition, dict) else {"nodes": definition}
    settings = mapping.get("puppet", {})
    if "target" in mapping and accepted is None:
        return Role(name, (), settings), [_not_matched(mapping["target"], path)]
    nodes, mistakes = _matched(mapping, match, path) if "target" in mapping else _listed(mapping["nodes"], path)
    if accepted is None:
        return Role(name, nodes, settings), mistakes
    keyless = [node for node in dict.fromkeys(nodes) if node not in accepted and node not in excluded]
    if keyless:
        mistakes.append(_without_key(keyless, set(accepted) - set(nodes), path))
    return Role(name, nodes, settings), mistakes


def _without_key(nodes: Sequence[str], others: Collection[str], path: str) -> Mistake:
    """Return the mistake of nodes without an accepted key, with the one of the ``others`` that a single one may be."""
    near = _instead_of(nodes[0], others) if len(nodes) == 1 else ""
    named = ", ".join(nodes[:5]) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else "")
    cure = f"see salt-key -L and accept it (salt-key -a {nodes[0]}), or put it under exclude with the reason"
    return Mistake(path, f"no accepted key of {named}{near}", cure)


def _instead_of(node: str, known: Collection[str]) -> str:
    """Return ``(did you mean ...?)`` for a node; one that differs in its number alone is another machine."""
    near = doors.nearest(node, known)
    others = near and re.sub(r"\d+", "#", near) == re.sub(r"\d+", "#", node)
    return "" if others else doors.did_you_mean(node, known)


def _gate(name: str, definition: Mapping) -> Gate:
    """Return a gate of a definition that the schema has passed."""
    checks = tuple(Check(**{**check, "args": tuple(check.get("args", ()))}) for check in definition["checks"])
    return Gate(name, checks, **{key: value for key, value in definition.items() if key != "checks"})


def _calls(definition: Iterable[Mapping]) -> tuple[Call, ...]:
    """Return the calls of a definition that the schema has passed."""
    return tuple(Call(**{**call, "args": tuple(call.get("args", ()))}) for call in definition)


def calls_from(value: object) -> tuple[Call, ...]:
    """Return calls from a list of ``{function, role, args, …}``, their roles unseen; raises :class:`Invalid`."""
    mistakes: list[Mistake] = []
    definition = as_plain(value, (), mistakes)
    mistakes += schema_mistakes("calls", definition, ())
    if mistakes:
        raise Invalid(mistakes)
    return _calls(definition)


def _too_short(gate: Gate, path: str) -> list[Mistake]:
    """Return the mistake of a gate that times out before it can open."""
    needed = gate.successes * gate.interval
    if not gate.checks or needed <= gate.timeout:
        return []
    found = f"{gate.successes:g} successes, one each {gate.interval:g} s, outlast the timeout of {gate.timeout:g} s"
    return [Mistake(path, found, "raise timeout, or lower successes or interval")]


def gate_from(name: str, mapping: Mapping) -> Gate:
    """Return a gate from ``{checks, successes, interval, timeout}``, its roles unseen; raises :class:`Invalid`."""
    mistakes: list[Mistake] = []
    definition = as_plain(mapping, (), mistakes)
    mistakes += schema_mistakes("gate", definition, ())
    mistakes = mistakes or _unknown_answers(_gate(name, definition), ())
    if mistakes:
        raise Invalid(mistakes)
    return gate_with(_gate(name, definition), {})


def gate_with(gate: Gate, overrides: Mapping) -> Gate:
    """Return a gate with other ``successes``, ``interval`` or ``timeout``; raises :class:`Invalid`."""
    mistakes: list[Mistake] = []
    given = as_plain(overrides, (), mistakes)
    mistakes += schema_mistakes("gate", {"checks": [], **given}, ())
    changed = dataclasses.replace(gate, **given) if not mistakes else gate
    mistakes += _too_short(changed, "")
    if mistakes:
        raise Invalid(mistakes)
    return changed


def phase_mistakes(options: Mapping) -> list[Mistake]:
    """Return what is wrong with the options of a phase, as a scenario or ``phases`` of an environment gives them."""
    mistakes: list[Mistake] = []
    plain = as_plain(options, (), mistakes)
    return mistakes + schema_mistakes("phase", plain, ())


# -- the whole -----------------------------------------------------------------------------------------------------


def load(opts: Mapping, name: str, accepted: Collection[str] | None, match: Match) -> Environment:
    """Return an environment of the pillar by name; raises :class:`doors.Refused`."""
    return build(name, pick(definitions(opts), name), accepted, match)


def build(name: str, definition: object, accepted: Collection[str] | None, match: Match) -> Environment:
    """
    Return the environment of a definition; raises :class:`Invalid` with every mistake in it.

    accepted
        The ids whose keys the master has accepted. None on a master of masters, which does not know them: lists of
        nodes are then taken as they are, and no target is.

    match
        ``match(target, target_type)`` returns the ids that a Salt target matches.
    """
    path = ("environments", name)
    mistakes: list[Mistake] = []
    plain = as_plain(definition, path, mistakes)
    noted = {mistake.path for mistake in mistakes}
    if not re.fullmatch(environment_schema.NAME["pattern"], name):
        wanted = environment_schema.NAME["title"]
        mistakes.append(Mistake("environments", f"found the environment {shown(name)}", f"write {wanted}"))
    mistakes += [m for m in schema_mistakes("environment", plain, path) if m.path not in noted]
    sound = _sound_parts(plain, path, mistakes)
    roles, wrong_roles = _roles(sound, accepted, match, path)
    gates, wrong_gates = _gates(sound, plain, path)
    calls, wrong_calls = _all_calls(sound, plain, path)
    if mistakes := [*mistakes, *wrong_roles, *wrong_gates, *wrong_calls]:
        raise Invalid(mistakes)
    present = {role: _without(found, sound["exclude"]) for role, found in roles.items()}
    puppet = {**environment_schema.PUPPET_DEFAULTS, **plain.get("puppet", {})}
    phases, digest = plain.get("phases", {}), _digest(plain, present)
    quiet = plain.get("quiet_agents", False)
    return Environment(name, present, sound["exclude"], puppet, phases, gates, digest, calls, quiet)


def _roles(sound: Mapping, accepted: Collection[str] | None, match: Match, path: tuple) -> tuple[dict, list[Mistake]]:
    """Return the sound roles with all their nodes, the excluded ones too, and what is wrong with them."""
    roles: dict[str, Role] = {}
    mistakes: list[Mistake] = []
    for name, definition in sound["roles"].items():
        where = at((*path, "roles", name))
        roles[name], wrong = _role(name, definition, accepted, sound["exclude"], match, where)
        mistakes += wrong
    if sound["whole"]:
        mistakes += _excluded_from_nothing(sound["exclude"], roles.values(), at((*path, "exclude")))
    return roles, mistakes


def _gates(sound: Mapping, plain: object, path: tuple) -> tuple[dict, list[Mistake]]:
    """Return the sound gates, and what is wrong with them."""
    known = plain.get("roles") if isinstance(plain, dict) else {}
    gates: dict[str, Gate] = {}
    mistakes: list[Mistake] = []
    for name, definition in sound["gates"].items():
        gates[name] = _gate(name, definition)
        where = (*path, "gates", name)
        mistakes += _too_short(gates[name], at(where)) + _unknown_roles(gates[name], known, where)
        mistakes += _unknown_answers(gates[name], where)
    return gates, mistakes


def _all_calls(sound: Mapping, plain: object, path: tuple) -> tuple[dict, list[Mistake]]:
    """Return the sound calls by name, and what is wrong with them and with those that phases name or have in place."""
    calls = {name: _calls(definition) for name, definition in sound["calls"].items()}
    placed: list[tuple[tuple, tuple[Call, ...]]] = [((*path, "calls", name), each) for name, each in calls.items()]
    known, mistakes = _section(plain, "calls"), []
    for sentence, options in sound["phases"].items():
        for what in [each for each in CALLING if each in options]:
            value, where = options[what], (*path, "phases", sentence, what)
            if not isinstance(value, str):
                placed.append((where, _calls(value)))
            elif value not in known:
                near = doors.did_you_mean(value, known)
                mistakes.append(Mistake(at(where), f"unknown calls {value!r}{near}", "add them to calls, [] for none"))
    roles = _section(plain, "roles")
    cure = f"its roles are {', '.join(roles) or 'none'}; add it, [] if it has no nodes here"
    mistakes += [
        Mistake(at((*where, index)), f"unknown role {call.role!r}{doors.did_you_mean(call.role, roles)}", cure)
        for where, each in placed
        for index, call in enumerate(each)
        if call.role is not None and call.role not in roles
    ]
    return calls, mistakes


def _section(plain: object, name: str) -> Mapping:
    """Return a section of a definition, nothing where it is none."""
    found = plain.get(name) if isinstance(plain, dict) else None
    return found if isinstance(found, dict) else {}


def _sound_parts(plain: object, path: tuple, mistakes: Iterable[Mistake]) -> dict:
    """Return the entries of each section without a mistake so far, and whether all roles are (``whole``)."""
    bad = {mistake.path for mistake in mistakes}
    plain = plain if isinstance(plain, dict) else {}

    def sound(*keys) -> bool:
        where = at((*path, *keys))
        return where not in bad and not any(each.startswith(f"{where}:") for each in bad)

    def entries(section: str) -> dict:
        found = plain.get(section)
        return {key: each for key, each in found.items() if sound(section, key)} if isinstance(found, dict) else {}

    sections = ("roles", "gates", "exclude", "calls", "phases")
    return {section: entries(section) for section in sections} | {"whole": sound("roles")}


def _excluded_from_nothing(excluded: Iterable[str], roles: Iterable[Role], path: str) -> list[Mistake]:
    """Return the mistakes of excluded nodes that are in no role."""
    known = {node for role in roles for node in role.nodes}
    return [
        Mistake(path, f"{node} is in no role{_instead_of(node, known)}", "correct it, or take it out")
        for node in excluded
        if node not in known
    ]


def _unknown_roles(gate: Gate, roles: object, path: tuple) -> list[Mistake]:
    """Return the mistakes of checks that ask a role which the environment does not have."""
    known = roles if isinstance(roles, dict) else {}
    cure = f"its roles are {', '.join(known) or 'none'}; add it, [] if it has no nodes here"
    unknown = [(index, check.role) for index, check in enumerate(gate.checks) if check.role not in known]
    return [
        Mistake(at((*path, "checks", index)), f"unknown role {role!r}{doors.did_you_mean(role, known)}", cure)
        for index, role in unknown
    ]


def _unknown_answers(gate: Gate, path: tuple) -> list[Mistake]:
    """Return the mistakes of checks that use the answer of a check which does not come before them."""
    mistakes, before = [], set()
    for index, check in enumerate(gate.checks):
        mistakes += [
            Mistake(
                at((*path, "checks", index)),
                f"{{{name}.{each}}} needs an answer that no check before it has",
                f"give the check that it means `name: {name}`, and put it first",
            )
            for name, each in check.needs
            if name not in before
        ]
        before.add(check.name)
    return mistakes


def _without(role: Role, excluded: Collection[str]) -> Role:
    out = tuple(node for node in role.nodes if node in excluded)
    return dataclasses.replace(role, nodes=tuple(node for node in role.nodes if node not in excluded), excluded=out)


def _digest(definition: Mapping, roles: Mapping[str, Role]) -> str:
    """Return a SHA-256 over a definition and the nodes that it came to."""
    whole = [definition, {name: role.nodes for name, role in roles.items()}]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
