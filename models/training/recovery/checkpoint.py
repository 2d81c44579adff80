"""Keep the state of a training on disk so that it can go on after any kind of end.

A checkpoint is one ``.npz`` of arrays and one ``.json`` of loop state with the arrays' SHA-256. Both
are written aside, flushed and renamed, the JSON last: a checkpoint exists once its JSON does. The
one before the newest is kept, for the case that the newest cannot be read. No pickle anywhere.
"""

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.storage.files import write_file

log = logging.getLogger(__name__)

KEPT = 2
#: What the error of a full disk tells the user to do.
RESUMES = "free some space and repeat: training goes on from the last checkpoint"


def arrays_of(variables: Sequence[Any]) -> bytes:
    """Pack variables' values in their order."""
    packed = io.BytesIO()
    values = {f"{number:05d}": np.asarray(variable) for number, variable in enumerate(variables)}
    np.savez(packed, allow_pickle=False, **values)
    return packed.getvalue()


def assign_arrays(content: bytes, variables: Sequence[Any]) -> None:
    """Return variables the values packed by arrays_of.

    Raises:
        ValueError: the content does not fit the variables.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as packed:
        values = [packed[name] for name in sorted(packed.files)]
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise ValueError("the arrays do not fit the model")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one phase of one training."""

    folder: Path

    def save(self, position: tuple[int, int], variables: Sequence[Any], state: dict[str, Any]) -> None:
        """Keep the state at a position (epoch, step) and drop all but the newest few."""
        name = f"{position[0]:05d}-{position[1]:07d}"
        content = arrays_of(variables)
        write_file(self.folder / f"{name}.npz", content, RESUMES)
        record = state | {"sha256": hashlib.sha256(content).hexdigest()}
        write_file(self.folder / f"{name}.json", json.dumps(record), RESUMES)
        for old in self._names()[:-KEPT]:
            (self.folder / f"{old}.json").unlink(missing_ok=True)
            (self.folder / f"{old}.npz").unlink(missing_ok=True)

    def restore(self, variables: Sequence[Any]) -> dict[str, Any] | None:
        """Assign the newest readable checkpoint and return its state; None where there is none.

        A checkpoint that cannot be read is named in a warning and set aside.
        """
        for name in reversed(self._names()):
            try:
                state = json.loads((self.folder / f"{name}.json").read_text())
                content = (self.folder / f"{name}.npz").read_bytes()
                if hashlib.sha256(content).hexdigest() != state["sha256"]:
                    raise ValueError("its hash differs from the recorded one")
                assign_arrays(content, variables)
                return state
            except (OSError, ValueError, KeyError) as error:
                damaged = self.folder / f"{name}.json"
                log.warning("checkpoint %s cannot be used (%s): going back to the one before", damaged, error)
                damaged.rename(damaged.with_suffix(".damaged"))
        return None

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("[0-9]*.json"))

    def keep(self, name: str, variables: Sequence[Any]) -> None:
        """Keep named arrays, such as ``best`` and ``final``, with their hash in front."""
        content = arrays_of(variables)
        write_file(self.folder / f"{name}.weights", hashlib.sha256(content).digest() + content, RESUMES)

    def drop(self, name: str) -> None:
        """Remove named arrays, if they are there."""
        (self.folder / f"{name}.weights").unlink(missing_ok=True)

    def average(self, names: Sequence[str], variables: Sequence[Any]) -> None:
        """Assign the mean of named arrays; whole numbers stay, and what is missing counts for nothing."""
        sums = [np.zeros(variable.shape, np.float64) for variable in variables]
        count = 0
        last = [np.array(np.asarray(variable)) for variable in variables]
        for name in names:
            if self.take(name, variables):
                count += 1
                sums = [
                    partial + np.asarray(variable) for partial, variable in zip(sums, variables, strict=True)
                ]
        for variable, total, value in zip(variables, sums, last, strict=True):
            whole = not np.issubdtype(value.dtype, np.floating) or not count
            variable.assign(value if whole else (total / count).astype(value.dtype))

    def take(self, name: str, variables: Sequence[Any]) -> bool:
        """Assign named arrays; False where they are missing or damaged."""
        try:
            content = (self.folder / f"{name}.weights").read_bytes()
        except OSError:
            return False
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            log.warning("%s cannot be used: its hash differs", self.folder / f"{name}.weights")
            return False
        assign_arrays(content[32:], variables)
        return True
