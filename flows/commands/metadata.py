"""``servable metadata``: the signatures of a served model."""

from typing import Annotated

import typer

from flows.commands.inquiry import inquire
from flows.commands.options import (
    REST_SERVER,
    SERVER,
    CurlOption,
    GrpcurlOption,
    JsonOption,
    RestTargetOption,
    TargetOption,
)


def metadata(
    name: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[int | None, typer.Option(help="A version other than the latest.")] = None,
    target: TargetOption = SERVER,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
) -> None:
    """Tell the signatures of a served model: inputs and outputs with dtype and shape."""
    inquire("metadata", name, version, target, rest_target, curl, grpcurl, json_output)
