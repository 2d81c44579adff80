"""Which recipe is trained where a request names none; imports nothing heavy.

A recipe with ``default: true`` is the task's default. One with ``default: module`` comes before it wherever
the module it builds on need not be fetched: what is learnt from millions of examples beats what a few
hundred teach, but no training should begin with a download that nobody asked for.
"""

import hashlib
from pathlib import Path
from typing import Any

from flows.runs.plans import recipe as config
from flows.runs.plans.request import Request
from flows.workspace import Workspace

#: The graph of a SavedModel.
_GRAPH = "saved_model.pb"


def chosen(request: Request) -> str:
    """Return the recipe that a request names, or the default for it."""
    if request.recipe is not None:
        return request.recipe
    name = _on_a_module(request.task)
    return name if name and _at_hand(request, name) else config.default_recipe(request.task)


def remark(request: Request) -> str:
    """Say which default was taken and what the alternative is; empty where there was nothing to choose."""
    name = None if request.recipe is not None else _on_a_module(request.task)
    if not name:
        return ""
    scratch, handle = config.default_recipe(request.task), _handle(request, name)
    if _at_hand(request, name):
        return f"recipe {name}: features of {handle}; --recipe {scratch} trains a network from scratch"
    return f"recipe {scratch}, from scratch; --recipe {name} fetches {handle}, and is better on few examples"


def _on_a_module(task: str) -> str | None:
    names = config.known_recipes(task)
    return next((name for name in names if config.shipped(task, name).get("default") == "module"), None)


def _handle(request: Request, name: str) -> str:
    """Return the handle or folder of the module that a recipe builds on, with a request's overrides."""
    model: Any = config.read_recipe(request.task, name, request.overrides).get("model")
    return str(model.get("backbone")) if isinstance(model, dict) else ""


def _at_hand(request: Request, name: str) -> bool:
    """Return whether a module need not be fetched, or is one that the request names itself."""
    handle = _handle(request, name)
    if handle != config.shipped(request.task, name)["model"]["backbone"]:
        return True
    cached = hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    return (Workspace.at(Path(request.workspace)).hub / cached / _GRAPH).is_file()
