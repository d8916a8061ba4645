"""A prompt on the demo's machines, in which Salt's commands work as typed: ``make demo-shell``."""

import sys

import lab

WELCOME = """
Try: salt-run deployment.plan demo compute
     salt-run deployment.run demo compute
     salt '*' puppet_agent.status
The pillar is in $DEMO/pillar, the file root is $DEMO/srv; docs/first-deployment.md goes on from here.
The prompt's end (exit, or Ctrl-D) ends the machines too.
"""


def main():
    with lab.opened() as machines:
        print(WELCOME, flush=True)
        status = machines.shell()
    sys.exit(status)


if __name__ == "__main__":
    main()
