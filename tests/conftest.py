from pathlib import Path

import pytest
from saltfactories.plugins.event_listener import EventListener

LOOPBACK = "127.0.0.1"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Keep the log server of pytest-salt-factories, which listens on every address unless told otherwise, to loopback."""
    session.config.pluginmanager.get_plugin("saltfactories-log-server").log_host = LOOPBACK


@pytest.fixture(scope="session")
def event_listener():
    """The factories' own fixture, kept to loopback for the same reason."""
    listener = EventListener()
    listener.host = LOOPBACK
    with listener:
        yield listener


@pytest.fixture(scope="session")
def repository():
    """The root of this repository."""
    return Path(__file__).resolve().parents[1]
