"""Compare live inputs and answers of a published model with its training examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from features.errors import DataError, NoInputError, UsageError
from features.spec import Progress, silent
from flows.monitoring.observation import Observed, Observer, latest, sampled
from flows.monitoring.reference import Reference, reference, vocabulary
from flows.queries.places import Place
from flows.queries.question import Question
from flows.queries.requests import Request, Requests
from flows.queries.sending import Sending
from flows.runs import finished
from flows.tracking import tracking
from flows.workspace import Workspace
from models.monitoring import measures, shifts
from models.monitoring.shifts import Shift
from serving.inference import request_log
from serving.repository.repository import Repository

if TYPE_CHECKING:
    from serving.client.predictor import Predictor

#: Live examples that are looked at; of more, so many are chosen at random, or the latest of a request log.
MOST = 5_000
#: Drifted measures of which the page shows examples, and how many of each.
MOST_EXPLAINED, SHOWN = 8, 6


@dataclass(frozen=True)
class Watch:
    """What is monitored, and what counts as drift.

    Attributes:
        name: of the model.
        data: a file, folder, archive or table of live inputs, or a server's request log.
        version: None for the stable one.
        column: of a table, that holds the examples or names their files; None for the usual names.
        alpha: probability of any false alarm, at most.
        effect: smallest PSI that counts.
        most: live examples that are looked at.
    """

    name: str
    data: str
    version: int | None = None
    column: str | None = None
    alpha: float = shifts.ALPHA
    effect: float = shifts.EFFECT
    most: int = MOST


@dataclass(frozen=True)
class Monitoring:
    """The outcome.

    Attributes:
        watch: what was asked.
        task: of the model.
        version: of the model.
        run_id: MLflow's, of its training; None where MLflow was away then.
        reference: the training examples.
        live: the live ones.
        given: how many live examples there were.
        shifts: how each measure differs, the drifted ones first.
        worst: by drifted measure, the live examples that show it best: what names each, and its content.
        columns: of rows, in the order of their cells; empty for other kinds.
    """

    watch: Watch
    task: str
    version: int
    run_id: str | None
    reference: Reference
    live: Observed
    given: int
    shifts: Sequence[Shift]
    worst: Mapping[str, Sequence[tuple[str, bytes]]] = field(repr=False)
    columns: Sequence[str] = ()

    @property
    def chosen(self) -> str:
        """How the live examples were chosen where there were too many."""
        return "the latest" if _is_log(self.watch) else "at random"

    @property
    def drifted(self) -> list[Shift]:
        """The measures that drifted."""
        return [shift for shift in self.shifts if shift.drifted]

    @property
    def verdict(self) -> str:
        """The outcome in a sentence."""
        count = len(self.live.requests)
        if not self.drifted:
            return f"no drift in {len(self.shifts)} measures of {count:,} live examples"
        return f"drift in {', '.join(shift.measure for shift in self.drifted)} ({count:,} live examples)"

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        return {
            "model": self.watch.name,
            "version": self.version,
            "task": self.task,
            "drift": bool(self.drifted),
            "verdict": self.verdict,
            "examples": len(self.live.requests),
            "given": self.given,
            "refused": len(self.live.refused),
            "training_examples": len(self.reference.training),
            "held_out_examples": len(self.reference.held_out),
            "alpha": self.watch.alpha,
            "effect": self.watch.effect,
            "measures": [asdict(shift) for shift in self.shifts],
        }

    def metrics(self) -> dict[str, float]:
        """Return the figures that are logged with the model's run."""
        found: dict[str, float] = {
            "drift/measures": len(self.drifted),
            "drift/examples": len(self.live.requests),
        }
        for shift in self.shifts:
            found |= {f"drift/psi/{shift.measure}": shift.psi, f"drift/p/{shift.measure}": shift.adjusted}
        return found


def monitor(workspace: Workspace, watch: Watch, progress: Progress = silent) -> Monitoring:
    """Describe live examples and the model's answers, and compare both with the training examples.

    The model is loaded in this process. The first call describes the training examples, and keeps that.

    Args:
        workspace: where the model is published.
        watch: what is monitored.
        progress: told how many examples are done.

    Raises:
        NoInputError: there is no such model or file.
        UsageError: the model's inputs are of a kind that is not described.
        DataError: too few examples could be read and answered.
    """
    version = watch.version or Repository(workspace.repository).stable(watch.name)
    trained = finished.find(workspace, watch.name, version, weights=False)
    version = trained.run.read().version
    assert version is not None, "a published model has a version"
    task, rules = trained.plan.task, trained.dataset.card["rules"]
    describe = measures.describer(task.raw, rules, vocabulary(trained))
    if describe is None:
        raise UsageError(
            f"{watch.name} cannot be monitored",
            got=task.name,
            expected="a model of images, sounds, texts or rows",
        )
    with (
        Place("", workspace=workspace, local=True).open(watch.name, version, 0.0) as client,
        TemporaryDirectory(prefix="servable-") as scratch,
    ):
        sending = Sending(client, watch.name, version, client.metadata(watch.name))
        observer = Observer(task.raw, tuple(rules.get("columns") or ()), describe, sending)
        before = reference(trained, observer, progress)
        requests, given = _chosen(watch, client, Path(scratch))
        live = observer.observe(requests, "answer live examples", progress)
        _require_enough(watch, live)
        found = shifts.compare(before.samples, live.samples, alpha=watch.alpha, effect=watch.effect)
        # An archive is unpacked as long as the scratch folder is there.
        worst = {
            shift.measure: _worst(shift.measure, before, live, observer)
            for shift in found[:MOST_EXPLAINED]
            if shift.drifted
        }
    run_id = Repository(workspace.repository).release(watch.name, version).manifest.get("run_id")
    return Monitoring(watch, task.name, version, run_id, before, live, given, found, worst, observer.columns)


def _worst(measure: str, before: Reference, live: Observed, observer: Observer) -> list[tuple[str, bytes]]:
    """Read the live examples that show a shift best; none of a measure that they do not have themselves."""
    if measure not in live.samples or measure not in before.samples:
        return []
    places = shifts.extremes(before.samples[measure], live.samples[measure], SHOWN)
    chosen = [live.requests[place] for place in places]
    return [(request.shown, observer.content(request.read())) for request in chosen]


def _requests(watch: Watch, client: "Predictor", scratch: Path) -> Iterator[Request]:
    """Yield what is sent for each live example."""
    if _is_log(watch):
        for shown, inputs, signature in request_log.examples(Path(watch.data), watch.name):
            yield Request(shown, lambda inputs=inputs: inputs, signature)  # type: ignore[misc]
        return
    yield from Requests(Question(watch.name, [Path(watch.data)], column=watch.column), client, scratch)


def _is_log(watch: Watch) -> bool:
    path = Path(watch.data)
    if not path.exists():
        raise NoInputError(
            "the live data do not exist", got=watch.data[:200], todo="check the path given to --data"
        )
    return path.is_file() and request_log.is_log(path)


def _chosen(watch: Watch, client: "Predictor", scratch: Path) -> tuple[list[Request], int]:
    """Choose the live examples that are looked at; return them in order, and how many there are."""
    choose = latest if _is_log(watch) else sampled
    return choose(_requests(watch, client, scratch), watch.most)


def _require_enough(watch: Watch, live: Observed) -> None:
    if len(live.requests) >= shifts.FEWEST:
        return
    first = f"; the first refused: {live.refused[0].error}" if live.refused else ""
    raise DataError(
        f"too few live examples of {watch.name} in {watch.data}",
        got=f"{len(live.requests)} that could be read and answered{first}",
        expected=f"at least {shifts.FEWEST}",
    )


def log(workspace: Workspace, outcome: Monitoring, pages: Sequence[Path] = ()) -> bool:
    """Add the outcome to the MLflow run of the model's training; return whether that has one.

    Args:
        workspace: whose tracking.
        outcome: what was measured.
        pages: files that are kept among the run's artifacts, under ``monitoring``.
    """
    if outcome.run_id is None:
        return False
    with tracking.open_tracking(workspace) as ledger:
        ledger.amend(outcome.run_id, outcome.metrics(), pages, folder="monitoring")
    return True
