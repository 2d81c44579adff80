"""kill -9 of scheduled trainings and of their worker at random moments, on a self-hosted Prefect server."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.benchmarks.table import ROOT, Table, machine

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from flows.workspace import Workspace

SEED, LIMIT_SECONDS, PATIENCE = 21, 100, 1200.0
TASK = "tabular-classification"
#: What is killed, ten times in all.
PENDING, RUNNING = "the training, PENDING", "the training, RUNNING"
WORKER, BOTH = "the worker alone", "the worker and its training"
KILLS = (PENDING, RUNNING, WORKER, BOTH, RUNNING, PENDING, BOTH, RUNNING, PENDING, WORKER)
COLUMNS = ("killed", "after s", "marked Crashed after s", "slot free after s", "restarted after s")
COLUMNS += ("resumed", "in the end", "releases")


def kills() -> Table:
    """Kill ten trainings, each of a model of its own, and wait for what becomes of them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = stack.enter_context(_stage(folder))
        pending, running = stage.undisturbed()
        dice = random.Random(SEED)
        moments = {PENDING: pending, RUNNING: running, WORKER: pending + running, BOTH: pending + running}
        rows = []
        for number, what in enumerate(KILLS, start=1):
            rows.append(stage.killed(f"killed-{number}", what, dice.uniform(0, 0.9) * moments[what]))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    prose = (
        "`servable worker` on a Prefect server with SQLite, one training of golden rows per line. Seconds "
        f"count from the kill (limit of the third column: {LIMIT_SECONDS}), those of the second column from "
        "the moment the run was PENDING or RUNNING. A killed worker is started again at once, as a service "
        "manager does. Undisturbed, a run is PENDING for "
        f"{pending:.0f} s and RUNNING for {running:.0f} s; {machine()}."
    )
    return Table("kills", "Killed trainings", prose, COLUMNS, rows)


@dataclass
class _Kill:
    """What was seen of a killed run, in seconds since the kill."""

    at: float = field(default_factory=time.time)
    free: float | None = None
    restarted: "FlowRun | None" = None

    def since(self, moment: Any) -> str:
        """Return the seconds from the kill to a moment of Prefect's."""
        return f"{max(0.0, moment.timestamp() - self.at):.0f}"


class _Stage:
    """A Prefect server, its client, a workspace and a worker that can be killed."""

    def __init__(self, client: "SyncPrefectClient", workspace: "Workspace", data: Path) -> None:
        self.client, self.workspace, self.data = client, workspace, data
        self.worker = self._work()

    def _work(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows", "worker", "--workspace", str(self.workspace.root)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=(self.workspace.root / "worker.log").open("ab"),
        )

    def undisturbed(self) -> tuple[float, float]:
        """Train once without a kill; return for how many seconds the run was PENDING and RUNNING."""
        run = self._begin("undisturbed")
        begun = self._until(lambda: self._after(run, "PENDING"))
        running = self._until(lambda: self._after(run, "RUNNING"))
        ended = self._until(lambda: self._ended(run))
        assert ended.state.is_completed(), ended.state
        first, second = begun.state.timestamp, running.state.timestamp
        return (second - first).total_seconds(), (ended.state.timestamp - second).total_seconds()

    def killed(self, name: str, what: str, moment: float) -> tuple[object, ...]:
        """Train a model, kill what is named so many seconds later, and return the row of the table."""
        run = self._begin(name)
        self._until(lambda: self._after(run, "RUNNING" if what == RUNNING else "PENDING"))
        if what == PENDING:
            self._until(lambda: self._read(run).infrastructure_pid)
        time.sleep(moment)
        before = self._read(run)
        kill = self._kill(what, before)
        last = self._until(lambda: self._settled(run, kill))
        crashed = self._read(run).state
        return (
            what if what in (PENDING, RUNNING) else f"{what}, {before.state_type.value}",
            f"{moment:.1f}",
            kill.since(crashed.timestamp) if crashed.is_crashed() else "-, it goes on",
            "-" if kill.free is None else f"{kill.free:.0f}",
            kill.since(kill.restarted.start_time) if kill.restarted else "-",
            self._resumed(name) if crashed.is_crashed() else "-",
            last.state.name,
            len(self._repository().versions(name)),
        )

    def _kill(self, what: str, run: "FlowRun") -> _Kill:
        """Send SIGKILL; start the worker again if it was meant."""
        if what in (PENDING, RUNNING):
            kill = _Kill()
            os.kill(int((run.infrastructure_pid or "").split()[1]), signal.SIGKILL)
            return kill
        family = psutil.Process(self.worker.pid).children(recursive=True) if what == BOTH else []
        kill = _Kill()
        self.worker.kill()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.worker.wait()
        self.worker = self._work()
        return kill

    def _settled(self, run: Any, kill: _Kill) -> "FlowRun | None":
        """Note what has come of a killed run; return the run that ended it, once it has ended."""
        from prefect.client.schemas import filters

        limit = self.client.read_deployment(run.deployment_id).global_concurrency_limit
        if kill.free is None and limit is not None and limit.active_slots == 0:
            kill.free = time.time() - kill.at
        of = filters.DeploymentFilter(id=filters.DeploymentFilterId(any_=[run.deployment_id]))
        runs = self.client.read_flow_runs(deployment_filter=of, limit=50)
        later = [each for each in runs if each.id != run.id and each.start_time is not None]
        kill.restarted = kill.restarted or next(iter(later), None)
        ended = self._ended(run)
        if ended is None or ended.state.is_completed():
            return ended
        return next((each for each in later if each.state and each.state.is_final()), None)

    def _resumed(self, name: str) -> str:
        """Say what of the killed run the next one took over, by the logs of the model's run folders."""
        logs = sorted(self.workspace.runs(name).glob("*/run.log"))
        text = "".join(log.read_text() for log in logs)
        if len(logs) > 1:  # it was killed behind its last step, and the next one found nothing to do
            return "it was published"
        if "resumed at epoch" in text:
            return f"at epoch {text.rpartition('resumed at epoch ')[2].split()[0]}"
        return "finished steps" if text.count(" in process ") > 1 else "nothing was begun"

    def _repository(self) -> Any:
        from serving.repository.repository import Repository

        return Repository(self.workspace.repository)

    def _begin(self, name: str) -> "FlowRun":
        """Schedule a model's training, far away, and make one run of it that is due."""
        from flows.scheduling import schedules
        from flows.scheduling.when import When
        from tests import trained

        request = trained.request(TASK, self.data, self.workspace.root, name=name, overrides=LONGER)
        schedules.deploy(request, When(cron="0 0 1 1 *"))
        deployment = self.client.read_deployment_by_name(f"servable-train/{TASK}-{name}")
        return self.client.create_flow_run_from_deployment(deployment.id)

    def _read(self, run: Any) -> Any:
        return self.client.read_flow_run(run.id)

    def _after(self, run: Any, state: str) -> Any:
        """Return the run if it is in a state, or has left it."""
        order = ("SCHEDULED", "PENDING", "RUNNING")
        current = self._read(run)
        kind = current.state_type.value
        return current if kind not in order or order.index(kind) >= order.index(state) else None

    def _ended(self, run: Any) -> Any:
        current = self._read(run)
        return current if current.state.is_final() else None

    def _until(self, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (value := found()):
            if time.monotonic() > deadline:
                raise TimeoutError((self.workspace.root / "worker.log").read_text()[-2000:])
            if self.worker.poll() is not None:  # on a busy machine the server may answer too late for it
                self.worker = self._work()
            time.sleep(0.25)
        return value


#: A training long enough to be killed in its midst.
LONGER = ("training.epochs=60", "training.patience=60")


@contextmanager
def _stage(folder: Path) -> Iterator[_Stage]:
    """Start a Prefect server and a worker on a new workspace; end both, whichever it is by then."""
    from flows.orchestration import step
    from flows.orchestration.prefect_server import EmbeddedServer
    from flows.workspace import Workspace
    from tests import golden, mlflow_store

    data = golden.GOLDEN[TASK](folder / "data")
    store = mlflow_store.database(folder / "mlruns")
    workspace = Workspace.open(folder / "workspace")
    os.environ["MLFLOW_TRACKING_URI"] = store
    step.set_environment(workspace)
    server = EmbeddedServer(workspace, interface=True).wait()
    os.environ["PREFECT_API_URL"] = server.url
    stage = None
    try:
        from prefect.client.orchestration import get_client

        with step.connected(server.url), get_client(sync_client=True) as client:
            stage = _Stage(client, workspace, data)
            yield stage
    finally:
        if stage is not None:
            stage.worker.terminate()
            stage.worker.wait(300)
        server.stop()
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            os.environ.pop(name)
