"""XOR from a table to answers: what a hidden layer separates and none cannot, drawn, served and asked."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from features.datasets.dataset import Dataset
from features.errors import NoInputError, UsageError
from features.ingest.ingest import ingest
from features.rows.featurizer import RowFeaturizerSettings
from features.rows.rules import RowRules
from features.sources.files.candidates import Columns
from features.spec import ROW
from flows.queries import question
from flows.queries.reading import rows as row_questions
from models.explain import representation
from models.export import export
from models.figures import representation_figures
from models.figures.drawing.canvas import DARK, LIGHT
from models.network import Network
from models.task import Blueprint, NoAugmentation
from models.tasks.tabular_classification import TABULAR_CLASSIFICATION, ModelSettings, build, fit
from models.training import determinism, training
from serving.client.answers import Signature, TensorSpec
from serving.client.client import Client
from serving.config import Options
from serving.errors import ServerError
from serving.server.server import Server
from tests.models.figures.test_classification import assert_legible

CORNERS = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]


@dataclass(frozen=True)
class Trained:
    """A network over two numbers, and the dataset it learnt."""

    dataset: Dataset
    network: Network
    untrained: Network

    def rows(self, split: str) -> list[bytes]:
        return list(self.dataset.examples(split))

    def accuracy(self) -> float:
        frame = self.dataset.frame[self.dataset.frame["split"] == "test"]
        answers = export.predict(self.network, TABULAR_CLASSIFICATION, self.dataset.labels, self.rows("test"))
        return float(np.mean([label.decode() for label in answers["label"]] == frame["label"].to_numpy()))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 points about the corners of a square; the label is XOR of the two."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (200, 2))
    made = pd.DataFrame(bits + random.normal(0, 0.1, bits.shape), columns=["x 1", "x 2"]).round(4)
    made["class"] = np.where(bits[:, 0] ^ bits[:, 1], "odd", "even")
    path = tmp_path_factory.mktemp("xor") / "xor.csv"
    made.to_csv(path, index=False)
    return path


def train(table: Path, **model: object) -> Trained:
    dataset = ingest(table, raw=ROW, columns=Columns(), rules=RowRules(), root=table.parent / "datasets")
    plan = Blueprint(
        rules=RowRules().as_settled(dataset.card),
        featurizer=RowFeaturizerSettings(),
        model=ModelSettings(**model),
        augmentation=NoAugmentation(),
        epochs=20,
        labels=dataset.labels,
        hub=table.parent,
    )
    plan = replace(plan, fitted=json.loads(json.dumps(fit(plan, dataset.examples("train")))))

    def made() -> Network:
        determinism.fix(0)
        return build(plan)

    network, folder = made(), table.parent / f"{model}"
    training.featurize(network, dataset, folder)
    training.train(
        network,
        dataset,
        objective=TABULAR_CLASSIFICATION.objective,
        settings=training.TrainingSettings(learning_rate=0.1),
        stores=folder,
        checkpoints=folder / "checkpoints",
        seed=0,
    )
    return Trained(dataset, network, made())


@pytest.fixture(scope="module")
def mlp(table: Path) -> Trained:
    return train(table, hidden=(8,))


@pytest.fixture(scope="module")
def linear(table: Path) -> Trained:
    return train(table, hidden=())


def test_a_hidden_layer_separates_xor_and_none_cannot(mlp: Trained, linear: Trained) -> None:
    assert mlp.accuracy() == 1.0
    # A line leaves at least one of the four corners on the wrong side.
    assert linear.accuracy() <= 0.8


def test_irises_are_told_apart(tmp_path: Path) -> None:
    found = load_iris(as_frame=True)
    names = [found.target_names[number] for number in found.target]
    found.data.assign(label=names).to_csv(tmp_path / "iris.csv", index=False)
    trained = train(tmp_path / "iris.csv", hidden=(8,), activation="relu")
    assert trained.accuracy() >= 0.9
    assert trained.network.featurizer.inputs[0] == "sepal_length_cm"


def test_the_boundary_is_the_networks_answer_over_the_plane(mlp: Trained) -> None:
    view = representation.inputs(mlp.network, mlp.rows("train"))
    assert view is not None
    assert view.axes == ("x 1", "x 2")
    assert view.field is not None
    raw = pd.DataFrame([row.decode().split(",") for row in mlp.rows("train")]).astype(float)
    np.testing.assert_allclose(view.points, raw, atol=1e-6)
    field = view.field
    for corner in CORNERS:
        column, row = (
            np.abs(axis - at).argmin() for axis, at in zip((field.x, field.y), corner, strict=True)
        )
        assert mlp.dataset.labels[field.scores[row, column].argmax()] == (
            "odd" if sum(corner) == 1 else "even"
        )
    at = (17, 120)
    text = f"{field.x[at[1]]:.7f},{field.y[at[0]]:.7f}".encode()
    answer = export.predict(mlp.network, TABULAR_CLASSIFICATION, mlp.dataset.labels, [text])
    np.testing.assert_allclose(field.scores[at], answer["scores"][0], atol=1e-4)


def test_the_hidden_layer_is_shown_before_and_after_training(mlp: Trained, linear: Trained) -> None:
    rows = mlp.rows("train")
    before, after = (representation.hidden(one, rows) for one in (mlp.untrained, mlp.network))
    assert before is not None
    assert after is not None
    features = mlp.network.featurizer(tf.constant(rows)).numpy()
    layer = next(layer for layer in mlp.network.model.get_layer("perceptron").layers if layer.weights)
    units = np.tanh(features @ layer.kernel.numpy() + layer.bias.numpy())
    wanted = PCA(2).fit_transform(units)
    np.testing.assert_allclose(np.abs(after.points), np.abs(wanted), atol=1e-3)
    assert np.abs(before.points - after.points).max() > 0.1
    assert representation.hidden(linear.network, rows) is None


def test_two_hidden_units_are_drawn_as_they_are_with_what_follows_from_them(
    table: Path, mlp: Trained
) -> None:
    two = build(
        Blueprint(
            rules=RowRules(),
            featurizer=RowFeaturizerSettings(),
            model=ModelSettings(hidden=(2,), activation="sigmoid"),
            augmentation=NoAugmentation(),
            epochs=1,
            labels=mlp.dataset.labels,
            hub=table,
            fitted={"columns": list(mlp.network.featurizer.columns)},
        )
    )
    rows = mlp.rows("test")
    view = representation.hidden(two, rows)
    assert view is not None
    assert view.field is not None
    np.testing.assert_allclose(view.points, two.embed(two.featurizer(tf.constant(rows))), atol=1e-6)
    lead = np.array([[field.argmax() for field in row] for row in view.field.scores])
    logits = two.model.layers[-1](np.array([[view.field.x[40], view.field.y[90]]], np.float32))
    assert lead[90, 40] == int(np.argmax(logits))


@pytest.mark.parametrize(("classes", "theme"), [(2, LIGHT), (12, DARK)])
def test_figures_are_legible(mlp: Trained, classes: int, theme: object) -> None:
    rows = mlp.rows("train")
    view = representation.inputs(mlp.network, rows)
    hidden = representation.hidden(mlp.network, rows)
    assert view is not None
    assert hidden is not None
    targets = np.arange(len(rows)) % classes
    labels = [f"a rather long label, number {number}" for number in range(classes)]
    scores = np.eye(classes)[np.add.outer(np.arange(160), np.arange(160)) * classes // 320]
    shaded = (
        replace(view, field=representation.Field(view.field.x, view.field.y, scores)) if classes > 2 else view
    )
    assert_legible(representation_figures.decision(shaded, targets, labels, theme))
    assert_legible(representation_figures.before_and_after([hidden, hidden], targets, labels, theme))


@pytest.fixture(scope="module")
def server(mlp: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("served") / "xor"
    labels = mlp.dataset.labels
    export.export(mlp.network, TABULAR_CLASSIFICATION, labels, base / "1", warmup=[b"0,1"], model_name="xor")
    with Server(Options(port=0, rest_port=0, model_name="xor", model_base_path=base)) as running:
        yield running


def ask(server: Server, *examples: object, **options: object) -> list[dict]:
    return list(question.answers(question.Question("xor", examples, **options), server.target))


def test_rows_are_asked_as_text(server: Server) -> None:
    answers = ask(server, "0,1", "1, 1.02", "0,")
    assert [answer["label"] for answer in answers[:2]] == ["odd", "even"]
    assert [answer["missing"] for answer in answers] == ["", "", "x 2"]
    assert question.sentence(answers[2]).endswith("; missing: x 2")
    with pytest.raises(ServerError, match="Expect 2 fields but have 1"):
        ask(server, "0")


def test_a_table_is_asked_row_by_row_whatever_the_order_of_its_columns(
    server: Server, mlp: Trained, table: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(table)[["class", "x 2", "x 1"]].head(12)
    frame.to_csv(tmp_path / "some.csv", index=False)
    answers = ask(server, tmp_path / "some.csv")
    assert [answer["label"] for answer in answers] == list(frame["class"])
    assert [answer["input"] for answer in answers] == [f"{tmp_path / 'some.csv'}:{n}" for n in range(1, 13)]
    rows = [f"{a},{b}".encode() for a, b in zip(frame["x 1"], frame["x 2"], strict=True)]
    wanted = export.predict(mlp.network, TABULAR_CLASSIFICATION, mlp.dataset.labels, rows)
    np.testing.assert_allclose([answer["score"] for answer in answers], wanted["score"], atol=1e-5)


def test_tables_that_do_not_fit_are_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "lacks.csv").write_text("x 1,y\n1,2\n")
    with pytest.raises(UsageError, match="x_2"):
        ask(server, tmp_path / "lacks.csv")
    (tmp_path / "odd.csv").write_text("x 1,x 2\n1,NA\n\n1,two\n")
    with pytest.raises(ServerError, match=r"odd\.csv:3: refused by .*: column 'x 2' holds numbers; got two$"):
        ask(server, tmp_path / "odd.csv")
    with pytest.raises(UsageError, match="embed takes rows as text"):
        ask(server, tmp_path / "odd.csv", signature="embed")
    with pytest.raises(NoInputError):
        ask(server, tmp_path / "nosuch.csv")


def test_a_table_without_a_header_is_asked_by_the_numbers_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text('"1,5",a\n"2,5",b\n')
    inputs = {name: TensorSpec("string", (None,)) for name in ("column_1", "column_2")}
    asked = list(row_questions.requests(tmp_path / "some.csv", Signature("from_cells", "", inputs, {})))
    assert [read()["column_1"][0] for _, read in asked] == [b"1,5", b"2,5"]
    assert [read()["column_2"][0] for _, read in asked] == [b"a", b"b"]


def test_columns_are_inputs_of_their_own_over_grpc_and_rest(server: Server) -> None:
    given = np.array(CORNERS, np.float32)
    with Client(server.target) as client:
        spec = client.metadata("xor").signature("from_columns").inputs
        answer = client.predict("xor", {"x_1": given[:, 0], "x_2": given[:, 1]}, signature="from_columns")
    assert {name: (one.dtype, one.shape) for name, one in spec.items()} == dict.fromkeys(
        ("x_1", "x_2"), ("float32", (None,))
    )
    assert [label.decode() for label in answer["label"]] == ["even", "odd", "odd", "even"]
    rows = [{"x_1": first, "x_2": second} for first, second in CORNERS]
    body = json.dumps({"signature_name": "from_columns", "instances": rows}).encode()
    url = f"http://{server.rest_target}/v1/models/xor:predict"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as found:
        predictions = json.load(found)["predictions"]
    assert [row["label"] for row in predictions] == ["even", "odd", "odd", "even"]
