"""Where a model answers: at a server, or in this process where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.errors import UnavailableError
from flows.console import quiet as quieting
from flows.console import terminal
from flows.queries import refusals
from flows.workspace import Workspace
from serving.client.client import Client
from serving.config import is_loopback
from serving.errors import NotFound, ServerError
from serving.security import PLAIN, Security

if TYPE_CHECKING:
    from serving.client.predictor import Predictor
    from serving.repository.repository import Repository


@dataclass(frozen=True)
class Place:
    """Where a model answers.

    Attributes:
        target: of the server's gRPC interface.
        security: encryption and token of the calls.
        workspace: whose published models are loaded where no server answers on this machine; None for none.
        local: load the model in this process, without asking a server.
    """

    target: str
    security: Security = PLAIN
    workspace: Workspace | None = None
    local: bool = False

    @contextmanager
    def open(self, name: str, version: int | None, timeout: float) -> "Iterator[Predictor]":
        """Give what answers about a model.

        Raises:
            UnavailableError: no server answers, and the workspace has no such model.
            ServerError: the server, or the workspace, does not have the model; in words for people.
        """
        if self.local:
            yield self._loaded(name, version)
            return
        with Client(self.target, timeout=timeout, **self.security.settings()) as client:
            try:
                client.metadata(name, version)
            except UnavailableError as error:
                if not self._stands_in(name, version, error):
                    raise
                terminal.note(f"no model server at {self.target}; {name} is loaded in this process")
                yield self._loaded(name, version)
                return
            except ServerError as error:
                raise refusals.cleaned(error, client) from error
            yield client

    def _stands_in(self, name: str, version: int | None, error: UnavailableError) -> bool:
        """Return whether the model can be loaded here in place of a server that does not run."""
        from serving.repository.repository import Repository

        message = str(error.got)
        refused = ("refused" in message or "No such file" in message) and not self.security.encrypted
        near = self.target.startswith("unix:") or is_loopback(self.target.rpartition(":")[0])
        if not (refused and near) or self.workspace is None:
            return False
        return _is_published(Repository(self.workspace.repository), name, version)

    def _loaded(self, name: str, version: int | None) -> "Predictor":
        from serving.repository.repository import Repository

        assert self.workspace is not None, "a model is loaded from a workspace"
        repository = Repository(self.workspace.repository)
        if not _is_published(repository, name, version):  # before TensorFlow is imported
            missing = NotFound("no such version", model=name, version=version)
            raise refusals.unknown(missing, repository.models(), repository.versions)
        with quieting.native_stderr():
            from serving.inference.local import LocalModel
        try:
            with terminal.working(f"load {name}"):
                return LocalModel(repository, name, version)
        except ServerError as error:
            raise refusals.unknown(error, repository.models(), repository.versions) from error


def _is_published(repository: "Repository", name: str, version: int | None) -> bool:
    published = repository.versions(name) if name in repository.models() else []
    return version in published if version is not None else repository.stable(name) is not None
