import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.bootstrap import share_limit
from cxr.evaluation.calibration import softmax
from cxr.evaluation.gaps import measure_gaps
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import fit_operating_points
from support.scored import FINDINGS, draw_films

RECIPE = EvaluationRecipe(resamples=200)
POINTS = fit_operating_points(draw_films(300, seed=9), RECIPE)
SENSITIVE = "Tuberculosis/sensitivity_at_least/0.9"
MEASURES = ("macro_auroc", "accuracy", f"sensitivity/{SENSITIVE}", f"specificity/{SENSITIVE}")
PNEUMONIA = "Pneumonia/sensitivity_at_least/0.9"


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
    films, sex = unlike_mixes()
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


def alike(mixes, seed=3):
    """Films and their sex. All sides have the same 40 films of each finding, each so many times as their mix says.

    Pneumonia and Tuberculosis are taken for each other, Normal for neither.
    """
    means = np.array([[5.0, 0.0, 0.0], [0.0, 2.0, 1.7], [0.0, 1.7, 2.0]])
    rng = np.random.default_rng(seed)
    profiles = rng.normal(size=(3, 40, 3)) + means[:, None]
    logits = np.concatenate([np.tile(profiles[n], (times, 1)) for mix in mixes.values() for n, times in enumerate(mix)])
    labels = np.concatenate([np.full(40 * times, n) for mix in mixes.values() for n, times in enumerate(mix)])
    sex = np.concatenate([np.full(40 * sum(mix), name) for name, mix in mixes.items()])
    return ScoredFilms(labels, softmax(logits, temperature=1.0), np.arange(len(labels)), FINDINGS), sex


@pytest.mark.parametrize("measure", MEASURES)
def test_a_model_that_does_the_same_on_every_finding_has_no_gap_whatever_the_mixes(measure):
    films, sex = alike({"F": (1, 6, 2), "M": (6, 1, 2)})
    called = films.probabilities[:, 2] >= next(p.threshold for p in POINTS if p.key == SENSITIVE)
    raw = [(~called)[(sex == one) & (films.labels != 2)].mean() for one in "MF"]
    assert raw[0] - raw[1] > 0.3, "what a comparison of unlike mixes would give"
    found = gaps_of(films, sex=sex)
    for one in "FM":
        gap = found["sex", one, measure]
        assert gap.gap.value == pytest.approx(0, abs=1e-9)
        assert gap.state == "within"
        assert gap.gap.low <= 0 <= gap.gap.high


@pytest.mark.parametrize("measure", MEASURES)
def test_a_real_difference_is_flagged_beneath_unlike_mixes(measure):
    films, sex = unlike_mixes(quality=4)
    assert gaps_of(films, sex=sex)["sex", "F", measure].state == "within"
    assert gaps_of(spoiled(films, sex == "F", 0.5), sex=sex)["sex", "F", measure].state == "flag"


@pytest.mark.parametrize(("point", "number"), [(SENSITIVE, 2), (PNEUMONIA, 1)])
def test_specificity_of_the_rest_is_taken_at_the_other_findings_of_the_subgroup(point, number):
    films, sex = unlike_mixes()
    gap = gaps_of(films, sex=sex)["sex", "F", f"specificity/{point}"]
    here = sex == "F"
    spared = films.probabilities[:, number] < next(p.threshold for p in POINTS if p.key == point)
    others = [other for other in range(3) if other != number]
    mix = [np.mean(films.labels[here & (films.labels != number)] == other) for other in others]
    of_rest = [spared[~here & (films.labels == other)].mean() for other in others]
    assert gap.here == pytest.approx(spared[here & (films.labels != number)].mean())
    assert gap.rest == pytest.approx(np.dot(mix, of_rest))


def test_the_auroc_of_the_rest_is_the_mean_of_those_against_each_finding_at_the_mix_of_the_subgroup():
    films, sex = unlike_mixes()
    gap = gaps_of(films, sex=sex)["sex", "F", "macro_auroc"]
    here, areas = sex == "F", []
    for number in range(3):
        for other in {0, 1, 2} - {number}:
            pair = ~here & np.isin(films.labels, [number, other])
            area = roc_auc_score(films.labels[pair] == number, films.probabilities[pair, number])
            areas.append(area * np.mean(films.labels[here & (films.labels != number)] == other))
    own = roc_auc_score(films.labels[here], films.probabilities[here], multi_class="ovr")
    assert gap.here == pytest.approx(own)
    assert gap.rest == pytest.approx(np.sum(areas) / 3)


@pytest.mark.parametrize("measure", MEASURES)
def test_films_of_a_finding_that_the_others_lack_are_left_out(measure):
    films, sex = alike({"F": (3, 6, 2), "M": (6, 0, 3)})
    shared = films.labels != 1
    found, alone = gaps_of(films, sex=sex), gaps_of(films.take(shared), sex=sex[shared])
    gap, expected = found["sex", "F", measure], alone["sex", "F", measure]
    assert (gap.here, gap.rest) == (expected.here, expected.rest)
    assert gap.state == expected.state == "within"


def test_a_specificity_for_which_no_other_finding_is_shared_is_unknown():
    films, sex = alike({"F": (0, 3, 2), "M": (3, 0, 2)})
    gap = gaps_of(films, sex=sex)["sex", "F", f"specificity/{SENSITIVE}"]
    assert (gap.state, gap.gap.reason) == ("unknown", "fewer than 20 patients on one side")


def unlike_mixes(quality=1.5):
    """Films drawn at random, and a sex that goes with the finding."""
    films = draw_films(600, quality=quality, seed=4)
    chances = np.array([0.2, 0.5, 0.8])[films.labels]
    return films, np.where(np.random.default_rng(0).random(600) < chances, "F", "M")
