"""Train a published model again, from its snapshot, recipe and seed, and compare the weights.

The second training happens in a temporary workspace: features are computed anew, nothing is published and
MLflow is not told.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError, NoInputError
from flows import pipeline
from flows.orchestration.examiner import Examiner
from flows.runs import listing, releases
from flows.runs.directory import RunDirectory
from flows.runs.plans.plan import Plan
from flows.runs.plans.request import Request
from flows.runs.provenance import versions
from flows.runs.run import Record
from flows.runs.state import DatasetReference
from flows.tracking import tracking
from flows.workspace import Workspace
from serving.repository.release import Release
from serving.repository.repository import Repository

#: Caches and releases that a training may read, under their names in a workspace.
SHARED = ("hub", "repository")


@dataclass(frozen=True)
class Reproduction:
    """What came of training a release again.

    Attributes:
        model: the model's name.
        version: of the release.
        published: hash of the weights of the release.
        trained: hash of the weights of the second training.
        differing: arrays of the network that differ, with the largest difference; empty where the first
            training's weights are gone from the workspace.
        versions: of libraries that are others now, then and now.
    """

    model: str
    version: int
    published: str
    trained: str
    differing: dict[str, float]
    versions: dict[str, tuple[str | None, str | None]]

    @property
    def equal(self) -> bool:
        """Whether all weights are equal, bit for bit."""
        return self.published == self.trained

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"equal": self.equal, **asdict(self)}


def reproduce(workspace: Workspace, model: str, version: int | None = None) -> Reproduction:
    """Train a release again and compare.

    Args:
        workspace: with the release and the snapshot it was trained on.
        model: name of the model.
        version: of the model; None for the stable one.

    Raises:
        NoInputError: there is no such release, or its snapshot or an example is gone.
        DataError: the release has no recipe, an example changed since, or nothing was trained.
    """
    release = _release(workspace, model, version)
    manifest = release.manifest
    if not manifest.get("recipe") or not manifest.get("weights_hash"):
        raise DataError(
            f"version {release.version} of model {model} cannot be trained again",
            got="a manifest without recipe and weights",
            expected="a model that servable train published",
        )
    dataset = _dataset(workspace, release)
    with _scratch(workspace) as scratch:
        request = Request(manifest["task"], "", model, seed=manifest["seed"], workspace=str(scratch.root))
        run = _train(Plan(request, manifest["recipe"]), dataset)
        return Reproduction(
            model,
            release.version,
            manifest["weights_hash"],
            run.read().weights_hash or "",
            _differing(workspace, release, run),
            _changed(manifest["versions"], versions()),
        )


def _release(workspace: Workspace, model: str, version: int | None) -> Release:
    repository = Repository(workspace.repository)
    releases.require(workspace, model)
    return repository.release(model, version or releases.stable(workspace, model))


def _dataset(workspace: Workspace, release: Release) -> DatasetReference:
    """Describe the snapshot of a release as its training saw it."""
    described = release.manifest["dataset"]
    folder = workspace.datasets / described.get("snapshot", described["fingerprint"])
    if not folder.is_dir():
        raise NoInputError(
            f"the dataset of version {release.version} of model {release.model} is gone",
            got=f"nothing at {folder}",
            todo="ingest the same data again: servable train ... --dry-run makes the same snapshot",
        )
    return DatasetReference.model_validate({**described, "directory": str(folder)})


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[Workspace]:
    """Make a temporary workspace that shares the cache of modules and the releases with a workspace."""
    with tempfile.TemporaryDirectory(prefix=".reproduce-", dir=workspace.root) as folder:
        for name in SHARED:
            if (workspace.root / name).is_dir():
                (Path(folder) / name).symlink_to(workspace.root / name)
        yield Workspace.open(Path(folder))


def _train(plan: Plan, dataset: DatasetReference) -> RunDirectory:
    """Go through the steps of a training up to its weights; return its run's folder."""
    run = RunDirectory(plan.workspace.root / "run")
    run.path.mkdir()
    course = pipeline.COURSES.get(plan.request.task, pipeline.TRAINING)
    with tracking.untracked(plan.workspace) as ledger:
        tracked = ledger.start(plan.name, run_name="reproduction", key=plan.name)
        record = Record(run, dataset, tracked, ledger, Examiner(run.path / "gate.log"))
        for step in course.learning.values():
            step(plan, record)
    return run


def _differing(workspace: Workspace, release: Release, second: RunDirectory) -> dict[str, float]:
    """Return the largest difference of each array that differs, by its place in the network."""
    try:
        first = listing.find(workspace, release.model, release.version)
    except NoInputError:
        return {}
    if not first.weights.is_file():
        return {}
    with (
        np.load(first.weights, allow_pickle=False) as one,
        np.load(second.weights, allow_pickle=False) as two,
    ):
        places = sorted(set(one.files) | set(two.files))
        distances = {place: _distance(one, two, place) for place in places}
    return {place: distance for place, distance in distances.items() if distance}


def _distance(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray], place: str) -> float:
    """Return how far two arrays are apart; infinity where they are of other shapes or one is missing."""
    if place not in one or place not in two or one[place].shape != two[place].shape:
        return float("inf")
    if np.array_equal(one[place], two[place]):
        return 0.0
    if one[place].dtype.kind not in "fiu":
        return float("inf")
    return float(np.abs(one[place].astype(np.float64) - two[place].astype(np.float64)).max())


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    pairs = {name: (then.get(name), now.get(name)) for name in sorted(then.keys() | now.keys())}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
