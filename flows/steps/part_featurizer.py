"""Compute the features of a part of a dataset in a process that knows nothing but where things lie."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from features.datasets import feature_store
from features.datasets.dataset import Dataset
from features.datasets.feature_store import FeatureStore, Traced
from features.errors import InternalError
from features.spread import Part, Spread
from flows.orchestration import task_runners
from flows.runs import networks
from flows.runs.plans.plan import Plan
from flows.runs.plans.request import Request
from flows.runs.run import seen
from flows.runs.state import DatasetReference
from models.network import Network
from models.training.featurizing import Elsewhere


@contextmanager
def elsewhere(plan: Plan, dataset: DatasetReference) -> Iterator[Elsewhere | None]:
    """Provide what has features computed by the request's runner; None: they are computed here.

    Args:
        plan: of the training.
        dataset: what ingest returned.
    """
    with task_runners.spread(plan.request.runner) as spread:
        yield None if spread is None else by(spread, plan, dataset)


def by(spread: Spread, plan: Plan, dataset: DatasetReference) -> Elsewhere:
    """Have features computed by whatever calls a function for each part."""
    arguments = json.dumps([plan.request.as_parameters(), plan.recipe]), dataset.model_dump_json()
    return lambda phase, stage: functools.partial(
        spread, Featurizer(*arguments, phase, stage, plan.workspace.features)
    )


@dataclass(frozen=True)
class Featurizer:
    """What a process needs to know to compute the rows of a part: where things lie.

    Attributes:
        plan: of the training: request and recipe, as JSON.
        dataset: what ingest returned, as JSON.
        phase: number of the phase whose input the rows are.
        stage: fingerprint of what computes it.
        stores: folder of feature stores.
    """

    plan: str
    dataset: str
    phase: int
    stage: str
    stores: Path

    def __call__(self, part: Part) -> int:
        """Compute the rows of a part, and return how many there were."""
        built = _built(self.plan, self.dataset)
        stage = built.stage(self.phase, self.stage)
        return feature_store.compute_part(stage, built.dataset, FeatureStore(self.stores / self.stage), part)


class _Built:
    """The untrained network of a plan in this process, with the graphs of its stages."""

    def __init__(self, network: Network, dataset: Dataset) -> None:
        self._network, self.dataset = network, dataset
        self._traced: dict[int, Traced] = {}

    def stage(self, phase: int, fingerprint: str) -> Traced:
        """Return the stage of a phase.

        Raises:
            InternalError: it computes something else than the stage of this fingerprint.
        """
        if phase not in self._traced:
            stage = self._network.phases[phase].stage
            if (name := feature_store.fingerprint(stage)) != fingerprint:
                raise InternalError(
                    "a process of the cluster computes other features than the training takes",
                    got=name,
                    expected=fingerprint,
                    todo="install the same versions of everything on all machines",
                )
            self._traced[phase] = feature_store.traced(stage)
        return self._traced[phase]


@functools.lru_cache(maxsize=1)
def _built(plan: str, dataset: str) -> _Built:
    """Build the network once for all parts that this process computes."""
    request, recipe = json.loads(plan)
    reference = DatasetReference.model_validate_json(dataset)
    examples = seen(reference)
    return _Built(networks.untrained(Plan(Request(**request), recipe), examples), examples)
