"""What ``status`` and ``metadata`` share: query a server, or print the equivalent command."""

import json

from flows.console import quiet as quieting
from flows.console import terminal
from serving.security import Security


def inquire(
    what: str,
    name: str,
    version: int | None,
    target: str,
    rest_target: str,
    curl: bool,
    grpcurl: bool,
    json_output: bool,
    security: Security,
) -> None:
    """Print what a server returns about a model, or the equivalent command."""
    with quieting.native_stderr():
        from flows.queries import inspection

    if curl or grpcurl:
        place = rest_target if curl else target
        print(inspection.command(what, name, version, place, rest=curl, security=security))
        return
    columns, rows, objects = inspection.inquire(what, name, version, target, security)
    if json_output:
        for row in objects:
            print(json.dumps(row))
    else:
        terminal.table("", columns, rows)
