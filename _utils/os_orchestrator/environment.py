"""
An environment: what the pillar says of a set of nodes, checked as a whole and made one typed value.

:func:`definitions` alone reads the pillar; all else here is pure.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import salt.config
import salt.key
import salt.pillar

from os_orchestrator import doors, environment_schema

#: The id whose pillar holds the environments, unless the master's configuration names another.
PILLAR_ID = "os-orchestrator"

#: What stands for a field of an earlier answer in the arguments of a check.
ANSWER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)\}")

#: What a phase may say that names calls of its environment, or has them in place.
CALLING = ("before", "check", "after")

_DEPTH = 32
_KEY_STATES = {
    "minions": "accepted",
    "minions_pre": "pending",
    "minions_rejected": "rejected",
    "minions_denied": "denied",
}
Match = Callable[[str, str], Iterable[str]]


@dataclass(frozen=True)
class Role:
    """A role: its nodes, those that are excluded apart, and what it overrides of the environment's ``puppet``."""

    name: str
    nodes: tuple[str, ...]
    options: Mapping = dataclasses.field(default_factory=dict)
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """
    One condition of a gate: an execution function, called on every node of a role, and what it must answer.

    expect
        True, ``equal``, ``{"value": X}``, or any other scalar, which the answer must equal.

    key
        The part of the answer to look at, a path with colons; None is all of it.

    name
        The name by which later checks of the gate use its answer, as ``{name.field}`` in their arguments.

    timeout
        Seconds for one answer.
    """

    function: str
    role: str
    args: tuple = ()
    kwargs: Mapping = dataclasses.field(default_factory=dict)
    expect: object = True
    key: str | None = None
    timeout: float = 30
    name: str | None = None

    @property
    def needs(self) -> tuple[tuple[str, str], ...]:
        """The answers that its arguments are made of: names and fields."""
        return tuple(dict.fromkeys(ANSWER.findall(json.dumps([self.args, dict(self.kwargs)]))))


@dataclass(frozen=True)
class Call:
    """
    An execution function that is called for one node: before its Puppet run, after it, or in place of one.

    role
        The role on all of whose nodes it is called; None is the node itself.

    args, kwargs
        Its arguments; ``{node}`` in them is the node's id.

    expect, key, timeout
        As of a :class:`Check`; ``done`` is any answer that is no error and not False.

    within, interval
        Seconds within which it must hold, and from one time of asking to the next; asked once when ``within`` is 0.

    always
        Whether it is called, at the node's end, although something before it has failed.
    """

    function: str
    role: str | None = None
    args: tuple = ()
    kwargs: Mapping = dataclasses.field(default_factory=dict)
    expect: object = "done"
    key: str | None = None
    timeout: float = 60
    within: float = 0
    interval: float = 5
    always: bool = False


@dataclass(frozen=True)
class Gate:
    """Checks that must hold in ``successes`` rounds in a row, ``interval`` seconds apart, in ``timeout`` seconds."""

    name: str
    checks: tuple[Check, ...]
    successes: int = 1
    interval: float = 5
    timeout: float = 300


@dataclass(frozen=True)
class Environment:
    """
    A named set of nodes and settings. ``digest`` changes when its definition or the nodes of a role do.

    puppet
        Every setting of the ``puppet`` section, those not given with their defaults.

    excluded
        The nodes that are left out, with the reasons.

    quiet_agents
        Whether the nodes' own agents are kept from running for the time of a deployment.
    """

    name: str
    roles: Mapping[str, Role]
    excluded: Mapping[str, str]
    puppet: Mapping
    phases: Mapping[str, Mapping]
    gates: Mapping[str, Gate]
    digest: str
    calls: Mapping[str, tuple[Call, ...]] = dataclasses.field(default_factory=dict)
    quiet_agents: bool = False

    def options(self, role_names: Iterable[str], phase_name: str, sls_arguments: Mapping) -> dict:
        """
        Return the settings for one phase: the environment's ``puppet`` < SLS argument < role < sentence.

        Of several roles a later one wins. SLS arguments that are None count as not given.
        """
        given = {key: value for key, value in sls_arguments.items() if value is not None}
        options = {**environment_schema.WAY_DEFAULTS, **self.puppet, **given}
        for role in role_names:
            options.update(self.roles[role].options)
        return {**options, **self.phases.get(phase_name, {})}


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


def _at(path: Sequence) -> str:
    """Return a path as Salt writes it, for example ``environments:prod:roles``."""
    return ":".join(map(str, path))


def _plain(value: object, path: tuple, mistakes: list[Mistake]) -> Any:
    """Return a value as JSON can hold it, noting what YAML can hold and JSON cannot."""
    if len(path) > _DEPTH:
        mistakes.append(Mistake(_at(path[:4]), "mappings or lists in each other without end", "write it flat"))
        return None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                mistakes.append(Mistake(_at((*path, key)), f"the key {_shown(key)} is no text", "put it in quotes"))
        return {str(key): _plain(item, (*path, str(key)), mistakes) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item, (*path, index), mistakes) for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    mistakes.append(Mistake(_at(path), f"found {_shown(value)}", "write a text, a number, true or false"))
    return None


def _shown(value: object) -> str:
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


def _schema_mistakes(part: str, value: object, path: tuple) -> list[Mistake]:
    """Return what a part of a definition has against the schema, in the order of the paths."""
    errors = sorted(_validator(part).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    found = (mistake for error in errors for mistake in _mistakes(error, (*path, *error.absolute_path)))
    return list(dict.fromkeys(found))


def _mistakes(error, path: tuple) -> Iterator[Mistake]:
    """Yield the mistakes in one error of the schema's validator."""
    kind, value, schema = error.validator, error.instance, error.schema
    known = schema.get("properties", {})
    unknown = [key for key in value if key not in known] if isinstance(value, dict) else []
    place, found, write = _at(path), f"found {_shown(value)}", f"write {environment_schema.wanted(schema)}"
    if "propertyNames" in error.absolute_schema_path:
        yield Mistake(place, f"found the {schema['$comment']} {_shown(value)}", write)
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


# -- roles and gates -----------------------------------------------------------------------------------------------


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


def _role(name: str, definition: object, accepted: Collection[str], excluded: Collection[str], match: Match, path: str):
    """Return a role with all its nodes, the excluded ones too, and its mistakes."""
    mapping: Mapping[str, Any] = definition if isinstance(definition, dict) else {"nodes": definition}
    nodes, mistakes = _matched(mapping, match, path) if "target" in mapping else _listed(mapping["nodes"], path)
    keyless = [node for node in dict.fromkeys(nodes) if node not in accepted and node not in excluded]
    if keyless:
        mistakes.append(_without_key(keyless, set(accepted) - set(nodes), path))
    return Role(name, nodes, mapping.get("puppet", {})), mistakes


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
    definition = _plain(value, (), mistakes)
    mistakes += _schema_mistakes("calls", definition, ())
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
    definition = _plain(mapping, (), mistakes)
    mistakes += _schema_mistakes("gate", definition, ())
    mistakes = mistakes or _unknown_answers(_gate(name, definition), ())
    if mistakes:
        raise Invalid(mistakes)
    return gate_with(_gate(name, definition), {})


def gate_with(gate: Gate, overrides: Mapping) -> Gate:
    """Return a gate with other ``successes``, ``interval`` or ``timeout``; raises :class:`Invalid`."""
    mistakes: list[Mistake] = []
    given = _plain(overrides, (), mistakes)
    mistakes += _schema_mistakes("gate", {"checks": [], **given}, ())
    changed = dataclasses.replace(gate, **given) if not mistakes else gate
    mistakes += _too_short(changed, "")
    if mistakes:
        raise Invalid(mistakes)
    return changed


def phase_mistakes(options: Mapping) -> list[Mistake]:
    """Return what is wrong with the options of a phase, as a scenario or ``phases`` of an environment gives them."""
    mistakes: list[Mistake] = []
    plain = _plain(options, (), mistakes)
    return mistakes + _schema_mistakes("phase", plain, ())


# -- the whole -----------------------------------------------------------------------------------------------------


def build(name: str, definition: object, accepted: Collection[str], match: Match) -> Environment:
    """
    Return the environment of a definition; raises :class:`Invalid` with every mistake in it.

    accepted
        The ids whose keys the master has accepted.

    match
        ``match(target, target_type)`` returns the ids that a Salt target matches.
    """
    path = ("environments", name)
    mistakes: list[Mistake] = []
    plain = _plain(definition, path, mistakes)
    noted = {mistake.path for mistake in mistakes}
    if not re.fullmatch(environment_schema.NAME["pattern"], name):
        wanted = environment_schema.NAME["title"]
        mistakes.append(Mistake("environments", f"found the environment {_shown(name)}", f"write {wanted}"))
    mistakes += [m for m in _schema_mistakes("environment", plain, path) if m.path not in noted]
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


def _roles(sound: Mapping, accepted: Collection[str], match: Match, path: tuple) -> tuple[dict, list[Mistake]]:
    """Return the sound roles with all their nodes, the excluded ones too, and what is wrong with them."""
    roles: dict[str, Role] = {}
    mistakes: list[Mistake] = []
    for name, definition in sound["roles"].items():
        where = _at((*path, "roles", name))
        roles[name], wrong = _role(name, definition, accepted, sound["exclude"], match, where)
        mistakes += wrong
    if sound["whole"]:
        mistakes += _excluded_from_nothing(sound["exclude"], roles.values(), _at((*path, "exclude")))
    return roles, mistakes


def _gates(sound: Mapping, plain: object, path: tuple) -> tuple[dict, list[Mistake]]:
    """Return the sound gates, and what is wrong with them."""
    known = plain.get("roles") if isinstance(plain, dict) else {}
    gates: dict[str, Gate] = {}
    mistakes: list[Mistake] = []
    for name, definition in sound["gates"].items():
        gates[name] = _gate(name, definition)
        where = (*path, "gates", name)
        mistakes += _too_short(gates[name], _at(where)) + _unknown_roles(gates[name], known, where)
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
                mistakes.append(Mistake(_at(where), f"unknown calls {value!r}{near}", "add them to calls, [] for none"))
    roles = _section(plain, "roles")
    cure = f"its roles are {', '.join(roles) or 'none'}; add it, [] if it has no nodes here"
    mistakes += [
        Mistake(_at((*where, index)), f"unknown role {call.role!r}{doors.did_you_mean(call.role, roles)}", cure)
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
        where = _at((*path, *keys))
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
        Mistake(_at((*path, "checks", index)), f"unknown role {role!r}{doors.did_you_mean(role, known)}", cure)
        for index, role in unknown
    ]


def _unknown_answers(gate: Gate, path: tuple) -> list[Mistake]:
    """Return the mistakes of checks that use the answer of a check which does not come before them."""
    mistakes, before = [], set()
    for index, check in enumerate(gate.checks):
        mistakes += [
            Mistake(
                _at((*path, "checks", index)),
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


# -- the pillar ----------------------------------------------------------------------------------------------------


def load(opts: Mapping, name: str, accepted: Collection[str], match: Match) -> Environment:
    """Return an environment of the pillar by name; raises :class:`doors.Refused`."""
    return build(name, pick(definitions(opts), name), accepted, match)


def pick(found: Mapping[str, object], name: str) -> object:
    """Return the definition of one environment among all; raises :class:`doors.Refused` with what there is."""
    if name not in found:
        there = f"there are {', '.join(sorted(found))}" if found else "the pillar defines none"
        near = doors.did_you_mean(name, found)
        cure = "" if near else "; a new one must be named in the pillar's top file, too"
        raise doors.Refused(f"there is no environment {name!r}{near}; {there}{cure}")
    return found[name]


def definitions(opts: Mapping) -> dict[str, object]:
    """
    Return the environments' definitions by name, from the pillar of the virtual id alone.

    The master's configuration is read anew: the options of an orchestration carry a pillar that would be merged in.
    """
    master = salt.config.master_config(opts["conf_file"])
    virtual = pillar_id(master)
    _refuse_a_key_of(virtual, master)
    pillar = _compiled(virtual, master)
    if "environments" not in pillar:
        near = doors.nearest("environments", pillar)
        raise doors.Refused(
            f"the pillar of {virtual} has no environments{f' (but {near!r})' if near else ''}; "
            f"name their SLS under '{virtual}' in the pillar's top.sls, as pillar.example does"
        )
    found = pillar["environments"]
    if not isinstance(found, Mapping):
        raise Invalid([Mistake("environments", f"found {_shown(found)}", "write a mapping of names to environments")])
    return {str(name): definition for name, definition in found.items()}


def pillar_id(master: Mapping) -> str:
    """Return the id whose pillar holds the environments, from the master's configuration."""
    ours = master.get("os_orchestrator") or {}
    found = ours.get("pillar_id", PILLAR_ID) if isinstance(ours, Mapping) else None
    if not isinstance(found, str) or not found:
        raise doors.Refused(
            f"os_orchestrator in the master's configuration is {_shown(ours)}; "
            "it must be a mapping, with a text for pillar_id if that is given"
        )
    return found


def _refuse_a_key_of(virtual: str, master: Mapping) -> None:
    """Refuse to go on when a minion has asked for the virtual id: the master would give it the pillar."""
    for state, ids in salt.key.get_key(dict(master)).list_keys().items():
        if virtual in ids:
            raise doors.Refused(
                f"a minion has a key of the id {virtual} ({_KEY_STATES.get(state, state)}), which must belong to none, "
                f"since its pillar holds the environments; delete it with salt-key -d {virtual}"
            )


def _compiled(virtual: str, master: Mapping) -> dict:
    """Return the pillar of the virtual id, compiled alone; half a pillar is refused."""
    options = {**master, "pillar": {}, "pillar_opts": False, "pillar_safe_render_error": False}
    with _errors_of_salt() as logged:
        try:
            pillar = salt.pillar.Pillar(options, {"id": virtual}, virtual, "base").compile_pillar()
        except Exception as exc:
            what = f"{type(exc).__name__}: {exc}"
            raise doors.Refused(f"pillar of {virtual}: it cannot be compiled ({what}); look at its top.sls") from exc
    # Salt leaves out without an error what has an unknown renderer or an external pillar that is not there.
    errors = pillar.get("_errors") or logged
    if errors:
        raise doors.Refused("; ".join(f"pillar of {virtual}: {_render_error(error)}" for error in errors))
    return pillar


@contextmanager
def _errors_of_salt() -> Iterator[list[str]]:
    """Collect what Salt logs as an error while this thread compiles a pillar, in place of logging it: it is raised."""
    logged: list[str] = []
    here = threading.get_ident()

    def goes_on(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or record.thread != here:
            return True
        logged.append(record.getMessage())
        return False

    loggers = [logging.getLogger(name) for name in ("salt.pillar", "salt.template", "salt.utils.templates")]
    for logger in loggers:
        logger.addFilter(goes_on)
    try:
        yield logged
    finally:
        for logger in loggers:
            logger.removeFilter(goes_on)


def _render_error(error: object) -> str:
    """Return an error of Salt's pillar in one line, without the excerpt and the traceback."""
    text = re.split(r"\n---|\nTraceback ", str(error))[0]
    line = re.search(r"; line \d+$", str(error), re.M)
    return " ".join(text.split()) + (line[0] if line and line[0] not in text else "")
