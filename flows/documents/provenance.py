"""The provenance statement of a release: in-toto's Statement v1 with SLSA's provenance as its predicate.

The predicate follows SLSA v1.0: what was built, from what, by whom. Hashes that are no sha256 of a file have
names of their own: ``servableFingerprint`` of a dataset and ``servableWeights`` of weights.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from serving.repository import statement
from serving.repository.release import MANIFEST

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: Names what the parameters mean: those of ``servable train``.
BUILD_TYPE = "urn:servable:training:v1"
BUILDER = "urn:servable:train"


def text(manifest: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Write the statement of a release.

    Args:
        manifest: of the release, without its list of files.
        files: sha256 of the release's files by relative path, all but manifest and statement.
    """
    document = statement.statement(files, (MANIFEST, manifest), PREDICATE_TYPE, predicate(manifest))
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def predicate(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """State how a release was made, from its manifest."""
    origin = manifest["origin"]
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "task": manifest["task"],
                "recipe": manifest["recipe"],
                "seed": manifest["seed"],
                "command": origin["command"],
                "acceptedWorse": manifest["accepted_worse"],
            },
            "resolvedDependencies": list(_dependencies(manifest["dataset"], origin)),
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": origin["versions"]},
            "metadata": {
                "invocationId": manifest["run_id"] or "",
                "finishedOn": manifest["published_at"].replace("+00:00", "Z"),
            },
            "byproducts": [{"name": "weights", "digest": {"servableWeights": manifest["weights_hash"]}}],
        },
    }


def _dependencies(dataset: Mapping[str, Any], origin: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    counts = {name: dataset[name] for name in ("found", "accepted", "quarantined", "skipped")}
    yield {
        "name": "dataset",
        "digest": {"servableFingerprint": dataset["fingerprint"]},
        "annotations": counts,
    }
    commit, dash, _ = origin["commit"].partition("-")
    if commit:
        annotations = {"annotations": {"dirty": True}} if dash else {}
        yield {"name": "source", "digest": {"gitCommit": commit}, **annotations}
    if origin["lock"]:
        yield {"name": "uv.lock", "digest": {"sha256": origin["lock"]}}
    for name, version in origin["versions"].items():
        if name != "python":
            yield {"name": name, "uri": f"pkg:pypi/{name}@{version}"}
