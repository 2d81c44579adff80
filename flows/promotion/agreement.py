"""Make the labels of the repository and the aliases in MLflow agree, whoever has moved which.

The repository's history decides what serves. An alias that somebody else has moved is followed if the
repository has not moved since, and the version may serve; otherwise it is moved back, with the reason in a
tag of the version. Either is in the history. Any part may be repeated after a crash: what has been done is
seen, and the rest is done.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from features.errors import ServableError
from features.storage.locks import locked
from flows.console.redaction import slug
from flows.promotion import admission
from flows.tracking.registry import Registry
from flows.tracking.store.aliases import ALIASES, UNKNOWN, Alias
from serving.repository.claims import PRIVATE
from serving.repository.faultpoints import fault
from serving.repository.labels.labels import CANARY, STABLE
from serving.repository.repository import Repository

#: Who moved what was moved in MLflow, which does not say by whom.
BY = "MLflow"

#: Told in a line what was done.
Notify = Callable[[str], None]


@dataclass(frozen=True)
class _Label:
    """A label of a model that has an alias."""

    repository: Repository
    registry: Registry
    model: str
    label: str
    alias: Alias
    notify: Notify

    @property
    def version(self) -> int | None:
        """The version that it names."""
        return self.repository.labelled(self.model, self.label)

    @property
    def words(self) -> str:
        """Which alias of which model."""
        return f"{self.model}: alias {ALIASES[self.label]}"

    def agree(self) -> None:
        """Move the label, or the alias, if they differ."""
        present, release = self.version, self.alias.release
        if release == present:
            if self.alias.ours != {present}:
                self._point(present)
        elif not self.alias.is_foreign:
            self._point(present)
        elif present in self.alias.ours:
            self._follow(release)
        else:
            self._refuse(f"version {present} was promoted in the repository meanwhile")

    def _point(self, release: int | None) -> None:
        """Move the alias; a release that is not registered yet is waited for."""
        self.registry.point(slug(self.model), self.label, release)

    def _follow(self, release: int | None) -> None:
        try:
            self._move(release)
        except ServableError as error:
            self._refuse(str(error))
            return
        fault("move.before_alias")
        self._point(self.version)
        self.notify(f"{self.words} was moved in MLflow: {self.label} is {_named(release)} now")

    def _move(self, release: int | None) -> None:
        reason = f"alias {ALIASES[self.label]} was moved in MLflow"
        if release is None:
            self._remove(reason)
            return
        if release == UNKNOWN:
            raise ServableError(
                f"version {self.alias.version} of the registered model has no release in the repository"
            )
        admitted = self.repository.release(self.model, release)
        admission.admit(admitted)
        share = admission.rule(admitted).share if self.label == CANARY else None
        self.repository.promote(self.model, release, reason, share=share, by=BY)

    def _remove(self, reason: str) -> None:
        if self.label == STABLE:
            raise ServableError("a model that is served needs a champion")
        self.repository.rollback(self.model, reason, during=self.repository.canary(self.model), by=BY)

    def _refuse(self, reason: str) -> None:
        """Move the alias back; the reason is in the history and, where there is a version, in its tag."""
        if not self.registry.has(slug(self.model), self.version):
            return  # the alias has nowhere to go yet
        if self.alias.version is not None:
            self.registry.refuse(slug(self.model), self.alias.version, reason)
        release = None if self.alias.release == UNKNOWN else self.alias.release
        self.repository.refuse(self.model, release, reason, label=self.label, by=BY)
        fault("move.before_alias")
        self._point(self.version)
        self.notify(f"{self.words} was moved in MLflow and is moved back: {reason}")


def settle(
    repository: Repository,
    registry: Registry,
    models: Iterable[str] | None = None,
    notify: Notify = lambda line: None,
) -> None:
    """Make labels and aliases agree.

    Args:
        repository: of the models.
        registry: of the same models.
        models: their names; None for all.
        notify: told in a line what somebody else has moved.

    Raises:
        UnavailableError: MLflow cannot be asked; what has been done stays.
    """
    if not registry.exists() or not repository.root.is_dir():
        return
    folder = repository.root / PRIVATE
    folder.mkdir(exist_ok=True)
    # One at a time: two that see the same move would record it twice.
    with locked(folder / "alias.lock"):
        aliases = registry.look()
        for model in repository.models() if models is None else models:
            for label, alias in aliases.get(slug(model), {}).items():
                place = _Label(repository, registry, model, label, alias, notify)
                if label != STABLE or place.version is not None:
                    place.agree()


def _named(release: int | None) -> str:
    return "no version" if release is None else f"version {release}"
