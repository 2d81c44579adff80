"""Which Prefect server to use."""

import http.client
import json
import os
import urllib.request
from pathlib import Path

from features.errors import UnavailableError
from flows.console import redaction
from flows.orchestration import addresses
from flows.workspace import Workspace

#: Prefect's own cloud, which is taken at its word.
CLOUD = "https://api.prefect.cloud"


def configured_api() -> str | None:
    """Return the address of the Prefect API the user has configured, or None.

    Raises:
        ConfigError: it is malformed.
    """
    url = os.environ.get(addresses.API)
    if url:
        return addresses.api_url(url)
    if "PREFECT_PROFILE" in os.environ or _profile_names_api():
        from prefect.settings import PREFECT_API_URL

        named = PREFECT_API_URL.value()
        return addresses.api_url(named, f"{addresses.API} of the Prefect profile") if named else None
    return None


def _profile_names_api() -> bool:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    try:
        return "PREFECT_API_URL" in (home / "profiles.toml").read_text()
    except OSError:
        return False


def environment(workspace: Workspace) -> dict[str, str]:
    """Return the settings under which Servable runs Prefect where the user has set none."""
    wanted = {
        "PREFECT_HOME": str(workspace.prefect),
        # No telemetry leaves the machine, and its first write races with ours on a new database.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A server may run for days: its log says the date of an error, too.
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%Y-%m-%d %H:%M:%S",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_CLI_PROMPT": "false",
        # The shortest there is: a run whose process has died is found out by its silence.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # Its SQLite database has several writers: on a busy machine they wait, not fail.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    }
    if configured_api():
        del wanted["PREFECT_HOME"]
    return {name: value for name, value in wanted.items() if name not in os.environ}


def answers(api_url: str) -> bool:
    """Return whether a Prefect API answers at this address; Prefect's cloud is taken at its word."""
    if api_url.startswith(CLOUD):
        return True
    try:
        health = f"{addresses.without_userinfo(api_url)}/health"
        with urllib.request.urlopen(health, timeout=2) as response:  # noqa: S310
            return json.loads(response.read(1000)) is True
    except (OSError, http.client.HTTPException, ValueError):
        return False


def announced(workspace: Workspace) -> str | None:
    """Return the address of the server ``servable ui`` keeps up on this workspace, if it answers."""
    try:
        url = json.loads((workspace.prefect / "server.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None
    return url if answers(url) else None


def _require(address: str) -> None:
    if not answers(address):
        raise UnavailableError(
            "no Prefect API responds",
            got=redaction.mask(address),
            expected="the server named by PREFECT_API_URL or the Prefect profile, with /api at its end",
            todo="start it, unset PREFECT_API_URL, or train with --local to do without Prefect",
        )
