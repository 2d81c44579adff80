"""From a drift to a promotion, on a real training, a real Prefect server and a real server.

The trainings that the drift starts run in this process, as Prefect's engine runs them.
"""

import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from features.errors import NoInputError
from flows.monitoring import scheduled
from flows.monitoring.monitor import Watch
from flows.orchestration import prefect_server, step
from flows.promotion import moves
from flows.promotion.watch import Watch as Labels
from flows.scheduling import deployments, retraining, schedules
from flows.scheduling.retraining import Policy
from flows.scheduling.when import When
from flows.workspace import Workspace
from serving.client.client import Client
from serving.config import Options
from serving.repository.repository import Repository
from serving.server.server import Server
from tests.trained import Trained, request

#: A trial of few requests, and of no time; how fast a busy machine answers is not what is tried here.
TRIAL = (
    "canary.trial=true",
    "canary.share=50",
    "canary.min_requests=110",
    "canary.min_minutes=0",
    "canary.max_latency_ratio=1000",
)


class Loop:
    """A served model, its request log, and the Prefect server that trains it."""

    def __init__(self, place: Workspace, data: Path, log: Path, server: Server, client: Any) -> None:
        self.place, self.data, self.log, self.server, self.client = place, data, log, server, client
        self.repository = Repository(place.repository)

    def ask(self, photos: list[bytes]) -> None:
        """Send photos, each as a client of its own."""
        with Client(self.server.target) as client:
            for number, photo in enumerate(photos):
                client.with_key(f"client-{number}").predict("golden", image_bytes=[photo])

    def monitor(self, most: int, cooldown: float = 24.0) -> dict[str, Any]:
        """Monitor the latest requests."""
        watch = Watch("golden", str(self.log), most=most)
        return scheduled.watch(self.place, watch, Policy(cooldown))

    def runs(self) -> list[Any]:
        """Return the runs that a drift has started, the earliest first."""
        found = self.client.read_flow_runs()
        return sorted((run for run in found if retraining.TAG in run.tags), key=lambda run: run.created)

    def train(self) -> Any:
        """Run the training that was started last, as a worker's process does; return its last state."""
        from prefect.flow_engine import run_flow

        from flows.deployment import train_model

        run = self.runs()[-1]
        run_flow(train_model, flow_run=run, parameters=run.parameters, return_type="state")
        return self.client.read_flow_run(run.id).state

    def try_out(self, photos: list[bytes]) -> dict[str, Any]:
        """Send photos until the watch has decided over the canary; return what it did."""
        watch = Labels(self.place, ["golden"], lambda line: None)
        while self.repository.canary("golden") is not None:
            self.ask(photos)
            watch.judge()
        return self.repository.history("golden")[-1]


def _write(folder: Path, photos: list[tuple[str, bytes]]) -> None:
    """Replace the examples of a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for number, (label, photo) in enumerate(photos):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{number}.png").write_bytes(photo)


def _photos(data: Path, look: Callable[[Image.Image], Image.Image]) -> list[tuple[str, bytes]]:
    """Return the golden photos, changed, with their labels."""
    found = []
    for path in sorted(data.rglob("*")):
        if path.is_file():
            stream = io.BytesIO()
            with Image.open(path) as opened:
                look(opened.convert("RGB")).save(stream, "PNG")
            found.append((path.parent.name, stream.getvalue()))
    return found


@pytest.fixture(scope="module")
def loop(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    place, log = trained.copy(folder).workspace, folder / "requests.tfrecord"
    options = Options(port=0, repository=place.repository, request_log=log, request_log_share=1.0)
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("PREFECT", "MLFLOW"))]:
        del os.environ[name]
    try:
        with prefect_server.kept_api(place):
            from prefect.client.orchestration import get_client

            with (
                step.connected(schedules.api(place)),
                get_client(sync_client=True) as client,
                Server(options) as server,
                # A command of its own would not turn warnings of libraries into errors either.
                warnings.catch_warnings(action="ignore"),
            ):
                yield Loop(place, folder / "data", log, server, client)
    finally:
        os.environ.clear()
        os.environ.update(kept)


@pytest.mark.proof
def test_a_drift_is_retrained_once_tried_and_promoted(loop: Loop, trained: Trained) -> None:
    from flows.deployment import monitor_model

    with pytest.raises(NoInputError, match="no deployment to train the model with"):
        retraining.start(loop.place, "golden", "image-classification", Policy())
    dark = _photos(trained.data, lambda photo: ImageEnhance.Brightness(photo).enhance(0.3))
    _write(loop.data, dark)
    wanted = request("image-classification", loop.data, loop.place.root, overrides=TRIAL, accept_worse=True)
    schedules.deploy(wanted, When(on_drift=True))
    parameters = {"name": "golden", "data": str(loop.log), "workspace": str(loop.place.root)}
    schedules.deploy_monitoring(loop.place, parameters, When(interval=3600))
    listed = [(row["task"], row["when"]) for row in deployments.described(loop.place)]
    assert listed == [("monitor", "every 3600 seconds"), ("image-classification", "on drift")]

    # Without drift nothing is started.
    bright = _photos(trained.data, lambda photo: photo)
    loop.ask([photo for _, photo in bright])
    found = loop.monitor(len(bright))
    assert (found["drift"], found["started"], loop.runs()) == (False, False, [])

    # A drift starts one training, which is shown in Prefect; a second look starts none.
    live = [photo for _, photo in dark]
    loop.ask(live)
    found = monitor_model(**parameters, most=len(live), retrain=True)
    assert (found["drift"], found["started"]) == (True, True)
    (shown,) = [each for each in loop.client.read_artifacts() if each.key == "drift-golden"]
    assert "| brightness |" in shown.data
    assert "training of golden started as" in shown.data
    assert "](data:image/png;base64," in shown.data
    found = loop.monitor(len(live), cooldown=0)
    assert (found["started"], len(loop.runs())) == (False, 1)
    assert "is scheduled" in found["retraining"]

    # The new version is tried, and no other is trained meanwhile; then it is stable, and the drift is gone.
    assert loop.train().type.value == "COMPLETED"
    assert moves.labels(loop.repository, "golden") == {"stable": 1, "canary": 2}
    found = loop.monitor(len(live))
    assert (found["drift"], found["started"]) == (True, False)
    assert "the cool-down is 24 h" in found["retraining"]
    last = loop.try_out(live)
    assert last["event"] == "promote", last["reason"]
    assert moves.labels(loop.repository, "golden") == {"stable": 2, "canary": None}
    found = loop.monitor(len(live))
    (brightness,) = [each for each in found["measures"] if each["measure"] == "brightness"]
    assert (found["version"], brightness["drifted"]) == (2, False)
    assert len(loop.runs()) == 1
