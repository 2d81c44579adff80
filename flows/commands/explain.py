"""The ``servable explain`` command."""

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


def explain(
    name: Annotated[str, typer.Argument(help="The model.")],
    file: Annotated[Path, typer.Argument(help="The image or sound.")],
    method: Annotated[str, typer.Option(help="occlusion or grad-cam.")] = "occlusion",
    label: Annotated[str | None, typer.Option(help="Label to explain; the predicted one by default.")] = None,
    patch: Annotated[
        int | None, typer.Option(help="Side of what is hidden, in the network's pixels.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Pixels from one patch to the next.")] = None,
    fill: Annotated[str | None, typer.Option(help="What stands in a patch; the file's own mean.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to draw the overlay, PNG.")] = None,
    version: Annotated[int | None, typer.Option(help="A version other than the stable one.")] = None,
    target: TargetOption = SERVER,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 120.0,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
) -> None:
    """Show where in an image or a sound the evidence for a label lies."""
    with quieting.native_stderr():
        from flows.queries import explanation
        from flows.queries import question as prediction

    sizes = {
        key: None if value is None else str(value) for key, value in (("patch", patch), ("stride", stride))
    }
    further = {"label": label, "fill": fill, **sizes}
    question = explanation.question(name, file, method, further, version=version, timeout=timeout)
    if curl or grpcurl:
        explanation.require(question, target)
        for command in prediction.commands(question, target, rest_target if curl else None):
            print(command)
        return
    answer = explanation.answered(question, target)
    if out is not None:
        explanation.draw(answer, file.name, out)
    told = explanation.plain(answer, method, file)
    print(json.dumps(told) if json_output else explanation.sentence(told))
    if out is not None and not json_output:
        terminal.note(f"drawn in {terminal.printable(str(out))}")
