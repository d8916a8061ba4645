"""
The words of a scenario: what each kind of phase may say, and what is wrong with what one says. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from os_orchestrator import doors, environment

#: What a phase's sentence may be followed by, by kind. The rest of a chunk is Salt's.
ARGUMENTS = {
    "puppet": frozenset(
        (
            "role",
            "may_fail",
            "max_failures",
            "concurrency",
            "timeout",
            "lock_timeout",
            "tags",
            "skip_tags",
            "noop",
            "retries",
            "nodes",
            "canary",
            "waves",
            "passes",
            "before",
            "check",
            "after",
            "expect",
        )
    ),
    "gate": frozenset(("gate", "checks", "successes", "interval", "timeout", "optional")),
    "call": frozenset(
        (
            "role",
            "nodes",
            "calls",
            "function",
            "args",
            "kwargs",
            "expect",
            "key",
            "timeout",
            "within",
            "interval",
            "concurrency",
            "max_failures",
            "canary",
            "waves",
        )
    ),
    "confirm": frozenset(("message", "timeout")),
}
#: What of a ``phase.call`` is of the phase, and what of its one call, if that stands in place.
OF_A_CALL_PHASE = ("concurrency", "max_failures", "canary", "waves")
OF_A_CALL = ("function", "args", "kwargs", "expect", "key", "timeout", "within", "interval")
#: Every role of an environment, each node once.
EVERYBODY = "*"
#: What stands for the roles that the operator names.
NAMED_ROLE = "{role}"
#: Which nodes of its role a phase may mean by a word, besides a count or percentage of them: the first ones.
_NODES = ("all", "new", "named", "rest")
#: Seconds that an operator has to confirm, unless the scenario says otherwise.
CONFIRM_WITHIN = 3600
#: Salt's own keys that leave it to the phases whether a phase runs. `unless`, `retry`, `onfail` and the like would not.
_ALLOWED = frozenset(("name", "state", "fun", "order", "require", "failhard", "fire_event"))


def arguments(chunk: Mapping) -> dict:
    """Return what the author of a scenario wrote under a sentence, without what is Salt's."""
    return {key: value for key, value in chunk.items() if not key.startswith("__") and key not in _ALLOWED}


def mistakes(chunk: Mapping, env: environment.Environment) -> list[str]:
    """Return what is wrong with one phase."""
    kind, given = chunk["fun"], arguments(chunk)
    if kind not in ARGUMENTS:
        return [f"there is no phase.{kind}; a phase is {KINDS}"]
    if chunk.get("name") != chunk["__id__"]:
        return ["a phase is named by its sentence alone; remove `name`"]
    known = ARGUMENTS[kind]
    mistakes = [
        f"phase.{kind} does not take {key}{doors.did_you_mean(key, known)}; it takes {', '.join(sorted(known))}"
        for key in given
        if key not in known
    ]
    try:
        return mistakes or _MISTAKES[kind](given, env)
    except doors.Refused as refused:
        return str(refused).splitlines()


def _puppet_mistakes(given: Mapping, env: environment.Environment) -> list[str]:
    mistakes = _role_mistakes("puppet", given, env)
    options = {key: value for key, value in given.items() if key not in ("role", "nodes")}
    mistakes += [f"{m.path}: {m.found}; {m.cure}" for m in environment.phase_mistakes(options)]
    if mistakes:
        return mistakes
    mistakes += _wave_mistakes(options.get("waves"))
    return mistakes + [m for what in environment.CALLING for m in _calls_mistakes(what, given.get(what), env)]


def _call_mistakes(given: Mapping, env: environment.Environment) -> list[str]:
    mistakes = _role_mistakes("call", given, env)
    if ("function" in given) == ("calls" in given):
        return [*mistakes, "phase.call needs either a function or calls"]
    own = {key: value for key, value in given.items() if key in OF_A_CALL_PHASE}
    mistakes += [f"{m.path}: {m.found}; {m.cure}" for m in environment.phase_mistakes(own)]
    if "calls" in given:
        alone = [key for key in given if key in OF_A_CALL]
        mistakes += [f"{', '.join(alone)} belongs to a function; write it under calls"] if alone else []
        return mistakes + _wave_mistakes(own.get("waves")) + _calls_mistakes("calls", given["calls"], env)
    one = [{key: given[key] for key in OF_A_CALL if key in given}]
    return mistakes + _wave_mistakes(own.get("waves")) + _calls_mistakes("calls", one, env)


def _confirm_mistakes(given: Mapping, env: environment.Environment) -> list[str]:
    mistakes = [] if isinstance(given.get("message"), str) and given["message"].strip() else ["it needs a message"]
    doors.number(given.get("timeout", CONFIRM_WITHIN), "timeout", minimum=1)
    return mistakes


def _role_mistakes(kind: str, given: Mapping, env: environment.Environment) -> list[str]:
    """Return what is wrong with the roles of a phase, and with what it says of their nodes."""
    roles = roles_of(given.get("role"))
    mistakes = [] if roles else [f"phase.{kind} needs a role"]
    for role in roles:
        if role not in env.roles and role != EVERYBODY:
            mistakes.append(
                f"environment {env.name} has no role {role}{doors.did_you_mean(role, env.roles)};"
                " add it to its roles, empty if it has none"
            )
    which = given.get("nodes", "all")
    is_count = (isinstance(which, int) and not isinstance(which, bool) and which > 0) or (
        isinstance(which, str) and re.fullmatch(r"(100|[1-9][0-9]?)%", which)
    )
    if not is_count and which not in _NODES:
        mistakes.append(f"nodes is {which!r}; write {', '.join(_NODES)}, a count, or a percentage such as '10%'")
    return mistakes


def _wave_mistakes(waves: object) -> list[str]:
    named = [key for key in ("size", "grain", "pillar") if key in waves] if isinstance(waves, Mapping) else ["size"]
    return [] if len(named) == 1 else [f"waves: found {' and '.join(named) or 'none'} of size, grain, pillar; give one"]


def _calls_mistakes(what: str, given: object, env: environment.Environment) -> list[str]:
    """Return what is wrong with calls that a phase names or has in place."""
    if given is None:
        return []
    if isinstance(given, str):
        near = doors.did_you_mean(given, env.calls)
        cure = "add them to its calls, [] if it needs none"
        return [] if given in env.calls else [f"environment {env.name} has no calls {given}{near}; {cure}"]
    return [
        f"{what}: {call.function} is called on role {call.role}, which environment {env.name} does not have"
        for call in environment.calls_from(given)
        if call.role is not None and call.role not in env.roles
    ]


def _gate_mistakes(given: Mapping, env: environment.Environment) -> list[str]:
    if ("gate" in given) == ("checks" in given):
        return ["phase.gate needs either a gate of the environment or checks in place"]
    if "gate" in given:
        optional = doors.boolean(given.get("optional", False), "optional")
        if not isinstance(given["gate"], str):
            return [f"gate must be a name, not {given['gate']!r}"]
        if given["gate"] not in env.gates and not optional:
            near = doors.did_you_mean(given["gate"], env.gates)
            return [
                f"environment {env.name} has no gate {given['gate']}{near};"
                " add it to its gates, with `checks: []` if it needs none"
            ]
    return [
        f"a check asks role {check.role}, which environment {env.name} does not have"
        for check in gate_of(given, env).checks
        if check.role not in env.roles
    ]


_MISTAKES = {"puppet": _puppet_mistakes, "gate": _gate_mistakes, "call": _call_mistakes, "confirm": _confirm_mistakes}
KINDS = "phase.puppet, phase.gate, phase.call or phase.confirm"


def unordered(chunks: list[Mapping], ours: list[Mapping]) -> list[str]:
    """Each phase but the first must wait for one before it, else it would run although that one failed."""
    by_id = {str(chunk.get("__id__")): chunk for chunk in chunks}
    mistakes: list[str] = []
    before: set[str] = set()
    for chunk in ours:
        name = chunk["__id__"]
        if name in before:
            mistakes.append(f"{name}: there are two phases of this name")
        if before and not before & _required(chunk, by_id, chunks):
            mistakes.append(
                f"{name}: it requires no phase before it;"
                f" add `- require: [{{phase: {ours[0]['__id__']}}}]` or the one that it follows"
            )
        before.add(name)
    return mistakes


def _required(chunk: Mapping, by_id: Mapping[str, Mapping], chunks: list[Mapping]) -> set[str]:
    """Return the ids that a chunk requires, directly or through others."""
    found: set[str] = set()
    waiting = [chunk]
    while waiting:
        for requisite in waiting.pop().get("require", ()):
            kind, name = next(iter(requisite.items())) if isinstance(requisite, Mapping) else ("", str(requisite))
            ids = [c["__id__"] for c in chunks if c.get("__sls__") == name] if kind == "sls" else [name]
            waiting += [by_id[one] for one in ids if one in by_id and one not in found]
            found.update(ids)
    return found


def gate_of(given: Mapping, env: environment.Environment) -> environment.Gate:
    """Return the gate of a phase: the environment's, or the one written in place; the SLS's own numbers win."""
    overrides = {key: given[key] for key in ("successes", "interval", "timeout") if key in given}
    if "checks" in given:
        return environment.gate_from("checks", {"checks": given["checks"], **overrides})
    named = env.gates.get(given["gate"])
    if named is None:
        return environment.gate_from(given["gate"], {"checks": []})
    return environment.gate_with(named, overrides)


def roles_of(role: object) -> tuple[str, ...]:
    return doors.strings(role, "role")
