"""How batches are made."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import text_configs
from serving.errors import InvalidArgument

#: A version's own parameters, in its directory.
OWN_PARAMETERS = "batching_params.pbtxt"


#: Rows put together where nobody says how many. On a CPU a batch of eight has nearly all there is to gain
#: (docs/performance.md has the figures), while memory and waiting grow with the batch.
JOINED_ROWS = 8


@dataclass(frozen=True)
class Parameters:
    """How batches are formed.

    Attributes:
        max_batch_size: largest batch in rows, and largest request.
        batch_timeout: seconds the oldest request waits for others while a slot is free.
        max_enqueued_batches: full batches that may wait before requests are refused.
        num_batch_threads: batches of a model version that run at a time.
        allowed_batch_sizes: sizes that batches are filled up to, ascending; empty means any.
        pad_variable_length_inputs: pad inputs that differ beyond the batch axis.
        max_execution_batch_size: rows into which larger requests are cut, or None to run them whole.
        joined_rows: rows up to which requests are put together, or None for as many as a batch can have.
    """

    max_batch_size: int = 1000
    batch_timeout: float = 0.0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    max_execution_batch_size: int | None = None
    joined_rows: int | None = None

    def __post_init__(self) -> None:
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != self.max_batch_size:
            raise InvalidArgument(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{sizes[-1]}; expected {self.max_batch_size}"
            )
        if list(sizes) != sorted(set(sizes)) or any(size <= 0 for size in sizes):
            raise InvalidArgument("allowed_batch_sizes entries must be monotonically increasing")
        if min(self.max_batch_size, self.max_enqueued_batches, self.num_batch_threads) <= 0:
            raise InvalidArgument(
                "max_batch_size, max_enqueued_batches and num_batch_threads must be positive"
            )

    @classmethod
    def read(cls, path: Path) -> "Parameters":
        """Read a BatchingParameters file in protobuf text format.

        Raises:
            InvalidArgument: it cannot be read, or its values contradict each other.
        """
        message = text_configs.batching_parameters(path)
        given: dict[str, Any] = {
            name: getattr(message, name).value
            for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads")
            if message.HasField(name)
        }
        if message.HasField("batch_timeout_micros"):
            given["batch_timeout"] = message.batch_timeout_micros.value / 1e6
        if message.enable_large_batch_splitting.value:
            size = message.max_execution_batch_size.value or message.max_batch_size.value
            given["max_execution_batch_size"] = size or cls.max_batch_size
        if "max_batch_size" not in given:
            given["joined_rows"] = JOINED_ROWS
        return cls(
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
            **given,
        )

    @property
    def execution_size(self) -> int:
        """Rows that one run of the model takes at most."""
        return min(self.max_execution_batch_size or self.max_batch_size, self.max_batch_size)

    @property
    def room(self) -> int:
        """Rows up to which requests are put together; a larger one runs by itself."""
        return min(self.joined_rows or self.execution_size, self.execution_size)


def parameters_for(path: Path, common: Parameters, *, own: bool) -> Parameters | None:
    """Return the batching parameters of a version, or None if it is not batched.

    Args:
        path: the version directory.
        common: the server's parameters.
        own: take the version's own file, and batch only versions that have one.

    Raises:
        InvalidArgument: its file cannot be read.
    """
    if not own:
        return common
    file = path / OWN_PARAMETERS
    return Parameters.read(file) if file.is_file() else None
