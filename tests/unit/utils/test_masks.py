"""What looks secret is masked, and what does not stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_orchestrator import masks

MASK = "********"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("password=hunter2", f"password={MASK}"),
        ("mysql --password=hunter2 -e x", f"mysql --password={MASK} -e x"),
        ("mysql --db-password hunter2 -e x", f"mysql --db-password {MASK} -e x"),
        ('{"admin_token": "hunter2", "port": 5000}', f'{{"admin_token": "{MASK}", "port": 5000}}'),
        ("secret => 'hunter2',", f"secret => '{MASK}',"),
        ("PASSWD: hunter2", f"PASSWD: {MASK}"),
        ("mysql://nova:hunter2@db/nova", f"mysql://nova:{MASK}@db/nova"),
        ("User[nova]/password changed 'hunter2' to 'hunter3'", f"User[nova]/password changed '{MASK}' to '{MASK}'"),
        ("api_key=hunter2&x=1", f"api_key={MASK}&x=1"),
        ("the password was refused", "the password was refused"),
        ("Exec[keystone-token-flush]: executed successfully", "Exec[keystone-token-flush]: executed successfully"),
        ("could not connect to db1:3306", "could not connect to db1:3306"),
        ("changed 'a' to 'b'", "changed 'a' to 'b'"),
    ],
)
def test_a_value_after_a_name_that_says_secret_is_masked(said, shown):
    assert masks.text(said) == shown


def test_a_resource_that_is_called_secret_shows_no_values():
    rows = [
        {
            "resource": "Keystone_config[database/password]",
            "message": "value changed 'hunter2' to 'hunter3'",
            "line": 3,
        },
        {"resource": "Nova_config[port]", "message": "value changed '1' to '2'", "line": None},
    ]
    assert masks.told(rows) == [
        {**rows[0], "message": f"value changed '{MASK}' to '{MASK}'"},
        rows[1],
    ]


@given(st.text())
def test_whatever_is_said_is_masked_or_left(said):
    assert isinstance(masks.text(said), str)


@given(st.from_regex(r"[a-z]{0,5}password(=|: | => )", fullmatch=True), st.text("abcdefgh12345", min_size=9))
def test_no_such_value_gets_through(name, value):
    assert value not in masks.text(f"x {name}{value} y")
