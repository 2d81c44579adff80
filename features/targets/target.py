"""What every target can do: read it, check it, keep it, encode it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from features.decisions import Decisions
from features.quarantine import RefusedError
from features.sources.files.candidates import Annotations, Labelling

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: From a target as the data write it to the text that stands for it in the manifest; None where the rules
#: leave it out, and a RefusedError where it cannot be used.
Readings = Mapping[str, str | RefusedError | None]


@dataclass(frozen=True)
class Fitted:
    """A target as it stands in the manifest, once its example was decoded.

    Attributes:
        text: what stands for it.
        left_out: parts of it that cannot be used; each is quarantined as an entry of its own.
        notes: keys of quarantine.NOTES.
    """

    text: str
    left_out: tuple[RefusedError, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """The targets of a source's accepted examples, as they are checked.

    Attributes:
        texts: as `Target.read` gives them, one for each example.
        declared: those that the source's layout names, as empty class folders do.
        instead: what was found in place of usable examples, for messages.
        labelling: whether every example must have a target; see
            `features.sources.files.candidates.Labelling`.
        todo: what would bring more examples in; None where nothing is known to.
        splits: of each example; empty before they are assigned.
    """

    texts: Sequence[str]
    declared: Sequence[str] = ()
    instead: str = ""
    labelling: Labelling = "required"
    todo: str | None = None
    splits: Sequence[str] = ()


class Target(Protocol):
    """One kind of target: where it is read from, how it is kept and what a network learns.

    Attributes:
        name: as the card keeps it.
        usual: names of the columns that hold it, tried where none is named; without regard to case.
        several: whether it may be read from several columns of a table.
        gaps: whether cells of those columns may be empty.
        annotations: what of files of annotations it can be read from; None: of none.
        beside: endings of the files of the same name beside each example that it can be read from.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def usual(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def several(self) -> bool: ...  # noqa: D102

    @property
    def gaps(self) -> bool: ...  # noqa: D102

    @property
    def annotations(self) -> Annotations | None: ...  # noqa: D102

    @property
    def beside(self) -> tuple[str, ...]: ...  # noqa: D102

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Recognise the columns that hold it by a pattern of their names; none where a usual name tells."""
        ...

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Read all different targets of a source at once.

        Args:
            written: as the data have them; several columns are one line of CSV, boxes an `Annotation`, a file
                beside the example its content.
            rules: the recipe's ``data`` section.
            decisions: takes what the data left open.
        """
        ...

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
        """Hold a target against its decoded example.

        Args:
            text: as `read` gave it.
            measures: of the example, such as the width and height of an image.
            rules: the recipe's ``data`` section.
        """
        ...

    def check(self, gathered: Gathered) -> None:
        """Refuse targets that nothing can be learnt from; called before and after splits are assigned.

        Raises:
            DataError: names them, and says what to do.
        """
        ...

    def strata(self, texts: Sequence[str]) -> Sequence[str] | None:
        """Return what must be in each split, for each example; None where nothing must."""
        ...

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return the names of the network's outputs, in their order.

        Args:
            texts: of the accepted examples.
            columns: of a table that the targets were read from.
        """
        ...

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return the manifest's column ``target``."""
        ...

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Describe the targets for the card, one key or more."""
        ...

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return what a network is trained on: [examples] or [examples, ...]."""
        ...

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return which kind of target an example has, int [examples], to even their numbers out."""
        ...

    def expected(self, width: int) -> str:
        """Describe the targets that a network with so many outputs can learn, for a message."""
        ...

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of targets that a network with so many outputs cannot learn."""
        ...
