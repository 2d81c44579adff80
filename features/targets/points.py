"""Points as targets: named places in an image, of which some may be missing."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decisions import Decisions
from features.errors import ConfigError, DataError
from features.quarantine import RefusedError
from features.sources.files.candidates import Annotations
from features.sources.tables import cells, number_format
from features.targets import upright
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: Names of a pair of columns: x0 and y0, x_nose and y_nose, or nose_x and nose_y.
_BEFORE, _AFTER = re.compile(r"([xy])_?(.+)", re.IGNORECASE), re.compile(r"(.+?)_?([xy])", re.IGNORECASE)
#: Words that tell the left one of two points from the right one.
_SIDES = re.compile(r"(?<![a-z])(left|right|l|r)(?![a-z])", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


@dataclass(frozen=True)
class Points:
    """Named points of an image, in pixels of the image as displayed; float32 in training."""

    name: str = "points"
    usual: tuple[str, ...] = ()
    several: bool = True
    gaps: bool = True
    annotations: Annotations | None = "points"
    beside: tuple[str, ...] = ()

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Recognise pairs of columns such as x0 and y0, or nose_x and nose_y."""
        return tuple(column for pair in pairs(names).values() for column in pair)

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Read coordinates; a point without any is missing, one with a single coordinate is refused."""
        return {text: _read(cells.cells(text)) for text in written}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
        """Turn points that were annotated on the stored pixels; refuse those far outside the image."""
        points = parsed([text])[0]
        if rules.points == "stored":
            points = upright.turned(points, measures)
        size = np.array(upright.size(measures))
        beyond = np.maximum(-points, points - size) / size
        beyond = np.where(np.isnan(beyond), -np.inf, beyond)
        if (beyond > rules.margin).any():
            place = int(np.argwhere(beyond > rules.margin)[0, 0])
            x, y = points[place]
            return RefusedError(
                "outside_image",
                f"point {place + 1} lies at ({x:g}, {y:g}) of an image of {size[0]} x {size[1]} pixels",
            )
        return Fitted(_written(points))

    def check(self, gathered: Gathered) -> None:
        """Refuse no example at all, and a point that no example has.

        Raises:
            DataError: as above.
        """
        if not gathered.texts:
            raise DataError(
                "no usable example",
                got=gathered.instead,
                todo=gathered.todo or "check that the columns hold pairs of coordinates",
            )
        missing = np.isnan(parsed(gathered.texts)).any(axis=2).all(axis=0)
        if missing.any():
            raise DataError(
                f"point {int(np.flatnonzero(missing)[0]) + 1} is missing in every example",
                got=f"{len(gathered.texts)} examples; {gathered.instead}",
                expected="at least one image in which it is annotated",
                todo="name the columns of the other points with --target-column",
            )

    def strata(self, texts: Sequence[str]) -> None:
        """Return None: no point must be in each split."""

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return the names of the points, in the order of their columns.

        Raises:
            DataError: columns that are pairs do not stand as x and y in turn.
        """
        named = pairs(columns)
        if 2 * len(named) != len(columns):
            return [str(n) for n in range(len(columns) // 2)]
        in_turn = [column for pair in named.values() for column in pair]
        if in_turn != list(columns):
            raise DataError(
                "the columns of points are not in the order x, y of each point",
                got=", ".join(map(repr, columns)),
                expected=", ".join(map(repr, in_turn)),
                todo="give --target-column in this order, or leave it out",
            )
        return list(named)

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return for each example x and y of every point in turn, float64; NaN where it is missing."""
        import pyarrow

        rows = parsed(texts).reshape(len(texts), -1)
        return pyarrow.array(rows.tolist(), pyarrow.list_(pyarrow.float64()))

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Count in how many examples each point is annotated, by split."""
        labelled, owners = ~np.isnan(parsed(texts)).any(axis=2), np.asarray(splits)
        return {
            "points": {
                name: {split: int(labelled[owners == split, place].sum()) for split in dict.fromkeys(splits)}
                for place, name in enumerate(names)
            }
        }

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return x and y as shares of width and height, and 1 where the point is annotated, else 0.

        Returns:
            float32 [examples, points, 3]; x and y are 0 where the point is missing.
        """
        points = in_pixels(frame) / upright.sizes(frame)[:, None]
        labelled = ~np.isnan(points).any(axis=2, keepdims=True)
        return np.concatenate([np.where(labelled, points, 0), labelled], axis=2).astype(np.float32)

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return one group: points have no classes."""
        return np.zeros(len(encoded), np.int32)

    def expected(self, width: int) -> str:
        """Name the count of points."""
        return f"{width} points"

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of targets that are not finite."""
        return np.flatnonzero(~np.isfinite(encoded).all(axis=(1, 2)))


def pairs(columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Find columns that are the x and y of one point, whatever stands between the two.

    Returns:
        For each point, in the order of the first of its columns, its name and its columns of x and y.
    """
    columns_by_point: dict[str, dict[str, str]] = {}
    for column in columns:
        for axis, name in _parts(column):
            columns_by_point.setdefault(name, {})[axis] = column
    whole = {name: (pair["x"], pair["y"]) for name, pair in columns_by_point.items() if len(pair) == 2}
    # A column belongs to one point: x_y would be both.
    used: set[str] = set()
    chosen = {}
    for name, pair in whole.items():
        if not used & {*pair}:
            chosen[name] = pair
            used |= {*pair}
    return chosen


def _parts(column: str) -> Iterable[tuple[str, str]]:
    apart = column[-2:-1] in ("_", ".") or column[-2:-1].isdigit()
    if apart and (match := _AFTER.fullmatch(column)):
        yield match[2].lower(), match[1].rstrip(".")
    if (match := _BEFORE.fullmatch(column)) and (column[1:2] in ("_", ".") or match[2].isdigit()):
        yield match[1].lower(), match[2].lstrip(".")


def mirrored(names: Sequence[str], given: Iterable[tuple[str, str]] = ()) -> list[int] | None:
    """Find which point stands for which in a mirror image.

    Args:
        names: of the points.
        given: pairs of a left and a right point; none finds them by their names.

    Returns:
        For each point the position of the one it becomes; None where nothing tells left from right.

    Raises:
        ConfigError: a pair names a point that is not there, or two pairs the same.
    """
    places = {name: place for place, name in enumerate(names)}
    given = list(given)
    partners = dict(given) | {right: left for left, right in given}
    if unknown := sorted(set(partners) - set(places)):
        raise ConfigError(
            "augmentation.pairs names an unknown point",
            got=", ".join(map(repr, unknown)),
            expected=f"some of {', '.join(map(repr, names))}",
            todo="correct the pairs",
        )
    if len(partners) < 2 * len(given):
        raise ConfigError(
            "augmentation.pairs names a point twice",
            got=", ".join(map(str, map(list, given))),
            expected="each point in one pair at most, with another point",
            todo="correct the pairs",
        )
    if not partners:
        partners = {name: other for name in names if (other := _other_side(name)) in places}
    if not partners:
        return None
    return [places[partners.get(name, name)] for name in names]


def _other_side(name: str) -> str:
    def swap(match: re.Match[str]) -> str:
        other = _OTHER_SIDE[match[0].lower()]
        return other.upper() if match[0].isupper() else other.title() if match[0].istitle() else other

    spaced = _SIDES.sub(swap, name.replace("_", "\0")).replace("\0", "_")
    return spaced if spaced != name else ""


def in_pixels(frame: "pandas.DataFrame") -> np.ndarray:
    """Return x and y of each point of a manifest in pixels as displayed: float64 [examples, points, 2]."""
    rows = np.stack([np.asarray(row, np.float64) for row in frame["target"]])
    return rows.reshape(len(rows), -1, 2)


def _read(row: Sequence[str]) -> str | RefusedError:
    numbers = []
    for cell in row:
        number = number_format.PLAIN.number(cell.strip()) if cell.strip() else float("nan")
        if number is None:
            return RefusedError("not_a_number", f"a coordinate is {cell!r}; expected a finite number")
        numbers.append(number)
    if len(numbers) % 2:
        return RefusedError("half_point", f"{len(numbers)} coordinates are not pairs of x and y")
    points = np.array(numbers).reshape(-1, 2)
    halves = np.flatnonzero(np.isnan(points).sum(axis=1) == 1)
    if len(halves):
        half = "y" if np.isnan(points[halves[0], 1]) else "x"
        return RefusedError("half_point", f"point {halves[0] + 1} has no {half}")
    if np.isnan(points).all():
        return RefusedError("missing_value", "the row has no point")
    return _written(points)


def _written(points: np.ndarray) -> str:
    return ",".join("" if np.isnan(number) else f"{number:.17g}" for number in points.ravel())


def parsed(texts: Sequence[str]) -> np.ndarray:
    """Parse targets as they stand in the manifest: float64 [examples, points, 2]; NaN if missing."""
    rows = [[float(number or "nan") for number in text.split(",")] for text in texts]
    return np.array(rows).reshape(len(rows), -1, 2)


POINTS = Points()
