"""From ``--tls``, ``--ca`` and ``--token-file`` to a client's settings and to curl's options."""

from pathlib import Path

import pytest

from features.errors import AccessError, ConfigError, NoInputError
from serving.client import commands
from serving.client.connection import Connection
from serving.security import PLAIN, Security
from tests.serving.certificates import Authority


def test_nothing_is_read_where_nothing_is_given() -> None:
    assert PLAIN.settings() == {"tls": False, "root_certificates": None, "token": None}
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


def test_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    for given in ({"ca": path}, {"token_file": path}):
        with pytest.raises(NoInputError, match="No such file"):
            Security(**given).settings()
    for content in (b"", b" \n", b"two\nlines", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="holds no token"):
            Security(token_file=path).settings()
    with pytest.raises(ConfigError, match="holds no certificate"):
        Security(ca=path).settings()

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AccessError, match="Permission denied"):
        Security(ca=path).settings()


def test_a_token_is_not_sent_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    settings = Security(token_file=tmp_path / "token").settings()
    with pytest.raises(ConfigError, match=r"in the clear.*--tls"):
        Connection("example.org:80", **settings).check()
    Connection("127.0.0.1:80", **settings).check()
