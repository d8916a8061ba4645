import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "_utils/os_orchestrator/__init__.py").read_text(), re.M).group(1)

setup(
    name="os-orchestrator",
    version=VERSION,
    description="Runs Puppet on many machines in the right order, from a Salt master",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    install_requires=["salt>=3006,<3009", "PyYAML", "Jinja2", "jsonschema"],
    extras_require={
        "live": ["rich"],
        "mysql": ["PyMySQL"],
        "test": (HERE / "tests/requirements.txt").read_text().split(),
    },
    # The repository is a Salt file root, and the wheel carries the same tree: every way finds the same paths.
    packages=[
        "os_orchestrator",
        "os_orchestrator.journal",
        "os_orchestrator.node",
        "os_orchestrator.page",
        "os_orchestrator.fileroot",
    ],
    package_dir={"os_orchestrator": "_utils/os_orchestrator", "os_orchestrator.fileroot": "."},
    package_data={
        "os_orchestrator.fileroot": [
            "_modules/*.py",
            "_output/*.py",
            "_runners/*.py",
            "_states/*.py",
            "orch/**/*.sls",
            "pillar.example/**/*.sls",
        ],
    },
    # A callable: the module form of this entry point finds nothing under `pip install -e`.
    entry_points={"salt.loader": ["os-orchestrator = os_orchestrator.tree:loader_dirs"]},
)
