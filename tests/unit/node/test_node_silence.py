"""Who keeps a node's agent quiet, and what a person finds afterwards, at every point where it could go wrong."""

import contextlib
import json
import multiprocessing

import pytest
from os_orchestrator.node import silence, supervisor


class Agent:
    """The lock of a disabled agent, and what is remembered beside it."""

    def __init__(self, directory):
        self.root, self.lock = directory / "puppet_agent", directory / "var/state/agent_disabled.lock"
        self.root.mkdir()

    def quiet(self, owner="prod", message="deployment 1"):
        return silence.begin(self.root, self.lock, owner, message)

    def unquiet(self, owner="prod"):
        return silence.end(self.root, self.lock, owner)

    def disable(self, message="for bob"):
        """Do what ``puppet agent --disable`` does: an agent that is disabled keeps its first message."""
        if not self.lock.exists():
            self.lock.parent.mkdir(parents=True, exist_ok=True)
            self.lock.write_text(json.dumps({"disabled_message": message}))

    def enable(self):
        self.lock.unlink(missing_ok=True)

    @property
    def message(self):
        """Why the agent is disabled, None if it is enabled."""
        return json.loads(self.lock.read_text())["disabled_message"] if self.lock.exists() else None

    @property
    def owners(self):
        return list(supervisor.quiet_owners(self.lock))


@pytest.fixture
def agent(tmp_path):
    return Agent(tmp_path)


def left(directory):
    return sorted(each.name for each in directory.iterdir())


def test_an_agent_that_was_enabled_is_enabled_again_and_nothing_is_left(agent):
    assert (agent.quiet(), agent.message, agent.owners) == ((True, ""), "deployment 1", ["prod"])
    assert agent.quiet() == (False, "")
    assert (agent.unquiet(), agent.message) == ((True, ""), None)
    assert (left(agent.lock.parent), left(agent.root)) == ([], ["quiet.lock"])


def test_the_lock_is_puppets_and_the_memory_is_for_root_alone(agent):
    agent.quiet()
    assert agent.lock.stat().st_mode & 0o777 == 0o644
    assert (agent.root / "quiet.json").stat().st_mode & 0o777 == 0o600
    assert left(agent.lock.parent) == ["agent_disabled.lock"]


def test_an_agent_that_a_person_has_disabled_stays_so(agent):
    agent.disable()
    before = agent.lock.read_bytes()
    assert agent.quiet() == (False, "somebody has disabled the agent, and it stays so")
    assert agent.owners == []
    assert agent.unquiet() == (False, "prod does not keep the agent quiet")
    assert agent.lock.read_bytes() == before
    assert left(agent.lock.parent) == ["agent_disabled.lock"]


def test_what_a_person_does_meanwhile_is_respected(agent):
    agent.quiet()
    agent.enable()
    assert agent.quiet() == (False, "somebody has enabled the agent since this was asked for, and it stays so")
    assert agent.message is None
    agent.disable()
    assert agent.quiet() == (False, "somebody has disabled the agent, and it stays so")
    assert agent.unquiet() == (False, "somebody has enabled or disabled the agent since, and it stays so")
    assert agent.message == "for bob"


def test_the_next_deployment_of_an_owner_asks_anew(agent):
    agent.quiet()
    agent.enable()
    assert (agent.quiet(message="deployment 2"), agent.message) == ((True, ""), "deployment 2")
    assert (agent.quiet(message="deployment 3"), agent.message) == ((True, ""), "deployment 3")
    assert (agent.unquiet(), agent.message) == ((True, ""), None)


def test_the_last_of_two_owners_restores_and_the_lock_names_those_who_are_there(agent):
    agent.quiet()
    agent.quiet("blue", "deployment 2")
    assert agent.message == "deployment 1; deployment 2"
    assert (agent.unquiet(), agent.message, agent.owners) == ((True, ""), "deployment 2", ["blue"])
    assert agent.unquiet() == (False, "prod does not keep the agent quiet")
    assert (agent.unquiet("blue"), agent.message) == ((True, ""), None)


def test_a_person_who_disables_through_the_module_takes_the_place_of_all_owners(agent):
    silence.give_way(agent.root, agent.lock, "for bob")
    assert agent.message is None
    agent.quiet()
    agent.quiet("blue", "deployment 2")
    silence.give_way(agent.root, agent.lock, "for bob")
    assert (agent.message, agent.owners) == ("for bob", [])
    assert [agent.unquiet(owner)[0] for owner in ("prod", "blue")] == [False, False]
    assert agent.message == "for bob"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"quiet": 1}', '{"quiet": {"prod": 1}}', '{"quiet": {"prod": {}}}']
)
def test_a_lock_that_cannot_be_read_is_somebody_elses(agent, content):
    agent.lock.parent.mkdir(parents=True)
    agent.lock.write_text(content)
    assert agent.quiet() == (False, "somebody has disabled the agent, and it stays so")
    agent.unquiet()
    assert agent.lock.read_text() == content


class Crash(BaseException):
    """The end of a process in the middle of its work."""


#: Where it may end: the write, link or unlink of that number, before it or just after.
POINTS = [(number, after) for number in range(1, 7) for after in (False, True)]


def crash(monkeypatch, number, after):
    """Let the step of this number end the process."""
    left = [number]

    def guard(step):
        def stepped(*arguments, **options):
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Crash
            result = step(*arguments, **options)
            if left[0] == 0:
                raise Crash
            return result

        return stepped

    monkeypatch.setattr(silence.supervisor, "write", guard(supervisor.write))
    monkeypatch.setattr(silence.os, "link", guard(silence.os.link))
    monkeypatch.setattr(silence, "_leave", guard(silence._leave))


@pytest.mark.parametrize(("number", "after"), POINTS)
@pytest.mark.parametrize("act", ["quiet", "unquiet", "join", "leave"])
def test_after_a_crash_anywhere_the_owners_come_again_and_leave_nothing(agent, monkeypatch, act, number, after):
    if act != "quiet":
        agent.quiet()
    if act == "leave":
        agent.quiet("blue")
    acts = {"quiet": agent.quiet, "unquiet": agent.unquiet}
    acts |= {"join": lambda: agent.quiet("blue"), "leave": lambda: agent.unquiet("blue")}
    with monkeypatch.context() as patched:
        crash(patched, number, after)
        with contextlib.suppress(Crash):
            acts[act]()
    agent.quiet("prod", "deployment 9")
    assert "prod" in agent.owners
    assert "deployment 9" in agent.message
    agent.unquiet("blue")
    assert (agent.unquiet(), agent.message) == ((True, ""), None)


def test_a_memory_that_cannot_be_written_leaves_the_agent_as_it_was(agent):
    (agent.root / "quiet.json").mkdir()
    with pytest.raises(OSError, match=r"quiet\.json"):
        agent.quiet()
    assert agent.message is None


def come_and_go(directory, owner):
    agent = Agent.__new__(Agent)
    agent.root, agent.lock = directory / "puppet_agent", directory / "var/state/agent_disabled.lock"
    for number in range(20):
        agent.quiet(owner, f"{owner} {number}")
        assert owner in agent.owners
        agent.unquiet(owner)


def test_owners_that_come_and_go_at_once_do_not_lose_each_other(agent, tmp_path):
    started = [multiprocessing.Process(target=come_and_go, args=(tmp_path, f"env{number}")) for number in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    assert [each.exitcode for each in started] == [0] * 4
    assert (agent.message, left(agent.lock.parent)) == (None, [])


def test_a_run_passes_the_quiet_of_its_owner_and_no_other_lock(agent, tmp_path):
    request = {"mode": "agent", "quiet_lock": str(agent.lock), "quiet_owner": "prod", "state_dirs": []}
    own = [f"--agent_disabled_lockfile={tmp_path}/agent_disabled.lock"]
    assert supervisor._past_quiet(tmp_path, request) == []
    agent.quiet()
    assert supervisor._past_quiet(tmp_path, request) == own
    assert supervisor._past_quiet(tmp_path, request | {"quiet_owner": "blue"}) == []
    assert supervisor._past_quiet(tmp_path, request | {"quiet_owner": None}) == []
    assert supervisor._past_quiet(tmp_path, request | {"quiet_lock": None}) == []
    applied = request | {"mode": "apply", "state_dirs": [str(agent.lock.parent)]}
    assert supervisor._past_quiet(tmp_path, applied) == []
    assert supervisor._disabled_message(applied) is None
    assert supervisor._disabled_message(applied | {"quiet_owner": "blue"}) == "deployment 1"
    assert supervisor._disabled_message(applied | {"quiet_owner": None}) == "deployment 1"
    agent.enable()
    agent.disable()
    assert supervisor._past_quiet(tmp_path, request) == []
    assert supervisor._disabled_message(applied) == "for bob"
