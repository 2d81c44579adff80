"""``servable verify``: compare the files of a dataset or of a published model with what was recorded."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import DataError, NoInputError
from features.names import near, printable
from flows.commands.options import JsonOption, WorkspaceOption, versioned
from flows.console import terminal
from flows.workspace import Workspace, default_root

if TYPE_CHECKING:
    from serving.repository.release import Release

#: Exit code where something differs.
DIFFERS = 65


def verify(
    subject: Annotated[
        str, typer.Argument(help="Model, such as pets or pets@2, or folder of a release or of a dataset.")
    ],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="PEM file of a public key: require its signature.", metavar="FILE"),
    ] = None,
    workspace: WorkspaceOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check that a published model or a dataset is unchanged.

    Each file is compared with the hash recorded when it was published or ingested.
    """
    from serving.repository.release import is_complete

    folder = Path(subject)
    if folder.is_dir() and not is_complete(folder):
        intact = _dataset(folder, json_output)
    else:
        intact = _published(release(subject, workspace), key, json_output)
    raise typer.Exit(0 if intact else DIFFERS)


def release(subject: str, workspace: Path | None) -> "Release":
    """Find the release of a name or a folder.

    Raises:
        NoInputError: there is none.
    """
    from serving.repository.release import Release, is_complete
    from serving.repository.repository import Repository
    from serving.repository.version_names import parse_version

    folder = Path(subject)
    if is_complete(folder):
        place = folder.absolute()
        return Release.load(place.parent.name, parse_version(place.name) or 0, place)
    repository = Repository(Workspace((workspace or default_root()).absolute()).repository)
    name, version = versioned(subject)
    if name not in repository.models():
        raise NoInputError(
            "no such model or folder",
            got=subject,
            expected=", ".join([*repository.models(), "or a folder"]),
            todo=near(name, repository.models()),
        )
    chosen = version if version is not None else repository.stable(name)
    return repository.release(name, chosen if chosen is not None else repository.versions(name)[-1])


def _published(release: "Release", key: Path | None, json_output: bool) -> bool:
    damage = [*release.damage(), *(_signature(release, key) if key is not None else ())]
    name, files = f"{release.model} version {release.version}", len(release.manifest.get("files", {}))
    if json_output:
        fields = {"model": release.model, "version": release.version, "path": str(release.path)}
        signed = {"stated": release.is_stated, "signed": key is not None and not damage}
        print(json.dumps({**fields, "files": files, **signed, "damage": damage}))
        return not damage
    for line in damage:
        print(printable(line))
    if not damage:
        terminal.note(f"{name}: all {files} files agree with {_sources(release, key)}")
    return not damage


def _sources(release: "Release", key: Path | None) -> str:
    signed = f" and the signature of {key}" if key is not None else ""
    stated = (
        "manifest and provenance.json" if release.is_stated else "its manifest; it has no provenance.json"
    )
    return stated + signed


def _signature(release: "Release", key: Path) -> list[str]:
    """Return why the signature of a key does not hold; nothing where it does."""
    from serving.repository import signature

    try:
        signature.check(release, key)
    except DataError as error:
        return [str(error)]
    return []


def _dataset(folder: Path, json_output: bool) -> bool:
    from features.datasets import dataset as datasets

    changed = datasets.load(folder).verify()
    for record in changed:
        print(json.dumps(record) if json_output else f"{record['reason']}: {printable(record['path'])}")
    if not changed and not json_output:
        terminal.note("all files are unchanged")
    return not changed
