"""A published model is trained again: equal weights, or what differs."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from features.errors import NoInputError
from flows import cli, reproduction
from flows.workspace import Workspace
from serving.repository.release import MANIFEST
from serving.repository.repository import Repository
from tests.trained import Trained


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def trained(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A copy, in which nobody else writes."""
    return trained.copy(tmp_path_factory.mktemp("reproduction"))


@pytest.fixture
def before(trained: Trained) -> set[str]:
    return contents(trained.workspace.root.parent)


def test_the_same_recipe_data_and_seed_give_the_same_weights(
    trained: Trained, before: set[str], capsys
) -> None:
    """By the command; nothing is published, tracked or left behind."""
    with pytest.raises(SystemExit) as left, warnings.catch_warnings(action="ignore"):
        cli.main(
            ["reproduce", "golden", "1", "--workspace", str(trained.workspace.root), "--quiet", "--json"]
        )
    found = json.loads(capsys.readouterr().out)
    assert left.value.code in (None, 0)
    own = trained.run.read().weights_hash
    assert found == {
        "equal": True,
        "model": "golden",
        "version": 1,
        "published": own,
        "trained": own,
        "differing": {},
        "versions": {},
    }
    assert contents(trained.workspace.root.parent) == before


def republish(trained: Trained, root: Path, **changes: object) -> Workspace:
    """Publish the model in another workspace, with a manifest that was changed."""
    folder = Path(trained.summary["release"])
    manifest = json.loads((folder / MANIFEST).read_bytes()) | changes
    workspace = Workspace.open(root)
    Repository(workspace.repository).publish("golden", folder, manifest)
    return workspace


def test_another_seed_gives_other_weights(trained: Trained, tmp_path: Path) -> None:
    recipe = trained.run.read().recipe
    short = recipe | {"training": recipe["training"] | {"epochs": 1}}
    workspace = republish(trained, tmp_path / "workspace", seed=1, recipe=short)
    for name in ("datasets", "runs"):
        (workspace.root / name).symlink_to(trained.workspace.root / name)
    with warnings.catch_warnings(action="ignore"):
        found = reproduction.reproduce(workspace, "golden")
    assert not found.equal
    assert found.published == trained.run.read().weights_hash
    with np.load(trained.run.weights) as weights:
        assert set(found.differing) <= set(weights.files)
    assert 0 < max(found.differing.values()) < np.inf


def test_what_is_gone_is_named(trained: Trained, tmp_path: Path) -> None:
    workspace = republish(trained, tmp_path / "workspace")
    with pytest.raises(NoInputError, match="is gone"):
        reproduction.reproduce(workspace, "golden")
    with pytest.raises(NoInputError, match="no model nosuch"):
        reproduction.reproduce(workspace, "nosuch")
