"""A plan as a graph: what is in it, and that nothing in a name is taken for syntax."""

import json
import shutil
import subprocess

import pytest
from nodes import ROLLING, SCENARIO, chunks, rolling_site, small_site
from os_orchestrator import doors, graph, plan, report

HOSTILE = [
    'a "quoted" name',
    "back\\slash\\n \\N \\G \\",
    "<b>bold</b> & &lt;entity&gt; &amp;",
    "a --> b; c:::d %% comment %%{init: {}}%%",
    "end subgraph graph style x: y#z; classDef a:b#c;",
    "`code` **bold** 1. list - item # head",
    "{brace} [bracket] (paren) |pipe|",
    "line\nbreak\ttab \x1b[31m \u202e",
    "#quot; #35; #lt;",
    "Übergröße 网络 🙂",
]


def planned(root, absent=(), **options):
    master = small_site(root, exclude={"cmp2": "disk broken"}, roles={"compute": ["cmp1", "cmp2", "cmp3"]})
    return report.plan(plan.build(chunks(SCENARIO), master.environment({}, "prod"), **options), dict(absent), {})


def named(name, kind="puppet"):
    """Return a plan of two phases with such a name."""
    phase = {"number": 1, "name": name, "kind": kind, "roles": [name], "nodes": [name], "missing": {}, "left_out": ""}
    phase["gate"] = {"name": name, "successes": 2} if kind == "gate" else None
    left_out = {**phase, "number": 2, "left_out": name, "nodes": []}
    missing = {**phase, "number": 3, "missing": {name: name}}
    return {"environment": name, "scenario": name, "phases": [phase, left_out, missing]}


# -- what is in it -------------------------------------------------------------------------------------------------


def test_each_phase_is_a_box_with_its_roles_and_nodes_and_a_gate_is_a_diamond(tmp_path):
    boxes = graph.boxes(planned(tmp_path)["phases"])
    assert [box.lines for box in boxes] == [
        ("1 Controllers are installed", "controller: 2 nodes"),
        ("2 The writer is ready", "gate writer: 2 good in a row, asks controller: 2 nodes"),
        ("3 Compute nodes are installed", "compute: 2 nodes", "not asked: cmp2"),
        ("4 The endpoint is installed", "left out, role endpoint of prod has no nodes"),
    ]
    assert [box.shape for box in boxes] == ["box", "diamond", "box", "box"]
    assert [box.state for box in boxes] == ["", "", "", "left_out"]


def test_calls_are_a_box_and_an_operator_who_confirms_is_a_diamond(tmp_path):
    built = plan.build(chunks(ROLLING), rolling_site(tmp_path).environment({}, "prod"))
    boxes = graph.boxes(report.plan(built, {}, {})["phases"])
    assert [(box.shape, *box.lines) for box in boxes] == [
        ("box", "1 The change comes to compute nodes in waves", "compute: 4 nodes"),
        ("diamond", "2 Somebody has looked at them", "waits for an operator"),
        ("box", "3 Compute nodes say what they run", "compute: 4 nodes"),
        ("box", "4 Nothing is left to change", "compute: 4 nodes"),
    ]


def test_missing_nodes_and_those_not_asked_are_named(tmp_path):
    missing = graph.boxes(planned(tmp_path, {"cmp3": "no key"})["phases"])[2]
    assert (missing.state, missing.lines[-2]) == ("missing", "missing: cmp3")
    fewer = graph.boxes(planned(tmp_path, selection=plan.Selection(("cmp1",)))["phases"])[2]
    assert fewer.lines[1:] == ("compute: cmp1", "not asked: cmp3, cmp2")


def test_many_missing_nodes_are_counted():
    phase = {**named("a")["phases"][0], "missing": {f"n{number}": "" for number in range(9)}}
    assert graph.boxes([phase])[0].lines[-1] == "missing: n0, n1, n2, n3 and 5 more"


def test_a_plan_in_the_language_of_graphviz(tmp_path):
    assert graph.dot(planned(tmp_path, {"cmp3": "no key"})) == (
        'digraph "prod compute" {\n'
        '  node [shape=box, fontname="sans-serif"];\n'
        '  phase1 [label="1 Controllers are installed\\ncontroller: 2 nodes", style="rounded"];\n'
        '  phase2 [label="2 The writer is ready\\ngate writer: 2 good in a row, asks controller: 2 nodes",'
        ' shape=diamond, style=""];\n'
        '  phase3 [label="3 Compute nodes are installed\\ncompute: 2 nodes\\nmissing: cmp3\\nnot asked: cmp2",'
        ' style="rounded",'
        " color=red3, penwidth=2];\n"
        '  phase4 [label="4 The endpoint is installed\\nleft out, role endpoint of prod has no nodes",'
        ' style="rounded,dashed", color=gray50, fontcolor=gray40];\n'
        "  phase1 -> phase2;\n"
        "  phase2 -> phase3;\n"
        "  phase3 -> phase4;\n"
        "}"
    )


def test_a_plan_in_the_language_of_mermaid(tmp_path):
    assert graph.mermaid(planned(tmp_path, {"cmp3": "no key"})) == (
        "flowchart TD\n"
        '  phase1("1 Controllers are installed<br/>controller#58; 2 nodes")\n'
        '  phase2{"2 The writer is ready<br/>gate writer#58; 2 good in a row, asks controller#58; 2 nodes"}\n'
        '  phase3("3 Compute nodes are installed<br/>compute#58; 2 nodes'
        '<br/>missing#58; cmp3<br/>not asked#58; cmp2")\n'
        '  phase4("4 The endpoint is installed<br/>left out, role endpoint of prod has no nodes")\n'
        "  phase1 --> phase2\n"
        "  phase2 --> phase3\n"
        "  phase3 --> phase4\n"
        "  classDef left_out stroke-dasharray: 5 5,color: #777\n"
        "  class phase4 left_out\n"
        "  classDef missing stroke: #cf222e,stroke-width: 3px\n"
        "  class phase3 missing"
    )


@pytest.mark.parametrize("syntax", ["svg", "", "Dot", 1, True, ["dot"]])
def test_another_syntax_is_refused_with_those_that_there_are(syntax):
    with pytest.raises(doors.Refused, match="graph must be mermaid or dot, not"):
        graph.writer(syntax)


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["puppet", "gate"])
@pytest.mark.parametrize("name", HOSTILE)
def test_in_mermaid_nothing_of_a_name_but_letters_stands_as_it_is(name, kind):
    lines = graph.mermaid(named(name, kind)).splitlines()
    labels = [line.split('"')[1] for line in lines if '"' in line]
    assert len(labels) == 3
    assert all(line.count('"') in (0, 2) for line in lines)
    for label in labels:
        rest = label.replace("<br/>", "")
        assert not set(rest) & set('"<>`*:{}[]|\\&%\n\t\x1b\u202e')


@pytest.mark.parametrize("kind", ["puppet", "gate"])
@pytest.mark.parametrize("name", HOSTILE)
def test_graphviz_reads_every_name_as_it_is(name, kind):
    """Real Graphviz, where it is; without it this is held by the golden text above."""
    program = shutil.which("dot")
    if not program:
        pytest.skip("no Graphviz on this machine; it is asked for nowhere")
    text = graph.dot(named(name, kind))
    done = subprocess.run([program, "-Tjson"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = json.loads(done.stdout)
    written = ["".join(each["text"] for each in node["_ldraw_"] if each["op"] == "T") for node in drawn["objects"]]
    plain = "".join(each if each.isprintable() else " " for each in name)
    assert written[0].startswith(f"1 {plain}")
    assert kind == "gate" or written[0].endswith(f"{plain}: {plain}")
    assert len(drawn["objects"]) == 3
    assert len(drawn["edges"]) == 2
