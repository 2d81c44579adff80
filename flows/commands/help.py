"""The help of a command names values as a manual does, ``NAME`` and ``--seed N``, not by Python's types."""

import re
from typing import Any

from typer.core import TyperCommand

#: What stands for a value of a type; of a choice, the choices themselves.
WORDS = {"str": "TEXT", "path": "FILE", "int": "N", "float": "N", "int range": "N", "float range": "N"}


class Command(TyperCommand):
    """A command with its arguments in capitals and a word for each value."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the command in its usage line."""
        return [piece.strip("{}").upper() for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            parameters = [each for each in self.get_params(ctx) if each.param_type_name == kind]
            records = [record for each in parameters if (record := each.get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl([(_named(name, kind), text) for name, text in records])


def _named(name: str, kind: str) -> str:
    if kind == "argument":
        return name.partition(" <")[0].upper()
    return re.sub(r"<(.*)>", lambda match: WORDS.get(match[1], match[1]), name)
