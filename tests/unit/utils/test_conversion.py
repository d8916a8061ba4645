"""The node file of 2012 as an environment: what it said is kept, and what it did not say is said."""

import re

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from os_orchestrator import conversion, doors, environment

NOVEMBER = """
# node name -> address and role (controller, compute)
controller-01: {ip: 10.0.0.101, role: controller}
controller-02: {ip: 10.0.0.102, role: controller}
compute-01: {ip: 10.0.0.111, role: compute}
compute-02: {ip: 10.0.0.112, role: compute}
"""
DECEMBER = NOVEMBER + "use_case: full\nstorage-01: {ip: 10.0.0.121, role: storage}\nproxy-01: {role: proxy}\n"
FEBRUARY = r"""
domain_name: example.com
controller-01: {ip: 10.0.0.101, role: controller}
/compute-\d+/: {role: compute}
"""
MARCH = "common: {orchestrator_common: {use_case: minimal, domain_name: example.com}}" + NOVEMBER
IDS = [f"{name}-{number:02}" for name in ("controller", "compute", "storage", "proxy") for number in range(1, 4)]


def converted(text, name="prod"):
    """Return what the text of a file becomes, as Salt reads it: a Jinja template, then YAML."""
    sls = conversion.convert(text, "nodes.yaml", name)
    return yaml.safe_load(jinja2.Template(sls).render())["environments"][name]


def built(text):
    """Return the environment of a file, when all keys are accepted."""
    definition = converted(text)
    ids = {node for role in definition["roles"].values() for node in role if isinstance(role, list)}
    ids |= {*IDS, *(f"{each}.example.com" for each in IDS)}
    return environment.build("prod", definition, ids, lambda target, _: filter(re.compile(target).match, ids))


def nodes(text):
    return {role.name: list(role.nodes) for role in built(text).roles.values()}


# -- what the file said --------------------------------------------------------------------------------------------


def test_the_file_of_november():
    assert nodes(NOVEMBER) == {
        "primary_controller": ["controller-01"],
        "secondary_controller": ["controller-02"],
        "compute": ["compute-01", "compute-02"],
        "endpoint": [],
    }


def test_the_file_of_december_with_a_use_case_and_swift():
    found = nodes(DECEMBER)
    assert (found["storage"], found["ring_builder"], found["proxy"]) == (["storage-01"], ["proxy-01"], ["proxy-01"])


def test_in_compact_the_controllers_store():
    found = nodes("use_case: compact" + NOVEMBER)
    assert found["storage"] == found["proxy"] == ["controller-01", "controller-02"]
    assert found["ring_builder"] == ["controller-01"]


def test_the_file_of_february_with_an_expression_and_a_domain():
    found = nodes(FEBRUARY)
    assert found["primary_controller"] == ["controller-01.example.com"]
    assert found["compute"] == sorted([*IDS[3:6], *(f"{each}.example.com" for each in IDS[3:6])])


def test_the_file_of_march_with_common_settings():
    assert nodes(MARCH)["primary_controller"] == ["controller-01.example.com"]


def test_an_expression_matches_where_it_did_there():
    assert nodes("/pute/: {role: compute}")["compute"] == sorted(
        [*IDS[3:6], *(f"{each}.example.com" for each in IDS[3:6])]
    )
    assert nodes("/^compute-01$/: {role: compute}")["compute"] == ["compute-01"]
    assert nodes("/e-01$|e-02$/: {role: compute}")["compute"] == [
        "compute-01",
        "compute-02",
        "storage-01",
        "storage-02",
    ]


def test_names_and_expressions_of_one_role_are_one_expression():
    text = "compute-01: {role: compute}\n/^compute-02$/: {role: compute}\n/^compute-03$/: {role: compute}"
    assert nodes(text)["compute"] == IDS[3:6]


def test_roles_of_the_scenarios_are_taken_as_they_are():
    found = nodes("a: {role: primary-controller}\nb: {role: ring_builder}\nc: {role: endpoint}")
    assert (found["primary_controller"], found["ring_builder"], found["endpoint"]) == (["a"], ["b"], ["c"])


# -- what it did not say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (NOVEMBER, "the file has no endpoint; its phases are left out"),
        (NOVEMBER, "# 10.0.0.101"),
        (NOVEMBER, "# the first by name\n      primary_controller:"),
        (NOVEMBER, "Puppet: puppet_environment, timeouts and how many at once have their defaults"),
        (NOVEMBER, "writer: {checks: []}"),
        (DECEMBER, "Its use_case was full"),
        (DECEMBER, "the first proxy is a guess"),
        ("use_case: full\na: {role: storage}", "TO DO: which node?"),
        (FEBRUARY, "Names without a dot have got its domain_name, example.com."),
        (FEBRUARY, r"# was /compute-\d+/, whoever answered"),
        (FEBRUARY, "add `count`, else a node without a key goes unnoticed"),
        ("/control/: {role: controller}", "TO DO: the first controller; until it is here, its phase is left out"),
    ],
)
def test_what_the_file_could_not_know_is_said_in_comments(text, remark):
    assert remark in conversion.convert(text, "nodes.yaml", "prod")


# -- bad files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "nodes.yaml holds nothing, not nodes; write each as `name: {ip: …, role: …}`"),
        ("[a, b]", "nodes.yaml holds a list, not nodes; write each as `name: {ip: …, role: …}`"),
        ("just text", "nodes.yaml holds 'just text', not nodes; write each as `name: {ip: …, role: …}`"),
        ("use_case: full", "nodes.yaml: it names no node; write each as `name: {ip: …, role: …}`"),
        ("a: {ip: 1}", "nodes.yaml: a has no role; write one of controller, compute, storage, proxy"),
        (
            "a: {role: computes}",
            "nodes.yaml: a has role 'computes' (did you mean 'compute'?);"
            " write one of controller, compute, storage, proxy",
        ),
        ("a: compute", "nodes.yaml: a is 'compute', not a mapping with a role; write `{ip: …, role: …}`"),
        ("usecase: full", "nodes.yaml: usecase is 'full', not a mapping with a role; write 'use_case'"),
        (
            "use_case: ful\na: {role: compute}",
            "nodes.yaml: use_case is 'ful' (did you mean 'full'?); write one of minimal, simple, compact, full",
        ),
        (
            "domain_name: [a]\na: {role: compute}",
            "nodes.yaml: domain_name is ['a']; write a domain such as example.com",
        ),
        (
            "common: {}\na: {role: compute}",
            "nodes.yaml: common holds no mapping orchestrator_common; write `common: {orchestrator_common: {…}}`",
        ),
        (
            "cmp*: {role: compute}",
            "nodes.yaml: cmp* is no minion id; write one without blanks, slashes and wildcards, or /regex/",
        ),
        (
            "/cmp(/: {role: compute}",
            "nodes.yaml: /cmp(/ is no regular expression that Salt can match:"
            " missing ), unterminated subpattern at position 3; correct it",
        ),
        (
            "//: {role: compute}",
            "nodes.yaml: // is no regular expression that Salt can match: it is empty or not printable; correct it",
        ),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(text, sentence):
    with pytest.raises(doors.Refused) as refused:
        conversion.convert(text, "nodes.yaml", "prod")
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "text", ["a: [", "a: {role: compute}\na: {role: proxy}", "\x00", "a: !!python/object:os.system x"]
)
def test_what_is_no_yaml_or_names_a_node_twice_is_told_in_one_line(text):
    with pytest.raises(doors.Refused, match=r"^nodes.yaml is no YAML: [^\n]+; correct it there$"):
        conversion.convert(text, "nodes.yaml", "prod")


def test_all_mistakes_are_told_at_once():
    with pytest.raises(doors.Refused) as refused:
        conversion.convert("a: {ip: 1}\nb: {role: x}\nuse_case: y", "nodes.yaml", "prod")
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["", "a b", "../x", "a\nb", "x" * 65])
def test_a_bad_name_is_refused(name):
    with pytest.raises(doors.Refused, match="the environment cannot be called"):
        conversion.convert(NOVEMBER, "nodes.yaml", name)


# -- whatever is in it ---------------------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from("ab1.-_ {}%#\"'\\:/*[]!&\n\tü"), min_size=1, max_size=12)


@given(
    st.dictionaries(
        st.one_of(WORDS, WORDS.map(lambda word: f"/{word}/"), st.sampled_from([*IDS, "on", "null", "1e5", "0x1f"])),
        st.fixed_dictionaries({"role": st.sampled_from(["controller", "compute", "storage", "proxy"]), "ip": WORDS}),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_converted_reads_back_and_is_valid(file):
    text = yaml.safe_dump(file)
    try:
        definition = converted(text)
    except doors.Refused:
        return
    match = lambda target, _: [re.compile(target).pattern]  # noqa: E731
    every = {node for role in definition["roles"].values() for node in role if isinstance(role, list)}
    targets = {role["target"] for role in definition["roles"].values() if isinstance(role, dict)}
    found = environment.build("prod", definition, every | targets, match)
    listed = {node for role in found.roles.values() for node in role.nodes} - targets
    assert listed == _named(file)


def _named(file):
    """Return the names of a file that are nodes in the end: where a role has an expression, its names are in that."""
    expressions = {str(key) for key in file if re.fullmatch("/.*/", str(key), re.S)}
    roles = {file[key]["role"] for key in expressions}
    return {key for key, entry in file.items() if entry["role"] not in roles}
