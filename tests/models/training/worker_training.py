"""Train softmax regression on toy pictures as one of the workers of TF_CONFIG; print its validation loss.

python -m tests.models.training.worker_training FOLDER
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import keras

from models.network import Network
from models.training import determinism, workers
from models.training.recovery import checkpoint
from models.training.settings import TrainingSettings
from models.training.training import History
from tests.models import toys
from tests.models.training import toy_training


def network() -> Network:
    """Build a network whose gradients over a batch are the mean of those over its shares."""
    determinism.fix(0)
    whole = toys.network()
    model = keras.Sequential(
        [
            keras.Input((toys.SIZE, toys.SIZE, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(len(toys.LABELS), kernel_regularizer=keras.regularizers.L2(0.01)),
        ]
    )
    return replace(whole, model=model, phases=(replace(whole.phases[0], model=model, augmentation=None),))


def run(folder: Path, distribution: str) -> tuple[Network, History]:
    """Train, and keep the weights in the folder."""
    # 48 examples: the last batch of an epoch is smaller, and of 2 for a share of 1.
    settings = TrainingSettings(batch_size=23, clip_norm=1.0, distribution=distribution)
    together = workers.of(settings)
    built, history = toy_training.run(
        folder / "checkpoints",
        folder / f"stores-{together.place.index}",
        settings=settings,
        network=network(),
        workers=together,
    )
    content = checkpoint.arrays_of(built.model.variables)
    (folder / "weights.npz").write_bytes(content)
    return built, history


def main() -> None:
    place = workers.of(TrainingSettings(distribution="multi_worker")).place
    folder = Path(sys.argv[1]) / str(place.index)
    folder.mkdir()
    _, history = run(folder, "multi_worker")
    print(json.dumps(history.epochs[-1]["metrics"]["validation_loss"]))


if __name__ == "__main__":
    main()
