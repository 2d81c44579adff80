"""What the page of benchmarks shows of each kind: sets, recipes, baselines, and figures others published.

No result stands here: a `Line` says in which row and column of a measured section its figure is found.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A figure that others published on the same set.

    Attributes:
        figure: as it was published.
        source: authors, year and what of theirs it is.
        information: whether their model learnt from the same, in a few words.
    """

    figure: str
    source: str
    information: str = "equal information"


@dataclass(frozen=True)
class Baseline:
    """Where the baseline of a figure stands: a column of the same row, or of another one."""

    name: str
    column: str
    row: str | None = None


@dataclass(frozen=True)
class Line:
    """A row in the table of a kind.

    Attributes:
        section: that holds the figure.
        row: how the first cell of its row begins.
        data: the set, in words.
        recipe: as on the command line.
        measure: what the figure is.
        column: of the figure.
        spread: column of the interval or deviation.
        baseline: what the figure is to be compared with, or None.
        published: by others.
    """

    section: str
    row: str
    data: str
    recipe: str
    measure: str
    column: str
    spread: str = "95 % interval"
    baseline: Baseline | None = None
    published: tuple[Published, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A part of the page: its sections in order, and the rows of its table."""

    title: str
    sections: tuple[str, ...]
    lines: tuple[Line, ...] = ()


def _kim(figure: str, information: str = "equal information") -> Published:
    return Published(figure, "Kim 2014, CNN-rand", information)


def _nbsvm(figure: str) -> Published:
    return Published(figure, "Wang and Manning 2012, NBSVM-bi")


_PHRASES = "trained on phrases as well"
_TEXT = {
    "measure": "accuracy",
    "column": "accuracy",
    "spread": "spread or 95 % interval",
    "baseline": Baseline("linear", "linear baseline"),
}
_PHOTO = {"measure": "test accuracy", "column": "test accuracy"}
_HYMENOPTERA = Published(
    "about 0.95", "PyTorch, tutorial on transfer learning, ResNet-18", "ImageNet, another network"
)

KINDS = (
    Kind(
        "Photos",
        (
            "photos",
            "fine-tune",
            "small-photos",
            "from-scratch",
            "steering",
            "faces",
            "boxes",
            "shapes",
            "clusters",
            "neighbours",
        ),
        (
            Line("photos", "first run", "ants and bees", "frozen", **_PHOTO, published=(_HYMENOPTERA,)),
            Line("fine-tune", "ants", "ants and bees", "fine-tune", **_PHOTO, published=(_HYMENOPTERA,)),
            Line(
                "small-photos",
                "fine-tuned",
                "CIFAR-10, 10,000 of 50,000 photos, 96 pixels",
                "keras",
                **_PHOTO,
            ),
            Line("from-scratch", "from scratch", "CIFAR-10, 10,000 of 50,000 photos", "cnn", **_PHOTO),
            Line(
                *("steering", "steering", "steering angles", "steering", "test MSE", "test MSE"),
                baseline=Baseline("always 0", "MSE of always 0"),
            ),
            Line(
                *("faces", "default", "68 points of faces", "default", "mean error, px", "mean error, px"),
                baseline=Baseline("mean shape", "mean error, px", "mean shape"),
            ),
            Line("boxes", "blood cells", "blood cells", "default", "AP50", "AP50"),
            Line("boxes", "raccoons", "raccoons", "default", "AP50", "AP50"),
            Line(
                *("clusters", "vectors, crop", "ants and bees", "image-clustering", "adjusted Rand index"),
                "adjusted Rand index",
                baseline=Baseline("raw pixels", "adjusted Rand index", "raw pixels"),
            ),
            Line(
                *("neighbours", "all", "CIFAR-10, 10,000 of 50,000 photos", "image-search"),
                *("precision at 10", "vectors"),
                baseline=Baseline("raw pixels", "raw pixels, 32 x 32"),
            ),
        ),
    ),
    Kind(
        "Sounds",
        ("digits", "speakers", "instruments", "scenes", "speech", "digits-strings", "pianos"),
        (
            Line("digits", "cnn", "spoken digits", "cnn", **_PHOTO),
            Line("digits", "gru", "spoken digits", "gru", **_PHOTO),
            Line(
                *("speakers", "mean", "spoken digits, a speaker left out", "cnn", "accuracy"),
                "accuracy",
            ),
            Line("instruments", "cnn", "instruments", "cnn", **_PHOTO),
            Line("instruments", "yamnet", "instruments", "yamnet", **_PHOTO),
            *(
                Line(
                    *("scenes", recipe, "environmental sounds, five folds", recipe, "accuracy"),
                    "accuracy, mean of five folds",
                    "deviation",
                    Baseline("logistic regression on MFCC", "accuracy, mean of five folds", "baseline"),
                )
                for recipe in ("cnn", "yamnet")
            ),
            Line("speech", "default", "AN4", "default", "WER", "WER"),
            Line("digits-strings", "words", "strings of digits", "words", "WER", "WER"),
            Line("pianos", "default", "two pianos never heard", "default", "note F1", "note F1"),
            Line("pianos", "scratch", "two pianos never heard", "scratch", "note F1", "note F1"),
        ),
    ),
    Kind(
        "Texts",
        (
            *("reviews", "subjectivity", "phrases", "sentences", "other-networks", "vectors", "surnames"),
            *("translations", "word-vectors"),
        ),
        (
            Line("reviews", "10 folds", "MR", "cnn", **_TEXT, published=(_kim("0.761"), _nbsvm("0.794"))),
            Line(
                "subjectivity", "10 folds", "Subj", "cnn", **_TEXT, published=(_kim("0.896"), _nbsvm("0.932"))
            ),
            Line("phrases", "10 folds", "MPQA", "cnn", **_TEXT, published=(_kim("0.834"), _nbsvm("0.863"))),
            Line("sentences", "cnn", "SST-2", "cnn", **_TEXT, published=(_kim("0.827", _PHRASES),)),
            *(
                Line("other-networks", recipe, "SST-2", recipe, **_TEXT)
                for recipe in ("cnn-subwords", "gru", "lstm", "simple-rnn")
            ),
            Line("surnames", "as split", "surnames of 18 languages", "character-gru", **_TEXT),
            Line("translations", "default", "English into French", "default", "BLEU", "BLEU"),
        ),
    ),
    Kind(
        "Tables",
        ("diabetes",),
        tuple(
            Line(
                *(
                    "diabetes",
                    f"{recipe}, seed {seed}",
                    f"diabetes, seed {seed}",
                    recipe,
                    "test R2",
                    "test R2",
                ),
                baseline=Baseline("ridge regression", "test R2", f"ridge regression, split {seed}"),
            )
            for seed in range(3)
            for recipe in ("linear", "mlp")
        ),
    ),
    Kind("What was tried and did not help", ("tried",)),
    Kind(
        "Monitoring and operation",
        ("drift", "registered-models", "kills", "imports", "tune-sounds", "tune-texts"),
    ),
    Kind(
        "Speed",
        (
            *("featurizer", "ingest", "spectrogram", "words", "heatmaps", "search", "places", "bulk"),
            *("loop", "timings", "serving", "swaps", "canaries", "transcripts", "translation-latency"),
            "transcription",
            "processes",
        ),
    ),
)
