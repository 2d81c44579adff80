"""``servable verify``: compare the files of a dataset or of a published model with what was recorded."""

import json
from pathlib import Path
from typing import Annotated

import typer

from features.errors import NoInputError
from flows.commands.options import JsonOption, WorkspaceOption, versioned
from flows.console import terminal
from flows.workspace import Workspace, default_root
from serving.repository.release import Release, is_complete
from serving.repository.repository import Repository
from serving.repository.version_names import parse_version

#: Exit code where something differs.
DIFFERS = 65


def verify(
    subject: Annotated[
        str, typer.Argument(help="Model, such as pets or pets@2, or folder of a release or of a dataset.")
    ],
    workspace: WorkspaceOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check that a published model is as it was published, or a dataset as it was ingested."""
    release = _release(subject, workspace)
    intact = _dataset(Path(subject), json_output) if release is None else _published(release, json_output)
    raise typer.Exit(0 if intact else DIFFERS)


def _release(subject: str, workspace: Path | None) -> Release | None:
    """Find the release of a name or a folder; None where it is the folder of a dataset."""
    folder = Path(subject)
    if is_complete(folder):
        place = folder.absolute()
        return Release.load(place.parent.name, parse_version(place.name) or 0, place)
    if folder.is_dir():
        return None
    repository = Repository(Workspace((workspace or default_root()).absolute()).repository)
    name, version = versioned(subject)
    if name not in repository.models():
        raise NoInputError(
            "no such model or folder",
            got=subject,
            expected=f"one of {', '.join(repository.models()) or 'none yet'}, or a folder",
        )
    chosen = version if version is not None else repository.stable(name)
    return repository.release(name, chosen if chosen is not None else repository.versions(name)[-1])


def _published(release: Release, json_output: bool) -> bool:
    damage = release.damage()
    name, files = f"{release.model} version {release.version}", len(release.manifest.get("files", {}))
    if json_output:
        found = {"model": release.model, "version": release.version, "path": str(release.path)}
        print(json.dumps({**found, "files": files, "stated": release.is_stated, "damage": damage}))
        return not damage
    for line in damage:
        print(terminal.printable(line))
    if not damage:
        against = (
            "manifest and provenance.json" if release.is_stated else "its manifest; it has no provenance.json"
        )
        terminal.note(f"{name}: all {files} files agree with {against}")
    return not damage


def _dataset(folder: Path, json_output: bool) -> bool:
    from features.datasets import dataset as datasets

    changed = datasets.load(folder).verify()
    for record in changed:
        print(
            json.dumps(record) if json_output else f"{record['reason']}: {terminal.printable(record['path'])}"
        )
    if not changed and not json_output:
        terminal.note("all files are unchanged")
    return not changed
