"""Every figure of the audit is near chance on films without a shortcut, and far from it on films with one."""

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr.contracts.metrics import Estimate
from cxr.contracts.recipe import AuditRecipe, Gate
from cxr.contracts.shortcuts import HiddenResult, PastedResult
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.shortcut_probes import pixel_probe, source_probes
from cxr.evaluation.shortcut_verdict import judge_shortcuts
from cxr.evaluation.shortcuts import auroc_estimates, compare_pasted, source_pull, source_shares

FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")
DRAWN = {"resamples": 200, "seed": 0}
CHANCE = Estimate(value=0.5, low=0.45, high=0.55)


def films_of(*, pull: float, count: int = 600, seed: int = 0):
    """Scored films whose pneumonia score rises in source "a" by `pull`, sources independent of the finding."""
    rng = np.random.default_rng(seed)
    labels, sources = rng.integers(0, 3, count), rng.choice(np.array(["a", "b"], dtype=object), count)
    logits = rng.normal(size=(count, 3)) + 2 * np.eye(3)[labels]
    logits[:, 1] += pull * (sources == "a")
    groups = [f"p{number // 2}" for number in range(count)]
    return ScoredFilms.from_logits(logits, labels, groups, temperature=1.0, findings=FINDINGS), sources


RICH = {"a": np.array([0.1, 0.8, 0.1]), "b": np.array([0.45, 0.1, 0.45])}
PRIOR = np.array([0.3, 0.4, 0.3])


def pull_of(pull: float) -> dict[str, Estimate]:
    films, sources = films_of(pull=pull)
    return source_pull(films, sources, RICH, PRIOR, least_patients=8, **DRAWN)


def test_the_source_pulls_exactly_where_it_counts():
    neutral, pulled = pull_of(0.0)["Pneumonia"], pull_of(2.0)["Pneumonia"]
    assert neutral.low < 0.5 < neutral.high
    assert pulled.low > 0.8


def test_the_pull_is_the_mean_auroc_over_the_other_findings():
    films, sources = films_of(pull=0.7)
    expected = [
        roc_auc_score(sources[films.labels == other] == "a", films.probabilities[films.labels == other, 1])
        for other in (0, 2)
    ]
    found = source_pull(films, sources, RICH, PRIOR, least_patients=8, **DRAWN)["Pneumonia"]
    assert found.value == pytest.approx(np.mean(expected))


def test_the_pull_is_undefined_with_a_reason():
    films, sources = films_of(pull=0.0)
    even = {"a": PRIOR, "b": PRIOR}
    assert "distinctly more" in source_pull(films, sources, even, PRIOR, least_patients=8, **DRAWN)["Normal"].reason
    few = source_pull(films, sources, RICH, PRIOR, least_patients=1000, **DRAWN)["Pneumonia"]
    assert (few.value, few.reason.startswith("no other finding has 1000 patients")) == (None, True)


def test_shares_of_a_source_are_those_of_its_films_and_never_zero():
    shares = source_shares(np.array([0, 0, 0, 1]), np.array(["a", "a", "a", "b"], dtype=object), findings=3)
    assert shares["a"].tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6])
    assert all(share.min() > 0 for share in shares.values())


@pytest.mark.parametrize(("signal", "found"), [(0.0, False), (3.0, True)])
def test_a_probe_names_the_source_only_when_the_embedding_holds_it(signal, found):
    films, sources = films_of(pull=0.0, count=300)
    embeddings = np.random.default_rng(1).normal(size=(300, 20))
    embeddings[:, 3] += signal * (sources == "a")
    for probe in source_probes(embeddings, films, sources, least_patients=8, **DRAWN):
        assert (probe.sources, probe.chance) == (("a", "b"), 0.5)
        assert (probe.macro_auroc.low > 0.8) is found
        assert (probe.balanced_accuracy.low > 0.75) is found


def test_a_probe_does_not_know_a_patient_again():
    """Films of a patient are alike and share a source: split by film, the source would seem to show."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 5)
    sources = rng.choice(np.array(["a", "b"], dtype=object), 60)[patients]
    embeddings = rng.normal(size=(60, 30))[patients] + 0.01 * rng.normal(size=(300, 30))
    films = ScoredFilms(np.zeros(300, np.int64), np.full((300, 3), 1 / 3), patients, FINDINGS)
    (probe,) = source_probes(embeddings, films, sources, least_patients=8, **DRAWN)
    assert probe.patients == 60
    assert probe.macro_auroc.value < 0.7


def test_a_probe_of_one_source_is_undefined_with_a_reason():
    films, _ = films_of(pull=0.0, count=100)
    alone = np.full(100, "a", dtype=object)
    probe = source_probes(np.zeros((100, 2)), films, alone, least_patients=8, **DRAWN)[0]
    assert (probe.chance, probe.macro_auroc.value) == (None, None)
    assert "two sources" in probe.macro_auroc.reason


def test_pixels_of_one_class_give_that_class():
    probabilities = pixel_probe(np.zeros((4, 2)), np.full(4, 2), np.zeros((3, 2)), classes=3)
    assert probabilities.argmax(axis=1).tolist() == [2, 2, 2]


def test_auroc_agrees_with_an_independent_one():
    films, _ = films_of(pull=0.0)
    found = auroc_estimates(films, **DRAWN)
    expected = [roc_auc_score(films.labels == number, films.probabilities[:, number]) for number in range(3)]
    assert [found[f"auroc_{finding}"].value for finding in FINDINGS] == pytest.approx(expected)
    assert found["macro_auroc"].value == pytest.approx(np.mean(expected))


def test_a_finding_that_does_not_occur_is_undefined():
    films, _ = films_of(pull=0.0)
    found = auroc_estimates(films.take(films.labels != 2), **DRAWN)
    assert (found["auroc_Tuberculosis"].value, found["auroc_Tuberculosis"].reason) == (None, "no film of Tuberculosis")


def test_a_pasted_object_is_compared_film_by_film():
    before, _ = films_of(pull=0.0)
    after = ScoredFilms(before.labels, before.probabilities[:, [1, 0, 2]], before.patients, FINDINGS)
    same = compare_pasted("lead_marker", 2, before, before, **DRAWN)
    assert (same.change.value, same.flips.value) == (0.0, 0.0)
    swapped = compare_pasted("lead_marker", 2, before, after, **DRAWN)
    assert swapped.flips.value == pytest.approx(np.mean(before.decisions != 2))
    assert swapped.change.value == pytest.approx(np.abs(before.probabilities[:, 0] - before.probabilities[:, 1]).mean())
    assert sum(shift.value for shift in swapped.shifts.values()) == pytest.approx(0)


def verdict(**changes):
    def hidden(part, model=CHANCE, pixels=CHANCE):
        return HiddenResult(part=part, model={"macro_auroc": model}, pixels={"macro_auroc": pixels})

    parts = {part: hidden(part, **changes.pop(part, {})) for part in ("lungs_hidden", "border_only", "lungs_only")}
    flips = changes.pop("flips", Estimate(value=0.01, low=0.0, high=0.02))
    pasted = PastedResult(object="lead_marker", severity=2, change=flips, flips=flips, shifts={})
    given = {"source_alone": CHANCE, "pull": {"Pneumonia": CHANCE}} | changes
    return judge_shortcuts(AuditRecipe(), hidden=tuple(parts.values()), pasted=(pasted,), **given)


SURE, UNSURE = Estimate(value=0.95, low=0.9, high=0.98), Estimate(value=0.95, low=0.2, high=0.99)


@pytest.mark.parametrize(
    ("changes", "state", "word"),
    [
        ({}, "pass", "no figure"),
        ({"lungs_hidden": {"model": SURE}}, "fail", "lungs blacked out"),
        ({"lungs_hidden": {"model": UNSURE}}, "warn", "lungs blacked out"),
        ({"border_only": {"model": SURE}}, "fail", "border"),
        ({"lungs_only": {"model": SURE, "pixels": SURE}}, "pass", "no figure"),
        ({"border_only": {"pixels": SURE}}, "warn", "few pixels"),
        ({"border_only": {"pixels": UNSURE}}, "pass", "no figure"),
        ({"source_alone": SURE}, "warn", "guessing the finding from the source"),
        ({"pull": {"Tuberculosis": SURE}}, "fail", "Tuberculosis"),
        ({"pull": {"Tuberculosis": Estimate(value=None, reason="too few")}}, "pass", "no figure"),
        ({"flips": SURE}, "warn", "lead marker"),
        ({"flips": UNSURE}, "pass", "no figure"),
    ],
)
def test_what_decides_the_verdict(changes, state, word):
    found, reasons = verdict(**changes)
    assert found == state
    assert any(word in reason for reason in reasons)


def test_all_reasons_are_told_with_their_figures():
    state, reasons = verdict(lungs_hidden={"model": SURE}, flips=SURE)
    assert (state, len(reasons)) == ("fail", 2)
    assert "is 0.950 (95% CI 0.900-0.980)" in reasons[0]


def test_the_gate_lets_warnings_pass_by_default():
    assert Gate().shortcuts == "warn"
    assert msgspec.convert({"shortcuts": "fail"}, Gate).shortcuts == "fail"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"shortcuts": "any"}, Gate)
