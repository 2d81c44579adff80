"""Tiny pictures, modules and networks for the tests of training and export."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from features.datasets.dataset import Dataset
from features.images.augmentation import AugmentationSettings
from features.images.featurizer import ImageFeaturizerSettings
from features.ingest.rules import IngestRules
from models.network import Network
from models.task import Blueprint
from models.tasks.image_classification import IMAGE_CLASSIFICATION, ModelSettings
from tests.faults import corpus

LABELS = ("blue", "red")
SIZE = 8
CNN = {"kind": "cnn", "filters": [4, 8], "depth": 1, "dropout": 0.2}


def picture(label: int, seed: int) -> bytes:
    """Make an 8 x 8 PNG of noise that is redder or bluer than chance."""
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3))
    noise[..., 0 if label else 2] = noise[..., 0 if label else 2] // 2 + 127
    from PIL import Image

    return corpus.encode(Image.fromarray(noise.astype(np.uint8)), "PNG")


def dataset(
    train: int = 48, validation: int = 12, test: int = 64, label_of_first: int | None = None
) -> Dataset:
    """Make a dataset whose examples lie in the manifest itself."""
    rows = []
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        for _ in range(count):
            number, label = len(rows), len(rows) % 2
            content = picture(label, number)
            digest = hashlib.sha256(content).hexdigest()
            rows.append(
                {
                    "path": None,
                    "content": content,
                    "name": f"{LABELS[label]}/{number:03}.png",
                    "sha256": digest,
                }
                | {"bytes": len(content), "label": LABELS[label], "target": label, "split": split}
            )
    frame = pd.DataFrame(rows)
    if label_of_first is not None:
        frame.loc[0, "target"] = label_of_first
    return Dataset(Path(), f"toy-{train}-{label_of_first}", LABELS, LABELS, {}, frame, Path())


def network(
    model: dict | None = None, *, epochs: int = 2, hub: Path = Path("hub"), size: int | None = SIZE, **changes
) -> Network:
    """Build the network of a recipe's sections."""
    return IMAGE_CLASSIFICATION.build(
        Blueprint(
            rules=IngestRules(),
            featurizer=ImageFeaturizerSettings(height=size, width=size),
            model=ModelSettings.model_validate(model or CNN),
            augmentation=AugmentationSettings(**changes),
            epochs=epochs,
            labels=LABELS,
            hub=hub,
        )
    )


class ToyModule(tf.Module):
    """A reusable SavedModel: a convolution, batch norm, pooling, an L2 penalty."""

    def __init__(self, size: int | None = SIZE, width: int = 6) -> None:
        super().__init__()
        noise = np.random.default_rng(5)
        self.kernel = tf.Variable(
            noise.normal(0, 0.3, (3, 3, 3, width)), dtype=tf.float32, name="conv/kernel"
        )
        self.scale = tf.Variable(tf.ones([width]), name="bn/gamma")
        self.mean = tf.Variable(
            noise.normal(0, 0.1, width), dtype=tf.float32, trainable=False, name="bn/mean"
        )
        spec = tf.TensorSpec([None, size, size, 3], tf.float32)
        self.__call__ = tf.function(self._answer)
        for training in (False, True):
            self.__call__.get_concrete_function(spec, training=training)
        penalty = tf.function(lambda: 0.01 * tf.reduce_sum(self.kernel**2), input_signature=[])
        self.regularization_losses_ = [penalty]

    def _answer(self, images, training=False):
        maps = tf.nn.conv2d(images, self.kernel, 1, "SAME")
        if training:
            batch = tf.reduce_mean(maps, [0, 1, 2])
            self.mean.assign(0.9 * self.mean + 0.1 * batch)
            return tf.reduce_mean(tf.nn.relu((maps - batch) * self.scale), [1, 2])
        return tf.reduce_mean(tf.nn.relu((maps - self.mean) * self.scale), [1, 2])


def save_module(folder: Path, **sizes) -> Path:
    """Save a toy module in the form that hubs publish."""
    module = ToyModule(**sizes)
    published = tf.train.Checkpoint()
    published.__call__ = module.__call__
    published.variables = [module.kernel, module.scale, module.mean]
    published.trainable_variables = [module.kernel, module.scale]
    published.regularization_losses = module.regularization_losses_
    tf.saved_model.save(published, str(folder))
    return folder
