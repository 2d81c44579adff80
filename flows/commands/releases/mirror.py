"""``servable mirror``: copy the published models to an object store."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.workspace import Workspace


def mirror(
    url: Annotated[
        str, typer.Argument(help="Where to, such as s3://bucket/models.", envvar="SERVABLE_MIRROR")
    ],
    workspace: WorkspaceOption = None,
) -> None:
    """Copy the published models to an object store.

    What was deleted here is deleted there as well.
    """
    place = Workspace.existing(workspace)
    from features.storage.locks import exclusive
    from serving.repository.mirror import push
    from serving.repository.repository import Repository

    with exclusive(place.locks / "mirror.lock", f"a copy of {place.repository} to an object store"):
        for line in push(Repository(place.repository), url):
            print(line)
