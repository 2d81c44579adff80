"""What a task's fit reads, and when: the training examples alone, and once; likewise trained weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from flows.runs import networks
from models.training.recovery import checkpoint
from tests.models import toys


class Fit:
    """A fit that keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []

    def __call__(self, blueprint: Any, examples: Iterable[bytes]) -> Mapping[str, Any]:
        self.calls.append(list(examples))
        return {"seen": len(self.calls[-1]), "call": len(self.calls)}


def plan_of(folder: Path, fit: Fit | None, **sections: Any) -> Any:
    recipe: dict[str, Any] = {"data": {}, "featurizer": {}, "model": {}} | sections
    return SimpleNamespace(
        task=SimpleNamespace(name="toy", fit=fit), recipe=recipe, workspace=SimpleNamespace(features=folder)
    )


def test_a_fit_reads_the_training_examples_alone(tmp_path: Path) -> None:
    dataset, fit = toys.dataset(train=6, validation=4, test=4), Fit()
    found = networks.fitted(plan_of(tmp_path, fit), dataset, None)
    frame = dataset.frame
    assert found == {"seen": 6, "call": 1}
    assert fit.calls == [list(frame.loc[frame["split"] == "train", "content"])]


def test_a_second_call_reads_what_the_first_one_kept(tmp_path: Path) -> None:
    dataset, fit = toys.dataset(train=6, validation=4, test=4), Fit()
    first = networks.fitted(plan_of(tmp_path, fit), dataset, None)
    assert networks.fitted(plan_of(tmp_path, fit), dataset, None) == first
    assert len(fit.calls) == 1


def test_every_section_a_fit_may_look_at_names_its_result(tmp_path: Path) -> None:
    """A module that hears samples learns nothing; the network after it must not be told that."""
    dataset, fit = toys.dataset(train=6, validation=4, test=4), Fit()
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"model": {"kind": "hub"}},
        {"data": {"sample_rate": 8000}},
        {"featurizer": {"n_mels": 8}},
    )
    calls = [networks.fitted(plan_of(tmp_path, fit, **each), dataset, None)["call"] for each in changes]
    assert calls == [1, 2, 3, 4]


def test_another_version_fits_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, fit = toys.dataset(train=6, validation=4, test=4), Fit()
    networks.fitted(plan_of(tmp_path, fit), dataset, None)
    monkeypatch.setattr(networks, "fingerprint_of_code", lambda: "another")
    assert networks.fitted(plan_of(tmp_path, fit), dataset, None)["call"] == 2


def test_a_task_without_a_fit_knows_nothing(tmp_path: Path) -> None:
    assert networks.fitted(plan_of(tmp_path, None), toys.dataset(train=2, validation=2, test=2), None) == {}


def test_trained_weights_are_read_once_until_they_or_the_network_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    monkeypatch.setattr(networks, "untrained", lambda plan, dataset: SimpleNamespace(model=model))
    reads: list[bytes] = []
    assign = checkpoint.assign_arrays
    monkeypatch.setattr(
        checkpoint,
        "assign_arrays",
        lambda content, variables: (reads.append(content), assign(content, variables)),
    )
    plan: Any = SimpleNamespace(key=lambda fingerprint: "key", workspace=SimpleNamespace(root=tmp_path))
    dataset: Any = SimpleNamespace(fingerprint="data")
    run: Any = SimpleNamespace(weights=tmp_path / "weights.npz")
    networks.save(run, SimpleNamespace(model=model))  # type: ignore[arg-type]
    kernel, shared = model.layers[0].kernel.numpy(), networks.Networks()

    for _ in range(3):
        shared.trained(plan, run, dataset)
    assert len(reads) == 1

    shared.network(plan, dataset).model.layers[0].kernel.assign(kernel + 1)  # as a training does
    np.testing.assert_array_equal(shared.trained(plan, run, dataset).model.layers[0].kernel.numpy(), kernel)

    model.layers[0].kernel.assign(kernel + 2)
    networks.save(run, SimpleNamespace(model=model))  # type: ignore[arg-type]
    model.layers[0].kernel.assign(kernel)
    np.testing.assert_array_equal(
        shared.trained(plan, run, dataset).model.layers[0].kernel.numpy(), kernel + 2
    )
    assert len(reads) == 3
