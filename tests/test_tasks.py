"""Every listed task keeps the harness's contract on its golden examples."""

from pathlib import Path

import pytest

from flows.gate.expectations import read_expectations
from flows.runs.run import Record, expectations
from models.tasks import TASKS
from tests import golden, harness
from tests.trained import Trained, train

#: Tasks with the featurizer of another one, which is checked there.
FEATURIZED_ALIKE = {"image-search", "image-clustering", "keypoint-detection", "object-detection"}


@pytest.fixture(scope="module", params=sorted(TASKS))
def example(request, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training of one task; the first one is shared with the other tests."""
    if request.param == "image-classification":
        return request.getfixturevalue("trained")
    return train(request.param, tmp_path_factory.mktemp(request.param))


def test_every_task_has_golden_examples_and_a_small_recipe() -> None:
    assert set(TASKS) == set(golden.GOLDEN) == set(golden.SMALL) == set(golden.RECIPE)


@pytest.mark.parametrize("example", sorted(set(TASKS) - FEATURIZED_ALIKE), indirect=True)
def test_features_are_the_same_eagerly_and_in_a_pipeline(example: Trained) -> None:
    plan, record, raws = opened(example)
    dataset = record.load_dataset()
    harness.check_featurizer(record.networks.network(plan, dataset), raws)


def test_training_graph_release_and_live_server_answer_alike(example: Trained) -> None:
    plan, record, raws = opened(example)
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    release = Path(example.summary["release"])
    harness.check_servable(network, plan.task, dataset.labels, release, raws)


def opened(example: Trained) -> tuple:
    """Return plan, record and raw examples of a finished training."""
    state = example.run.read()
    record = Record(example.run, state.dataset, None, None, None)  # type: ignore[arg-type]
    raws, _ = read_expectations(expectations(record))
    return example.plan(), record, raws
