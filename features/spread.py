"""Cut work on many examples into parts, which may be done by other processes or on other machines."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

#: Positions from the first on and before the second.
Part = tuple[int, int]
Result = TypeVar("Result")

#: Parts at least, so that little is done twice where a process dies; and examples of a part at most.
_FEWEST, _LARGEST = 32, 1000


class Spread(Protocol):
    """Call a function for each part, wherever there is room; part by part, where a process dies, again.

    Function and results travel between processes: they hold paths and numbers, never the content of files.
    The paths mean the same everywhere: the processes share a file system.
    """

    def __call__(self, function: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
        """Yield what the function returns for each part, in the order they are done."""
        ...


def parts(total: int, multiple: int = 1) -> list[Part]:
    """Cut so many examples into parts of equal size.

    Args:
        total: number of examples.
        multiple: the size is a multiple of it, such as a batch: rounded down, so that there are rather more
            parts than fewer, for the last ones keep all but one process waiting.
    """
    size = min(_LARGEST, total // _FEWEST)
    size = max(1, size // multiple) * multiple
    return [(start, min(start + size, total)) for start in range(0, total, size)]
