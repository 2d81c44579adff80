"""How often monitoring cries wolf without drift, and how often it notices one."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from PIL import Image
from scipy import signal, stats

from features.sounds.files.decoding import decode, wave_bytes
from features.spec import ROW
from flows.monitoring.observation import table
from models.monitoring import measures, shifts
from tests.benchmarks.table import SHARED, Table

DATA = SHARED / "data"
RESAMPLES = 200
#: Examples of the reference; live examples without drift, and with it.
REFERENCE, QUIET, DRIFTED = 2_000, (50, 500, 5_000), 200
#: Live examples of ten classes in which a doubled one is noticed as often as is asked for.
ENOUGH = 400
#: Classes of equal share and live examples, in which one doubles.
DOUBLED = ((4, DRIFTED), (5, DRIFTED), (10, DRIFTED), (10, ENOUGH))
#: Share of false alarms of the best tests that there can be.
LEVEL = 0.05
#: Examples of each kind that are described.
IMAGES, SOUNDS, TEXTS, ROWS = 1_000, 600, 4_000, 4_000
LABEL = "answer label"

Pool = pd.DataFrame
Draw = Callable[[np.random.Generator, int], Pool]


def drift() -> Table:
    """Resample described examples: without drift, and with each of five."""
    random = np.random.default_rng(0)
    kinds = {"images": _images(random), "sounds": _sounds(random), "texts": _texts(), "rows": _rows(random)}
    quiet = [[kind, *(_alarms(pools[""], size, random) for size in QUIET)] for kind, pools in kinds.items()]
    noticed = [
        [what, kind, measure, size, f"{_noticed(pool, draw, size, measure, random):.3f}", "-", "-"]
        for what, kind, measure, pool, draw, size in _drifts(kinds)
    ]
    noticed += [_doubling(kinds["images"][""], classes, size, random) for classes, size in DOUBLED]
    prose = (
        f"{RESAMPLES} times, {REFERENCE:,} reference examples and so many live ones are drawn, with "
        f"replacement, from the same described examples; drift is p at most {shifts.ALPHA:g} after Holm's "
        f"correction and PSI at least {shifts.EFFECT:g}. CIFAR-10, spoken digits, English sentences, "
        "generated rows with gaps. Classes are those of the examples, as a model without mistakes answers."
    )
    headings = [f"n = {size:,}" for size in QUIET]
    more = Table(
        "detection",
        f"Detection (target 0.95 with {DRIFTED} live examples)",
        "The share of comparisons in which the measure named is reported as drifted. Of a class's share, the "
        f"last columns tell what no test of this measure alone can exceed at {100 * LEVEL:g} % of false "
        "alarms: that of the likelihood ratio, told all shares and that one class doubles. If it is told "
        "which one, its power is binomial; if not, that of 100,000 samples. Monitoring knows neither the "
        "shares nor what has changed, and divides its false alarms among all measures.",
        ("drift", "examples", "measure", "n", "detected", "best test, class known", "class not known"),
        noticed,
    )
    return Table(
        "drift", "Drift: false alarms (target at most 0.05)", prose, ("examples", *headings), quiet, [more]
    )


def _drawn(pool: Pool) -> Draw:
    return lambda random, size: pool.iloc[random.integers(len(pool), size=size)].reset_index(drop=True)


def _samples(frame: Pool) -> dict[str, pd.Series]:
    return {str(name): frame[name] for name in frame}


def _compared(pool: Pool, draw: Draw, size: int, random: np.random.Generator) -> set[str]:
    reference, live = _drawn(pool)(random, REFERENCE), draw(random, size)
    found = shifts.compare(_samples(reference), _samples(live))
    return {shift.measure for shift in found if shift.drifted}


def _alarms(pool: Pool, size: int, random: np.random.Generator) -> str:
    alarms = [bool(_compared(pool, _drawn(pool), size, random)) for _ in range(RESAMPLES)]
    return f"{np.mean(alarms):.3f}"


def _noticed(pool: Pool, draw: Draw, size: int, measure: str, random: np.random.Generator) -> float:
    return float(np.mean([measure in _compared(pool, draw, size, random) for _ in range(RESAMPLES)]))


def _drifts(kinds: dict[str, dict[str, Pool]]) -> Iterator[tuple[str, str, str, Pool, Draw, int]]:
    images, sounds, texts = kinds["images"], kinds["sounds"], kinds["texts"]
    yield "brightness times 0.7", "images", "brightness", images[""], _drawn(images["dark"]), DRIFTED
    yield "6 dB quieter", "sounds", "loudness", sounds[""], _drawn(sounds["quiet"]), DRIFTED
    band, telephone = "telephone band, 300 to 3,400 Hz", _drawn(sounds["telephone"])
    yield band, "sounds", "above 3.4 kHz", sounds[""], telephone, DRIFTED
    french = _drawn(texts["french"])
    yield "French instead of English", "texts", measures.UNKNOWN_WORDS, texts[""], french, DRIFTED


def _doubling(pool: Pool, classes: int, size: int, random: np.random.Generator) -> list[object]:
    """Measure how often a doubled class is noticed among so many; the row with the best tests beside it."""
    chosen = sorted(set(pool[LABEL]))[:classes]
    even = pool[pool[LABEL].isin(chosen)].reset_index(drop=True)
    noticed = _noticed(even, _doubled(even), size, LABEL, random)
    what = f"a class's share doubled, {100 / classes:g} % to {200 / classes:g} %"
    best = (_informed_bound(classes, size), _bound(classes, size, random))
    return [what, f"images of {classes} classes", LABEL, size, *(f"{one:.3f}" for one in (noticed, *best))]


def _doubled(pool: Pool) -> Draw:
    """Draw one class twice as often as it is in the pool, and the others in proportion."""
    chosen = (pool[LABEL] == pool[LABEL].iloc[0]).to_numpy()
    share = chosen.mean()
    weights = np.where(chosen, 2 * share / chosen.sum(), (1 - 2 * share) / (~chosen).sum())

    def draw(random: np.random.Generator, size: int) -> Pool:
        return pool.iloc[random.choice(len(pool), size, p=weights)].reset_index(drop=True)

    return draw


def _informed_bound(classes: int, size: int) -> float:
    """Return the power of the most powerful test of level 0.05 that one class of equal ones has doubled.

    By Neyman and Pearson that is the test of the likelihood ratio, which grows with the count of the class.
    """
    fewest = stats.binom.ppf(1 - LEVEL, size, 1 / classes) + 1
    return float(stats.binom.sf(fewest - 1, size, 2 / classes))


def _bound(classes: int, size: int, random: np.random.Generator, draws: int = 100_000) -> float:
    """Return the same where the class is any of them with the same chance, from so many samples."""
    even = np.full(classes, 1 / classes)
    doubled = np.array([2 / classes, *[(1 - 2 / classes) / (classes - 1)] * (classes - 1)])
    grown, others = np.log(doubled[:2] / even[:2])

    def ratio(shares: np.ndarray) -> np.ndarray:
        counts = random.multinomial(size, shares, draws)
        return np.logaddexp.reduce(counts * grown + (size - counts) * others, axis=1)

    return float(np.mean(ratio(doubled) > np.quantile(ratio(even), 1 - LEVEL)))


def _contents(archive: str, ending: str, most: int, random: np.random.Generator) -> list[tuple[str, bytes]]:
    """Read files of an archive, each with its folder's name as its label; as many of each label."""
    with zipfile.ZipFile(DATA / archive) as opened:
        names = [name for name in opened.namelist() if name.endswith(ending)]
        labels = sorted({name.split("/")[-2] for name in names})
        chosen = []
        for label in labels:
            of_label = [name for name in names if name.split("/")[-2] == label]
            chosen += [(label, str(name)) for name in random.permutation(of_label)[: most // len(labels)]]
        return [(label, opened.read(name)) for label, name in chosen]


def _images(random: np.random.Generator) -> dict[str, Pool]:
    found = _contents("images_cifar10/cifar10_12k_jpg.zip", ".jpg", IMAGES, random)
    labels = {LABEL: [label for label, _ in found]}
    described = [measures.image(content) for _, content in found]
    dark = [measures.image(_darker(content)) for _, content in found]
    return {name: table(rows).assign(**labels) for name, rows in (("", described), ("dark", dark))}


def _darker(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float32)
    stream = io.BytesIO()
    Image.fromarray((0.7 * pixels).round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _sounds(random: np.random.Generator) -> dict[str, Pool]:
    found = _contents("audio_fsdd/fsdd_5speakers_8k_wav.zip", ".wav", SOUNDS, random)
    labels = {LABEL: [label for label, _ in found]}
    changes = {"": lambda samples, rate: samples, "quiet": _quieter, "telephone": _telephone}
    pools = {}
    for name, change in changes.items():
        pools[name] = table([measures.sound(_changed(content, change)) for _, content in found]).assign(
            **labels
        )
    return pools


def _changed(content: bytes, change: Callable[[np.ndarray, int], np.ndarray]) -> bytes:
    sound = decode(content, 60.0)
    return wave_bytes(change(sound.samples, sound.rate).astype(np.float32), sound.rate)


def _quieter(samples: np.ndarray, rate: int) -> np.ndarray:
    return samples * 10 ** (-6 / 20)


def _telephone(samples: np.ndarray, rate: int) -> np.ndarray:
    band = signal.butter(6, (300, 3400), "bandpass", fs=rate, output="sos")
    return signal.sosfilt(band, samples)


def _texts() -> dict[str, Pool]:
    folder = DATA / "translation_eng_fra"
    known = measures.words(" ".join(row[0] for row in _pairs(folder / "train.tsv")).encode())
    pairs = [*_pairs(folder / "test.tsv"), *_pairs(folder / "val.tsv")][:TEXTS]
    vocabulary = frozenset(known)

    def described(place: int) -> Pool:
        return table([measures.text(pair[place].encode(), vocabulary=vocabulary) for pair in pairs])

    return {"": described(0), "french": described(1)}


def _pairs(path: object) -> list[Sequence[str]]:
    with open(str(path), encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


def _rows(random: np.random.Generator) -> dict[str, Pool]:
    """Describe rows of four numbers, one of them with gaps, and two columns of words, one of many."""
    kinds = dict.fromkeys(("age", "income", "visits", "score"), "numeric")
    kinds |= dict.fromkeys(("city", "plan"), "categorical")
    describe = measures.describer(ROW, {"columns": kinds, "missing": [], "numbers": {}})
    assert describe is not None
    lines = []
    for _ in range(ROWS):
        income = "" if random.random() < 0.1 else f"{random.lognormal(10, 0.8):.0f}"
        city, plan = (
            f"city{random.zipf(1.5) % 40}",
            random.choice(["basic", "plus", "pro"], p=[0.7, 0.25, 0.05]),
        )
        numbers = f"{random.normal(40, 12):.1f},{income},{random.poisson(2)},{random.uniform():.3f}"
        lines.append(f"{numbers},{city},{plan}")
    return {"": table([describe(line.encode()) for line in lines])}
