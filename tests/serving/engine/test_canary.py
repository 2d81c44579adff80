"""A canary in a live server: who is answered by which version, what that costs, and how it ends."""

import asyncio
import collections
import http.client
import json
import os
import shutil
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving import errors
from serving.client.async_client import AsyncClient
from serving.client.client import Client
from serving.config import Options
from serving.engine.trial import WARM_CALLS, score_output
from serving.repository import traffic
from serving.repository.repository import Repository
from serving.server.server import Server

X = np.array([2.0], np.float32)
POLL = 0.05


class _Faulty(tf.Module):
    """x + 100, except that numbers over 5 fail, and those over 3 are infinite."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def line(self, x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 5.0, message="planted fault")]):
            return {"y": tf.where(x > 3.0, np.inf, x + 100.0)}


@pytest.fixture(scope="module")
def candidates(models, tmp_path_factory) -> dict[str, Path]:
    faulty = tmp_path_factory.mktemp("faulty") / "faulty"
    module = _Faulty()
    tf.saved_model.save(module, str(faulty), signatures={"serving_default": module.line})
    return {"faulty": faulty, **{str(number): models.root / "line" / str(number) for number in (1, 2, 3)}}


@pytest.fixture
def repository(candidates, tmp_path) -> Repository:
    """Version 1, which is stable, adds 2; version 2 adds 4; version 3 is at fault."""
    made = Repository(tmp_path / "models")
    made.publish("line", candidates["1"], {})
    for name in ("2", "faulty"):
        made.publish("line", candidates[name], {}, promote=False)
    return made


@pytest.fixture
def server(repository):
    options = Options(port=0, rest_port=0, repository=repository.root, poll_seconds=POLL, max_load_retries=0)
    with Server(options) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.target, timeout=10) as made:
        yield made


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def loaded(client: Client) -> list[int]:
    return [one.version for one in client.status("line") if one.available]


def begin(repository: Repository, client: Client, version: int, share: float) -> None:
    repository.promote("line", version, "trial", share=share)
    until(lambda: version in loaded(client))


def test_clients_are_shared_out_and_stick_over_grpc_and_rest(repository, server, client):
    begin(repository, client, 2, 25)
    trial = repository.canary("line")
    for number in range(60):
        key = f"user {number} é"
        known = client.with_key(key)
        wanted = 2 if trial.answers("line", f"user {number} %C3%A9") else 1
        assert {known.predict("line", x=X).version for _ in range(2)} == {wanted}
    assert client.predict("line", x=X, label="stable").version == 1
    assert client.predict("line", x=X, label="canary").version == 2
    assert client.predict("line", x=X, version=2)["y"] == [5.0]

    async def ask(key: str) -> int:
        async with AsyncClient(server.target) as own:
            return (await own.with_key(key).predict("line", x=X)).version

    for number in range(4):
        wanted = 2 if trial.answers("line", f"user-{number}") else 1
        assert asyncio.run(ask(f"user-{number}")) == wanted
    connection = http.client.HTTPConnection(server.rest_target, timeout=10)
    for number in range(20):
        connection.request(
            "POST", "/v1/models/line:predict", '{"instances": [2.0]}', {"Servable-Client": f"user-{number}"}
        )
        answer = json.loads(connection.getresponse().read())["predictions"]
        assert answer == [5.0 if trial.answers("line", f"user-{number}") else 3.0]
    connection.close()


def test_a_client_that_does_not_say_who_it_is_stays_with_its_version_for_a_connection(
    repository, server, client
):
    begin(repository, client, 2, 50)
    seen = collections.Counter()
    for number in range(40):
        with grpc.insecure_channel(server.target, [("test.number", number)]) as channel:
            other = Client(server.target, channel=channel)
            versions = {other.predict("line", x=X).version for _ in range(3)}
            assert len(versions) == 1
            seen.update(versions)
    assert min(seen[1], seen[2]) >= 5  # 1e-6 of all binomials of 40 at one half


def test_what_a_canary_fails_on_is_answered_by_the_stable_version_and_counted(repository, server, client):
    begin(repository, client, 3, 100)
    trial, base = repository.canary("line"), repository.root / "line"
    for _ in range(WARM_CALLS + 1):
        assert client.predict("line", x=X)["y"] == [102.0]
    for x in (6.0, 4.0):  # it fails; its answer is not finite
        answer = client.predict("line", x=np.array([x], np.float32))
        assert (answer.version, answer["y"]) == (1, [x / 2 + 2])
    # What no version can answer is the caller's fault.
    with pytest.raises(errors.InvalidArgument):
        client.predict("line", nonsense=X)
    until(lambda: traffic.read(base, trial).canary.requests == WARM_CALLS + 3)
    told = traffic.read(base, trial)
    assert (told.canary.errors, told.stable.requests, told.canary.scores) == (
        2,
        0,
        (102.0,) * (WARM_CALLS + 1),
    )
    assert sum(told.canary.latencies.values()) == 1
    assert 0 < told.canary.quantile(0.5) < 10


def test_a_canary_that_cannot_be_loaded_harms_nobody_and_says_why(repository, server, client):
    graph = repository.path("line", 2) / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:100])
    repository.promote("line", 2, "trial", share=100)
    trial, base = repository.canary("line"), repository.root / "line"
    until(lambda: "saved_model.pb" in traffic.read(base, trial).trouble)
    assert client.predict("line", x=X).version == 1


def test_no_request_fails_while_canaries_come_go_and_are_promoted(repository, server, client):
    repository.publish("line", repository.path("line", 2), {}, promote=False)
    failures, versions, done = [], collections.Counter(), threading.Event()

    def ask(number: int) -> None:
        with Client(server.target, client_key=f"user-{number}", retries=0) as own:
            while not done.is_set():
                try:
                    versions[own.predict("line", x=X).version] += 1
                except Exception as error:
                    failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        begin(repository, client, 2, 50)
        until(lambda: versions[2] > 20)
        repository.rollback("line", "back")
        until(lambda: loaded(client) == [1])
        begin(repository, client, 4, 50)
        until(lambda: versions[4] > 20)
        repository.promote("line", 4, "good")
        until(lambda: loaded(client) == [4])
        repository.rollback("line", "after all")
        until(lambda: loaded(client) == [1])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(versions) == {1, 2, 4}


def test_a_server_that_starts_during_a_trial_shares_out_from_the_first_request(repository):
    repository.promote("line", 2, "trial", share=0)
    options = Options(port=0, repository=repository.root, poll_seconds=0)
    with Server(options) as running, Client(running.target) as client:
        assert loaded(client) == [2, 1]
        assert client.predict("line", x=X).version == 1
        assert client.predict("line", x=X, label="canary").version == 2


def test_a_server_that_reads_models_config_as_tensorflow_serving_does_follows(repository, tmp_path):
    """Labels are refused on versions that are not loaded: no request may see that."""
    file = repository.root / "models.config"
    own = tmp_path / "container.config"

    def write() -> None:
        # The path inside the container is this machine's; a mount cannot be made here.
        own.write_text(file.read_text().replace('"/models/', f'"{repository.root}/'))

    def follow(versions: list[int]) -> None:
        write()
        until(lambda: set(versions) <= set(loaded(client)))
        os.utime(file, (0, 0))
        repository.write_config()
        write()

    write()
    options = Options(
        port=0,
        model_config_file=own,
        model_config_poll_seconds=POLL,
        poll_seconds=POLL,
        labels_for_unavailable=True,
    )
    with Server(options) as running, Client(running.target) as client:
        assert client.predict("line", x=X, label="stable").version == 1
        repository.promote("line", 2, "newer")
        follow([1, 2])
        until(lambda: client.predict("line", x=X, label="stable").version == 2)
        until(lambda: loaded(client) == [2])
        repository.promote("line", 1, "trial", share=25)
        follow([1, 2])
        until(lambda: running._core.labels("line") == {"stable": 2, "canary": 1})
        # It has no shares: whoever names no version gets the newest.
        assert client.predict("line", x=X).version == 2
        repository.rollback("line", "back")
        write()
        until(lambda: loaded(client) == [2])
        repository.rollback("line", "further back")
        follow([1])
        until(lambda: client.predict("line", x=X, label="stable").version == 1)


def test_what_was_counted_before_is_not_told_of_the_next_trial(repository, server, client):
    base = repository.root / "line"
    begin(repository, client, 2, 100)
    client.predict("line", x=X)
    until(lambda: traffic.read(base, repository.canary("line")).canary.requests == 1)
    repository.promote("line", 2, "more", share=50)
    until(lambda: traffic.read(base, repository.canary("line")).servers == 1)
    assert traffic.read(base, repository.canary("line")).canary.requests == 0
    assert len(list((base / ".servable" / "traffic").glob("*.json"))) == 1
    shutil.rmtree(base / ".servable" / "traffic")
    until(lambda: traffic.read(base, repository.canary("line")).servers == 1)


def test_the_score_is_the_output_of_that_name_or_the_first_of_floats(models):
    def signatures(path: Path):
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        return saved.meta_graphs[0].signature_def

    zoo = signatures(models.root / "zoo" / "1")
    assert score_output(zoo) == "sum"
    line = signatures(models.root / "line" / "1")
    assert score_output(line) == "y"
    line["serving_default"].outputs["score"].CopyFrom(line["serving_default"].outputs["y"])
    assert score_output(line) == "score"
    assert score_output({}) is None
