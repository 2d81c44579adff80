"""The page of a search: the best settings first, and a table of all trials."""

from flows.reports import trials

METRIC = "validation_accuracy"


def test_the_best_settings_stand_first_and_sections_are_named_where_they_must() -> None:
    settings = [
        {"training.learning_rate": 0.05, "model.dropout": 0.1, "augmentation.noise": 0.5, "model.noise": 1},
        {
            "training.learning_rate": 0.0015849,
            "model.dropout": 0.0,
            "augmentation.noise": 0.25,
            "model.noise": 2,
        },
    ]
    rows = [
        {"number": number, "value": value, "state": "complete", "params": params}
        for number, (value, params) in enumerate(zip((0.75, 0.875), settings, strict=True))
    ]
    report = trials.compose("pets", "image-classification", METRIC, rows, {0: [0.5, 0.75], 1: [0.875]}, 1)
    assert report.headline is not None
    assert (report.headline.value, report.headline.baselines[0].value) == (0.875, 0.75)
    assert [(fact.name, fact.value) for fact in report.facts] == [
        ("training.learning_rate", "0.00158"),
        ("model.dropout", "0"),
        ("augmentation.noise", "0.25"),
        ("model.noise", 2),
    ]
    (table,) = report.sections[0].tables
    named = ("trial", "validation accuracy", "state", "learning_rate", "dropout")
    assert table.columns == (*named, "augmentation.noise", "model.noise")
    assert [row[0] for row in table.rows] == [0, 1]
