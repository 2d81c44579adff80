"""The training flow: from a source of examples to a served release, as a contents page."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from features.errors import ConfigError, ExportError
from features.storage import locks
from flows.console import run_log, terminal
from flows.courses import gallery, image_clustering, image_search, word_vectors
from flows.gate import gate as gates
from flows.gate.gate import pass_gate
from flows.orchestration import artifacts
from flows.reports.report import draw, write_report
from flows.runs import listing
from flows.runs.plans import defaults, plan
from flows.runs.plans.plan import Plan
from flows.runs.plans.request import Request
from flows.runs.run import Record, open_record, run_label, seen
from flows.runs.state import DatasetReference
from flows.steps.cross_validation import cross_validate, whole_view
from flows.steps.evaluate import evaluate
from flows.steps.export import export
from flows.steps.featurize import featurize
from flows.steps.ingest import adapted, ingest
from flows.steps.publish import publish
from flows.steps.train import assist, fit
from flows.steps.unchanged import unchanged
from flows.workspace import Workspace
from models.export import graphs
from models.training import workers
from serving.repository.repository import Repository


def train_model(
    task: str,
    data: str,
    name: str,
    recipe: str | None = None,
    overrides: list[str] | None = None,
    columns: dict[str, str | list[str]] | None = None,
    seed: int = 0,
    accept_worse: bool = False,
    restart: bool = False,
    force: bool = False,
    workspace: str = "workspace",
    runner: str = "threads",
) -> dict[str, Any]:
    """Train, check and publish one model; the parameters are those of ``servable train``.

    Returns:
        The summary that ``servable train --json`` prints.
    """
    request = Request(
        task,
        data,
        name,
        recipe,
        tuple(overrides or ()),
        columns or {},
        seed,
        accept_worse,
        restart,
        force,
        workspace,
        runner,
    )
    with run_log.begun():
        return _train(request)


def _train(request: Request) -> dict[str, Any]:
    intent = plan.resolve(request)
    if note := defaults.remark(request):
        terminal.note(note)
    # Before TensorFlow computes anything: afterwards no worker can join.
    together = workers.of(intent.training)
    if together.strategy is not None and intent.columns.fold is not None:
        raise ConfigError(
            "a cross-validation trains in one process",
            got="training.distribution=multi_worker and --fold-column",
            todo="leave one of them out",
        )
    if not together.place.chief:
        return assist(intent)
    with alone(intent):
        return _run(intent, COURSES.get(request.task, TRAINING), Clock())


@contextmanager
def alone(intent: Plan) -> Iterator[None]:
    """Let no two trainings of one model run at a time: they would compete for its next version.

    Raises:
        TemporaryError: another process trains a model of this name; names it.
    """
    lock = intent.workspace.locks / f"{intent.name}.lock"
    with locks.exclusive(lock, f"a training of the model {intent.name}"):
        yield


def _run(intent: Plan, course: "Course", clock: "Clock") -> dict[str, Any]:
    with clock("ingest"):
        dataset = course.ingest(intent)
    if intent.columns.fold is not None:
        dataset = whole_view(intent, dataset)
    intent = adapted(intent, seen(dataset))
    with open_record(intent, dataset) as record:
        if intent.columns.fold is not None:
            with clock("folds"):
                cross_validate(intent, record)
        record.examiner.start()  # it imports TensorFlow meanwhile
        try:
            take(course.learning, intent, record, clock)
            if unchanged(intent, record) is None:
                with graphs.optimised_once():
                    take(course.releasing, intent, record, clock)
        except ExportError:
            report_refusal(intent, record, course.releasing["report"])
            raise
        return summarise(intent, record, clock)


def take(steps: "Steps", intent: Plan, record: Record, clock: "Clock") -> None:
    """Take steps in their order, timed and shown."""
    for stage, step in steps.items():
        with clock(stage), terminal.busy(stage, shown=stage in SILENT):
            step(intent, record)
        record.run.record(seconds=clock.seconds)


def publish_kept(workspace: Workspace, name: str, reason: str) -> dict[str, Any]:
    """Publish a candidate that the gate refused for its metric alone, which was kept.

    Args:
        workspace: where it lies.
        name: of the run, ``MODEL/RUN``; of a model alone: its newest refused run.
        reason: kept in the release, in MLflow and in the report.

    Returns:
        The summary, as of a training.

    Raises:
        NoInputError: there is no such run, or its candidate is gone.
        ExportError: the gate refused it for more than its metric.
    """
    run = listing.refused(workspace, name)
    state = run.read()
    assert state.recipe is not None, "a refused run has a recipe"
    assert state.dataset is not None, "a refused run has a dataset"
    verdict = gates.accepted(run, reason)
    request = Request(
        state.recipe["task"],
        str(seen(state.dataset).card["root"]),
        run.path.parent.name,
        seed=state.seed,
        accept_worse=True,
        workspace=str(workspace.root),
    )
    intent, clock = Plan(request, state.recipe), Clock()
    with run_log.begun(), open_record(intent, state.dataset, run=run) as record:
        run.record(gate=verdict)
        record.tracked.tags({"servable.accepted": reason, "servable.refused": ""})
        releasing = COURSES.get(request.task, TRAINING).releasing
        take({stage: releasing[stage] for stage in ("publish", "report")}, intent, record, clock)
        record.tracked.describe(f"Published although worse: {reason}\n\n{record.tracked.description}")
        return summarise(intent, record, clock)


def report_refusal(intent: Plan, record: Record, write: Callable[[Plan, Record], Any]) -> None:
    """Write the report of a run that the gate refused; a fault of the report does not hide the refusal."""
    verdict = record.run.read().gate
    if verdict is None or verdict.passed:
        return
    try:
        path = write(intent, record)
    except Exception as error:
        terminal.note(f"cannot write the report of the refused run: {type(error).__name__}: {error}")
    else:
        terminal.note(f"report of the refused run: {path}")


log = logging.getLogger(__name__)

#: Steps in their order, by the name of the stage.
Steps = Mapping[str, Callable[[Plan, Record], Any]]


@dataclass(frozen=True)
class Course:
    """What a request goes through.

    Attributes:
        ingest: makes the dataset.
        learning: what follows, up to the trained weights.
        releasing: what follows then, unless the version in service has equal weights.
    """

    ingest: Callable[[Plan], DatasetReference]
    learning: Steps
    releasing: Steps


def releasing(evaluate: Callable[[Plan, Record], Any], export: Callable[[Plan, Record], Any]) -> Steps:
    """Return the steps from trained weights to a release."""
    return {
        "evaluate": evaluate,
        "export": export,
        "draw": draw,
        "gate": pass_gate,
        "publish": publish,
        "report": write_report,
    }


#: A network that learns from labelled examples.
TRAINING = Course(ingest, {"featurize": featurize, "train": fit}, releasing(evaluate, export))

#: Tasks that take another course, by name.
COURSES: dict[str, Course] = {
    "image-search": Course(
        ingest,
        {"featurize": gallery.featurize, "index": image_search.fit},
        releasing(image_search.evaluate, gallery.export),
    ),
    "image-clustering": Course(
        ingest,
        {"featurize": gallery.featurize, "cluster": image_clustering.fit},
        releasing(image_clustering.evaluate, gallery.export),
    ),
    "word-vectors": Course(
        ingest,
        {"featurize": word_vectors.featurize, "train": word_vectors.fit},
        releasing(word_vectors.evaluate, word_vectors.export),
    ),
}

#: Stages that cannot say how far they are.
SILENT = frozenset({"index", "cluster", "evaluate", "export", "draw", "gate", "publish", "report"})


class Clock:
    """Measure how long each stage takes, on the monotonic clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body under this stage's name."""
        begin = time.monotonic()
        log.info("%s ...", stage)
        try:
            yield
        finally:
            self.seconds[stage] = round(time.monotonic() - begin, 3)
            log.info("%s: %.1f s", stage, self.seconds[stage])


def _standing(intent: Plan, version: int) -> str:
    trial = Repository(intent.workspace.repository).canary(intent.name)
    if trial is None or trial.version != version:
        return "stable"
    return f"the canary, which answers {trial.share:g} % of the requests"


def summarise(intent: Plan, record: Record, clock: Clock) -> dict[str, Any]:
    """Gather what scripts and people want to know of a finished training."""
    state = record.run.read()
    stays = state.unchanged is not None
    version = state.unchanged if stays else state.version
    assert version is not None, "a finished training has published a version, or found it unchanged"
    artifacts.name_flow_run(f"{run_label(intent, record.run)}{' unchanged' if stays else ''}")
    terminal.note(
        f"{intent.name} is unchanged: version {version} has equal weights; --force publishes it again"
        if stays
        else f"{intent.name} version {version} is published and {_standing(intent, version)}"
    )
    return {
        "model": intent.name,
        "task": intent.request.task,
        "recipe": intent.recipe["name"],
        "version": version,
        "unchanged": stays,
        "run_id": record.tracked.run_id,
        "dataset": {**record.dataset.counts(), "fingerprint": record.dataset.fingerprint},
        "metric": state.metric,
        "metrics": state.metrics,
        "release": state.release or str(Repository(intent.workspace.repository).path(intent.name, version)),
        "report": str(listing.report(intent.workspace, intent.name, version) or record.run.report),
        "run": str(record.run.path),
        "log": str(record.run.log),
        "seconds": clock.seconds | {"total": round(sum(clock.seconds.values()), 3)},
    }
