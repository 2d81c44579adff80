"""Signatures of releases by model-signing (OpenSSF), with a key of one's own: the one file that imports it.

The signature is a Sigstore bundle beside the SavedModel, over the hashes of all other files of the release,
the manifest included.
"""

import os
from pathlib import Path
from types import ModuleType

from features.errors import ConfigError, DataError, NoInputError
from serving.repository.claims import PRIVATE
from serving.repository.release import SIGNATURE, Release


def sign(release: Release, key: Path, password: str | None = None) -> Path:
    """Sign a release; return the file of the signature. One that is there already is replaced.

    Args:
        release: that is as it was published.
        key: PEM file of a private key on the curve P-256, P-384 or P-521.
        password: of the key.

    Raises:
        DataError: the release was changed after publishing.
        NoInputError: there is no such key.
        ConfigError: the key cannot be used, or model-signing is not installed.
    """
    release.verify()
    signing = _library().signing
    config = signing.Config().set_hashing_config(_hashed())
    try:
        config.use_elliptic_key_signer(private_key=_existing(key), password=password)
    except (ValueError, TypeError, AttributeError) as error:  # the last of a key that is on no curve
        raise _unusable(key, "private", error) from None
    # Written aside, since a server may hash the release's files at any moment.
    aside = release.path.parent / PRIVATE
    aside.mkdir(exist_ok=True)
    written = aside / f"{release.version}.{os.getpid()}.{SIGNATURE}"
    config.sign(release.path, written)
    written.replace(release.path / SIGNATURE)
    return release.path / SIGNATURE


def check(release: Release, key: Path) -> None:
    """Check that the owner of a key signed a release as it is.

    Args:
        release: to check.
        key: PEM file of the public key.

    Raises:
        DataError: there is no signature, it is of another key, or a file was changed, added or removed.
        NoInputError: there is no such key.
        ConfigError: the key cannot be used, or model-signing is not installed.
    """
    subject, signature = f"version {release.version} of model {release.model}", release.path / SIGNATURE
    config = _library().verifying.Config()
    try:
        config.use_elliptic_key_verifier(public_key=_existing(key))
    except (ValueError, TypeError, AttributeError) as error:  # the last of a key that is on no curve
        raise _unusable(key, "public", error) from None
    if not signature.is_file():
        raise DataError(f"{subject} is not signed", got=f"no {SIGNATURE}", todo="sign it with servable sign")
    try:
        config.set_hashing_config(_hashed()).verify(release.path, signature)
    except Exception as error:  # whatever it raises, nothing was verified
        raise DataError(
            f"the signature of {subject} is invalid",
            got=f"{type(error).__name__}: {error}",
            expected=f"a signature of its files by the key {key}",
        ) from None


def _library() -> ModuleType:
    try:
        import model_signing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise ConfigError(
            "signatures need the package model-signing", got=error, todo="install the extra servable[signing]"
        ) from None
    return model_signing


def _hashed() -> object:
    """Let every file count but the signature; files of git do not count by default."""
    return _library().hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _existing(key: Path) -> Path:
    if not key.is_file():
        raise NoInputError("no such key", got=key, expected="a PEM file")
    return key


def _unusable(key: Path, kind: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{key} cannot be used",
        got=error,
        expected=f"a {kind} key on the curve P-256, P-384 or P-521, as PEM",
    )
