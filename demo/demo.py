"""Deploy both scenarios on a Salt master and nine minions on loopback, twice, with real Puppet: ``make demo``."""

import shlex
import sys
import time

import lab

COMMANDS = (
    "salt-run environment.validate demo",
    "salt-run deployment.plan demo compute",
    "salt-run deployment.run demo compute",
    "salt-run deployment.plan demo swift",
    "salt-run deployment.run demo swift",
    "# Once more, the second one as an orchestration: machines that are as they should be stay unchanged.",
    "salt-run deployment.run demo compute",
    'salt-run state.orch orch.swift pillar=\'{"environment": "demo"}\'',
    "salt-run deployment.history",
)


def show(machines, line):
    """Show a command as its user would type it, run it, and return whether it succeeded; a comment is only shown."""
    comment = line.startswith("#")
    print(f"\n{line}" if comment else f"\n$ {line}", flush=True)
    return comment or machines.run(*shlex.split(line)) == 0


def main():
    begun = time.monotonic()
    with lab.opened() as machines:
        failed = [line for line in COMMANDS if not show(machines, line)]
    print(f"\nThe demo took {time.monotonic() - begun:.0f} seconds.", flush=True)
    if failed:
        sys.exit(f"These commands failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
