"""Options shared by several commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from features.errors import UsageError

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder of all output files (or SERVABLE_WORKSPACE).", metavar="DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print the result alone, and errors.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
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
TlsOption = Annotated[bool, typer.Option("--tls", help="Encrypt the calls to the server.")]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        help="PEM file of the authorities to trust instead of the system's; implies --tls.",
        metavar="FILE",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File with a token to send as authorization: Bearer, for a proxy in front of the server.",
        metavar="FILE",
    ),
]


def confirmed(question: str, yes: bool) -> bool:
    """Ask a person, unless ``--yes`` was given; without a terminal the answer is no."""
    return yes or (sys.stdin.isatty() and typer.confirm(question, err=True))


def versioned(name: str) -> tuple[str, int | None]:
    """Split ``NAME@VERSION``; None where no version is given.

    Raises:
        UsageError: what follows the @ is no number.
    """
    model, at, version = name.partition("@")
    if at and not version.isdecimal():
        raise UsageError("cannot read the version", got=name, expected="NAME or NAME@VERSION")
    return model, int(version) if at else None


SERVER, REST_SERVER = "127.0.0.1:8500", "127.0.0.1:8501"
