"""The provenance statement of a release, as its readers see it: in-toto's Statement v1 over its files.

The subjects are all files but the statement itself. The manifest is named by a hash of what it says
beside its list of files, because that list has the statement's own hash.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

PROVENANCE = "provenance.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
#: Name of the digest of a manifest without its list of files: the sha256 of its canonical JSON.
DESCRIPTION = "servableDescription"


def statement(
    files: Mapping[str, str],
    manifest: tuple[str, Mapping[str, Any]],
    predicate_type: str,
    predicate: Mapping[str, Any],
) -> dict[str, Any]:
    """Make a statement on files.

    Args:
        files: sha256 by relative path.
        manifest: its path and its content.
        predicate_type: URI of what the predicate means.
        predicate: what is stated.
    """
    name, content = manifest
    subjects = [{"name": path, "digest": {"sha256": digest}} for path, digest in sorted(files.items())]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [*subjects, {"name": name, "digest": {DESCRIPTION: description(content)}}],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def description(manifest: Mapping[str, Any]) -> str:
    """Hash what a manifest says beside its list of files."""
    fields = {key: value for key, value in manifest.items() if key != "files"}
    # Read back first: tuples and numbers as keys are not what JSON keeps of them.
    canonical = json.dumps(json.loads(json.dumps(fields)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(content: bytes, files: Mapping[str, str], manifest: Mapping[str, Any]) -> list[str]:
    """Name what a statement says otherwise than files and manifest are.

    Args:
        content: of the statement.
        files: sha256 by relative path of every file but manifest and statement.
        manifest: its content.
    """
    try:
        document = json.loads(content)
        if document["_type"] != STATEMENT_TYPE:
            raise ValueError(document["_type"])
        digests = {str(subject["name"]): dict(subject["digest"]) for subject in document["subject"]}
    except (ValueError, KeyError, TypeError):
        return [f"{PROVENANCE} is not a statement of type {STATEMENT_TYPE}"]
    stated = {name: digest["sha256"] for name, digest in digests.items() if "sha256" in digest}
    described = [digest[DESCRIPTION] for digest in digests.values() if DESCRIPTION in digest]
    names = sorted(name for name in stated.keys() | files.keys() if stated.get(name) != files.get(name))
    told_otherwise = [f"{name} is not what {PROVENANCE} states" for name in names]
    if described != [description(manifest)]:
        told_otherwise.append(f"the manifest is not what {PROVENANCE} states")
    return told_otherwise
