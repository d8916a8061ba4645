"""A Ctrl-C or SIGTERM that Salt loses is not lost."""

import signal
import threading

import pytest
from os_orchestrator import interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(params=SIGNALS)
def lost(request):
    """A signal whose handler does nothing, as when its exception was swallowed; returns what the handler saw."""
    seen = []
    before = signal.signal(request.param, lambda number, _frame: seen.append(number))
    yield request.param, seen
    signal.signal(request.param, before)


def test_a_signal_that_was_lost_is_remembered_until_the_block_ends(lost):
    number, seen = lost
    with interrupts.remembered():
        interrupts.check()
        signal.raise_signal(number)
        with pytest.raises(SystemExit):
            interrupts.check()
    assert seen == [number]
    interrupts.check()


def test_what_a_signal_did_before_it_does_in_the_block_and_after_it(lost):
    number, seen = lost
    handler = signal.getsignal(number)
    with interrupts.remembered():
        signal.raise_signal(number)
    signal.raise_signal(number)
    assert seen == [number, number]
    assert signal.getsignal(number) is handler


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.remembered():
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_is_let_alone():
    before = [signal.getsignal(number) for number in SIGNALS]
    during = []

    def work():
        with interrupts.remembered():
            during.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == before
