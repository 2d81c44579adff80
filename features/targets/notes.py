"""Notes as targets: what a piano plays in a recording, each with its beginning, end, key and loudness.

A target's text has one line of CSV for each note: onset and offset in seconds from the sound's beginning,
MIDI pitch and velocity, sorted by onset and pitch; the text of a take without notes is empty.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from features.decisions import Decisions
from features.errors import DataError
from features.formats import midi
from features.names import counted
from features.quarantine import RefusedError
from features.sources.files.candidates import Annotations
from features.sources.tables import number_format
from features.spec import SPLITS
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: MIDI pitches of a piano's lowest and highest key, and the count of its keys.
LOWEST, HIGHEST = 21, 108
KEYS = HIGHEST - LOWEST + 1
#: What fills the rows of a take that has fewer notes than another.
PADDING = -1.0
#: Loudness of notes whose files give none.
VELOCITY = 64
#: A piece of hours holds fewer.
_MOST_NOTES = 200_000
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
#: Names of the columns, in small letters without blanks and underscores.
_COLUMNS = {
    "onset": ("onset", "onsettime", "start", "starttime", "begin", "time", "onsets"),
    "offset": ("offset", "offsettime", "end", "endtime", "stop", "offsets"),
    "duration": ("duration", "length", "dur"),
    "pitch": ("pitch", "midipitch", "note", "midinote", "midi", "key", "pitches"),
    "velocity": ("velocity", "vel", "velocities"),
    "sustained": ("sustained",),
}
_ORDER = ("onset", "offset", "pitch", "velocity")
_QUANTILES = {"least": 0, "lower_quartile": 25, "median": 50, "upper_quartile": 75, "most": 100}


class Read(NamedTuple):
    """A note as its file has it; ``line`` is that of the file, from 1."""

    line: int
    onset: float
    offset: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Notes:
    """Any number of notes, of 88 keys; float32 in training."""

    name: str = "notes"
    usual: tuple[str, ...] = ()
    several: bool = False
    gaps: bool = False
    annotations: Annotations | None = None
    beside: tuple[str, ...] = (*midi.SUFFIXES, ".tsv", ".csv", ".txt")

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return none: notes lie in files of their own."""
        return ()

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Read lists of notes; one with a line that is none is refused."""
        return {text: _read(text, held=rules.pedal == "hold") for text in written}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
        """Hold notes against the sound that they are of; leave out those that cannot be.

        A take of which no note is left is refused: it is not known to be silent.
        """
        valid, refused = [], []
        for note in (Read(*one) for one in json.loads(text)):
            fault = _fault(note, measures["seconds"])
            refused += [fault] if fault else []
            valid += [] if fault else [note]
        if refused and (rules.bad_notes == "refuse_take" or not valid):
            more = f"; {counted(len(refused) - 1, 'further fault')}" if len(refused) > 1 else ""
            return RefusedError(refused[0].reason, f"line {refused[0].row}: {refused[0].detail}{more}")
        notes, remarks = _apart(valid, measures["seconds"])
        return Fitted("\n".join(map(_written, notes)), tuple(refused), tuple(sorted(remarks)))

    def check(self, gathered: Gathered) -> None:
        """Refuse no note at all.

        Raises:
            DataError: as above.
        """
        if not any(gathered.texts):
            raise DataError(
                "no usable note",
                got=f"{len(gathered.texts)} sounds without notes; {gathered.instead}",
                expected=f"a file of notes beside each sound: {', '.join(self.beside)}",
                todo=gathered.todo or "check that each has the name of its sound",
            )

    def strata(self, texts: Sequence[str]) -> None:
        """Return None: no key must be in each split."""

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return the names of the keys, the lowest first."""
        return [key_name(pitch) for pitch in range(LOWEST, HIGHEST + 1)]

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return for each take a list of notes: onset, offset, pitch, velocity, float64."""
        import pyarrow

        rows = [parsed(text).tolist() for text in texts]
        return pyarrow.array(rows, pyarrow.list_(pyarrow.list_(pyarrow.float64())))

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Count notes by key and split, and those of a take; describe their lengths and velocities."""
        takes = [parsed(text) for text in texts]
        keys = {name: dict.fromkeys(SPLITS, 0) for name in names}
        for notes, split in zip(takes, splits, strict=True):
            for key, count in Counter((notes[:, 2] - LOWEST).astype(int)).items():
                keys[names[key]][split] += count
        together = np.concatenate([*takes, np.zeros((0, 4))])
        return {
            "music": {
                "keys": {name: counts for name, counts in keys.items() if any(counts.values())},
                "takes": {split: list(splits).count(split) for split in SPLITS},
                "per_take": _quantiles([len(notes) for notes in takes]),
                "seconds": _quantiles(together[:, 1] - together[:, 0]),
                "velocities": _quantiles(together[:, 3]),
            }
        }

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return float32 [takes, notes, 4]: onset and offset in seconds, pitch and velocity.

        There are as many notes as the take with most has, at least one; the rows of a take that has fewer are
        filled with PADDING.
        """
        takes = [stacked(notes) for notes in frame["target"]]
        encoded = np.full((len(takes), max(map(len, takes), default=1) or 1, 4), PADDING, np.float32)
        for place, notes in enumerate(takes):
            encoded[place, : len(notes)] = notes
        return encoded

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return one group: a take has many notes."""
        return np.zeros(len(encoded), np.int32)

    def expected(self, width: int) -> str:
        """Name the range of keys."""
        return f"notes of the {width} keys from {key_name(LOWEST)} on"

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of takes with a note that the network has no output for, or without length."""
        padded = (encoded == PADDING).all(axis=-1)
        keys = (encoded[..., 2] >= LOWEST) & (encoded[..., 2] < LOWEST + width)
        sound = keys & (encoded[..., 0] >= 0) & (encoded[..., 0] < encoded[..., 1])
        return np.flatnonzero(~(sound | padded).all(axis=1))


def key_name(pitch: int) -> str:
    """Return the name of a key by its MIDI pitch: A4 is 69."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def stacked(notes: Any) -> np.ndarray:
    """Return a manifest's notes as float64 [notes, 4]."""
    return np.array([np.asarray(note, np.float64) for note in notes]).reshape(-1, 4)


def parsed(text: str) -> np.ndarray:
    """Parse a target's text: onset, offset, pitch and velocity, float64 [notes, 4]."""
    return np.array([line.split(",") for line in text.splitlines()], np.float64).reshape(-1, 4)


def _read(text: str, *, held: bool) -> str | RefusedError:
    """Write the notes of a file as JSON, a `Read` each; or say what is wrong."""
    try:
        return json.dumps([list(note) for note in _notes(text, held=held)])
    except RefusedError as refusal:
        return refusal


def _notes(text: str, *, held: bool) -> Iterator[Read]:
    """Yield the notes of a file's lines.

    Raises:
        RefusedError: ``bad_annotation`` or ``not_a_number``.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    rows = [(number, _cells(line)) for number, line in lines if line and not line.startswith("#")]
    if len(rows) > _MOST_NOTES:
        raise RefusedError("bad_annotation", f"{len(rows):,} lines; at most {_MOST_NOTES:,} notes are read")
    places = dict(zip(_ORDER, range(4), strict=True))
    if rows and not any(map(number_format.PLAIN.matches, rows[0][1])):
        places = _places(rows.pop(0)[1])
    for number, cells in rows:
        yield _note(number, cells, places, held=held)


def _cells(line: str) -> list[str]:
    separator = next((mark for mark in "\t,;" if mark in line), None)
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _places(header: Sequence[str]) -> dict[str, int]:
    """Find the columns by their names."""
    plain = [re.sub(r"[\s_]+|\(.*\)", "", name.lower()) for name in header]
    places = {
        role: plain.index(name) for role, names in _COLUMNS.items() for name in names[::-1] if name in plain
    }
    if not {"onset", "pitch"} <= places.keys() or not {"offset", "duration"} & places.keys():
        columns = ", ".join(map(repr, header[:8]))
        raise RefusedError("bad_annotation", f"columns {columns}; expected onset, offset, pitch and velocity")
    return places


def _note(line: int, cells: Sequence[str], places: Mapping[str, int], *, held: bool) -> Read:
    def number(role: str, otherwise: float | None = None) -> float:
        place = places.get(role, len(cells))
        if place >= len(cells) and otherwise is not None:
            return otherwise
        cell = cells[place] if place < len(cells) else ""
        value = number_format.PLAIN.number(cell)
        if value is None:
            raise RefusedError("not_a_number", f"line {line}: {role} is {cell!r}; expected a finite number")
        return value

    onset = number("onset")
    if held and "sustained" in places:
        offset = number("sustained")
    else:
        offset = number("offset") if "offset" in places else onset + number("duration")
    return Read(line, onset, offset, number("pitch"), number("velocity", VELOCITY))


def _fault(note: Read, seconds: float) -> RefusedError | None:
    """Return what makes a note unusable; None where nothing does."""
    when = f"onset {note.onset:g} s, offset {note.offset:g} s"
    if not note.onset < note.offset:
        return RefusedError("empty_note", f"{when}: it must end after it begins", row=note.line)
    if not 0 <= note.onset < seconds:
        return RefusedError("outside_sound", f"{when}, in a sound of {seconds:g} s", row=note.line)
    if not LOWEST <= note.pitch <= HIGHEST or note.pitch != math.floor(note.pitch):
        detail = f"pitch {note.pitch:g}; a piano has the keys {LOWEST} to {HIGHEST}"
        return RefusedError("outside_keys", detail, row=note.line)
    if not 0 < note.velocity <= 127:
        return RefusedError("outside_keys", f"velocity {note.velocity:g}; expected 1 to 127", row=note.line)
    return None


def _apart(notes: Sequence[Read], seconds: float) -> tuple[list[Read], set[str]]:
    """Sort notes; end each where its key is struck again, and at the end of the sound."""
    remarks: set[str] = set()
    by_key: dict[float, list[Read]] = {}
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch, -note.offset)):
        remarks |= {"clipped_notes"} if note.offset > seconds else set()
        note = note._replace(offset=min(note.offset, seconds))
        played = by_key.setdefault(note.pitch, [])
        if played and played[-1].offset > note.onset:
            remarks.add("cut_notes")
            if played[-1].onset == note.onset:
                continue  # The same stroke twice: the longer one stays.
            played[-1] = played[-1]._replace(offset=note.onset)
        played.append(note)
    together = [note for played in by_key.values() for note in played]
    return sorted(together, key=lambda note: (note.onset, note.pitch)), remarks


def _written(note: Read) -> str:
    onset, offset = (f"{seconds:.5f}".rstrip("0").rstrip(".") for seconds in (note.onset, note.offset))
    return f"{onset},{offset},{note.pitch:.0f},{note.velocity:g}"


def _quantiles(values: Any) -> dict[str, float]:
    if not len(values):
        return {}
    return {name: float(np.percentile(values, share)) for name, share in _QUANTILES.items()}


NOTES = Notes()
