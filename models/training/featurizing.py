"""The input of every phase, computed once for each example, here or in other processes."""

from collections.abc import Callable
from pathlib import Path

from features.datasets import feature_store
from features.datasets.dataset import Dataset
from features.spec import Progress, silent
from models.network import Network

#: From the number of a phase and the fingerprint of its stage to what has its rows computed elsewhere.
Elsewhere = Callable[[int, str], feature_store.Elsewhere]


def featurize(
    network: Network,
    dataset: Dataset,
    stores: Path,
    progress: Progress = silent,
    elsewhere: Elsewhere | None = None,
) -> None:
    """Compute and cache what each phase takes as input, for every example that is not cached yet.

    Args:
        network: whose phases they are.
        dataset: accepted examples.
        stores: folder of feature stores.
        progress: told how many examples are done.
        elsewhere: has rows computed in other processes; None: all here.
    """
    for number, phase in enumerate(network.phases):
        name = feature_store.fingerprint(phase.stage)
        spread = elsewhere(number, name) if elsewhere else None
        store = feature_store.FeatureStore(stores / name)
        feature_store.compute(phase.stage, dataset, store, progress=progress, elsewhere=spread)


def uncached(network: Network, dataset: Dataset, stores: Path) -> int:
    """Count the examples that `featurize` would compute something of."""
    contents = list(dataset.frame["sha256"])
    missing = [
        feature_store.FeatureStore(stores / feature_store.fingerprint(phase.stage)).missing(contents)
        for phase in network.phases
    ]
    return len({content for each in missing for content in each})
