"""``servable demo``: the main job from end to end."""

from flows.commands.options import WorkspaceOption
from flows.console import quiet as quieting
from flows.workspace import Workspace


def demo(workspace: WorkspaceOption = None) -> None:
    """Run the main job on images, sounds, words and texts that come with the tool, to a gRPC answer."""
    with quieting.native_stderr():
        from flows import demo as demonstration

    demonstration.run(Workspace.open(workspace))
