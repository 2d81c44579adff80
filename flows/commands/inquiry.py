"""What ``status`` and ``metadata`` share: query a server, or print the equivalent command."""

import json

from flows.console import quiet as quieting
from flows.console import terminal


def inquire(
    what: str,
    name: str,
    version: int | None,
    target: str,
    rest_target: str,
    curl: bool,
    grpcurl: bool,
    json_output: bool,
) -> None:
    """Print what a server returns about a model, or the equivalent command."""
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
