"""What an example should be answered with, from a class to a sentence."""

from features.targets.boxes import BOXES
from features.targets.classes import CLASS
from features.targets.notes import NOTES
from features.targets.numbers import NUMBERS
from features.targets.points import POINTS
from features.targets.sentence import SENTENCE
from features.targets.target import Target
from features.targets.transcript import TRANSCRIPT

#: By the name that a dataset's card keeps.
TARGETS: dict[str, Target] = {
    target.name: target for target in (CLASS, NUMBERS, POINTS, BOXES, NOTES, TRANSCRIPT, SENTENCE)
}
