"""The case prefect-scheduler: with a real Prefect server, a real worker, and a cron that comes due."""

import contextlib
import datetime
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3

from features.errors import NoInputError
from flows import cli
from flows.orchestration import outcome, prefect_server, step
from flows.scheduling import deployments, recovery, schedules
from flows.scheduling.when import When
from flows.workspace import Workspace
from tests import mlflow_store
from tests.conftest import ROOT
from tests.trained import NO_SERVER_KEPT, command

TASK = "tabular-classification"
CHEAP = ("--set", "training.min_steps=20")


class Served(NamedTuple):
    """A running ``servable ui``: Prefect's API, MLflow's address, the workspace, the store, stderr so far."""

    api: str
    mlflow: str
    root: Path
    store: str
    said: list[str]

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask Prefect's API; a body is posted. As Prefect's client does, ask again while SQLite is busy."""
        again = urllib3.Retry(6, status_forcelist=(503,), allowed_methods=None, backoff_factor=0.2)
        method = "GET" if body is None else "POST"
        response = urllib3.request(method, f"{self.api}/{path}", json=body, timeout=30, retries=again)
        assert response.status < 400, response.data
        return response.json()

    def deployment(self, name: str) -> dict[str, Any]:
        """Describe the deployment of a model."""
        return self.ask(f"deployments/name/servable-train/{TASK}-{name}")

    def runs(self, name: str, *states: str) -> list[dict[str, Any]]:
        """List the runs of a model's deployment in some states, the earliest first."""
        query = {
            "deployments": {"id": {"any_": [self.deployment(name)["id"]]}},
            "flow_runs": {"state": {"type": {"any_": list(states)}}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return self.ask("flow_runs/filter", query)

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run ``servable`` on the workspace."""
        return command(*arguments, workspace=self.root, MLFLOW_TRACKING_URI=self.store)

    @contextlib.contextmanager
    def process(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen]:
        """Run ``servable`` in the background; SIGTERM ends it."""
        with started(self.root, *arguments, MLFLOW_TRACKING_URI=self.store, **environment) as running:
            yield running


@contextlib.contextmanager
def started(root: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT", "SERVABLE"))}
    with subprocess.Popen(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT,
        env=inherited | {"SERVABLE_WORKSPACE": str(root)} | NO_SERVER_KEPT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)


def collect(stream: Any) -> list[str]:
    """Read lines in the background."""
    lines: list[str] = []
    threading.Thread(target=lambda: lines.extend(iter(stream.readline, "")), daemon=True).start()
    return lines


def wait_for(condition: Any, *running: subprocess.Popen) -> Any:
    """Wait until something is true while processes run; pytest's own limit ends what never comes."""
    while not (value := condition()):
        assert all(process.poll() is None for process in running)
        time.sleep(0.5)
    return value


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("scheduled")
    store = mlflow_store.database(folder / "elsewhere")
    ports = (prefect_server.free_port(), prefect_server.free_port())
    options = ("--mlflow-port", str(ports[0]), "--prefect-port", str(ports[1]))
    with started(folder / "workspace", "ui", *options, MLFLOW_TRACKING_URI=store) as ui:
        said = collect(ui.stderr)
        mlflow, prefect = (ui.stdout.readline().split()[1] for _ in range(2))
        yield Served(f"{prefect}/api", mlflow, folder / "workspace", store, said)
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(60) == 0


@pytest.mark.proof
def test_a_training_scheduled_by_cron_runs_and_is_published(served: Served, cases: Path) -> None:
    data = os.path.relpath(cases / "mlflow-uri" / "base.csv", ROOT)
    columns = ("--input-column", "a,b", "--target-column", "label")
    told = served.command(
        *("schedule", TASK, "--cron", "* * * * *", "--data", data, "--name", "minutely", *CHEAP, *columns),
        *("--seed", "3", "--accept-worse", "--restart", "--recipe", "linear"),
    )
    assert told.returncode == 0, told.stderr
    assert "due at '* * * * *' UTC" in told.stderr
    assert served.deployment("minutely")["parameters"] == {
        "task": TASK,
        "data": str(ROOT / data),
        "name": "minutely",
        "recipe": "linear",
        "overrides": ["training.min_steps=20"],
        "columns": {"input": "a,b", "target": "label"},
        "seed": 3,
        "accept_worse": True,
        "restart": True,
        "force": False,
        "workspace": str(served.root),
        "runner": "threads",
    }
    with served.process("worker") as worker:
        said = collect(worker.stderr)
        (run, *_) = wait_for(lambda: served.runs("minutely", "COMPLETED", "FAILED", "CRASHED"), worker)
        assert (run["state_name"], run["auto_scheduled"]) == ("Completed", True)
        assert datetime.datetime.fromisoformat(run["expected_start_time"]).second == 0
        assert re.fullmatch("minutely linear v1 [0-9a-f]{6}", run["name"])
        wait_for(lambda: f"{TASK} minutely: done\n" in said, worker)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(120) == 143
        assert worker.stdout.read() == ""
    assert said[-1] == "error: the worker was terminated\n"
    assert not any("Traceback" in line for line in said)
    (model, *_) = map(json.loads, served.command("models", "--json").stdout.splitlines())
    assert (model["model"], model["version"]) == ("minutely", 1)
    assert (served.root / "repository" / "minutely" / "1" / "saved_model.pb").is_file()
    served.ask(f"deployments/{served.deployment('minutely')['id']}/pause_deployment", {})


@pytest.mark.proof
def test_the_ui_shows_the_store_that_is_configured(served: Served) -> None:
    """After the test above: its run is in the store of MLFLOW_TRACKING_URI, and in the UI."""
    place = mlflow_store.Workplace(served.root.parent, served.store)
    (run, *_) = place.runs("minutely")
    assert run.info.status == "FINISHED"
    query = f"{served.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=minutely"
    with urllib.request.urlopen(query, timeout=30) as response:
        assert json.load(response)["experiment"]["experiment_id"] == run.info.experiment_id
    assert not (served.root.parent / "mlruns" / "mlflow.db").exists()


@pytest.mark.proof
def test_an_interval_of_seconds_and_one_schedule_for_each_model(served: Served, cases: Path) -> None:
    what = (TASK, "--data", cases / "mlflow-uri" / "base.csv", "--name", "often")
    for often in (("--cron", "0 3 * * *"), ("--interval", "7")):
        assert served.command("schedule", *what, *often).returncode == 0
    (planned,) = served.deployment("often")["schedules"]
    assert planned["schedule"]["interval"] == 7
    runs = wait_for(lambda: len(found := served.runs("often", "SCHEDULED")) > 3 and found)
    times = [datetime.datetime.fromisoformat(run["expected_start_time"]) for run in runs[:4]]
    assert {(after - before).total_seconds() for before, after in itertools.pairwise(times)} == {7}
    deployment = served.deployment("often")["id"]
    request = urllib.request.Request(f"{served.api}/deployments/{deployment}", method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()


@contextlib.contextmanager
def scheduled(served: Served, data: Path, name: str, when: When) -> Iterator[Workspace]:
    """Schedule a model in this process, which uses the server meanwhile."""
    kept = dict(os.environ)
    os.environ |= {"PREFECT_API_URL": served.api, "MLFLOW_TRACKING_URI": served.store}
    try:
        schedules.deploy(schedules.Request(TASK, str(data), name, workspace=str(served.root)), when)
        yield Workspace.open(served.root)
    finally:
        os.environ.clear()
        os.environ.update(kept)


def test_schedules_are_listed_paused_resumed_and_removed(served: Served, cases: Path) -> None:
    when = When(rrule="FREQ=WEEKLY;BYDAY=MO;BYHOUR=3", timezone="Europe/Berlin")
    with scheduled(served, cases / "mlflow-uri" / "base.csv", "weekly", when) as place:

        def listed() -> dict[str, Any] | None:
            return {row["model"]: row for row in deployments.described(place)}.get("weekly")

        row = listed()
        assert (row["task"], row["paused"], row["last"]) == (TASK, None, None)
        assert row["when"] == "at 'FREQ=WEEKLY;BYDAY=MO;BYHOUR=3' Europe/Berlin"
        deployment = served.deployment("weekly")
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["parameter_openapi_schema"]["properties"]["task"]["enum"] == [TASK]
        assert deployment["parameters"]["task"] == TASK
        assert len(deployment["schedules"]) == 1
        deployments.pause(place, "weekly")
        assert listed()["paused"] == "yes"
        deployments.resume(place, "weekly")
        assert listed()["paused"] is None
        deployments.remove(place, "weekly")
        assert listed() is None
        with pytest.raises(NoInputError, match="the model has no schedule; got weekly"):
            deployments.pause(place, "weekly")


def test_runs_of_dead_processes_are_marked_as_crashed(served: Served, cases: Path) -> None:
    """Killed in PENDING and in RUNNING, alive, of another host; the automation is made once."""
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed, Pending, Running

    with subprocess.Popen(["true"]) as ended:
        dead = recovery.identifier(ended.pid)
    alive = recovery.identifier(os.getpid())
    with (
        scheduled(served, cases / "mlflow-uri" / "base.csv", "dying", When(cron="0 0 1 1 *")),
        step.connected(served.api),
        get_client(sync_client=True) as client,
    ):
        deployment = served.deployment("dying")["id"]

        def begun(state: Any, process: str | None) -> Any:
            made = served.ask(f"deployments/{deployment}/create_flow_run", {})["id"]
            client.set_flow_run_state(made, state(), force=True)
            if process:
                client.update_flow_run(made, infrastructure_pid=process)
            return made

        lost = [begun(Pending, None), begun(Pending, dead), begun(Running, dead)]
        kept = [
            begun(Pending, alive),
            begun(Running, alive),
            begun(Running, dead.replace(recovery.host(), "elsewhere")),
        ]
        # A run that has just begun may not have a process yet.
        assert recovery.reap(client, grace=3600) == []
        assert len(recovery.reap(client, grace=0)) == 3
        assert {client.read_flow_run(run).state_name for run in lost} == {"Crashed"}
        states = [client.read_flow_run(run).state_name for run in kept]
        assert states == ["Pending", "Running", "Running"]
        for run in kept:
            client.delete_flow_run(run)
        assert len(recovery.restart(client)) == 3
        assert recovery.restart(client) == []
        first = [run for run in served.runs("dying", "SCHEDULED") if "restart-1" in run["tags"]]
        assert {run["parameters"]["name"] for run in first} == {"dying"}
        assert {run["idempotency_key"] for run in first} == {f"{recovery.RESTART}{run}" for run in lost}
        # What kills its training over and over is left to a person.
        for tag, restarted in (("restart-1", 3), ("restart-2", 0)):
            for run in served.runs("dying", "SCHEDULED"):
                if tag in run["tags"]:
                    client.set_flow_run_state(run["id"], Crashed(message=recovery.NO_HEARTBEAT), force=True)
            assert len(recovery.restart(client)) == restarted
        # One that a person has ended is not restarted, either.
        client.set_flow_run_state(
            begun(Running, dead), Crashed(message="Process exited with status code: 143"), force=True
        )
        assert recovery.restart(client) == []
        recovery.install(client)
        assert recovery.install(client) is False
        (automation,) = client.read_automations_by_name(recovery.AUTOMATION)
        assert automation.trigger.within == datetime.timedelta(seconds=recovery.SILENCE_SECONDS)


def test_a_locked_database_of_prefect_is_waited_for(served: Served) -> None:
    """Another process writes for two seconds, as trainings at the same time do for shorter."""
    held = threading.Event()

    def hold() -> None:
        with contextlib.closing(sqlite3.connect(served.root / "prefect" / "prefect.db", timeout=60)) as other:
            other.execute("begin immediate")
            held.set()
            time.sleep(2)

    writer = threading.Thread(target=hold)
    writer.start()
    assert held.wait(60)
    begin = time.monotonic()
    flow = served.ask("flows/", {"name": "written while the database was locked"})
    assert time.monotonic() - begin > 1
    writer.join()
    assert served.ask(f"flows/{flow['id']}")["name"] == "written while the database was locked"


@pytest.mark.proof
def test_worker_once_ends_with_the_worst_code(served: Served, tmp_path: Path) -> None:
    data = tmp_path / "same.csv"
    data.write_text("a,b,label\n" + "".join(f"{n},{n % 7},same\n" for n in range(60)))
    what = ("--data", data, "--name", "same", *CHEAP)
    assert served.command("schedule", TASK, "--cron", "0 0 1 1 *", *what).returncode == 0
    again = f"deployments/{served.deployment('same')['id']}/create_flow_run"
    for parameters in ({}, {"data": f"{data}.gone"}):
        served.ask(again, {"parameters": parameters})
    done = served.command("worker", "--once")
    assert done.returncode == 65, done.stderr
    assert f"{TASK} same: failed (66): the data does not exist; got {data}.gone" in done.stderr
    assert f"{TASK} same: failed (65): " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert {run["state_name"] for run in served.runs("same", "FAILED", "CRASHED", "COMPLETED")} == {"Failed"}
    done = served.command("worker", "--once")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "no training is due"


@pytest.mark.proof
def test_z_errors_of_the_server_show_up(served: Served) -> None:
    """Last: the server's own database is broken under it, as a bad pair of versions would."""
    with contextlib.closing(sqlite3.connect(served.root / "prefect" / "prefect.db")) as database:
        database.execute("pragma busy_timeout = 30000")
        database.execute("alter table deployment rename to gone")
        database.commit()
    log = served.root / "prefect" / "server.log"
    line = wait_for(lambda: next((line for line in served.said if "no such table" in line), None))
    assert f"error in {log} (at 2" in line
    assert "since the last start" in line
    done = served.command("doctor", "--json")
    found = [f["text"] for f in json.loads(done.stdout) if f["part"] == "server log"]
    assert any(str(log) in text and "no such table" in text for text in found)
    done = served.command("worker", "--once")
    assert f"error in {log}" in done.stderr
    assert "no such table" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


MISTAKES = [
    (("--name", "x", "--data", "nosuch"), 66),
    (("--name", "../x", "--data", "."), 2),
    (("--name", "x", "--data", ".", "--recipe", "best"), 2),
    (("--name", "x", "--data", ".", "--recipe", "nosuch.yaml"), 66),
    (("--name", "x", "--data", ".", "--set", "model.nope=1"), 78),
    (("--name", "x", "--data", ".", "--set", "nope"), 2),
    (("--name", "x", "--data", ".", "--seed", "-1"), 2),
    (("--name", "x"), 2),
    (("--data", "."), 2),
    (("--name", "x", "--data", ".", "--nosuch-option", "y"), 2),
]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return int(left.value.code or 0), line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(tmp_path / "workspace"))
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(("options", "code"), MISTAKES, ids=[" ".join(options) for options, _ in MISTAKES])
def test_schedule_refuses_what_train_refuses(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int
) -> None:
    at_once = refusal(capsys, "train", TASK, *options, "--local")
    later = refusal(capsys, "schedule", TASK, *options, "--cron", "0 3 * * *")
    assert later == at_once
    assert at_once[0] == code


def test_an_unknown_task_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = ("tabular-something", "--name", "x", "--data", ".")
    at_once = refusal(capsys, "train", *what, "--local")
    assert refusal(capsys, "schedule", *what, "--interval", "60") == at_once
    assert at_once[0] == 78


def test_schedule_has_every_option_of_train(capsys: pytest.CaptureFixture[str]) -> None:
    def options(verb: str) -> set[str]:
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        return {word for word in capsys.readouterr().out.split() if word.startswith("--")}

    assert options("train") - options("schedule") == {"--dry-run", "--local", "--json", "--quiet"}
    assert options("schedule") - options("train") >= {"--cron", "--interval", "--rrule", "--timezone"}


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ((), "neither"),
        (("--cron", "* * * * *", "--interval", "60"), "both"),
        (("--rrule", "FREQ=DAILY", "--interval", "60"), "both"),
        (("--rrule", "FREQ=SOMETIMES"), "RFC 5545"),
        (("--cron", "0 3 * * *", "--timezone", "Mars/Olympus"), "IANA name"),
        (("--cron", "nonsense"), "'nonsense'; expected five fields"),
        (("--cron", ""), "five fields"),
        (("--cron", "* * * *"), "five fields"),
        (("--cron", "0 0 12 * * *"), "five fields"),
        (("--cron", "61 * * * *"), "five fields"),
        (("--cron", "@reboot"), "five fields"),
        (("--cron", "R * * * *"), "five fields"),
        (("--cron", "0 0 30 2 *"), "match some date"),
        (("--interval", "0"), "1 to 8640000"),
        (("--interval", "-5"), "1 to 8640000"),
        (("--interval", "99999999999999999999"), "1 to 8640000"),
        (("--interval", "1.5"), "valid integer"),
        (("--interval", "often"), "valid integer"),
    ],
)
def test_a_schedule_that_cannot_be_is_a_usage_error(
    here: Path, capsys: pytest.CaptureFixture[str], when: tuple[str, ...], words: str
) -> None:
    code, line = refusal(capsys, "schedule", TASK, "--data", ".", "--name", "x", *when)
    assert code == 2
    assert words in line


def test_rules_and_time_zones() -> None:
    weekly = When(rrule="FREQ=WEEKLY;BYDAY=MO;BYHOUR=3", timezone="Europe/Berlin")
    assert (weekly.schedule().rrule, weekly.schedule().timezone) == (weekly.rrule, "Europe/Berlin")
    assert str(weekly) == "at 'FREQ=WEEKLY;BYDAY=MO;BYHOUR=3' Europe/Berlin"
    assert When(cron="0 3 * * *", timezone="Asia/Tokyo").schedule().timezone == "Asia/Tokyo"


@pytest.mark.parametrize("cron", ["0 3 * * *", "@daily", "*/15 8-18 * * mon-fri", "0 0 29 2 *"])
def test_cron_expressions_that_are_read(cron: str) -> None:
    assert When(cron=cron).schedule().cron == cron


def test_a_role_that_no_column_has_is_a_usage_error(here: Path) -> None:
    """Parameters are edited in Prefect's UI: what no option can say is refused there as well."""
    from features.errors import UsageError
    from flows import pipeline

    with pytest.raises(UsageError, match="no such column role; got 'weight'; expected one of input"):
        pipeline.train_model(TASK, ".", "x", columns={"weight": "w"}, workspace=str(here / "workspace"))


def test_files_are_found_wherever_the_worker_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("task: tabular-classification\n")
    (tmp_path / "vectors.txt").touch()
    (tmp_path / "modules" / "one").mkdir(parents=True)
    (tmp_path / "frozen").mkdir()
    overrides = ("a=vectors.txt", "b=modules/one", "c=frozen", "d=3", "e=", "f=nosuch.txt")
    request = schedules.Request(TASK, "data", "x", recipe="my.yaml", overrides=overrides)
    moved = schedules._elsewhere(request)
    assert moved.data == str(tmp_path / "data")
    assert moved.recipe == str(tmp_path / "my.yaml")
    assert moved.overrides[:2] == (f"a={tmp_path}/vectors.txt", f"b={tmp_path}/modules/one")
    assert moved.overrides[2:] == overrides[2:]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ((), 0),
        ((0, 0), 0),
        ((0, 75), 75),
        ((75, 69), 69),
        ((69, 73, 0), 73),
        ((65, 70), 70),
        ((78, 65), 78),
        ((70, 99), 99),
    ],
)
def test_the_worst_of_several_codes(codes: tuple[int, ...], worst: int) -> None:
    assert outcome.worst(codes) == worst


def test_a_killed_training_is_told_by_its_signal(tmp_path: Path) -> None:
    assert outcome.read(tmp_path / "nothing", -9) == (137, "its process was killed by signal 9")
    assert outcome.read(tmp_path / "nothing", 0) is None
    assert outcome.of_state("CANCELLED", None) == (143, "cancelled")
    code, text = outcome.of_state("CRASHED", "cannot load the flow\nTraceback")
    assert (code, "cannot load the flow" in text, "Traceback" in text) == (69, True, False)


def test_the_ui_starts_no_server_of_a_kind_that_is_configured(tmp_path: Path) -> None:
    urls = {
        "MLFLOW_TRACKING_URI": "http://me:hunter22@127.0.0.1:9",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
    }
    done = command("ui", workspace=tmp_path / "workspace", **urls)
    assert done.returncode == 0
    assert done.stdout == "MLflow   http://me:***@127.0.0.1:9\nPrefect  http://127.0.0.1:9\n"
    for words in (
        "MLflow at http://me:***@127.0.0.1:9 does not respond",
        "unset PREFECT_API_URL to start one",
    ):
        assert words in done.stderr
    assert not list((tmp_path / "workspace").glob("**/*.log"))
    assert Workspace.open(tmp_path / "workspace").root.is_dir()


@pytest.mark.parametrize("option", ["--mlflow-port", "--prefect-port"])
def test_a_port_that_another_program_has_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        free = {
            "--mlflow-port": str(prefect_server.free_port()),
            "--prefect-port": str(prefect_server.free_port()),
        }
        ports = free | {option: port}
        code, line = refusal(capsys, "ui", *(word for pair in ports.items() for word in pair))
    assert code == 69
    assert f"port {port}: Address already in use" in line
    assert option in line
    assert signal.getsignal(signal.SIGTERM) is handler
