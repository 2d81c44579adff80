"""The REST API over a real port, against values and texts of TensorFlow Serving's documented format."""

import base64
import gzip
import http.client
import json
import math

import pytest

from serving.config import Options
from serving.server.server import Server


@pytest.fixture(scope="module")
def rest(models, tmp_path_factory):
    from tests.serving.conftest import config_text

    folder = tmp_path_factory.mktemp("rest")
    (folder / "models.config").write_text(config_text(models.root))
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    options = Options(
        port=0,
        rest_port=0,
        model_config_file=folder / "models.config",
        monitoring_config_file=folder / "monitoring.config",
        rest_max_body=1 << 20,
    )
    with Server(options) as server:
        yield server


@pytest.fixture(scope="module")
def ask(rest):
    def call(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", rest.rest_port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()

    return call


@pytest.fixture(scope="module")
def post(ask):
    def call(path, document):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        status, answer, headers = ask("POST", f"/v1/models/{path}", body)
        assert headers["Content-Type"] == "application/json"
        return status, json.loads(answer)

    return call


@pytest.fixture(scope="module")
def refused(post):
    def call(path, document):
        status, answer = post(path, document)
        assert set(answer) == {"error"}
        return status, answer["error"]

    return call


def test_row_format_of_one_input_is_a_plain_list(post, ask):
    assert post("line:predict", {"instances": [1.0, 2, -4]}) == (200, {"predictions": [6.5, 7.0, 4.0]})
    _, text, _ = ask("POST", "/v1/models/line:predict", b'{"instances": [1.0, 2.0, 5.0]}')
    assert text == b'{\n    "predictions": [6.5, 7.0, 8.5\n    ]\n}'


def test_row_format_may_name_the_one_input(post):
    assert post("line:predict", {"instances": [{"x": 1.0}, {"x": 2.0}]}) == (200, {"predictions": [6.5, 7.0]})


def test_row_format_of_many_inputs_gives_objects(post):
    rows = [{"a": [1, 2], "b": 5, "c": "é"}, {"a": [3.5, 4], "b": -6, "c": {"b64": "AP8="}}]
    status, answer = post("zoo:predict", {"signature_name": "serving_default", "instances": rows})
    assert status == 200
    assert answer["predictions"][0] == {"length": 2, "same": "é", "sum": 3.0, "twice": 10}
    assert answer["predictions"][1]["sum"] == 7.5
    assert answer["predictions"][1]["length"] == 2


def test_column_format_takes_values_or_an_object_and_gives_outputs(post):
    assert post("line:predict", {"inputs": [1.0, 2.0]}) == (200, {"outputs": [6.5, 7.0]})
    assert post("line:predict", {"inputs": {"x": [1.0]}}) == (200, {"outputs": [6.5]})
    columns = {"a": [[1, 2], [3, 4]], "b": [5, 6], "c": ["x", {"b64": "eHk="}]}
    assert post("zoo:predict", {"inputs": columns}) == (
        200,
        {"outputs": {"length": [1, 2], "same": ["x", "xy"], "sum": [3.0, 7.0], "twice": [10, 12]}},
    )


def test_a_scalar_needs_the_column_format(post, refused):
    request = {"signature_name": "any_rank", "inputs": 2.5}
    assert post("zoo:predict", request) == (200, {"outputs": {"rank": 0, "x": 2.5}})
    status, words = refused("zoo:predict", {"signature_name": "no_batch", "instances": [1, 2]})
    assert (status, words) == (400, "Tensor name: total has no shape information ")
    assert post("zoo:predict", {"signature_name": "no_batch", "inputs": [1, 2]}) == (200, {"outputs": 3.0})


def test_bytes_come_as_base64_where_the_output_says_bytes(post):
    raw = bytes(range(256))
    row = {"b64": base64.b64encode(raw).decode()}
    status, answer = post("zoo:predict", {"signature_name": "binary", "instances": [row]})
    assert (status, answer) == (200, {"predictions": [{"copy_bytes": row, "size": 256}]})


@pytest.mark.parametrize("text", ["aGk=", "aGk", " aG\nk= "])
def test_base64_padding_and_blanks_are_optional(post, text):
    request = {"signature_name": "binary", "inputs": [{"b64": text}]}
    assert post("zoo:predict", request)[1]["outputs"]["size"] == [2]


def test_nan_and_infinity_travel_both_ways(ask):
    body = b'{"instances": [NaN, Infinity, -Infinity, Inf, -Inf, 1e39]}'
    status, text, _ = ask("POST", "/v1/models/line:predict", body)
    values = json.loads(text)["predictions"]
    assert status == 200
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, math.inf, -math.inf, math.inf]
    assert b"NaN, Infinity, -Infinity" in text


def test_integers_strings_and_bools_keep_their_type(post):
    def same(name, values):
        return post("identities:predict", {"signature_name": name, "inputs": values})

    assert same("int64", [2**63 - 1, -(2**63)])[1] == {"outputs": [2**63 - 1, -(2**63)]}
    assert same("uint64", [2**64 - 1])[1] == {"outputs": [2**64 - 1]}
    assert same("uint8", [255, 256])[1] == {"outputs": [255, 0]}
    assert same("bool", [[True, False]])[1] == {"outputs": [[True, False]]}
    assert same("float64", [0.1, 3])[1] == {"outputs": [0.1, 3.0]}
    assert same("string", ["", "a\u0000b", "日本"])[1] == {"outputs": ["", "a\u0000b", "日本"]}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("int32", 1.5, "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ("int32", 2**31, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("float32", "1", 'JSON Value: "1" Type: String is not of expected type: float'),
        ("float32", True, "JSON Value: true Type: True is not of expected type: float"),
        ("float32", None, "JSON Value: null Type: Null is not of expected type: float"),
        ("bool", 1, "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("string", 1, "JSON Value: 1 Type: Number is not of expected type: string"),
        ("uint32", -1, "JSON Value: -1 Type: Number is not of expected type: uint32"),
    ],
)
def test_a_value_of_another_type_is_named(refused, name, value, words):
    assert refused("identities:predict", {"signature_name": name, "inputs": [value]}) == (400, words)


def test_a_dtype_without_json_form_is_not_implemented(refused):
    status, words = refused("identities:predict", {"signature_name": "float16", "inputs": [1.0]})
    assert (status, words) == (501, "Conversion of JSON Value: 1.0 to type: half")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"[1]", "JSON Value: [1] Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": [], "x": 1}', 'JSON Value: {\n    "instances": [],\n    "x": 1\n} No values in '),
        (b'{"instances": 1}', "Expecting 'instances' to be an list/array"),
        (b'{"instances": [1], "inputs": [1]}', "expecting only one of 'inputs' or 'instances' keys"),
        (b'{"signature_name": 5, "instances": [1]}', "'signature_name' key must be a string value."),
        (b'{"instances": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        (b'{"instances": [[1], 2]}', "JSON Value: 2 found at incorrect level: 1"),
        (b'{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
        (b'{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
        (b'{"instances": [{"x": 1, "z": 2}]}', "JSON object: does not have named input: z"),
        (b'{"instances": [{}]}', "keys must be equal to: x"),
        (b'{"inputs": {"z": 1}}', "Missing named input: x in 'inputs' object."),
        (b'{"instances": [1', "JSON Parse error: Missing a comma or ] after an array element. at offset: 16"),
        (b'{"instances": tru}', "JSON Parse error: Invalid value. at offset: 17"),
        (b'{"instances": [1e999]}', "JSON Parse error: Number too big to be stored in double."),
        (b'{"instances": "\\ud800"}', "JSON Parse error: The surrogate pair in string is invalid."),
        (b"[" * 100_000, "JSON Parse error"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "JSON Parse error: Number too big"),
    ],
)
def test_malformed_requests_are_told_what_is_wrong(refused, document, words):
    status, error = refused("line:predict", document)
    if "Encountered" in words or "incorrect level" in words:
        # A list in place of a value: element 1 differs in shape from element 0.
        assert "element: 1 of 'instances' list" in error
    else:
        assert words in error
    assert status == 400
    assert len(error) < 600


def test_ragged_rows_name_the_element(refused):
    document = {"signature_name": "ragged", "instances": [[1, 2], [3]]}
    status, words = refused("zoo:predict", document)
    assert status == 400
    assert words == (
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting tensor size: 2 but got: 1"
    )


def test_what_follows_the_document_and_second_keys_are_passed_over(post):
    assert post("line:predict", b'{"instances": [1.0]} trailing') == (200, {"predictions": [6.5]})
    assert post("line:predict", b'{"instances": [1.0], "instances": [2.0]}') == (200, {"predictions": [6.5]})


def test_versions_and_labels_choose(post, refused):
    assert post("line/versions/2:predict", {"instances": [0]}) == (200, {"predictions": [4.0]})
    assert refused("line/versions/7:predict", {"instances": [0]}) == (
        404,
        "Servable not found for request: Specific(line, 7)",
    )
    assert refused("line/labels/gold:predict", {"instances": [0]}) == (
        400,
        "Unrecognized servable version label: gold",
    )
    status, words = refused("line/versions/99999999999999999999:predict", {"instances": [0]})
    assert (status, words) == (400, "Failed to convert version: 99999999999999999999 to numeric.")


def test_unknown_models_and_signatures_are_refused(refused):
    assert refused("nobody:predict", {"instances": [0]}) == (
        404,
        "Servable not found for request: Latest(nobody)",
    )
    assert refused("line:predict", {"signature_name": "no", "instances": [0]}) == (
        400,
        'Serving signature name: "no" not found in signature def',
    )


def test_classify_gives_pairs_of_label_and_score(post):
    document = {"signature_name": "classify_sign", "examples": [{"x": 2.0}, {"x": [-8.0]}]}
    assert post("classic:classify", document) == (
        200,
        {"results": [[["below", -4.0], ["above", 4.0]], [["below", 1.0], ["above", -1.0]]]},
    )
    shared = {"signature_name": "classify_x_to_y", "context": {"x": 2.0}, "examples": [{}, {}]}
    assert post("classic:classify", shared) == (200, {"results": [[["", 4.0]], [["", 4.0]]]})


def test_regress_gives_one_value_per_example(post, refused):
    document = {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}, {"x": 4.0}]}
    assert post("classic:regress", document) == (200, {"results": [4.0, 5.0]})
    assert refused("classic:regress", {"examples": []})[0] == 400
    document["examples"] = [{"x": ["a", 1.0]}]
    assert refused("classic:regress", document) == (
        400,
        "Unexpected element type in feature: x expecting type: bytes",
    )


def test_status_and_metadata_are_the_protos_as_json(ask):
    status, text, _ = ask("GET", "/v1/models/line")
    entry = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert (status, json.loads(text)) == (
        200,
        {"model_version_status": [{"version": "3", **entry}, {"version": "2", **entry}]},
    )
    assert (
        json.loads(ask("GET", "/v1/models/line/versions/2")[1])["model_version_status"][0]["version"] == "2"
    )
    status, text, _ = ask("GET", "/v1/models/line/metadata")
    document = json.loads(text)
    assert document["model_spec"] == {"name": "line", "signature_name": "", "version": "3"}
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert signature["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("GET", "/v1/models/line/versions/9", 404, "Could not find version 9 of model line"),
        ("GET", "/v1/models/line:predict", 400, "Malformed request: GET /v1/models/line:predict"),
        ("POST", "/v1/models/line", 400, "Malformed request: POST /v1/models/line"),
        ("POST", "/v1/models/line:guess", 400, "Malformed request: POST /v1/models/line:guess"),
        ("DELETE", "/v1/models/line", 400, "Malformed request: DELETE /v1/models/line"),
        ("GET", "/v1/other", 400, "Malformed request: GET /v1/other"),
        ("POST", "/", 404, None),
        ("GET", "/v2/models/line", 404, None),
        ("GET", "/v1/models/%2e%2e%2f", 404, "Could not find any versions of model ../"),
    ],
)
def test_paths_answer_as_the_real_server(ask, method, path, status, words):
    got, text, _ = ask(method, path)
    assert got == status
    if words is not None:
        assert json.loads(text) == {"error": words}


def test_paths_match_in_any_case(ask):
    assert ask("GET", "/V1/MODELS/line")[0] == 200


def test_bodies_may_be_compressed_and_are_bounded(ask):
    zipped = gzip.compress(b'{"instances": [2.0]}')
    status, text, _ = ask("POST", "/v1/models/line:predict", zipped, {"Content-Encoding": "gzip"})
    assert (status, json.loads(text)) == (200, {"predictions": [7.0]})
    bomb = gzip.compress(b" " * (64 << 20))
    assert ask("POST", "/v1/models/line:predict", bomb, {"Content-Encoding": "gzip"})[0] == 413
    assert ask("POST", "/v1/models/line:predict", b" " * ((1 << 20) + 1))[0] == 413
    assert ask("POST", "/v1/models/line:predict", zipped[:10], {"Content-Encoding": "gzip"})[0] == 400


def test_health_paths_and_prometheus(ask, rest):
    assert ask("GET", "/livez")[0] == 200
    assert ask("GET", "/readyz")[0] == 200
    assert ask("POST", "/v1/models/line:predict", b'{"instances": [1]}')[0] == 200
    status, page, headers = ask("GET", "/monitoring/prometheus/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain")
    lines = page.decode().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    counts = [line for line in lines if line.startswith(":tensorflow:serving:request_count{")]
    assert any('model_name="line",status="OK"' in line for line in counts)
    assert any('model_name="nobody",status="NOT_FOUND"' in line for line in counts)
    assert any(
        line.startswith(':tensorflow:serving:request_latency_bucket{model_name="line",API="Predict"')
        for line in lines
    )


def test_names_that_rebinding_brings_are_refused(ask):
    assert ask("GET", "/v1/models/line", headers={"Host": "evil.example"})[0] == 403
    assert ask("GET", "/v1/models/line", headers={"Host": "localhost:8501"})[0] == 200
    assert "Access-Control-Allow-Origin" not in ask("GET", "/v1/models/line")[2]


def test_other_origins_are_answered_where_allowed(models):
    options = Options(port=0, rest_port=0, rest_cors=True, model_base_path=models.root / "line")
    with Server(options) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
        connection.request("OPTIONS", "/v1/models/default:predict", headers={"Origin": "https://a.example"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
        assert response.getheader("Access-Control-Allow-Origin") == "*"
        assert response.getheader("Access-Control-Allow-Methods") == "POST, GET"
        connection.request("OPTIONS", "/v1/models/default:predict")
        response = connection.getresponse()
        assert (response.status, response.read()) == (400, b"")
        connection.close()
    assert server.rest_target == f"127.0.0.1:{server.rest_port}"


def test_rest_is_off_unless_asked(server):
    assert server.rest_port is None
    assert server.rest_target is None
