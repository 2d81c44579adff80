"""``python -m tests.benchmarks [bench | evaluate] [NAME ...]``."""

import os
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.benchmarks import (
    audio,
    bulk,
    canary,
    drift,
    features,
    galleries,
    heatmaps,
    image_classification,
    loop,
    music,
    numbers,
    places,
    registered_models,
    serving,
    speech,
    swaps,
    texts,
    timings,
    translations,
    words,
)
from tests.benchmarks.table import SHARED, Table

SETS: dict[str, dict[str, Callable[[], Table]]] = {
    "bench": {
        "featurizer": features.featurizer,
        "ingest": features.ingest,
        "spectrogram": audio.spectrogram,
        "serving": serving.serving,
        "swaps": swaps.swaps,
        "canaries": canary.canaries,
        "words": words.speed,
        "heatmaps": heatmaps.heatmaps,
        "search": galleries.latency,
        "loop": loop.loop,
        "places": places.latency,
        "bulk": bulk.bulk,
        "timings": timings.timings,
        "transcripts": speech.latency,
        "translation-latency": translations.latency,
        "transcription": music.latency,
    },
    "evaluate": {
        "photos": image_classification.photos,
        "from-scratch": image_classification.from_scratch,
        "steering": numbers.steering,
        "diabetes": numbers.diabetes,
        "faces": places.faces,
        "boxes": places.boxes,
        "shapes": places.shapes,
        "clusters": galleries.clusters,
        "neighbours": galleries.neighbours,
        "digits": audio.digits,
        "speakers": audio.speakers,
        "instruments": audio.instruments,
        "scenes": audio.scenes,
        "speech": speech.speech,
        "digits-strings": speech.digit_strings,
        "pianos": music.pianos,
        "sentences": texts.sentences,
        "vectors": texts.vectors,
        "phrases": texts.phrases,
        "surnames": texts.surnames,
        "reviews": texts.reviews,
        "word-vectors": words.vectors,
        "drift": drift.drift,
        "translations": translations.sentences,
        "registered": registered_models.served,
    },
}


def main(arguments: list[str]) -> None:
    """Run the benchmarks named, or all of a set."""
    if not SHARED.is_dir():
        sys.exit(
            f"real data not found at {SHARED}: set SERVABLE_SHARED to the folder that holds data/ and hub/"
        )
    chosen = SETS[arguments[0] if arguments else "bench"]
    names = arguments[1:] or list(chosen)
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        table = chosen[name]()
        print(table.markdown(), end="\n\n", flush=True)
        table.keep()


main(sys.argv[1:])
