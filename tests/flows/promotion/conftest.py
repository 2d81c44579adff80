"""A workspace with a published model whose versions are registered in a real MLflow store."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.promotion import agreement, moves
from flows.tracking import tracking
from flows.tracking.registry import Registry
from flows.tracking.store.aliases import ALIASES, RELEASE_TAG
from flows.tracking.store.mlflow_store import Ledger
from flows.workspace import Workspace
from serving.repository.labels.labels import CANARY, STABLE
from serving.repository.repository import Repository
from tests import mlflow_store

VERSIONS = (1, 2, 3)


class Place:
    """A workspace with one published and registered model, and MLflow as its own client sees it."""

    def __init__(self, root: Path, client, name: str) -> None:
        self.workspace, self.client, self.name = Workspace.open(root), client, name
        self.repository = Repository(self.workspace.repository)
        self.flag = root / "flag"
        self.candidate = root / "candidate"
        self.candidate.mkdir()
        (self.candidate / "saved_model.pb").write_bytes(b"graph")
        client.create_registered_model(name)
        for version in VERSIONS:
            self.publish({"metric": "accuracy", "metrics": {"accuracy": version / 10}}, promote=version == 1)
            self.register(version)

    def publish(self, manifest: dict, *, promote: bool = False) -> int:
        return self.repository.publish(self.name, self.candidate, manifest, promote=promote).version

    def register(self, release: int | None) -> str:
        tags = {} if release is None else {RELEASE_TAG: str(release)}
        return self.client.create_model_version(
            self.name, str(self.candidate), tags=tags, await_creation_for=0
        ).version

    def number(self, release: int) -> str:
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        return next(each.version for each in versions if each.tags.get(RELEASE_TAG) == str(release))

    def click(self, label: str, release: int | None) -> None:
        """Move an alias as MLflow's UI does."""
        if release is None:
            self.client.delete_registered_model_alias(self.name, ALIASES[label])
        else:
            self.client.set_registered_model_alias(self.name, ALIASES[label], self.number(release))

    def aliases(self) -> dict[str, int | None]:
        """Return the release of the alias of each label, as MLflow says it."""
        given = self.client.get_registered_model(self.name).aliases
        versions = {label: given.get(alias) for label, alias in ALIASES.items()}
        return {
            label: None if version is None else self._release(version) for label, version in versions.items()
        }

    def _release(self, version: str) -> int:
        return int(self.client.get_model_version(self.name, version).tags.get(RELEASE_TAG, -1))

    def labels(self) -> dict[str, int | None]:
        return moves.labels(self.repository, self.name)

    def settle(self) -> None:
        agreement.settle(self.repository, Registry(self.workspace), [self.name])

    def drain(self) -> None:
        with tracking.open_tracking(self.workspace, lambda line: None):
            pass

    def history(self) -> list[dict]:
        return self.repository.history(self.name)

    def forget(self) -> None:
        """Take the model out of the store: whoever looks there looks at every model."""
        self.client.delete_registered_model(self.name)

    @contextmanager
    def struck(self, point: str | None) -> Iterator[None]:
        """Let the body fail at a point, as a process that is killed there."""
        if point is not None:
            self.flag.touch()
            os.environ |= {"SERVABLE_FAULT": f"{point}:raise", "SERVABLE_FAULT_FLAG": str(self.flag)}
        try:
            yield
        except RuntimeError as error:
            if "rehearsed" not in str(error):
                raise
        finally:
            os.environ.pop("SERVABLE_FAULT", None)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    return mlflow_store.database(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def client(store):
    """MLflow's client of a store with a model that is none of ours."""
    made = Ledger(store, Path()).client
    made.create_registered_model("foreign")
    made.create_model_version("foreign", "elsewhere", await_creation_for=0)
    made.set_registered_model_alias("foreign", ALIASES[STABLE], "1")
    return made


@pytest.fixture
def make(store, client, tmp_path_factory, monkeypatch) -> Callable[[], Place]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def made() -> Place:
        root = tmp_path_factory.mktemp("place")
        return Place(root, client, root.name)

    return made


@pytest.fixture
def place(make) -> Iterator[Place]:
    made = make()
    made.settle()
    assert made.aliases() == {STABLE: 1, CANARY: None}
    yield made
    made.forget()
