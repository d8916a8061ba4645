"""Every verdict of a run of ``puppet apply``, caused for real."""

import json
import stat
import threading

import pytest
import salt.exceptions

pytestmark = pytest.mark.salt

FAILING = "exec { 'start-slave': command => '/bin/false' }\n"


def failures(outcome):
    return {each["resource"]: each["tolerated"] for each in outcome["failures"]}


def test_a_run_that_changes_something_and_then_nothing(node):
    node.manifest("file { 'ROOT/motd': content => \"welcome\\n\" }")
    first, second = node.run(run_id="first"), node.run(run_id="second")
    assert (first["verdict"], first["exit_code"]) == ("changed", 2)
    assert first["changes"][0]["resource"] == f"File[{node.root}/motd]"
    assert (second["verdict"], second["exit_code"], second["changes"]) == ("unchanged", 0, [])
    assert (first["environment"], first["mode"], first["noop"]) == ("production", "apply", False)
    assert first["started"] <= first["finished"]
    assert first["transaction_uuid"] != second["transaction_uuid"]
    assert "retcode" not in node.context


def test_noop_says_what_would_change_and_changes_nothing(node):
    node.manifest("file { 'ROOT/motd': content => 'welcome' }")
    outcome = node.run(noop=True)
    assert (outcome["verdict"], outcome["noop"], outcome["exit_code"]) == ("changed", True, 0)
    assert "should be 'file' (noop)" in outcome["changes"][0]["message"]
    assert not (node.root / "motd").exists()


def test_tags_run_only_what_has_them(node):
    node.manifest(
        "file { 'ROOT/a': ensure => present, tag => 'one' } file { 'ROOT/b': ensure => present, tag => 'two' }"
    )
    assert node.run(tags="one")["verdict"] == "changed"
    assert ((node.root / "a").exists(), (node.root / "b").exists()) == (True, False)
    assert node.run(skip_tags=["two"])["verdict"] == "unchanged"


def test_a_failing_resource_fails_the_run(node):
    node.manifest(FAILING)
    outcome = node.run()
    assert (outcome["verdict"], outcome["exit_code"]) == ("failed", 4)
    assert outcome["failures"][0]["file"] == str(node.root / "site.pp")
    assert "Exec[start-slave]: change from 'notrun' to ['0'] failed" in outcome["reason"]
    assert node.context["retcode"] == 1


def test_a_failed_refresh_fails_the_run(node):
    node.manifest(
        "file { 'ROOT/conf': ensure => present } ~> exec { 'restart': command => '/bin/false', refreshonly => true }"
    )
    outcome = node.run()
    assert (outcome["verdict"], outcome["resources"]["failed_to_restart"]) == ("failed", 1)
    assert outcome["failures"][0]["message"].startswith("Failed to call refresh")


def test_resources_skipped_for_a_failed_dependency_are_told(node):
    node.manifest(FAILING + "notify { 'a': require => Exec['start-slave'] } -> notify { 'b': }")
    outcome = node.run()
    assert outcome["verdict"] == "failed"
    assert failures(outcome) == {"Exec[start-slave]": False, "Notify[a]": False, "Notify[b]": False}


def test_may_fail_tolerates_exactly_what_it_names(node):
    node.manifest(FAILING + "notify { 'a': require => Exec['start-slave'] }")
    outcome = node.run(may_fail="Exec[start-*]")
    assert (outcome["verdict"], outcome["exit_code"]) == ("tolerated", 4)
    assert failures(outcome) == {"Exec[start-slave]": True, "Notify[a]": True}
    assert "retcode" not in node.context
    node.manifest(FAILING + "exec { 'other': command => '/bin/false' }")
    outcome = node.run(may_fail=["Exec[start-*]"])
    assert (outcome["verdict"], failures(outcome)) == ("failed", {"Exec[start-slave]": True, "Exec[other]": False})


def test_may_fail_does_not_tolerate_a_catalog_that_cannot_be_compiled(node):
    node.manifest("notify { 'x': message => no_such_function() }")
    outcome = node.run(may_fail="*")
    assert (outcome["verdict"], outcome["exit_code"]) == ("no_catalog", 1)
    assert "no_such_function" in outcome["reason"]


def test_an_environment_that_does_not_exist_is_no_catalog(node):
    outcome = node.run(puppet_environment="nosuch")
    assert outcome["verdict"] == "no_catalog"
    assert "'nosuch'" in outcome["reason"]


def test_a_node_without_puppet_says_so(bare_node):
    outcome = bare_node.load(puppet="/opt/nowhere/puppet").run(run_id="r1")
    assert outcome["verdict"] == "not_started"
    assert outcome["reason"] == "/opt/nowhere/puppet is not on this node: install Puppet"
    assert bare_node.last_run("r1") == outcome


def test_a_puppet_that_cannot_be_executed_says_so(bare_node):
    broken = bare_node.root / "puppet"
    broken.write_text("#!/no/such/ruby\n")
    broken.chmod(0o755)
    outcome = bare_node.load(puppet=str(broken)).run()
    assert (outcome["verdict"], outcome["started"] is None) == ("not_started", False)
    assert "cannot be started: No such file or directory" in outcome["reason"]


def test_a_disabled_node_applies_nothing_and_tells_why(node):
    node.manifest("file { 'ROOT/motd': ensure => present }")
    assert node.disable("new disks, until Friday") == {
        "enabled": False,
        "disabled_message": "new disks, until Friday",
        "changed": True,
    }
    outcome = node.run()
    assert (outcome["verdict"], "new disks, until Friday" in outcome["reason"]) == ("disabled", True)
    assert not (node.root / "motd").exists()
    node.enable()
    assert node.run()["verdict"] == "changed"


def test_a_run_is_made_once_however_often_it_is_asked_for(node):
    node.manifest("exec { '/bin/sh -c \"echo run >> ROOT/count; sleep 1\"': }")
    outcomes = []
    asking = [threading.Thread(target=lambda: outcomes.append(node.run(run_id="once"))) for _ in range(3)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert node.run(run_id="once") == outcomes[0]
    assert [each["verdict"] for each in outcomes] == ["changed"] * 3
    assert (node.root / "count").read_text() == "run\n"


def test_a_run_is_not_taken_for_one_with_other_arguments(node):
    assert node.run(run_id="r1", noop=True)["verdict"] == "unchanged"
    with pytest.raises(salt.exceptions.CommandExecutionError, match="was started with noop=True: give another run_id"):
        node.run(run_id="r1")
    with pytest.raises(salt.exceptions.CommandExecutionError, match="give another run_id"):
        node.start(run_id="r1", noop=True, tags="x")
    assert node.run(run_id="r1", noop=True, timeout=5)["verdict"] == "unchanged"


def test_what_a_run_leaves_is_for_root_alone(node):
    node.run(run_id="r1")
    folder = node.folder("r1")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, folder.parent.parent)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {
        *("request.json", "state.json", "exit.json", "outcome.json", "output.log", "report.yaml", "lock", "start.lock")
    }


def test_what_puppet_makes_has_the_usual_rights(node):
    node.manifest("exec { '/bin/touch ROOT/made': creates => 'ROOT/made' }")
    assert node.run()["verdict"] == "changed"
    assert stat.S_IMODE((node.root / "made").stat().st_mode) == 0o644


def test_secrets_and_diffs_stay_on_the_node(node):
    sensitive = "notify { 'x': message => Sensitive('a marked hush') }"
    node.manifest(f"file {{ 'ROOT/motd': content => \"an old hush\\n\" }} {sensitive}")
    first = node.run()
    node.manifest("file { 'ROOT/motd': content => \"a new hush\\n\" }")
    quiet, shown = node.run(noop=True), node.run(run_id="r1", show_diff=True)
    assert [each["verdict"] for each in (first, quiet, shown)] == ["changed"] * 3
    assert "hush" not in json.dumps([first, quiet, shown])
    assert "+a new hush" in (node.folder("r1") / "output.log").read_text()


def test_the_environment_of_puppet_is_not_that_of_the_minion(node, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/saltstack/salt/lib")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    node.manifest("exec { '/bin/sh -c \"env > ROOT/env\"': }")
    node.run()
    found = (node.root / "env").read_text()
    assert "LD_LIBRARY_PATH" not in found
    assert "de_DE" not in found


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("run", {"run_id": "../../etc"}),
        ("run", {"noop": "yes"}),
        ("run", {"tags": "a;reboot"}),
        ("start", {"timeout": 0}),
        ("start", {"puppet_environment": "Prod"}),
        ("run", {"mode": "solo"}),
        ("wait", {"run_id": "r1", "timeout": "soon"}),
        ("stop", {"run_id": "a b"}),
        ("status", {"run_id": ""}),
        ("last_run", {"run_id": 7}),
        ("wait", {}),
        ("stop", {}),
        ("disable", {}),
        ("disable", {"message": ""}),
        ("disable", {"message": "--enable"}),
        ("disable", {"message": "two\nlines"}),
    ],
)
def test_a_wrong_argument_runs_nothing(node, function, arguments):
    with pytest.raises(salt.exceptions.SaltInvocationError) as refused:
        getattr(node, function)(**arguments)
    assert "\n" not in str(refused.value)
    assert not (node.root / "cache/puppet_agent").exists()


def test_an_unknown_run_is_an_error(node):
    for function in (node.wait, node.stop, node.status, node.last_run):
        with pytest.raises(salt.exceptions.CommandExecutionError, match="this node knows no run r1"):
            function("r1")


def test_unknown_settings_of_a_node_are_refused(bare_node):
    with pytest.raises(salt.exceptions.CommandExecutionError, match="it may have puppet, confdir"):
        bare_node.load(verbose=True).run()
