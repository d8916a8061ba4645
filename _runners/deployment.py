"""
Deploy an environment, and see what was deployed.

A deployment is one execution of a scenario (``orch/*.sls``) on an environment (pillar): Puppet runs on many nodes,
in a strict order. It succeeds only when every node that was asked did. Progress goes to stderr, the result to
stdout, and the exit status is 0 only for success: 1 when a node, a gate or the operator ended it, 2 when it was not
begun.
"""

import contextlib
import logging
import re
import threading
from pathlib import Path

from os_orchestrator import (
    confirmation,
    doors,
    interrupts,
    journal,
    orchestration,
    page,
    plan,
    quieting,
    report,
    stopping,
    transport,
)
from os_orchestrator import graph as graphs
from os_orchestrator import resume as resuming
from os_orchestrator import watch as watching
from os_orchestrator.page import story


@doors.runner
def run(environment, scenario, noop=False, nodes=None, from_phase=None, role=None):
    """
    Deploy an environment by a scenario.

    environment
        An environment of the pillar, such as ``prod``.

    scenario
        ``compute`` is the SLS ``orch.compute``; a name with a dot is taken
        whole.

    noop
        Run every phase as ``puppet --noop``: nothing is changed.

    nodes
        Run only these nodes, of all the phases: a list, or separated by
        commas. The deployment is partial then. In a scenario about some
        nodes (``add_compute``, ``remove_compute``), those nodes.

    from_phase
        Begin with this phase, by its number or its sentence. The deployment is
        partial then.

    role
        The role that a scenario is about which leaves it to you, such as
        ``rolling`` and ``configure``.

    Returns the summary as ``deployment.show`` does.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.run prod compute
        salt-run deployment.run prod swift noop=True
        salt-run deployment.run prod compute nodes=cmp3,cmp4 from_phase=5
    """
    pillar = {"environment": _name(environment, "environment"), "noop": doors.boolean(noop, "noop")}
    pillar.update(_selection(nodes, from_phase, role))
    return _orchestrated(_name(scenario, "scenario"), pillar, "deployment.run")


@doors.runner
def resume(environment, force=False):
    """
    Go on where the last deployment of an environment failed or was
    interrupted.

    Nodes that are good already are not run again; a run whose outcome nobody
    has heard is asked for it, not repeated; gates are asked again.

    environment
        The environment whose last deployment is to be gone on with.

    force
        Go on although the scenario, the environment or its nodes have changed
        since; else that is refused, and the difference is told.

    Returns the summary of the new deployment as ``deployment.show`` does;
    ``resumes`` names the old one.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.resume prod
    """
    name, record = _name(environment, "environment"), journal.of(__opts__)
    newest = record.deployments(name, limit=1)
    old = resuming.refuse_unless_resumable(newest[0] if newest else None, name)
    selection = {key: value for key, value in old["arguments"].items() if key in plan.CHOSEN}
    forced = doors.boolean(force, "force")
    pillar = {"environment": name, "noop": old["noop"], **selection, "resume": old["id"], "force": forced}
    return _orchestrated(old["scenario"], pillar, "deployment.resume")


@doors.runner
def puppet(
    environment, role, noop=False, tags=None, skip_tags=None, nodes=None, may_fail=None, concurrency=None, timeout=None
):
    """
    Run Puppet once on every node of a role, outside any scenario, with the
    same claim, verdicts and journal.

    environment, role
        An environment of the pillar and one of its roles, or several separated
        by commas.

    noop
        Run ``puppet --noop``.

    tags, skip_tags
        Puppet's tags, as a list or separated by commas.

    nodes
        Only these nodes of the role.

    may_fail, concurrency, timeout
        As in a scenario's ``phase.puppet``; the environment's by default.

    Returns the summary as ``deployment.show`` does.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.puppet prod storage
        salt-run deployment.puppet prod compute noop=True tags=nova
    """
    options = {"tags": list(doors.strings(tags, "tags")), "skip_tags": list(doors.strings(skip_tags, "skip_tags"))}
    options.update(may_fail=list(doors.strings(may_fail, "may_fail")), concurrency=concurrency, timeout=timeout)
    given = {key: value for key, value in options.items() if value not in (None, [])}
    env = orchestration.load_environment(__opts__, _name(environment, "environment"))
    single = plan.single(env, role, given, noop=doors.boolean(noop, "noop"), nodes=doors.strings(nodes, "nodes"))
    deployment, token = __jid__, orchestration.door.set(_door("deployment.puppet"))
    try:
        orchestration.run_single(__opts__, deployment, single)
    finally:
        orchestration.door.reset(token)
    return _result(deployment, "")


@doors.runner
def plan_(environment, scenario, noop=False, nodes=None, from_phase=None, role=None, graph=None):
    """
    Show what a deployment would do: its phases, their nodes and options, what
    each gate asks, and who is missing. Nothing is started.

    environment, scenario, noop, nodes, from_phase, role
        As in ``deployment.run``.

    graph
        Write the phases as a graph instead: ``mermaid`` or ``dot``, which is
        Graphviz's language.

    Returns the phases with all that is shown of them (docs/json.md); exit
    status 1 when a node is missing. With ``graph``, ``{syntax, text}``.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.plan prod compute
        salt-run deployment.plan prod compute graph=dot | dot -Tsvg > plan.svg
    """
    write = graphs.writer(graph) if graph is not None else None
    pillar = {"environment": _name(environment, "environment"), "noop": noop, **_selection(nodes, from_phase, role)}
    chunks = plan.compile_scenario(__opts__, _name(scenario, "scenario"), pillar)
    the_plan = orchestration.load_plan(__opts__, pillar, chunks)
    absent = orchestration.absent(__opts__, the_plan)
    seconds = journal.of(__opts__).seconds(the_plan.environment.name, the_plan.scenario)
    shown = report.plan(the_plan, absent, seconds)
    return doors.answer({"syntax": graph, "text": write(shown)} if write else shown, 1 if absent else 0)


@doors.runner
def status(environment=None):
    """
    Show what is being deployed now: which phase, on which nodes, since when,
    and what each of the others waits for; else how the last deployment ended.

    environment
        Only this one; all that have been deployed by default.

    Returns ``deployments``, the newest of each environment, as
    ``deployment.show`` has it; one that runs with ``stands``, where it is in
    one sentence, and ``waits_for`` at each of its nodes.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.status
        salt-run deployment.status prod
    """
    record = journal.of(__opts__)
    latest = {}
    for head in record.deployments(environment, limit=record.keep):
        latest.setdefault(head["environment"], head["id"])
    if environment is not None and not latest:
        raise doors.Refused(
            f"environment {environment} has never been deployed; salt-run environment.list shows those that exist"
        )
    return doors.answer(report.status([record.deployment(one) for one in latest.values()]))


@doors.runner
def watch(environment):
    """
    Show a deployment that was started elsewhere, by another terminal, the API
    or a reactor: all that it has done so far, then each step as it happens,
    until it ends.

    environment
        The environment that is being deployed.

    Returns the summary as ``deployment.run`` does, with the same exit status.
    Ctrl-C leaves the deployment alone and exits with 0; the summary is of what
    has happened so far then, and ``detached`` is True.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.watch prod
    """
    name, record = _name(environment, "environment"), journal.of(__opts__)
    deployment = watching.running(record, name)
    try:
        with interrupts.remembered(), transport.Bus(__opts__) as bus, orchestration.shown_to(__opts__) as shown:
            watching.follow(record, name, deployment, bus, shown)
    except (KeyboardInterrupt, SystemExit):
        text = f"deployment {deployment} goes on; salt-run deployment.watch {name} shows it again"
        return doors.answer({**report.summary(record.deployment(deployment)), "detached": True, "text": text})
    return _result(deployment, "")


@doors.runner
def stop(environment, force=False, wait=60):
    """
    Stop the deployment of an environment: nothing more is started, what runs
    is left to end. Works for a deployment that was started elsewhere on this
    master. ``deployment.resume`` goes on from there.

    environment
        The environment that is being deployed.

    force
        Also end the runs on the nodes, with all that they have started; their
        verdict is ``killed``. Those that a deployment has left behind whose
        process has died, or was interrupted, are ended as well, and agents
        that it has left quiet run again. False by default.

    wait
        Seconds to wait for its end; a minute by default. It is stopped all the
        same if that is too short.

    Returns ``state`` and ``reason`` of the deployment, ``running``, the
    nodes whose end was waited for in vain; the exit status is 1 then; and
    ``quiet``, the agents that are still quiet, with the reasons. Exits with 2
    when there is nothing to stop.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.stop prod
        salt-run deployment.stop prod force=True
    """
    name, record = _name(environment, "environment"), journal.of(__opts__)
    forced, patience = doors.boolean(force, "force"), doors.number(wait, "wait", minimum=0)
    deployment, user = stopping.target(record, name, forced), _door("deployment.stop").user
    record.ask_to_stop(deployment, user, forced)
    with transport.Bus(__opts__) as bus:
        found = stopping.await_end(record, deployment, bus, patience, forced)
        orphans = stopping.end_orphans(record, found, bus, patience, user) if forced else {}
        quiet = quieting.restore_left(found, bus) if orphans and all(orphans.values()) else {}
    answer = report.stopped(record.deployment(deployment), user, forced, orphans, quiet)
    return doors.answer(answer, 1 if answer["state"] == "running" or answer["running"] else 0)


@doors.runner
def confirm(deployment, reason=""):
    """
    Let a deployment go on that waits for an operator to look
    (``phase.confirm``).

    deployment
        Its id, or the environment that is being deployed.

    reason
        What you have seen, in a line; it is kept with your name.

    Returns ``{environment, deployment, phase, answer, user, reason}``. Exits
    with 2 when it does not wait for anybody.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.confirm prod
        salt-run deployment.confirm 20261123004000123456 'canary looks well'
    """
    return _decided(deployment, "confirm", reason)


@doors.runner
def deny(deployment, reason=""):
    """
    Let a deployment fail that waits for an operator to look
    (``phase.confirm``).

    deployment, reason
        As in ``deployment.confirm``.

    Returns what ``deployment.confirm`` does.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.deny prod 'nova-compute logs errors on cmp1'
    """
    return _decided(deployment, "deny", reason)


@doors.runner
def unlock(environment):
    """
    Take the claim of a deployment whose process has died off its environment.
    Seldom needed: the next deployment does so by itself. Refused while that
    process is alive.

    environment
        The environment.

    Agents that the deployment kept quiet run again, as they were found.

    Returns ``{environment, deployment, user, pid, since, quiet}``: whose claim
    it was, and which agents are still quiet, with the reasons. Exits with 2
    when there is none, or when its process is alive.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.unlock prod
    """
    name, record = _name(environment, "environment"), journal.of(__opts__)
    claim = record.unlock(name, _door("deployment.unlock").user)
    dead, quiet = record.head(claim.deployment), {}
    if dead and dead["arguments"].get("quiet"):
        with transport.Bus(__opts__) as bus:
            quiet = quieting.restore_left(dead, bus)
    return doors.answer(report.unlocked(claim, quiet))


@doors.runner
def history(environment=None, limit=20):
    """
    List the last deployments, newest first.

    environment
        Only of this one.

    limit
        How many; 20 by default.

    Returns ``deployments``; as data, times are in seconds since the epoch.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.history prod limit=5
    """
    count = doors.number(limit, "limit", minimum=1, maximum=10000, whole=True)
    return doors.answer(report.history(journal.of(__opts__).deployments(environment, count)))


@doors.runner
def show(deployment, environment=None):
    """
    Show what a deployment did: its phases, and each node's verdict with what
    changed and what failed.

    deployment
        Its id, as ``deployment.history`` lists it; ``last`` is the newest.

    environment
        The newest of this one, with ``last``; of all by default.

    Returns ``state``, ``reason``, ``phases`` and, in each, ``nodes`` with
    their verdicts; docs/json.md has every field.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.show last
        salt-run deployment.show last prod
        salt-run deployment.show 20261123004000123456
    """
    record = journal.of(__opts__)
    wanted = _wanted(record, deployment, environment)
    return doors.answer(report.summary(_known(record.deployment(wanted), wanted)))


@doors.runner
def report_(deployment, environment=None, path=None):
    """
    Write a deployment as one HTML page that needs no network: what went wrong,
    a timeline of phases and nodes, the plan, the slowest resources, and how
    long it took against the last time; of one that was resumed, both parts.

    deployment
        Its id, as ``deployment.history`` lists it; ``last`` is the newest.

    environment
        The newest of this one, with ``last``; of all by default.

    path
        The file to write, or a directory for it; a report that is there
        already is written anew, no other file is. By default
        ``<environment>-<scenario>-<deployment>.html`` in the current
        directory; in ``reports`` beside the journal when it was not
        ``salt-run`` that called.

    Returns ``{deployment, path}``. Only the owner can read the file.

    CLI Example:

    .. code-block:: bash

        salt-run deployment.report last
        salt-run deployment.report last prod path=/srv/reports
        salt-run deployment.report 20261123004000123456 path=compute.html
    """
    record = journal.of(__opts__)
    wanted = _wanted(record, deployment, environment)
    told = _known(story.read(record, wanted), wanted)
    place = _place(path, record, told)
    page.write(place, page.render(told))
    return doors.answer({"deployment": told["id"], "path": str(place), "text": str(place)})


__func_alias__ = {"plan_": "plan", "report_": "report"}


def _name(value, what):
    """Return an argument that names something: Salt reads 2026 on the command line as a number."""
    if not isinstance(value, (str, int)) or isinstance(value, bool) or not str(value):
        raise doors.Refused(f"{what} must be a name, not {value!r}")
    return str(value)


def _decided(deployment, what, reason):
    """Record an operator's answer to the phase that waits for one."""
    record, given, user = journal.of(__opts__), _name(deployment, "deployment"), _door(f"deployment.{what}").user
    if not isinstance(reason, str) or not reason.isprintable() or len(reason) > 500:
        raise doors.Refused(f"reason must be a line of at most 500 characters, not {reason!r}")
    found = record.deployment(given) or record.deployment(watching.running(record, given))
    phase = confirmation.decide(record, found, what, user, reason)
    return doors.answer(report.decided(found, phase, what, user, reason))


def _wanted(record, deployment, environment):
    """Return the id of the deployment that is asked for."""
    if str(deployment) != "last":
        if environment is not None:
            raise doors.Refused(f"deployment {deployment} needs no environment; that goes with last, for its newest")
        return str(deployment)
    newest = record.deployments(environment and _name(environment, "environment"), limit=1)
    if not newest:
        raise doors.Refused(f"{environment or 'nothing'} has never been deployed; begin with deployment.run")
    return newest[0]["id"]


def _known(found, deployment):
    if found is None:
        raise doors.Refused(
            f"there is no deployment {deployment} in the journal; salt-run deployment.history lists them"
        )
    return found


def _place(path, record, told):
    """Return where the page of a deployment is to be written."""
    name = re.sub(r"[^\w.,-]", "_", f"{told['environment']}-{told['scenario']}-{told['id']}.html")
    if path is not None:
        given = Path(_name(path, "path")).expanduser().absolute()
        return given / name if given.is_dir() else given
    if __opts__.get("__cli") == "salt-run":
        return Path.cwd() / name
    reports = record.path.absolute().parent / "reports"
    reports.mkdir(mode=0o700, exist_ok=True)
    return reports / name


def _selection(nodes, from_phase, role):
    roles = doors.strings(role, "role")
    chosen = {"nodes": list(doors.strings(nodes, "nodes")), "from_phase": from_phase}
    chosen["role"] = roles[0] if len(roles) == 1 else list(roles)
    return {key: value for key, value in chosen.items() if value not in (None, [], "")}


def _orchestrated(scenario, pillar, name):
    """Run a scenario as an orchestration, under a door of that name, and return its summary."""
    token, deployment = orchestration.door.set(_door(name)), __jid__
    try:
        with _told_once():
            returned = __salt__["state.orchestrate"](plan.sls_of(scenario), pillar=pillar, orchestration_jid=deployment)
    except (KeyboardInterrupt, SystemExit):
        # Between two phases, or before the first; a phase says it itself.
        sentence = f"interrupted; salt-run deployment.status {pillar['environment']} says how far it came"
        return doors.answer({"error": sentence}, 1)
    finally:
        orchestration.door.reset(token)
    return _result(deployment, _said(returned, scenario))


@contextlib.contextmanager
def _told_once():
    """Keep Salt from logging what a failed phase comes to: the summary says it, and the journal keeps it."""
    here, log = threading.get_ident(), logging.getLogger("salt.state")

    def is_news(record):
        return record.funcName != "format_log" or record.thread != here

    log.addFilter(is_news)
    try:
        yield
    finally:
        log.removeFilter(is_news)


def _door(name):
    return orchestration.Door(str(globals().get("__user__") or journal.user()), name)


def _said(returned, scenario):
    """Return why an orchestration has failed, in its own words; nothing when all of its states succeeded."""
    states = next(iter(returned["data"].values())) if isinstance(returned, dict) and returned.get("data") else returned
    if not isinstance(states, dict):
        return plan.unrenderable(scenario, states if isinstance(states, list) else [states], __opts__)
    failed = [
        state
        for state in sorted(states.values(), key=lambda state: state.get("__run_num__", 0))
        if state.get("result") is False
    ]
    return str(failed[0].get("comment") or "a state of the scenario failed") if failed else ""


def _result(deployment, said):
    """
    Return the summary of a deployment with the exit status that it deserves.

    Salt puts the answer on its bus, and Salt 3006 fails at that when the master was restarted meanwhile: its end of the
    socket is closed here, so that it opens another.

    The journal and the orchestration must both say that it succeeded; a deployment that the journal does not know
    was never begun.
    """
    with contextlib.suppress(Exception):
        __jid_event__.event.close_pull()
    try:
        found = journal.of(__opts__).deployment(deployment)
    except doors.Refused as error:
        if not orchestration.begun(deployment):
            raise
        sentence = f"{error}; the runs on the nodes go on, and deployment.resume takes them up once that is mended"
        return doors.answer({"error": sentence}, 1)
    if found is None:
        raise doors.Refused(said or "the scenario has begun no deployment; does it have a phase?")
    summary = report.summary(found)
    if summary["state"] == "succeeded" and said:
        summary.update(state="failed", reason=said)
    return doors.answer(summary, 0 if summary["state"] == "succeeded" else 1)
