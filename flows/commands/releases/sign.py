"""``servable sign``: sign a published model with a private key."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.commands.releases import verify
from flows.console import terminal


def sign(
    subject: Annotated[str, typer.Argument(help="Model, such as pets or pets@2, or folder of a release.")],
    key: Annotated[Path, typer.Option("--key", help="PEM file of the private key.", metavar="FILE")],
    password: Annotated[
        str | None, typer.Option(envvar="SERVABLE_KEY_PASSWORD", help="Password of the key.", metavar="TEXT")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Sign a published model with a private key.

    servable verify --key then shows who published it.
    """
    from serving.repository import signature

    release = verify.release(subject, workspace)
    path = signature.sign(release, key, password)
    terminal.note(f"{release.model} version {release.version} is signed: {path}")
