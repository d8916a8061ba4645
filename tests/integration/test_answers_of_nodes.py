"""
Nodes that answer what they should not: none is believed, nothing of it breaks the terminal or the journal.

Each test is a row of docs/faults.md.
"""

import contextlib

import pytest

pytestmark = pytest.mark.salt

# What stands on these nodes in place of puppet_agent: it answers as the file beside it says.
MODULE = r"""
import time

import salt.channel.client

GOOD = {
    "verdict": "changed", "exit_code": 2, "noop": False, "mode": "apply", "environment": "production",
    "reason": "", "seconds": 1.0, "transaction_uuid": "6d6ff2e0-0000-4000-8000-000000000000",
    "resources": {"total": 8, "changed": 1, "failed": 0, "failed_to_restart": 0, "skipped": 0},
    "failures": [], "changes": [], "slowest": [], "log_tail": [],
}
NASTY = {
    "as it should": lambda good: good,
    "a list": lambda good: [1, 2, 3],
    "missing fields": lambda good: {"verdict": "changed", "run_id": good["run_id"]},
    "50 MB": lambda good: "x" * 50_000_000,
    "control characters": lambda good: {
        **good, "verdict": "failed", "reason": "\x1b[2J\x1b[31mred\u202egnp\r\n\x00<script>"
    },
    "another run": lambda good: {**good, "run_id": "20260101000000000000-1-1-1"},
    "a verdict of its own": lambda good: {**good, "verdict": "perfect"},
    "a path for an id": lambda good: {**good, "run_id": "../../../../tmp/escaped"},
    "nested": lambda good: {**good, "failures": [[[[{}]]]], "resources": {"changed": "many"}, "changes": "all"},
}


def run(run_id=None, **kwargs):
    good = {**GOOD, "run_id": run_id}
    if __opts__["id"] == "victim":
        time.sleep(20)
        return good
    with open(__opts__["nasty"]) as file:
        nasty = file.read()
    if nasty == "a forger":
        # As whoever is root on a minion can: an event in the form of the victim's return.
        load = {"return": good, "retcode": 0, "success": True, "jid": kwargs["__pub_jid"], "fun": "puppet_agent.run"}
        __salt__["event.fire_master"]({}, "salt/job/{}/ret/victim".format(kwargs["__pub_jid"]), preload=load)
        return good
    if nasty == "a forger of syndics":
        # Any minion may send what a syndic sends for the minions below it.
        answers = {"victim": {"return": good, "retcode": 0, "success": True}}
        load = {"id": "evil", "jid": kwargs["__pub_jid"], "fun": "puppet_agent.run", "load": {}, "return": answers}
        with salt.channel.client.ReqChannel.factory(dict(__opts__)) as channel:
            channel.send({"cmd": "_syndic_return", "load": [load]}, timeout=10)
        return good
    return NASTY[nasty](good)
"""
ENVIRONMENT = """
environments:
  nasty:
    roles: {evil: [evil], both: [evil, victim]}
    puppet: {timeout: 1, lock_timeout: 1, grace: 1, ping_timeout: 10}
"""
SAID = {
    "a list": ("failed", "answered something that is no outcome of a run: [1, 2, 3]"),
    "missing fields": ("failed", "says changed, but not whether it ran with --noop"),
    "50 MB": ("failed", "answered something that is no outcome of a run"),
    "control characters": ("failed", "red gnp   <script>"),
    "another run": ("failed", "answered for run 20260101000000000000-1-1-1, asked for"),
    "a verdict of its own": ("failed", "answered with an unknown verdict, perfect"),
    "a path for an id": ("failed", "answered for run ../../../../tmp/escaped, asked for"),
    "nested": ("failed", "says changed, but not how many of its resources failed"),
}


# What docs/security.md tells those to set who have no syndics.
SIGNED = {
    "require_minion_sign_messages": True,
    "drop_messages_signature_fail": True,
    "signing_algorithm": "PKCS1v15-SHA1",
}


@contextlib.contextmanager
def nasty(open_house, name, file_root, tmp_path_factory, master_options, minion_options):
    """A master, and two minions that have a puppet_agent of their own."""
    modules = tmp_path_factory.mktemp("nasty")
    (modules / "_modules").mkdir()
    (modules / "_modules/puppet_agent.py").write_text(MODULE)
    options = {"module_dirs": [str(modules)], "nasty": str(modules / "nasty"), **minion_options}
    master = {"module_dirs": [str(file_root)], "os_orchestrator": {"poll_interval": 5}, **master_options}
    with open_house(name, ["evil", "victim"], master_options=master, minion_options=options) as house:
        house.pillar("nasty", ENVIRONMENT)
        house.behave = (modules / "nasty").write_text
        yield house


@pytest.fixture(scope="module")
def nasty_house(open_house, file_root, tmp_path_factory):
    with nasty(open_house, "a", file_root, tmp_path_factory, {}, {}) as house:
        yield house


@pytest.fixture
def signing_house(open_house, file_root, tmp_path_factory):
    """The same, with minions that sign what they send and a master that believes nothing else."""
    minion = {"minion_sign_messages": True}
    with nasty(open_house, "s", file_root, tmp_path_factory, SIGNED, minion) as house:
        yield house


def test_the_answer_is_as_it_should(nasty_house):
    nasty_house.behave("as it should")
    assert nasty_house.salt_run("deployment.puppet", "nasty", "evil").returncode == 0


@pytest.mark.parametrize("nasty", SAID)
def test_the_answer_is(nasty_house, nasty):
    verdict, reason = SAID[nasty]
    nasty_house.behave(nasty)

    result = nasty_house.salt_run("deployment.puppet", "nasty", "evil", out=None)

    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert all(character.isprintable() or character == "\n" for character in result.stdout)
    (node,) = nasty_house.salt_run("deployment.show", "last").data["answer"]["phases"][0]["nodes"]
    assert node["verdict"] == verdict
    assert reason in node["reason"]
    (journal,) = nasty_house.root.rglob("journal.sqlite")
    assert journal.stat().st_size < 1_000_000


def judged(house):
    """Deploy both nodes and return the exit status, and the verdicts by node."""
    result = house.salt_run("deployment.puppet", "nasty", "both")
    return result.returncode, {n["node"]: n["verdict"] for n in result.data["answer"]["phases"][0]["nodes"]}


def test_one_node_answers_in_the_name_of_another(nasty_house):
    nasty_house.behave("a forger")
    assert judged(nasty_house) == (1, {"evil": "changed", "victim": "lost"})


def test_one_node_answers_as_a_syndic_for_another_where_answers_are_signed(signing_house):
    signing_house.behave("as it should")
    assert signing_house.salt_run("deployment.puppet", "nasty", "evil").returncode == 0
    signing_house.behave("a forger of syndics")
    assert judged(signing_house) == (1, {"evil": "changed", "victim": "lost"})
