"""
The words of a scenario: one Puppet pass over a role, or a gate.

.. code-block:: yaml

    Storage nodes export their devices:
      phase.puppet:
        - role: storage
        - may_fail: ['Service[swift-*]']

    The ring builder builds the rings:
      phase.puppet:
        - role: ring_builder
        - require:
          - phase: Storage nodes export their devices

A scenario runs on the environment that the orchestration's pillar names (``pillar='{"environment": "prod"}'``, or
``salt-run deployment.run prod SCENARIO``). The first phase checks all of it before any node is touched. With
``test=True`` each phase says which nodes it would run.
"""

from os_orchestrator import doors, orchestration


@doors.state
def puppet(
    name,
    role,
    may_fail=None,
    max_failures=None,
    concurrency=None,
    timeout=None,
    lock_timeout=None,
    tags=None,
    skip_tags=None,
    noop=None,
    retries=None,
):
    """
    Run Puppet once on every node of a role; succeeds when every one of them ends with a good verdict.

    Whatever is not given here is the environment's: its ``puppet`` section; what is given, its role or sentence may
    override.

    name
        The phase's sentence.

    role
        A role of the environment, or a list of them. A phase whose role is empty is left out.

    may_fail
        Resources whose failure is tolerated, such as ``Service[swift-*]``: a list, only ``*`` is special. Nothing
        by default.

    max_failures
        How many nodes may end badly before no further node is started: a count, or a percentage such as ``10%``. 0
        by default. The phase fails in any case when one node has.

    concurrency
        How many nodes run at once; 50 by default.

    timeout, lock_timeout
        Seconds for one Puppet run (3600 by default), and for the wait until another run on the node has ended (600
        by default).

    tags, skip_tags
        Puppet's tags, as lists.

    noop
        Run ``puppet --noop``.

    retries
        How often a node is tried again, by verdict: ``{no_catalog: 1}``. Never by default.
    """
    return _run(name)


@doors.state
def gate(name, gate=None, checks=None, successes=None, interval=None, timeout=None, optional=False):
    """
    Wait until a gate opens: until its checks held in so many rounds in a row.

    name
        The phase's sentence.

    gate
        A gate of the environment.

    checks
        The checks themselves, in place of a gate's name: a list of ``{function, role, args, kwargs, expect, key,
        timeout}``.

    successes, interval, timeout
        Good rounds in a row, seconds from one round to the next, seconds until it has failed; the gate's own by
        default.

    optional
        Whether the phase is left out in an environment that has no such gate; else that is a mistake.
    """
    return _run(name)


def _run(name):
    """
    Return the state's result of this phase; its arguments are read from the scenario, where they have been checked
    as a whole.
    """
    order = orchestration.Order(
        opts=__opts__,
        deployment=str(__orchestration_jid__),
        pillar=__pillar__,
        chunks=tuple(__lowstate__),
        test=bool(__opts__.get("test")),
    )
    result = orchestration.run_phase(order, name)
    return {"name": name, "result": result.result, "changes": dict(result.changes), "comment": result.comment}
