"""Run a trained network over cached features."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from features.datasets import batches, feature_store
from models.network import Network
from models.task import Task


def outputs(
    network: Network,
    task: Task,
    labels: tuple[str, ...],
    hashes: list[str],
    stores: Path,
    *,
    batch_size: int = 64,
) -> dict[str, np.ndarray]:
    """Answer cached examples with the training graph.

    Args:
        network: trained.
        task: what its outputs mean.
        labels: in the order of the outputs.
        hashes: content hashes of the examples, in the wanted order.
        stores: folder of feature stores, filled by training.featurize.
        batch_size: examples at a time.

    Returns:
        The outputs of ``serving_default`` by name, [len(hashes), ...].
    """
    phase = network.phases[-1]
    rows = feature_store.FeatureStore(stores / feature_store.fingerprint(phase.stage)).gather(hashes)

    @tf.function(reduce_retracing=True)
    def answer(batch: Any) -> dict[str, Any]:
        return task.decode(phase.model(batch, training=False), labels)

    parts = [
        {name: value.numpy() for name, value in answer(inputs).items()}
        for inputs, _, _ in batches.batches(rows, np.zeros(len(hashes), np.int32), batch_size=batch_size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
