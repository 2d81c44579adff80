"""Golden examples that have come to differ from those of training."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import soundfile


def quiet(source: Path, folder: Path) -> Path:
    """Write sounds at a tenth of their loudness."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        samples, rate = soundfile.read(path, dtype="float32")
        target = folder / f"{path.parent.name}-{path.stem}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, samples / 10, rate, subtype="PCM_24")
    return folder


def russian(source: Path, folder: Path) -> Path:
    """Write sentences of as many words, all in another script."""
    table = pd.read_csv(source / "texts.csv")
    table["text"] = [" ".join("город" for _ in text.split()) for text in table["text"]]
    folder.mkdir(parents=True)
    table.to_csv(folder / "texts.csv", index=False)
    return folder


def shifted(source: Path, folder: Path) -> Path:
    """Write rows whose first number is greater by one."""
    table = pd.read_csv(source / "rows.csv", dtype=str, keep_default_na=False)
    table["x 1"] = [f"{float(cell) + 1:.4f}" for cell in table["x 1"]]
    folder.mkdir(parents=True)
    table.to_csv(folder / "rows.csv", index=False)
    return folder


#: How examples come to differ from those of training, and the measures that show it.
CHANGED: dict[str, tuple[Callable[[Path, Path], Path], set[str]]] = {
    "audio-classification": (quiet, {"loudness"}),
    "text-classification": (russian, {"unknown words", "script CYRILLIC"}),
    "tabular-classification": (shifted, {"x 1"}),
}
