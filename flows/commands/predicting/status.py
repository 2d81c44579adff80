"""``servable status``: the state of a served model's versions."""

from typing import Annotated

import typer

from flows.commands.options import (
    REST_SERVER,
    SERVER,
    CurlOption,
    GrpcurlOption,
    JsonOption,
    RestTargetOption,
    TargetOption,
    secured,
)
from flows.commands.predicting.inquiry import inquire
from serving.security import PLAIN, Security


@secured
def status(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[int | None, typer.Option(help="Show only this version.")] = None,
    target: TargetOption = SERVER,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
    security: Security = PLAIN,
) -> None:
    """Show the state of a served model's versions, with errors."""
    inquire("status", name, version, target, rest_target, curl, grpcurl, json_output, security)
