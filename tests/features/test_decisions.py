"""Decisions: what is said of them in a few lines, and that a card gives them back."""

from features.decisions import Decisions, from_card, summarise


def test_warnings_come_first_and_equal_choices_are_one_line() -> None:
    decisions = Decisions()
    for name in "abcdefgh":
        decisions.add("column", name, "numeric")
    decisions.add("table", "t.csv", "UTF-8, delimiter ';'", "the header has no comma")
    decisions.add("column", "id", "left out", "it counts up", warning=True)
    assert summarise(list(decisions)) == [
        "warning: column 'id': left out (it counts up)",
        "columns numeric: a, b, c, d, e, f and 2 more",
        "table 't.csv': UTF-8, delimiter ';' (the header has no comma)",
    ]


def test_a_later_decision_replaces_an_earlier_one_of_the_same_subject() -> None:
    decisions = Decisions()
    decisions.add("table", "t.csv", "3 fields span lines")
    decisions.add("labels", "", "merged")
    decisions.add("table", "t.csv", "4 fields span lines")
    assert [str(decision) for decision in decisions] == [
        "table 't.csv': 4 fields span lines",
        "labels: merged",
    ]


def test_a_card_gives_back_what_it_was_given() -> None:
    decisions = Decisions()
    decisions.add("column", "age", "numeric", "every value is a number")
    assert from_card({"decisions": decisions.card()}) == list(decisions)
    assert from_card({}) == []
