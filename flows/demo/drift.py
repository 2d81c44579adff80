"""From a drift to a retraining, and from a bad one to a rollback, on scikit-learn's scans of digits.

A model of scans serves. Half of the scanner's lamp fails: scans come in dark, `servable monitor` notices,
starts the training of the model, the gate passes it, it is tried on half of the requests and promoted. Then
the scanner sends negatives, and those who label them press keys beside the right ones: the model that learns
from that is unsure, and rolled back. Server, worker, monitor and watch are those of the command line.
"""

import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from features.errors import NoInputError
from flows import launch
from flows.console import terminal
from flows.demo.server import serving
from flows.monitoring import scheduled
from flows.monitoring.monitor import Watch
from flows.orchestration import prefect_server
from flows.runs.plans.request import Request, check_addresses
from flows.scheduling import deployments, schedules, worker
from flows.scheduling.retraining import Policy
from flows.scheduling.when import When
from flows.workspace import Workspace
from serving.client.client import Client
from serving.repository.repository import Repository

MODEL, TASK = "scans", "image-classification"
#: Scans of the first training, of the later ones, and of the requests.
FIRST, LATER, LIVE = range(800), range(800, 1500), range(1500, 1797)
#: Clients that the requests come from: the server spreads them over both versions.
CLIENTS = 40
#: A canary is tried on as few requests, and for as short a time, as can be watched.
CANARY = (
    "canary.trial=true",
    "canary.share=50",
    "canary.min_requests=150",
    "canary.min_minutes=0.1",
    # The demo may share its processors with anything.
    "canary.max_latency_ratio=10",
)
#: More than the recipe's, for fewer scans.
PASSES = ("training.epochs=30",)
#: How far beside the right key those press who label the second round, and how often.
RIGHT, SLIPS = {0: 1.0}, {1: 0.3, 2: 0.25, 3: 0.2, 4: 0.15, 5: 0.1}
#: The request log is read up to here; the cool-down is in hours.
MOST, COOLDOWN = 300, 1.0

#: From the grey levels of a scan, and its number, to those that the scanner sends.
Look = Callable[[np.ndarray, int], np.ndarray]


def bright(grey: np.ndarray, number: int) -> np.ndarray:
    """Leave a scan as it is."""
    return grey


def dim(grey: np.ndarray, number: int) -> np.ndarray:
    """Darken every second scan."""
    return grey * 0.25 if number % 2 else grey


def negative(grey: np.ndarray, number: int) -> np.ndarray:
    """Turn a scan into its negative."""
    return 255 - grey


@dataclass(frozen=True)
class Scan:
    """A scan as a PNG, and the digit on it."""

    number: int
    digit: int
    content: bytes


def scans(numbers: Sequence[int], look: Look) -> Iterator[Scan]:
    """Yield scans as the scanner sends them, 32 pixels wide and high."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in numbers:
        grey = look(digits.images[number] * (255 / 16), number)
        stream = io.BytesIO()
        picture = Image.fromarray(grey.astype(np.uint8)).resize((32, 32), Image.Resampling.NEAREST)
        picture.save(stream, "PNG")
        yield Scan(number, int(digits.target[number]), stream.getvalue())


def write(folder: Path, numbers: Sequence[int], look: Look, slips: Mapping[int, float] = RIGHT) -> None:
    """Replace the training examples: a folder per digit.

    Args:
        folder: of the examples.
        numbers: of the scans.
        look: of the scans.
        slips: how far the labels are beside the digits, and how often.
    """
    shutil.rmtree(folder, ignore_errors=True)
    beside = np.random.default_rng(0).choice(list(slips), len(numbers), p=list(slips.values()))
    for scan, slip in zip(scans(numbers, look), beside, strict=True):
        label = (scan.digit + int(slip)) % 10
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / str(label) / f"scan-{scan.number:04}.png").write_bytes(scan.content)


class Story:
    """The demonstration.

    Args:
        workspace: where everything is written.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.folder = workspace.root / "demo" / MODEL
        self._log = workspace.root / "demo" / f"{MODEL}.tfrecord"
        self._repository = Repository(workspace.repository)
        self._request = Request(
            TASK,
            str(self.folder),
            MODEL,
            recipe="digits",
            overrides=(*PASSES, *CANARY),
            workspace=str(workspace.root),
        )
        self._target = ""

    def begin(self) -> None:
        """Train the first version, and deploy its training."""
        write(self.folder, FIRST, bright)
        tell(f"{len(FIRST)} labelled scans are in {self.folder}: the first version is trained")
        # From an earlier demonstration there may be a version that serves, and a deployment that has run.
        first = replace(self._request, overrides=PASSES, accept_worse=True, force=True)
        with terminal.progress_bars():
            launch.run(first)
        with suppress(NoInputError):
            deployments.remove(self._workspace, MODEL)
        tell(schedules.deploy(self._request, When(on_drift=True)))

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve the model, and log its requests, while the body runs."""
        with serving(self._workspace, f"--request_log={self._log}", "--request_log_share=1") as self._target:
            tell(f"the model server is at {self._target} and logs its requests to {self._log}")
            yield

    def ask(self, look: Look, what: str) -> float:
        """Send the live scans, each from one of the clients; return the share that is read rightly."""
        right = 0
        with Client(self._target) as client:
            for scan in scans(LIVE, look):
                asking = client.with_key(f"client-{scan.number % CLIENTS}")
                answer = asking.predict(MODEL, image_bytes=[scan.content])
                right += answer["label"][0] == str(scan.digit).encode()
        tell(f"{len(LIVE)} {what} come in: {right / len(LIVE):.0%} are read correctly")
        return right / len(LIVE)

    def monitor(self, cooldown: float = COOLDOWN) -> bool:
        """Compare the latest requests with the training examples; return whether a training was started."""
        watch = Watch(MODEL, str(self._log), most=MOST)
        tell(f"servable monitor {MODEL} --data {self._log.name} --retrain --cooldown {cooldown:g}")
        outcome = scheduled.watch(self._workspace, watch, Policy(cooldown))
        return bool(outcome["started"])

    def train(self) -> None:
        """Let a worker run the training that was started."""
        tell("servable worker --once")
        with terminal.progress_bars():
            worker.work(self._workspace, once=True)

    def try_out(self, look: Look, what: str) -> None:
        """Send requests until the watch of the server has decided over the canary."""
        trial = self._repository.canary(MODEL)
        if trial is None:
            tell("the gate refused it: no requests see it")
            return
        tell(f"version {trial.version} answers {trial.share:g} % of the requests; servable watch compares")
        while self._repository.canary(MODEL) is not None:
            self.ask(look, what)
        last = self._repository.history(MODEL)[-1]
        stable = self._repository.stable(MODEL)
        tell(f"version {trial.version}: {last['event']}, {last['reason']}; version {stable} is stable")


def run(workspace: Workspace) -> None:
    """Show both rounds."""
    check_addresses(workspace)
    story = Story(workspace)
    with prefect_server.kept_api(workspace):
        story.begin()
        with story.served():
            story.ask(bright, "scans")
            story.monitor()
            _first_round(story)
            _second_round(story)
    tell(f"See     .venv/bin/servable history {MODEL}\nUIs     .venv/bin/servable ui")


def _first_round(story: Story) -> None:
    story.ask(dim, "scans, every second one dark,")
    story.monitor()
    story.monitor()
    write(story.folder, LATER, dim)
    tell(f"{len(LATER)} of the new scans are labelled by hand")
    story.train()
    story.try_out(dim, "scans, every second one dark,")
    story.ask(dim, "scans, every second one dark,")
    story.monitor()


def _second_round(story: Story) -> None:
    tell("a day later: the scanner sends negatives")
    story.ask(negative, "negatives")
    story.monitor(cooldown=0)
    write(story.folder, LATER, negative, SLIPS)
    tell(f"{len(LATER)} of them are labelled, all incorrectly")
    story.train()
    story.try_out(negative, "negatives")


def tell(text: str) -> None:
    """Print a line of the story."""
    terminal.stdout().print(text, highlight=False, soft_wrap=True)
