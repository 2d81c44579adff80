"""Addresses of MLflow and Prefect: what cannot work is refused in a sentence, what works is left as it is."""

import sqlite3

import pytest

from features.errors import ConfigError
from flows.console.redaction import mask, mask_address
from flows.orchestration import addresses, prefect_api, step

MALFORMED = {
    "localhost:5000": "Write http://localhost:5000",
    "127.0.0.1:5000/x": "Write http://127.0.0.1:5000/x",
    "htp://x": "the scheme 'htp'",
    "./mlruns": "folder",
    "/srv/mlruns": "folder",
    "mlruns": "folder",
    "file:///srv/mlruns": "folder",
    "file:mlruns": "folder",
    "C:\\mlruns": "folder",
    "tracker.example.com": "folder",
    "https//host": "folder",
    "http://": "no host",
    "http:///path": "no host",
    "http:/host": "no host",
    "http://:5000": "no host",
    "http://host:": "port",
    "http://host:abc": "port",
    "http://host:0": "port",
    "http://host:65536": "port",
    "http://host:-1": "port",
    "http://host:1:2": "port",
    "http://host:５０００": "port",
    "http://http://host:5000": "port",
    "http://ho,st": "host is not",
    "http://..": "host is not",
    "http://<host>:5000": "host is not",
    "http://${HOST}:5000": "host is not",
    "http://[::1": "IPv6",
    "http://[nothing]:5000": "IPv",
    "   ": "blank",
    " http://host": "blanks",
    "http://host\n": "blanks",
    "http://ho st": "blanks",
    "http://host:5000/#/experiments/1": "page",
    "http://host:5000?a=1": "page",
    "sqlite://": "no database file",
    "sqlite:///": "no database file",
    "sqlite:///:memory:": "no database file",
    "sqlite:mlflow.db": "no database file",
    "sqlite://folder/mlflow.db": "no database file",
    "sqlite:////nosuch/folder/mlflow.db": "/nosuch/folder does not exist",
    "sqlite:///nosuch/mlflow.db": "nosuch does not exist",
    "sqlite:////tmp": "is a folder",
    "databricks": "Databricks",
    "databricks://profile": "Databricks",
    "databricks-uc": "Databricks",
    "postgres://host/db": "the scheme 'postgres'",
    "postgresql://": "no host",
    "mysql://host/db": "MySQLdb is not installed",
    "mysql+nosuch://host/db": "SQLAlchemy",
    "s3://bucket/mlflow": "the scheme 's3'",
}


@pytest.mark.parametrize("given", MALFORMED)
def test_malformed_and_unsupported_tracking_uris(given):
    with pytest.raises(ConfigError) as caught:
        addresses.tracking_uri(given)
    text = str(caught.value)
    assert caught.value.exit_code == 78
    assert MALFORMED[given] in text
    assert text.startswith("MLFLOW_TRACKING_URI cannot be used: ")
    for word in ("; got ", "; expected http://HOST:PORT"):
        assert word in text


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("HTTPS://Host/mlflow/", "https://Host/mlflow/"),
        ("http://mlflow_server:5000", "http://mlflow_server:5000"),
        ("http://user:pw@host:5000", "http://user:pw@host:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://bücher.example", "http://bücher.example"),
        ("https://host.", "https://host."),
    ],
)
def test_servers_are_left_as_they_are(given, read):
    assert addresses.tracking_uri(given) == read


def test_sqlite_databases(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sqlite3.connect(tmp_path / "made.db").execute("create table t (x)").connection.close()
    (tmp_path / "empty.db").touch()
    for name in ("made.db", "empty.db", "new.db", "new.db?timeout=3"):
        assert addresses.tracking_uri(f"sqlite:///{name}") == f"sqlite:///{tmp_path}/{name}"
    assert addresses.tracking_uri(f"SQLite+pysqlite:///{tmp_path}/new.db").startswith("sqlite+pysqlite:///")
    (tmp_path / "text.db").write_text("this is no database")
    with pytest.raises(ConfigError, match="is not an SQLite database"):
        addresses.tracking_uri("sqlite:///text.db")
    assert addresses.sqlite_file("sqlite:////a/b.db?x=1").as_posix() == "/a/b.db"
    assert addresses.sqlite_file("mysql://host/db") is None


@pytest.mark.parametrize(
    "given",
    [
        "http://me:hunter22@host:x",
        "http://me:hun/ter22@host",
        "http://me:hun@ter22@host:x",
        "http://hunter22@:5000",
        "htp://me:hunter22@host",
        "me:hunter22@localhost:5000",
        "mysql://me:hunter22@host/db",
        "http://host:x?password=hunter22",
    ],
)
def test_no_message_shows_a_secret(given):
    with pytest.raises(ConfigError) as caught:
        addresses.tracking_uri(given)
    assert "ter22" not in str(caught.value)
    assert "***" in str(caught.value)


def test_addresses_that_work_are_masked_where_they_are_shown():
    assert mask("https://user:p@ss@host/x") == "https://user:***@host/x"
    assert mask("https://a1b2c3@host/x") == "https://***@host/x"
    assert mask_address("http://user:pw@host") == "http://***@host"
    assert mask_address("http://host:5000") == "http://host:5000"
    assert addresses.without_userinfo("http://user:pw@host:5000/") == "http://host:5000"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("localhost:4200/api", "Write http://localhost:4200/api"),
        ("ws://host/api", "not an http"),
        ("/api", "not an http"),
        ("api", "not an http"),
        ("http://", "no host"),
        ("http://host:x/api", "port"),
        ("http://host:4200/api?x", "page"),
        ("   ", "blank"),
        ("sqlite:///x.db", "not an http"),
    ],
)
def test_malformed_prefect_addresses(given, words, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", given)
    with pytest.raises(ConfigError, match="PREFECT_API_URL cannot be used") as caught:
        prefect_api.configured_api()
    assert words in str(caught.value)
    assert "expected http://HOST:PORT/api" in str(caught.value)


def test_a_prefect_address_that_works(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api/")
    assert prefect_api.configured_api() == "http://127.0.0.1:4200/api"
    assert step.page("http://user:pw@host:4200/api") == "http://user:***@host:4200"
