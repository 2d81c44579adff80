"""The routes of the REST port, and which of them need a token."""

import enum
import re

_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)

#: Paths of the page to try models, and of what it lists; TensorFlow Serving has neither.
PAGE, LIST = "/", "/models.json"
LIVE, READY = "/livez", "/readyz"


class Route(enum.Enum):
    """What a request may ask for; the value tells whether anybody may, or only who has a token."""

    LIVE = "live", True
    READY = "ready", True
    #: A web page asks so, before it calls another site, and cannot send a token; no model is named.
    PREFLIGHT = "preflight", True
    METRICS = "metrics", False
    PAGE = "page", False
    LIST = "list", False
    API = "api", False

    @property
    def is_open(self) -> bool:
        """Whether the route answers without a token."""
        return bool(self.value[1])


def route_of(method: str, path: str, metrics_path: str | None) -> Route | None:
    """Return the route of a request, or None if there is none.

    Args:
        method: the HTTP method.
        path: the path, without query.
        metrics_path: path of the Prometheus page, or None for none.
    """
    own = {LIVE: Route.LIVE, READY: Route.READY, metrics_path: Route.METRICS}.get(path)
    if own is not None:
        return own
    if method in ("GET", "HEAD") and path in (PAGE, LIST):
        return Route.PAGE if path == PAGE else Route.LIST
    if not _API.fullmatch(path):
        return None
    return Route.PREFLIGHT if method == "OPTIONS" else Route.API


def is_open(method: str, path: str, metrics_path: str | None) -> bool:
    """Return whether a request is answered without a token; what has no route is not."""
    route = route_of(method, path, metrics_path)
    return route is not None and route.is_open
