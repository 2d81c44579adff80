"""``servable status``: the state of a served model's versions."""

from typing import Annotated

import typer

from flows.commands.inquiry import inquire
from flows.commands.options import (
    REST_SERVER,
    SERVER,
    CaOption,
    CurlOption,
    GrpcurlOption,
    JsonOption,
    RestTargetOption,
    TargetOption,
    TlsOption,
    TokenFileOption,
)
from serving.security import Security


def status(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[int | None, typer.Option(help="Show only this version.")] = None,
    target: TargetOption = SERVER,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
    tls: TlsOption = False,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Show the state of a served model's versions, with errors."""
    security = Security(tls, ca, token_file)
    inquire("status", name, version, target, rest_target, curl, grpcurl, json_output, security)
