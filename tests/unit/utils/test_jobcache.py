"""The master's job cache, written by Salt's own returner."""

from pathlib import Path

import pytest
import salt.config
import salt.loader
import salt.utils.jid
from os_orchestrator import jobcache

JID = "20261123040506123456"


@pytest.fixture
def opts(tmp_path):
    (tmp_path / "master").write_text(f"{{root_dir: {tmp_path}, cachedir: {tmp_path}/cache}}")
    return salt.config.master_config(str(tmp_path / "master"))


@pytest.fixture
def store(opts):
    """Return a function that stores an answer as the master does."""
    returners = salt.loader.returners(opts, {})

    def store(answer, node="n1", **more):
        returners["local_cache.prep_jid"](passed_jid=JID)
        returners["local_cache.returner"]({"jid": JID, "id": node, "return": answer, "retcode": 0, **more})

    return store


def path(opts, node="n1"):
    return Path(salt.utils.jid.jid_dir(JID, f"{opts['cachedir']}/jobs", opts["hash_type"]), node, "return.p")


@pytest.mark.parametrize("answer", [True, None, "text", {"verdict": "changed", "n": [1, {"ä": None}]}])
def test_an_answer_is_found_as_it_was_stored(opts, store, answer):
    store(answer, retcode=3)
    assert jobcache.of(opts).find(JID, "n1") == jobcache.Stored(answer, 3)


def test_the_first_answer_of_a_node_to_a_job_stays(opts, store):
    store("first")
    store("second")
    assert jobcache.of(opts).find(JID, "n1").answer == "first"


def test_there_is_none_before_it_is_stored(opts, store):
    assert jobcache.of(opts).find(JID, "n1") is None
    store(True)
    assert jobcache.of(opts).find(JID, "n2") is None


def test_an_answer_of_50_mb_is_not_read(opts, store):
    store("x" * 50_000_000)
    stored = jobcache.of(opts).find(JID, "n1")
    assert (stored.retcode, "an answer of 500000" in stored.answer) == (1, True)


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x82\xa6return", b"\xda\xff\xff\xff"])
def test_a_file_that_is_damaged_is_an_answer_without_sense(opts, store, content):
    store(True)
    path(opts).write_bytes(content)
    stored = jobcache.of(opts).find(JID, "n1")
    assert (stored.retcode, "cannot give back" in stored.answer) == (1, True)


@pytest.mark.parametrize(
    "setting",
    [{"job_cache": False}, {"ext_job_cache": "redis"}, {"master_job_cache": "mysql"}],
    ids=lambda s: next(iter(s)),
)
def test_a_master_that_keeps_answers_elsewhere_has_none_here(opts, setting):
    assert jobcache.of({**opts, **setting}) is None
