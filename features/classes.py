"""Labels: how they are checked, and the safe names that stand for them outside the data."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from features.candidates import Labelling
from features.errors import DataError

_SHOWN = 20


def slug(label: str) -> str:
    """Make a name of a label that is safe as a file, metric and HTML name, and different for each label.

    Returns:
        At most 49 lower-case ASCII letters, digits and hyphens, ending in 8 digits of the label's hash.
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode("ascii").lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return f"{stem or 'label'}-{hashlib.sha256(label.encode('utf-8')).hexdigest()[:8]}"


def check_classes(
    labels: Iterable[str],
    declared: Sequence[str],
    instead: str,
    labelling: Labelling = "required",
    todo: str | None = None,
) -> None:
    """Refuse a set of classes that nothing can be learnt from; where labels are not required, an empty one.

    Args:
        labels: of the accepted examples.
        declared: labels the layout declares, as those of empty class folders.
        instead: what was found in place of usable examples, for the message.
        labelling: whether labels are required.
        todo: what would bring more examples in; None where nothing is known to.

    Raises:
        DataError: an empty class, one class alone, or two that differ in case alone; lists the classes
            with their counts and says how to merge or leave out.
    """
    counts = Counter(labels)
    if labelling != "required":
        if not counts:
            raise DataError(
                "no usable example", got=instead, todo=todo or "check that the files are of this kind"
            )
        return
    for label in declared:
        counts.setdefault(label, 0)
    shown = _show(counts)
    empty = sorted(label for label, count in counts.items() if not count)
    if empty and len(empty) < len(counts):
        raise DataError(
            f"class {', '.join(map(repr, empty[:10]))} has no usable example",
            got=f"classes {shown}; {instead}",
            expected="examples in each class",
            todo=todo or f"""add some, or leave the class out with --set 'data.drop=["{empty[0]}"]'""",
        )
    if len(counts) - len(empty) < 2:
        raise DataError(
            "fewer than two classes",
            got=f"classes {shown}; {instead}" if counts else f"no labelled example; {instead}",
            expected="at least two classes, each with examples",
            todo=todo
            or ("add a second class" if counts else "check that the files are of the expected kind"),
        )
    _refuse_twins(counts, shown)


def _refuse_twins(counts: Mapping[str, int], shown: str) -> None:
    twins: dict[str, str] = {}
    for label in sorted(counts):
        other = twins.setdefault(unicodedata.normalize("NFC", label).casefold().strip(), label)
        if other != label:
            raise DataError(
                f"classes {other!r} and {label!r} differ in case, spaces or accents' encoding alone",
                got=f"classes {shown}",
                expected="names that differ otherwise",
                todo=f"""merge them with --set 'data.merge={{"{other}": "{label}"}}', """
                f"""or leave one out with --set 'data.drop=["{other}"]'""",
            )


def _show(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{label!r} ({count})" for label, count in sorted(counts.items())[:_SHOWN])
    return shown + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")
