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

from os_orchestrator import doors, environment, scheduler, words

#: What an operator may say of a deployment that a resumed one has to be told again.
CHOSEN = ("nodes", "from_phase", "role")


@dataclass(frozen=True)
class Phase:
    """
    One sentence of a scenario.

    kind
        ``puppet``, ``gate``, ``call`` or ``confirm``.

    nodes
        Those that it runs on (``puppet``), for which it calls (``call``) or that its checks ask (``gate``), in order.

    calls
        What is called for each node, by part: ``before``, ``check`` and ``after``, or ``calls``.

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
    calls: Mapping[str, tuple[environment.Call, ...]] = field(default_factory=dict)


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
    """
    What an operator asks for less than the whole: some nodes, a later start.

    role
        The roles that a scenario is about which leaves that to the operator (``role: '{role}'``).

    deployed
        Each role's nodes that have been deployed before, as ``(role, node)``; the others are new.
    """

    nodes: tuple[str, ...] = ()
    from_phase: str | int | None = None
    role: tuple[str, ...] = ()
    deployed: frozenset[tuple[str, str]] = frozenset()


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


def asks_for_new(chunks: Iterable[Mapping]) -> bool:
    """Whether a phase of a scenario is about nodes that have not been deployed before."""
    return any(chunk.get("state") == "phase" and chunk.get("nodes") == "new" for chunk in chunks)


def build(
    chunks: Iterable[Mapping], env: environment.Environment, *, noop: bool = False, selection: Selection | None = None
) -> Plan:
    """
    Return the plan of a scenario's low chunks for an environment; raises :class:`doors.Refused` with every mistake,
    a line each.
    """
    selection = selection or Selection()
    chunks = _with_named_role(list(chunks), selection.role, env)
    ours = [chunk for chunk in chunks if chunk.get("state") == "phase"]
    mistakes = [] if ours else [f"the scenario has no phase; write one as {words.KINDS}"]
    for chunk in ours:
        mistakes += [f"{chunk['__id__']}: {mistake}" for mistake in words.mistakes(chunk, env)]
    mistakes += words.unordered(chunks, ours) + _unused(ours, env) + _unselectable(selection, ours, env)
    if mistakes:
        raise doors.Refused("\n".join(mistakes))
    first = _first_number(selection.from_phase, ours) or 1
    phases: list[Phase] = []
    for number, chunk in enumerate(ours, 1):
        phases.append(_phase(number, chunk, env, _Choice(selection, ours, phases), first, noop))
    arguments = [
        [chunk["__id__"], chunk["fun"], {key: chunk[key] for key in sorted(words.arguments(chunk))}] for chunk in ours
    ]
    digest = hashlib.sha256(json.dumps([env.digest, arguments, noop], sort_keys=True, default=str).encode()).hexdigest()
    return Plan(scenario_of(chunks), env, tuple(phases), noop, digest)


def _with_named_role(chunks: list[Mapping], role: tuple[str, ...], env: environment.Environment) -> list[Mapping]:
    """Return chunks with the roles that the operator names in their place; raises :class:`doors.Refused`."""
    about = [chunk["__id__"] for chunk in chunks if chunk.get("role") == words.NAMED_ROLE]
    if about and not role:
        raise doors.Refused(
            f"{about[0]}: it is about a role that is named; name one of {', '.join(env.roles)} with role="
        )
    if role and not about:
        raise doors.Refused(f"role: the scenario says itself which roles it is about; take out role={','.join(role)}")
    return [{**chunk, "role": list(role)} if chunk.get("role") == words.NAMED_ROLE else chunk for chunk in chunks]


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
    if not selection.nodes:
        cure = "it is about nodes that are named; name them with nodes="
        mistakes += [f"{chunk['__id__']}: {cure}" for chunk in ours if chunk.get("nodes") == "named"]
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


class _Choice:
    """Which nodes of its roles a phase runs on: as it says itself, and as the operator has chosen."""

    def __init__(self, selection: Selection, ours: list[Mapping], before: Iterable[Phase]):
        self._selection = selection
        self._before = {node for phase in before if phase.kind == "puppet" for node in phase.nodes}
        # In a scenario that is about some nodes, `nodes=` says which those are, and nothing of the others.
        self._is_about_some = any(chunk.get("nodes") in ("new", "named") for chunk in ours)

    def of(self, which: int | str, env: environment.Environment, roles: Iterable[str], nodes: tuple[str, ...]):
        """Return the nodes of a phase, and why it has none if that is what it means."""
        chosen = self._selection.nodes
        if which in ("new", "named") and chosen:
            return tuple(node for node in nodes if node in chosen), "none of its nodes was named"
        if which == "new":
            known = {node for role, node in self._selection.deployed if role in roles}
            said = f"role {' and '.join(roles)} of {env.name} has no new nodes; nodes= names some all the same"
            return tuple(node for node in nodes if node not in known), said
        if which == "rest":
            return tuple(node for node in nodes if node not in self._before), "phases before it had all of its nodes"
        if which != "all":
            return nodes[: scheduler.size(which, len(nodes))], ""
        return nodes, ""

    def without(self, nodes: tuple[str, ...]) -> dict[str, str]:
        """Return the nodes that the operator has left out, with the reason."""
        if self._is_about_some or not self._selection.nodes:
            return {}
        return {node: "not among nodes=" for node in nodes if node not in self._selection.nodes}


def _phase(number: int, chunk: Mapping, env: environment.Environment, choice: _Choice, first: int, noop: bool) -> Phase:
    given, name, kind = words.arguments(chunk), chunk["__id__"], chunk["fun"]
    if kind == "confirm":
        timeout = doors.number(given.get("timeout", words.CONFIRM_WITHIN), "timeout", minimum=1)
        left_out = "before from_phase" if number < first else "noop: nothing is changed" if noop else ""
        options = {"message": given["message"], "timeout": timeout}
        return Phase(number, name, kind, (), (), options, left_out=left_out)
    gate = words.gate_of(given, env) if kind == "gate" else None
    roles = tuple(dict.fromkeys(check.role for check in gate.checks)) if gate else _those(given.get("role"), env)
    nodes = tuple(dict.fromkeys(node for role in roles for node in env.roles[role].nodes))
    left_out = _left_out(env, roles, nodes, given)
    excluded = {node: f"excluded: {env.excluded[node]}" for role in roles for node in env.roles[role].excluded}
    if number < first:
        before = "before from_phase"
        return Phase(number, name, kind, roles, (), {}, gate, {**dict.fromkeys(nodes, before), **excluded}, before)
    if gate:
        return Phase(number, name, kind, roles, nodes, {}, gate, {}, left_out)
    which = given.get("nodes", "all")
    meant, none = choice.of(which, env, roles, nodes)
    not_asked = choice.without(meant)
    asked = tuple(node for node in meant if node not in not_asked)
    left_out = left_out or ("" if asked else none or "none of its nodes was asked")
    if kind == "call":
        own = {key: given[key] for key in words.OF_A_CALL_PHASE if key in given}
        one = [{key: given[key] for key in words.OF_A_CALL if key in given}]
        calls = {"calls": _calls(given.get("calls", one), env)}
    else:
        own = {key: value for key, value in given.items() if key not in ("role", "nodes")}
        calls = {}
    options = env.options(roles, name, own)
    if kind == "call":
        left_out = left_out or _uncalled(calls["calls"], given, env, noop or options["noop"])
    else:
        calls = {what: _calls(options.pop(what), env) for what in environment.CALLING}
    return Phase(number, name, kind, roles, asked, options, None, not_asked | excluded, left_out, calls)


def _those(role: object, env: environment.Environment) -> tuple[str, ...]:
    """Return the roles of a phase, all of the environment's for ``*``."""
    roles = words.roles_of(role)
    return tuple(env.roles) if words.EVERYBODY in roles else roles


def _calls(given: object, env: environment.Environment) -> tuple[environment.Call, ...]:
    return env.calls[given] if isinstance(given, str) else environment.calls_from(given or [])


def _left_out(env: environment.Environment, roles: tuple[str, ...], nodes: tuple[str, ...], given: Mapping) -> str:
    """Return why a phase has nothing to do in this environment, or nothing."""
    if not roles:
        return (
            f"environment {env.name} has no checks for gate {given['gate']}" if "gate" in given else "it has no checks"
        )
    if not nodes:
        return f"role {' and '.join(roles)} of {env.name} has no nodes"
    return ""


def _uncalled(calls: tuple[environment.Call, ...], given: Mapping, env: environment.Environment, noop: bool) -> str:
    """Return why a phase of calls alone calls nothing, or nothing."""
    if not calls:
        named = isinstance(given.get("calls"), str)
        return f"environment {env.name} has nothing to call for {given['calls']}" if named else "it has nothing to call"
    return "noop: nothing is called" if noop else ""
