"""What a server refuses, in words for people."""

import pytest

from features.errors import DataError
from flows.queries import refusals
from serving.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

#: What TensorFlow says, and what is left of it.
SAID = {
    "Expect 3 fields but have 2 in record 0\n\t [[{{function_node __inference_f_12}}{{node Decode}}]]": (
        "Expect 3 fields but have 2 in record 0"
    ),
    "{{function_node __wrapped__DecodeJpeg_device_/CPU:0}} Invalid JPEG data [Op:DecodeJpeg] name: ": (
        "Invalid JPEG data"
    ),
    "assertion failed: [column \\'x\\' holds numbers; got] [two]\n\t [[{{node Assert/Assert}}]]": (
        "column 'x' holds numbers; got two"
    ),
    "2 root error(s) found.\n  (0) INVALID_ARGUMENT: Bad text\n\t [[{{node a}}]]\n  (1) DATA_LOSS: Bad": (
        "Bad text"
    ),
    "2 root error(s) found.\n  (0) INVALID_ARGUMENT: Bad text\n\t [[{{node a}}]]\n\t [[StatefulCall/_7]]\n"
    "  (1) Bad\n0 successful operations.\n0 derived errors ignored.": "Bad text",
    "a\x1b[2Jb": "a\\x1b[2Jb",
    "as it is": "as it is",
}


@pytest.mark.parametrize("message", SAID)
def test_nodes_and_functions_are_left_out(message: str) -> None:
    assert refusals.words(message) == SAID[message]


def test_an_error_of_an_input_names_it_and_keeps_its_exit_code() -> None:
    error = refusals.of_input(InvalidArgument("bad\n\t [[{{node x}}]]", model="pets"), "a\n.jpg")
    assert (str(error), error.exit_code) == ("a\\n.jpg: refused by model pets: bad", 65)
    error = refusals.of_input(FailedPrecondition("not now", model="pets", version=3), "a.jpg")
    assert str(error) == "a.jpg: model pets version 3: not now"
    own = DataError("a.jpg cannot be sent")
    assert refusals.of_input(own, "a.jpg") is own


def test_near_names_come_first() -> None:
    def unknown(wanted: str, *names: str) -> str:
        return str(refusals.unknown(NotFound("x", model=wanted), names, lambda name: [1, 2]))

    assert unknown("pet", "pets", "flowers") == "No model 'pet'. Did you mean 'pets'?"
    assert unknown("PETS", "pets", "flowers") == "No model 'PETS'. Did you mean 'pets'?"
    assert unknown("pats", "pets", "cats", "flowers") == "No model 'pats'. Did you mean 'pets' or 'cats'?"
    assert unknown("cars", "b", "a") == "No model 'cars'. Models: a, b"
    assert unknown("cars", *map(str, range(10))).endswith("7 and 2 more")
    assert unknown("cars") == "No model 'cars'. No model is there"
    assert unknown("a", "a") == "No version of model 'a'; available: 1, 2"
    error = refusals.unknown(NotFound("x", model="a", version=7), ["a"], lambda name: [])
    assert str(error) == "No version 7 of model 'a'; no version is available"
    loading = refusals.unknown(Unavailable("damaged", model="a"), ["a"], lambda name: [1])
    assert (str(loading), type(loading)) == ("model a: damaged", Unavailable)
