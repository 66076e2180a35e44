"""What an evaluation says: every value with its interval, or null with the reason why it is undefined."""

from typing import Literal

from cxr.contracts.files import Contract

METRICS_FILE = "metrics.json"
METRICS_TABLE = "metrics.csv"
CALIBRATION_FILE = "calibration.json"
ROBUSTNESS_FILE = "robustness.json"
LOCALISATION_FILE = "localisation.json"
ROBUSTNESS_TABLE = "robustness.csv"


class Estimate(Contract, frozen=True, kw_only=True):
    """A value with its 95% confidence interval (patient-level bootstrap, see `cxr.evaluation.bootstrap.estimate`).

    `value` is null exactly when `reason` says why it is undefined; `low` and `high` may be null on their own.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class Subgroup(Contract, frozen=True, kw_only=True):
    """Metrics of the films that share one value of one attribute (source, view, sex, age_group)."""

    attribute: str
    value: str
    films: int
    patients: int
    metrics: dict[str, Estimate]


class OperatingPoint(Contract, frozen=True, kw_only=True):
    """A threshold on the probability of `finding` ("finding against the rest"), fitted on validation.

    Attributes:
        name: "youden", "sensitivity_at_least" or "specificity_at_least".
        target: the sensitivity or specificity asked for; null for youden.
        threshold: decide `finding` when its probability is at least this.
        validation_sensitivity, validation_specificity: where it was fitted.
    """

    finding: str
    name: Literal["youden", "sensitivity_at_least", "specificity_at_least"]
    target: float | None
    threshold: float
    validation_sensitivity: float
    validation_specificity: float

    @property
    def key(self) -> str:
        """Its name in reports and predictions: "<finding>/<name>[/<target>]"."""
        return f"{self.finding}/{self.name}" + ("" if self.target is None else f"/{self.target:g}")


class PredictionSetLimits(Contract, frozen=True, kw_only=True):
    """Limits of class-conditional conformal prediction sets, see `cxr.evaluation.conformal`.

    Attributes:
        error: tolerated share of patients, among those with a finding, whose set lacks it; for each finding alike.
        least_probability: by finding; the set of a film holds the findings whose probability is at least this. 0 where
            validation has too few patients to leave the finding out of any set.
        patients: validation patients that each limit rests on.
    """

    error: float
    least_probability: dict[str, float]
    patients: dict[str, int]


class Calibration(Contract, frozen=True, kw_only=True):
    """What is fitted on the validation split and nowhere else.

    Attributes:
        version: 1 lacks `refer_error`, `refer_error_bound` and `prediction_sets`.
        temperature: logits are divided by it before softmax (Guo et al. 2017).
        refer_below: films whose highest probability is under it are referred to a radiologist.
        refer_error: share of wrong decisions that was to be tolerated at or above `refer_below`.
        refer_error_bound: upper confidence limit of the share of wrong decisions among validation films at or above
            `refer_below`.
        prediction_sets: null in version 1.
        unseen_films: validation films that the temperature heeds as read by heads that know no film of their source
            (`evaluation.unseen_share`).
    """

    version: Literal[1, 2] = 2
    temperature: float
    operating_points: tuple[OperatingPoint, ...]
    refer_below: float
    validation_films: int
    refer_error: float | None = None
    refer_error_bound: float | None = None
    prediction_sets: PredictionSetLimits | None = None
    unseen_films: int = 0


class FindingCoverage(Contract, frozen=True, kw_only=True):
    """How often the prediction sets of films with one finding hold it.

    Attributes:
        coverage: share of patients, a patient's films counting as their mean.
        patients: with the finding, in the evaluated films.
        chance: probability that sets which keep their promise cover no more patients than these do, over the draw of
            the validation patients and of these; null where no film has the finding.
    """

    coverage: Estimate
    patients: int
    chance: float | None


class PredictionSetReport(Contract, frozen=True, kw_only=True):
    """Conformal prediction sets on films that took no part in fitting them; every patient counts once per finding.

    Attributes:
        error: see `PredictionSetLimits`.
        coverage: share of all patients whose set holds the true finding.
        per_class: by finding.
        mean_size: findings in a set.
        empty, single, multiple: shares of the sets with no, one and more findings.
        single_right: share of the sets with one finding that hold the true one.
    """

    error: float
    coverage: Estimate
    per_class: dict[str, FindingCoverage]
    mean_size: Estimate
    empty: Estimate
    single: Estimate
    multiple: Estimate
    single_right: Estimate


class SelectiveReport(Contract, frozen=True, kw_only=True):
    """What referring films of low confidence does on the evaluated films.

    Attributes:
        target_error: share of wrong decisions to tolerate among films that are not referred.
        refer_below: limit on the confidence, fitted on validation.
        aurc: area under the risk-coverage curve: the share of wrong decisions among the films at least as confident,
            averaged over films (Geifman et al. 2019).
        refer_rate: share of films referred, for low confidence or for being unlike the training films.
        error: share of wrong decisions among the films that are not.
        ece: expected calibration error of the films that are not.
        unlike_rate: share of films that are unlike the training films; null of a checkpoint, which has no limit for
            that yet.
    """

    target_error: float
    refer_below: float
    aurc: Estimate
    refer_rate: Estimate
    error: Estimate
    ece: Estimate
    unlike_rate: Estimate | None = None


GapState = Literal["within", "watch", "flag", "unknown"]


class SubgroupGap(Contract, frozen=True, kw_only=True):
    """By how much a subgroup does worse than the other films, in one measure.

    Attributes:
        measure: "macro_auroc", "accuracy", or "sensitivity" or "specificity" followed by the key of an operating point,
            as in "sensitivity/Tuberculosis/sensitivity_at_least/0.9".
        here, rest: the measure in the subgroup and, at the subgroup's mix of findings, in the films of every other
            known value; null where undefined.
        gap: `rest` less `here`, above 0 where the subgroup does worse; null, with the reason, where it is undefined or
            either side has too few patients.
        state: "flag" when the whole interval of the gap lies over the recipe's limit, "watch" when only the value
            does, "unknown" when there is none.
    """

    attribute: str
    value: str
    measure: str
    films: int
    patients: int
    here: float | None
    rest: float | None
    gap: Estimate
    state: GapState


class MetricsReport(Contract, frozen=True, kw_only=True):
    """An evaluation of one model on one split of one index.

    Attributes:
        overall: accuracy, macro_precision, macro_recall, macro_f1, macro_auroc, macro_auprc, ece, brier, log_loss.
            Macro averages run over the findings that occur among the films; ece is over 15 bins of equal mass.
        per_class: finding to precision, recall, f1, auroc, auprc, specificity, sensitivity_at_specificity_<p>,
            specificity_at_sensitivity_<p> (p in percent), each against the rest; and auroc_against_normal, of Normal
            films and those of the finding alone by the odds of the one against the other.
        confusion: rows are true findings, columns decisions, in the order of `findings`.
        prediction_sets: null where the model has no limits for them (bundles of version 1).
        selective: null in version 1, like `gaps` being empty.
        operating_points: "<finding>/<name>[/<target>]" to sensitivity, specificity, ppv, npv on this split.
        model: digest of the checkpoint, or of the bundle.
    """

    version: Literal[1, 2] = 2
    split: str
    films: int
    patients: int
    findings: tuple[str, ...]
    index: str
    model: str
    temperature: float
    resamples: int
    overall: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    operating_points: dict[str, dict[str, Estimate]]
    subgroups: tuple[Subgroup, ...]
    confusion: tuple[tuple[int, ...], ...]
    prediction_sets: PredictionSetReport | None = None
    selective: SelectiveReport | None = None
    gaps: tuple[SubgroupGap, ...] = ()


class CorruptionResult(Contract, frozen=True, kw_only=True):
    """One corruption at one severity on the test split; drops are clean minus corrupted, paired by film."""

    corruption: str
    severity: int
    accuracy: Estimate
    macro_auroc: Estimate
    accuracy_drop: Estimate
    macro_auroc_drop: Estimate


class RobustnessReport(Contract, frozen=True, kw_only=True):
    """The whole grid and the mean over each preset.

    Attributes:
        presets: preset name ("clinical", "severe") to accuracy, macro_auroc, accuracy_drop, macro_auroc_drop; null
            where not all of a preset was measured.
    """

    version: Literal[1] = 1
    films: int
    patients: int
    index: str
    model: str
    clean_accuracy: Estimate
    clean_macro_auroc: Estimate
    results: tuple[CorruptionResult, ...]
    presets: dict[str, dict[str, Estimate]]


class LocalisationReport(Contract, frozen=True, kw_only=True):
    """Where the network looks, against lesion masks where they exist.

    Attributes:
        films: test films with an activation map.
        masked_films: films with a finding and a lesion mask.
        pointing_game: share of masked films whose map peaks inside the lesion, `tolerance` pixels at 224 allowed
            (Zhang et al. 2018).
        energy_inside: mean share of the positive activation inside the lesion (energy-based pointing game, Wang 2020).
        pointing_chance: mean share of the film within the tolerance of a lesion: the pointing game of a blind guess.
        lesion_area: mean share of the film that the lesions cover: the energy inside of a flat map.
        per_class: finding to the same four.
        analytic_cosine: least cosine between the analytic map and captum's LayerGradCam over the checked films.
    """

    version: Literal[1] = 1
    films: int
    masked_films: int
    index: str
    model: str
    tolerance: float
    pointing_game: Estimate
    pointing_chance: Estimate
    energy_inside: Estimate
    lesion_area: Estimate
    per_class: dict[str, dict[str, Estimate]]
    analytic_cosine: float
