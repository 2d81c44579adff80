"""Tables and notes on a Prefect run."""

import json
from collections.abc import Sequence

from flows.orchestration.step import in_flow_run


def show_table(key: str, rows: Sequence[dict], description: str) -> None:
    """Leave a table in the Prefect UI; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.artifacts import create_table_artifact

        create_table_artifact(
            table=json.loads(json.dumps(list(rows), default=str)), key=key, description=description
        )


def show_markdown(key: str, markdown: str, description: str) -> None:
    """Leave a note in the Prefect UI; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown=markdown, key=key, description=description)


def name_flow_run(name: str) -> None:
    """Rename the flow run, once it is known what came of it; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.client.orchestration import get_client
        from prefect.runtime import flow_run

        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=name)


def artifact_key(*parts: str) -> str:
    """Join parts to a key as Prefect wants it: lower-case letters, digits and hyphens."""
    joined = "-".join(parts).lower()
    return "-".join(
        filter(None, "".join(c if c.isascii() and c.isalnum() else "-" for c in joined).split("-"))
    )
