"""``python -m tests.benchmarks [bench | evaluate | arrange] [--again] [NAME ...]``.

``evaluate`` without names runs all, each within a time limit, but for those that are finished for this commit
(``--again``: these, too). ``arrange`` brings docs/benchmarks.md into order, as after a merge.
"""

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
    imports,
    kills,
    loop,
    music,
    night,
    numbers,
    page,
    places,
    processes,
    registered_models,
    rows,
    serving,
    speech,
    spread,
    swaps,
    texts,
    timings,
    translations,
    tuning,
    words,
)
from tests.benchmarks.table import PAGE, SHARED, Table

SETS: dict[str, dict[str, Callable[[], Table]]] = {
    "bench": {
        "featurizer": features.featurizer,
        "ingest": features.ingest,
        "rows": rows.rows,
        "spread": spread.spread,
        "spectrogram": audio.spectrogram,
        "serving": serving.serving,
        "swaps": swaps.swaps,
        "processes": processes.processes,
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
        "fine-tune": image_classification.fine_tune,
        "small-photos": image_classification.small_photos,
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
        "other-networks": texts.other_networks,
        "vectors": texts.vectors,
        "phrases": texts.phrases,
        "subjectivity": texts.subjectivity,
        "surnames": texts.surnames,
        "reviews": texts.reviews,
        "word-vectors": words.vectors,
        "drift": drift.drift,
        "translations": translations.sentences,
        "registered": registered_models.served,
        "kills": kills.kills,
        "imports": imports.imports,
        "tune-sounds": tuning.sounds,
        "tune-texts": tuning.sentences,
    },
}


def main(arguments: list[str]) -> None:
    """Run the benchmarks named, or all of a set, or put the page into order."""
    if arguments == ["arrange"]:
        PAGE.write_text(page.arranged(PAGE.read_text()))
        return
    if not SHARED.is_dir():
        sys.exit(
            f"real data not found at {SHARED}: set SERVABLE_SHARED to the folder that holds data/ and hub/"
        )
    again = "--again" in arguments
    kind, *names = [each for each in arguments if each != "--again"] or ["bench"]
    if kind == "evaluate" and not names:
        entries = night.whole(kind, list(SETS[kind]), again)
        sys.exit(any(entry.outcome in (night.FAILED, night.LATE) for entry in entries))
    for name in names or list(SETS[kind]):
        print(f"{name} ...", file=sys.stderr, flush=True)
        table = SETS[kind][name]()
        print(table.markdown(), end="\n\n", flush=True)
        table.keep()


main(sys.argv[1:])
