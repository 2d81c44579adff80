"""``servable schedule``: deploy training or monitoring as a scheduled Prefect flow; list and change."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from features.errors import UsageError
from features.names import near
from flows.commands.help import Command
from flows.commands.options import JsonOption, WorkspaceOption
from flows.commands.predicting.monitor import (
    AlphaOption,
    CooldownOption,
    DeploymentOption,
    EffectOption,
    InputColumnOption,
    LiveDataOption,
    MostOption,
    RetrainOption,
)
from flows.commands.training.training_options import takes_a_request
from flows.console import terminal
from flows.runs.plans.request import Request
from flows.workspace import Workspace, model_name


class Schedules(TyperGroup):
    """Commands on schedules, of which ``add`` need not be named: ``servable schedule TASK ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what does not begin with the name of another command as the arguments of ``add``."""
        if args and args[0] not in self.commands:
            if not args[0].startswith("-") and (meant := near(args[0], self.commands)):
                raise UsageError("no such command of schedule", got=args[0], todo=meant)
            args = ["add", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Schedules,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Schedule trainings and monitorings; list or change them.",
)

CronOption = Annotated[str | None, typer.Option(help="Cron expression of five fields.")]
IntervalOption = Annotated[
    int | None, typer.Option(help="Interval in seconds, instead of --cron.", metavar="SECONDS")
]
RruleOption = Annotated[
    str | None,
    typer.Option(help="Rule of iCalendar, such as FREQ=WEEKLY;BYDAY=MO, instead of --cron."),
]
TimezoneOption = Annotated[
    str, typer.Option(help="Time zone of the schedule, such as Europe/Berlin.", metavar="ZONE")
]


ScheduledArgument = Annotated[str, typer.Argument(help="Name of the model: see servable schedule list.")]


@app.command(
    cls=Command, epilog="Further commands: servable schedule monitor, list, pause, resume, remove NAME."
)
@takes_a_request
def add(
    request: Request,
    cron: CronOption = None,
    interval: IntervalOption = None,
    rrule: RruleOption = None,
    timezone: TimezoneOption = "UTC",
    on_drift: Annotated[
        bool,
        typer.Option("--on-drift", help="No times: servable monitor --retrain starts it."),
    ] = False,
) -> None:
    """Schedule a training as a Prefect deployment."""
    from flows.scheduling import schedules
    from flows.scheduling.when import When

    with terminal.working("deploy"):
        message = schedules.deploy(request, When(cron, interval, rrule, timezone, on_drift))
    terminal.note(message)


@app.command("monitor", cls=Command)
def add_monitoring(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    data: LiveDataOption,
    input_column: InputColumnOption = None,
    alpha: AlphaOption = 0.04,
    effect: EffectOption = 0.05,
    most: MostOption = 5000,
    retrain: RetrainOption = False,
    cooldown: CooldownOption = 24.0,
    deployment: DeploymentOption = None,
    cron: CronOption = None,
    interval: IntervalOption = None,
    rrule: RruleOption = None,
    timezone: TimezoneOption = "UTC",
    workspace: WorkspaceOption = None,
) -> None:
    """Schedule servable monitor as a Prefect deployment."""
    from flows.scheduling import schedules
    from flows.scheduling.when import When

    place = Workspace.existing(workspace)
    parameters = {
        "name": model_name(name),
        "data": str(Path(data).absolute()),
        "input_column": input_column,
        "alpha": alpha,
        "effect": effect,
        "most": most,
        "retrain": retrain,
        "cooldown": cooldown,
        "deployment": deployment,
        "workspace": str(place.root),
    }
    with terminal.working("deploy"):
        message = schedules.deploy_monitoring(place, parameters, When(cron, interval, rrule, timezone))
    terminal.note(message)


@app.command("list", cls=Command)
def list_schedules(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """List the scheduled trainings and monitorings."""
    from flows.scheduling import deployments

    with terminal.working("ask Prefect"):
        rows = deployments.described(Workspace.open(workspace))
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    columns = ("model", "task", "when", "next", "paused", "last")
    cells = [["-" if row[name] is None else row[name] for name in columns] for row in rows]
    terminal.table("", columns, cells)


@app.command(cls=Command)
def pause(name: ScheduledArgument, workspace: WorkspaceOption = None) -> None:
    """Neither train nor monitor a model until it is resumed."""
    from flows.scheduling import deployments

    deployments.pause(Workspace.open(workspace), name)
    terminal.note(f"{name}: paused")


@app.command(cls=Command)
def resume(name: ScheduledArgument, workspace: WorkspaceOption = None) -> None:
    """Train and monitor a model again when it is due."""
    from flows.scheduling import deployments

    deployments.resume(Workspace.open(workspace), name)
    terminal.note(f"{name}: resumed")


@app.command(cls=Command)
def remove(name: ScheduledArgument, workspace: WorkspaceOption = None) -> None:
    """Delete the schedules of a model; its runs stay in Prefect."""
    from flows.scheduling import deployments

    deployments.remove(Workspace.open(workspace), name)
    terminal.note(f"{name}: no longer scheduled")
