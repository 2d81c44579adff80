"""Train the toy network in a process of its own, and end it the hard way at a given step.

python -m tests.models.training.toy_training CHECKPOINTS STORES STEP
"""

import os
import signal
import sys
from pathlib import Path

from models.objective import CLASSIFICATION
from models.training import determinism, training
from models.training.settings import TrainingSettings
from tests.models import toys

SETTINGS = TrainingSettings(
    batch_size=8, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, clip_norm=1.0
)
#: One block of convolutions has all that a training goes on with: batch norm, dropout, moments.
ONE_BLOCK = toys.CNN | {"filters": [4]}
CHANGES = {"flip": "horizontal", "translation": 0.2, "contrast": 0.2}


def run(
    checkpoints: Path,
    stores: Path,
    *,
    seed: int = 0,
    settings=SETTINGS,
    model=toys.CNN,
    network=None,
    data=None,
    **more,
):
    """Train from seeded weights; return the network and its history."""
    determinism.fix(seed)
    network = network or toys.network(model, **CHANGES)
    data = data if data is not None else toys.dataset()
    training.featurize(network, data, stores)
    history = training.train(
        network,
        data,
        objective=CLASSIFICATION,
        settings=settings,
        stores=stores,
        checkpoints=checkpoints,
        seed=seed,
        **more,
    )
    return network, history


def main() -> None:
    checkpoints, stores, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("train") and done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    run(checkpoints, stores, model=ONE_BLOCK, progress=progress)


if __name__ == "__main__":
    main()
