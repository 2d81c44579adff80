"""``models.config``: what a model server is to serve, in TensorFlow Serving's text format.

TensorFlow Serving refuses a whole configuration that moves a label to a version it has not loaded. A move is
therefore written in two steps: first further versions under the labels as they were, then the new labels.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.repository.labels.labels import CANARY, STABLE, Events, canary, stable

CONFIG = "models.config"
CONTAINER_BASE = "/models"

#: Seconds between the two steps: a server that reads the file every five loads a version meanwhile.
STEP_SECONDS = 20.0

_ENTRY = re.compile(r'config \{\s+name: "([^"]+)"(.*?)\n  \}\n', re.DOTALL)
_VERSION = re.compile(r"versions: ([0-9]+)")
_LABEL = re.compile(r'key: "(\w+)" value: ([0-9]+)')


@dataclass(frozen=True)
class Entry:
    """One model: the versions to load, and the version of each label."""

    model: str
    versions: tuple[int, ...]
    labels: Mapping[str, int]

    def text(self, folder: str) -> str:
        """Write the entry; ``folder`` is where the server finds the models."""
        path = json.dumps(f"{folder.rstrip('/')}/{self.model}", ensure_ascii=False)
        versions = " ".join(f"versions: {version}" for version in self.versions)
        labels = "".join(
            f'    version_labels {{ key: "{label}" value: {version} }}\n'
            for label, version in self.labels.items()
        )
        return (
            f'  config {{\n    name: "{self.model}"\n    base_path: {path}\n'
            '    model_platform: "tensorflow"\n'
            f"    model_version_policy {{ specific {{ {versions} }} }}\n{labels}  }}\n"
        )


def text(entries: Iterable[Entry], folder: str) -> str:
    """Write a ModelServerConfig in text format."""
    return "model_config_list {\n" + "".join(entry.text(folder) for entry in entries) + "}\n"


def read(written: str) -> dict[str, Entry]:
    """Read what `text` has written, by model."""
    return {
        model: Entry(
            model,
            tuple(map(int, _VERSION.findall(body))),
            {label: int(version) for label, version in _LABEL.findall(body)},
        )
        for model, body in _ENTRY.findall(written)
    }


def entry(model: str, events: Events, versions: Iterable[int]) -> Entry | None:
    """Describe a model as its history says; None without a stable version.

    Args:
        model: its name.
        events: its history.
        versions: that there are.
    """
    present, trial = stable(events), canary(events)
    if present is None or present not in versions:
        return None
    labels = {STABLE: present}
    if trial is not None and trial.version in versions:
        labels[CANARY] = trial.version
    return Entry(model, tuple(dict.fromkeys(labels.values())), labels)


def step(final: Entry, written: Entry | None, versions: Iterable[int], *, settled: bool) -> Entry:
    """Return what to write next on the way to an entry.

    Args:
        final: what is to be reached.
        written: what the file says of the model, None if nothing.
        versions: that there are.
        settled: servers have had the time to load what the file says.
    """
    if written is None:
        return final
    moved = {version for label, version in final.labels.items() if written.labels.get(label) != version}
    if not moved or (settled and moved <= set(written.versions)):
        return final
    labels = {label: version for label, version in written.labels.items() if version in versions}
    loaded = (*(version for version in written.versions if version in versions), *final.versions)
    return Entry(final.model, tuple(dict.fromkeys(loaded)), labels) if labels else final
