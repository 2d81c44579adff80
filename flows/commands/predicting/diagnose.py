"""``servable diagnose``: why is the live answer not what training gave?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import (
    SERVER,
    JsonOption,
    TargetOption,
    WorkspaceOption,
    secured,
    versioned,
)
from flows.console import terminal
from flows.workspace import Workspace
from serving.security import PLAIN, Security


@secured
def diagnose(
    name: Annotated[str, typer.Argument(help="Model, such as pets or pets@3.")],
    example: Annotated[str, typer.Argument(help="File or text whose answer is not the expected one.")],
    answer: Annotated[Path | None, typer.Option(help="What the client got, as JSON.", metavar="FILE")] = None,
    tensor: Annotated[
        Path | None,
        typer.Option(help="What the client sends: pixels, samples or ids, as .npy.", metavar="FILE"),
    ] = None,
    server: Annotated[bool, typer.Option("--server/--no-server", help="Ask the live server as well.")] = True,
    target: TargetOption = SERVER,
    security: Security = PLAIN,
    workspace: WorkspaceOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find out why a client gets another answer than expected.

    Follows one example from its bytes to the answer, and names the first stage that differs and why.
    """
    from flows.console import quiet as quieting
    from flows.runs import listing

    place = Workspace.existing(workspace)
    model, version = versioned(name)
    listing.find(place, model, version)
    with quieting.native_stderr():
        from flows.diagnosis import evidence, walk
        from flows.queries.places import Place

    client = evidence.evidence(tensor, answer)
    live = Place(target, security) if server else None
    with terminal.working("follow the example"):
        diagnosis = walk.diagnose(place, model, version, example, client, live)
    if json_output:
        first = diagnosis.first
        print(json.dumps(asdict(diagnosis) | {"first": first.name if first else None}))
        return
    words = {True: "same", False: "DIFFERS", None: "-"}
    terminal.table(
        "",
        ("stage", "", "detail"),
        [(stage.name, words[stage.same], stage.detail) for stage in diagnosis.stages],
    )
    if diagnosis.first is None:
        print("all stages agree")
    else:
        print(f"first difference: {diagnosis.first.name}; likely cause: {diagnosis.cause}")
        print(f"what to do: {diagnosis.todo}")
