"""What answers at the address of a server, asked once and not for long."""

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass

from flows.orchestration import addresses

#: How long a server may take to answer.
SECONDS = 2.0
_MOST_BYTES = 1000


@dataclass(frozen=True)
class Response:
    """What came back.

    Attributes:
        status: of HTTP; None where nothing answered.
        text: the body's beginning, or why nothing answered.
    """

    status: int | None
    text: str


def get(base: str, path: str) -> Response:
    """Send a GET request, without the user and password of the address.

    Args:
        base: http or https address of a server.
        path: below it.
    """
    try:
        url = f"{addresses.without_userinfo(base)}{path}"
        with urllib.request.urlopen(url, timeout=SECONDS) as response:  # noqa: S310
            return Response(response.status, response.read(_MOST_BYTES).decode("utf-8", "replace").strip())
    except urllib.error.HTTPError as error:
        return Response(error.code, error.reason)
    except (OSError, http.client.HTTPException) as error:
        return Response(None, _reason(error))


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    return str(getattr(cause, "strerror", None) or cause) or type(error).__name__
