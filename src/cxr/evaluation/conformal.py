"""Class-conditional conformal prediction sets: the findings that a film may have, with a promise for each of them.

The promise: of the patients who have a finding, at most a share `error` get a set without it, whichever the finding
(Vovk 2012; the sets are the smallest that keep it, Sadinle et al. 2019). It holds for any network and any distribution
of films, with as many validation patients as there are, as long as validation patients and later ones are exchangeable:
drawn from the same hospitals in the same way. A hospital that the validation films are not of is not covered by it,
which is why coverage is measured again wherever there are labels.

Films of one patient are not exchangeable with those of others. So patients are what is drawn (hierarchical conformal
prediction: Lee, Barber & Willett 2023): each patient has the weight of one film, shared among the patient's films of
the finding, and the promise is for a film drawn at random from a patient drawn at random.

Temperature and epoch were chosen on the same validation films, which the theory does not allow for; measured coverage
on films that took no part says what that costs.
"""

from collections.abc import Mapping

import numpy as np

from cxr.contracts.metrics import Estimate, FindingCoverage, PredictionSetLimits, PredictionSetReport
from cxr.evaluation.arrays import Floats, Mask, weighted_mean
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate, share_limit
from cxr.evaluation.counting import log_choose
from cxr.evaluation.scored import ScoredFilms

_ROUNDING = 1e-12


def fit_prediction_sets(films: ScoredFilms, *, error: float) -> PredictionSetLimits:
    """Limits that keep the promise for `error`, from films that did not train the network.

    A finding without enough patients to leave it out of any set, fewer than `1 / error - 1`, is in every set.

    Args:
        films: validation films.
        error: share of patients, above 0 and under 1.
    """
    weights = patient_shares(films)
    limits, patients = {}, {}
    for number, finding in enumerate(films.findings):
        present = films.labels == number
        patients[finding] = films.patients_of(present)
        limits[finding] = _limit(films.probabilities[present, number], weights[present], patients[finding], error)
    return PredictionSetLimits(error=error, least_probability=limits, patients=patients)


def prediction_sets(probabilities: Floats, limits: PredictionSetLimits, findings: tuple[str, ...]) -> Mask:
    """Whether each finding is in the set of each film, bool [n, c].

    Args:
        probabilities: [n, c], with the temperature that the limits were fitted with.
        limits: of the model.
        findings: in the order of the probabilities.
    """
    least = np.array([limits.least_probability[finding] for finding in findings])
    held: Mask = probabilities >= least
    return held


def measure_prediction_sets(
    films: ScoredFilms, limits: PredictionSetLimits, *, resamples: int, seed: int
) -> PredictionSetReport:
    """Coverage and size of the prediction sets of films that took no part in fitting the limits.

    Args:
        films: test films, or the films of a source that was withheld.
        limits: fitted on other patients.
        resamples: of patients, for each interval.
        seed: of the resamples.
    """
    sets = prediction_sets(films.probabilities, limits, films.findings)
    return measure_sets(films, sets, error=limits.error, fitted_on=limits.patients, resamples=resamples, seed=seed)


def measure_sets(
    films: ScoredFilms,
    sets: Mask,
    *,
    error: float,
    resamples: int,
    seed: int,
    fitted_on: Mapping[str, int] | None = None,
) -> PredictionSetReport:
    """Coverage and size of given sets, which may come of several limits.

    Args:
        films: n of them.
        sets: [n, c], whether each finding is in the set of each film.
        error: of the promise that the sets were made for.
        resamples: of patients, for each interval.
        seed: of the resamples.
        fitted_on: validation patients of each finding, for the chance of the coverage under one promise; without them
            that is left open.
    """
    covered = sets[np.arange(len(films)), films.labels]
    shares, sizes = patient_shares(films), sets.sum(axis=1)
    single = sizes == 1
    counted: dict[str, tuple[Mask, Mask]] = {
        finding: (covered, films.labels == number) for number, finding in enumerate(films.findings)
    }
    everyone = np.ones(len(films), dtype=bool)
    counted |= {"coverage": (covered, everyone), "empty": (sizes == 0, everyone), "single": (single, everyone)}
    counted |= {"multiple": (sizes > 1, everyone), "single right": (covered, single)}

    def statistics(weights: Floats) -> Mapping[str, Floats]:
        weights = weights * shares
        values = {
            name: weighted_mean(met.astype(np.float64), weights * among) for name, (met, among) in counted.items()
        }
        return values | {"size": weighted_mean(sizes.astype(np.float64), weights)}

    drawn = bootstrap(statistics, films.patients, resamples=resamples, seed=seed)
    found = {name: estimate(drawn[name], _basis(films, name, among)) for name, (_, among) in counted.items()}
    return PredictionSetReport(
        error=error,
        coverage=found["coverage"],
        per_class={
            finding: _coverage(found[finding], films, finding, error=error, fitted_on=(fitted_on or {}).get(finding))
            for finding in films.findings
        },
        mean_size=estimate(drawn["size"], Basis()),
        empty=found["empty"],
        single=found["single"],
        multiple=found["multiple"],
        single_right=found["single right"],
    )


def patient_shares(films: ScoredFilms) -> Floats:
    """Weights [n] with which every patient counts as one film of each finding that the patient has."""
    keys = films.patients * len(films.findings) + films.labels
    _, places, films_of = np.unique(keys, return_inverse=True, return_counts=True)
    shares: Floats = 1.0 / films_of[places]
    return shares


def coverage_chance(*, covered: float, patients: int, fitted_on: int, error: float) -> float:
    """Probability that sets which keep the promise cover at most so many patients.

    Given their validation patients, sets cover a share that is Beta distributed around the promise (Vovk 2012), so the
    number of covered patients is beta-binomial. That is exact with one film a patient and no ties.

    Args:
        covered: patients whose set holds the finding, rounded down where films of a patient differ.
        patients: with the finding, among the measured ones.
        fitted_on: validation patients with the finding.
        error: of the promise.

    >>> round(coverage_chance(covered=80, patients=100, fitted_on=1000, error=0.1), 4)
    0.0032
    """
    left_out = int(error * (fitted_on + 1) + _ROUNDING)
    if left_out == 0:
        return 1.0
    kept = fitted_on + 1 - left_out
    hits = np.arange(int(covered + _ROUNDING) + 1)
    chances = (
        log_choose(hits + kept - 1, hits)
        + log_choose(patients - hits + left_out - 1, patients - hits)
        - log_choose(np.array(patients + fitted_on), np.array(patients))
    )
    return float(min(1.0, np.exp(chances).sum()))


def _limit(probabilities: Floats, weights: Floats, patients: int, error: float) -> float:
    """The largest limit that at least `1 - error` of the patients and of one more, who reaches none, reach."""
    order = np.argsort(-probabilities, kind="stable")
    reached = np.cumsum(weights[order])
    enough = np.flatnonzero(reached >= (1 - error) * (patients + 1) - _ROUNDING * (patients + 1))
    return float(probabilities[order[enough[0]]]) if len(enough) else 0.0


def _coverage(
    found: Estimate, films: ScoredFilms, finding: str, *, error: float, fitted_on: int | None
) -> FindingCoverage:
    patients = films.patients_of(films.labels == films.findings.index(finding))
    chance = None
    if found.value is not None and fitted_on is not None:
        chance = coverage_chance(covered=found.value * patients, patients=patients, fitted_on=fitted_on, error=error)
    return FindingCoverage(coverage=found, patients=patients, chance=chance)


def _basis(films: ScoredFilms, name: str, among: Mask) -> Basis:
    absent = "no set holds exactly one finding" if name == "single right" else f"no film of {name}"
    return Basis(reason="" if among.any() else absent, limit=share_limit(films.patients_of(among)))
