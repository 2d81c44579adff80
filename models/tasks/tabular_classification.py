"""Which of several classes a row of a table belongs to."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from features.rows import columns as rows_columns
from features.rows.featurizer import RowFeaturizer, RowFeaturizerSettings
from features.rows.rules import RowRules
from features.settings import Settings
from features.spec import ROW
from models.evaluation.measures.classification import CLASSES
from models.export import decoding, row_signatures, signatures
from models.network import Backbone, Network
from models.networks import assembly, mlp
from models.objective import CLASSIFICATION
from models.task import Blueprint, NoAugmentation, Task


class ModelSettings(Settings):
    """Hidden layers between the features and the classes."""

    hidden: tuple[int, ...] = Field((16,), description="units of each hidden layer; none for a linear model")
    activation: Literal["sigmoid", "tanh", "relu"] = Field("tanh", description="of the hidden units")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate after each layer")
    weight_decay: float = Field(0.0, ge=0, description="factor of the L2 penalty on kernels")


def fit(blueprint: Blueprint, rows: Iterable[bytes]) -> Mapping[str, Any]:
    """Measure the columns over the training split: mean and deviation of numbers, values of categories."""
    rules, options = blueprint.rules, blueprint.featurizer
    columns = rows_columns.fit(
        rows,
        rules.columns,
        rules.missing_words,
        options.min_count,
        options.max_vocabulary,
        numbers=rules.numbers,
    )
    missing = sum(column["missing"] for column in columns) / len(columns)
    return {"columns": columns, "figures": {"train/missing_share": missing}}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe."""
    settings = blueprint.model
    featurizer = RowFeaturizer(blueprint.fitted["columns"], blueprint.rules.missing_words)
    body = mlp.perceptron(len(featurizer.names), **settings.model_dump())
    backbone = Backbone(featurizer, body, body.output_shape[-1])
    return assembly.network(
        backbone, assembly.Head(len(blueprint.labels)), assembly.Schedule(blueprint.epochs)
    )


TABULAR_CLASSIFICATION = Task(
    name="tabular-classification",
    raw=ROW,
    featurizer_settings=RowFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=CLASSIFICATION,
    evaluator=CLASSES,
    decode=decoding.classes,
    signatures={
        "serving_default": row_signatures.of_rows,
        "embed": signatures.embed,
        "from_columns": row_signatures.from_columns,
        "from_cells": row_signatures.from_cells,
    },
    report=("metrics", "classes", "mistakes", "importance", "columns", "layers", "calibration", "training"),
    fit=fit,
    rules=RowRules,
)
