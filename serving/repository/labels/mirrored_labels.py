"""The labels of a model in an object store: one object beside its versions, written after what it names."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from features.errors import DataError
from serving.repository.labels import labels
from serving.repository.labels.labels import CANARY, STABLE, Canary, Events

#: The object's name below the model's URL, and the file's in the folder that follows it.
OBJECT = "labels.json"


@dataclass(frozen=True)
class Labels:
    """What the labels of a model name.

    Attributes:
        stable: the version that answers requests without version and label.
        canary: the one on trial, or None.
    """

    stable: int
    canary: Canary | None = None

    @classmethod
    def of(cls, events: Events, versions: Sequence[int]) -> Self | None:
        """Return the labels as a history says, or None without a stable version; arguments as of `entry`."""
        stable, trial = labels.stable(events), labels.canary(events)
        if stable is None or stable not in versions:
            return None
        return cls(stable, trial if trial is not None and trial.version in versions else None)

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Read what `content` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            document = json.loads(content)
            trial = document[CANARY]
            return cls(int(document[STABLE]), None if trial is None else Canary(**trial))
        except (ValueError, TypeError, KeyError) as error:
            got = f"{type(error).__name__}: {error}"
            raise DataError(f"cannot read {OBJECT}", got=got, todo="run servable mirror again") from None

    def content(self) -> bytes:
        """Write them as JSON."""
        return json.dumps({STABLE: self.stable, CANARY: self.canary and asdict(self.canary)}).encode() + b"\n"

    @property
    def versions(self) -> dict[str, int]:
        """The version of each label."""
        return {STABLE: self.stable} | ({} if self.canary is None else {CANARY: self.canary.version})

    def __str__(self) -> str:
        """Say what they name."""
        trial = "" if self.canary is None else f", {CANARY} {self.canary.version} at {self.canary.share:g} %"
        return f"{STABLE} {self.stable}{trial}"


def live(model: str, base: Path) -> tuple[Any, dict[str, Canary]]:
    """Return the configuration of a followed model and its canary, as of this moment.

    Where the store has no labels, the newest version is served.

    Args:
        model: the name under which it is served.
        base: the folder of its versions.

    Raises:
        DataError: the labels cannot be read.
    """
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    entry = config.model_config_list.config.add(name=model, base_path=str(base), model_platform="tensorflow")
    try:
        read_labels = Labels.read((base / OBJECT).read_bytes())
    except FileNotFoundError:
        return config, {}
    entry.version_labels.update(read_labels.versions)
    entry.model_version_policy.specific.versions.extend(dict.fromkeys(read_labels.versions.values()))
    return config, {} if read_labels.canary is None else {model: read_labels.canary}
