"""``servable activations``: the activation maps of a layer for one file.

The network of the run is loaded, not the served model: every layer is available, and no release has to export
the outputs of all its layers.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from features.errors import DataError
from features.names import printable
from flows.console import quiet as quieting
from flows.console import terminal
from flows.workspace import Workspace


def activations(
    name: Annotated[str, typer.Argument(help="Name of the model, or the folder of a run.")],
    file: Annotated[
        str | None,
        typer.Argument(help="Input file, or a text for a text model. Without it, list the layers."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Number or name of the layer. Default: the first ReLU.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Output file, .png or .svg.")] = Path("maps.png"),
    version: Annotated[int | None, typer.Option(help="Version. Default: the stable one.")] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", help="Folder of all output files (or SERVABLE_WORKSPACE).", metavar="DIR"
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw the activation maps of a layer for one file."""
    from flows.queries.reading import raw_inputs
    from flows.runs import listing

    place = Workspace.existing(workspace)
    raw_inputs.require([] if file is None else [file])
    listing.find(place, name, version)
    with terminal.working("load the network"), quieting.native_stderr():
        from flows.runs import finished

        training = finished.find(place, name, version)
        rows = _listed(training) if file is None else [_drawn(training, file, layer, out)]
    for row in rows:
        print(json.dumps(row) if json_output else _sentence(row))


def _listed(training: Any) -> list[dict[str, Any]]:
    from models.explain import activations as looking

    return [_described(layer) for layer in looking.map_layers(training.network())]


def _described(layer: Any) -> dict[str, Any]:
    height, width, maps = layer.size
    return {
        "layer": layer.number,
        "name": layer.name,
        "kind": layer.kind,
        "height": height,
        "width": width,
        "maps": maps,
    }


def _drawn(training: Any, file: str, layer: str | None, out: Path) -> dict[str, Any]:
    from models.explain import activations as looking
    from models.figures import activation_figures
    from models.figures.drawing import canvas

    network = training.network()
    chosen = looking.choose(looking.map_layers(network), layer)
    layer_maps = looking.activations(network, _content(training.plan, file), chosen.name)
    draw = canvas.svg if out.suffix.lower() == ".svg" else canvas.png
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(draw(activation_figures.maps(layer_maps)))
    flat = layer_maps.maps.reshape(-1, layer_maps.maps.shape[-1])
    figures = {"mean": flat.mean(0).tolist(), "largest": flat.max(0).tolist()}
    return {"input": file, **_described(layer_maps.layer), "out": str(out), **figures}


def _content(plan: Any, file: str) -> bytes:
    """Read a file or a text as ingest would keep it."""
    from features.ingest.verdicts import kinds
    from features.names import suffix_of
    from features.quarantine import RefusedError
    from flows.queries.reading import raw_inputs

    data = raw_inputs.read_one(file, plan.task.raw.input).content
    try:
        facts = kinds.reader(plan.task.raw)(data, suffix_of(os.fsencode(file)), plan.rules.decoder_rules())
    except RefusedError as refusal:
        raise DataError(f"{file} cannot be used", got=f"{refusal.reason}: {refusal.detail}") from None
    return facts.stored or data


def _sentence(row: dict[str, Any]) -> str:
    text = "{layer}  {name} ({kind}): {maps} maps of {height} x {width}".format(**row)
    return printable(f"{row['input']}: layer {text} -> {row['out']}" if "out" in row else text)
