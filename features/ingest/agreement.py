"""Prove on a sample of every form in the data that the served graph decodes it as ingest does.

Ingest decodes with Pillow, soundfile, Python's csv module and its UTF-8; training and serving decode with
TensorFlow. Where the two differ a model would learn, or answer for, something else than was checked.
TensorFlow sees here only what ingest has accepted.
"""

import hashlib
import importlib.metadata
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from features.decisions import Decisions
from features.ingest.examination import Examination, Example
from features.ingest.rules import ExampleRules
from features.ingest.verdicts import kinds
from features.ingest.verdicts.verdict import Verdict
from features.quarantine import RefusedError
from features.sources.files.candidates import Candidate
from features.spec import Progress, RawKind
from features.storage.files import read_file

#: Raised by one when a check comes to judge otherwise: what agreed before is then compared again.
VERSION = 1
#: Examples of each variant of a format that are compared, and most of all; those of odd headers come on top.
_EACH, _MOST = 3, 60
#: Stands for a file's stamp in the cache, where contents are known by their hash.
_CONTENT = (0, 0, 0, 0)


def require(
    examination: Examination, raw: RawKind, rules: ExampleRules, decisions: Decisions, progress: Progress
) -> None:
    """Compare the decoders, and quarantine what they disagree about as ``decoders_disagree``.

    Of each variant of a format the first examples are compared, and every one with an odd header; all of a
    variant about which the decoders disagree. What was compared before is known by its content.

    Args:
        examination: finished; the examples it accepted are compared.
        raw: the raw kind of the examples.
        rules: the examples were examined by.
        decisions: takes the outcome.
        progress: called with the stage ``compare``.

    Raises:
        StorageError: the cache cannot be written.
    """
    findings = examination.findings
    comparison = _Comparison(examination, raw, rules, progress)
    compared = comparison.of(_sample(findings.accepted))
    doubted = {_variant(example) for example, difference in compared if difference}
    checked = {id(example) for example, _ in compared}
    others = [one for one in findings.accepted if id(one) not in checked and _variant(one) in doubted]
    compared += comparison.of(others)
    refused = {id(example): difference for example, difference in compared if difference}
    for example, difference in compared:
        if difference:
            examination.refuse_example(example, "decoders_disagree", difference)
    findings.accepted = [example for example in findings.accepted if id(example) not in refused]
    _decide(decisions, compared, len(refused))


def _decide(decisions: Decisions, compared: Sequence[tuple[Example, str]], refused: int) -> None:
    alike = [example for example, difference in compared if not difference]
    forms = len({example.verdict.format for example in alike})
    if refused:
        choice = f"{refused} of {len(compared)} examples are decoded differently by the served graph"
        decisions.add("agreement", "", choice, "they are quarantined", warning=True)
    elif alike:
        examples = f"{len(alike)} {'example' if len(alike) == 1 else 'examples'}"
        choice = f"{examples} of {forms} {'format' if forms == 1 else 'formats'}"
        decisions.add("agreement", "", f"{choice} decoded alike by ingest and the served graph")


def _sample(examples: Iterable[Example]) -> list[Example]:
    counts: Counter[tuple[str, str]] = Counter()
    chosen, usual = [], 0
    for example in examples:
        counts[_variant(example)] += 1
        first = counts[_variant(example)] <= _EACH and usual < _MOST
        usual += first
        if first or example.verdict.odd:
            chosen.append(example)
    return chosen


def _variant(example: Example) -> tuple[str, str]:
    return example.verdict.format, example.verdict.variant


class _Comparison:
    """The checks of one raw kind, and the cache of what they found."""

    def __init__(
        self, examination: Examination, raw: RawKind, rules: ExampleRules, progress: Progress
    ) -> None:
        self._examination, self._check, self._progress = examination, kinds.difference(raw), progress
        self._rules = rules.verdict_rules()
        self._cached = {"agreement": VERSION, "raw": raw.name, **self._rules}
        self._cached["tensorflow"] = importlib.metadata.version("tensorflow")

    def of(self, examples: Sequence[Example]) -> list[tuple[Example, str]]:
        """Compare the decoders on examples; give each that could be read, with what differs or nothing."""
        if not examples:
            return []
        names = [f"agreement:{example.verdict.sha256}".encode() for example in examples]
        with self._examination.index(self._cached) as index:
            verdicts = index.find(names, [_CONTENT] * len(names))
            comparisons = []
            for done, (example, name, verdict) in enumerate(
                zip(examples, names, verdicts, strict=True), start=1
            ):
                verdict = verdict or self._verdict(example)
                if verdict is not None:
                    comparisons.append((name, example, verdict))
                self._progress("compare", done, len(examples))
            index.add((name, verdict) for name, _, verdict in comparisons)
        return [(example, verdict.detail) for _, example, verdict in comparisons]

    def _verdict(self, example: Example) -> Verdict | None:
        try:
            own, stored = _contents(example.candidate, example.verdict, self._rules["max_file_bytes"])
        except (RefusedError, OSError):
            return None  # It went or changed since it was examined; whoever reads it next will say so.
        if difference := self._difference(own, stored):
            return Verdict(stamp=_CONTENT, reason="decoders_disagree", detail=difference)
        return Verdict(stamp=_CONTENT)

    def _difference(self, own: bytes, stored: bytes) -> str | None:
        import tensorflow as tf

        try:
            return self._check(own, stored, self._rules)
        except tf.errors.OpError as error:
            return f"the served graph refuses it: {_sentence(error.message)}"
        except RefusedError as refusal:
            return f"it cannot be decoded a second time: {refusal.detail}"


def _sentence(message: str) -> str:
    """Return what an operation said, without the places in the code and in the graph around it."""
    said = message.rpartition("assertion failed: ")[2].partition("\n\t")[0]
    return " ".join(re.sub(r"\{\{.*?\}\}|\[Op:\w+\]|\\", "", said).split())[:200]


def _contents(candidate: Candidate, verdict: Verdict, limit: int) -> tuple[bytes, bytes]:
    """Read an example's own bytes, and those that stand in for them."""
    if candidate.content is not None:
        own = candidate.content
    else:
        assert candidate.path is not None, "an example is a file or a cell"
        own, stamp = read_file(candidate.path, limit)
        if stamp != verdict.stamp:
            raise RefusedError("changed", "the file changed after it was checked")
    stored = own if verdict.stored is None else Path(verdict.stored).read_bytes()
    if hashlib.sha256(stored).hexdigest() != verdict.sha256:
        raise RefusedError("changed", "the file changed after it was checked")
    return own, stored
