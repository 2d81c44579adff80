"""``servable ui``: the interfaces of MLflow and Prefect."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.workspace import Workspace


def ui(
    workspace: WorkspaceOption = None,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect UI.")] = 4200,
) -> None:
    """Start the MLflow and Prefect UIs; stop them with Ctrl-C."""
    from flows import interfaces

    interfaces.run(Workspace.open(workspace), mlflow_port=mlflow_port, prefect_port=prefect_port)
