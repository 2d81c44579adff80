"""From a table of numbers to a served answer in the numbers' own units, for one training."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from flows.launch import run
from flows.queries import question
from flows.runs.plans.plan import columns
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests import golden
from tests.trained import Trained, request

TASK = "image-regression"
COLUMNS = {"target": ["target", "width"]}
BLOCKS = ('data.block_column="run"', "gate.min_metric=4000")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training on two numbers whose units differ by a thousand, with blocks of four pictures."""
    folder = tmp_path_factory.mktemp("numbers")
    data = golden.frames(folder / "data")
    wanted = request(TASK, data, folder / "workspace", overrides=BLOCKS, columns=COLUMNS)
    summary = run(wanted, local=True)
    from flows.workspace import Workspace

    return Trained(data, Workspace.open(folder / "workspace"), summary)


def test_metrics_are_those_of_the_served_answers(numbers: Trained) -> None:
    frame = pd.read_parquet(Path(numbers.run.read().dataset.directory) / "manifest.parquet")
    test = frame[frame["split"] == "test"]
    targets = np.stack(test["target"].to_list())
    with (
        (
            Server(
                Options(port=0, model_name="golden", model_base_path=Path(numbers.summary["release"]).parent)
            )
        ) as server,
        Client(server.target, timeout=600) as client,
    ):
        raws = [Path(path.decode()).read_bytes() for path in test["path"]]
        answer = client.predict("golden", {"image_bytes": np.array(raws, object)})
    assert answer["names"][0].tolist() == [b"target", b"width"]
    metrics = numbers.summary["metrics"]
    assert metrics["test/mse"] == pytest.approx(sk.mean_squared_error(targets, answer["values"]), rel=1e-4)
    assert metrics["test/r2"] == pytest.approx(sk.r2_score(targets, answer["values"]), rel=1e-3)
    means = np.stack(frame.loc[frame["split"] == "train", "target"].to_list()).mean(0)
    always = np.tile(means, (len(test), 1))
    assert metrics["test/mse_of_mean"] == pytest.approx(sk.mean_squared_error(targets, always))
    # Both numbers are learnt, whatever their units.
    table = pd.DataFrame(json.loads(_table(numbers)))
    assert (table["r2"] > 0.2).all()


def _table(numbers: Trained) -> str:
    from flows.reports.pages.context import Context
    from flows.runs.run import Record

    state = numbers.run.read()
    record = Record(numbers.run, state.dataset, None, None, None)  # type: ignore[arg-type]
    return str(Context(numbers.plan(columns=COLUMNS), record).measured.numbers.to_json())


def test_blocks_are_whole_in_their_split(numbers: Trained) -> None:
    frame = pd.read_parquet(Path(numbers.run.read().dataset.directory) / "manifest.parquet")
    assert (frame.groupby("block")["split"].nunique() == 1).all()


def test_the_gate_reads_a_bound_of_errors_as_at_most(numbers: Trained) -> None:
    checks = {check.name: check for check in numbers.run.read().gate.checks}
    assert checks["metric"].expected == "at most 4000.0000"
    assert checks["metric"].got.startswith("test/mse ")


def test_the_page_shows_errors_and_targets(numbers: Trained) -> None:
    page = numbers.run.report.read_text()
    for words in ("Predictions", "Largest errors", "Targets by split", "always answering 0", "By number"):
        assert words in page


def test_an_answer_is_a_line_of_numbers() -> None:
    answer = {"input": "a.jpg", "values": {"angle": -0.12345678, "speed": 30.0}}
    assert question.sentence(answer) == "a.jpg: angle -0.123457, speed 30"


def test_columns_of_a_request_are_read_from_lists() -> None:
    assert columns({"target": ["a", "b"]}).targets == ("a", "b")
    assert columns({"target": "a"}).targets == ("a",)
