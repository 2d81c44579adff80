"""What the project depends on and what its code must not do (C3, C6, C7)."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import ROOT

ROOMS = ("features", "models", "serving", "flows")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = {package["name"]: package for package in LOCK["package"]}

#: Lowest versions without a known vulnerability that reaches us.
FLOORS = {
    "pillow": "12.3",
    "keras": "3.15",
    "mlflow": "3.10",
    "prefect": "3.6.28",
    "starlette": "1.0.1",
    "protobuf": "6.31.1",
    "jinja2": "3.1.6",
    "pyyaml": "5.4",
    "requests": "2.32.4",
    "urllib3": "2.6",
}


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_c7_locked_versions_are_above_known_vulnerabilities(name: str) -> None:
    if name in LOCKED:
        assert Version(LOCKED[name]["version"]) >= Version(FLOORS[name])


def test_every_locked_file_has_a_hash() -> None:
    for package in LOCK["package"]:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files or "editable" in package["source"], package["name"]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]:
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert "#" in line, requirement


def test_every_dependency_is_imported_or_run() -> None:
    code = "\n".join(path.read_text() for path in SOURCES)
    imported = {
        "pillow": "PIL",
        "pyyaml": "yaml",
        "tensorflow-serving-api": "tensorflow_serving",
        "grpcio": "grpc",
        "grpcio-health-checking": "grpc_health",
        "grpcio-reflection": "grpc_reflection",
        "protobuf": "google.protobuf",
        "scikit-learn": "sklearn",
        "tensorflow-hub": "tensorflow_hub",
    }
    # Not imported by us: pins for what others import, and an engine that pandas is told to use.
    indirect = {"fastapi", "setuptools", "pyarrow", "tf-keras", "uvicorn"}
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        module = imported.get(requirement.name, requirement.name.replace("-", "_"))
        used = re.search(rf"^\s*(import|from) {re.escape(module)}\b", code, re.MULTILINE)
        assert used or requirement.name in indirect, requirement.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_c3_no_pickle_is_ever_loaded(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in {"pickle", "cloudpickle", "dill", "joblib"}
        elif isinstance(node, ast.Call):
            _check_call(node)


def _check_call(node: ast.Call) -> None:
    name = ast.unparse(node.func)
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in ("np.load", "numpy.load"):
        allowed = options.get("allow_pickle")
        assert isinstance(allowed, ast.Constant), "np.load says allow_pickle=False here"
        assert allowed.value is False
    if name == "yaml.load":
        raise AssertionError("yaml.safe_load is meant")
    shell = options.get("shell")
    assert not (isinstance(shell, ast.Constant) and shell.value), "no shell is started"
    assert name not in ("eval", "exec", "os.system", "pickle.load", "pickle.loads", "pandas.read_pickle")


def test_the_compose_file_follows_the_specification() -> None:
    done = subprocess.run(
        [
            Path(sys.prefix) / "bin" / "check-jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "docker-compose.yml",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_c6_compose_defaults_are_closed() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services
    for name, service in services.items():
        assert re.search(r":v?\d", service["image"]), f"{name}: the image has no pinned tag"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not str(service["user"]).startswith(("0", "root")), name
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        # A password comes from a file below /run/secrets, whose name alone stands here.
        named = {key: value for key, value in service.get("environment", {}).items() if "PASSWORD" in key}
        assert all(
            key.endswith("_FILE") and value.startswith("/run/secrets/") for key, value in named.items()
        )


def test_compose_serves_the_folder_that_trainings_publish_to() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["serving"]
    assert service["image"].startswith("tensorflow/serving:2.")
    assert "${SERVABLE_WORKSPACE:-./workspace}/repository:/models:ro" in service["volumes"]
    assert "--model_config_file=/models/models.config" in service["command"]


def test_the_top_level_is_as_documented() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if tracked.returncode:
        pytest.skip("no git checkout")
    top = {line.partition("/")[0] for line in tracked.stdout.splitlines()}
    rooms = {"flows", "features", "models", "serving", "tests", "docs", "mlruns"}
    files = {"pyproject.toml", "uv.lock", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"}
    files |= {"prefect.yaml", "docker-compose.yml"}
    assert rooms | files | {".ci", ".gitignore"} == top
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_prefect_yaml_has_a_deployment_of_every_task() -> None:
    """Its flow exists, takes the parameters, and refuses what does not fit."""
    import importlib

    from jsonschema import Draft202012Validator

    from models.tasks import TASKS

    described = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    for deployment in described["deployments"]:
        path, _, name = deployment["entrypoint"].partition(":")
        flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        known = set(flow.parameters.properties)
        assert set(deployment["parameters"]) <= known
        assert {"task", "data", "name"} <= set(deployment["parameters"])
        form = Draft202012Validator(flow.parameters.model_dump())
        assert not list(form.iter_errors(deployment["parameters"]))
        assert not form.is_valid(deployment["parameters"] | {"recipe": "of another task"})
        assert flow.parameters.properties["task"]["enum"] == [deployment["name"]]
    assert [deployment["name"] for deployment in described["deployments"]] == sorted(TASKS)
