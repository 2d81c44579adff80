"""How much faster two processes of a Dask cluster are than one, on photos as cameras take them."""

import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from features.ingest.ingest import ingest
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

#: Width of the photos in pixels, and the qualities that each is saved with.
WIDTH, QUALITIES = 1024, (84, 88, 92)


def spread() -> Table:
    """Ingest and featurize by one process of a cluster and by two, in the same run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = _photos(folder)
        seconds = {}
        with prefect_server.running_api(Workspace.open(folder / "prefect")) as ready:
            for processes in (1, 2):
                with _cluster(processes) as address:
                    parameters = {"folder": str(folder), "address": address, "processes": processes}
                    seconds[processes] = step.run(
                        _measured, parameters, api=ready(), name="spread", run_name=f"{processes} processes"
                    )
    rows = [
        (
            work,
            *(f"{seconds[each][work]:.1f}" for each in (1, 2)),
            f"{seconds[1][work] / seconds[2][work]:.2f}",
        )
        for work in seconds[1]
    ]
    prose = (
        f"{count:,} photos of {WIDTH} pixels on a Dask cluster that is up, whose processes compute with one "
        f"core each and have their network built; {machine()}."
    )
    columns = ("work", "one process, s", "two processes, s", "times faster")
    return Table("spread", "Work spread over processes", prose, columns, rows)


def _photos(folder: Path) -> int:
    shutil.unpack_archive(PHOTOS, folder / "small", filter="data")
    files = sorted((folder / "small").rglob("*.jpg"))
    for file in files:
        photo = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
        photo = photo.resize((WIDTH, WIDTH * photo.height // photo.width))
        (folder / "data" / file.parent.name).mkdir(parents=True, exist_ok=True)
        for quality in QUALITIES:
            photo.save(folder / "data" / file.parent.name / f"{file.stem}-{quality}.jpg", quality=quality)
    return len(files) * len(QUALITIES)


@contextmanager
def _cluster(processes: int) -> Iterator[str]:
    from distributed import LocalCluster

    own = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=processes, env=task_runners.ENVIRONMENT, **own) as cluster:
        yield cluster.scheduler_address


def _measured(folder: str, address: str, processes: int) -> dict[str, float]:
    workspace = Path(folder) / f"workspace-{processes}"
    request = Request(
        task="image-classification",
        data=f"{folder}/data",
        name="photos",
        recipe="frozen",
        overrides=(f"model.backbone={MODULE}",),
        workspace=str(workspace),
        runner=address,
    )
    plan = resolve(request)
    with terminal.hushed(), terminal.progress_bars(quiet=True):
        _ingest(plan, "warm")
        begin = time.monotonic()
        dataset = _ingest(plan, "datasets")
        seconds = {"ingest": time.monotonic() - begin}
        plan = plan.adapted(dataset)
        counts = {name: dataset.card[name] for name in ("found", "accepted", "quarantined", "skipped")}
        reference = DatasetReference(
            directory=str(dataset.directory), fingerprint=dataset.fingerprint, **counts
        )
        network = networks.untrained(plan, dataset)
        for _ in range(2):
            shutil.rmtree(plan.workspace.features, ignore_errors=True)
            begin = time.monotonic()
            with part_featurizer.elsewhere(plan, reference) as elsewhere:
                training.featurize(network, dataset, plan.workspace.features, elsewhere=elsewhere)
            seconds["featurize"] = time.monotonic() - begin
    return seconds


def _ingest(plan: Plan, name: str) -> Any:
    data = plan.request.data
    with tempfile.TemporaryDirectory() as few, task_runners.spread(plan.request.runner) as spread:
        if name == "warm":
            for file in sorted(Path(data).rglob("*.jpg"))[::40]:
                Path(few, file.parent.name).mkdir(exist_ok=True)
                os.link(file, Path(few, file.parent.name, file.name))
            data = few
        return ingest(
            data,
            raw=plan.task.raw,
            target=plan.task.target,
            columns=plan.columns,
            rules=plan.rules,
            root=plan.workspace.root / name,
            spread=spread,
        )
