"""The journal's file: who can read it, what else lies in its place, what an earlier version left."""

import contextlib
import os
import sqlite3
import stat

import pytest
from journals import begin, claimed_elsewhere, integrity
from os_orchestrator import doors, journal


def test_nobody_but_its_owner_can_read_it(record):
    begin(record)
    with claimed_elsewhere(record, deployment="1") as (_, there):
        assert there.recv() == "claimed"
        with record._open() as db:
            db.execute("UPDATE deployments SET reason = 'x'")
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in (record.path.parent, *record.path.parent.iterdir())
            }
    assert modes.pop("here") == 0o700
    assert set(modes) >= {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "prod.lock"}
    assert set(modes.values()) == {0o600}


def test_it_is_not_open_to_others_even_for_an_instant(record):
    before = os.umask(0)
    try:
        begin(record)
    finally:
        os.umask(before)
    assert stat.S_IMODE(record.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.path.parent.stat().st_mode) == 0o700


def test_its_making_leaves_nothing_behind(record):
    begin(record)
    assert [path.name for path in record.path.parent.iterdir()] == ["journal.sqlite"]


def test_no_connection_stays_open(record):
    begin(record)
    record.deployment("1")
    opened = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
    assert not [path for path in opened if str(record.path) in path]


@pytest.mark.parametrize(
    "place",
    ["/proc/nowhere/journal.sqlite", "{tmp}/file/journal.sqlite", "{tmp}"],
    ids=["no directory can be made", "a file in place of the directory", "a directory in place of the file"],
)
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(doors.Refused) as refused:
        journal.Journal(place.format(tmp=tmp_path)).deployments()
    assert "cannot be opened" in str(refused.value)
    assert "see os_orchestrator:journal in the master's configuration" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_database_is_one_sentence(record):
    record.path.parent.mkdir()
    record.path.write_text("important notes of somebody, no database at all\n" * 100)
    with pytest.raises(doors.Refused, match=r"journal.sqlite cannot be used: file is not a database$"):
        begin(record)
    assert record.path.read_text().startswith("important notes")


@pytest.mark.parametrize("tables", ["", "CREATE TABLE mine (x);"])
def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(record, tables):
    record.path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.executescript(tables)
    with pytest.raises(doors.Refused, match=r"journal.sqlite is no journal of os-orchestrator; move it away"):
        begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        assert len(db.execute("SELECT * FROM sqlite_master").fetchall()) == (1 if tables else 0)


def test_a_place_with_odd_characters_is_a_place(tmp_path):
    record = journal.Journal(tmp_path / "50% ?of#it ü" / "the journal?mode=ro")
    begin(record)
    assert record.deployment("1")
    assert [path.name for path in record.path.parent.iterdir()] == ["the journal?mode=ro"]


def test_a_newer_journal_is_refused_and_left_as_it_is(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.execute(f"PRAGMA user_version = {journal.file.SCHEMA + 1}")
    for use in (record.deployments, lambda: begin(record, "2"), lambda: record.claim("prod", "2", "bob")):
        with pytest.raises(doors.Refused, match=r"written by a newer os-orchestrator \(tables 4, known 3\); upgrade"):
            use()
    assert integrity(record) == ["ok"]
    assert not journal.claims._locks


def test_an_older_journal_gets_what_it_lacks_and_keeps_what_it_has(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.executescript(
            "DROP TABLE steps; DROP TABLE interventions; DROP TABLE deployed; DROP INDEX runs_that_go_on;"
            " ALTER TABLE phases DROP COLUMN not_asked; ALTER TABLE phases DROP COLUMN settings;"
            " PRAGMA user_version = 1;"
        )
    assert record.deployment("1")["phases"][0]["not_asked"] == {}
    record.step("1", "node/started", 5.0, {"node": "n1"})
    (step,) = record.steps("1")
    assert (step["what"], step["at"], step["data"]) == ("node/started", 5.0, {"node": "n1"})
    assert integrity(record) == ["ok"]


def of_version(record, version):
    """Make a journal as an earlier version left it: a deployment of which some nodes were good."""
    record.path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.executescript(";".join(journal.file._TABLES[:version]))
        for number, (noop, verdict) in enumerate([(0, "changed"), (0, "failed"), (1, "unchanged"), (0, "unchanged")]):
            db.execute(
                "INSERT INTO deployments VALUES (?, 'prod', 'x', 'u', 'd', ?, 0, '', '{}', 'succeeded', '', 1.0, 2.0)",
                (str(number), noop),
            )
            db.execute(
                "INSERT INTO phases (deployment, number, name, kind, roles, nodes, state)"
                """ VALUES (?, 1, 'a', 'puppet', '["compute", "storage"]', '[]', 'succeeded')""",
                (str(number),),
            )
            db.execute(
                "INSERT INTO runs (deployment, phase, pass, node, attempt, run_id, verdict, ended)"
                " VALUES (?, 1, 1, ?, 1, 'r', ?, 5.0)",
                (str(number), f"n{number}", verdict),
            )
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


@pytest.mark.parametrize("version", [1, 2])
def test_a_journal_of_an_earlier_version_knows_who_has_been_deployed(record, version):
    of_version(record, version)
    good = {(role, node) for role in ("compute", "storage") for node in ("n0", "n3")}
    assert record.known("prod") == record.known("prod", 5.1) == good
    assert record.known("prod", 5.0) == frozenset()
    assert integrity(record) == ["ok"]
    with record._open() as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == journal.file.SCHEMA == 3
    begin(record, "9")
    record.decide("9", 1, "confirm", "bob", "")
    assert record.answer_given("9", 1)["user"] == "bob"
