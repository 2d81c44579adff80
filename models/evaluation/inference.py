"""Run a trained network over cached features."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from features.datasets import batches, feature_store
from features.targets import upright
from models.export.export import stacked
from models.network import Network
from models.task import Task


def outputs(
    network: Network,
    task: Task,
    labels: tuple[str, ...],
    frame: Any,
    stores: Path,
    *,
    batch_size: int = 64,
) -> dict[str, np.ndarray]:
    """Answer cached examples with the training graph.

    Args:
        network: trained.
        task: what its outputs mean.
        labels: in the order of the outputs.
        frame: rows of the manifest, in the wanted order.
        stores: folder of feature stores, filled by training.featurize.
        batch_size: examples at a time.

    Returns:
        The outputs of ``serving_default`` by name, [len(frame), ...].
    """
    phase = network.phases[-1]
    rows = feature_store.FeatureStore(stores / feature_store.fingerprint(phase.stage)).gather(
        list(frame["sha256"])
    )
    sizes = upright.sizes(frame) if network.locate is not None else np.zeros(len(frame), np.int32)

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(batch: Any, sizes: Any) -> dict[str, Any]:
        outputs = network.write(batch) if network.write else phase.model(batch, training=False)
        decoded = (network.decode or task.decode)(outputs, labels)
        return network.locate(decoded, sizes) if network.locate is not None else decoded

    # A batch takes as long as its longest example.
    order = np.argsort(rows.lengths, kind="stable") if rows.lengths is not None else np.arange(len(rows))
    parts = [
        {name: value.numpy() for name, value in answer(inputs, sizes_of_batch).items()}
        for inputs, sizes_of_batch, _ in batches.batches(rows, sizes, batch_size=batch_size, order=order)
    ]
    places = np.argsort(order)
    return {name: values[places] for name, values in stacked(parts).items()}
