"""``servable export``: a release as an archive, for LiteRT, or as a Keras file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from features.errors import UsageError
from flows.commands.options import QuietOption, WorkspaceOption, versioned
from flows.console import terminal
from flows.workspace import Workspace, model_name

Format = Literal["zip", "tflite", "keras"]


def export(
    name: Annotated[str, typer.Argument(help="Model, such as pets, or a version of it, such as pets@3.")],
    format: Annotated[
        Format,
        typer.Option(
            help="zip: the release itself; tflite: for devices; keras: the network without featurizer."
        ),
    ] = "zip",
    out: Annotated[Path | None, typer.Option(help="File to write. Default: NAME-VERSION.FORMAT.")] = None,
    signature: Annotated[
        str | None,
        typer.Option(help="Signature to convert for tflite. Default: decoded input, where there is."),
    ] = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a published model as one file: zip, tflite or keras.

    The file is loaded again, and its answers are compared with those of the release.
    """
    from flows.console import quiet as quieting
    from flows.runs import releases
    from serving.repository.repository import Repository

    if signature is not None and format != "tflite":
        raise UsageError("--signature applies to --format tflite alone", got=f"--format {format}")
    place, (model, version) = Workspace.existing(workspace), versioned(name)
    repository = Repository(place.repository)
    release = repository.release(model_name(model), version or releases.stable(place, model))
    target = out or Path(f"{model}-{release.version}.{format}")
    if target.exists():
        raise UsageError("the file exists", got=target, todo="delete it, or name another with --out")
    if not target.absolute().parent.is_dir():
        raise UsageError("no such folder", got=target.absolute().parent)
    part = ""
    with terminal.hushed(quiet), terminal.working("export"), quieting.native_stderr():
        from models.export import formats

        if format == "zip":
            difference = formats.archive(release.path, target)
        elif format == "tflite":
            part, difference = formats.lite(release.path, target, signature)
        else:
            from flows.runs import finished

            network = finished.find(place, model, release.version).network()
            difference = formats.keras_file(network, target)
    print(target)
    answers = "identical" if difference == 0 else f"the same up to {difference:.1g}"
    with terminal.hushed(quiet):
        terminal.note(f"checked: {f'signature {part}, ' if part else ''}its answers are {answers}")
