"""MLflow's registry as those who keep it and the repository in step see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from features.errors import UnavailableError
from flows.orchestration import addresses
from flows.tracking.spool.outbox import now
from flows.tracking.store import aliases
from flows.tracking.store.aliases import ALIASES, Alias
from flows.tracking.store.mlflow_store import AwayError, Ledger
from flows.tracking.tracking import tracking_uri
from flows.workspace import Workspace


class Registry:
    """The registered models of a workspace's MLflow store.

    Args:
        workspace: whose store.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI cannot work.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ledger = Ledger(tracking_uri(workspace), workspace.mlruns / "artifacts")
        self._releases: aliases.Releases = {}

    @property
    def name(self) -> str:
        """The address of the store, without secrets."""
        return self._ledger.name

    def stamp(self) -> object:
        """Return what changes with the store, for a look that costs nothing; a new value for a server."""
        database = addresses.sqlite_file(self._ledger.uri)
        if database is None:
            return object()
        files = (database, database.with_name(f"{database.name}-wal"))
        return tuple(_stamp(file.stat()) if file.exists() else None for file in files)

    def exists(self) -> bool:
        """Return whether there is a store: looking at a database that is missing would make one."""
        database = addresses.sqlite_file(self._ledger.uri)
        return database is None or database.is_file()

    def look(self) -> dict[str, dict[str, Alias]]:
        """Return the aliases of every registered model by label.

        Raises:
            UnavailableError: the store cannot be asked.
        """
        with self._reached() as client:
            return {
                model.name: {
                    label: aliases.read(client, model, alias, self._releases)
                    for label, alias in ALIASES.items()
                }
                for model in aliases.registered(client)
            }

    def has(self, model: str, release: int | None) -> bool:
        """Return whether an alias can point to a release: it is registered, or None.

        Raises:
            UnavailableError: the store cannot be asked.
        """
        with self._reached() as client:
            return release is None or aliases.version_of(client, model, release) is not None

    def point(self, model: str, label: str, release: int | None) -> bool:
        """Move the alias of a label to a release, or remove it; False if the release is not registered.

        Raises:
            UnavailableError: the store cannot be asked.
        """
        with self._reached() as client:
            registered_model = client.get_registered_model(model)
            return aliases.point(client, registered_model, ALIASES[label], release, now())

    def refuse(self, model: str, version: str, reason: str) -> None:
        """Say in a tag of a registered version why an alias does not point to it.

        Raises:
            UnavailableError: the store cannot be asked.
        """
        with self._reached() as client:
            client.set_model_version_tag(model, version, aliases.REFUSED_TAG, reason)

    @contextmanager
    def _reached(self) -> Iterator[Any]:
        try:
            self._ledger.probe()
            yield self._ledger.client
        except AwayError as error:
            raise UnavailableError(f"cannot reach MLflow at {self.name}", got=error) from error
        except Exception as error:
            # Whatever MLflow and its drivers raise: the next look tries again.
            raise UnavailableError(f"MLflow at {self.name} does not answer", got=error) from error


def _stamp(status: Any) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_size
