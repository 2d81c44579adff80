"""Fixtures all tests share: the folder of real data beside the checkout, and quiet TensorFlow."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.trained import Trained

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real datasets and pretrained modules; tests that need it skip without it."""
    folder = Path(os.environ.get("SERVABLE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(
            f"real data not found at {folder}: set SERVABLE_SHARED to the folder that holds data/ and hub/"
        )
    return folder


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see a tracking server that the environment, or MLflow in an earlier test, named."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> "Trained":
    """A finished, published training of the first task on its golden examples."""
    from tests.trained import train

    return train("image-classification", tmp_path_factory.mktemp("trained"))
