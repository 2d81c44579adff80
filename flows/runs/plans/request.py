"""What was asked of a training, and its run under Prefect or without; imports nothing heavy.

A Prefect server takes as long to start as TensorFlow takes to be imported: here the one is started
before the other is imported, so that the two cores of a small machine do both at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flows.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """What was requested, as plain data: the parameters of the training flow."""

    task: str
    data: str
    name: str
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    columns: Mapping[str, str | list[str]] = field(default_factory=dict)
    seed: int = 0
    accept_worse: bool = False
    restart: bool = False
    force: bool = False
    workspace: str = "workspace"
    runner: str = "threads"

    def as_parameters(self) -> dict[str, Any]:
        """Return the request as JSON-serializable flow parameters."""
        return asdict(self) | {"overrides": list(self.overrides)}


def check_addresses(workspace: Workspace, *, local: bool = False) -> None:
    """Check the addresses that the environment names for MLflow and Prefect, before anything runs.

    Raises:
        ConfigError: one of them cannot work.
    """
    from flows.orchestration import prefect_api
    from flows.tracking import tracking

    tracking.tracking_uri(workspace)
    if not local:
        prefect_api.configured_api()
