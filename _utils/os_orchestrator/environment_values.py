"""An environment as one typed value, and what it is made of."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from os_orchestrator import environment_schema

#: What stands for a field of an earlier answer in the arguments of a check.
ANSWER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)\}")


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
