"""Object stores, s3:// and gs://, through fsspec: the one file that imports it.

Credentials, region and endpoint come from where the client library looks for them: for S3 the environment
(``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` ...), its configuration files or the machine's role.
"""

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import (
    AccessError,
    ConfigError,
    NoInputError,
    ServableError,
    UnavailableError,
    UsageError,
)

#: The package that speaks to each kind of store, by scheme.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
#: Beginnings of the names of variables that their clients read.
_SETTINGS = ("AWS_", "GOOGLE_", "GCLOUD_", "FSSPEC_")


def is_url(place: str) -> bool:
    """Return whether a text names a place in an object store."""
    scheme, separator, _ = place.partition("://")
    return bool(separator) and scheme in PACKAGES


def absolute(place: str) -> str:
    """Return an absolute path, or a URL as it is."""
    return place.rstrip("/") if is_url(place) else str(Path(place).absolute())


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it.

    Attributes:
        size: bytes.
        tag: changes whenever the content does.
    """

    size: int
    tag: str


class ObjectStore:
    """The objects below a URL; names are relative to it, and "" is the object at the URL itself.

    Args:
        url: ``s3://bucket/prefix`` or ``gs://bucket/prefix``.

    Raises:
        UsageError: the URL names no bucket.
        ConfigError: the package for its scheme is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        scheme, _, self._base = self.url.partition("://")
        if scheme not in PACKAGES or not self._base.strip("/"):
            raise UsageError(f"cannot read the address {url[:200]}", expected="such as s3://bucket/folder")
        settings = sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS))
        self._files = _file_system(scheme, tuple(settings))

    def listing(self) -> dict[str, Listed]:
        """List every object below the URL, or the one at it; markers of empty folders are left out.

        Raises:
            NoInputError: there is no such bucket.
            AccessError, UnavailableError: the store refuses, or cannot be reached.
        """
        with self._talking():
            entries = self._files.find(self._base, detail=True)
        return {
            path[len(self._base) + 1 :]: _listed(info)
            for path, info in sorted(entries.items())
            if info["type"] == "file" and not path.endswith("/")
        }

    def look(self, name: str) -> Listed | None:
        """Return what a listing shows of one object, or None if there is none; errors as of `listing`."""
        try:
            with self._talking():
                info = self._files.info(self._path(name))
        except NoInputError:
            return None
        return _listed(info) if info["type"] == "file" else None

    def read(self, name: str) -> bytes:
        """Return an object's content.

        Raises:
            NoInputError: there is no such object.
        """
        with self._talking():
            content: bytes = self._files.cat_file(self._path(name))
        return content

    def get(self, name: str, path: Path) -> None:
        """Download an object into a file; errors as of `read`."""
        with self._talking():
            self._files.get_file(self._path(name), str(path))

    def put(self, path: Path, name: str) -> None:
        """Upload a file; readers see the old object until the whole new one is there."""
        with self._talking():
            self._files.put_file(str(path), self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Upload a small object."""
        with self._talking():
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Upload an object unless there is one of this name; return whether it was made."""
        try:
            with self._talking():
                self._files.pipe_file(self._path(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are gone already are fine."""
        paths = [self._path(name) for name in names]
        with self._talking(), contextlib.suppress(FileNotFoundError):
            if paths:
                self._files.rm(paths)

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn what the client library raises into an error of ours; FileExistsError passes."""
        try:
            yield
        except (ServableError, FileExistsError):
            raise
        except FileNotFoundError as error:
            raise NoInputError(f"nothing is there at {self.url}", got=error) from error
        except PermissionError as error:
            raise AccessError(
                f"{self.url} may not be read or written", got=error, todo="check the credentials"
            ) from error
        except Exception as error:
            # Each client library has an error tree of its own, and this file imports none of them.
            raise UnavailableError(
                f"cannot reach {self.url}",
                got=f"{type(error).__name__}: {error}"[:300],
                todo="check the network, the endpoint (AWS_ENDPOINT_URL) and the credentials",
            ) from error


@functools.lru_cache(maxsize=4)
def _file_system(scheme: str, settings: tuple[tuple[str, str], ...]) -> Any:
    """Make the client of a kind of store, once for the settings that the environment has."""
    try:
        import fsspec

        # Others may write there meanwhile: listings are always fresh.
        return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        package = PACKAGES[scheme]
        extra = 'pip install "servable[s3]"' if scheme == "s3" else f"pip install {package}"
        raise ConfigError(f"{scheme}:// needs the package {package}", got=error, todo=extra) from error


def _listed(info: dict[str, Any]) -> Listed:
    tag = info.get("ETag") or info.get("etag") or info.get("generation") or info.get("LastModified")
    return Listed(int(info["size"]), str(tag))
