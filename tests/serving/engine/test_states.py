"""The monitor of version states: what it remembers, and that waiting on it cannot lock up."""

import threading

from serving.engine.states import State, StateMonitor, VersionState

AVAILABLE = VersionState(State.AVAILABLE)


def test_the_last_state_of_each_version_is_kept_highest_first():
    monitor = StateMonitor()
    for version in (3, 20, 1):
        monitor.publish("m", version, VersionState(State.LOADING))
    monitor.publish("m", 3, AVAILABLE)
    assert list(monitor.versions("m")) == [20, 3, 1]
    assert monitor.versions("m")[3] is AVAILABLE
    assert monitor.versions("other") == {}
    assert monitor.models() == ["m"]


def test_waiting_ends_when_the_condition_holds_or_time_is_over():
    monitor = StateMonitor()
    assert not monitor.wait_for(lambda: False, 0.01)
    thread = threading.Timer(0.02, monitor.publish, ("m", 1, AVAILABLE))
    thread.start()
    assert monitor.wait_for(lambda: monitor.versions("m").get(1) is AVAILABLE, 10)
    thread.join()


def test_a_condition_may_take_a_lock_whose_holder_publishes():
    monitor, lock = StateMonitor(), threading.Lock()
    asked, published = threading.Event(), threading.Event()

    def publish():
        with lock:
            asked.wait(10)
            monitor.publish("m", 1, AVAILABLE)
            published.set()

    def condition():
        asked.set()
        with lock:
            return published.is_set()

    thread = threading.Thread(target=publish)
    thread.start()
    assert monitor.wait_for(condition, 10)
    thread.join()
