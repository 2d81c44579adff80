"""Networks of tasks that say where something is, built from their recipes without any training."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from flows.runs.plans import plan, recipe
from models import tasks
from models.network import Network
from models.task import Blueprint
from tests import golden

LABELS = {
    "keypoint-detection": ("left_eye", "right_eye"),
    "object-detection": ("disc", "square", "triangle"),
}


def network(task: str, name: str, *overrides: str) -> Network:
    """Build the network of a recipe, without pretrained weights."""
    found = tasks.find(task)
    written = recipe.read_recipe(task, name, overrides)
    checks = plan.sections(found, seed=0)
    resolved = recipe.resolve(written, checks)
    sections = {section: check(resolved[section]) for section, check in checks.items()}
    frame = pd.DataFrame({"split": ["train", "train"], "target": [[12.0, 20, 36, 20]] * 2})
    frame["width"], frame["height"], frame["orientation"] = 48, 40, 1
    blueprint = Blueprint(
        rules=sections["data"],
        featurizer=sections["featurizer"],
        model=sections["model"],
        augmentation=sections["augmentation"],
        epochs=1,
        labels=LABELS[task],
        hub=Path("hub"),
        frame=frame,
    )
    keras.utils.set_random_seed(0)
    if found.fit is None:
        return found.build(blueprint)
    fitted = found.fit(blueprint, ())
    np.testing.assert_allclose(fitted["shape"], [[0.25, 0.5], [0.75, 0.5]])
    return found.build(Blueprint(**{**vars(blueprint), "fitted": fitted}))


def small(task: str) -> Network:
    """Build the network that the golden examples are trained on."""
    return network(task, golden.RECIPE[task], *golden.SMALL[task])
