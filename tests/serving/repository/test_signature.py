"""Signatures of releases: by the package's own verifier, by another key, and after every kind of change."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from features.errors import ConfigError, DataError, NoInputError
from flows import cli
from serving.repository import signature
from serving.repository.release import MANIFEST, Release
from serving.repository.repository import Repository


def write_keys(folder: Path, private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    """Write a pair of keys; return the private one's file, beside which the public one's ends in .pub."""
    folder.mkdir()
    encoding = serialization.Encoding.PEM
    content = private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key").write_bytes(content)
    public = private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pub").write_bytes(public)
    return folder / "key"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "mine", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    candidate = tmp_path / "candidate"
    (candidate / "variables").mkdir(parents=True)
    (candidate / "saved_model.pb").write_bytes(b"graph")
    (candidate / "variables" / "variables.index").write_bytes(b"index")
    return Repository(tmp_path / "workspace" / "repository").publish("pets", candidate, {"task": "x"})


def public(key: Path) -> Path:
    return key.with_suffix(".pub")


def test_a_signed_release_passes_here_and_by_the_packages_own_command(release: Release, key: Path) -> None:
    path = signature.sign(release, key)
    assert path == release.path / "model.sig"
    release.verify()
    signature.check(release, public(key))
    line = ("verify", "key", release.path, "--signature", path, "--public_key", public(key))
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, line)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


#: What is done to the release.
CHANGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda folder: (folder / "saved_model.pb").write_bytes(b"grapi"),
    "added": lambda folder: (folder / "more").write_bytes(b""),
    "removed": lambda folder: (folder / "variables" / "variables.index").unlink(),
    "manifest": lambda folder: (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b" "),
    "signature": lambda folder: (folder / "model.sig").write_bytes(b"{}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_release_is_refused(release: Release, key: Path, change: str) -> None:
    signature.sign(release, key)
    CHANGES[change](release.path)
    with pytest.raises(DataError, match="is invalid"):
        signature.check(release, public(key))


def test_a_signature_of_another_key_is_refused(release: Release, key: Path, tmp_path: Path) -> None:
    signature.sign(release, key)
    other = write_keys(tmp_path / "other", ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(DataError, match="is invalid"):
        signature.check(release, public(other))


def test_what_was_changed_is_not_signed(release: Release, key: Path) -> None:
    CHANGES["flipped"](release.path)
    with pytest.raises(DataError, match="was changed after publishing"):
        signature.sign(release, key)
    assert not (release.path / "model.sig").exists()


def test_keys_that_cannot_be_used_are_named(release: Release, key: Path, tmp_path: Path) -> None:
    edwards = write_keys(tmp_path / "edwards", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(NoInputError, match="no such key"):
        signature.sign(release, tmp_path / "nosuch")
    with pytest.raises(ConfigError, match="private key on the curve"):
        signature.sign(release, public(key))
    with pytest.raises(ConfigError, match="private key on the curve"):
        signature.sign(release, edwards)
    with pytest.raises(ConfigError, match="public key on the curve"):
        signature.check(release, key)


def test_a_signature_is_not_carried_into_another_release(release: Release, key: Path, tmp_path: Path) -> None:
    signature.sign(release, key)
    again = Repository(tmp_path / "other-repository").publish("pets", release.path, {})
    with pytest.raises(DataError, match="is not signed"):
        signature.check(again, public(key))
    again.verify()


def run(*line: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(part) for part in line])
    return int(left.value.code or 0)


def test_the_commands_sign_and_require_the_signature(
    release: Release, key: Path, tmp_path: Path, capsys
) -> None:
    place = ("--workspace", tmp_path / "workspace")
    assert run("verify", "pets", "--key", public(key), *place) == 65
    assert "is not signed" in capsys.readouterr().out
    assert run("sign", "pets@1", "--key", key, *place) == 0
    assert run("verify", "pets", "--key", public(key), *place) == 0
    assert "and the signature of" in capsys.readouterr().err
    CHANGES["added"](release.path)
    assert run("verify", "pets", "--key", public(key), *place) == 65
    assert "more is not in the manifest" in capsys.readouterr().out
