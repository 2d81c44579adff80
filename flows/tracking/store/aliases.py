"""Aliases of registered models: where they point, whether somebody else has moved them, and moving them.

A tag beside each alias says where Servable put it, and before it is moved also where it goes: an alias that
points anywhere else was moved in MLflow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.tracking.store.tags import RELEASE_TAG
from serving.repository.labels.labels import CANARY, STABLE

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow's alias for each label of the repository.
ALIASES = {STABLE: "champion", CANARY: "challenger"}

#: The release of a version by name and time of creation of its model, and MLflow's number.
Releases = dict[tuple[str, int, str], int]

#: In place of a release: a registered version that is none.
UNKNOWN = -1

REFUSED_TAG = "servable.refused"
_NONE, _TO = "none", ">"


@dataclass(frozen=True)
class Alias:
    """An alias of a registered model.

    Attributes:
        version: MLflow's number of the version that it points to; None if it points to none.
        release: the release of that version; UNKNOWN if it is none, None if there is no version.
        ours: the release where Servable put it, and one more while it moves it; None where it never did.
    """

    version: str | None
    release: int | None
    ours: frozenset[int | None]

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else has moved it."""
        return self.release not in self.ours


def registered(client: "MlflowClient") -> Iterator[Any]:
    """Yield every registered model."""
    token = None
    while token != "":
        page = client.search_registered_models(max_results=100, page_token=token)
        yield from page
        token = page.token or ""


def read(client: "MlflowClient", model: Any, alias: str, releases: Releases) -> Alias:
    """Read an alias.

    Args:
        client: of the store.
        model: the registered model.
        alias: name of the alias.
        releases: of versions, as far as they are known; added to.
    """
    version = model.aliases.get(alias)
    release = None if version is None else _release(client, model, str(version), releases)
    way = model.tags.get(_tag(alias, "release"))
    if way is not None:
        ours = frozenset(map(_parsed, way.split(_TO)))
    else:
        # Earlier versions of Servable noted only when they had moved an alias.
        ours = frozenset({release if moved_at(model.tags, alias) else None})
    return Alias(version and str(version), release, ours)


def _release(client: "MlflowClient", model: Any, version: str, releases: Releases) -> int:
    # A model that was deleted and made again counts its versions from 1 again.
    key = (model.name, model.creation_timestamp, version)
    if key not in releases:
        release_tag = client.get_model_version(model.name, version).tags.get(RELEASE_TAG, "")
        if not release_tag.isdecimal():  # it may be given later
            return UNKNOWN
        releases[key] = int(release_tag)
    return releases[key]


def point(client: "MlflowClient", model: Any, alias: str, release: int | None, at: int) -> bool:
    """Move an alias to a release, or remove it.

    Args:
        client: of the store.
        model: the registered model.
        alias: name of the alias.
        release: where it goes; None removes it.
        at: when the move was made, in milliseconds since 1970.

    Returns:
        False if the release is not registered.
    """
    present = read(client, model, alias, {})
    version = None if release is None else version_of(client, model.name, release)
    if release is not None and version is None:
        return False
    if present.release != release:
        way = f"{_text(present.release)}{_TO}{_text(release)}"
        client.set_registered_model_tag(model.name, _tag(alias, "release"), way)
        if version is None:
            client.delete_registered_model_alias(model.name, alias)
        else:
            client.set_registered_model_alias(model.name, alias, version)
    client.set_registered_model_tag(model.name, _tag(alias, "release"), _text(release))
    client.set_registered_model_tag(model.name, _tag(alias, "at"), str(at))
    return True


def moved_at(tags: Mapping[str, str], alias: str) -> int:
    """Return when the last move that Servable sent was made, in milliseconds since 1970."""
    return int(tags.get(_tag(alias, "at"), 0))


def version_of(client: "MlflowClient", name: str, release: int) -> str | None:
    """Return MLflow's number of the version of a release; None if it is not registered."""
    versions = client.search_model_versions(f"name = '{name}'")
    return next((each.version for each in versions if each.tags.get(RELEASE_TAG) == str(release)), None)


def _tag(alias: str, what: str) -> str:
    return f"servable.alias.{alias}.{what}"


def _text(release: int | None) -> str:
    return _NONE if release is None else str(release)


def _parsed(word: str) -> int | None:
    return None if word == _NONE else int(word)
