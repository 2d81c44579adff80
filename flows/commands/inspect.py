"""``servable status`` and ``servable metadata``: what a server says of a model."""

import json
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
)
from flows.console import quiet as quieting
from flows.console import terminal


def status(
    name: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[int | None, typer.Option(help="One version alone.")] = None,
    target: TargetOption = SERVER,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
) -> None:
    """Tell the state of a served model's versions, with what went wrong."""
    _inquire("status", name, version, target, rest_target, curl, grpcurl, json_output)


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
    _inquire("metadata", name, version, target, rest_target, curl, grpcurl, json_output)


def _inquire(
    what: str,
    name: str,
    version: int | None,
    target: str,
    rest_target: str,
    curl: bool,
    grpcurl: bool,
    json_output: bool,
) -> None:
    with quieting.native_stderr():
        from flows.queries import inspection

    if curl or grpcurl:
        print(inspection.command(what, name, version, rest_target if curl else target, rest=curl))
        return
    columns, rows, objects = inspection.INQUIRIES[what](name, version, target)
    if json_output:
        for row in objects:
            print(json.dumps(row))
    else:
        terminal.table("", columns, rows)
