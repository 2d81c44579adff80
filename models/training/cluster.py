"""The place of this process among those that train one network together, by TF_CONFIG; without TensorFlow."""

import json
import os
from dataclasses import dataclass

from features.errors import ConfigError

#: The variable in which a cluster's launcher tells each process the addresses of all and its own place.
TF_CONFIG = "TF_CONFIG"
_TYPES = ("chief", "worker")


@dataclass(frozen=True)
class Place:
    """One process of a training, counted from the chief on.

    Attributes:
        index: 0 is the chief, which alone keeps what comes out.
        count: number of processes.
    """

    index: int = 0
    count: int = 1

    @property
    def chief(self) -> bool:
        """Whether this process keeps what comes out."""
        return self.index == 0

    def share(self, size: int) -> slice:
        """Return the part of a batch of this size that is trained on here.

        A batch that is too small to be divided is trained on by all.
        """
        if size < 2 * self.count:
            return slice(0, size)
        return slice(size * self.index // self.count, size * (self.index + 1) // self.count)


def place() -> Place:
    """Read the place of this process; that of a process alone where TF_CONFIG is not set.

    Raises:
        ConfigError: TF_CONFIG cannot be read, or names no such process.
    """
    text = os.environ.get(TF_CONFIG, "")
    if not text:
        return Place()
    try:
        config = json.loads(text)
        members = [
            (kind, number) for kind in _TYPES for number in range(len(config["cluster"].get(kind, ())))
        ]
        own = config["task"]["type"], int(config["task"]["index"])
        return Place(members.index(own), len(members))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{TF_CONFIG} cannot be used",
            got=text[:200],
            expected='{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}',
            todo="correct it, or unset it",
        ) from error


def assists() -> bool:
    """Return whether this process is one of several and not the chief, as far as TF_CONFIG can be read."""
    try:
        return not place().chief
    except ConfigError:
        return False
