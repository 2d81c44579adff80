"""The ``servable`` command: argv and environment are read here and nowhere below.

Heavy imports stay inside the commands: ``servable --help`` answers in a fraction of a second.
"""

import os
import sys
from typing import Annotated, Any

import typer

from features.errors import ServableError
from flows.commands import demo, doctor, serve, sync, ui, version, worker
from flows.commands.help import Command
from flows.commands.predicting import activations, diagnose, explain, metadata, monitor, predict, status
from flows.commands.predicting.open import open as open_page
from flows.commands.releases import (
    delete,
    export,
    history,
    import_model,
    mirror,
    models,
    promote,
    prune,
    rollback,
    sign,
    verify,
    watch,
)
from flows.commands.training import (
    compare,
    publish,
    recipes,
    report,
    reproduce,
    runs,
    schedule,
    tasks,
    train,
    tune,
)
from flows.commands.version import print_version
from flows.console import terminal
from serving.engine import startup
from serving.process import leaving

#: Exit code after Ctrl-C.
INTERRUPTED = 130

app = typer.Typer(
    name="servable",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


#: Commands in the order of the help: as a newcomer needs them.
COMMANDS = (
    demo.demo,
    tasks.tasks,
    recipes.recipes,
    train.train,
    tune.tune,
    models.models,
    runs.runs,
    report.report,
    compare.compare,
    predict.predict,
    open_page,
    explain.explain,
    activations.activations,
    diagnose.diagnose,
    monitor.monitor,
    status.status,
    metadata.metadata,
    publish.publish,
    mirror.mirror,
    promote.promote,
    rollback.rollback,
    export.export,
    history.history,
    watch.watch,
    delete.delete,
    prune.prune,
    worker.worker,
    ui.ui,
    doctor.doctor,
    sync.sync,
    sign.sign,
    verify.verify,
    reproduce.reproduce,
    version.version,
)

# `serve` passes on all its flags, including --help.
app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
)(serve.serve)
for _command in COMMANDS:
    app.command(cls=Command)(_command)
app.command("import", cls=Command)(import_model.import_model)
app.add_typer(schedule.app, name="schedule")


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Turn images, sounds, texts or tables into a model that answers over the TensorFlow Serving API."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code: 0, or one of the error tree's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A handshake that fails is told in our own words.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if arguments is None:  # our own process: its memory and streams are ours to configure
        startup.prepare()
        terminal.escape_unprintable()
    leave = sys.exit if arguments is not None else leaving.QuickExit()
    leave(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = _code(app(arguments, standalone_mode=False))
    except ServableError as error:
        from flows.console import crash

        terminal.fail(crash.text(error))
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
        message = getattr(error, "format_message", lambda: "aborted")()
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message, file=sys.stderr)
        else:
            terminal.fail(message.replace("\n", " ").replace("Value error, ", ""))
        return int(getattr(error, "exit_code", 2))
    from flows.console import crash

    terminal.fail(crash.text(error))
    return crash.exit_code(error)
