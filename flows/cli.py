"""The ``servable`` command: argv and environment are read here and nowhere below.

Heavy imports stay inside the commands: ``servable --help`` answers in a fraction of a second.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from features.errors import ServableError
from flows.commands import activations, explain
from flows import predict_command
from flows.console import terminal
from flows.console import quiet as quieting
from flows.commands.options import REST_SERVER, SERVER, CurlOption, GrpcurlOption, JsonOption, QuietOption, RestTargetOption, TargetOption, WorkspaceOption
from flows.runs.request import Request
from flows.commands.training_options import takes_a_request
from flows.workspace import Workspace, model_name
from serving.engine import allocator
from serving import leaving

#: Exit code after Ctrl-C.
INTERRUPTED = 130

app = typer.Typer(
    name="servable",
    help="Turn images, sounds, texts or tables into a model that answers over the TensorFlow Serving API.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
@takes_a_request
def train(
    request: Request,
    local: Annotated[bool, typer.Option("--local", help="Run without Prefect.")] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ingest, train, evaluate, pass the gate and publish one model."""
    from flows.runs import request as requests

    with terminal.progress_bars(quiet=quiet):
        summary = requests.run(request, local=local)
    if json_output:
        print(json.dumps(summary))
    else:
        from flows.console import summary as summaries

        summaries.show(summary)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
)
def serve(context: typer.Context) -> None:
    """Serve the repository's models over gRPC and REST; takes tensorflow_model_server's flags."""
    with quieting.native_stderr():
        from serving import cli as serving_cli

    arguments = list(context.args)
    root = _take_workspace(arguments)
    raise typer.Exit(serving_cli.main(arguments, repository=Workspace.open(root).repository))


def _take_workspace(arguments: list[str]) -> Path | None:
    for position, argument in enumerate(arguments):
        if argument == "--workspace" and position + 1 < len(arguments):
            root = Path(arguments[position + 1])
            del arguments[position : position + 2]
            return root
        if argument.startswith("--workspace="):
            del arguments[position]
            return Path(argument.partition("=")[2])
    return None


app.command()(predict_command.predict)
app.command()(explain.explain)


@app.command()
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


@app.command()
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


@app.command()
def models(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """List what is published, which version is stable and its test metric."""
    from flows.runs import releases

    rows = releases.published(Workspace.open(workspace))
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        terminal.note("nothing is published yet: servable train image-classification --data DIR --name NAME")
        return
    columns = ("model", "version", "stable", "task", "metric", "value", "published")
    terminal.table("", columns, [[row[c] if row[c] is not None else "-" for c in columns] for row in rows])


@app.command()
def promote(
    name: str,
    version: int,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make a published version the stable one, in the repository and in MLflow."""
    from flows.runs import releases

    releases.promote(Workspace.open(workspace), model_name(name), version, reason or "promoted by hand")
    terminal.note(f"{name}: version {version} is stable")


@app.command()
def rollback(
    name: str,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make the previously stable version stable again."""
    from flows.runs import releases

    version = releases.rollback(Workspace.open(workspace), model_name(name), reason or "rolled back by hand")
    terminal.note(f"{name}: version {version} is stable again")


@app.command()
def ui(
    workspace: WorkspaceOption = None,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's UI.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's UI.")] = 4200,
) -> None:
    """Start the MLflow and Prefect UIs and print both addresses; Ctrl-C ends them."""
    from flows import interfaces

    interfaces.run(Workspace.open(workspace), mlflow_port=mlflow_port, prefect_port=prefect_port)


@app.command()
@takes_a_request
def schedule(
    request: Request,
    cron: Annotated[
        str | None, typer.Option(help="When, as a cron expression of five fields, in UTC.")
    ] = None,
    interval: Annotated[
        int | None, typer.Option(help="Every so many seconds, instead of --cron.", metavar="SECONDS")
    ] = None,
) -> None:
    """Deploy the training as a scheduled Prefect flow; edit its parameters in the Prefect UI."""
    from flows import schedules

    terminal.note(schedules.deploy(request, schedules.When(cron, interval)))


@app.command()
def worker(
    workspace: WorkspaceOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Run what is due, then end with the worst exit code of it.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
) -> None:
    """Run the process worker that executes scheduled trainings."""
    from flows import worker as workers

    raise typer.Exit(workers.work(Workspace.open(workspace), once=once, limit=limit))


@app.command()
def doctor(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """Check installation, versions, ports, hub cache and disk, and say what to do."""
    from flows import doctor as check_up

    findings = check_up.examine(Workspace.open(workspace))
    if json_output:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        terminal.table("", ("", "part", "finding"), [(f.mark, f.part, f.text) for f in findings])
    raise typer.Exit(78 if any(not finding.ok for finding in findings) else 0)


@app.command()
def sync(
    workspace: WorkspaceOption = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Offer the events again that MLflow has rejected.")
    ] = False,
) -> None:
    """Send tracking events that MLflow has not confirmed yet."""
    from flows.tracking import rejects, tracking

    place = Workspace.open(workspace)
    terminal.note(tracking.replay(place, rejected=rejected))
    if left := rejects.describe(place.spool):
        terminal.note(left)


@app.command()
def verify(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder, as the card names it.")],
    json_output: JsonOption = False,
) -> None:
    """Compare every file of a dataset with the hash taken at ingest."""
    from features.datasets import dataset as datasets

    changed = datasets.load(dataset).verify()
    for record in changed:
        print(
            json.dumps(record) if json_output else f"{record['reason']}: {terminal.printable(record['path'])}"
        )
    if not changed and not json_output:
        terminal.note("every file is as it was")
    raise typer.Exit(65 if changed else 0)


@app.command()
def demo(workspace: WorkspaceOption = None) -> None:
    """Run the main job on images, sounds, words and texts that come with the tool, to a gRPC answer."""
    with quieting.native_stderr():
        from flows import demo as demonstration

    demonstration.run(Workspace.open(workspace))


app.command()(activations.activations)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code: 0, or one of the error tree's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments is None:  # a process of its own, whose memory and streams are ours to manage
        allocator.keep_memory()
        terminal.escape_unprintable()
    leave = sys.exit if arguments is not None else leaving.QuickExit()
    leave(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = _code(app(arguments, standalone_mode=False))
    except ServableError as error:
        terminal.fail(str(error))
        return error.exit_code
    except BrokenPipeError:
        return 0
    except Exception as error:
        return _unexpected(error)
    if code == INTERRUPTED:  # typer turns KeyboardInterrupt into this code, without a word
        terminal.fail("interrupted")
    return code


def _code(result: Any) -> int:
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> int:
    if type(error).__module__.partition(".")[0] in ("click", "typer"):
        # The parser's own errors: usage, bad parameter, abort.
        terminal.fail(getattr(error, "format_message", lambda: "aborted")().replace("\n", " "))
        return int(getattr(error, "exit_code", 2))
    from flows.console import crash

    terminal.fail(crash.sentence(error))
    return crash.exit_code(error)
