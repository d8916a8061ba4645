"""
Run Puppet on this node and tell what really happened.

Each run has an id and is made once: a second call with the same id joins the run or reports it. Puppet is started apart
from the minion, under a small supervisor of its own, so it outlives the job, the minion and the connection to the
master; the supervisor keeps its exit code and ends it, with every process that it started, at the timeout.

A run is judged by its exit status *and* by its own report file. Neither is enough alone: Puppet exits 0 when it was
told to stop, 1 without a report when it was disabled, and 0 with a cached catalog when its server is gone.

A node's own settings are optional; they come from the minion's configuration, grains or pillar:

.. code-block:: yaml

    puppet_agent:
      puppet: /opt/puppetlabs/bin/puppet     # found in PATH and /opt/puppetlabs/bin unless given
      confdir: /etc/puppetlabs/puppet        # as Puppet has it unless given
      vardir: /opt/puppetlabs/puppet/cache   # as Puppet has it unless given
      mode: apply                            # agent unless given
      manifest: /etc/site.pp                 # what mode apply applies
      modulepath: /etc/modules               # for mode apply; as Puppet has it unless given

What became of a run lies in ``<cachedir>/puppet_agent/runs/<run id>``, for the last 50 runs.
"""

import datetime
import signal
import sys
from pathlib import Path

import salt.exceptions
from os_orchestrator.node import folder, outcome, puppet, request, silence, supervisor


def __virtual__():
    return sys.platform == "linux" or (False, "puppet_agent supervises its runs by means that only Linux has")


# Runs


def _root():
    return Path(__opts__["cachedir"], "puppet_agent")


def _place(run_id):
    return _root() / "runs" / request.matching("run_id", run_id, request.RUN_ID)


def _known(run_id):
    place = _place(run_id)
    if not supervisor.is_started(place):
        kept = folder.KEPT_RUNS
        raise salt.exceptions.CommandExecutionError(
            f"this node knows no run {run_id}: it keeps the last {kept}; puppet_agent.status names those going on"
        )
    return place


def _begin(place, asked, settings):
    """Start a run that has not been started; what kept it from starting is recorded as its end."""
    program = request.find_puppet(settings)
    asked["command"] = request.command(program or "puppet", settings, asked, place / "report.yaml")
    asked["state_dirs"] = request.state_dirs(settings) if asked["mode"] == "apply" else []
    asked["quiet_lock"] = silence.lock_of(_root())
    supervisor.write(place / "request.json", asked)
    missing = f"{settings.get('puppet', 'puppet')} is not on this node: install Puppet"
    error = folder.launch(place) if program else missing
    if error and not folder.goes_on(place):
        with supervisor.locked(place / "lock"):
            if not supervisor.is_started(place):
                supervisor.write(place / "exit.json", supervisor.end_record(error=error))


def _same_run(place, asked):
    """Refuse to take the outcome of one run for that of another."""
    first = supervisor.read(place / "request.json") or asked
    other = [f"{name}={first.get(name)!r}" for name in request.IDENTITY if first.get(name) != asked[name]]
    if other:
        raise salt.exceptions.CommandExecutionError(
            f"the run {asked['run_id']} was started with {', '.join(other)}: give another run_id to start another run"
        )


def _conclude(found):
    """Let Salt say that the job failed unless the run was good."""
    if found["verdict"] not in outcome.GOOD:
        __context__["retcode"] = 1
    return found


def _going(place):
    """Return the state of a run in short."""
    found, state = folder.report_on(place), supervisor.read(place / "state.json") or {}
    goes_on = found["verdict"] is None
    return {
        "run_id": found["run_id"],
        "phase": state.get("phase", "waiting") if goes_on else "over",
        "since": state.get("since") if goes_on else found["finished"],
        "waiting_for_lock": state.get("waiting_for") if goes_on else None,
        "verdict": found["verdict"],
        "reason": found["reason"],
    }


# Asking Puppet


def _settings():
    return request.node_settings(__salt__["config.get"]("puppet_agent", {}))


def _puppets_files(settings):
    """Return where Puppet keeps its locks and its last report."""
    names = ("agent_disabled_lockfile", "agent_catalog_run_lockfile", "lastrunreport")
    return {name: Path(value) for name, value in puppet.printed(settings, *names).items()}


def _switch(option, *message, enabled):
    """Enable or disable the agent as Puppet does it, and look whether it happened."""
    settings = _settings()
    lock = _puppets_files(settings)["agent_disabled_lockfile"]
    before, was_quiet = lock.exists(), bool(supervisor.quiet_owners(lock))
    if message:
        _noting(silence.give_way, lock, *message)
    puppet.ask(settings, "agent", option, *message, *request.places(settings))
    if lock.exists() is enabled:
        wanted = "enabled" if enabled else "disabled"
        raise salt.exceptions.CommandExecutionError(
            f"Puppet says that it {wanted} the agent, but {lock} says otherwise"
        )
    why = None if enabled else (supervisor.read(lock) or {}).get("disabled_message", "")
    return {"enabled": enabled, "disabled_message": why, "changed": was_quiet or before is enabled}


def _noting(act, *words):
    """Change who keeps the agent quiet, and tell what kept that from being written down."""
    try:
        _root().mkdir(mode=0o700, exist_ok=True)
        return act(_root(), *words)
    except OSError as error:
        raise salt.exceptions.CommandExecutionError(
            f"who keeps the agent quiet cannot be written down: {error.filename or _root()}: {error.strerror}"
        ) from None


def _quietness(lock, changed, reason):
    """Return how quiet the agent is now, and what came of asking for another state."""
    owners, enabled = supervisor.quiet_owners(lock), not lock.exists()
    return {
        "quiet": bool(owners),
        "owners": list(owners),
        "enabled": enabled,
        "disabled_message": None if enabled else (supervisor.read(lock) or {}).get("disabled_message", ""),
        "changed": changed,
        "reason": reason,
    }


def _last_outcome(settings, files):
    """Return the outcome of the last run that is over: ours, or else Puppet's own by its last report; or None."""
    runs = folder.runs(_root())
    ours = next((each for each in runs if supervisor.is_started(each) and not folder.goes_on(each)), None)
    if ours:
        return folder.report_on(ours)
    digest, problem = folder.read_report(files["lastrunreport"])
    if problem:
        return None
    asked = {"mode": settings.get("mode", "agent"), "puppet_environment": None, "noop": None, "may_fail": []}
    written = datetime.datetime.fromtimestamp(files["lastrunreport"].stat().st_mtime, datetime.timezone.utc)
    ended = {"finished": written.strftime(supervisor.TIME)}
    verdict, reason = outcome.judge_report(asked, None, digest)
    return outcome.build(asked, None, ended, digest, "", verdict, reason)


# What one does with a node


def run(
    run_id=None,
    noop=None,
    tags=None,
    skip_tags=None,
    puppet_environment=None,
    timeout=3600,
    lock_timeout=600,
    may_fail=None,
    show_diff=False,
    mode=None,
    manifest=None,
    quiet_owner=None,
):
    """
    Run Puppet once, wait for its end and return what became of it.

    run_id
        The name of the run. With the name of a run that is going on, that run is joined; with the name of one that is
        over, its outcome is returned. No second Puppet is ever started for a name. Made up unless given.

    noop
        Change nothing, report what would change: the verdict is then ``changed`` if anything would. As the node's
        ``puppet.conf`` says unless given.

    tags, skip_tags
        Run, or leave out, the resources with these tags: a list, or text with commas. All of them by default.

    puppet_environment
        The environment to run, and no other: a server that does not have it, or gives another, makes the run fail
        before anything is changed. As the node and its server have it unless given.

    timeout
        Seconds from Puppet's start after which it is ended, with everything that it started. An hour by default.

    lock_timeout
        Seconds to wait while another run is going on. Ten minutes by default; 0 to not wait.

    may_fail
        Resources that may fail without making the run fail: one, or a list, like ``Service[swift-*]``. Only ``*`` is
        special. None by default.

    show_diff
        Let Puppet write the differences of files to the run's ``output.log``. Off by default: they carry secrets.

    mode
        ``agent`` or ``apply``. As the node's settings say unless given, and else ``agent``.

    manifest
        The file or folder that ``apply`` applies. As the node's settings say unless given.

    quiet_owner
        For whom ``quiet`` keeps the node's own agent from running: this run goes all the same. Nobody by default.

    Returns a dictionary with ``run_id``, ``verdict`` (``unchanged``, ``changed``, ``tolerated``; ``failed``,
    ``no_catalog``, ``disabled``, ``busy``, ``timed_out``, ``killed``, ``not_started``; None if it still goes on),
    ``reason``, ``exit_code``, ``noop``, ``mode``, ``environment``, ``started``, ``finished``, ``seconds``,
    ``resources``, ``failures``, ``changes``, ``slowest``, ``config_version``, ``transaction_uuid``,
    ``puppet_version`` and ``log_tail``. Any verdict but the first three fails the job.

    Raises an error if the name is that of a run with other arguments.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.run
        salt ctl1 puppet_agent.run noop=True tags=nova,keystone
        salt st1 puppet_agent.run may_fail='Service[swift-*]'
    """
    asked = dict(locals())
    found = start(**asked)
    if found["verdict"] is not None:
        return found
    return wait(found["run_id"], min(request.LONGEST, timeout + lock_timeout + supervisor.ENDING))


def start(
    run_id=None,
    noop=None,
    tags=None,
    skip_tags=None,
    puppet_environment=None,
    timeout=3600,
    lock_timeout=600,
    may_fail=None,
    show_diff=False,
    mode=None,
    manifest=None,
    quiet_owner=None,
):
    """
    Start a run of Puppet and return at once; the arguments are those of ``run``.

    Returns what ``run`` returns, with the verdict None while the run goes on.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.start run_id=20261122-primary-1
    """
    arguments = dict(locals())
    settings = _settings()
    asked = request.build(settings, run_id or request.new_run_id(), arguments)
    place = _place(asked["run_id"])
    try:
        for each in (_root(), place.parent, place):
            each.mkdir(mode=0o700, exist_ok=True)
        with supervisor.locked(place / "start.lock"):
            if not supervisor.is_started(place):
                _begin(place, asked, settings)
        folder.forget_old_runs(_root())
    except OSError as error:
        reason = f"{place} cannot be written: {error.strerror}"
        return _conclude(outcome.build(asked, None, verdict="not_started", reason=reason))
    _same_run(place, asked)
    found = folder.report_on(place)
    return found if found["verdict"] is None else _conclude(found)


def wait(run_id=None, timeout=3600):
    """
    Wait for a run to end and return its outcome.

    run_id
        The run, as ``start`` returned it.

    timeout
        Seconds to wait before giving up; the run itself goes on. An hour by default.

    Returns what ``run`` returns. Raises an error if this node knows no such run.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.wait 20261122-primary-1 timeout=600
    """
    timeout = request.seconds("timeout", timeout, 0)
    place = _known(run_id)
    folder.await_end(place, timeout)
    return _conclude(folder.report_on(place))


def stop(run_id=None):
    """
    End a run with everything that it started, and return its outcome.

    run_id
        The run, as ``start`` returned it. A run that is over is left as it is.

    Raises an error if this node knows no such run, or if it did not end.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.stop 20261122-primary-1
    """
    place = _known(run_id)
    if folder.goes_on(place):
        supervisor.send(signal.SIGTERM, [supervisor.read(place / "state.json")["pid"]])
        folder.await_end(place, supervisor.ENDING)
    found = folder.report_on(place)
    if found["verdict"] is None:
        raise salt.exceptions.CommandExecutionError(f"the run {run_id} was told to stop and goes on: look at the node")
    return found


def status(run_id=None):
    """
    Return how Puppet is on this node, or the state of one run.

    run_id
        The run to tell of. The node by default.

    Returns, for the node, a dictionary with ``puppet`` (the executable, or None), ``puppet_version``, ``enabled``,
    ``disabled_message``, ``quiet`` (those who keep the agent quiet: ``owner``, ``message``, ``since``), ``applying`` (a
    run is going on), ``lock`` (who holds Puppet's lock: ``pid`` and ``command``), ``runs`` (those started here that are
    going on) and ``last_run``. For a run, one with ``run_id``, ``phase`` (``waiting``, ``running``, ``over``),
    ``since``, ``waiting_for_lock``, ``verdict`` and ``reason``.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.status
    """
    if run_id is not None:
        return _going(_known(run_id))
    settings = _settings()
    going = [_going(each) for each in folder.runs(_root()) if folder.goes_on(each)]
    found = {"puppet": request.find_puppet(settings), "puppet_version": None, "enabled": None, "disabled_message": None}
    found |= {"quiet": [], "applying": bool(going), "lock": None, "runs": going, "last_run": None}
    if found["puppet"] is None:
        return found
    files = _puppets_files(settings)
    disabled, lock = files["agent_disabled_lockfile"], supervisor.lock_holder(files["agent_catalog_run_lockfile"])
    last = _last_outcome(settings, files)
    return {
        **found,
        "puppet_version": puppet.ask(settings, "--version").split()[-1],
        "enabled": not disabled.exists(),
        "disabled_message": (supervisor.read(disabled) or {}).get("disabled_message"),
        "quiet": [{"owner": owner, **each} for owner, each in supervisor.quiet_owners(disabled).items()],
        "applying": lock is not None or any(each["phase"] == "running" for each in going),
        "lock": lock and {"pid": lock["pid"], "command": lock["command"]},
        "last_run": last and {name: last[name] for name in ("run_id", "verdict", "reason", "finished", "resources")},
    }


def last_run(run_id=None):
    """
    Return the outcome of a run.

    run_id
        The run. By default the last one that was started here and is over, or, if there is none, Puppet's own last
        run as far as its report tells (``run_id`` and ``exit_code`` are then None).

    Raises an error if there is no such run.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.last_run
    """
    if run_id is not None:
        return folder.report_on(_known(run_id))
    settings = _settings()
    found = _last_outcome(settings, _puppets_files(settings))
    if found is None:
        raise salt.exceptions.CommandExecutionError("Puppet has not run on this node: puppet_agent.run runs it")
    return found


def enable():
    """
    Let the agent run again.

    Returns ``enabled``, ``disabled_message`` and ``changed`` (False if it was enabled already). Raises an error if it
    is still disabled.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.enable
    """
    return _switch("--enable", enabled=True)


def disable(message=None):
    """
    Keep the agent from running, and any run of this module as well.

    message
        Why, in one line; whoever is turned away is shown it.

    Returns ``enabled``, ``disabled_message`` and ``changed``: an agent that was disabled already keeps its first
    message. Raises an error if it is still enabled.

    CLI Example:

    .. code-block:: bash

        salt ctl1 puppet_agent.disable 'new disks, until Friday'
    """
    return _switch("--disable", request.message(message), enabled=False)


def quiet(owner, message):
    """
    Keep the node's own agent from running for the time of a deployment, while runs with ``quiet_owner`` go.

    The agent is disabled as ``puppet agent --disable`` does it, so a catalog that starts its service does not matter.
    Several owners can keep it quiet at once; the last one to leave enables it. What a person decides stays: an agent
    that is disabled already is left alone, and so is one that was enabled since the owner asked with this message.

    owner
        Who wants it, such as the environment that is deployed. Asking again with the same message changes nothing.

    message
        Who and why, in one line; whoever is turned away is shown it.

    Returns ``quiet``, ``owners``, ``enabled``, ``disabled_message``, ``changed`` and ``reason``: why it is not quiet,
    where a person has decided otherwise. Raises an error if Puppet is missing or the lock cannot be written.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' puppet_agent.quiet prod 'prod compute, deployment 20261123024631019888, by root'
    """
    words = request.matching("owner", owner, request.OWNER), request.message(message)
    lock = _puppets_files(_settings())["agent_disabled_lockfile"]
    return _quietness(lock, *_noting(silence.begin, lock, *words))


def unquiet(owner):
    """
    Let the node's own agent run again when nobody else keeps it quiet, and leave it as a person has put it since.

    owner
        Who wanted it quiet. One who did not changes nothing, and is told so in ``reason``.

    Returns what ``quiet`` returns. Raises an error if the lock cannot be written.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' puppet_agent.unquiet prod
    """
    request.matching("owner", owner, request.OWNER)
    lock = silence.lock_of(_root()) or _puppets_files(_settings())["agent_disabled_lockfile"]
    return _quietness(Path(lock), *_noting(silence.end, Path(lock), owner))
