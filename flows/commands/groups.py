"""Options that several commands share as one value, such as a request or what secures a connection."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


def grouped(name: str, make: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace a parameter of a command by the options that its value is made of.

    Args:
        name: the command's parameter, in whose place the options stand in the help.
        make: from the options, which are its parameters with typer annotations, to the value.
    """
    shared = inspect.signature(make).parameters

    def take(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(**kwargs: Any) -> Any:
            value = make(**{option: kwargs.pop(option) for option in shared})
            return command(**{name: value}, **kwargs)

        own = inspect.signature(command).parameters.values()
        options = [
            option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own
            for option in (shared.values() if parameter.name == name else [parameter])
        ]
        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        return run

    return take
