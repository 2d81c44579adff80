"""``servable predict``: query a served model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import (
    REST_SERVER,
    SERVER,
    CurlOption,
    GrpcurlOption,
    JsonOption,
    QuietOption,
    RestTargetOption,
    TargetOption,
    WorkspaceOption,
    secured,
)
from flows.console import quiet as quieting
from flows.console import terminal
from flows.workspace import Workspace
from serving.security import PLAIN, Security

if TYPE_CHECKING:
    from flows.queries.places import Place
    from flows.queries.question import Question


@secured
def predict(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    examples: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, archives, patterns, tables or URLs (- for standard input); for models of "
            "text, words or rows also literal text. One prediction each."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Literal text, even if a file has this name.", metavar="TEXT"),
    ] = None,
    input_column: Annotated[
        str | None,
        typer.Option(help="Column of a table with the texts or the paths of files.", metavar="NAME"),
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
    k: Annotated[int | None, typer.Option(help="Number of neighbours to return.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a table (- for standard output).", metavar="FILE")
    ] = None,
    json_output: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the answers to this file: .csv, .json, .jsonl or .txt; or draw the answer to one "
            "example: .png or .jpg, and .mid for notes.",
            metavar="FILE",
        ),
    ] = None,
    quiet: QuietOption = False,
    local: Annotated[
        bool, typer.Option("--local", help="Load the model from the workspace, without a server.")
    ] = False,
    workspace: WorkspaceOption = None,
    target: TargetOption = SERVER,
    security: Security = PLAIN,
    timeout: Annotated[float, typer.Option(help="Timeout of a request in seconds.")] = 30.0,
    private: Annotated[
        bool,
        typer.Option("--allow-private-addresses", help="Allow URLs of loopback and private addresses."),
    ] = False,
    curl: CurlOption = False,
    grpcurl: GrpcurlOption = False,
    rest_target: RestTargetOption = REST_SERVER,
) -> int:
    """Query a served model with files or text."""
    with quieting.native_stderr():
        from flows.queries import question as prediction
        from flows.queries.places import Place
        from flows.queries.reading import raw_inputs

    count = None if k is None else str(k)
    further = prediction.named(inputs or (), positive=positive, negative=negative, k=count)
    sent = [*(examples or ()), *map(raw_inputs.Typed, text or ())]
    question = prediction.Question(name, sent, further, signature, version, timeout, input_column, private)
    home = Workspace.existing(workspace) if local else Workspace.at(workspace)
    place = Place(target, security, home, local)
    if curl or grpcurl:
        for command in prediction.commands(question, place, rest_target if curl else None):
            print(command)
        return 0
    with terminal.hushed(quiet):
        return _answered(question, place, csv, out, as_json=json_output, quiet=quiet)


def _answered(
    question: "Question", place: "Place", csv: Path | None, out: Path | None, *, as_json: bool, quiet: bool
) -> int:
    """Write the answers; return the exit code, of the first input that failed."""
    from flows.queries import writers
    from flows.queries.question import Asking, Refused

    drawn = None if out is None or writers.is_text(out) else out
    failed, first = 0, None
    with (
        Asking(question, place, out=drawn) as asking,
        writers.opened(table=csv, out=out, as_json=as_json) as written,
        terminal.progress_bars(quiet=quiet or asking.total < 2 or _is_shown(csv, out)),
    ):
        for done, answer in enumerate(asking.answers(), start=1):
            for writer in written:
                writer.write(answer)
            if isinstance(answer, Refused):
                failed, first = failed + 1, first or answer.error
            terminal.report_progress("predict", done, asking.total)
    for note in asking.requests.examples.notes():
        terminal.note(note)
    printed = not (as_json or csv or (out and drawn is None))
    if failed and (asking.total > 1 or not printed):
        terminal.fail(
            f"{failed:,} of {asking.total:,} inputs failed" + ("" if printed else f"; first: {first}")
        )
    return 0 if first is None else first.exit_code


def _is_shown(csv: Path | None, out: Path | None) -> bool:
    """Return whether lines on a terminal show the progress themselves."""
    return csv is None and out is None and sys.stdout.isatty()
