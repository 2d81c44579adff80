"""The training step: from cached features to trained weights."""

import json
from collections.abc import Callable, Mapping

from features.storage.files import write_file
from flows.console import terminal
from flows.orchestration import artifacts, step
from flows.runs import networks
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from models.objective import Objective
from models.training import training

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
    if record.run.weights.is_file() and history_file.is_file():
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
    )
    record.tracked.metrics(networks.figures(plan, dataset))
    networks.save(record.run, network)
    write_file(history_file, json.dumps(history.epochs))
    record.run.record(weights_hash=training.weights_hash(network.model))
    return str(record.run.weights)


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
