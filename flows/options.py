"""The options that commands share."""

import json
from pathlib import Path
from typing import Annotated

import typer

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder for everything written (or SERVABLE_WORKSPACE).", metavar="DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target", envvar="SERVABLE_SERVER", help="Address of the model server.", metavar="HOST:PORT"
    ),
]
CurlOption = Annotated[bool, typer.Option("--curl", help="Print the curl command instead.")]
GrpcurlOption = Annotated[bool, typer.Option("--grpcurl", help="Print the grpcurl command instead.")]
RestTargetOption = Annotated[
    str, typer.Option("--rest-target", help="Address in the curl command.", metavar="HOST:PORT")
]
NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The table's first row is one of data: columns are column_1 ...")
]
InputSuffixOption = Annotated[
    str | None,
    typer.Option(
        "--input-suffix", help="Ending of the files that a table names without one.", metavar=".jpg"
    ),
]
InputFolderOption = Annotated[
    str | None,
    typer.Option("--input-folder", help="Folder of a table's files, below its own.", metavar="FOLDER"),
]


def table_settings(no_header: bool, input_suffix: str | None, input_folder: str | None) -> tuple[str, ...]:
    """Write the options on a table's form as overrides of a recipe, which keeps them."""
    given = {"input_suffix": input_suffix, "input_folder": input_folder}
    named = tuple(f"data.{key}={json.dumps(value)}" for key, value in given.items() if value is not None)
    return (*named, *(("data.header=false",) if no_header else ()))


SERVER, REST_SERVER = "127.0.0.1:8500", "127.0.0.1:8501"
