"""Start a training here, or under Prefect."""

from pathlib import Path
from typing import Any

from flows.console import quiet
from flows.orchestration import prefect_server, step
from flows.runs.request import Request, check_addresses
from flows.workspace import Workspace


def run(request: Request, *, local: bool = False) -> dict[str, Any]:
    """Run the training flow and return its summary.

    Args:
        request: what to train.
        local: do without Prefect.

    Raises:
        ServableError: whatever stopped the training; see the error tree for the exit codes.
    """
    check_addresses(Workspace.open(Path(request.workspace)), local=local)
    if local:
        return _flow()(**request.as_parameters())
    with prefect_server.running_api(Workspace.open(Path(request.workspace))) as ready:
        train_model = _flow()
        from flows.runs import plan

        # Before the server is waited for: a mistake in the request is told at once.
        plan.resolve(request)
        return step.run(
            train_model,
            request.as_parameters(),
            api=ready(),
            name="servable-train",
            run_name=f"{request.task} {request.name}",
        )


def _flow() -> Any:
    with quiet.native_stderr():
        from flows import pipeline
    return pipeline.train_model
