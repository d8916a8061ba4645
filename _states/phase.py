"""
The words of a scenario: Puppet on a role, a gate, calls for the nodes of a role, an operator who confirms.

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
    nodes="all",
    canary=None,
    waves=None,
    passes=None,
    before=None,
    check=None,
    after=None,
    expect=None,
):
    """
    Run Puppet on every node of a role; succeeds when every one of them ends with a good verdict.

    Whatever is not given here is the environment's: its ``puppet`` section; what is given, its role or sentence may
    override.

    name
        The phase's sentence.

    role
        A role of the environment, or a list of them; ``*`` is every role, each node once. A phase whose role is empty
        is left out.

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

    nodes
        Which of the role's nodes: ``all`` by default; ``new``, those that no deployment of this environment has
        deployed in that role, or that ``nodes=`` names; ``named``, those alone that ``nodes=`` names; a count or a
        percentage, the first ones; ``rest``, those that no phase before has run Puppet on.

    canary
        How many nodes go first, a count or a percentage; all of them must end well before any other starts.

    waves
        Nodes that run before the next ones may start: a count, a percentage, or ``{grain: rack}`` and
        ``{pillar: site:rack}``, those of one value at a time; ``max_failures`` there is what may fail of one wave.

    passes
        How often Puppet runs on each node, all nodes once before any has its next: a count, or
        ``{until: clean, at_most: 4}``, which ends with the first pass that changes nothing. 1 by default.

    before, check, after
        Calls that go with each node: the name of ``calls`` of the environment, or a list of ``{function, role, args,
        kwargs, expect, key, timeout, within, interval}``; ``{node}`` in arguments is the node's id. ``before`` must
        hold before Puppet starts, ``check`` after it ran well; ``after`` comes last, for a node that is well, and with
        ``always`` for any other. None of them is called under noop.

    expect
        ``unchanged``: a node on which anything changes, or would, ends as ``drifted``, which is bad.
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


@doors.state
def call(
    name,
    role,
    function=None,
    args=None,
    kwargs=None,
    expect=None,
    key=None,
    timeout=None,
    within=None,
    interval=None,
    calls=None,
    nodes="all",
    concurrency=None,
    max_failures=None,
    canary=None,
    waves=None,
):
    """
    Call an execution function for every node of a role; succeeds when it holds for every one of them. Left out under
    noop.

    name
        The phase's sentence.

    role, nodes, concurrency, max_failures, canary, waves
        As in ``phase.puppet``.

    function, args, kwargs
        The execution function, which is called on the node, and its arguments; ``{node}`` in them is the node's id.

    expect, key
        What must be answered, and which part of the answer that is, as in a gate's check. By default any answer will
        do that is no error and not false.

    timeout
        Seconds for one answer, 60 by default.

    within, interval
        Seconds within which it must hold, and from one time of asking to the next. Asked once by default.

    calls
        Calls one after the other, in place of the function, on nodes of other roles too: the name of ``calls`` of the
        environment, or a list.
    """
    return _run(name)


@doors.state
def confirm(name, message, timeout=3600):
    """
    Wait until an operator has looked and says ``deployment.confirm``, or fail when he says ``deployment.deny``. Left
    out under noop; what was confirmed stays so in a deployment that is resumed.

    name
        The phase's sentence.

    message
        What is to be looked at.

    timeout
        Seconds until it has failed; an hour by default.
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
