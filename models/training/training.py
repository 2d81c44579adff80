"""The training loop: deterministic for a seed, and the same after a kill as without one.

Keras's ``fit`` loses the position in the epoch, the random state and the order of examples when it
resumes. Here the order and the augmentation are functions of (seed, epoch), and a checkpoint holds
weights, optimizer, seed generators and the loop's own state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.datasets import batches, feature_store
from features.datasets.dataset import Dataset
from features.spec import Progress, silent
from features.targets.classes import CLASS
from features.targets.target import Target
from models.network import Network
from models.objective import Objective
from models.training.examples import Examples, gather
from models.training.featurizing import featurize, uncached
from models.training.leg import Leg, OnEpoch, OnResume
from models.training.recovery import identity
from models.training.recovery.failures import TrainingDivergedError
from models.training.recovery.identity import weights_hash
from models.training.recovery.interruption import listening
from models.training.settings import LoopSettings, TrainingSettings
from models.training.workers import ALONE, Workers

__all__ = [
    "History",
    "TrainingDivergedError",
    "TrainingSettings",
    "featurize",
    "train",
    "uncached",
    "weights_hash",
]


@dataclass(frozen=True)
class History:
    """What was measured.

    Attributes:
        epochs: of each its phase, number and metrics.
        validation: metrics of the validation split with the weights that the training ends with: averaged,
            of the best epoch, calibrated. Empty without such a split. What is fitted to that split as well in
            the end counts as it was before.
    """

    epochs: tuple[dict[str, Any], ...]
    validation: Mapping[str, float]


def train(
    network: Network,
    dataset: Dataset,
    *,
    target: Target = CLASS,
    objective: Objective,
    settings: LoopSettings,
    stores: Path,
    checkpoints: Path,
    seed: int,
    restart: bool = False,
    progress: Progress = silent,
    on_epoch: OnEpoch = lambda phase, epoch, metrics: None,
    on_resume: OnResume = lambda phase, epoch, unfinished: None,
    workers: Workers = ALONE,
) -> History:
    """Train every phase of a network, going on from its checkpoints where there are any.

    Args:
        network: changed in place: it holds the trained weights afterwards.
        dataset: accepted examples with splits.
        target: of the examples.
        objective: loss and metrics.
        settings: the recipe's training section.
        stores: folder of feature stores, filled by featurize.
        checkpoints: folder of this training's state.
        seed: decides order, augmentation and dropout.
        restart: discard checkpoints of other settings instead of refusing them.
        progress: told the step within each epoch.
        on_epoch: told each epoch's metrics; again for the epochs before a resume, in order.
        on_resume: told where each phase goes on, before its earlier epochs are told again.
        workers: the processes that train together; all call this, the chief's checkpoints count.

    Raises:
        ConfigError: the checkpoints belong to other settings.
        TrainingDivergedError: NaN or infinite loss; names the batch's files.
        OutOfMemoryError: a batch does not fit.
        TrainingInterruptedError: SIGINT or SIGTERM; the state is kept.
        DataError: inputs or targets that do not fit the model, found before the first epoch.
        UnavailableError: another worker has ended.
    """
    description = settings.model_dump(mode="json") | {"seed": seed, "dataset": dataset.fingerprint}
    description |= {f"phase {phase.name}": identity.describe(phase) for phase in network.phases}
    identity.require_same(checkpoints, description, restart)
    rows: list[dict[str, Any]] = []
    with listening() as bell:
        for phase in network.phases:
            leg = Leg(phase, target, objective, settings, checkpoints / phase.name, seed, workers)
            leg.last = phase is network.phases[-1]
            rows += leg.run(dataset, stores, len(rows), bell, progress, on_epoch, on_resume)
    return History(tuple(rows), _completed(network, leg, dataset, stores))


def _completed(network: Network, leg: Leg, dataset: Dataset, stores: Path) -> Mapping[str, float]:
    """Set what gradients do not move; return the metrics of the validation split."""
    if network.calibrate is None and network.settle is None:
        return leg.final
    cache = feature_store.FeatureStore(stores / feature_store.fingerprint(leg.phase.stage))
    validation = gather(dataset, leg.target, cache, "validation", leg.phase.place)
    final = leg.final
    if network.calibrate is not None:
        network.calibrate(_batches(validation))
        final = leg.validate(validation)
    if network.settle is not None and len(validation):
        training = gather(dataset, leg.target, cache, "train", leg.phase.place)
        network.settle([*_batches(training), *_batches(validation)])
    return final


def _batches(examples: Examples) -> list[tuple[Any, Any]]:
    return [batch[:2] for batch in batches.batches(examples.rows, examples.targets, batch_size=8)]
