"""Fixtures all tests share: the folder of real data beside the checkout, and quiet TensorFlow."""

import contextlib
import gc
import importlib
import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving.engine import allocator

if TYPE_CHECKING:
    from tests.object_store import Bucket
    from tests.trained import Trained

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("SERVABLE_PREFECT_IDLE_SECONDS", "0")

# Nothing that collection makes is garbage; see pytest_collection_finish.
gc.disable()

ROOT = Path(__file__).resolve().parent.parent

#: Objects that take the collector a tenth of a second.
MANY_OBJECTS = 150_000
#: Files that take minutes, the longest first; a file is the work of one core.
LONGEST = (
    *("test_tasks.py", "test_command_line.py", "test_pipeline.py", "test_schedule_cases.py", "test_demo.py"),
    *("test_training_faults.py", "test_serving_faults.py", "test_gate_faults.py", "test_step.py"),
    *("test_ingest_faults.py", "test_search.py", "test_imports.py", "test_page_in_browser.py"),
    *("test_kept_server.py", "test_backbone_cases.py", "test_tracking_cases.py", "test_import.py"),
)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where several processes run all tests, import test files in another order in each of them.

    Every process collects every file, and compiles those that none has compiled before. In the
    same order all of them would compile all files at the same time.
    """
    worker: dict[str, Any] = getattr(session.config, "workerinput", {})
    if not worker or session.config.args != session.config.getini("testpaths"):
        return
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    with warnings.catch_warnings(action="error"):
        for file in files[first:] + files[:first]:
            # What is wrong with a file is told when it is collected.
            with contextlib.suppress(Exception):
                importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: no core is to wait for one of them at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Let the collector pass over a million objects of libraries and tests, which live until the end."""
    gc.collect()
    gc.freeze()
    allocator.collect_rarely()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let the collector pass over what a file has left, too, as libraries it was the first to load.

    Each model that a server unloads makes the collector go through all that it knows of.
    """
    yield
    if (nextitem is None or nextitem.path != item.path) and len(gc.get_objects()) > MANY_OBJECTS:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real datasets and pretrained modules; tests that need it skip without it."""
    folder = Path(os.environ.get("SERVABLE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(
            f"real data not found at {folder}: set SERVABLE_SHARED to the folder that holds data/ and hub/"
        )
    return folder


@pytest.fixture(scope="session")
def cases(shared: Path) -> Path:
    """The folder of small inputs that failed once, made after public bug reports; skips without it."""
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip(f"no folder of cases at {folder}")
    return folder


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see a tracking server or a folder that the environment, or an earlier test, named."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "TFHUB_CACHE_DIR"):
        # Set first, so that what a test, or MLflow in it, leaves there is taken away at its end as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> "Trained":
    """A finished, published training of the first task, the same for all processes: change copies of it."""
    from tests.trained import shared

    return shared("image-classification", tmp_path_factory)


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The address of a server that speaks S3."""
    from tests.object_store import running

    with running() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """An empty bucket, which the environment leads to."""
    from tests.object_store import make_bucket

    return make_bucket(object_store, f"bucket-{uuid.uuid4().hex[:12]}", monkeypatch)
