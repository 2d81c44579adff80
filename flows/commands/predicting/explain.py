"""``servable explain``: the heatmap of a prediction."""

import json
from pathlib import Path
from typing import Annotated

import typer

from features.names import printable
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
from flows.console import quiet as quieting
from flows.console import terminal
from serving.security import PLAIN, Security


@secured
def explain(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    file: Annotated[Path, typer.Argument(help="Image or sound file.")],
    method: Annotated[str, typer.Option(help="Method: occlusion or grad-cam.")] = "occlusion",
    label: Annotated[str | None, typer.Option(help="Label to explain. Default: the predicted one.")] = None,
    patch: Annotated[
        int | None, typer.Option(help="Size of the hidden patch, in pixels of the network's input.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Distance between patches, in pixels.")] = None,
    fill: Annotated[
        str | None, typer.Option(help="Value of the hidden pixels. Default: the mean of the file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the heatmap to this PNG file.")] = None,
    version: Annotated[int | None, typer.Option(help="Version. Default: the stable one.")] = None,
    target: TargetOption = SERVER,
    timeout: Annotated[float, typer.Option(help="Timeout in seconds.")] = 120.0,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
    json_output: JsonOption = False,
    security: Security = PLAIN,
) -> None:
    """Show which parts of an image or sound speak for a label."""
    with quieting.native_stderr():
        from flows.queries import explanation
        from flows.queries import question as prediction
        from flows.queries.places import Place

    sizes = {
        key: None if value is None else str(value) for key, value in (("patch", patch), ("stride", stride))
    }
    further = {"label": label, "fill": fill, **sizes}
    question = explanation.question(name, file, method, further, version=version, timeout=timeout)
    place = Place(target, security)
    if curl or grpcurl:
        explanation.require(question, place)
        for command in prediction.commands(question, place, rest_target if curl else None):
            print(command)
        return
    with terminal.working("explain"):
        answer = explanation.answered(question, place)
    if out is not None:
        explanation.draw(answer, file.name, out)
    fields = explanation.plain(answer, method, file)
    print(json.dumps(fields) if json_output else explanation.sentence(fields))
    if out is not None and not json_output:
        terminal.note(f"written to {printable(str(out))}")
