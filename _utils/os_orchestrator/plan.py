"""
A scenario against an environment: which phases, in which order, on which nodes, with which options.

The whole scenario is checked here, before its first node is touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import salt.minion

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
        )
    ),
    "gate": frozenset(("gate", "checks", "successes", "interval", "timeout", "optional")),
}
#: Salt's own keys that leave it to the phases whether a phase runs. `unless`, `retry`, `onfail` and the like would not.
_ALLOWED = frozenset(("name", "state", "fun", "order", "require", "failhard", "fire_event"))


@dataclass(frozen=True)
class Phase:
    """
    One sentence of a scenario.

    nodes
        Those that it runs on (``puppet``) or that its checks ask (``gate``), in order.

    not_asked
        Nodes of its roles that this deployment leaves out, with the reason.

    left_out
        Why the phase as a whole is left out, or nothing.
    """

    number: int
    name: str
    kind: str
    roles: tuple[str, ...]
    nodes: tuple[str, ...]
    options: Mapping = field(default_factory=dict)
    gate: environment.Gate | None = None
    not_asked: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""


@dataclass(frozen=True)
class Plan:
    """The phases of a scenario for one environment; ``digest`` changes when any of both changes."""

    scenario: str
    environment: environment.Environment
    phases: tuple[Phase, ...]
    noop: bool
    digest: str

    @property
    def partial(self) -> bool:
        return bool(self.environment.excluded) or any(phase.not_asked for phase in self.phases)

    def phase(self, name: str) -> Phase:
        return next(phase for phase in self.phases if phase.name == name)


@dataclass(frozen=True)
class Selection:
    """What an operator asks for less than the whole: some nodes, a later start."""

    nodes: tuple[str, ...] = ()
    from_phase: str | int | None = None


def sls_of(scenario: str) -> str:
    """Return the SLS of a scenario: ``swift`` is ``orch.swift``, a name with a dot is taken whole; commas are kept."""
    return ",".join(name if "." in name else f"orch.{name}" for name in scenario.split(","))


def scenario_of(chunks: Iterable[Mapping]) -> str:
    """Return the name under which a scenario is known, from its low chunks."""
    names = dict.fromkeys(chunk["__sls__"] for chunk in chunks if chunk.get("state") == "phase")
    return ",".join(name.removeprefix("orch.") for name in names)


def compile_scenario(opts: Mapping, scenario: str, pillar: Mapping) -> list[Mapping]:
    """
    Return the low chunks of a scenario as an orchestration on this master would run them; raises
    :class:`doors.Refused`.
    """
    minion = salt.minion.MasterMinion({**opts, "file_client": "local"})
    chunks = minion.functions["state.show_low_sls"](sls_of(scenario), pillar=dict(pillar))
    if not isinstance(chunks, list) or not all(isinstance(chunk, Mapping) for chunk in chunks):
        raise doors.Refused(unrenderable(scenario, chunks if isinstance(chunks, list) else [chunks], opts))
    return sorted(chunks, key=lambda chunk: chunk.get("order", 0))


def unrenderable(scenario: str, errors: Iterable, opts: Mapping) -> str:
    """Return one sentence for what Salt says of an SLS that it cannot render."""
    said = "; ".join(str(error) for error in errors)
    if "No matching sls found" in said:
        roots = ", ".join(opts.get("file_roots", {}).get("base", ()))
        cure = "write it there"
        if "." not in scenario:
            cure = "add the directory that holds orch/ to them, or name one of your own whole, such as site.patch"
        file = f"{sls_of(scenario).replace('.', '/')}.sls"
        return f"there is no scenario {scenario}: {file} is in none of the master's file_roots ({roots}); {cure}"
    return f"scenario {scenario} cannot be rendered: {said}"


def build(
    chunks: Iterable[Mapping], env: environment.Environment, *, noop: bool = False, selection: Selection | None = None
) -> Plan:
    """
    Return the plan of a scenario's low chunks for an environment; raises :class:`doors.Refused` with every mistake,
    a line each.
    """
    chunks, selection = list(chunks), selection or Selection()
    ours = [chunk for chunk in chunks if chunk.get("state") == "phase"]
    mistakes = [] if ours else ["the scenario has no phase; write one as phase.puppet or phase.gate"]
    for chunk in ours:
        mistakes += [f"{chunk['__id__']}: {mistake}" for mistake in _mistakes(chunk, env)]
    mistakes += _unordered(chunks, ours) + _unused(ours, env) + _unselectable(selection, ours, env)
    if mistakes:
        raise doors.Refused("\n".join(mistakes))
    first = _first_number(selection.from_phase, ours) or 1
    phases = tuple(_phase(number, chunk, env, selection, first) for number, chunk in enumerate(ours, 1))
    arguments = [
        [chunk["__id__"], chunk["fun"], {key: chunk[key] for key in sorted(_arguments(chunk))}] for chunk in ours
    ]
    digest = hashlib.sha256(json.dumps([env.digest, arguments, noop], sort_keys=True, default=str).encode()).hexdigest()
    return Plan(scenario_of(chunks), env, phases, noop, digest)


def single(
    env: environment.Environment, role: str, options: Mapping, *, noop: bool, nodes: tuple[str, ...] = ()
) -> Plan:
    """Return the plan of one pass over a role, outside any scenario."""
    name = f"Puppet on {role}"
    chunk = {
        "__id__": name,
        "name": name,
        "state": "phase",
        "fun": "puppet",
        "__sls__": "puppet",
        "role": role,
        **options,
    }
    return build([chunk], env, noop=noop, selection=Selection(nodes))


def _arguments(chunk: Mapping) -> dict:
    """Return what the author of a scenario wrote under a sentence, without what is Salt's."""
    return {key: value for key, value in chunk.items() if not key.startswith("__") and key not in _ALLOWED}


def _mistakes(chunk: Mapping, env: environment.Environment) -> list[str]:
    """Return what is wrong with one phase."""
    kind, given = chunk["fun"], _arguments(chunk)
    if kind not in ARGUMENTS:
        return [f"there is no phase.{kind}; a phase is phase.puppet or phase.gate"]
    if chunk.get("name") != chunk["__id__"]:
        return ["a phase is named by its sentence alone; remove `name`"]
    known = ARGUMENTS[kind]
    mistakes = [
        f"phase.{kind} does not take {key}{doors.did_you_mean(key, known)}; it takes {', '.join(sorted(known))}"
        for key in given
        if key not in known
    ]
    try:
        return mistakes or (_puppet_mistakes if kind == "puppet" else _gate_mistakes)(given, env)
    except doors.Refused as refused:
        return str(refused).splitlines()


def _puppet_mistakes(given: Mapping, env: environment.Environment) -> list[str]:
    roles = _roles(given.get("role"))
    mistakes = [] if roles else ["phase.puppet needs a role"]
    for role in roles:
        if role not in env.roles:
            mistakes.append(
                f"environment {env.name} has no role {role}{doors.did_you_mean(role, env.roles)};"
                " add it to its roles, empty if it has none"
            )
    options = {key: value for key, value in given.items() if key != "role"}
    return mistakes + [f"{m.path}: {m.found}; {m.cure}" for m in environment.phase_mistakes(options)]


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
        for check in _gate(given, env).checks
        if check.role not in env.roles
    ]


def _unordered(chunks: list[Mapping], ours: list[Mapping]) -> list[str]:
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


def _unused(ours: list[Mapping], env: environment.Environment) -> list[str]:
    """Refuse nothing here but the near miss: a sentence under `phases` may belong to another scenario."""
    names = {chunk["__id__"] for chunk in ours}
    meant = {_plain(name): name for name in names}
    return [
        f"environments:{env.name}:phases has {sentence!r}, this scenario has {meant[_plain(sentence)]!r};"
        " write the sentence as the scenario does"
        for sentence in env.phases
        if sentence not in names and _plain(sentence) in meant
    ]


def _plain(sentence: str) -> str:
    """Return a sentence without what is easily mistaken: case, blanks, full stop."""
    return " ".join(sentence.lower().rstrip(". ").split())


def _unselectable(selection: Selection, ours: list[Mapping], env: environment.Environment) -> list[str]:
    known = {node for role in env.roles.values() for node in role.nodes}
    mistakes = [
        f"nodes: {node} is excluded from {env.name}: {env.excluded[node]}"
        if node in env.excluded
        else f"nodes: {node} is in no role of {env.name}{doors.did_you_mean(node, known)}"
        for node in selection.nodes
        if node not in known
    ]
    if selection.from_phase is not None and _first_number(selection.from_phase, ours) is None:
        names = ", ".join(f"{number} {chunk['__id__']}" for number, chunk in enumerate(ours, 1))
        mistakes.append(f"from_phase: the scenario has no phase {selection.from_phase}; it has {names}")
    return mistakes


def _first_number(from_phase: str | int | None, ours: list[Mapping]) -> int | None:
    """
    Return the number of the phase to begin with, given by its number or sentence, or None when there is no such phase.
    """
    names = [chunk["__id__"] for chunk in ours]
    if from_phase is None:
        return 1
    if str(from_phase) in names:
        return names.index(str(from_phase)) + 1
    return int(from_phase) if str(from_phase).isdecimal() and 1 <= int(from_phase) <= len(names) else None


def _phase(number: int, chunk: Mapping, env: environment.Environment, selection: Selection, first: int) -> Phase:
    given, name, kind = _arguments(chunk), chunk["__id__"], chunk["fun"]
    gate = _gate(given, env) if kind == "gate" else None
    roles = tuple(dict.fromkeys(check.role for check in gate.checks)) if gate else _roles(given.get("role"))
    nodes = tuple(dict.fromkeys(node for role in roles for node in env.roles[role].nodes))
    left_out = _left_out(env, roles, nodes, given)
    excluded = {node: f"excluded: {env.excluded[node]}" for role in roles for node in env.roles[role].excluded}
    if number < first:
        before = "before from_phase"
        return Phase(number, name, kind, roles, (), {}, gate, {**dict.fromkeys(nodes, before), **excluded}, before)
    if gate:
        return Phase(number, name, kind, roles, nodes, {}, gate, {}, left_out)
    asked = tuple(node for node in nodes if not selection.nodes or node in selection.nodes)
    not_asked = {node: "not among nodes=" for node in nodes if node not in asked} | excluded
    options = env.options(roles, name, {key: value for key, value in given.items() if key != "role"})
    return Phase(
        number,
        name,
        kind,
        roles,
        asked,
        options,
        None,
        not_asked,
        left_out or ("" if asked else "none of its nodes was asked"),
    )


def _left_out(env: environment.Environment, roles: tuple[str, ...], nodes: tuple[str, ...], given: Mapping) -> str:
    """Return why a phase has nothing to do in this environment, or nothing."""
    if not roles:
        return (
            f"environment {env.name} has no checks for gate {given['gate']}" if "gate" in given else "it has no checks"
        )
    if not nodes:
        return f"role {' and '.join(roles)} of {env.name} has no nodes"
    return ""


def _gate(given: Mapping, env: environment.Environment) -> environment.Gate:
    """Return the gate of a phase: the environment's, or the one written in place; the SLS's own numbers win."""
    overrides = {key: given[key] for key in ("successes", "interval", "timeout") if key in given}
    if "checks" in given:
        return environment.gate_from("checks", {"checks": given["checks"], **overrides})
    named = env.gates.get(given["gate"])
    if named is None:
        return environment.gate_from(given["gate"], {"checks": []})
    return environment.gate_with(named, overrides)


def _roles(role: object) -> tuple[str, ...]:
    return doors.strings(role, "role")
