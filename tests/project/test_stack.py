"""What a team shares: the compose file, Kubernetes's manifests, and what of it starts without containers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from flows.orchestration.prefect_server import free_port
from serving import metrics, text_configs
from tests import golden
from tests.conftest import ROOT
from tests.trained import arguments, command, request

STACK = ROOT / "serving" / "stack"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
MANIFESTS = [
    document
    for path in sorted((STACK / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.mark.parametrize("document", MANIFESTS, ids=lambda document: document["kind"])
def test_the_manifests_follow_kubernetess_schemas(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.34", strict=True)


def test_both_serve_with_the_same_flags_and_files() -> None:
    (deployment,) = (document for document in MANIFESTS if document["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert set(SERVICES["serving"]["command"]) <= set(container["args"])
    assert container["image"] == SERVICES["serving"]["image"]
    (config,) = (document for document in MANIFESTS if document["kind"] == "ConfigMap")
    assert config["data"] == {name: (STACK / name).read_text() for name in config["data"]}
    assert set(config["data"]) == {"batching.config", "monitoring.config"}


def test_the_configuration_files_are_those_of_the_server() -> None:
    assert text_configs.batching_parameters(STACK / "batching.config").max_batch_size.value == 32
    monitoring = text_configs.monitoring_config(STACK / "monitoring.config").prometheus_config
    assert (monitoring.enable, monitoring.path) == (True, metrics.PATH)
    (scraped,) = yaml.safe_load((STACK / "prometheus.yml").read_text())["scrape_configs"]
    assert scraped["metrics_path"] == metrics.PATH


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    board = json.loads((STACK / "grafana" / "dashboards" / "models.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for expression in asked:
        names = set(re.findall(r":tensorflow:serving:\w+", expression))
        known = {name.removesuffix("_bucket").removesuffix("_count") for name in names}
        # The counter's own name ends like the count of a histogram.
        known = {name if name in metrics.LABELS else f"{name}_count" for name in known}
        assert known <= set(metrics.LABELS)
        labels = {label for name in known for label in metrics.LABELS[name]} | {"le"}
        grouped = re.findall(r"by \(([^)]*)\)", expression) + re.findall(r"(\w+)(?==~|!=|=\")", expression)
        assert {label.strip() for group in grouped for label in group.split(",")} <= labels, expression
    assert len(asked) >= 6


@pytest.mark.parametrize("name", SERVICES)
def test_services_restart_and_say_whether_they_are_well(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or name == "worker"
    for needed in service.get("depends_on", ()):
        assert needed in SERVICES
    for secret in service.get("secrets", ()):
        assert COMPOSE["secrets"][secret]["file"].startswith("${SERVABLE_SECRETS:-./secrets}/")
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert source.startswith("${") or (ROOT / source).exists() or source in COMPOSE["volumes"], volume


def test_the_image_is_built_with_the_locked_tools() -> None:
    text = (STACK / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())
    assert version is not None
    assert f"uv=={version[1]}" in text
    assert SERVICES["worker"]["image"] == f"servable:{project['version']}"
    assert all((ROOT / name).is_dir() for name in re.findall(r"^COPY (\w+) \w+$", text, re.MULTILINE))
    assert set(re.findall(r"--extra (\w+)", text)) <= set(project["optional-dependencies"])


@contextmanager
def process(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    ) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(60)
            except subprocess.TimeoutExpired:
                running.kill()


def answers(url: str, running: subprocess.Popen[bytes]) -> Any:
    """Wait for an answer, as long as the server lives."""
    while running.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"the server of {url} ended with {running.returncode}")


def posted(url: str, body: dict[str, Any]) -> Any:
    asked = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def postgres(folder: Path) -> Iterator[int]:
    """Start PostgreSQL with the databases of the stack; yields its port."""
    tools, port = POSTGRES[-1], free_port()
    # It does not run as root; the container does not either.

    options: dict[str, Any] = {"user": "postgres", "cwd": "/"} if os.getuid() == 0 else {}
    if options:
        shutil.chown(folder, "postgres")
    password = folder / "password"
    password.write_text("secret-of-the-test")
    password.chmod(0o644)
    data = folder / "data"
    subprocess.run(
        [tools / "initdb", "-D", data, "-U", "servable", "-A", "scram-sha-256", f"--pwfile={password}", "-N"],
        check=True,
        capture_output=True,
        timeout=120,
        **options,
    )
    settings = (
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={folder}",
        "-c",
        "fsync=off",
    )
    with process(str(tools / "postgres"), "-D", str(data), "-p", str(port), *settings, **options) as running:
        import psycopg2

        where = {"host": "127.0.0.1", "port": port, "user": "servable", "password": password.read_text()}
        while True:
            try:
                connection = psycopg2.connect(dbname="postgres", **where)
                break
            except psycopg2.OperationalError:
                assert running.poll() is None
                time.sleep(0.1)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in (STACK / "databases.sql").read_text().split(";")[:-1]:
                cursor.execute(statement)
        connection.close()
        yield port


def local(name: str, port: int, replaced: dict[str, str]) -> list[str]:
    """Return the command of a service of the compose file, for this machine."""
    (script,) = SERVICES[name]["command"]
    for old, new in ({"$$": "$", "0.0.0.0": "127.0.0.1"} | replaced).items():
        script = script.replace(old, new)
    script = re.sub(r"--port \d+", f"--port {port}", script)
    return [*SERVICES[name]["entrypoint"], script]


@pytest.mark.proof
@pytest.mark.skipif(not POSTGRES, reason="PostgreSQL is not installed")
def test_a_training_goes_through_prefect_and_mlflow_on_postgresql(tmp_path: Path) -> None:
    with ExitStack() as stack:
        # Others than the owner may enter it, unlike pytest's folders.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        database = stack.enter_context(postgres(folder))
        replaced = {
            "/run/secrets/postgres_password": str(folder / "password"),
            "@postgres/": f"@127.0.0.1:{database}/",
            "/artifacts ": f"{tmp_path / 'artifacts'} ",
        }

        environment = {
            "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        ports = {"prefect": free_port(), "mlflow": free_port()}
        running = {
            name: stack.enter_context(process(*local(name, port, replaced), env=environment, cwd=tmp_path))
            for name, port in ports.items()
        }
        prefect, mlflow = (f"http://127.0.0.1:{ports[name]}" for name in ("prefect", "mlflow"))
        answers(f"{prefect}/api/health", running["prefect"])
        answers(f"{mlflow}/health", running["mlflow"])
        task = "tabular-classification"
        asked = request(task, golden.GOLDEN[task](tmp_path / "data"), tmp_path / "workspace")
        done = command(
            *arguments(asked),
            workspace=tmp_path / "workspace",
            PREFECT_API_URL=f"{prefect}/api",
            MLFLOW_TRACKING_URI=mlflow,
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        (flow_run,) = posted(f"{prefect}/api/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
        assert flow_run["state"]["type"] == "COMPLETED"
        found = json.loads(
            answers(f"{mlflow}/api/2.0/mlflow/registered-models/get?name=golden", running["mlflow"])
        )
        assert found["registered_model"]["latest_versions"][0]["version"] == str(summary["version"])
        stored = list((tmp_path / "artifacts").rglob("report.html"))
        assert stored, "artifacts go through the server into its folder"
