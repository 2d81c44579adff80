"""REST paths, classify and regress against TensorFlow Serving's behaviour, case by case.

Each case names the source file, below tensorflow_serving/, whose behaviour it states.
"""

import json

import pytest

JSON_TENSOR = "util/json_tensor.cc"
HANDLER = "model_servers/http_rest_api_handler.cc"
PATHS = "model_servers/http_rest_api_util.cc"
DOCUMENT = "g3doc/api_rest.md"


@pytest.mark.parametrize(
    ("source", "method", "path", "status", "words"),
    [
        (HANDLER, "GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        (HANDLER, "POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        (HANDLER, "GET", "/v1/models", 400, "Missing model name in request."),
        (HANDLER, "GET", "/v1/models/debug/model_name", 400, "Malformed request"),
        (HANDLER, "POST", "/v1/models", 400, "Malformed request"),
        (HANDLER, "GET", "/v1/models/foo:predict", 400, "Malformed request"),
        (HANDLER, "GET", "/v1/models/foo/version/50:predict", 400, "Malformed request"),
        (HANDLER, "POST", "/v1/models/foo/version/50:regress", 400, "Malformed request"),
        (HANDLER, "POST", "/v1/models/foo/versions/HELLO:regress", 400, "Malformed request"),
        (
            HANDLER,
            "POST",
            "/v1/models/foo/versions/18446744073709551615:regress",
            400,
            "Failed to convert version",
        ),
        (HANDLER, "GET", "/v1/models/foo/versions/9223372036854775808", 400, "Failed to convert version"),
        (HANDLER, "POST", "/v1/models/foo/metadata", 400, "Malformed request"),
        (HANDLER, "POST", "/v1/models/foo/label/some_label:regress", 400, "Malformed request"),
        (HANDLER, "POST", "/v1/models/foo/versions/50/labels/some_label:regress", 400, "Malformed request"),
        (HANDLER, "POST", "/v1/models/foo:explain", 400, "Malformed request"),
        (HANDLER, "PUT", "/v1/models/line", 400, "Malformed request: PUT /v1/models/line"),
        (HANDLER, "GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
        (HANDLER, "GET", "/v1/models/foo/metadata", 404, "Servable not found for request: Latest(foo)"),
        (HANDLER, "GET", "/v1/models/line/versions/50", 404, "Could not find version 50 of model line"),
        (
            HANDLER,
            "GET",
            "/v1/models/line/versions/50/metadata",
            404,
            "Servable not found for request: Specific(line, 50)",
        ),
        (
            HANDLER,
            "GET",
            "/v1/models/line/labels/no/metadata",
            400,
            "Unrecognized servable version label: no",
        ),
        (
            PATHS,
            "GET",
            "/v1/models/a%21%23%24%25%26%2F%3A%3F",
            404,
            "Could not find any versions of model a!#$%&/:?",
        ),
        (
            PATHS,
            "GET",
            "/v1/models/line/labels/a%2Fb/metadata",
            400,
            "Unrecognized servable version label: a/b",
        ),
        (PATHS, "GET", "/v1/models/a:b", 400, "Malformed request"),
        (PATHS, "GET", "/v1/models/", 400, "Malformed request"),
        (PATHS, "GET", "/v1/models/line/", 400, "Malformed request"),
        (PATHS, "GET", "/statuspage", 404, "Not found"),
        (PATHS, "GET", "/index", 404, "Not found"),
    ],
)
def test_paths(rest_api, source, method, path, status, words):
    reply = rest_api.answer(method, path, b"")
    assert reply.status == status
    assert words in json.loads(reply.body)["error"]


@pytest.mark.parametrize("path", ["line", "LINE", "line/versions/3"])
def test_paths_that_name_a_model_match_in_any_case_but_names_do_not(rest_api, path):
    reply = rest_api.answer("GET", f"/V1/Models/{path}", b"")
    assert reply.status == (404 if path == "LINE" else 200)


@pytest.mark.parametrize(
    ("source", "path", "body", "expected"),
    [
        (
            DOCUMENT,
            "classify",
            '{"signature_name": "classify_x_to_y", "examples": [{"x": 2.0}]}',
            [[["", 4.0]]],
        ),
        (
            DOCUMENT,
            "classify",
            '{"signature_name": "classify_labels", "examples": [{"x": [1.0]}]}',
            [[["below", 0.0], ["above", 0.0]]],
        ),
        (
            DOCUMENT,
            "regress",
            '{"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}, {"x": 20.0}]}',
            [43.0, 13.0],
        ),
        (
            DOCUMENT,
            "regress",
            '{"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{}]}',
            [4.0],
        ),
        (
            DOCUMENT,
            "regress",
            '{"signature_name": "regress_x2_to_y3", "examples": [{"x": 1.0}, {"x": 1.0, "x2": 4.0}]}',
            [4.0, 6.0],
        ),
    ],
)
def test_examples_are_classified_and_regressed(post_json, source, path, body, expected):
    assert post_json(f"classic:{path}", body) == (200, {"results": expected})


@pytest.mark.parametrize(
    ("source", "examples", "words"),
    [
        (JSON_TENSOR, "5", "Expecting 'examples' value to be an list/array"),
        (JSON_TENSOR, "[]", "'examples' value is an empty array"),
        (JSON_TENSOR, "[5]", "Example must be JSON object but got JSON Number"),
        (JSON_TENSOR, '["x"]', "Example must be JSON object but got JSON String"),
        (JSON_TENSOR, '[{"x": null}]', "Feature: x has element with unexpected JSON type: Null"),
        (JSON_TENSOR, '[{"x": [1, null]}]', "Feature: x has element with unexpected JSON type: Null"),
        (JSON_TENSOR, '[{"x": [1, "a"]}]', "Unexpected element type in feature: x expecting type: int64"),
        (JSON_TENSOR, '[{"x": [1.0, 1]}]', "Unexpected element type in feature: x expecting type: float"),
        (JSON_TENSOR, '[{"x": [{"a": 1}]}]', "Feature: x has element with unexpected JSON type: Object"),
        (JSON_TENSOR, '[{"x": [[1]]}]', "Feature: x has element with unexpected JSON type: Array"),
        (JSON_TENSOR, '[{"x": 18446744073709551603}]', "x has uint64_t element. Only int64_t is supported."),
        (JSON_TENSOR, '[{"x": 1.0}], "context": []', "Example must be JSON object but got JSON Array"),
        (JSON_TENSOR, '[{"x": 1.0}], "signature_name": 5', "'signature_name' key must be a string"),
    ],
)
@pytest.mark.parametrize("path", ["classify", "regress"])
def test_examples_that_are_none_are_refused(post_json, path, source, examples, words):
    status, answer = post_json(f"classic:{path}", f'{{"examples": {examples}}}')
    assert status == 400
    assert words in answer["error"]
