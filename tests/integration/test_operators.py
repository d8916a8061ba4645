"""An operator who may run deployments and nothing else: docs/security.md, held to a real master."""

import pytest

pytestmark = pytest.mark.salt

ENVIRONMENT = "{environments: {prod: {roles: {storage: [o1]}, puppet: {ping_timeout: 15}}}}"


@pytest.fixture(scope="module")
def guarded(open_house, file_root, tmp_path_factory):
    """A master that knows the operator ops, as docs/security.md says, and one minion."""
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text("ops:four words of nonsense\n")
    allowed = ["deployment.*", "environment.list", "environment.validate"]
    by_file = {"^filename": str(users), "^filetype": "text", "ops": [{"@runner": allowed}]}
    here = {"module_dirs": [str(file_root)]}
    options = {"master_options": {**here, "external_auth": {"file": by_file}}, "minion_options": here}
    with open_house("o", ["o1"], **options) as house:
        house.pillar("prod", ENVIRONMENT)
        yield house


def as_ops(house, program, *arguments, password="four words of nonsense"):
    who = ("-a", "file", "--username=ops", f"--password={password}")
    return house.run(program, *who, *arguments)


def test_the_operator_deploys(guarded):
    result = as_ops(guarded, "salt-run", "deployment.puppet", "prod", "storage")
    assert result.returncode == 0, result.stdout + result.stderr
    (row,) = guarded.salt_run("deployment.history", "prod").data["answer"]["deployments"]
    assert (row["user"], row["state"]) == ("ops", "succeeded")


def test_a_deployment_that_failed_has_failed_for_the_operator_too(guarded):
    guarded.manifest("o1", "exec { '/bin/false': }")
    result = as_ops(guarded, "salt-run", "deployment.puppet", "prod", "storage")
    guarded.manifest("o1", "")
    assert result.returncode == 1
    assert "Exec[/bin/false]" in result.stdout


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("salt-run", ["state.orch", "orch.swift"]),
        ("salt-run", ["salt.cmd", "cmd.run", "id"]),
        ("salt-run", ["environment.show", "prod"]),
        ("salt-run", ["pillar.show_pillar", "os-orchestrator"]),
        ("salt", ["o1", "test.ping"]),
        ("salt", ["o1", "cmd.run", "id"]),
        ("salt", ["o1", "puppet_agent.run"]),
    ],
)
def test_all_else_is_refused(guarded, program, arguments):
    result = as_ops(guarded, program, *arguments)
    # Salt's own words, and its exit status: 0, although it did nothing.
    assert result.data in (
        'Authentication failure of type "eauth" occurred for user ops.',
        "Authorization error occurred.",
    )


def test_a_stranger_deploys_nothing(guarded):
    before = guarded.salt_run("deployment.history").data
    result = as_ops(guarded, "salt-run", "deployment.puppet", "prod", "storage", password="guess")
    assert result.data == 'Authentication failure of type "eauth" occurred for user ops.'
    assert guarded.salt_run("deployment.history").data == before
