"""The manager of versions: what answers while one version goes and another comes back."""

import threading
from pathlib import Path

import pytest

from serving.engine.manager import Manager
from serving.engine.states import State, StateMonitor
from serving.errors import NotFound


class Slow:
    """A loaded version whose end takes as long as the test says."""

    def __init__(self, may_end: threading.Event) -> None:
        self._may_end = may_end

    def close(self) -> None:
        assert self._may_end.wait(30)


def folders(root: Path, *numbers: int) -> dict[int, Path]:
    for number in numbers:
        (root / str(number)).mkdir(exist_ok=True)
    return {number: root / str(number) for number in numbers}


def test_the_last_version_stays_until_one_that_is_still_being_unloaded_is_back(tmp_path: Path) -> None:
    ends = {1: threading.Event(), 2: threading.Event()}
    monitor = StateMonitor()
    manager = Manager(lambda model, number, path: Slow(ends[number]), monitor)  # type: ignore[arg-type,return-value]

    def until(number: int, state: State) -> None:
        assert monitor.wait_for(lambda: monitor.versions("m")[number].state is state, 30)

    manager.aspire("m", folders(tmp_path, 1))
    until(1, State.AVAILABLE)
    manager.aspire("m", folders(tmp_path, 2))
    until(2, State.AVAILABLE)
    until(1, State.UNLOADING)
    # The newer version is withdrawn while the older one is still on its way out.
    manager.aspire("m", folders(tmp_path, 1))
    assert manager.available("m") == [2]
    with manager.use("m"):
        pass  # It answers still.
    ends[1].set()
    until(1, State.AVAILABLE)
    assert manager.available("m")[0] == 1
    ends[2].set()
    manager.close(30)
    with pytest.raises(NotFound):
        manager.use("m")
