"""``servable demo``: all steps from data to predictions, on data that come with the package."""

from flows.commands.options import WorkspaceOption
from flows.console import quiet as quieting
from flows.workspace import Workspace


def demo(workspace: WorkspaceOption = None) -> None:
    """Train, serve and query four small models on included data."""
    with quieting.native_stderr():
        from flows import demo as demonstration

    demonstration.run(Workspace.open(workspace))
