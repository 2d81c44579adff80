"""What a training is made of, as hashes: whether two of them are one and the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from features.datasets import feature_store
from features.errors import ConfigError
from features.storage.files import write_file
from models.network import Phase


def weights_hash(model: keras.Model) -> str:
    """Hash all weights of a model: 16 hexadecimal digits, equal only for bit-equal weights."""
    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


def describe(phase: Phase) -> str:
    """Describe in one line what determines a phase's outcome, apart from the training settings."""
    changes = getattr(phase.augmentation, "settings", None)
    return (
        f"{phase.epochs} epochs at {phase.learning_rate or 'the common rate'}, "
        f"input {feature_store.fingerprint(phase.stage)}, model {architecture_hash(phase.model)}, "
        f"augmentation {changes}"
    )


def architecture_hash(model: keras.Model) -> str:
    """Hash a model's layers, their settings and the shapes of its variables: 16 hexadecimal digits.

    Names and places on disk are left out: they differ from process to process.
    """
    digest = hashlib.sha256()
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.Model):
            config = {k: v for k, v in layer.get_config().items() if k not in ("name", "cache", "trainable")}
            digest.update(json.dumps([type(layer).__name__, config], sort_keys=True, default=str).encode())
            digest.update(str(getattr(layer, "fingerprint", "")).encode())
    for variable in model.variables:
        digest.update(f"{tuple(variable.shape)} {variable.dtype} {variable.trainable};".encode())
    return digest.hexdigest()[:16]


def require_same(folder: Path, wanted: dict[str, Any], restart: bool) -> None:
    """Compare what a training is made of with what its checkpoints were made of.

    Args:
        folder: of the checkpoints.
        wanted: what decides the outcome, by name; kept in the folder.
        restart: discard checkpoints of something else instead of refusing them.

    Raises:
        ConfigError: they differ; names what differs, before and now.
    """
    path = folder / "settings.json"
    stored = json.loads(path.read_text()) if path.is_file() else None
    before = stored or wanted
    differing = sorted(key for key in wanted if before.get(key) != wanted[key])
    if differing and not restart:
        changes = ", ".join(f"{key} {before.get(key)} -> {wanted[key]}" for key in differing)
        raise ConfigError(
            f"the checkpoints in {folder} belong to other settings",
            got=changes,
            todo="repeat with the old settings, or start over with --restart",
        )
    if differing:
        for stale in sorted(folder.rglob("*"), reverse=True):
            stale.rmdir() if stale.is_dir() else stale.unlink()
    if stored is None or differing:
        write_file(path, json.dumps(wanted))
