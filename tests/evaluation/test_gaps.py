import numpy as np
import pandas as pd
import pytest

from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.bootstrap import share_limit
from cxr.evaluation.gaps import measure_gaps
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import fit_operating_points
from support.scored import FINDINGS, draw_films

RECIPE = EvaluationRecipe(resamples=200)
POINTS = fit_operating_points(draw_films(300, seed=9), RECIPE)
SENSITIVE = "Tuberculosis/sensitivity_at_least/0.9"


def table(films, **columns):
    return pd.DataFrame(
        {name: columns.get(name, [None] * films) for name in ("source", "view", "sex", "age_group")}
    ).astype(pd.StringDtype())


def gaps_of(films, recipe=RECIPE, **columns):
    gaps = measure_gaps(films, table(len(films), **columns), POINTS, recipe=recipe, seed=1)
    return {(gap.attribute, gap.value, gap.measure): gap for gap in gaps}


def spoiled(films, rows, share, seed=0):
    """The films, of which a share of some have the probabilities of another one."""
    hit = rows & (np.random.default_rng(seed).random(len(films)) < share)
    probabilities = films.probabilities.copy()
    probabilities[hit] = np.roll(probabilities, 1, axis=1)[hit]
    return ScoredFilms(films.labels, probabilities, films.patients, films.findings)


def test_a_subgroup_that_surely_does_worse_is_flagged_and_the_other_is_not():
    sex = np.where(np.arange(600) % 2, "F", "M")
    found = gaps_of(spoiled(draw_films(600, quality=4), sex == "F", 0.5), sex=sex)
    for measure in ("accuracy", "macro_auroc", f"sensitivity/{SENSITIVE}"):
        assert found["sex", "F", measure].state == "flag"
        assert found["sex", "F", measure].gap.low > RECIPE.subgroup_gap
        assert found["sex", "M", measure].state == "within"
        assert found["sex", "M", measure].gap.value == pytest.approx(-found["sex", "F", measure].gap.value, abs=0.1)


def test_noise_is_never_flagged():
    states = []
    for draw in range(8):
        films = draw_films(240, quality=2, seed=draw)
        random = np.random.default_rng(draw)
        found = gaps_of(films, source=random.choice(list("abc"), 240), sex=random.choice(["F", "M"], 240))
        states += [gap.state for gap in found.values()]
    assert "flag" not in states
    assert "watch" in states
    assert states.count("within") > 4 * states.count("watch")


def test_too_few_patients_give_no_gap_but_a_reason():
    sex = np.where(np.arange(300) < 15, "F", "M")
    for gap in gaps_of(draw_films(300), sex=sex).values():
        assert (gap.state, gap.gap.value) == ("unknown", None)
        assert gap.gap.reason == "fewer than 20 patients on one side"
        assert gap.here is gap.rest is None


def test_a_mix_of_findings_is_no_gap():
    """A source of nothing but the easy finding is compared with how the others do on that finding."""
    films = draw_films(900, quality=1.0, seed=2)
    easy = films.labels == 0
    sure = films.probabilities.copy()
    sure[easy] = (0.98, 0.01, 0.01)
    films = ScoredFilms(films.labels, sure, films.patients, FINDINGS)
    source = np.where(easy & (np.arange(900) % 2 == 0), "healthy", "mixed")
    found = gaps_of(films, source=source)
    raw = films.decisions == films.labels
    assert raw[source == "healthy"].mean() - raw[source == "mixed"].mean() > 0.2
    assert found["source", "mixed", "accuracy"].gap.value == pytest.approx(0, abs=0.01)
    assert found["source", "healthy", "macro_auroc"].state == "unknown"


def test_accuracy_of_the_rest_is_taken_at_the_mix_of_the_subgroup():
    films = draw_films(600, quality=1.5, seed=4)
    sex = np.where(np.random.default_rng(0).random(600) < np.array([0.2, 0.5, 0.8])[films.labels], "F", "M")
    gap = gaps_of(films, sex=sex)["sex", "F", "accuracy"]
    right, here = films.decisions == films.labels, sex == "F"
    mix = [np.mean(films.labels[here] == number) for number in range(3)]
    recall = [right[~here & (films.labels == number)].mean() for number in range(3)]
    assert gap.here == pytest.approx(right[here].mean())
    assert gap.rest == pytest.approx(np.dot(mix, recall))
    assert gap.gap.value == pytest.approx(gap.rest - gap.here)


def test_unknown_values_are_on_neither_side_and_a_single_known_one_has_no_gap():
    films = draw_films(300, seed=5)
    sex = np.array(["F", "M", None] * 100, dtype=object)
    view = np.array(["PA", None] * 150, dtype=object)
    found = gaps_of(films, sex=sex, view=view)
    assert {(attribute, value) for attribute, value, _ in found} == {("sex", "F"), ("sex", "M")}
    known = films.take(np.array([value is not None for value in sex]))
    alone = gaps_of(known, sex=[value for value in sex if value is not None])
    for key, gap in found.items():
        assert gap.here == pytest.approx(alone[key].here)
        assert gap.rest == pytest.approx(alone[key].rest)


def test_without_any_error_there_is_a_value_and_no_interval():
    films = draw_films(300, quality=60, seed=6)
    gap = gaps_of(films, sex=np.where(np.arange(300) % 2, "F", "M"))["sex", "F", "accuracy"]
    assert (gap.gap.value, gap.gap.low, gap.gap.high, gap.state) == (0, None, None, "within")


def test_a_side_that_is_always_wrong_is_flagged_with_an_interval():
    """No resample changes such a gap either; it is the worst that there can be."""
    films = draw_films(300, quality=60, seed=6)
    sex = np.where(np.arange(300) % 2, "F", "M")
    found = gaps_of(spoiled(films, sex == "F", 1.0), sex=sex)["sex", "F", "accuracy"]
    assert (found.gap.value, found.gap.high, found.state) == (1, 1, "flag")
    assert 0.9 < found.gap.low < 1 - 2 * (1 - share_limit(150))


def test_the_limit_is_the_recipes():
    sex = np.where(np.arange(600) % 2, "F", "M")
    films = spoiled(draw_films(600, quality=4), sex == "F", 0.3)
    wide = EvaluationRecipe(resamples=200, subgroup_gap=0.9)
    assert gaps_of(films, sex=sex)["sex", "F", "accuracy"].state == "flag"
    assert gaps_of(films, recipe=wide, sex=sex)["sex", "F", "accuracy"].state == "within"
