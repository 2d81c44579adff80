"""Notes as targets: how files of them are read, held against their sound, kept and encoded."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.datasets.dataset import Dataset
from features.decisions import Decisions
from features.errors import DataError
from features.formats import midi
from features.formats.midi import Note
from features.ingest.ingest import ingest
from features.quarantine import RefusedError
from features.sounds.files.decoding import wave_bytes
from features.sounds.rules import NoteRules
from features.sources.files.candidates import Columns
from features.spec import AUDIO
from features.targets.notes import NOTES, PADDING, key_name, parsed
from features.targets.target import Fitted, Gathered
from tests.faults.corpus import plant
from tests.faults.ingests import records

LAYOUTS = {
    "maps": "OnsetTime\tOffsetTime\tMidiPitch\n0.5\t1.25\t60\n0.75\t1\t64\n",
    "tsv": "onset\toffset\tpitch\tvelocity\n0.5\t1.25\t60\t64\n0.75\t1.0\t64\t64\n",
    "csv": '"onset","offset","pitch"\r\n0.5,1.25,60\r\n0.75,1,64\r\n',
    "duration": "start;duration;note\n0.5;0.75;60\n0.75;0.25;64\n",
    "order": "velocity,Pitch (MIDI),end_time,Start Time\n64,60,1.25,.5\n64,64,1,7.5e-1\n",
    "no header": "0.5 1.25 60\n\n# a remark\n0.75   1 64 64\n",
    "midi": "onset\toffset\tpitch\tvelocity\tsustained\n0.5\t1.1\t60\t64\t1.25\n0.75\t0.8\t64\t64\t1\n",
}


def read(text: str, **rules: Any) -> str | RefusedError | None:
    return NOTES.read([text], NoteRules(**rules), Decisions())[text]


def fitted(text: str, seconds: float = 10.0, **rules: Any) -> Fitted | RefusedError:
    written = read(text, **rules)
    assert isinstance(written, str)
    return NOTES.fit(written, {"seconds": seconds}, NoteRules(**rules))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_notes(layout: str) -> None:
    notes = fitted(LAYOUTS[layout])
    assert isinstance(notes, Fitted)
    assert notes == Fitted("0.5,1.25,60,64\n0.75,1,64,64")
    assert parsed(notes.text).tolist() == [[0.5, 1.25, 60, 64], [0.75, 1.0, 64, 64]]


def test_the_pedal_counts_unless_it_is_ignored() -> None:
    ignored = fitted(LAYOUTS["midi"], pedal="ignore")
    assert isinstance(ignored, Fitted)
    assert parsed(ignored.text)[:, 1].tolist() == [1.1, 0.8]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.5\tx\t60", "not_a_number"),
        ("0.5\t1", "not_a_number"),
        ("onset\toffset\tpitch\n0.5\t1\tC4", "not_a_number"),
        ("onset\tpitch\n0.5\t60", "bad_annotation"),
        ("some words about the piece", "bad_annotation"),
        ("0.5 inf 60", "not_a_number"),
        ("0 1 60\n" * 200_001, "bad_annotation"),
    ],
)
def test_files_that_are_no_lists_of_notes_are_refused(text: str, reason: str) -> None:
    refusal = read(text)
    assert isinstance(refusal, RefusedError)
    assert refusal.reason == reason


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("1 1 60 64", "empty_note"),
        ("2 1 60 64", "empty_note"),
        ("-0.1 1 60 64", "outside_sound"),
        ("10 11 60 64", "outside_sound"),
        ("1 2 20 64", "outside_keys"),
        ("1 2 109 64", "outside_keys"),
        ("1 2 60.5 64", "outside_keys"),
        ("1 2 60 0", "outside_keys"),
        ("1 2 60 128", "outside_keys"),
    ],
)
def test_notes_that_cannot_be_are_left_out_or_refuse_their_take(note: str, reason: str) -> None:
    text = f"0.5 1 60 64\n{note}\n"
    notes = fitted(text)
    assert isinstance(notes, Fitted)
    assert notes.text == "0.5,1,60,64"
    assert [(part.reason, part.row) for part in notes.left_out] == [(reason, 2)]
    refused = fitted(text, bad_notes="refuse_take")
    assert isinstance(refused, RefusedError)
    assert refused.reason == reason
    alone = fitted(note)
    assert isinstance(alone, RefusedError)
    assert alone.reason == reason


def test_repeats_of_a_key_end_where_the_next_begins() -> None:
    notes = fitted("1 4 60 10\n2 12 60 20\n1 3 61 30\n2 3 60 40\n9 12 60 50\n")
    assert isinstance(notes, Fitted)
    # Of two strokes at once the longer one stays.
    assert parsed(notes.text).tolist() == [[1, 2, 60, 10], [1, 3, 61, 30], [2, 9, 60, 20], [9, 10, 60, 50]]
    assert notes.notes == ("clipped_notes", "cut_notes")


def test_a_take_may_be_silent_but_not_all_of_them() -> None:
    assert fitted("onset\toffset\tpitch\n") == Fitted("")
    NOTES.check(Gathered(["", "0,1,60,64"]))
    with pytest.raises(DataError, match="no usable note"):
        NOTES.check(Gathered(["", ""]))


def test_notes_are_encoded_with_rows_of_padding() -> None:
    frame = pd.DataFrame({"target": [[[0.0, 1.0, 21.0, 1.0], [0.5, 1.0, 108.0, 127.0]], []]})
    encoded = NOTES.encode(frame)
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[[0, 1, 21, 1], [0.5, 1, 108, 127]], [[PADDING] * 4] * 2]
    assert NOTES.misfits(encoded, 88).tolist() == []
    assert NOTES.misfits(encoded, 87).tolist() == [0]
    assert NOTES.encode(frame[1:]).shape == (1, 1, 4)


def test_keys_have_their_names() -> None:
    names = NOTES.names([], [])
    assert (names[0], names[39], names[48], names[-1], len(names)) == ("A0", "C4", "A4", "C8", 88)
    assert key_name(61) == "C#4"


def take(seconds: float, seed: int) -> bytes:
    samples = np.random.default_rng(seed).uniform(-0.1, 0.1, int(seconds * 16_000))
    return wave_bytes(samples.astype(np.float32), 16_000)


def test_takes_are_ingested_with_the_notes_beside_them(tmp_path: Path) -> None:
    played = [Note(0.25, 0.5, 60, 64, 0.5), Note(0.5, 0.75, 62, 100, 0.75)]
    plant(
        tmp_path / "data",
        {
            "meta.csv": b"file,split\na.wav,train\nb.wav,train\nc.wav,test\nd.wav,test\n",
            **{f"{name}.wav": take(1, place) for place, name in enumerate("abcd")},
            "a.mid": midi.write(played),
            "b.tsv": b"0.1\t0.4\t70\t80\n0.2\t0.1\t71\t80\n",
            "c.txt": LAYOUTS["maps"].encode(),
        },
    )
    rules = NoteRules(max_bad_fraction=0.9, decode_processes=1)
    dataset: Dataset = ingest(
        tmp_path / "data/meta.csv",
        raw=AUDIO,
        target=NOTES,
        columns=Columns(),
        rules=rules,
        root=tmp_path / "datasets",
    )
    card = dataset.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"] == 5
    assert [(one["reason"], one["path"], one["row"]) for one in records(dataset)] == [
        ("empty_note", "b.wav", 2),
        ("no_target_file", "meta.csv", 4),
    ]
    kept = {
        row.path.rpartition(b"/")[2] if row.path else b"": [list(note) for note in row.target]
        for row in dataset.frame.itertuples()
    }
    assert sorted(kept.values()) == [
        [[0.1, 0.4, 70, 80]],
        [[0.25, 0.5, 60, 64], [0.5, 0.75, 62, 100]],
        [[0.5, 1, 60, 64], [0.75, 1, 64, 64]],
    ]
    assert card["music"]["keys"]["C4"] == {"train": 1, "validation": 0, "test": 1}
    assert dataset.labels == tuple(NOTES.names([], []))
