"""The runner ``environment`` on a real master's configuration: files, keys and pillar, but no daemon."""

import json
from pathlib import Path

import pytest
from masters import Master
from os_orchestrator import doors, environment

pytestmark = pytest.mark.salt

REPOSITORY = Path(__file__).resolve().parents[3]
PROD = """
environments:
  prod:
    roles:
      controller: [ctl1]
      compute: {target: 'cmp*', count: 2}
      endpoint: []
    exclude: {cmp2: disk broken}
    puppet: {puppet_environment: production, tags: [nova]}
    gates:
      writer:
        checks:
          - {function: db.ready, role: compute, kwargs: {user: nova, password: hunter2}}
"""


@pytest.fixture
def master(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "states").mkdir()
    found = Master(tmp_path)
    found.configure()
    found.accept("ctl1", "cmp1", "cmp2")
    found.environments(PROD)
    return found


# -- what the commands say -----------------------------------------------------------------------------------------


def test_list_names_the_environments_and_their_roles(master):
    answer, retcode = master.call("environment.list")
    assert retcode == 0
    assert answer["environments"] == {"prod": ["controller", "compute", "endpoint"]}
    assert answer["text"] == "prod  controller, compute, endpoint"


def test_show_gives_what_an_environment_comes_to(master):
    answer, retcode = master.call("environment.show", "prod")
    assert retcode == 0
    assert answer["roles"]["compute"] == {"nodes": ["cmp1"], "puppet": {}}
    assert answer["roles"]["endpoint"]["nodes"] == []
    assert answer["excluded"] == {"cmp2": "disk broken"}
    assert answer["puppet"]["timeout"] == 3600
    assert answer["text"].splitlines() == [
        f"prod  ({answer['digest'][:12]})",
        "",
        "roles",
        "  controller  ctl1",
        "  compute     cmp1",
        "  endpoint    none here",
        "",
        "excluded",
        "  cmp2  disk broken",
        "",
        "puppet",
        "  all  puppet_environment production, max_failures 0, concurrency 50, timeout 3600, lock_timeout",
        "       600, tags nova, noop false, ping_timeout 15, grace 60",
        "",
        "gates",
        "  writer  db.ready user=nova password=******** on compute: 1 in a row, every 5 s, within 300 s",
    ]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"password": "hunter2"},
        {"DB_PASSWD": "hunter2"},
        {"auth_token": ["hunter2"]},
        {"secret": {"deep": {"er": "hunter2"}}},
        {"api_key": "hunter2"},
        {"url": "mysql://nova:hunter2@10.0.0.10/nova"},
        {"text": "-----BEGIN RSA PRIVATE KEY-----\nhunter2"},
    ],
)
def test_what_looks_secret_is_shown_nowhere(master, kwargs):
    check = {"function": "db.ready", "role": "controller", "kwargs": {"user": "nova", **kwargs}}
    gates = {"writer": {"checks": [check]}}
    master.environments(json.dumps({"environments": {"prod": {"roles": {"controller": ["ctl1"]}, "gates": gates}}}))
    answer, retcode = master.call("environment.show", "prod")
    assert retcode == 0
    assert "nova" in str(answer)
    assert "hunter2" not in str(answer)


def test_validate_says_of_each_environment_that_it_is_valid(master):
    answer, retcode = master.call("environment.validate")
    assert retcode == 0
    assert answer["environments"] == {"prod": {"valid": True, "mistakes": []}}
    assert answer["text"] == "prod is valid: 3 roles, 2 nodes, 1 gate, 1 excluded"


def test_validate_names_the_mistakes_of_all_environments_and_exits_with_2(master):
    master.environments(PROD + "  other: {roles: {a: [nope], b: {target: 'zz*'}}, x: 1}\n")
    answer, retcode = master.call("environment.validate")
    assert retcode == 2
    assert answer["environments"]["prod"]["valid"]
    assert [set(mistake) for mistake in answer["environments"]["other"]["mistakes"]] == [{"path", "found", "cure"}] * 3
    lines = answer["text"].splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [
        "environments:other",
        "environments:other:roles:a",
        "environments:other:roles:b",
    ]
    assert lines[3].startswith("prod is valid")


def test_validate_of_one_environment_leaves_the_others_alone(master):
    master.environments(PROD + "  other: {x: 1}\n")
    assert master.call("environment.validate", "prod")[1] == 0
    assert master.call("environment.validate", environment="other")[1] == 2


def test_an_unknown_environment_is_refused_with_those_that_there_are(master):
    sentence = "there is no environment 'prd' (did you mean 'prod'?); there are prod"
    assert master.call("environment.show", "prd") == ({"error": sentence}, 2)
    assert master.call("environment.validate", "prd") == ({"error": sentence}, 2)


def test_an_environment_may_be_named_with_a_number(master):
    master.environments("environments: {2026: {roles: {}}}")
    assert master.call("environment.validate", 2026)[1] == 0


def test_a_key_that_is_not_accepted_does_not_count(master):
    master.accept("cmp3", state="minions_pre")
    assert master.call("environment.show", "prod")[0]["roles"]["compute"]["nodes"] == ["cmp1"]


# -- from the file of 2012 -----------------------------------------------------------------------------------------

NODES = r"""
use_case: full
controller-01: {ip: 10.0.0.101, role: controller}
controller-02: {ip: 10.0.0.102, role: controller}
/compute-\d{2}/: {role: compute}
storage-01: {ip: 10.0.0.121, role: storage}
proxy-01: {ip: 10.0.0.131, role: proxy}
"""


def test_convert_writes_a_pillar_that_is_valid(master):
    (master.root / "nodes.yaml").write_text(NODES)
    master.accept("controller-01", "controller-02", "compute-01", "compute-02", "storage-01", "proxy-01")
    done = master.salt_run("environment.convert", str(master.root / "nodes.yaml"), "old")
    assert done.returncode == 0, done.stdout
    master.environments(done.stdout)
    answer, retcode = master.call("environment.validate", "old")
    assert (answer["text"], retcode) == ("old is valid: 7 roles, 6 nodes, 1 gate", 0)
    roles = master.call("environment.show", "old")[0]["roles"]
    assert roles["compute"]["nodes"] == ["compute-01", "compute-02"]
    assert roles["primary_controller"]["nodes"] == ["controller-01"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "{file} cannot be read: No such file or directory; name the file with the nodes"),
        (b"\xff\xfe", "{file} cannot be read: it is no UTF-8 text; name the file with the nodes"),
        (b"a: {role: x}", "nodes.yaml: a has role 'x'; write one of controller, compute, storage, proxy"),
    ],
)
def test_convert_refuses_a_bad_file_in_one_sentence(master, content, sentence):
    file = master.root / "nodes.yaml"
    if content is not None:
        file.write_bytes(content)
    answer, retcode = master.call("environment.convert", str(file))
    assert (answer, retcode) == ({"error": sentence.format(file=file)}, 2)


# -- the pillar ----------------------------------------------------------------------------------------------------


def test_the_pillar_is_compiled_alone(master):
    opts = {**master.opts, "pillar": {"environments": {"evil": {}}}}
    assert list(environment.definitions(opts)) == ["prod"]


def test_a_cached_pillar_is_not_used(master):
    master.configure(pillar_cache=True, pillar_cache_backend="disk")
    environment.definitions(master.opts)
    master.environments(PROD.replace("prod:", "next:"))
    assert list(environment.definitions(master.opts)) == ["next"]


def test_the_environments_may_be_the_pillar_of_another_id(master):
    master.configure(os_orchestrator={"pillar_id": "deployments"})
    master.pillar("top", "base:\n  deployments:\n    - own\n")
    assert list(environment.definitions(master.opts)) == ["mine"]


def test_environments_of_several_files_are_merged_and_may_use_jinja(master):
    master.pillar("top", "base:\n  os-orchestrator:\n    - environments\n    - more\n")
    master.pillar("more", "environments:\n  {% for name in ['a', 'b'] %}\n  {{ name }}: {roles: {}}\n  {% endfor %}\n")
    assert sorted(environment.definitions(master.opts)) == ["a", "b", "prod"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a: {{ nope(",
            "Rendering SLS 'environments' failed, render error: Jinja syntax error: unexpected 'end of template'",
        ),
        ("a: [", "Rendering SLS 'environments' failed, render error: while parsing a flow node"),
        ("#!nosuch\na: b", 'The renderer "nosuch" is not available'),
        ("- a", "SLS 'environments' does not render to a dictionary"),
        ("include: [nope]", "Specified SLS 'nope' in environment 'base' is not available on the salt master"),
        (
            "{% include 'nope.sls' %}",
            "Rendering SLS 'environments' failed, render error: Jinja error: nope.sls; line 1",
        ),
    ],
)
def test_an_error_in_the_pillar_is_fatal_and_one_sentence(master, caplog, text, sentence):
    master.environments(text)
    answer, retcode = master.call("environment.list")
    assert retcode == 2
    assert answer["error"].startswith(f"pillar of os-orchestrator: {sentence}")
    assert len(answer["error"].splitlines()) == 1
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize(
    ("top", "sentence"),
    [
        ("base: {{ nope(", "Rendering Primary Top file failed, render error: Jinja syntax error"),
        ("- base", "it cannot be compiled (AttributeError: "),
    ],
)
def test_an_error_in_the_top_file_is_fatal_too(master, top, sentence):
    master.pillar("top", top)
    with pytest.raises(doors.Refused) as refused:
        environment.definitions(master.opts)
    assert str(refused.value).startswith(f"pillar of os-orchestrator: {sentence}")


def test_an_external_pillar_takes_part(master):
    master.configure(ext_pillar=[{"cmd_yaml": "echo 'environments: {more: {roles: {}}}'"}])
    assert sorted(environment.definitions(master.opts)) == ["more", "prod"]


def test_an_external_pillar_that_is_not_there_is_fatal(master):
    master.configure(ext_pillar=[{"nosuch": "x"}])
    with pytest.raises(doors.Refused, match=r"^pillar of os-orchestrator: .* nosuch is unavailable"):
        environment.definitions(master.opts)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "the pillar of os-orchestrator has no environments; name their SLS under 'os-orchestrator' in"),
        ("enviroments: {}", "the pillar of os-orchestrator has no environments (but 'enviroments'); name their SLS"),
        ("environments: [prod]", "environments: found a list; write a mapping of names to environments"),
    ],
)
def test_a_pillar_without_environments_is_refused(master, text, sentence):
    master.environments(text)
    answer, retcode = master.call("environment.list")
    assert retcode == 2
    assert answer["error"].startswith(sentence)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("minions", "accepted"),
        ("minions_pre", "pending"),
        ("minions_rejected", "rejected"),
        ("minions_denied", "denied"),
    ],
)
def test_a_key_of_the_virtual_id_is_refused_in_every_state(master, state, word):
    master.accept("os-orchestrator", state=state)
    with pytest.raises(doors.Refused) as refused:
        environment.definitions(master.opts)
    assert str(refused.value) == (
        f"a minion has a key of the id os-orchestrator ({word}), which must belong to none, "
        "since its pillar holds the environments; delete it with salt-key -d os-orchestrator"
    )


# -- the example ---------------------------------------------------------------------------------------------------

DEMO = ["ctl1", "ctl2", "cmp1", "cmp2", "ep1", "st1", "st2", "ring1", "px1"]
PRODUCTION = [
    "ctl1",
    "ctl2",
    "mon1",
    "cmp1",
    "cmp2",
    "cmp3",
    "cmp4",
    "lb1",
    "puppet1",
    "st1",
    "st2",
    "st3",
    "ring1",
    "px1",
    "px2",
]


@pytest.mark.parametrize(("name", "nodes"), [("demo", DEMO), ("prod", [f"{node}.example.com" for node in PRODUCTION])])
def test_the_example_is_valid_with_keys_of_its_nodes(master, name, nodes):
    master.configure(
        pillar_roots={"base": [str(REPOSITORY / "pillar.example")]}, pki_dir=str(master.root / "of_the_example")
    )
    master.accept(*nodes)
    answer, retcode = master.call("environment.validate", name)
    assert retcode == 0, answer["text"]


# -- on the command line -------------------------------------------------------------------------------------------


def test_the_command_line_shows_text_and_exits_with_0(master):
    done = master.salt_run("environment.validate")
    assert done.stdout == "prod is valid: 3 roles, 2 nodes, 1 gate, 1 excluded\n"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["show"], "environment.show needs environment; it takes environment"),
        (
            ["list", "enviroment=prod"],
            "environment.list does not know the argument 'enviroment'; it takes no arguments",
        ),
    ],
)
def test_the_command_line_refuses_in_one_sentence_and_exits_with_2(master, args, sentence):
    done = master.salt_run(f"environment.{args[0]}", *args[1:])
    assert done.stdout == f"{sentence}\n"
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_broken_pillar_is_one_sentence_without_a_traceback(master):
    master.environments("a: {{ nope(")
    done = master.salt_run("environment.validate")
    assert len(done.stdout.splitlines()) == 1
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_json_is_one_document(master):
    master.environments(PROD + "  other: {x: 1}\n")
    done = master.salt_run("environment.validate", "--out", "json")
    assert not json.loads(done.stdout)["answer"]["environments"]["other"]["valid"]
    assert done.returncode == 2


ORCHESTRATION = """
Valid:
  salt.runner:
    - name: environment.validate
    - environment: prod
List:
  salt.runner:
    - name: environment.list
"""


def test_in_an_orchestration_a_success_is_one_and_its_pillar_is_not_merged(master):
    (master.root / "states/o.sls").write_text(ORCHESTRATION)
    done = master.salt_run("state.orch", "o", 'pillar={"environments": {"evil": {"roles": {}}}}', "--out", "json")
    states = json.loads(done.stdout)["data"]["themaster"].values()
    results = {state["__id__"]: state for state in states}
    assert results["Valid"]["result"]
    assert results["List"]["changes"]["return"]["answer"]["environments"] == {
        "prod": ["controller", "compute", "endpoint"]
    }
    assert done.returncode == 0


def test_in_an_orchestration_a_mistake_is_a_failure(master):
    master.environments(PROD.replace("cmp*", "nope*"))
    (master.root / "states/o.sls").write_text(ORCHESTRATION)
    assert master.salt_run("state.orch", "o").returncode == 1
