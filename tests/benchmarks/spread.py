"""How much faster two processes of a Dask cluster are than one, and how much faster two bare ones are."""

import concurrent.futures
import io
import itertools
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from PIL import Image

from features.ingest.ingest import ingest
from features.spread import Part, Spread
from flows.console import terminal
from flows.orchestration import prefect_server, step, task_runners
from flows.runs import networks
from flows.runs.plans.plan import Plan, resolve
from flows.runs.plans.request import Request
from flows.runs.state import DatasetReference
from flows.steps import part_featurizer
from flows.workspace import Workspace
from models.training import training
from tests.benchmarks.features import PHOTOS
from tests.benchmarks.image_classification import MODULE
from tests.benchmarks.table import Table, machine

Result = TypeVar("Result")

#: Width of the photos in pixels, and the qualities that each is saved with.
WIDTH, QUALITIES = 2048, (84, 88, 92)
#: Parts for each process that it has done beforehand; one in so many photos is read beforehand.
WARM, FEW = 2, 20
#: What is measured, by kind: the parts alone, or the step as a whole.
BARE, DASK = "parts alone, bare processes", "whole, on Dask"


def spread() -> Table:
    """Ingest and featurize by one process and by two: bare ones, and those of a cluster, in the same run."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = _photos(folder)
        seconds: dict[tuple[str, str, int], float] = {}
        with prefect_server.running_api(Workspace.open(folder / "prefect")) as ready:
            for processes, kind in itertools.product((1, 2), (BARE, DASK)):
                place = str(folder / f"workspace-{processes}-{kind[0]}")
                if kind == BARE:
                    measured = _bare(f"{folder}/data", place, processes)
                else:
                    measured = _dask(f"{folder}/data", place, processes, ready())
                seconds |= {(work, kind, processes): taken for work, taken in measured.items()}
    gains = {key[:2]: seconds[(*key[:2], 1)] / seconds[(*key[:2], 2)] for key in seconds}
    rows = [
        (
            f"{work}: {kind}",
            *(f"{seconds[work, kind, processes]:.1f}" for processes in (1, 2)),
            f"{gain:.2f}",
            f"{gain / gains[work, BARE]:.2f}",
        )
        for (work, kind), gain in sorted(gains.items(), reverse=True)
    ]
    prose = (
        f"{count:,} photos of {WIDTH} pixels; processes compute with one core each, and have their network "
        "built. Bare ones take the same parts from a queue, without Dask, Prefect, scan and snapshot: what "
        "two of them gain is what the machine allows, and the last column the share of it that is reached. "
        f"The cluster is up beforehand; {machine()}, whose load average was {load:.1f} at the beginning."
    )
    columns = ("work", "one process, s", "two processes, s", "times faster", "of bare processes")
    return Table("spread", "Work spread over processes", prose, columns, rows)


def _photos(folder: Path) -> int:
    shutil.unpack_archive(PHOTOS, folder / "small", filter="data")
    files = sorted((folder / "small").rglob("*.jpg"))
    for file in files:
        photo = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
        photo = photo.resize((WIDTH, WIDTH * photo.height // photo.width), Image.Resampling.BILINEAR)
        (folder / "data" / file.parent.name).mkdir(parents=True, exist_ok=True)
        for quality in QUALITIES:
            photo.save(folder / "data" / file.parent.name / f"{file.stem}-{quality}.jpg", quality=quality)
    return len(files) * len(QUALITIES)


def _bare(data: str, place: str, processes: int) -> dict[str, float]:
    """Measure the parts alone, done by processes without a cluster."""
    fresh = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, task_runners.ENVIRONMENT),
        concurrent.futures.ProcessPoolExecutor(processes, fresh) as pool,
    ):

        def queued(function: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
            waiting = [pool.submit(function, part) for part in parts]
            for done in concurrent.futures.as_completed(waiting):
                yield done.result()

        _, alone = _done(_plan(data, place, task_runners.THREADS), queued, processes)
    return alone


def _dask(data: str, place: str, processes: int, api: str) -> dict[str, float]:
    """Measure ingest and featurize as a whole, on a cluster of this machine."""
    with _cluster(processes) as address:
        parameters = {"data": data, "place": place, "address": address, "processes": processes}
        whole: dict[str, float] = step.run(
            _on_dask, parameters, api=api, name="spread", run_name=f"{processes} processes"
        )
    return whole


def _on_dask(data: str, place: str, address: str, processes: int) -> dict[str, float]:
    with task_runners.spread(address) as parts:
        assert parts is not None, "an address of a cluster is given"
        whole, _ = _done(_plan(data, place, address), parts, processes)
    return whole


@contextmanager
def _cluster(processes: int) -> Iterator[str]:
    from distributed import LocalCluster

    own = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=processes, env=task_runners.ENVIRONMENT, **own) as cluster:
        yield cluster.scheduler_address


def _plan(data: str, place: str, runner: str) -> Plan:
    request = Request(
        task="image-classification",
        data=data,
        name="photos",
        recipe="frozen",
        overrides=(f"model.backbone={MODULE}",),
        workspace=place,
        runner=runner,
    )
    return resolve(request)


class _Timed:
    """A spread that notes the seconds from the first part given to the last one done.

    Attributes:
        seconds: of the last call.
        most: parts that are given at most.
    """

    def __init__(self, spread: Spread, most: int | None = None) -> None:
        self._spread, self.most, self.seconds = spread, most, 0.0

    def __call__(self, function: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
        begin = time.monotonic()
        yield from self._spread(function, parts[: self.most])
        self.seconds = time.monotonic() - begin


def _done(plan: Plan, spread: Spread, processes: int) -> tuple[dict[str, float], dict[str, float]]:
    """Ingest and featurize by a spread, after a few of each; return the seconds, and those of the parts."""
    whole, alone = {}, {}
    with terminal.hushed(), terminal.progress_bars(quiet=True):
        with tempfile.TemporaryDirectory() as few:
            for file in sorted(Path(plan.request.data).rglob("*.jpg"))[::FEW]:
                Path(few, file.parent.name).mkdir(exist_ok=True)
                os.link(file, Path(few, file.parent.name, file.name))
            _ingest(plan, few, "warm", spread)
        timed, begin = _Timed(spread), time.monotonic()
        dataset = _ingest(plan, plan.request.data, "datasets", timed)
        whole["ingest"], alone["ingest"] = time.monotonic() - begin, timed.seconds
        plan = plan.adapted(dataset)
        counts = {name: dataset.card[name] for name in ("found", "accepted", "quarantined", "skipped")}
        reference = DatasetReference(
            directory=str(dataset.directory), fingerprint=dataset.fingerprint, **counts
        )
        network = networks.untrained(plan, dataset)
        for timed in (_Timed(spread, WARM * processes), _Timed(spread)):
            shutil.rmtree(plan.workspace.features, ignore_errors=True)
            begin = time.monotonic()
            elsewhere = part_featurizer.by(timed, plan, reference)
            training.featurize(network, dataset, plan.workspace.features, elsewhere=elsewhere)
            whole["featurize"], alone["featurize"] = time.monotonic() - begin, timed.seconds
    return whole, alone


def _ingest(plan: Plan, data: str, name: str, spread: Spread) -> Any:
    return ingest(
        data,
        raw=plan.task.raw,
        target=plan.task.target,
        columns=plan.columns,
        rules=plan.rules,
        root=plan.workspace.root / name,
        spread=spread,
    )
