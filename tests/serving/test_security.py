"""From the options of a connection, such as ``--ca`` and ``--cert``, to settings of a client and of curl."""

from pathlib import Path

import pytest

from features.errors import AccessError, ConfigError, NoInputError, UsageError
from serving.client import commands
from serving.client.connection import Connection
from serving.security import PLAIN, Security
from tests.serving.certificates import Authority


def test_nothing_is_read_where_nothing_is_given() -> None:
    assert {name for name, value in PLAIN.settings().items() if value} == set()
    assert (PLAIN.scheme, PLAIN.curl(), PLAIN.grpcurl()) == ("http", "", " -plaintext")


def test_an_authority_implies_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority("test").certificate)
    (tmp_path / "my token").write_text("secret\n")
    secure = Security(ca=tmp_path / "ca.pem", token_file=tmp_path / "my token")
    settings = secure.settings()
    assert (settings["tls"], settings["token"]) == (True, "secret")
    connection = Connection("example.org:443", **settings)
    connection.check()
    assert connection.metadata == (("authorization", "Bearer secret"),)
    header = f"-H \"authorization: Bearer $(cat '{tmp_path}/my token')\""
    assert commands.curl_status("h:1", "m", security=secure) == (
        f"curl --cacert {tmp_path}/ca.pem {header} https://h:1/v1/models/m"
    )
    line = commands.grpcurl_metadata("h:1", "m", security=secure)
    assert line.startswith(f"grpcurl -cacert {tmp_path}/ca.pem {header} -d ")
    assert "-plaintext" not in line
    assert "secret" not in line


def test_a_client_certificate_is_two_files_and_implies_tls(tmp_path: Path) -> None:
    leaf = Authority("test").leaf("me")
    (tmp_path / "both.pem").write_bytes(leaf.key + leaf.certificate)
    secure = Security(cert=tmp_path / "both.pem", key=tmp_path / "both.pem")
    assert Connection("h:1", **secure.settings()).encrypted
    both = f"{tmp_path}/both.pem"
    assert commands.curl_status("h:1", "m", security=secure) == (
        f"curl --cert {both} --key {both} https://h:1/v1/models/m"
    )
    assert commands.grpcurl_status("h:1", "m", security=secure).startswith(
        f"grpcurl -cert {both} -key {both} "
    )
    with pytest.raises(UsageError, match="got --cert without --key"):
        Security(cert=tmp_path / "both.pem")
    with pytest.raises(UsageError, match="got --key without --cert"):
        Security(key=tmp_path / "both.pem")


def test_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    for given in ({"ca": path}, {"token_file": path}):
        with pytest.raises(NoInputError, match="No such file"):
            Security(**given).settings()
    for content in (b"", b" \n", b"two\nlines", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="contains no token"):
            Security(token_file=path).settings()
    with pytest.raises(ConfigError, match="contains no certificate"):
        Security(ca=path).settings()
    path.write_bytes(Authority("test").leaf("me").certificate)
    with pytest.raises(ConfigError, match="contains no private key"):
        Security(cert=path, key=path).settings()

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AccessError, match="Permission denied"):
        Security(ca=path).settings()


def test_a_token_is_not_sent_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    settings = Security(token_file=tmp_path / "token").settings()
    with pytest.raises(ConfigError, match=r"unencrypted.*--tls"):
        Connection("example.org:80", **settings).check()
    Connection("127.0.0.1:80", **settings).check()
