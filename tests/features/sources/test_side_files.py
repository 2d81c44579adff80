"""Targets in files beside the examples: which file counts, from which source, and what of them is refused."""

import contextlib
import io
import tarfile
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from features.errors import DataError
from features.formats import midi
from features.formats.midi import Note
from features.quarantine import RefusedError
from features.sources.files import side_files
from features.sources.files.candidates import Candidate, Columns, Rejected, Source
from features.sources.recognise import recognise
from features.spec import AUDIO
from features.targets.notes import NOTES
from tests.faults.corpus import plant
from tests.features.sources.annotated import rejected, skipped

WAVE = b"RIFF\x24\0\0\0WAVEfmt "
TABLE = b"onset\toffset\tpitch\tvelocity\n0.5\t1\t60\t64\n"


def opened(path: Path, beside: tuple[str, ...] = NOTES.beside, **options: Any) -> Source:
    follow = options.pop("follow_symlinks", False)
    columns = Columns(beside=beside, usual_targets=(), **options)
    scratch = path.parent / "scratch"
    return recognise(path, AUDIO, columns, scratch, labelling="table", follow_symlinks=follow)


def targets(source: Source) -> dict[str, tuple[str | None, str]]:
    return {one.name: (one.split, one.label) for one in source if isinstance(one, Candidate)}


def test_files_of_folders_have_their_targets_beside_them(tmp_path: Path) -> None:
    plant(
        tmp_path / "data",
        {
            "train/a.wav": WAVE,
            "train/a.tsv": TABLE,
            "train/deep/b.b.wav": WAVE,
            "train/deep/b.b.TXT": b"\xef\xbb\xbfb",
            "test/a.flac": WAVE,
            "test/a.txt": b"t",
            "test/a.csv": b"c",
            "test/alone.wav": WAVE,
            "README.txt": b"read me",
            "test/notes.mp3x": b"",
        },
    )
    source = opened(tmp_path / "data")
    assert targets(source) == {
        "train/a.wav": ("train", TABLE.decode()),
        "train/deep/b.b.wav": ("train", "b"),
        "test/a.flac": ("test", "c"),  # The ending that comes first counts.
    }
    assert rejected(source) == [("test/alone.wav", "no_target_file", None)]
    assert skipped(source) == [
        ("README.txt", "unsupported_extension"),
        ("test/notes.mp3x", "unsupported_extension"),
    ]
    told = [str(one) for one in source.decisions]
    assert any(".txt" in line and "read beside 1 example" in line for line in told)
    assert source.layout == "side-files"


def test_an_archive_is_read_as_a_folder_is(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"x/val/a.wav": WAVE, "x/val/a.txt": b"one", "x/train/a.wav": WAVE})
    with tarfile.open(tmp_path / "data.tar", "w") as packed:
        packed.add(tmp_path / "data", "")
    source = opened(tmp_path / "data.tar", (".txt",))
    assert targets(source) == {"x/val/a.wav": ("validation", "one")}
    assert rejected(source) == [("x/train/a.wav", "no_target_file", None)]


def test_a_table_without_a_target_column_names_files_with_targets_beside_them(tmp_path: Path) -> None:
    rows = "file,split,piano\nsub/a.wav,train,x\nsub/b.wav,test,y\nsub/c.wav,train,z\n../d.wav,train,z\n"
    files = {"sub/a.wav": WAVE, "sub/a.tsv": TABLE, "sub/b.wav": WAVE, "sub/b.csv": b"c", "sub/c.wav": WAVE}
    plant(tmp_path / "data", {"meta.csv": rows.encode(), **files})
    plant(tmp_path, {"d.wav": WAVE, "d.tsv": TABLE})
    for path in (tmp_path / "data/meta.csv", tmp_path / "data"):
        source = opened(path)
        assert targets(source) == {"sub/a.wav": ("train", TABLE.decode()), "sub/b.wav": ("test", "c")}
        assert rejected(source) == [
            ("meta.csv", "no_target_file", 3),
            ("meta.csv", "outside_folder", 4),
        ]
    named = opened(tmp_path / "data/meta.csv", input="file", split="split")
    assert len(targets(named)) == 2
    with pytest.raises(DataError, match="no column 'notes' for the target"):
        opened(tmp_path / "data/meta.csv", target="notes")


def test_a_column_with_targets_comes_first(tmp_path: Path) -> None:
    plant(tmp_path, {"t.csv": b"file,text\na.wav,told\n", "a.wav": WAVE, "a.txt": b"beside"})
    columns = Columns(beside=(".txt",), usual_targets=("text",))
    source = recognise(tmp_path / "t.csv", AUDIO, columns, tmp_path / "scratch", labelling="table")
    assert targets(source) == {"a.wav": (None, "told")}


def test_links_are_followed_only_if_asked_for(tmp_path: Path) -> None:
    plant(tmp_path / "other", {"secret.txt": b"secret"})
    plant(tmp_path / "data", {"a.wav": WAVE})
    (tmp_path / "data/a.txt").symlink_to(tmp_path / "other/secret.txt")
    source = opened(tmp_path / "data", (".txt",))
    assert targets(source) == {}
    assert rejected(source) == [("a.wav", "no_target_file", None)]
    followed = opened(tmp_path / "data", (".txt",), follow_symlinks=True)
    assert targets(followed) == {"a.wav": (None, "secret")}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"caf\xe9", "bad_encoding"),
        ("a.txt", b"a\0b", "nul"),
        ("a.txt", b" " * (side_files.MOST_BYTES + 1), "too_large"),
        ("a.mid", b"MThd", "bad_annotation"),
        ("a.mid", b"", "bad_annotation"),
        ("a.mid", b"\0" * (midi.MOST_BYTES + 1), "too_large"),
    ],
)
def test_files_that_cannot_be_read_refuse_their_example(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    plant(tmp_path / "data", {"a.wav": WAVE, name: content})
    source = opened(tmp_path / "data")
    assert rejected(source) == [("a.wav", reason, None)]
    assert name in next(one.detail for one in source if isinstance(one, Rejected))


def midi_file(*events: tuple[Any, ...], division: int = 100, kind: int = 0) -> bytes:
    """Write a file of events (type, ticks since the one before, channel, and what the type has)."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    for name, time, *rest in events:
        if name == "set_tempo":
            track.append(mido.MetaMessage(name, tempo=rest[0], time=time))
            continue
        names = {
            "note_on": ("note", "velocity"),
            "note_off": ("note",),
            "control_change": ("control", "value"),
        }
        values = dict(zip(names[name], rest[1:], strict=True))
        track.append(mido.Message(name, time=time, channel=rest[0], **values))
    written = io.BytesIO()
    mido.MidiFile(type=kind, ticks_per_beat=division, tracks=[track]).save(file=written)
    return written.getvalue()


def test_notes_of_midi_files_follow_tempo_repeats_and_pedal() -> None:
    content = midi_file(
        ("note_on", 50, 0, 60, 90),  # at 0.5 s
        ("note_on", 50, 0, 60, 70),  # struck again while held
        ("set_tempo", 0, 500_000),  # from 1 s on a hundred ticks are half a second
        ("note_on", 100, 0, 60, 0),  # a beginning without loudness is an end, at 1.5 s
        ("control_change", 0, 0, 64, 127),
        ("note_on", 0, 0, 64, 50),
        ("note_on", 0, 9, 40, 50),  # a drum
        ("note_off", 100, 0, 64),  # at 2 s, held by the pedal
        ("note_on", 100, 0, 64, 51),  # which a new stroke ends
        ("note_off", 100, 0, 64),
        ("control_change", 100, 0, 64, 0),  # at 3.5 s
        ("note_on", 100, 0, 72, 9),  # never ended
        ("note_on", 100, 0, 70, 0),
    )
    assert midi.read(content) == [
        Note(0.5, 1.0, 60, 90, 1.0),
        Note(1.0, 1.5, 60, 70, 1.5),
        Note(1.5, 2.0, 64, 50, 2.5),
        Note(2.5, 3.0, 64, 51, 3.5),
        Note(4.0, 4.5, 72, 9, 4.5),
    ]


def test_what_is_written_is_read_again() -> None:
    notes = [Note(0.25, 0.5, 21, 1, 0.5), Note(0.5, 0.75, 21, 127, 0.75), Note(0.5, 3.0, 108, 64, 3.0)]
    assert midi.read(midi.write(notes)) == notes
    assert midi.read(midi.write([])) == []


@pytest.mark.parametrize("form", ["format 2", "frames of film", "division 0"])
def test_midi_that_tells_no_seconds_is_refused(form: str) -> None:
    content = bytearray(midi_file(("note_on", 50, 0, 60, 90)))
    content[9], content[12:14] = {
        "format 2": (2, b"\0d"),
        "frames of film": (0, b"\xe7\x28"),
        "division 0": (0, b"\0\0"),
    }[form]
    with pytest.raises(RefusedError) as caught:
        midi.read(bytes(content))
    assert caught.value.reason == "bad_annotation"


def test_damaged_midi_is_refused_and_nothing_else_happens() -> None:
    sound = midi_file(*(("note_on", 7, 0, 30 + place, 64) for place in range(60)), kind=1)
    dice = np.random.default_rng(0)
    for _ in range(400):
        content = bytearray(sound)
        for place in dice.integers(0, len(content), dice.integers(1, 12)):
            content[place] = dice.integers(0, 256)
        cut = bytes(content[: dice.integers(1, len(content) + 1)])
        with contextlib.suppress(RefusedError):
            assert all(note.onset <= note.offset <= note.sustained for note in midi.read(cut))
