"""What Puppet left behind in captured runs, as the rooms of a node see it."""

from pathlib import Path

from os_orchestrator.node import folder, request, supervisor

FILES = Path(__file__).resolve().parents[1] / "unit/node/captured"
ASKED = {"noop": None, "tags": None, "skip_tags": None, "puppet_environment": None, "may_fail": None, "mode": None}
ASKED |= {"timeout": 3600, "lock_timeout": 600, "show_diff": False, "manifest": None, "quiet_owner": None}


def asked(**arguments):
    """Return the request of a run; a captured one of ``puppet apply`` needs a manifest."""
    return request.build({}, "r1", ASKED | arguments)


def ended(exit_code=None, **known):
    return supervisor.end_record(exit_code=exit_code, **known)


def output(case):
    return (FILES / f"{case}.output.log").read_text()


def report(case):
    return folder.read_report(FILES / f"{case}.report.yaml")
