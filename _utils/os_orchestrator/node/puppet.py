"""What Puppet itself tells of its settings."""

import salt.exceptions

from os_orchestrator.node import report, request, supervisor


def ask(settings, *words):
    """Run a short Puppet command and return its output."""
    program = request.find_puppet(settings)
    if program is None:
        raise salt.exceptions.CommandExecutionError(
            "Puppet is not on this node: install it, or set puppet_agent:puppet"
        )
    code, said = supervisor.call([program, *words], env=supervisor.environment())
    if code != 0:
        raise salt.exceptions.CommandExecutionError(f"puppet {words[0]} failed: {report.complaints(said)}")
    return said


def printed(settings, *names):
    """Return the agent's settings of these names, as ``puppet config print`` has them."""
    said = ask(settings, "config", "print", "--section", "agent", *request.places(settings), *names)
    return {name: value for name, _, value in (line.partition(" = ") for line in said.splitlines())}
