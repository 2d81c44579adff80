"""``servable predict``: query a served model."""

import json
from pathlib import Path
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


def predict(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    examples: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files to send (- for standard input); for models of text, words or rows also literal text. "
            "One prediction each."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Literal text, even if a file has this name.", metavar="TEXT"),
    ] = None,
    signature: Annotated[
        str | None, typer.Option(help="Signature to call. Default: serving_default.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Additional input of the signature, such as k=5.", metavar="NAME=VALUE"),
    ] = None,
    positive: Annotated[str | None, typer.Option(help="Comma-separated words to add, for analogies.")] = None,
    negative: Annotated[str | None, typer.Option(help="Comma-separated words to subtract.")] = None,
    version: Annotated[int | None, typer.Option(help="Version. Default: the stable one.")] = None,
    target: TargetOption = SERVER,
    timeout: Annotated[float, typer.Option(help="Timeout in seconds.")] = 30.0,
    k: Annotated[int | None, typer.Option(help="Number of neighbours to return.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Draw the neighbours, points or boxes of an image to this file, or notes; .mid writes MIDI.",
            metavar="FILE",
        ),
    ] = None,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
) -> None:
    """Query a served model with files or text."""
    with quieting.native_stderr():
        from flows.queries import question as prediction
        from flows.queries import raw_inputs

    count = None if k is None else str(k)
    further = prediction.named(inputs or (), positive=positive, negative=negative, k=count)
    sent = [*(examples or ()), *map(raw_inputs.Typed, text or ())]
    question = prediction.Question(name, sent, further, signature, version, timeout)
    if curl or grpcurl:
        for command in prediction.commands(question, target, rest_target if curl else None):
            print(command)
        return
    for answer in prediction.answers(question, target, out=out):
        if not json_output and (line := prediction.coloured(answer)) is not None:
            terminal.stdout.print(line, soft_wrap=True)
        else:
            print(json.dumps(answer) if json_output else prediction.sentence(answer))
