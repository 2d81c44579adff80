"""Numbers that the other columns of a table's row tell: a price, a duration, a yield."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from features.rows.featurizer import RowFeaturizer, RowFeaturizerSettings
from features.rows.rules import RowNumberRules
from features.spec import ROW
from features.targets import numbers
from features.targets.numbers import NUMBERS
from models.evaluation.measures import regression
from models.export import decoding, row_signatures, signatures
from models.network import Backbone, Network
from models.networks import assembly, mlp
from models.objective import REGRESSION
from models.task import Blueprint, NoAugmentation, Task
from models.tasks import tabular_classification
from models.tasks.tabular_classification import ModelSettings
from models.training.settings import RegressionSettings


def fit(blueprint: Blueprint, rows: Iterable[bytes]) -> Mapping[str, Any]:
    """Measure the columns, and mean and deviation of each target, over the training split."""
    return {**tabular_classification.fit(blueprint, rows), **numbers.standard(blueprint.frame)}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe; it answers in the targets' own units."""
    featurizer = RowFeaturizer(blueprint.fitted["columns"], blueprint.rules.missing_words)
    body = mlp.perceptron(len(featurizer.names), **blueprint.model.model_dump())
    mean, deviation = (np.array(blueprint.fitted[name], np.float32) for name in ("mean", "deviation"))
    head = assembly.Head(len(blueprint.labels), standard=(mean, deviation))
    backbone = Backbone(featurizer, body, body.output_shape[-1])
    return assembly.network(backbone, head, assembly.Schedule(blueprint.epochs))


TABULAR_REGRESSION = Task(
    name="tabular-regression",
    raw=ROW,
    target=NUMBERS,
    featurizer_settings=RowFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=REGRESSION,
    evaluator=regression.NUMBERS,
    decode=decoding.numbers,
    signatures={
        "serving_default": row_signatures.of_rows,
        "embed": signatures.embed,
        "from_columns": row_signatures.from_columns,
        "from_cells": row_signatures.from_cells,
    },
    report=("number metrics", "predictions", "largest errors", "importance", "columns", "training"),
    fit=fit,
    rules=RowNumberRules,
    training=RegressionSettings,
)
