"""What ingest accepts of sounds, and the sample rate it keeps them at."""

from typing import Any, Literal

from pydantic import Field

from features.ingest.rules import ExampleRules, IngestRules
from features.sources.files.candidates import Labelling


class SoundRules(ExampleRules):
    """What ingest accepts of sounds, and the sample rate it keeps them at."""

    sample_rate: int = Field(
        16_000, ge=1_000, le=192_000, description="sample rate in Hz to which sounds are resampled"
    )
    min_audio_seconds: float = Field(0.02, ge=0, description="shorter sounds are quarantined")
    max_audio_seconds: float = Field(600.0, gt=0, le=3600, description="longer sounds are quarantined")
    out_of_range: Literal["reject", "normalise"] = Field(
        "reject", description="how to handle samples beyond twice full scale"
    )

    def decoder_rules(self) -> dict[str, Any]:
        """Return the settings of a decoder process: the rules, its timeout and its memory."""
        # The mix and the resampled copy in double precision, at the highest rate we take.
        samples = int(self.max_audio_seconds * 192_000)
        return super().decoder_rules() | {"memory": 24 * samples + 4 * self.max_file_bytes + (512 << 20)}


class AudioRules(SoundRules, IngestRules):
    """What ingest accepts of sounds that belong to classes."""


class TranscriptRules(SoundRules):
    """What ingest accepts of sounds with transcripts, and how it reads these."""

    # Any word may be a transcript.
    missing_labels: tuple[str, ...] = Field((), description="transcripts that mean a missing value")
    case: Literal["auto", "keep", "lower", "upper"] = Field(
        "auto",
        description="case of the transcripts; auto: kept, but small letters where some mix both cases",
    )
    punctuation: Literal["remove", "keep"] = Field(
        "remove",
        description="remove punctuation and symbols, except apostrophes and hyphens inside words",
    )
    units: Literal["characters", "words"] = Field(
        "characters",
        description="what the network's outputs are: characters, or words of a closed vocabulary",
    )
    frame_seconds: float = Field(
        0.04,
        gt=0,
        le=1,
        description="seconds between two outputs of the network; transcripts that are longer are quarantined",
    )

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "table"


class NoteRules(SoundRules):
    """What ingest accepts of sounds with the notes that are played in them."""

    pedal: Literal["hold", "ignore"] = Field(
        "hold", description="whether notes of MIDI files last as long as the pedal holds them, or the key"
    )
    bad_notes: Literal["leave_out", "refuse_take"] = Field(
        "leave_out", description="quarantine notes that cannot be used alone, or the whole take with them"
    )

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "table"
