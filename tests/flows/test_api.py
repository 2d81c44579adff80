"""The Python interface, beside the command line's own answers, and the notebook of the docs."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from features.errors import NoInputError, UsageError
from flows import api
from tests import mlflow_store
from tests.conftest import ROOT
from tests.trained import Trained


@pytest.fixture(scope="module")
def model(trained: Trained) -> api.Model:
    return api.load("golden", workspace=trained.workspace.root)


def test_a_model_has_what_its_training_found(model: api.Model, trained: Trained) -> None:
    assert (model.name, model.version, model.task) == ("golden", 1, "image-classification")
    assert model.metrics == trained.summary["metrics"]
    assert model.labels == ("level", "upright")
    assert repr(model).startswith("Model('golden', version=1, task='image-classification', test/accuracy=")
    assert "test/accuracy" in model._repr_html_()


def test_a_report_is_a_page_inside_the_notebook(model: api.Model) -> None:
    shown = model.report._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "&lt;!doctype html&gt;" in shown
    assert "<script" not in shown


def test_predictions_are_plain_data(model: api.Model, trained: Trained) -> None:
    photo = next((trained.data / "level").glob("*.png"))
    one = model.predict(photo)
    assert set(one["scores"]) == {"level", "upright"}
    assert one["label"] == max(one["scores"], key=one["scores"].get)
    assert model.predict([photo, str(photo)]) == [one, one]
    folder = model.predict(trained.data / "level")
    assert len(folder) == len(list((trained.data / "level").iterdir()))
    vector = model.predict(photo, signature="embed")["embedding"]
    assert len(vector) > 1


def test_what_is_not_there(model: api.Model, trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="golden"):
        api.load("nothing", workspace=trained.workspace.root)
    with pytest.raises(NoInputError, match="no workspace"):
        api.load("golden", workspace=tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="nosuch"):
        model.predict("nosuch.png")
    with pytest.raises(UsageError, match="at least one"):
        model.predict([])


@pytest.mark.proof
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells one after the other; the last expression of each is its value."""
    monkeypatch.chdir(tmp_path)
    made = tempfile.mkdtemp
    monkeypatch.setattr("tempfile.mkdtemp", lambda *given: made(*given) if given else str(tmp_path))
    mlflow_store.database(tmp_path / "mlruns")
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    names: dict[str, Any] = {}
    values = [
        _value("".join(cell["source"]), names) for cell in notebook["cells"] if cell["cell_type"] == "code"
    ]
    model, report, (label, score), share, accuracy = values[1:]
    assert isinstance(model, api.Model)
    assert isinstance(report, api.Report)
    assert label.isdecimal()
    assert 0 < score <= 1
    assert 0 <= share <= 1
    assert accuracy == model.metrics["test/accuracy"]


def _value(source: str, names: dict[str, Any]) -> Any:
    import ast

    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "notebook", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "notebook", "eval"), names)
    exec(compile(ast.Module([last], []), "notebook", "exec"), names)
    return None
