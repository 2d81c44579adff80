"""The addresses of MLflow's store and Prefect's API, checked before anything is sent there.

An address that cannot work is a mistake of configuration, not a server that is away: waiting for it
would never end, so it is refused in a sentence.
"""

import importlib.metadata
import ipaddress
import os
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from features.errors import ConfigError
from flows.console.redaction import mask, mask_address

TRACKING, API = "MLFLOW_TRACKING_URI", "PREFECT_API_URL"

SERVERS = frozenset({"http", "https"})
#: Databases MLflow can keep its store in, with or without the driver, as in postgresql+psycopg2.
DATABASES = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
FOLDERS = frozenset({"", "file"})
#: What MLflow's own client takes beside these, and Servable does not.
FOREIGN = frozenset({"databricks", "databricks-uc", "uc"})

_EXPECTED = {
    TRACKING: "http://HOST:PORT, https://HOST, sqlite:////FOLDER/mlflow.db or another database",
    API: "http://HOST:PORT/api or https://HOST/api",
}
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/.*)?")
_SQLITE_MAGIC = b"SQLite format 3\0"


def tracking_uri(given: str) -> str:
    """Check MLflow's tracking URI; return it with the path of an SQLite database made absolute.

    Raises:
        ConfigError: it is malformed, or names a kind of store that cannot be used.
    """
    if fault := _blanks(given):
        raise _refusal(TRACKING, given, fault)
    scheme = _scheme(given)
    kind = scheme.partition("+")[0]
    if scheme in SERVERS:
        return _server(TRACKING, given)
    if kind == "sqlite":
        return _sqlite(given)
    if kind in DATABASES:
        return _database(given)
    if scheme in _plugins():
        return given
    raise _unsupported(given, scheme)


def api_url(given: str, source: str = API) -> str:
    """Check the address of a Prefect API; return it without a slash at its end.

    Args:
        given: the address.
        source: what names it, for the message.

    Raises:
        ConfigError: it is malformed.
    """
    if fault := _blanks(given):
        raise _refusal(source, given, fault)
    if _scheme(given) not in SERVERS:
        raise _refusal(source, given, "it is not an http or https address", todo=_with_scheme(given))
    return _server(source, given).rstrip("/")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for any other store."""
    prefix, separator, rest = uri.partition(":///")
    if not separator or prefix.lower().partition("+")[0] != "sqlite":
        return None
    return Path(rest.partition("?")[0])


def is_server(uri: str) -> bool:
    """Return whether a tracking URI names a server, which can be away."""
    return uri.startswith(("http://", "https://"))


def without_userinfo(url: str) -> str:
    """Return a server's address without user, password and a slash at its end."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _scheme(given: str) -> str:
    if given in FOREIGN:
        return given
    scheme, colon, _ = given.partition(":")
    return scheme.lower() if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) else ""


def _plugins() -> set[str]:
    return {entry.name for entry in importlib.metadata.entry_points(group="mlflow.tracking_store")}


def _blanks(given: str) -> str | None:
    if not given.strip():
        return "it is blank"
    return None if given.isprintable() and " " not in given else "it has blanks or control characters"


def _server(source: str, given: str) -> str:
    try:
        parts = urlsplit(given)
        fault = _host_fault(parts) or _tail_fault(parts)
    except ValueError as error:
        fault = str(error)
    if fault:
        raise _refusal(source, given, fault)
    scheme, _, rest = given.partition(":")
    return f"{scheme.lower()}:{rest}"


def _host_fault(parts: SplitResult) -> str | None:
    place = parts.netloc.rpartition("@")[2]
    if not parts.hostname:
        return "it names no host"
    if not _is_host(parts.hostname, bracketed=place.startswith("[")):
        return "its host is not a name or an IP address"
    port = re.fullmatch(r"(?:\[.*\]|[^:]*)(?::(.*))?", place)
    if port is None or port[1] is None:
        return None if port else "its port is not a number from 1 to 65535"
    valid = port[1].isascii() and port[1].isdecimal() and 1 <= int(port[1]) <= 65535
    return None if valid else "its port is not a number from 1 to 65535"


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        try:
            return bool(ipaddress.IPv6Address(host))
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return all(re.fullmatch(r"[^\W_](?:[\w-]{0,61}[^\W_])?|_[\w-]{0,62}", label) for label in labels)


def _tail_fault(parts: SplitResult) -> str | None:
    if parts.query or parts.fragment:
        return "it has a query or fragment, as the address of a page does"
    return None


def _sqlite(given: str) -> str:
    file = sqlite_file(given)
    if file is None or not file.name or file.name == ":memory:":
        raise _refusal(TRACKING, given, "it names no database file (three slashes, then its path)")
    file = file.absolute()
    if fault := _file_fault(file):
        raise _refusal(TRACKING, given, fault)
    scheme, _, rest = given.partition(":///")
    query = rest.partition("?")[2]
    return f"{scheme.lower()}:///{file}{'?' + query if query else ''}"


def _file_fault(file: Path) -> str | None:
    if not file.parent.is_dir():
        return f"the folder {file.parent} does not exist"
    if file.is_dir():
        return f"{file} is a folder"
    if not os.access(file if file.exists() else file.parent, os.R_OK | os.W_OK):
        return f"{file if file.exists() else file.parent} cannot be written"
    if file.exists():
        with file.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
        return None if head in (b"", _SQLITE_MAGIC) else f"{file} is not an SQLite database"
    return None


def _database(given: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(given)
        if not url.database or not (url.host or url.query):
            raise _refusal(TRACKING, given, "it names no host or no database")
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise _refusal(TRACKING, given, f"SQLAlchemy cannot read it ({type(error).__name__})") from error
    except ImportError as error:
        missing = error.name or "the driver"
        raise _refusal(
            TRACKING,
            given,
            f"its driver {missing} is not installed",
            todo=f"install the package that holds {missing}, or name another store",
        ) from error
    return given


def _unsupported(given: str, scheme: str) -> ConfigError:
    if scheme in FOREIGN:
        return _refusal(TRACKING, given, "a Databricks workspace is not supported")
    if todo := _with_scheme(given):
        return _refusal(TRACKING, given, "the scheme is missing", todo=todo)
    if scheme not in FOLDERS and "://" in given:
        return _refusal(TRACKING, given, f"no store has the scheme '{scheme}'")
    return _refusal(
        TRACKING,
        given,
        "it names a folder, and MLflow 3 does not store runs in folders",
        todo="write http:// before a server's name, or sqlite:/// before a database's path; "
        "'mlflow migrate-filestore' moves the runs of a folder into a database",
    )


def _with_scheme(given: str) -> str | None:
    return f"write http://{mask_address(given)}" if _HOST_AND_PORT.fullmatch(given) else None


def _refusal(source: str, given: str, fault: str, *, todo: str | None = None) -> ConfigError:
    shown = mask(given) if _scheme(given).startswith("sqlite") else mask_address(given)
    instead = "track in mlruns/mlflow.db" if source == TRACKING else "use a server of the workspace's own"
    return ConfigError(
        f"{source} cannot be used: {fault}",
        got=ascii(shown),
        expected=_EXPECTED.get(source, _EXPECTED[API]),
        todo=todo or f"correct it, or unset it to {instead}",
    )
