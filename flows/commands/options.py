"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder of all output files (or SERVABLE_WORKSPACE).", metavar="DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Hide progress.")]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target", envvar="SERVABLE_SERVER", help="Address of the model server.", metavar="HOST:PORT"
    ),
]
CurlOption = Annotated[bool, typer.Option("--curl", help="Print the equivalent curl command instead.")]
GrpcurlOption = Annotated[
    bool, typer.Option("--grpcurl", help="Print the equivalent grpcurl command instead.")
]
RestTargetOption = Annotated[
    str, typer.Option("--rest-target", help="REST address for --curl.", metavar="HOST:PORT")
]

SERVER, REST_SERVER = "127.0.0.1:8500", "127.0.0.1:8501"
