import msgspec

from cxr.reporting.run_tables import best_recipe_table, epochs_table, importance_table, trials_table
from cxr.reporting.tables import Number
from support.synthetic_run import SyntheticRun


def values(row: tuple[object, ...]) -> list[object]:
    return [cell.value if isinstance(cell, Number) else cell for cell in row[1:]]


def test_the_best_trial_stands_beside_the_recipe_as_given(run: SyntheticRun):
    table = best_recipe_table(run.search)
    own = run.search.trials[0]
    best = next(trial for trial in run.search.trials if trial.number == run.search.best)
    rows = {row[0]: values(row) for row in table.rows}
    assert rows["loss.gamma"] == [own.parameters["loss.gamma"], best.parameters["loss.gamma"]]
    assert rows["Validation macro AUROC"] == [own.value, best.value]


def test_a_search_in_katib_has_no_trial_0_and_no_curves(run: SyntheticRun):
    trials = [msgspec.structs.replace(trial, curve=()) for trial in run.search.trials if trial.number]
    search = msgspec.structs.replace(run.search, trials=tuple(trials))
    rows = {row[0]: values(row) for row in best_recipe_table(search).rows}
    assert rows["loss.gamma"] == ["", search.kept.parameters["loss.gamma"]]
    assert rows["Validation macro AUROC"] == [None, search.kept.value]
    epochs = {row[0]: row[-2] for row in trials_table(search).rows}
    assert epochs[f"{search.best} (kept)"].reason == "Katib tells of the best epoch alone"


def test_every_trial_has_a_row_and_a_failed_one_its_reason(run: SyntheticRun):
    table = trials_table(run.search)
    assert len(table.rows) == len(run.search.trials)
    failed = table.rows[6]
    assert failed[1] == "failed"
    assert table.footnotes == {"diverged": "a"}
    kept = [row[0] for row in table.rows if "(kept)" in str(row[0])]
    assert kept == [f"{run.search.best} (kept)"]


def test_fields_keep_their_section_where_the_name_alone_is_shared(run: SyntheticRun):
    values = {"loss.gamma": 2.0, "augmentation.gamma": 0.2, "model.dropout": 0.1}
    trials = (msgspec.structs.replace(run.search.trials[0], parameters=values),)
    table = trials_table(msgspec.structs.replace(run.search, trials=trials))
    assert table.columns[3:-2] == ("loss.gamma", "augmentation.gamma", "dropout")


def test_words_and_switches_among_the_values_are_shown(run: SyntheticRun):
    trial = msgspec.structs.replace(run.search.trials[0], parameters={"loss.kind": "focal", "loss.class_balance": True})
    search = msgspec.structs.replace(run.search, trials=(trial,), best=0)
    assert [row[2] for row in best_recipe_table(search).rows][:2] == ["focal", "true"]


def test_importance_is_ranked(run: SyntheticRun):
    table = importance_table({"a": 0.2, "b": 0.7, "c": 0.1})
    assert [row[0] for row in table.rows] == ["b", "a", "c"]


def test_epochs_mark_the_one_that_was_kept(run: SyntheticRun):
    rows = epochs_table(run.history).rows
    assert [row[0] for row in rows if "kept" in str(row[0])] == ["7 (kept)"]
    assert values(rows[2])[3] == run.history.epochs[2].validation_macro_auroc


def test_epochs_say_when_their_head_is_not_the_one_that_was_kept(run: SyntheticRun):
    assert not epochs_table(run.history).note
    again = msgspec.structs.replace(run.history, refit_seconds=12.5)
    assert epochs_table(again).note == "Validation figures are of the head before it was fitted again."
