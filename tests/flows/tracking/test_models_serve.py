"""``mlflow models serve`` answers with a registered model, without Servable."""

import json

import pytest

from tests import registered
from tests.trained import Trained


@pytest.mark.proof
def test_mlflow_serves_the_champion(trained: Trained) -> None:
    request = (registered.folder(trained) / "serving_input_example.json").read_text()
    embed = {**json.loads(request), "params": {"signature_name": "embed"}}
    with registered.served(trained) as url:
        registered.compare(registered.post(url, request), registered.expected(trained))
        answer = registered.post(url, json.dumps(embed))
    (call,) = [
        call for call in registered.read_calls(registered._expectations(trained)) if call.signature == "embed"
    ]
    registered.compare(answer, {name: value[:2] for name, value in call.outputs.items()})
