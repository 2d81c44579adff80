"""Train, load and ask models from Python and from notebooks.

from flows.api import load, train

model = train("image-classification", data="photos/", name="pets")
model.metrics["test/accuracy"]
model.predict("cat.jpg")
model.report  # in a notebook: the page itself
"""

import html
import json
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import UsageError
from flows import launch
from flows.console import terminal
from flows.runs import releases
from flows.runs.plans.request import Request
from flows.workspace import Workspace, default_root, model_name
from serving.repository.repository import Repository

if TYPE_CHECKING:
    from serving.client.predictor import Predictor

#: Height of a report in a notebook, in pixels.
_HEIGHT = 600


def train(
    task: str,
    data: str | Path,
    name: str,
    *,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    input_column: str | None = None,
    target_column: str | Sequence[str] | None = None,
    split_column: str | None = None,
    fold_column: str | None = None,
    seed: int = 0,
    accept_worse: bool = False,
    restart: bool = False,
    force: bool = False,
    workspace: str | Path | None = None,
    prefect: bool = False,
    quiet: bool = False,
) -> "Model":
    """Train a model, evaluate it and publish it, as ``servable train`` does.

    Args:
        task: such as ``image-classification``; ``servable tasks`` lists them.
        data: folder, table or archive of examples.
        name: of the model.
        recipe: name of a recipe, or path of a YAML file; None for the task's default.
        settings: setting to value, such as ``{"training.epochs": 5}``.
        input_column: column of a table with the inputs.
        target_column: column with the label or number, or several of them.
        split_column: column with train, validation or test.
        fold_column: column with the fold of a cross-validation.
        seed: of splits, order, augmentation and dropout.
        accept_worse: publish even if worse than the version in service.
        restart: start over instead of resuming an unfinished run.
        force: publish even if the version in service has equal weights.
        workspace: folder of all output files; None for SERVABLE_WORKSPACE, or ``workspace``.
        prefect: run as a Prefect flow, which takes some seconds longer to start.
        quiet: show no progress.

    Raises:
        ServableError: whatever stopped the training; its class says what, its text what to do.
    """
    targets = (
        target_column if target_column is None or isinstance(target_column, str) else list(target_column)
    )
    columns = {"input": input_column, "target": targets, "split": split_column, "fold": fold_column}
    request = Request(
        task,
        str(data),
        model_name(name),
        recipe,
        tuple(f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()),
        {role: column for role, column in columns.items() if column},
        seed,
        accept_worse,
        restart,
        force,
        str(Workspace.open(_folder(workspace)).root),
    )
    with terminal.hushed(quiet), terminal.progress_bars(quiet=quiet):
        summary = launch.run(request, local=not prefect)
    return load(name, summary["version"], workspace=workspace)


def load(name: str, version: int | None = None, *, workspace: str | Path | None = None) -> "Model":
    """Open a published model.

    Args:
        name: of the model.
        version: None for the stable one.
        workspace: as of `train`.

    Raises:
        NoInputError: there is no such model or version.
    """
    place = Workspace.existing(_folder(workspace))
    repository = Repository(place.repository)
    chosen = version or releases.stable(place, name)
    return Model(name, chosen, place, repository.release(name, chosen).manifest)


def _folder(workspace: str | Path | None) -> Path:
    return Path(workspace) if workspace is not None else default_root()


@dataclass(frozen=True)
class Model:
    """One version of a published model.

    Attributes:
        name: of the model.
        version: its number.
        workspace: that it is published in.
        manifest: what is recorded of it: task, recipe, dataset, metrics, labels and versions.
    """

    name: str
    version: int
    workspace: Workspace
    manifest: Mapping[str, Any]

    @property
    def task(self) -> str:
        """The kind of model."""
        return str(self.manifest["task"])

    @property
    def metrics(self) -> dict[str, float]:
        """What it is worth, by the names of the metrics."""
        return dict(self.manifest["metrics"])

    @property
    def labels(self) -> tuple[str, ...]:
        """What its outputs stand for."""
        return tuple(self.manifest["labels"])

    @cached_property
    def report(self) -> "Report":
        """The report of its training.

        Raises:
            NoInputError: the run is gone from the workspace.
        """
        from flows.runs import listing

        return Report(listing.find(self.workspace, self.name, self.version).report)

    def predict(
        self, examples: str | Path | Sequence[str | Path], *, signature: str | None = None, **inputs: Any
    ) -> Any:
        """Answer examples in this process, as a server of the model would.

        Args:
            examples: a path, a text or a row as a line of CSV; a list for several; folders, archives and
                tables stand for what they hold.
            signature: such as ``embed``; None for ``serving_default``.
            **inputs: further inputs of the signature, such as ``k=5``.

        Returns:
            For one path or text a dict with the outputs by name; for a list, or a folder, a list of dicts.

        Raises:
            NoInputError: a file does not exist.
            DataError: a file or text is none that ingest would take.
            UsageError: the signature has no such input.
        """
        from flows.queries.question import Question, answers

        one = isinstance(examples, str | Path)
        example_list = [examples] if isinstance(examples, str | Path) else list(examples)
        if not example_list:
            raise UsageError("no examples", expected="at least one")
        further = {name: str(value) for name, value in inputs.items()}
        question = Question(self.name, example_list, further, signature, self.version)
        results = list(answers(question, self._place))
        return results[0] if one and len(results) == 1 else results

    @cached_property
    def _place(self) -> Any:
        return _Loaded(self)

    def __repr__(self) -> str:
        metric = self.manifest.get("metric")
        value = self.manifest["metrics"].get(metric)
        worth = f", {metric}={value:.4g}" if value is not None else ""
        return f"Model({self.name!r}, version={self.version}, task={self.task!r}{worth})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{value:.4g}</td></tr>"
            for name, value in sorted(self.metrics.items())
        )
        return f"<b>{html.escape(repr(self))}</b><table>{rows}</table>"


class _Loaded:
    """A `flows.queries.places.Place` of one model, loaded once."""

    def __init__(self, model: Model) -> None:
        from flows.queries.places import Place

        self._model = model
        self._place = Place("", workspace=model.workspace, local=True)

    @cached_property
    def _predictor(self) -> "Predictor":
        with self._place.open(self._model.name, self._model.version, 0.0) as predictor:
            return predictor

    @contextmanager
    def open(self, name: str, version: int | None, timeout: float) -> "Iterator[Predictor]":
        """Give the loaded model."""
        yield self._predictor


@dataclass(frozen=True)
class Report:
    """A report page; a notebook shows it.

    Attributes:
        path: of the HTML file.
    """

    path: Path

    def open(self) -> None:
        """Open it in the browser."""
        webbrowser.open(self.path.as_uri())

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="{_HEIGHT}" style="border:0"></iframe>'
