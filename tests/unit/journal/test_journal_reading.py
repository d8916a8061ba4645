"""What the journal tells."""

import contextlib
import sqlite3

from journals import begin


def test_what_is_not_there_is_none_or_nothing(record):
    assert record.deployment("1") is None
    assert record.deployments() == []
    assert record.holder("prod") is None
    assert record.seconds("prod", "compute") == {}


def test_the_newest_deployments_come_first_and_of_one_environment_if_asked(record):
    for number, environment in enumerate(("prod", "test", "prod", "prod"), 1):
        begin(record, str(number), environment)
    assert [head["id"] for head in record.deployments()] == ["4", "3", "2", "1"]
    assert [head["id"] for head in record.deployments("prod")] == ["4", "3", "1"]
    assert [head["id"] for head in record.deployments("prod", limit=2)] == ["4", "3"]
    assert record.deployments("nowhere") == []


def test_how_long_a_phase_took_is_of_its_last_success(record):
    begin(record, phases=("a", "b"))
    begin(record, "2", phases=("a",), noop=True)
    with record._open() as db:
        db.execute(
            "UPDATE phases SET state = 'succeeded', started = 100, ended = 107 WHERE deployment = '1' AND number = 1"
        )
        db.execute(
            "UPDATE phases SET state = 'failed', started = 100, ended = 108 WHERE deployment = '1' AND number = 2"
        )
        db.execute("UPDATE phases SET state = 'succeeded', started = 200, ended = 201 WHERE deployment = '2'")
    assert record.seconds("prod", "compute") == {"a": 7}
    begin(record, "3", phases=("a",))
    with record._open() as db:
        db.execute("UPDATE phases SET state = 'succeeded', started = 300, ended = 302 WHERE deployment = '3'")
    assert record.seconds("prod", "compute") == {"a": 2}
    assert record.seconds("prod", "swift") == record.seconds("test", "compute") == {}


def test_a_gate_is_held_since_the_first_of_the_last_rounds_that_were_not_good(record):
    begin(record)
    with contextlib.closing(sqlite3.connect(record.path)) as db, db:
        db.execute("UPDATE phases SET kind = 'gate'")
        rows = [(number, float(number), good) for number, good in enumerate((0, 1, 0, 0), 1)]
        db.executemany("INSERT INTO rounds VALUES ('1', 1, ?, ?, ?, '[]')", rows)
    assert record.deployment("1")["phases"][0]["held_since"] == 3.0
    record.round("1", 1, 5, True, [])
    assert record.deployment("1")["phases"][0]["held_since"] is None
