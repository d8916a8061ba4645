"""The files of docs/first-deployment.md are an environment and a scenario that are valid together."""

import fnmatch
import re
from pathlib import Path

import yaml
from nodes import chunks
from os_orchestrator import environment, plan

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs/first-deployment.md").read_text()
FILES = dict(re.findall(r"cat > \$DEMO/(\S+) <<'?EOF'?\n(.*?)^EOF$", PAGE, re.S | re.M))
NODES = re.search(r"^NODES = \((.*)\)$", (REPOSITORY / "demo/lab.py").read_text(), re.M)[1].replace('"', "").split(", ")


def test_the_environment_and_the_scenario_of_the_page_are_valid():
    pillar = yaml.safe_load(FILES["pillar/environments/shop.sls"].replace("$DEMO", "/srv"))
    built = environment.build("shop", pillar["environments"]["shop"], NODES, lambda to, _: fnmatch.filter(NODES, to))
    the_plan = plan.build(chunks(FILES["srv/site/shop.sls"], "site.shop"), built)
    assert [(phase.kind, phase.nodes) for phase in the_plan.phases] == [
        ("puppet", ("st1",)),
        ("gate", ("st1",)),
        ("puppet", ("cmp1", "cmp2")),
    ]


def test_the_top_file_of_the_page_names_the_environment():
    top = yaml.safe_load(FILES["pillar/top.sls"])
    assert top == {"base": {environment.PILLAR_ID: ["environments.demo", "environments.shop"]}}
