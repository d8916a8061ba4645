"""What is heard on the master's bus, and from whom; keys and targets by a real key directory."""

import logging
import time
import typing

import pytest
import salt.config
from hypothesis import given
from hypothesis import strategies as st
from os_orchestrator import doors, jobcache, transport
from os_orchestrator.transport import Return, Started
from salt.exceptions import AuthenticationError, SaltClientError, SaltReqTimeoutError


def event(tag, data):
    return {"tag": tag, "data": data}


def returned(node, jid, answer, **more):
    return event(f"salt/job/{jid}/ret/{node}", {"id": node, "jid": jid, "return": answer, "retcode": 0, **more})


# -- one event -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "read"),
    [
        (returned("cmp1", "7", {"a": 1}), Return("cmp1", "7", {"a": 1}, 0)),
        (returned("cmp1", "7", None, retcode=[1]), Return("cmp1", "7", None, [1])),
        (event("salt/job/7/ret/cmp1", {}), Return("cmp1", "7", None, None)),
        (returned("cmp1.example.com", "7", True), Return("cmp1.example.com", "7", True, 0)),
        (event("salt/minion/cmp1/start", {"id": "cmp1"}), Started("cmp1")),
    ],
)
def test_returns_and_starts_of_minions_are_heard(heard, read):
    assert transport._read(heard) == read


def test_who_has_answered_is_said_by_the_tag_and_not_by_the_answer():
    lie = event("salt/job/7/ret/evil", {"id": "cmp1", "jid": "8", "return": True, "retcode": 0, "tag": "x"})
    assert transport._read(lie) == Return("evil", "7", True, 0)
    assert transport._read(event("salt/minion/evil/start", {"id": "cmp1"})) == Started("evil")


@pytest.mark.parametrize(
    "other",
    [
        None,
        "text",
        [],
        {},
        event("salt/job/7/ret/cmp1", None),
        event("salt/job/7/ret/cmp1", ["x"]),
        event("salt/job/7/new", {}),
        event("salt/job/7/prog/cmp1/1", {}),
        event("salt/job/7/ret/cmp1/more", {}),
        event("salt/job/7/sub/cmp1", {"return": True}),
        event("salt/minion/cmp1/stop", {}),
        event("salt/minion/cmp1/start/x", {}),
        event("minion_start", {"id": "cmp1"}),
        event("my/salt/job/7/ret/cmp1", {"return": True}),
        event("os-orchestrator/prod/1/node/ended", {}),
        event(None, {}),
        event(5, {}),
        event(b"salt/job/7/ret/cmp1", {}),
    ],
)
def test_all_else_on_the_bus_is_other_peoples(other):
    assert transport._read(other) is None


anything = st.recursive(
    st.none() | st.text(max_size=9) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(anything)
def test_whatever_is_on_the_bus_is_heard_or_ignored(data):
    assert transport._read(data) is None
    assert transport._read({"tag": data, "data": data}) is None
    found = transport._read(event("salt/job/7/ret/cmp1", data))
    assert found is None or found.node == "cmp1"


# -- the bus -------------------------------------------------------------------------------------------------------


class Client:
    """What stands for Salt's ``LocalClient``: publishes nothing, and says what it was asked for."""

    def __init__(self, sent=None, error=None):
        self.sent, self.error, self.asked = sent, error, []

    opts: typing.ClassVar = {}

    def pub(self, target, function, args, **options):
        self.asked.append((target, function, args, options))
        if self.error:
            raise self.error
        return self.sent if self.sent is not None else {"jid": len(self.asked), "minions": target}


class Events:
    """What stands for the subscription: events in order, then silence."""

    def __init__(self, *events):
        self.events = list(events)

    def get_event(self, wait, full, auto_reconnect, no_block):
        # Salt takes a wait of 0 for one without end.
        assert (full, auto_reconnect, no_block) == (True, True, wait <= 0)
        return self.events.pop(0) if self.events else time.sleep(max(0, wait))


class JobCache:
    """What stands for the master's job cache: what was stored, and after how many looks it is there."""

    def __init__(self, stored, after=0):
        self.stored, self.looks = stored, dict.fromkeys(stored, after)

    def find(self, jid, node):
        self.looks[jid, node] = self.looks.get((jid, node), 0) - 1
        return self.stored.get((jid, node)) if self.looks[jid, node] < 0 else None


def bus(*events, answers=None, **client):
    """Return a bus with these events to come; without ``answers`` the master keeps none, and events are believed."""
    made = transport.Bus({"conf_file": "/nowhere"})
    made._client, made._events, made._answers = Client(**client), Events(*events), answers
    made._new_client = lambda: made._client
    return made


def asking(*events, nodes=("a", "b"), **options):
    """Return a bus on which these nodes were asked job 1."""
    made = bus(*events, **options)
    made.publish(nodes, "test.ping")
    return made


def test_a_job_is_published_to_a_list_of_nodes_and_nobody_else():
    ours = bus()
    assert ours.publish({"cmp*": 1}, "test.ping", {"a": 1}, (2,)) == "1"
    assert ours._client.asked == [(["cmp*"], "test.ping", [2, {"a": 1, "__kwarg__": True}], {"tgt_type": "list"})]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SaltClientError(), "the master's publisher does not answer; is salt-master running?"),
        (SaltReqTimeoutError("Message timed out"), "the master's publisher does not answer; is salt-master running?"),
        (OSError("no such socket"), "the master's publisher does not answer; is salt-master running?"),
        (AuthenticationError("not you"), "not you"),
        (AuthenticationError(""), "the master refuses this user"),
    ],
)
def test_what_cannot_be_published_is_a_sentence(error, said):
    with pytest.raises(transport.Unreachable) as unreachable:
        bus(error=error).publish(["cmp1"], "test.ping")
    assert str(unreachable.value) == said


def test_a_master_that_was_restarted_is_asked_with_its_new_key():
    ours, new = bus(error=AuthenticationError("another key")), Client()
    ours._new_client = lambda: new
    assert ours.publish(["cmp1"], "test.ping") == "1"
    assert ours._client is new


@pytest.mark.parametrize(
    "sent", [{}, "", {"jid": "", "minions": []}, {"jid": "0"}, {"jid": "7", "minions": []}, {"minions": ["cmp1"]}]
)
def test_a_job_without_an_id_was_not_published(sent):
    with pytest.raises(transport.Unreachable, match="it knows none of these nodes"):
        bus(sent=sent).publish(["zz"], "test.ping")


def test_the_next_of_ours_is_returned_and_all_else_is_passed_over():
    ours = asking(None, event("salt/auth", {}), returned("a", "1", True), returned("b", "1", True))
    assert ours.next(5).node == "a"
    assert ours.next(5).node == "b"


@pytest.mark.parametrize("wait", [0, -5, 0.05])
def test_silence_is_nothing_in_the_time_that_was_given(wait):
    began = time.monotonic()
    assert bus().next(wait) is None
    assert time.monotonic() - began < 2


def test_what_is_believed_is_what_the_master_has_stored():
    stored = {("1", "a"): jobcache.Stored({"really": "said"}, 1)}
    ours = asking(returned("a", "1", "a rumour"), answers=JobCache(stored, after=3))
    assert ours.next(5) == Return("a", "1", {"really": "said"}, 1)
    assert ours.next(0.05) is None


def test_who_has_answered_is_not_silent_and_who_is_said_to_have_is():
    announced = [returned("a", "1", True), returned("b", "1", True), event("salt/minion/b/start", {})]
    ours = asking(*announced, answers=JobCache({("1", "a"): jobcache.Stored(True, 0)}))
    assert ours.silent(["a", "b"], 60) == ["a", "b"]
    assert [ours.next(0.1).node, ours.next(0.1).node] == ["a", "b"]
    assert ours.silent(["a", "b"], 60) == ["b"]
    assert ours.silent(["a", "b"], 0) == ["a", "b"]


def test_an_answer_that_is_announced_and_never_stored_is_none():
    forged = returned("a", "1", True)
    ours = asking(forged, forged, answers=JobCache({}))
    assert ours.next(0.1) is None
    assert ours.call(["b"], "test.ping", 0.1) == {}


@pytest.mark.parametrize(("jid", "node"), [("7", "a"), ("1", "evil"), ("1", "../../b")])
def test_answers_to_other_jobs_and_of_other_nodes_are_not_even_looked_for(jid, node):
    cache = JobCache({})
    assert asking(returned(node, jid, True), answers=cache).next(0.05) is None
    assert not cache.looks


def test_a_job_that_is_forgotten_has_no_more_answers():
    ours = asking(returned("a", "1", True))
    ours.forget("1")
    assert ours.next(0.05) is None


def test_time_passes_on_a_bus_that_is_never_quiet():
    class Noise:
        def get_event(self, **_options):
            return returned("zz", "9", True)

    ours = asking()
    ours._events = Noise()
    assert ours.next(0.05) is None


def test_a_call_returns_the_answers_to_it_of_those_who_were_asked():
    ours = bus(
        returned("a", "99", "of another job"),
        returned("evil", "1", "of another node"),
        event("salt/minion/a/start", {}),
        returned("a", "1", "first"),
        returned("a", "1", "twice"),
        returned("b", "1", None),
        returned("c", "1", "never read"),
    )
    assert ours.call(["a", "b"], "test.ping", 5) == {"a": Return("a", "1", "first", 0), "b": Return("b", "1", None, 0)}
    assert len(ours._events.events) == 1


def test_a_call_returns_what_has_come_in_its_time():
    assert list(bus(returned("a", "1", True)).call(["a", "b"], "test.ping", 0.05)) == ["a"]


def test_those_who_are_silent_are_asked_again_and_an_answer_to_any_asking_counts():
    ours = bus(returned("a", "1", True))
    assert list(ours.call(["a", "b"], "test.ping", 0.2, times=3)) == ["a"]
    assert [sorted(target) for target, *_ in ours._client.asked] == [["a", "b"], ["b"], ["b"]]
    late = bus(None, returned("zz", "1", True), returned("a", "1", "late"))
    late._events.get_event = (lambda real: lambda wait, **o: time.sleep(max(0, wait)) or real(wait, **o))(
        late._events.get_event
    )
    assert late.call(["a"], "test.ping", 0.3, times=3)["a"].answer == "late"


def test_a_call_to_nobody_publishes_nothing():
    ours = bus()
    assert ours.call([], "test.ping", 5) == {}
    assert ours._client.asked == []


def test_an_event_that_the_master_does_not_take_is_sent_once_more_and_then_forgotten():
    class Restarted(Events):
        fired, closed = (), 0

        def fire_event(self, data, tag):
            if self.closed < self.away:
                raise OSError("Stream is closed")
            self.fired = (data, tag)

        def close_pull(self):
            self.closed += 1

    for away, fired in ((0, True), (1, True), (9, False)):
        ours = bus()
        ours._events = Restarted()
        ours._events.away = away
        ours.fire("tag", {"a": 1})
        assert ours._events.fired == (({"a": 1}, "tag") if fired else ())


# -- Salt itself ---------------------------------------------------------------------------------------------------


@pytest.fixture
def opts(tmp_path):
    """The options of a master that is not running: three nodes with a key, one without."""
    for state, nodes in {"minions": ("cmp1", "cmp2", "ctl1"), "minions_pre": ("cmp3",)}.items():
        (tmp_path / "pki" / state).mkdir(parents=True)
        for node in nodes:
            (tmp_path / "pki" / state / node).write_text("a public key")
    places = {name: tmp_path / name for name in ("cachedir", "sock_dir", "log_file")} | {"root_dir": tmp_path}
    lines = [f"{name}: {place}" for name, place in {**places, "pki_dir": tmp_path / "pki"}.items()]
    (tmp_path / "master").write_text("\n".join(lines))
    return salt.config.master_config(str(tmp_path / "master"))


def test_the_accepted_keys_are_those_and_not_the_pending(opts):
    assert transport.accepted_keys(opts) == {"cmp1", "cmp2", "ctl1"}


def test_a_master_of_masters_does_not_know_who_has_a_key(opts):
    assert transport.accepted_keys({**opts, "order_masters": True}) is None


@pytest.mark.parametrize(
    ("target", "kind", "nodes"),
    [
        ("cmp*", "glob", ["cmp1", "cmp2"]),
        ("*", "glob", ["cmp1", "cmp2", "ctl1"]),
        ("cmp3", "glob", []),
        ("zz*", "glob", []),
        ("ctl1,cmp2,zz", "list", ["cmp2", "ctl1"]),
        ("c.*1", "pcre", ["cmp1", "ctl1"]),
        ("cmp* and not cmp2", "compound", ["cmp1"]),
    ],
)
def test_a_target_matches_accepted_keys_alone(opts, target, kind, nodes):
    assert transport.match(opts, target, kind) == nodes


@pytest.mark.slow
def test_a_master_that_is_not_running_is_told_in_a_sentence(opts, caplog):
    """Salt 3008 does not notice it before it publishes."""
    caplog.set_level(logging.CRITICAL)
    with pytest.raises((doors.Refused, transport.Unreachable), match=r"[Ii]s (salt-)?master running\?$"):  # noqa: SIM117
        with transport.Bus(opts) as ours:
            ours.publish(["cmp1"], "test.ping")


def test_a_tag_is_waited_for_and_what_its_event_says_is_not_looked_at():
    asked = []

    class Once:
        def get_event(self, **options):
            asked.append(options)
            return {"data": "anything"}

    waiting = bus()
    waiting._events = Once()
    assert waiting.await_tag("os-orchestrator/prod/1/", 2.0) is None
    assert asked == [
        {"wait": 2.0, "tag": "os-orchestrator/prod/1/", "match_type": "startswith", "auto_reconnect": True}
    ]
