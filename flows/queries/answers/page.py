"""The address of the page to try a model: the server's own, or a file that asks TensorFlow Serving."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from urllib.parse import quote

from features.errors import ConfigError, NoInputError, UnavailableError
from features.names import near
from features.storage.files import write_file
from serving.rest.page import document

#: Seconds to wait for a server.
PATIENCE = 5.0


def save(file: Path) -> Path:
    """Write the page to a file, which asks the server that is typed in it, and return its path.

    Raises:
        StorageError: the file cannot be written.
    """
    write_file(file, document.alone(), "choose another --save file")
    return file


def address(name: str | None, target: str, file: Callable[[], Path]) -> str:
    """Return the address of the page for a model.

    Args:
        name: the model; None for the server's first one.
        target: host and port of the REST interface.
        file: gives where the page is written for a server that has none.

    Raises:
        UnavailableError: no server answers.
        NoInputError: the server has no such model.
        ConfigError: the server has neither a page nor allows a file to ask it.
        StorageError: the file cannot be written.
    """
    base = target if "://" in target else f"http://{target}"
    base = base.rstrip("/")
    fragment = "" if name is None else f"#{quote(name, safe='')}"
    status, body, _ = _get(f"{base}/models.json")
    if status == http.client.OK:
        _require(name, [model["name"] for model in json.loads(body)["models"]], base)
        return f"{base}/{fragment}"
    if b"--rest_api_page" in body:
        raise ConfigError(
            f"the page of {base} is off", todo="start the server with --rest_api_page=network to have it"
        )
    _require_cors(name, base)
    return f"{save(file()).absolute().as_uri()}?server={quote(base, safe='')}{fragment}"


def _require(name: str | None, names: list[str], base: str) -> None:
    if name is None or name in names:
        return
    raise NoInputError(
        f"no model {name!r} at {base}",
        expected=f"one of {', '.join(names[:20])}" if names else "a published model",
        todo=near(name, names) or "servable models lists them",
    )


def _require_cors(name: str | None, base: str) -> None:
    status, _, headers = _get(f"{base}/v1/models/{quote(name or 'any', safe='')}")
    if "Access-Control-Allow-Origin" not in headers:
        raise ConfigError(
            f"{base} has no page of its own and does not answer a page opened from a file",
            todo="start it with --rest_api_enable_cors_support",
        )
    if name is not None and status == http.client.NOT_FOUND:
        raise NoInputError(f"no model {name!r} at {base}")


def _get(url: str) -> tuple[int, bytes, Message]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(
            f"no model server at {url.partition('/v1')[0].removesuffix('/models.json')}",
            got=getattr(error, "reason", None) or error,
            todo="start one with servable serve, or name it with --rest-target",
        ) from error
