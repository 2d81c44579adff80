"""What a person would write without Servable: ``python -m tests.benchmarks.bare_loop STEP DATA FOLDER``.

``features`` caches the features of the training photos; ``train`` trains a head on them and saves a
SavedModel with the signatures that a release has; ``ask`` loads that and asks it ten photos.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from features.images.augmentation import AugmentationSettings
from features.images.featurizer import ImageFeaturizerSettings
from features.ingest.rules import IngestRules
from models.export import export
from models.network import Network
from models.task import Blueprint
from models.tasks.image_classification import IMAGE_CLASSIFICATION, ModelSettings
from tests.benchmarks.table import SHARED

MODULE = SHARED / "hub" / "mobilenet_v2_100_224_feature_vector"
LABELS = ("ants", "bees")
#: As the recipe `frozen` has them.
EPOCHS, BATCH, RATE = 40, 32, 0.001
ASKED = 10


def network() -> Network:
    """Build the network of the recipe `frozen`."""
    model = ModelSettings.model_validate({"kind": "hub", "backbone": str(MODULE), "dropout": 0.2})
    settings = {"featurizer": ImageFeaturizerSettings(), "augmentation": AugmentationSettings()}
    return IMAGE_CLASSIFICATION.build(
        Blueprint(rules=IngestRules(), model=model, epochs=EPOCHS, labels=LABELS, hub=Path("hub"), **settings)
    )


def features(data: Path, folder: Path) -> None:
    """Cache the features and labels of the training photos."""
    stage = network().phases[0].stage
    photos = [(path, LABELS.index(path.parent.name)) for path in sorted((data / "train").glob("*/*"))]
    raws = [path.read_bytes() for path, _ in photos]
    parts = [stage(tf.constant(raws[start : start + BATCH])) for start in range(0, len(raws), BATCH)]
    np.savez(folder / "features.npz", x=np.concatenate(parts), y=[label for _, label in photos])


def train(_: Path, folder: Path) -> None:
    """Train the head on the cached features and save the whole with its signatures."""
    built = network()
    head, kept = built.phases[0].model, np.load(folder / "features.npz")
    steps = EPOCHS * -(-len(kept["x"]) // BATCH)
    head.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    head.fit(kept["x"], kept["y"], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    module = tf.Module()
    module.kept = [variable.value for variable in built.model.variables]
    functions = export.signatures(built, IMAGE_CLASSIFICATION, LABELS)
    for name, function in functions.items():
        setattr(module, f"signature_{name}", function)
    tf.saved_model.save(module, str(folder / "bare"), signatures=functions)


def ask(data: Path, folder: Path) -> None:
    """Load the SavedModel and print the labels of ten photos."""
    answer = tf.saved_model.load(str(folder / "bare")).signatures["serving_default"]
    for path in sorted((data / "val").glob("*/*"))[:ASKED]:
        print(path.name, answer(image_bytes=tf.constant([path.read_bytes()]))["label"].numpy()[0].decode())


STEPS = {"features": features, "train": train, "ask": ask}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*map(Path, sys.argv[2:4]))
