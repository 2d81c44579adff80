"""Start a training here, or under Prefect."""

import json
from pathlib import Path
from typing import Any

from flows.console import quiet
from flows.orchestration import prefect_server, step, task_runners
from flows.runs.plans.request import Request, check_addresses
from flows.workspace import Workspace
from models.training import cluster


def run(request: Request, *, local: bool = False) -> dict[str, Any]:
    """Run the training flow and return its summary.

    Args:
        request: what to train.
        local: do without Prefect.

    Raises:
        ServableError: whatever stopped the training; see the error tree for the exit codes.
    """
    check(request, local=local)
    # One flow run shows the training: that of the chief.
    if local or cluster.assists():
        return _flow()(**request.as_parameters())
    with prefect_server.running_api(Workspace.open(Path(request.workspace))) as ready:
        train_model = _flow()
        from flows.runs.plans import plan

        # Before the server is waited for: a mistake in the request is told at once.
        plan.resolve(request)
        return step.run(
            train_model,
            request.as_parameters(),
            api=ready(),
            name="servable-train",
            run_name=f"{request.task} {request.name}",
        )


def check(request: Request, *, local: bool) -> None:
    """Check what a training needs from outside before anything is imported.

    Raises:
        ServableError: the request is mistaken, as of `flows.runs.plans.usage.check`.
        ConfigError: the address of MLflow or Prefect cannot work.
    """
    from flows.runs.plans import usage

    usage.check(request)
    task_runners.check(request.runner, local=local)
    check_addresses(Workspace.open(Path(request.workspace)), local=local)


def preview(request: Request) -> dict[str, Any]:
    """Resolve a request and read its data as the training will, which need not do it again.

    Returns:
        ``recipe``, as it is resolved; ``dataset``, the card of the data; ``lines``, which say where every
        entry of the source went; ``refused``, the records of the quarantine.

    Raises:
        ServableError: whatever would stop the training before it begins.
    """
    check(request, local=True)
    with quiet.native_stderr():
        from features.ingest.ingest import ingest
        from flows.console import terminal
        from flows.runs.plans import plan as plans
        from flows.steps.ingest import described

    plan = plans.resolve(request)
    dataset = ingest(
        request.data,
        raw=plan.task.raw,
        target=plan.task.target,
        columns=plan.columns,
        rules=plan.rules,
        root=plan.workspace.datasets,
        progress=terminal.report_progress,
    )
    return {
        "recipe": plan.adapted(dataset).recipe,
        "dataset": dataset.card,
        "lines": described(dataset.card, dataset.quarantine),
        "refused": [json.loads(line) for line in dataset.quarantine.read_text().splitlines()],
    }


def _flow() -> Any:
    with quiet.native_stderr():
        from flows import pipeline
    return pipeline.train_model
