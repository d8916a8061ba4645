import os
import signal
from pathlib import Path

import pytest
import salt._logging
from saltfactories.plugins.event_listener import EventListener

LOOPBACK = "127.0.0.1"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """
    Keep the log server of pytest-salt-factories to loopback; it listens on every address unless told otherwise.

    Salt collects log records for a console that its programs set up later. There is none here, and at exit they
    would be written below pytest's summary.

    What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    session.config.pluginmanager.get_plugin("saltfactories-log-server").log_host = LOOPBACK
    salt._logging.shutdown_temp_handler()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a test that is skipped for want of a package has failed: ``.ci/packages`` does not know of it."""
    report = yield
    if os.environ.get("CI") and report.skipped and "not installed" in str(report.longrepr):
        report.outcome, report.longrepr = "failed", str(report.longrepr)
    return report


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
