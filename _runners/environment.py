"""
The environments that the pillar defines: which there are, what each comes to, and what is wrong with it.

They are in the pillar of the id ``os-orchestrator``, which belongs to no minion; see ``docs/environment.md``.
"""

import textwrap
from pathlib import Path

from os_orchestrator import conversion, doors, environment, masks, transport

__func_alias__ = {"list_": "list"}


# -- plain data ----------------------------------------------------------------------------------------------------


def _shown(found):
    """Return an environment as plain data."""
    return {
        "environment": found.name,
        "digest": found.digest,
        "roles": {role.name: _role(role) for role in found.roles.values()},
        "excluded": dict(found.excluded),
        "puppet": dict(found.puppet),
        "phases": {sentence: dict(options) for sentence, options in found.phases.items()},
        "gates": {gate.name: _gate(gate) for gate in found.gates.values()},
    }


def _role(role):
    return {"nodes": list(role.nodes), "puppet": dict(role.options)}


def _gate(gate):
    numbers = {name: getattr(gate, name) for name in ("successes", "interval", "timeout")}
    return {"checks": [_check(check) for check in gate.checks], **numbers}


def _check(check):
    asked = {name: getattr(check, name) for name in ("function", "role", "key", "timeout")}
    return {**asked, **masks.masked({"args": check.args, "kwargs": dict(check.kwargs), "expect": check.expect})}


# -- text ----------------------------------------------------------------------------------------------------------


def _text(shown):
    """Return an environment as an operator reads it."""
    roles = {name: ", ".join(role["nodes"]) or "none here" for name, role in shown["roles"].items()}
    overrides = {
        f"puppet of {name}": _settings(role["puppet"]) for name, role in shown["roles"].items() if role["puppet"]
    }
    sections = {
        "roles": roles,
        "excluded": shown["excluded"],
        "puppet": {"all": _settings(shown["puppet"]), **overrides},
        "phases": {sentence: _settings(options) for sentence, options in shown["phases"].items()},
        "gates": {name: _gate_text(gate) for name, gate in shown["gates"].items()},
    }
    lines = [f"{shown['environment']}  ({shown['digest'][:12]})"]
    for title, entries in sections.items():
        lines += ["", title, *_columns(entries)] if entries else []
    return "\n".join(lines)


def _settings(options):
    """Return settings in a line, without those that say nothing."""
    said = {key: value for key, value in options.items() if value not in (None, [], {})}
    return ", ".join(f"{key} {_word(value)}" for key, value in said.items())


def _word(value):
    """Return a value as YAML has it, in a line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _gate_text(gate):
    if not gate["checks"]:
        return "no checks here"
    checks = "; ".join(_check_text(check) for check in gate["checks"])
    return f"{checks}: {gate['successes']} in a row, every {gate['interval']:g} s, within {gate['timeout']:g} s"


def _check_text(check):
    given = [*map(str, check["args"]), *(f"{key}={value}" for key, value in check["kwargs"].items())]
    part = f" {check['key']}" if check["key"] else ""
    expected = "" if check["expect"] is True else f" is {check['expect']}"
    return f"{' '.join([check['function'], *given])} on {check['role']}{part}{expected}"


def _columns(entries):
    """Return names and texts in two columns, the second wrapped."""
    width = min(24, max(map(len, entries)))
    return [line for name, text in entries.items() for line in _row(f"  {name:<{width}}  ", text, width + 4)]


def _row(head, text, indent):
    return textwrap.wrap(head + text, 100, subsequent_indent=" " * indent, break_on_hyphens=False) or [head.rstrip()]


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _valid(found):
    """Return the line of an environment without a mistake."""
    nodes = {node for role in found.roles.values() for node in role.nodes}
    parts = [_count(len(found.roles), "role"), _count(len(nodes), "node"), _count(len(found.gates), "gate")]
    excluded = f", {len(found.excluded)} excluded" if found.excluded else ""
    return f"{found.name} is valid: {', '.join(parts)}{excluded}"


# -- what is there -------------------------------------------------------------------------------------------------


def _build(name, definition):
    accepted = transport.accepted_keys(__opts__)
    return environment.build(name, definition, accepted, lambda target, kind: transport.match(__opts__, target, kind))


def _judged(name, definition):
    """Return an environment's entry in the answer of ``validate``, and its lines."""
    try:
        return {"valid": True, "mistakes": []}, [_valid(_build(name, definition))]
    except environment.Invalid as invalid:
        mistakes = [{"path": m.path, "found": m.found, "cure": m.cure} for m in invalid.mistakes]
        return {"valid": False, "mistakes": mistakes}, str(invalid).splitlines()


@doors.runner
def list_():
    """
    List the environments and their roles.

    Returns ``environments``: the names of the roles by environment. Nothing is
    checked, see ``environment.validate``.

    CLI Example:

    .. code-block:: bash

        salt-run environment.list
    """
    roles = {name: _roles(definition) for name, definition in sorted(environment.definitions(__opts__).items())}
    lines = _columns({name: ", ".join(names) for name, names in roles.items()}) if roles else ["none"]
    return doors.answer({"environments": roles, "text": textwrap.dedent("\n".join(lines))})


@doors.runner
def show(environment):
    """
    Show what an environment comes to: each role's nodes, who is left out, and
    every setting.

    environment
        The environment's name.

    Returns ``environment, digest, roles{nodes, puppet}, excluded, puppet,
    phases, gates``. Times are in seconds. Values that look secret are masked.

    CLI Example:

    .. code-block:: bash

        salt-run environment.show prod
    """
    shown = _shown(_load(environment))
    return doors.answer({**shown, "text": _text(shown)})


@doors.runner
def validate(environment=None):
    """
    Check environments, and name every mistake with its place and its cure.

    environment
        The environment's name. All of them by default.

    Returns ``environments``, by name: whether it is ``valid``, and its
    ``mistakes`` as ``{path, found, cure}``. Exits with 2 when one is not
    valid.

    CLI Example:

    .. code-block:: bash

        salt-run environment.validate
    """
    found = _definitions(environment)
    judged = {name: _judged(name, definition) for name, definition in sorted(found.items())}
    lines = [line for _, lines in judged.values() for line in lines] or ["the pillar defines no environment"]
    entries = {name: entry for name, (entry, _) in judged.items()}
    good = all(entry["valid"] for entry in entries.values())
    return doors.answer({"environments": entries, "text": "\n".join(lines)}, doors.OK if good else doors.ERROR)


@doors.runner
def convert(path, name="converted"):
    """
    Turn the node file of the MCollective orchestrator of 2012 (``name: {ip,
    role}``) into an environment's pillar.

    path
        The file, such as ``nodes.yaml``.

    name
        What the environment is to be called, for example ``prod``; the file
        has no name for it.

    Returns ``{environment, text}``. The text is an SLS for the pillar; its
    comments say what the file could not know.

    CLI Example:

    .. code-block:: bash

        salt-run environment.convert nodes.yaml prod > prod.sls
    """
    file = Path(str(path)).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise doors.Refused(f"{file} cannot be read: {why}; name the file with the nodes") from error
    converted = conversion.convert(text, file.name, str(name))
    return doors.answer({"environment": str(name), "text": converted.rstrip()})


def _roles(definition):
    """Return the names of the roles in a definition that may be wrong in every way."""
    roles = definition.get("roles") if isinstance(definition, dict) else None
    return [str(role) for role in roles] if isinstance(roles, dict) else []


def _load(name):
    return _build(str(name), environment.pick(environment.definitions(__opts__), str(name)))


def _definitions(name):
    """Return the definition of one environment by its name, or of all."""
    found = environment.definitions(__opts__)
    return found if name is None else {str(name): environment.pick(found, str(name))}
