"""Standard MIDI files as lists of notes: read under limits, and written."""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from features.quarantine import RefusedError

if TYPE_CHECKING:
    from mido import MidiFile

#: A larger file holds no piece that a person plays.
MOST_BYTES = 1 << 20
SUFFIXES = (".mid", ".midi")

_PERCUSSION, _PEDAL, _DOWN = 9, 64, 64
#: Microseconds of a quarter note where a file does not say.
_TEMPO = 500_000
_LONGEST = 24 * 3600.0
_TICKS = 480
_DAMAGED = (EOFError, OSError, ValueError, LookupError, ArithmeticError, TypeError, MemoryError)


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        onset: when the key is struck, in seconds.
        offset: when it is released, in seconds.
        pitch: MIDI number of the key; 69 is A4.
        velocity: 1 to 127.
        sustained: when the sound ends, in seconds: later than the offset where the pedal holds it.
    """

    onset: float
    offset: float
    pitch: int
    velocity: int
    sustained: float


def read(content: bytes) -> list[Note]:
    """Read the notes of a MIDI file, sorted by onset and pitch; the percussion channel is left out.

    Raises:
        RefusedError: ``bad_annotation``: it is damaged, or of a form that does not tell seconds;
            ``too_large``.
    """
    import mido
    from mido.midifiles.meta import KeySignatureError

    if len(content) > MOST_BYTES:
        raise RefusedError("too_large", f"{len(content):,} bytes of MIDI; at most {MOST_BYTES:,} are read")
    try:
        file = mido.MidiFile(file=io.BytesIO(content), clip=True)
        if file.type > 1 or file.ticks_per_beat <= 0:
            form = "format 2" if file.type > 1 else "time in frames of film"
            raise RefusedError("bad_annotation", f"MIDI with {form}; expected format 0 or 1 with ticks")
        return sorted(_notes(file), key=lambda note: (note.onset, note.pitch, note.offset))
    except (*_DAMAGED, KeySignatureError) as error:
        raise RefusedError("bad_annotation", f"malformed MIDI: {type(error).__name__}: {error}") from None


def write(notes: Iterable[Note]) -> bytes:
    """Write notes as a MIDI file of format 0, at 120 quarter notes a minute and 960 ticks a second."""
    import mido

    events = []
    for note in notes:
        begin, end = _ticks(note.onset), max(_ticks(note.offset), _ticks(note.onset) + 1)
        events.append((begin, 1, note.pitch, note.velocity))
        events.append((end, 0, note.pitch, 0))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=_TEMPO)])
    now = 0
    for tick, on, pitch, velocity in sorted(events):
        kind = "note_on" if on else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    file = mido.MidiFile(type=0, ticks_per_beat=_TICKS, tracks=[track])
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def _ticks(seconds: float) -> int:
    return round(seconds * _TICKS * 1e6 / _TEMPO)


def _notes(file: "MidiFile") -> Iterator[Note]:
    """Pair the beginnings and ends of notes; one that begins again, or is never ended, ends there."""
    held: dict[tuple[int, int], Note] = {}
    waiting: dict[int, dict[int, Note]] = defaultdict(dict)
    down: set[int] = set()
    now = 0.0
    for now, message in _timed(file):
        if message.type not in ("note_on", "note_off", "control_change") or message.channel == _PERCUSSION:
            continue
        channel = message.channel
        if message.type == "control_change":
            if message.control == _PEDAL and message.value >= _DOWN:
                down.add(channel)
            elif message.control == _PEDAL:
                down.discard(channel)
                yield from (replace(note, sustained=now) for note in waiting.pop(channel, {}).values())
            continue
        key = channel, message.note
        if (note := held.pop(key, None)) is not None:
            note = replace(note, offset=now, sustained=now)
            if channel in down and not _begins(message):
                waiting[channel][message.note] = note
            else:
                yield note
        if _begins(message):
            if (rung := waiting[channel].pop(message.note, None)) is not None:
                yield replace(rung, sustained=now)
            held[key] = Note(now, now, message.note, message.velocity, now)
    yield from (replace(note, offset=now, sustained=now) for note in held.values())
    for rest in waiting.values():
        yield from (replace(note, sustained=now) for note in rest.values())


def _begins(message: "mido.Message") -> bool:  # type: ignore[name-defined]  # noqa: F821
    return message.type == "note_on" and message.velocity > 0


def _timed(file: "MidiFile") -> Iterator[tuple[float, "mido.Message"]]:  # type: ignore[name-defined]  # noqa: F821
    """Yield the messages of all tracks in their order with their time in seconds."""
    import mido

    now, tempo = 0.0, _TEMPO
    for message in mido.merge_tracks(file.tracks):
        now += mido.tick2second(message.time, file.ticks_per_beat, tempo)
        if now > _LONGEST:
            raise ValueError(f"an event at {now:.0f} s")
        tempo = message.tempo if message.type == "set_tempo" else tempo
        yield now, message
