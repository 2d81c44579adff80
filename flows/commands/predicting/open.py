"""``servable open``: the page to try a model in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import REST_SERVER, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def open(
    name: Annotated[str | None, typer.Argument(help="Name of the model. Default: the first.")] = None,
    target: Annotated[
        str, typer.Option("--rest-target", help="REST address of the model server.", metavar="HOST:PORT")
    ] = REST_SERVER,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only print the address.")
    ] = True,
    save: Annotated[
        Path | None,
        typer.Option(help="Only write the page to this file, which can ask any server.", metavar="FILE"),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Try a served model in the browser."""
    import webbrowser

    from flows.queries.answers import page

    if save is not None:
        print(page.save(save))
        return
    address = page.address(name, target, lambda: Workspace.open(workspace).root / "page.html")
    print(address, flush=True)
    if browser and not webbrowser.open(address):
        terminal.note("no browser found on this machine: open the address yourself")
