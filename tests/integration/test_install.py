"""Every way of installing ends in a deployment: on a master and two minions of its own, with real Puppet."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

NODES = ("i1", "i2")
ENVIRONMENT = "environments: {{small: {{roles: {{storage: [{0}, {1}], ring_builder: [{0}], proxy: [{1}]}}}}}}"
FOLDERS = ("_modules", "_output", "_runners", "_states", "_utils", "orch", "pillar.example")
SOURCES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")


def call(*command, cwd=None):
    """Run a command that must succeed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory, repository):
    """A copy of what the repository keeps: building leaves its traces there."""
    copy = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in FOLDERS:
        shutil.copytree(repository / name, copy / name, ignore=ignore)
    for name in SOURCES:
        shutil.copy(repository / name, copy)
    (copy / "tests").mkdir()
    shutil.copy(repository / "tests/requirements.txt", copy / "tests")
    return copy


@pytest.fixture
def python(tmp_path):
    """A Python of its own, in which the packages of this one are found, this project's excepted."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    packages = sysconfig.get_path("purelib", vars={"base": str(home)})
    (home / packages / "these.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin/python"


def install(python, *what):
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        *what,
    )
    call(sys.executable, "-m", "pip", "--python", python, "check")


def assert_whole(wheel, source):
    """The wheel carries every file: those of the package, and the rest as the file root in it."""
    carried = set(zipfile.ZipFile(wheel).namelist())
    for path in [each for folder in FOLDERS for each in (source / folder).rglob("*") if each.is_file()]:
        name = path.relative_to(source).as_posix()
        root = "" if name.startswith("_utils/") else "os_orchestrator/fileroot/"
        assert root + name.removeprefix("_utils/") in carried


def assert_deploys(house):
    """List the environments, ask the nodes, plan a deployment and make it: every kind of file is loaded by then."""
    house.pillar("small", ENVIRONMENT.format(*house.minions))
    listed = house.salt_run("environment.list")
    assert (listed.returncode, "small" in str(listed.data)) == (0, True), listed
    status = house.salt("*", "puppet_agent.status")
    assert status.returncode == 0, status
    assert sorted(status.data) == sorted(house.minions)
    planned = house.salt_run("deployment.plan", "small", "swift", out=None)
    assert (planned.returncode, planned.stdout.startswith("small swift: ")) == (0, True), planned
    pillar = {"environment": "small", "from_phase": "Storage nodes fetch the rings"}
    deployed = house.salt_run("state.orch", "orch.swift", f"pillar={json.dumps(pillar)}")
    assert deployed.returncode == 0, deployed
    reported = house.salt_run("deployment.report", "last", f"path={house.root}")
    assert reported.returncode == 0, reported


def assert_not_installed(house):
    """Without this the test would prove nothing: no other way of installing helps."""
    assert "is not available" in house.salt_run("environment.list").stdout
    assert "is not available" in house.salt("*", "puppet_agent.status").stdout


@pytest.mark.slow
def test_module_dirs(house):
    assert_deploys(house)


@pytest.mark.salt
def test_file_roots_and_sync_all(open_house, file_root):
    options = {"file_roots": {"base": [str(file_root)]}}
    with open_house("roots", NODES, master_options=options, minion_options={}) as house:
        assert_not_installed(house)
        assert house.salt_run("saltutil.sync_all").returncode == 0
        assert house.salt("*", "saltutil.sync_all").returncode == 0
        assert_deploys(house)


@pytest.mark.slow
def test_a_gitfs_remote_and_sync_all(open_house, source):
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com")
    call(*git, "init", "--quiet", "--initial-branch=main", source)
    call(*git, "add", "--all", cwd=source)
    call(*git, "commit", "--quiet", "--message=all", cwd=source)
    options = {
        "fileserver_backend": ["git"],
        "gitfs_provider": "gitpython",
        "gitfs_base": "main",
        "gitfs_remotes": [f"file://{source}"],
    }
    with open_house("git", NODES, master_options=options, minion_options={}) as house:
        assert_not_installed(house)
        assert house.salt_run("fileserver.update").returncode == 0
        assert house.salt_run("saltutil.sync_all").returncode == 0
        assert house.salt("*", "saltutil.sync_all").returncode == 0
        assert_deploys(house)


@pytest.mark.parametrize(
    "way", [pytest.param("wheel", marks=pytest.mark.salt), pytest.param("editable", marks=pytest.mark.slow)]
)
def test_pip(open_house, source, python, tmp_path, way):
    if way == "wheel":
        build = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet")
        call(*build, "--wheel-dir", tmp_path, source)
        (built,) = tmp_path.glob("*.whl")
        assert_whole(built, source)
        install(python, built)
    else:
        install(python, "--editable", source)
    root = call(python, "-m", "os_orchestrator.tree", cwd=tmp_path)
    assert root == str(source) if way == "editable" else root.endswith("site-packages/os_orchestrator/fileroot")
    options = {"file_roots": {"base": [root]}}
    with open_house(way, NODES, python=python, master_options=options, minion_options={}) as house:
        assert_deploys(house)
