"""
Nodes behind a bus, in a time of their own: what a phase sees of Salt, scripted, so that no test waits.

A node does what ``puppet_agent`` does: a run has an id and is made once; asking for it again joins it or reports it; it
outlives the minion. Messages to a minion that is down are lost, and so are the returns of jobs that died with it.
"""

import contextlib
import fnmatch
import heapq
import itertools
import json
import time as real_time
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import yaml
from os_orchestrator import (
    confirmation,
    engine,
    environment,
    errands,
    gates,
    journal,
    orchestration,
    phases,
    progress,
    runs,
    transport,
)

OUTCOMES = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).resolve().parents[1] / "unit/utils/outcomes").glob("*.json")
}
GOOD = ("unchanged", "changed", "tolerated")
UNDER_NOOP = {"changed": "noop", "unchanged": "noop_unchanged"}
NEVER = float("inf")


def outcome(run_id, verdict, reason="", noop=False, **changes):
    """Return what ``puppet_agent.run`` returns of a run: as captured where there is such a one."""
    captured = OUTCOMES.get(UNDER_NOOP.get(verdict, verdict) if noop else verdict)
    bare = {"verdict": verdict, "reason": reason, "noop": noop, "resources": {}}
    return {**(captured or bare), "run_id": run_id, **changes}


class Clock:
    """What stands for the module ``time``; it is the middle of a night, in UTC."""

    START = 1_795_392_000

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.START - 1000 + self.now

    def localtime(self, at=None):
        return real_time.gmtime(self.time() if at is None else at)

    strftime = staticmethod(real_time.strftime)


@dataclass
class Node:
    """
    One node and what will happen to it. Times are seconds since the bus was made.

    runs
        The verdict of each attempt and its seconds, in order; the last one counts for all that follow.

    down
        Spans in which its minion is not running; at the end of each it announces itself.

    dead
        When the machine goes, for good.

    losses
        Which of its messages never arrive, counted from 0, the answer to the ping.

    says
        What it answers to ``puppet_agent.run`` in place of an outcome: ``(answer, retcode)``.

    checks
        What it answers to other functions: ``f(now)``, by name; it raises LookupError to say nothing.

    does
        The same for functions whose answer is in their arguments: ``f(now, *args, **kwargs)``; it raises RuntimeError
        to fail with that text.
    """

    name: str
    runs: list = field(default_factory=lambda: [("changed", 10)])
    down: list = field(default_factory=list)
    dead: float = NEVER
    losses: frozenset = frozenset()
    latency: float = 0.05
    says: tuple | None = None
    checks: dict = field(default_factory=dict)
    does: dict = field(default_factory=dict)
    made: dict = field(default_factory=dict, init=False)
    jobs: dict = field(default_factory=dict, init=False)
    sent: int = field(default=0, init=False)

    def is_up(self, start, end=None):
        """Whether its minion runs, all through a span if one is given."""
        end = start if end is None else end
        return end < self.dead and not any(begin <= end and start < until for begin, until in self.down)

    def hear(self, bus, jid, function, kwargs, args=()):
        if not self.is_up(bus.now):
            return
        if function == "test.ping":
            self._answer(bus, jid, bus.now, True, 0)
        elif function == "saltutil.is_running":
            alive = [job for job, (began, end) in self.jobs.items() if bus.now < end and self.is_up(began, bus.now)]
            self._answer(bus, jid, bus.now, [{"jid": job, "fun": "puppet_agent.run"} for job in alive], 0)
        elif function == "puppet_agent.run":
            self._run(bus, jid, kwargs["run_id"], kwargs["noop"])
        elif function in self.checks:
            with contextlib.suppress(LookupError):
                self._answer(bus, jid, bus.now, self.checks[function](bus.now), 0)
        elif function in self.does:
            with contextlib.suppress(LookupError):
                self._do(bus, jid, function, args, kwargs)

    def _do(self, bus, jid, function, args, kwargs):
        try:
            self._answer(bus, jid, bus.now, self.does[function](bus.now, *args, **kwargs), 0)
        except RuntimeError as error:
            self._answer(bus, jid, bus.now, f"ERROR: {error}", 1)

    def _run(self, bus, jid, run_id, noop):
        if run_id not in self.made:
            verdict, seconds = self.runs[min(len(self.made), len(self.runs) - 1)]
            self.made[run_id] = (verdict, bus.now, bus.now + seconds)
        verdict, _, end = self.made[run_id]
        self.jobs[jid] = (bus.now, end)
        answer = (outcome(run_id, verdict, "as scripted", noop), 0 if verdict in GOOD else 1)
        if self.is_up(bus.now, max(bus.now, end)):
            self._answer(bus, jid, max(bus.now, end), *(self.says or answer))

    def _answer(self, bus, jid, when, answer, retcode):
        self.sent += 1
        if self.sent - 1 not in self.losses and self.is_up(when, when + self.latency):
            bus.later(when + self.latency, transport.Return(self.name, jid, answer, retcode))


class Bus(transport.Bus):
    """
    The bus of a master without Salt.

    noise
        What else is on it: ``(when, event)``; an event may be an exception, which is raised then.

    refuses
        Spans in which nothing can be published.

    unheard
        Answers, by jid and node, that the master has stored but of which no event has come.
    """

    def __init__(self, *nodes, noise=(), refuses=()):
        self.unheard, self._heard = {}, {}
        self.clock = Clock()
        self.nodes = {node.name: node for node in nodes}
        self.refuses = refuses
        self.published, self.fired = [], []
        self._jids = (f"j{number}" for number in itertools.count(1))
        self._order = itertools.count()
        self._events = []
        self._acts = []
        for when, event in noise:
            self.later(when, event)
        for node in nodes:
            for _, until in node.down:
                if until < node.dead:
                    self.later(until, transport.Started(node.name))

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def fire(self, tag, data):
        self.fired.append((tag, data))
        for what, seconds, act in self._acts:
            if data["what"] == what:
                self.later(self.now + seconds, lambda act=act: act(data))

    def when(self, what, seconds, act):
        """Let somebody do something so long after a step was told: ``act(event)``."""
        self._acts.append((what, seconds, act))

    @property
    def now(self):
        return self.clock.now - 1000.0

    def later(self, when, event):
        heapq.heappush(self._events, (when, next(self._order), event))

    def publish(self, nodes, function, kwargs=None, args=()):
        if any(begin <= self.now < end for begin, end in self.refuses):
            raise transport.Unreachable("the master's publisher does not answer; is salt-master running?")
        jid, nodes = next(self._jids), list(nodes)
        self.published.append((self.now, nodes, function, dict(kwargs or {})))
        for node in nodes:
            if node in self.nodes:
                self.nodes[node].hear(self, jid, function, kwargs or {}, args)
        return jid

    def forget(self, jid):
        pass

    def stored(self, jid, node):
        return self.unheard.get((jid, node))

    def next(self, wait):
        until = self.now + wait
        if not self._events or self._events[0][0] > until:
            self.clock.now += wait
            return None
        when, _, event = heapq.heappop(self._events)
        self.clock.now = max(self.clock.now, when + 1000.0)
        if isinstance(event, BaseException):
            raise event
        event = event() if callable(event) else event
        if isinstance(event, transport.Return):
            self._heard[event.node] = self.clock.now
        return event

    def asked(self, function):
        """Return when whom was asked for what, of one function."""
        return [(when, nodes, kwargs) for when, nodes, called, kwargs in self.published if called == function]

    @contextlib.contextmanager
    def time(self):
        """Let the master's rooms live in the time of this bus."""
        with contextlib.ExitStack() as stack:
            rooms = (confirmation, engine, errands, gates, phases, progress, runs, transport)
            for room in (*rooms, journal.claims, journal.writing):
                stack.enter_context(mock.patch.object(room, "time", self.clock))
            yield self


class Record:
    """A journal that remembers what it was told, and checks that it is told before anyone else is."""

    def __init__(self, held=()):
        self.told, self.held, self.is_together = [], list(held), False

    @contextlib.contextmanager
    def together(self):
        self.is_together = True
        yield
        self.is_together = False

    kept_open = contextlib.nullcontext

    def runs_started(self, deployment, phase, runs, passing):
        """Nodes are held by others as often as the test says."""
        self.told.append(("runs_started", deployment, phase, runs, passing))
        return self.held.pop(0) if self.held else {}

    def __getattr__(self, name):
        return lambda *args: self.told.append((name, *args))

    def of(self, name):
        return [args for told, *args in self.told if told == name]


class Sink(list):
    """The steps that were told, as ``(what, data)``."""

    def __call__(self, step):
        self.append((step.what, dict(step.data)))

    def of(self, what):
        return [data for told, data in self if told == what]


def chunks(sls, name="orch.compute"):
    """Return the low chunks of an SLS as Salt makes them of one that has nothing but phases in it."""
    low = []
    for order, (sentence, states) in enumerate(yaml.safe_load(sls).items()):
        for state, arguments in states.items():
            module, _, function = state.partition(".")
            chunk = {"state": module, "fun": function, "name": sentence, "__id__": sentence, "__sls__": name}
            chunk |= {"__env__": "base", "order": 10000 + order}
            for argument in arguments:
                chunk |= argument
            low.append(chunk)
    return low


class Master:
    """A master with an environment, nodes and a journal, which runs scenarios as ``state.orch`` would."""

    def __init__(self, root, definition, *nodes, accepted=None, cli="salt-run", **bus):
        self.definition, self.accepted = definition, [n.name for n in nodes] if accepted is None else accepted
        self.bus = Bus(*nodes, **bus)
        self.opts = {"cachedir": str(root), "__cli": cli}
        self.journal = journal.of(self.opts)

    def environment(self, _opts, name):
        matched = [*self.accepted, *self.bus.nodes]
        return environment.build(name, self.definition, matched, lambda target, _: fnmatch.filter(matched, target))

    @contextlib.contextmanager
    def running(self):
        with self.bus.time(), contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(transport, "Bus", return_value=self.bus))
            stack.enter_context(mock.patch.object(transport, "accepted_keys", return_value=self.accepted))
            stack.enter_context(mock.patch.object(orchestration, "load_environment", self.environment))
            token = orchestration.door.set(orchestration.Door("alice", "deployment.run"))
            try:
                yield
            finally:
                orchestration.door.reset(token)
                orchestration._sessions.clear()
                for name in list(journal.claims._locks):
                    journal.claims._unlock(name)

    def deploy(self, sls, deployment="1", test=False, **pillar):
        """Run a scenario phase by phase and return the results by sentence; phases after a failed one are not run."""
        low, results = chunks(sls), {}
        order = orchestration.Order(self.opts, deployment, {"environment": "prod", **pillar}, tuple(low), test)
        with self.running():
            for chunk in low:
                if all(results.get(name) for required in chunk.get("require", ()) for name in required.values()):
                    results[chunk["name"]] = orchestration.run_phase(order, chunk["name"])
                    if results[chunk["name"]].result is False:
                        break
        return results


SCENARIO = """
Controllers are installed:
  phase.puppet:
    - role: controller

The writer is ready:
  phase.gate:
    - gate: writer
    - require:
      - phase: Controllers are installed

Compute nodes are installed:
  phase.puppet:
    - role: compute
    - may_fail: ['Exec[start-slave]']
    - require:
      - phase: The writer is ready

The endpoint is installed:
  phase.puppet:
    - role: endpoint
    - require:
      - phase: Compute nodes are installed
"""
WRITER = "mysql_mmm.writer_ready"


def ready_since(when):
    """Return a check that holds from some second on."""

    def answer(now):
        ready = now >= when
        return {"ready": ready, "reasons": [] if ready else [{"code": "nobody", "message": "the writer is on nobody"}]}

    return {WRITER: answer}


def small_site(root, ready=20, roles=None, exclude=None, scripts=None, calls=None, quiet=False, **options):
    """Return a master for SCENARIO: two controllers, two compute nodes, a hardware balancer as the endpoint."""
    definition = {
        "roles": {"controller": ["ctl1", "ctl2"], "compute": ["cmp1", "cmp2"], "endpoint": [], **(roles or {})},
        "exclude": exclude or {},
        "puppet": {"timeout": 100, "lock_timeout": 10, "grace": 5},
        "gates": {
            "writer": {
                "checks": [{"function": WRITER, "role": "controller"}],
                "successes": 2,
                "interval": 4,
                "timeout": 30,
            }
        },
        "calls": calls or {},
        "quiet_agents": quiet,
    }
    runs = {"ctl2": [("unchanged", 3)]}
    scripts = {"ctl1": {"checks": ready_since(ready)}, "ctl2": {"checks": ready_since(0)}, **(scripts or {})}
    listed = [role["nodes"] if isinstance(role, dict) else role for role in definition["roles"].values()]
    names = dict.fromkeys(node for nodes in listed for node in nodes if node not in definition["exclude"])
    nodes = [Node(name, **{"runs": runs.get(name, [("changed", 10)]), **scripts.get(name, {})}) for name in names]
    return Master(root, definition, *nodes, **options)


#: A change that goes through the compute nodes wave by wave, each taken out of the balancer and put back.
ROLLING = """
The change comes to compute nodes in waves:
  phase.puppet:
    - role: compute
    - canary: 1
    - waves: {size: 2, max_failures: 0}
    - before: drain
    - check: well
    - after: put_back

Somebody has looked at them:
  phase.confirm:
    - message: do instances start on the new compute nodes?
    - timeout: 40
    - require:
      - phase: The change comes to compute nodes in waves

Compute nodes say what they run:
  phase.call:
    - role: compute
    - function: service.status
    - args: [nova-compute]
    - expect: true
    - require:
      - phase: Somebody has looked at them

Nothing is left to change:
  phase.puppet:
    - role: compute
    - passes: {until: clean, at_most: 3}
    - require:
      - phase: Compute nodes say what they run
"""
CALLS = {
    "drain": [{"function": "haproxy.disable_server", "role": "endpoint", "args": ["{node}"]}],
    "well": [{"function": "nova.ready", "expect": True, "within": 30, "interval": 10}],
    "put_back": [{"function": "haproxy.enable_server", "role": "endpoint", "args": ["{node}"]}],
}


def well_since(when):
    """Return what a compute node says to whether it is well: that it is from some second on."""
    return {"nova.ready": lambda now: now >= when, "service.status": lambda _: True}


def rolling_site(root, scripts=None, answer=None, **options):
    """
    Return a master for ROLLING: four compute nodes behind a balancer; a second run of Puppet changes nothing.

    answer
        What an operator answers half a minute after he was asked, and the reason; nothing unless given.
    """
    common = {"runs": [("changed", 10), ("unchanged", 4)], "checks": well_since(0)}
    compute, scripts = ["cmp1", "cmp2", "cmp3", "cmp4"], scripts or {}
    balancer = {f"haproxy.{verb}_server": lambda now, server: f"{server} is set" for verb in ("enable", "disable")}
    scripts = {node: {**common, **scripts.get(node, {})} for node in compute} | {"lb1": {"does": balancer}}
    roles = {"controller": [], "compute": compute, "endpoint": ["lb1"]}
    master = small_site(root, roles=roles, scripts=scripts, calls=CALLS, **options)
    if answer:
        what, reason = answer
        master.bus.when(
            "confirm/asked", 30, lambda told: master.journal.decide(told["deployment"], 2, what, "bob", reason)
        )
    return master


#: What may become of a deployment of the small site, by name: the options of :func:`small_site` and the pillar.
DEPLOYMENTS = {
    "good": ({}, {}),
    "tolerated": ({"scripts": {"cmp1": {"runs": [("tolerated", 5)]}}}, {}),
    "failed": ({"scripts": {"cmp2": {"runs": [("failed", 5)]}}}, {}),
    "gate_held": ({"ready": 1000}, {}),
    "missing": ({"scripts": {"cmp2": {"dead": 5}}}, {}),
    "lost": ({"scripts": {"cmp2": {"dead": 30}}}, {}),
    "restarted": ({"scripts": {"cmp2": {"runs": [("changed", 90)], "down": [(40, 110)]}}}, {}),
    "tried_again": (
        {
            "roles": {"compute": {"nodes": ["cmp1", "cmp2"], "puppet": {"retries": {"no_catalog": 1}}}},
            "scripts": {"cmp2": {"runs": [("no_catalog", 5), ("changed", 5)]}},
        },
        {},
    ),
    "noop": ({}, {"noop": True}),
    "partial": ({}, {"nodes": ["cmp1"], "from_phase": 3}),
    "excluded": ({"exclude": {"cmp2": "disk broken, ticket 4711"}}, {}),
    "interrupted": ({"noise": [(32, KeyboardInterrupt())]}, {}),
    "many": ({"roles": {"compute": [f"cmp{number}.example.com" for number in range(1, 8)]}}, {}),
}


def _agent(quiet, reason=""):
    """Return what a node does whose own agent shall be quiet: it is, or a person has decided otherwise."""
    return {
        "puppet_agent.quiet": lambda now, owner, message: {"quiet": quiet, "reason": reason},
        "puppet_agent.unquiet": lambda now, owner: {"quiet": False, "reason": ""},
    }


DEPLOYMENTS["quiet"] = (
    {
        "quiet": True,
        "scripts": {
            "ctl1": {"checks": ready_since(20), "does": _agent(True)},
            "ctl2": {"checks": ready_since(0), "does": _agent(True)},
            "cmp1": {"does": _agent(True) | {"puppet_agent.unquiet": lambda now, owner: [][1]}},
            "cmp2": {"does": _agent(False, "disabled by hand: disk broken"), "runs": [("disabled", 1)]},
        },
    },
    {},
)
#: The same of the rolling site.
ROLLED = {
    "rolling": ({"answer": ("confirm", "two started")}, {}),
    "denied": ({"answer": ("deny", "nova-compute logs errors")}, {}),
    "unconfirmed": ({}, {}),
    "unwell": ({"scripts": {"cmp3": {"checks": well_since(1000)}}}, {}),
    "canary": ({"scripts": {"cmp1": {"runs": [("failed", 5)]}}}, {}),
    "unclean": ({"scripts": {"cmp2": {"runs": [("changed", 10)]}}, "answer": ("confirm", "")}, {}),
    "drained": ({"noise": [(40, KeyboardInterrupt())], "scripts": {"cmp4": {"checks": well_since(1000)}}}, {}),
}
DEPLOYMENTS |= ROLLED
DEPLOYMENT = "20261123000000000000"


def deployed(root, name):
    """Return the master of the small or the rolling site after one of its deployments."""
    options, pillar = DEPLOYMENTS[name]
    site, scenario = (rolling_site, ROLLING) if name in ROLLED else (small_site, SCENARIO)
    master = site(root, **options)
    master.deploy(scenario, DEPLOYMENT, **pillar)
    return master
