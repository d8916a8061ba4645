"""Houses and sites for the tests; what they are is in tests/support."""

import contextlib
import shutil
import subprocess
import sys
import tempfile

import attr
import pytest
import trees
from contest import Contest
from houses import end_leftovers, furnished, in_parallel
from sites import Site, wait_until


@pytest.fixture(scope="session")
def salt_factories_config():
    # Salt's sockets need short paths.
    root = tempfile.mkdtemp(prefix="oo-", dir="/tmp")
    yield {"root_dir": root, "slow_stop": False, "inject_sitecustomize": False}
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def open_house(salt_factories):
    """Return a context manager that runs a house of its own: another Salt, other options, other nodes."""

    @contextlib.contextmanager
    def opened(name, nodes, *, python=sys.executable, master_options, minion_options):
        root = salt_factories.root_dir / name
        factories = attr.evolve(salt_factories, root_dir=root, python_executable=str(python), scripts_dir=None)
        house = furnished(factories, f"{name}-master", nodes, master_options, minion_options)
        try:
            house.master.start()
            in_parallel(house.start_minion, nodes)
            yield house
        finally:
            in_parallel(lambda daemon: daemon.terminate(), [*house.minions.values(), house.master])
            end_leftovers(root)

    return opened


@pytest.fixture(scope="session")
def file_root(salt_factories):
    """The tree of this repository, for ``file_roots`` and ``module_dirs``."""
    return trees.planted(salt_factories.root_dir / "tree")


@pytest.fixture(scope="session")
def house(open_house, file_root):
    """The master and five running minions, n1 to n5, which use this repository through ``module_dirs``."""
    here = {"module_dirs": [str(file_root)]}
    roots = {"file_roots": {"base": [str(file_root)]}, "os_orchestrator": {"poll_interval": 5}}
    nodes = [f"n{number}" for number in range(1, 6)]
    with open_house("h", nodes, master_options={**here, **roots}, minion_options=here) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _every_minion_is_up(request):
    """Start the minions that a test has stopped, so that the next test finds the whole house."""
    yield
    if "house" in request.fixturenames:
        house = request.getfixturevalue("house")
        for node, minion in house.minions.items():
            if not minion.is_running():
                house.start_minion(node)


@pytest.fixture
def site(house, tmp_path, request):
    """An environment of the test's own on the nodes of the house, whose manifests write down when they run."""
    made = Site(house, tmp_path, f"e{abs(hash(request.node.nodeid)) % 10**9}")
    yield made
    made.let_all_go()


@pytest.fixture
def contest(site, file_root):
    """Our deployment and a plain orchestration on the same nodes, neither started yet."""
    made = Contest(site, file_root)
    yield made
    made.end()


@pytest.fixture
def in_the_middle(contest, site):
    """Both orchestrations, started, with Puppet in the middle of its catalog on n2 for both."""
    site.hold("n2")
    contest.start()
    wait_until(lambda: contest.began("n2"), 60)
    return contest


@pytest.fixture
def started(site, house):
    """Return a function that starts a deployment which takes some seconds on n1, and waits until Puppet works there."""
    processes = []

    def start(*arguments, seconds=6):
        site.manifest("n1", seconds=seconds)
        # A group of its own, as a shell gives it to a command: what a terminal's Ctrl-C reaches.
        process = subprocess.Popen(
            house.command("salt-run", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        wait_until(lambda: "n1" in site.ran())
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
