"""The settings of every task as JSON schemas beside its recipes, so that a typo is refused in a moment.

The types of settings stand beside the networks they configure, and importing those takes ten seconds. Their
schemas tell names, types, ranges and defaults; what rests on several settings together is checked with the
types themselves, later. ``python -m flows.runs.plans.settings`` writes the files anew after a setting has
changed.
"""

import functools
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from flows.runs.plans import recipe as config

#: Limits by their names in a schema and in pydantic.
_LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minItems": "min_length",
    "maxItems": "max_length",
}
#: Defaults are validated, since a schema has lists where the types have tuples.
_CONFIG = ConfigDict(frozen=True, extra="forbid", validate_default=True)
_PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool, "null": NoneType}


def path(task: str) -> Path:
    """Return the file with the schemas of a task's settings."""
    return config.RECIPES / task / "settings.json"


def types(task: str) -> dict[str, type[BaseModel]]:
    """Return the type of every section of a task's recipes, as its schema describes it."""
    schemas = json.loads(path(task).read_text(encoding="utf-8"))
    return {section: _model(schema, schema.get("$defs", {})) for section, schema in schemas.items()}


def names(kinds: Mapping[str, type[BaseModel]]) -> dict[str, set[str]]:
    """Return the names of the settings of every section, whatever its ``kind``."""
    return {
        section: {name for each in _variants(kind) for name in each.model_fields}
        for section, kind in kinds.items()
    }


def _variants(kind: type[BaseModel]) -> Sequence[type[BaseModel]]:
    """Return the types that a section chooses from by its ``kind``: those of a discriminated union."""
    if not issubclass(kind, RootModel):
        return (kind,)
    annotation = kind.model_fields["root"].annotation
    return get_args(annotation) or (annotation,)


def _model(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> type[BaseModel]:
    if "oneOf" in schema:
        variants = _any_of(_model(_referred(one, definitions), definitions) for one in schema["oneOf"])
        root: Any = RootModel
        discriminator = Field(discriminator=schema["discriminator"]["propertyName"])
        chosen: type[BaseModel] = root[Annotated[variants, discriminator]]
        return chosen
    required = schema.get("required", ())
    fields: dict[str, Any] = {
        name: (
            _type(each, definitions),
            # A default that is made anew each time is in no schema: an empty mapping.
            Field(... if name in required else each.get("default", {}), description=each.get("description")),
        )
        for name, each in schema["properties"].items()
    }
    return create_model(schema["title"], __config__=_CONFIG, **fields)


def _any_of(types: Iterable[Any]) -> Any:
    return functools.reduce(operator.or_, types)


def _referred(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    definition: Mapping[str, Any] = definitions[schema["$ref"].rpartition("/")[2]]
    return definition


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _model(_referred(schema, definitions), definitions)
    if "anyOf" in schema:
        return _any_of(_type(each, definitions) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema.get("enum", [schema.get("const")]))]
    limits = {ours: schema[theirs] for theirs, ours in _LIMITS.items() if theirs in schema}
    return Annotated[_container(schema, definitions), Field(**limits)]


def _container(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if schema["type"] == "object":
        return dict[str, _type(schema["additionalProperties"], definitions)]  # type: ignore[misc]
    if "prefixItems" in schema:
        return tuple[tuple(_type(each, definitions) for each in schema["prefixItems"])]  # type: ignore[misc]
    if schema["type"] == "array":
        return tuple[_type(schema["items"], definitions), ...]  # type: ignore[misc]
    return _PLAIN[schema["type"]]
