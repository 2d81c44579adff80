"""Options shared by several commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from features.errors import UsageError
from flows.commands.groups import grouped
from serving.security import Security

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
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


def security(
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt the connection to the server.")] = False,
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            help="PEM file of the authorities to trust instead of the system's; implies --tls.",
            metavar="FILE",
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            "--cert",
            help="PEM file of the client's certificate, for a server that requires one; implies --tls.",
            metavar="FILE",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="PEM file of the private key of --cert.", metavar="FILE"),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", help="File with the token to send as authorization: Bearer.", metavar="FILE"
        ),
    ] = None,
) -> Security:
    """Turn the options of a connection into one value.

    Raises:
        UsageError: --cert and --key are not given together.
    """
    return Security(tls, ca, token_file, cert, key)


#: Decorates a command that has a parameter ``security``.
secured = grouped("security", security)


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
