"""A watch beside a live server: canaries are promoted or rolled back, and no request fails."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flows.promotion.watch import Watch
from flows.workspace import Workspace
from serving.client.client import Client
from serving.config import Options
from serving.repository.repository import Repository
from serving.server.server import Server
from tests.benchmarks import canary

#: A trial that is short, and no less strict.
RULE = {"min_minutes": 0, "min_requests": 150, "window": 0.5}
#: A faulty one is healthy at first: the trial must last until a window has nothing but faults.
LONGER = RULE | {"min_requests": 1500}


@pytest.fixture(scope="module")
def candidates(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("candidates")
    return {"healthy": canary.healthy(root / "healthy"), "faulty": canary.faulty(root / "faulty", 600)}


@pytest.fixture
def workspace(candidates, tmp_path) -> Workspace:
    made = Workspace.open(tmp_path / "workspace")
    repository = Repository(made.repository)
    for kind, rule in (("healthy", RULE), ("healthy", RULE), ("faulty", LONGER)):
        repository.publish("line", candidates[kind], {"recipe": {"canary": rule}}, promote=False)
    repository.promote("line", 1, "first")
    return made


class Load:
    """Callers of a server, each request with a client of its own."""

    def __init__(self, target: str) -> None:
        self.target, self.x = target, canary.HEALTHY
        self.versions, self.failures = Counter(), []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def _ask(self, number: int) -> None:
        count = 0
        with Client(self.target, retries=0) as client:
            while not self._done.is_set():
                count += 1
                try:
                    answer = client.with_key(f"{number}-{count}").predict("line", x=self.x)
                    self.versions[answer.version] += 1
                except Exception as error:
                    self.failures.append(error)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def running(workspace: Workspace) -> Iterator[tuple[Load, Callable[[Callable[[], bool]], None], list[str]]]:
    """Serve, send requests, and watch until something holds."""
    told: list[str] = []
    watch = Watch(workspace, None, told.append)
    options = Options(port=0, repository=workspace.repository, poll_seconds=0.05)

    def until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not come to hold"
            watch.judge()
            time.sleep(0.05)

    with Server(options) as server, Load(server.target) as load:
        yield load, until, told


def test_a_canary_without_fault_becomes_stable(workspace):
    repository = Repository(workspace.repository)
    repository.promote("line", 2, "trial", share=40)
    with running(workspace) as (load, until, told):
        until(lambda: repository.stable("line") == 2)
    assert load.failures == []
    assert load.versions[1] > load.versions[2] > 100
    last = repository.history("line")[-1]
    assert (last["event"], last["previous"], last["version"]) == ("promote", 1, 2)
    assert last["by"] == "servable watch"
    assert last["figures"]["requests"]["canary"] >= 150
    assert told == [f"line: canary 2 is stable: {last['reason']}"]


def test_a_canary_that_is_surer_than_the_stable_version_becomes_stable(workspace, candidates):
    """As one that was trained on the inputs of late."""
    repository = Repository(workspace.repository)
    repository.publish("line", candidates["faulty"], {"recipe": {"canary": RULE}}, promote=False)
    repository.promote("line", 4, "trial", share=40)
    with running(workspace) as (load, until, _):
        load.x = canary.SURER
        until(lambda: repository.canary("line") is None)
    assert (repository.stable("line"), load.failures) == (4, [])


@pytest.mark.parametrize("fault", canary.FAULTS)
def test_a_fault_is_rolled_back_and_no_request_fails(workspace, fault):
    repository = Repository(workspace.repository)
    repository.promote("line", 3, "trial", share=40)
    with running(workspace) as (load, until, told):
        until(lambda: load.versions[3] > 60)
        assert repository.canary("line") is not None
        load.x = canary.FAULTS[fault]
        until(lambda: repository.canary("line") is None)
        assert repository.stable("line") == 1
        before = load.versions[1]
        until(lambda: load.versions[1] > before + 20)
    assert load.failures == []
    last = repository.history("line")[-1]
    assert (last["event"], last["label"], last["previous"], last["version"]) == (
        "rollback",
        "canary",
        3,
        None,
    )
    words = {"errors": "failed on", "latency": "latency", "scores": "scores", "answers": "answers"}
    assert words[fault] in last["reason"]
    assert len(told) == 1


def test_a_rule_that_cannot_be_read_is_the_default_one(workspace, candidates):
    repository = Repository(workspace.repository)
    repository.publish("line", candidates["healthy"], {"recipe": {"canary": {"unknown": 1}}}, promote=False)
    repository.promote("line", 4, "trial", share=np.pi)
    (found,) = Watch(workspace, ["line"], pytest.fail).judge().values()
    assert found.reason == "200 more requests are needed"
