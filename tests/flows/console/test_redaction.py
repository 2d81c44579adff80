"""Masks and slugs: no secret passes, nothing harmless is lost, names fit every store."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from flows.console.redaction import LONGEST_NAME, mask, slug

SHAPES = {
    "aws": "AKIA" + "ABCDEFGHIJKLMNOP",
    "forge": "ghp_" + "a1B2c3D4e5" * 4,
    "forge fine-grained": "github_pat_" + "a1B2c3D4e5" * 4,
    "hub": "hf_" + "aBcDeFgHiJ" * 4,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", SHAPES.values(), ids=SHAPES)
def test_known_shapes_are_masked_wherever_they_stand(secret):
    assert mask(f"before {secret} after") == "before *** after"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "x", "***"),
        ("db.password", "hunter2", "***"),
        ("CLIENT_SECRET", "abc", "***"),
        ("hf_token", "a1b2c3d4e5", "***"),
        ("api-key", "0123456789", "***"),
        ("text.token", "character", "character"),
        ("model.max_tokens", "12345678", "12345678"),
        ("tokenizer", "wordpiece-2024", "wordpiece-2024"),
        ("secrets_in_dataset", "none", "none"),
        ("password", "", ""),
        ("seed", "12345678901234567890", "12345678901234567890"),
    ],
)
def test_names_decide_where_they_are_clear(name, value, shown):
    assert mask(value, name) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pw@host/x", "https://user:***@host/x"),
        ("postgresql://me:a%20b@db:5432/mlflow", "postgresql://me:***@db:5432/mlflow"),
        ("s3://bucket/key?sig=abc%3D&v=1", "s3://bucket/key?sig=***&v=1"),
        ("password: hunter2\nseed: 1", "password: ***\nseed: 1"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("3f9a1c77d02b4e513f9a1c77d02b4e51", "3f9a1c77d02b4e513f9a1c77d02b4e51"),
    ],
)
def test_secrets_inside_text(text, shown):
    assert mask(text) == shown


def test_values_of_secret_environment_variables_are_masked(monkeypatch):
    monkeypatch.setenv("CANARY_PASSWORD", "tweety-bird-9")
    monkeypatch.setenv("CANARY_SECRET", "short")
    assert mask("--data /tweety-bird-9/short") == "--data /***/short"


@example(" /0")
@given(st.text())
def test_slugs_are_names_every_store_takes(text):
    name = slug(text)
    assert re.fullmatch(r"[A-Za-z0-9_\-./: ]+", name)
    assert 0 < len(name) <= LONGEST_NAME
    assert slug(name) == name
    _validate_metric_name(name)


@pytest.mark.parametrize(
    "name", ["test/accuracy", "validation/loss", "model.learning_rate", "a b", "version.tensorflow"]
)
def test_good_names_stay_as_they_are(name):
    assert slug(name) == name


@pytest.mark.parametrize(
    "name", ["größe", "../../x", "a/../b", "/etc", "a//b", "", "..", "日本", "a\nb", "<b>", "x" * 400, "a/"]
)
def test_other_names_are_told_apart_by_their_hash(name):
    assert re.search(r"-[0-9a-f]{6}$", slug(name))
    assert slug(name) != slug(name + "'")
