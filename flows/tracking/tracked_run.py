"""One tracked run, as the code that trains sees it: every method writes to disk and returns at once."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from features.errors import InternalError
from flows.console.redaction import mask, slug
from flows.tracking.spool.outbox import Journal, number
from flows.tracking.store import model_files, system_metrics
from flows.tracking.store.tags import RELEASE_TAG

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Longer params are kept as artifacts, which MLflow would refuse or cut.
LONGEST_PARAM, LONGEST_TAG = 6000, 8000

STATUSES = ("FINISHED", "FAILED", "KILLED")


class TrackedRun:
    """One run: every method writes to the spool and returns at once.

    As a context manager it finishes the run: FINISHED, KILLED after KeyboardInterrupt or
    SystemExit, FAILED after any other exception.
    """

    def __init__(
        self,
        key: str,
        journal: Journal,
        wake: Callable[[], None],
        known: Callable[[], Mapping[str, Any]],
        forget: Callable[[], None],
    ) -> None:
        """Write to a journal.

        Args:
            key: of the run.
            journal: its spool folder, opened.
            wake: called when there is something to send.
            known: tells what MLflow called things: run_id, versions.
            forget: called when the run is finished.
        """
        self.key = key
        self._journal, self._wake, self._known, self._forget = journal, wake, known, forget
        self.description = ""
        self._seen = {
            (name, event.body["step"])
            for event in journal.read()
            if event.kind == "metrics"
            for name in event.body["metrics"]
        }

        steps = [step for name, step in self._seen if name.startswith(system_metrics.PREFIX)]
        self._sampler = (
            system_metrics.Sampler(self.metrics, max(steps, default=-1) + 1)
            if system_metrics.enabled()
            else None
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Finish with the state the body ended in."""
        if error is None:
            self.finish("FINISHED")
        elif isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            self.finish("KILLED", note=type(error).__name__)
        else:
            self.finish("FAILED", note=f"{type(error).__name__}: {error}")

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None until MLflow has been reached."""
        return self._known().get("run_id")

    @property
    def ids(self) -> tuple[str, str] | None:
        """MLflow's ids of experiment and run; None until MLflow has been reached."""
        cursor = self._known()
        return (cursor["experiment_id"], cursor["run_id"]) if "run_id" in cursor else None

    def version(self, name: str) -> int | None:
        """Return the number MLflow gave to the version registered under a name, None until it has."""
        return self._known().get("versions", {}).get(slug(name))

    def write(self, kind: str, *, at: int | None = None, **body: Any) -> None:
        """Write one event to the spool and wake the sender."""
        self._journal.append(kind, body, at=at)
        self._wake()

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics of one step; a name already recorded for this step keeps its first value.

        So an epoch that a resumed training repeats is not recorded twice.

        Args:
            values: by name, such as ``validation/loss``; NaN and infinities are kept.
            step: such as the epoch.
        """
        fresh = {slug(name): number(value) for name, value in values.items()}
        fresh = {name: value for name, value in fresh.items() if (name, step) not in self._seen}
        if fresh:
            self._seen.update((name, step) for name in fresh)
            self.write("metrics", metrics=fresh, step=step)

    def params(self, values: Mapping[str, object]) -> None:
        """Record settings; secrets are masked, a value of more than 6,000 characters becomes an artifact."""
        params = {}
        for name, value in values.items():
            text = mask(_text(value), name)
            if len(text) > LONGEST_PARAM:
                path = f"params/{slug(name.replace('/', '_'), 100)}.txt"
                self.text(text, path)
                text = f"{len(text):,d} characters, see the artifact {path}"
            params[slug(name)] = text
        if params:
            self.write("params", params=params)

    def tags(self, values: Mapping[str, object]) -> None:
        """Record tags; secrets are masked, values cut at 8,000 characters."""
        if values:
            self.write("tags", tags=as_tags(values))

    def describe(self, description: str, name: str = "") -> None:
        """Set the description of the run and of what was registered from it, and the name of the run.

        Args:
            description: Markdown; the address ``artifact:PATH`` leads to an artifact of the run.
            name: of the run; empty to leave it as it is.
        """
        self.description = mask(description)
        self.write("describe", description=self.description[:LONGEST_TAG], name=mask(name))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file or folder, as it is now, among the run's artifacts.

        Args:
            path: the file or folder.
            folder: where among the artifacts.
        """
        self.write("artifact", file=self._journal.stage(path), folder=folder)

    def text(self, content: str, path: str) -> None:
        """Keep a text among the artifacts under a path such as ``recipe.yaml``; secrets are masked."""
        self._artifact(mask(content).encode("utf-8", "backslashreplace"), path)

    def figure(self, figure: "Figure", path: str) -> None:
        """Keep a figure under a path that ends in ``.png`` or ``.svg``."""
        from models.figures.drawing.canvas import png, svg

        self._artifact(svg(figure) if path.endswith(".svg") else png(figure), path)

    def table(self, frame: "pd.DataFrame", path: str) -> None:
        """Keep a table under a path that ends in ``.json``, so that MLflow's UI can show it."""
        content = frame.to_json(orient="split", index=False, double_precision=10, force_ascii=True)
        self._artifact(content.encode(), path, table=True)

    def _artifact(self, content: bytes, path: str, *, table: bool = False) -> None:
        folder, _, name = path.rpartition("/")
        self.write("artifact", file=self._journal.stage_bytes(name, content), folder=folder, table=table)

    def dataset(
        self,
        name: str,
        *,
        fingerprint: str,
        source: str,
        profile: Mapping[str, object] | None = None,
        context: str = "training",
    ) -> None:
        """Record a dataset as an input of the run.

        Args:
            name: the dataset's name.
            fingerprint: of its content; MLflow's digest takes the first 36 characters.
            source: where it came from.
            profile: such as the counts of examples.
            context: what it was used for.
        """
        self.write(
            "dataset",
            name=slug(name),
            digest=fingerprint[:36],
            source_type="local",
            source=json.dumps({"uri": mask(source)}),
            profile=json.dumps(profile or {}),
            context=context,
        )

    def register(
        self,
        saved_model: Path,
        name: str,
        *,
        release: int,
        examples: Mapping[str, Sequence[Any]] | None = None,
        tags: Mapping[str, object] | None = None,
        description: str = "",
        kind: str = "",
        figures: Sequence[str] = (),
    ) -> None:
        """Register an exported SavedModel as a new version of a model.

        Its MLflow signature is read from its signatures. The number of the version is :meth:`version`, once
        MLflow has been reached. MLflow finds the model by the params, metrics and dataset of the run, too.

        Args:
            saved_model: the exported folder; its files are linked, so it may be deleted afterwards.
            name: of the registered model.
            release: number of the release, by which :meth:`Tracking.promote` finds the version.
            examples: a few examples of every input of ``serving_default``.
            tags: of the version, such as its test metric.
            description: of the version.
            kind: MLflow's type of the model, such as the name of its task.
            figures: names of the metrics of the run that are the model's.

        Raises:
            InternalError: the folder holds no SavedModel with a ``serving_default``.
        """
        try:
            signature = model_files.describe(saved_model)
        except (OSError, ValueError, IndexError) as error:
            raise InternalError(
                f"cannot register {saved_model}", got=str(error), expected="a SavedModel"
            ) from error
        staged = self._journal.stage(saved_model, name=model_files.SAVED_MODEL, link=True)
        self.write(
            "register",
            id=f"{self._journal.directory.name}-{staged}",
            name=slug(name),
            file=str(Path(staged).parent),
            signature=signature,
            example=model_files.example(examples) if examples else None,
            tags=as_tags(tags or {}) | {RELEASE_TAG: str(release)},
            description=mask(description),
            model_type=kind,
            **self._written(figures),
        )

    def _written(self, figures: Sequence[str]) -> dict[str, Any]:
        """Gather from the journal what a model takes over from its run.

        Returns:
            params by name; points, the last name, value, step and time of each metric; dataset, its name and
            digest, or None.
        """
        params, points, dataset = dict[str, str](), dict[str, tuple[str, Any, int, int]](), None
        names = set(map(slug, figures))
        for event in self._journal.read():
            params |= event.body.get("params", {})
            for name in names & event.body.get("metrics", {}).keys():
                points[name] = (name, event.body["metrics"][name], event.body["step"], event.at)
            if event.kind == "dataset":
                dataset = [event.body["name"], event.body["digest"]]
        return {"params": params, "points": sorted(points.values()), "dataset": dataset}

    def finish(self, status: str = "FINISHED", note: str = "") -> None:
        """End the run; only the first call counts.

        Args:
            status: FINISHED, FAILED or KILLED; after the latter two, a start with the same key
                continues in the same run.
            note: why, for people.
        """
        if status not in STATUSES:
            raise InternalError("unknown run status", got=status, expected=", ".join(STATUSES))
        if self._journal.closed:
            return
        if self._sampler is not None:
            self._sampler.stop()
        self.write("finish", status=status, note=mask(note)[:LONGEST_TAG])
        self._journal.close()
        self._forget()
        self._wake()


def as_tags(values: Mapping[str, object]) -> dict[str, str]:
    """Make tags MLflow takes: names slugged, secrets masked, values cut at 8,000 characters."""
    return {slug(name): mask(_text(value), name)[:LONGEST_TAG] for name, value in values.items()}


def _text(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value).encode("utf-8", "backslashreplace").decode()
