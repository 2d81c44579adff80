"""The training step: from cached features to trained weights."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from features.storage.files import write_file
from flows.console import terminal
from flows.orchestration import artifacts, step
from flows.runs import networks
from flows.runs.plans.plan import Plan
from flows.runs.run import Record, seen
from flows.runs.state import DatasetReference
from models.objective import Objective
from models.training import training, workers

#: Told the epoch, counted over all phases, and its metrics.
Watch = Callable[[int, Mapping[str, float]], None]


@step.step("train", run_name="train {plan.name}")
def fit(plan: Plan, record: Record, watch: Watch | None = None) -> str:
    """Train, or go on where a training was cut off; return the file of the final weights.

    Args:
        plan: of the training.
        record: of its run.
        watch: told each epoch and its metrics; what it raises ends the training.
    """
    history_file = record.run.path / "history.json"
    together = workers.of(plan.training)
    finished = record.run.weights.is_file() and history_file.is_file()
    together.agreed(lambda: None if finished else handover(plan, record.dataset))
    if finished:
        together.leave()
        step.reuse("the weights of a finished training")
        for epoch, row in enumerate(json.loads(history_file.read_text()), start=1):
            record.tracked.metrics(by_split(row["metrics"]), step=epoch)
        record.tracked.metrics(networks.figures(plan, record.load_dataset()))
        return str(record.run.weights)
    dataset = record.load_dataset()
    network = record.networks.network(plan, dataset)
    objective = plan.task.objective
    assert isinstance(objective, Objective), "a task without a loss takes a course of its own"

    first = 1

    def on_resume(phase: str, epoch: int, unfinished: bool) -> None:
        nonlocal first
        first = epoch
        if unfinished:
            terminal.report_resumed(f"train: {phase}", epoch)

    def on_epoch(phase: str, epoch: int, metrics: dict[str, float]) -> None:
        record.tracked.metrics(by_split(metrics), step=epoch)
        if epoch >= first:
            terminal.report_epoch(phase, epoch, metrics)
        if watch is not None:
            watch(epoch, metrics)

    history = training.train(
        network,
        dataset,
        target=plan.task.target,
        objective=objective,
        settings=plan.training,
        stores=plan.workspace.features,
        checkpoints=record.run.checkpoints,
        seed=plan.request.seed,
        restart=plan.request.restart,
        progress=artifacts.report_progress,
        on_epoch=on_epoch,
        on_resume=on_resume,
        workers=together,
    )
    together.leave()
    record.tracked.metrics(networks.figures(plan, dataset))
    record.run.record(weights_hash=training.weights_hash(network.model), validation=dict(history.validation))
    networks.save(record.run, network)  # last, for with these two files the training is finished
    write_file(history_file, json.dumps(history.epochs))
    return str(record.run.weights)


def handover(plan: Plan, dataset: DatasetReference) -> dict[str, Any]:
    """Return what the other workers of a training need to know: the recipe as adapted, and its dataset."""
    return {"recipe": plan.recipe, "dataset": dataset.model_dump(mode="json")}


def assist(plan: Plan) -> dict[str, Any]:
    """Train beside the chief, which alone keeps what comes out.

    Args:
        plan: of the training, in whose workspace the chief caches the features.

    Returns:
        What `servable train` shows of it: the place among the workers, and the hash of the weights.

    Raises:
        ConfigError: the recipe does not fit several workers.
        UnavailableError: the chief, or another worker, has ended.
    """
    together = workers.of(plan.training)
    place = {"model": plan.name, "worker": together.place.index, "workers": together.place.count}
    if (agreement := together.agreed(lambda: None)) is None:
        together.leave()
        return place | {"weights_hash": None}
    plan = Plan(plan.request, agreement["recipe"])
    dataset = seen(DatasetReference(**agreement["dataset"]))
    network = networks.untrained(plan, dataset)
    assert isinstance(plan.task.objective, Objective), "a task without a loss takes a course of its own"
    with tempfile.TemporaryDirectory() as folder:
        training.train(
            network,
            dataset,
            target=plan.task.target,
            objective=plan.task.objective,
            settings=plan.training,
            stores=plan.workspace.features,
            checkpoints=Path(folder),
            seed=plan.request.seed,
            progress=artifacts.report_progress,
            workers=together,
        )
    together.leave()
    return place | {"weights_hash": training.weights_hash(network.model)}


def by_split(metrics: Mapping[str, float]) -> dict[str, float]:
    """Name an epoch's metrics as test metrics are: ``train/loss``, ``validation/loss``; the rest as it is."""
    common = {name: metrics[name] for name in ("learning_rate", "seconds") if name in metrics}
    split = {
        f"validation/{name.removeprefix('validation_')}"
        if name.startswith("validation_")
        else f"train/{name}": value
        for name, value in metrics.items()
        if name not in common
    }
    return split | common
