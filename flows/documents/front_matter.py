"""The front matter of a model card: Hugging Face's metadata of a model.

Fields and names are those of https://huggingface.co/docs/hub/model-cards. What is not known, such as the
licence, is left out.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from features.spec import SPLITS

#: Tasks that Hugging Face has as well, by our name.
PIPELINE_TAGS = {
    "image-classification": "image-classification",
    "object-detection": "object-detection",
    "keypoint-detection": "keypoint-detection",
    "audio-classification": "audio-classification",
    "speech-recognition": "automatic-speech-recognition",
    "text-classification": "text-classification",
    "translation": "translation",
    "tabular-classification": "tabular-classification",
    "tabular-regression": "tabular-regression",
}

#: Baselines among the metrics, by the name behind the split. Those of a linear model begin with ``linear_``,
#: those of photos compared by their pixels end with ``_pixels``.
BASELINES = {
    "majority_accuracy": "always the most frequent class of the training split",
    "mse_of_mean": "always the mean of the training split",
    "mse_of_zero": "always 0",
}
#: What stands among the metrics and measures nothing.
COUNTS = ("examples",)

#: Metrics that Hugging Face has under another name.
METRIC_TYPES = {"macro_f1": "f1", "matthews": "matthews_correlation", "r2": "r_squared"}


def text(manifest: Mapping[str, Any], raw: str, source: str) -> str:
    """Write the metadata of a release as YAML.

    Args:
        manifest: of the release.
        raw: name of the raw kind of its examples, such as ``image``.
        source: name of the data.
    """
    content = metadata(manifest, raw, source)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def metadata(manifest: Mapping[str, Any], raw: str, source: str) -> dict[str, Any]:
    """Gather the metadata of a release; the arguments are those of `text`."""
    task = manifest["task"]
    tags = list(dict.fromkeys([task, raw, "tensorflow", "tf-serving", "servable"]))
    pipeline = {"pipeline_tag": PIPELINE_TAGS[task]} if task in PIPELINE_TAGS else {}
    results = list(_results(manifest, source))
    types = list(dict.fromkeys(metric["type"] for result in results for metric in result["metrics"]))
    index = {"model-index": [{"name": manifest["model"], "results": results}]} if results else {}
    return {"library_name": "tensorflow", **pipeline, "tags": tags, "metrics": types, **index}


def figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics without the ends of their intervals, and without those that have no value."""
    ends = {name + end for name in metrics for end in ("_low", "_high")}
    return {name: value for name, value in metrics.items() if name not in ends and math.isfinite(value)}


def _results(manifest: Mapping[str, Any], source: str) -> Iterator[dict[str, Any]]:
    """Yield a result for each split that was measured."""
    task, fingerprint = manifest["task"], manifest["dataset"]["fingerprint"]
    named = {name: value for name, value in figures(manifest["metrics"]).items() if _is_of_the_model(name)}
    for split in dict.fromkeys(name.partition("/")[0] for name in named):
        where = {"split": split} if split in SPLITS else {}
        yield {
            "task": {"type": PIPELINE_TAGS.get(task, task)},
            "dataset": {"type": source, "name": source, **where, "revision": fingerprint},
            "metrics": [
                {"type": metric_type(name), "value": value, "name": name}
                for name, value in named.items()
                if name.partition("/")[0] == split
            ],
        }


def is_baseline(name: str) -> bool:
    """Return whether a metric is that of a baseline."""
    short = name.partition("/")[2]
    return short in BASELINES or short.startswith("linear_") or short.endswith("_pixels")


def _is_of_the_model(name: str) -> bool:
    return not is_baseline(name) and name.partition("/")[2] not in COUNTS


def metric_type(name: str) -> str:
    """Return Hugging Face's name of a metric, or our own."""
    short = name.partition("/")[2]
    return METRIC_TYPES.get(short, short)
