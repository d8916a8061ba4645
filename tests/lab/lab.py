"""The lab by hand: ``up [NODE …]``, ``shell NODE``, ``down``, ``clean``, and ``check``: can this machine have it?"""

import fcntl
import os
import sys
from contextlib import contextmanager, nullcontext

from machines import house, nodes
from machines.machine import HOME, Trouble, unfit


def up(*later):
    house.House().up(*later)
    print("The lab is up. A prompt on its master: make lab-shell NODE=salt")


def shell(name):
    """Give a prompt on a node."""
    if name not in nodes.made():
        raise Trouble(f"the lab has no node {name!r}, but {', '.join(nodes.made()) or 'none: make lab brings them up'}")
    command = nodes.entering(name, "bash")
    os.execvp(command[0], command)


@contextmanager
def _alone():
    """Let nobody else build or remove the lab meanwhile."""
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


COMMANDS = {"up": up, "shell": shell, "down": house.down, "clean": house.clean, "check": lambda: None}


def main(command, *words):
    sentence = unfit()
    if sentence:
        sys.exit(f"No lab here: {sentence}.")
    try:
        with nullcontext() if command == "shell" else _alone():
            COMMANDS[command](*words)
    except Trouble as trouble:
        sys.exit(f"The lab has failed: {trouble}")


if __name__ == "__main__":
    main(*sys.argv[1:])
