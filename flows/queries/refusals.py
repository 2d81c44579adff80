"""A server's refusals in words for people: without the names of a graph's nodes, and with near names."""

import difflib
import re
from collections.abc import Callable, Sequence

from features.errors import ServableError
from features.names import printable
from serving.client.predictor import Predictor
from serving.errors import InvalidArgument, NotFound, ServerError, Unimplemented

#: Names that are listed where none is near.
_LISTED = 8
#: Several operations failed: the first says what is wrong.
_SEVERAL = re.compile(
    r"\d+ root error\(s\) found\.\s*\(0\)\s*(?:[\w ]+: )?(.*?)(?:\s*\(1\)\s.*|$)", re.DOTALL
)
_NODES = (
    re.compile(r"\s*\[\[(?:\{\{.*?\}\})+.*?\]\]", re.DOTALL),
    re.compile(r"\n\s*\[\[[^\]\s]*\]\]"),
    re.compile(r"\{\{(?:function_node|node) [^}]*\}\}\s*"),
    re.compile(r"\s*\[Op:\w+\]( name: \S*)?"),
    re.compile(r"\s*\d+ (?:successful operations|derived errors ignored)\."),
)
#: TensorFlow shows each part of what an assertion says in brackets.
_ASSERTION = re.compile(r"assertion failed: ((?:\[.*?\]\s*)+)$", re.DOTALL)
_PART = re.compile(r"\[(.*?)\](?:\s|$)", re.DOTALL)


def words(message: str) -> str:
    """Return what a message says, in one line, without the names of nodes and functions of a graph."""
    if several := _SEVERAL.search(message):
        message = several[1]
    for pattern in _NODES:
        message = pattern.sub("", message)
    if assertion := _ASSERTION.search(message.strip()):
        message = " ".join(_PART.findall(assertion[1])).replace("\\'", "'")
    return printable(" ".join(message.split()))


def of_input(error: ServableError, shown: str) -> ServableError:
    """Return why there is no answer to one input; a server's words name the input and the model."""
    if not isinstance(error, ServerError):
        return error
    model = "" if error.model is None else f" by model {error.model}"
    said = f"refused{model}: {words(error.message)}" if isinstance(error, InvalidArgument) else str(error)
    return type(error)(f"{printable(shown)}: {words(said)}")


def cleaned(error: ServerError, client: Predictor) -> ServerError:
    """Return an error that no input is to blame for; a name that is not served comes with near ones."""
    if not isinstance(error, NotFound) or error.model is None:
        return type(error)(words(error.message), model=error.model, version=error.version)
    try:
        served = {one.name: one.available for one in client.models()}
    except (ServableError, Unimplemented):
        # TensorFlow Serving does not list its models.
        return type(error)(f"No model {error.model!r} at the server: {words(error.message)}")
    return unknown(error, list(served), lambda name: served[name])


def unknown(
    error: ServerError, names: Sequence[str], versions: Callable[[str], Sequence[int]]
) -> ServerError:
    """Make the error for a model, or a version of it, that is not there.

    Args:
        error: what came instead.
        names: of the models that are there.
        versions: gives the versions of one of them.
    """
    model = str(error.model)
    if model in names and isinstance(error, NotFound):
        there = sorted(versions(model))
        number = "version" if error.version is None else f"version {error.version}"
        has = f"available: {', '.join(map(str, there))}" if there else "no version is available"
        return NotFound(f"No {number} of model {model!r}; {has}")
    if not isinstance(error, NotFound):
        return type(error)(words(error.message), model=error.model, version=error.version)
    return NotFound(f"No model {printable(model)!r}. {_nearest(model, names)}")


def _nearest(model: str, names: Sequence[str]) -> str:
    lowered = {name.lower(): name for name in names}
    near = [lowered[one] for one in difflib.get_close_matches(model.lower(), lowered, n=2, cutoff=0.7)]
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    if not names:
        return "No model is there"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"Models: {', '.join(sorted(names)[:_LISTED])}{more}"
