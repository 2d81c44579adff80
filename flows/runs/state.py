"""What is known of a training while it runs and afterwards, as typed values that JSON keeps."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, computed_field
from pydantic.dataclasses import dataclass


class _Kept(BaseModel):
    """A value that stands in a run's folder; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class DatasetReference(_Kept):
    """A dataset as a training saw it.

    Attributes:
        directory: the snapshot's folder.
        fingerprint: of what is trained on; another one for each fold.
        found: entries in the source.
        accepted: of these, examples.
        quarantined: of these, refused.
        skipped: of these, passed over by a rule.
        columns: name, kind and, where it is not plain, number format of each column of a row.
        fold: what makes this view of it, where it is cross-validated; see `features.datasets.folds.view`.
    """

    directory: str
    fingerprint: str
    found: int
    accepted: int
    quarantined: int
    skipped: int
    columns: list[list[str]] | None = None
    fold: dict[str, Any] | None = None

    def counts(self) -> dict[str, int]:
        """Return where every entry of the source went."""
        return {name: getattr(self, name) for name in ("found", "accepted", "quarantined", "skipped")}

    def described(self) -> dict[str, Any]:
        """Return what a release keeps of it; ``snapshot`` is the name of the folder, ``fold`` the view."""
        further = {"columns": self.columns, "fold": self.fold}
        return {
            "fingerprint": self.fingerprint,
            "snapshot": PurePath(self.directory).name,
            **self.counts(),
            **{name: value for name, value in further.items() if value is not None},
        }


class Origin(_Kept):
    """What a training came from, beside its data and its recipe.

    Attributes:
        command: that started it, secrets masked; empty where it was not the command line.
        commit: that the code was at, with ``-dirty`` where files differed; empty outside a checkout.
        lock: sha256 of ``uv.lock``; None outside a checkout.
        versions: of Python and of the libraries that can change a result.
    """

    command: str = ""
    commit: str = ""
    lock: str | None = None
    versions: dict[str, str] = {}


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at."""

    name: str
    passed: bool
    got: str
    expected: str


def _outcome(step: Callable[[], Iterator[Check]]) -> list[Check]:
    """Run a step of an examination up to the first check that fails; an error is a check that failed."""
    checks: list[Check] = []
    try:
        for check in step():
            checks.append(check)
            if not check.passed:
                break
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
        checks.append(Check(step.__name__.strip("_").replace("_", " "), False, text, "no error"))
    return checks


def outcomes(steps: Iterable[Callable[[], Iterator[Check]]]) -> list[Check]:
    """Run steps until a check fails."""
    checks: list[Check] = []
    for step in steps:
        checks += _outcome(step)
        if checks and not checks[-1].passed:
            break
    return checks


class Verdict(_Kept):
    """What the gate found.

    Attributes:
        checks: in their order; an examination ends with the first that fails.
        latency_ms: of single examples through the exported model.
        serving: the serving version with its metric, or why there is none; None where nothing is served.
        at: when, in seconds since 1970.
    """

    checks: tuple[Check, ...] = ()
    latency_ms: tuple[float, ...] = ()
    serving: dict[str, Any] | None = None
    at: float = 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the candidate may be published."""
        return self.refusal is None

    @property
    def refusal(self) -> Check | None:
        """The first check that was not passed, or None."""
        return next((check for check in self.checks if not check.passed), None)

    def with_checks(self, *checks: Check) -> "Verdict":
        """Return the verdict with further checks."""
        return self.model_copy(update={"checks": (*self.checks, *checks)})


class RunState(_Kept):
    """The state of a run, and the result of every finished step.

    Attributes:
        key: names all that decides the outcome.
        code: fingerprint of the code and libraries that it ran with.
        state: running, finished, refused, failed or killed; empty for a new run.
        pid: of the process that runs it, or ran it last.
        recipe: as it was resolved.
        seed: of the training.
        dataset: that it is trained on.
        origin: of the trained weights.
        weights_hash: of the trained weights.
        validation: metrics of the validation split with the trained weights.
        embedding: fingerprint of what computes the vectors of a gallery.
        cross_validation: metrics over the folds.
        metric: the one that decides.
        metrics: by the names they are tracked by.
        seconds: that each stage took, by its name.
        signatures: of the candidate.
        absent: signatures that the network cannot have, with the reason.
        gate: the verdict, once there is one.
        version: that it was published as.
        release: folder of the release.
        unchanged: the version in service, which has the same origin and weights; none was published.
    """

    key: str = ""
    code: str = ""
    state: str = ""
    pid: int | None = None
    recipe: dict[str, Any] | None = None
    seed: int = 0
    dataset: DatasetReference | None = None
    origin: Origin = Origin()
    weights_hash: str | None = None
    validation: dict[str, float] = {}
    embedding: str | None = None
    cross_validation: dict[str, float] | None = None
    metric: str | None = None
    metrics: dict[str, float] = {}
    seconds: dict[str, float] = {}
    signatures: tuple[str, ...] = ()
    absent: dict[str, str] = {}
    gate: Verdict | None = None
    version: int | None = None
    release: str | None = None
    unchanged: int | None = None

    def changed(self, changes: Mapping[str, object]) -> Self:
        """Return the state with some fields changed.

        Raises:
            pydantic.ValidationError: a value is of another type.
        """
        return type(self).model_validate({**dict(self), **changes})
