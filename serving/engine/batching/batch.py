"""Join the rows of requests to one batch, and divide its answers."""

from collections.abc import Mapping, Sequence

import numpy as np

from serving.errors import FailedPrecondition, InvalidArgument


def rows_of(feeds: Mapping[str, np.ndarray]) -> int:
    """Return the number of rows that all inputs have.

    Raises:
        InvalidArgument: there is no input, one has no axis, or the numbers differ.
    """
    sizes = set()
    for value in feeds.values():
        if not np.ndim(value):
            raise InvalidArgument("Batching Run() input tensors must have at least one dimension")
        sizes.add(len(value))
    if not sizes:
        raise InvalidArgument("Batching Run() must have at least one input tensor")
    if len(sizes) > 1:
        raise InvalidArgument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def parts(arrays: list[np.ndarray], size: int, limit: int) -> list[tuple[list[np.ndarray], int]]:
    """Cut arrays into parts of at most ``limit`` rows."""
    starts = range(0, size, limit)
    return [([array[at : at + limit] for array in arrays], min(limit, size - at)) for at in starts]


def filled_size(size: int, allowed: Sequence[int]) -> int:
    """Return the smallest allowed size that holds a batch, or its own size if none does."""
    return next((bound for bound in allowed if bound >= size), size)


def merge(column: Sequence[np.ndarray], filler: int, *, pad: bool) -> np.ndarray:
    """Join one input of many requests, with copies of a row at the end that fill the batch up.

    Args:
        column: the input of each request.
        filler: rows to add.
        pad: pad each to the largest size of each axis, with its own first value.
    """
    if len(column) == 1 and not filler:
        return column[0]
    if pad and len({array.shape[1:] for array in column}) > 1:
        column = padded(column)
    rows = list(column)
    if filler:
        rows.append(np.repeat(rows[-1][:1], filler, axis=0))
    return np.concatenate(rows)


def padded(column: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pad arrays beyond the batch axis to one shape, each with its own first value.

    Raises:
        InvalidArgument: one has no values to pad with.
    """
    shape = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in column), strict=True))
    arrays = []
    for array in column:
        if array.size == 0:
            raise InvalidArgument("Got empty tensor in batch of non-empty tensors.")
        whole = np.full((len(array), *shape), array.flat[0], array.dtype)
        whole[tuple(slice(size) for size in array.shape)] = array
        arrays.append(whole)
    return arrays


def check_outputs(outputs: Sequence[np.ndarray], size: int) -> None:
    """Make sure that every output has the batch's number of rows.

    Raises:
        FailedPrecondition: one has not.
    """
    for values in outputs:
        if not values.ndim:
            raise FailedPrecondition("Batched output tensor has 0 dimensions")
        if len(values) != size:
            raise FailedPrecondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes "
                "of the input tensors"
            )
