"""What a report says of cost and use: durations, sizes, and commands that the shell and Python can read."""

import json
import shlex

import pytest

from features.spec import IMAGE, ROW, TEXT
from flows.reports import ending

EXAMPLE = 'it\'s "5,0" \u00e9'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.14, "0.1 s"),
        (9.96, "10 s"),
        (47.2, "47 s"),
        (192.4, "3 min 12 s"),
        (3600, "1 h 0 min"),
        (7530, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert ending.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(240_000, "0.24 MB"), (1_236_000, "1.24 MB"), (98_765_432, "98.8 MB"), (2_345_678_901, "2,350 MB")],
)
def test_sizes_have_at_most_three_digits(size: int, text: str) -> None:
    assert ending.megabytes(size) == text


@pytest.mark.parametrize("raw", [TEXT, ROW])
def test_curl_sends_an_example_as_it_is(raw) -> None:
    words = shlex.split(ending.curl("pets", raw, EXAMPLE))
    assert words[:3] == ["curl", "-s", "-d"]
    assert json.loads(words[3]) == {"instances": [EXAMPLE]}
    assert words[4] == "http://127.0.0.1:8501/v1/models/pets:predict"


def test_curl_and_python_send_a_file() -> None:
    command = ending.curl("pets", IMAGE, "")
    assert command.startswith(
        'printf \'{"instances": [{"b64": "%s"}]}\' "$(base64 < photo.jpg | tr -d \'\\n\')" | curl'
    )
    program = ending.python("pets", IMAGE, "")
    compile(program, "program", "exec")
    assert 'client.predict("pets", image_bytes=[Path("photo.jpg").read_bytes()])' in program
    assert repr(EXAMPLE) in ending.python("pets", TEXT, EXAMPLE)


def test_a_link_carries_no_password() -> None:
    assert ending.site("https://ann:secret@mlflow.example:8443/base/") == "https://mlflow.example:8443/base"
