"""A model in this process answers as the server of it does."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serving.client.client import Client
from serving.config import Options
from serving.errors import InvalidArgument, NotFound
from serving.inference.local import LocalModel
from serving.repository.repository import Repository
from serving.server.server import Server


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("local") / "repository")
    for number in (1, 2):
        repository.publish("line", models.root / "line" / str(number), {})
    repository.publish("zoo", models.root / "zoo" / "1", {})
    repository.promote("line", 1, "test")
    return repository


@pytest.fixture(scope="module")
def client(repository: Repository) -> Iterator[Client]:
    with Server(Options(port=0, repository=repository.root)) as server, Client(server.target) as made:
        yield made


def test_answers_and_signatures_are_those_of_the_server(repository: Repository, client: Client) -> None:
    with LocalModel(repository, "line") as local:
        assert local.metadata("line") == client.metadata("line")
        for x in (np.array([1.0, 2.0], np.float32), [1, 2.5]):
            ours, theirs = local.predict("line", {"x": x}), client.predict("line", {"x": x})
            assert ours.keys() == theirs.keys()
            np.testing.assert_array_equal(ours["y"], theirs["y"])
            assert (ours.model, ours.version, ours.signature) == ("line", 1, "serving_default")
            assert (ours.version, ours.signature) == (theirs.version, theirs.signature)
    assert LocalModel(repository, "line", 2).predict("line", {"x": [0.0]})["y"].tolist() == [4.0]
    assert LocalModel(repository, "zoo").metadata("zoo") == client.metadata("zoo")


def test_what_the_server_refuses_is_refused_in_the_same_words(repository: Repository, client: Client) -> None:
    local = LocalModel(repository, "line")
    said = []
    for asked in (local, client):
        with pytest.raises(InvalidArgument) as error:
            asked.predict("line", {"nosuch": np.zeros(1, np.float32)})
        said.append(error.value.message)
    assert said[0] == said[1]


def test_what_is_published_is_told(repository: Repository) -> None:
    found = {model.name: model.available for model in LocalModel(repository, "line").models()}
    assert found == {"line": (2, 1), "zoo": (1,)}
    with pytest.raises(NotFound):
        LocalModel(repository, "nosuch")
    with pytest.raises(NotFound):
        LocalModel(repository, "line", 3)
    with pytest.raises(NotFound):
        LocalModel(Repository(Path("nosuch")), "line")
