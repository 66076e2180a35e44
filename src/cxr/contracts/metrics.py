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


class Calibration(Contract, frozen=True, kw_only=True):
    """What is fitted on the validation split and nowhere else.

    Attributes:
        temperature: logits are divided by it before softmax (Guo et al. 2017).
        refer_below: films whose highest probability is under it are referred to a radiologist.
    """

    version: Literal[1] = 1
    temperature: float
    operating_points: tuple[OperatingPoint, ...]
    refer_below: float
    validation_films: int


class MetricsReport(Contract, frozen=True, kw_only=True):
    """An evaluation of one model on one split of one index.

    Attributes:
        overall: accuracy, macro_precision, macro_recall, macro_f1, macro_auroc, macro_auprc, ece, brier, log_loss.
            Macro averages run over the findings that occur among the films; ece is over 15 bins of equal mass.
        per_class: finding to precision, recall, f1, auroc, auprc, specificity, sensitivity_at_specificity_<p>,
            specificity_at_sensitivity_<p> (p in percent), each against the rest.
        confusion: rows are true findings, columns decisions, in the order of `findings`.
        operating_points: "<finding>/<name>[/<target>]" to sensitivity, specificity, ppv, npv on this split.
        model: digest of the checkpoint, or of the bundle.
    """

    version: Literal[1] = 1
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
        presets: preset name ("clinical", "severe") to accuracy, macro_auroc, accuracy_drop, macro_auroc_drop.
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
