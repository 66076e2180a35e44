"""What a bundle says of one film: a prediction, or the reason why there is none."""

from typing import Literal

from cxr.contracts.files import Contract

Referral = Literal["low_confidence", "out_of_distribution"]


class ActivationPeak(Contract, frozen=True, kw_only=True):
    """Where the evidence for a finding is strongest: pixels of the original picture, turned as its EXIF says."""

    finding: str
    x: float
    y: float


class FilmPrediction(Contract, frozen=True, kw_only=True, tag_field="outcome", tag="classified"):
    """A film that was read and classified.

    Attributes:
        file: as it was named by the caller.
        bundle: digest of the bundle that says so.
        probabilities: calibrated, by finding; they sum to 1.
        decision: the most probable finding.
        confidence: its probability.
        prediction_set: the findings that the film may have: of the patients with a finding, whichever it is, all but a
            share that the bundle states get a set with it, see `cxr.contracts.metrics.PredictionSetLimits`. Several or
            none mean that the model does not know. Null where the bundle is of version 1.
        operating_points: `OperatingPoint.key` to whether the film is positive there.
        distance: from the training films, see `cxr.contracts.bundle.OutOfDistribution`.
        out_of_distribution: the distance is beyond the bundle's limit, or the picture passed the gate by little; the
            probabilities mean nothing then.
        referred: why a radiologist must decide instead; empty when the decision stands.
        activation: peak of the decision's activation map.
    """

    file: str
    bundle: str
    probabilities: dict[str, float]
    decision: str
    confidence: float
    operating_points: dict[str, bool]
    distance: float
    out_of_distribution: bool
    referred: tuple[Referral, ...]
    activation: ActivationPeak
    prediction_set: tuple[str, ...] | None = None


class FilmRefusal(Contract, frozen=True, kw_only=True, tag_field="outcome", tag="refused"):
    """A file that is not a usable frontal chest radiograph.

    Attributes:
        code: one of `cxr.errors.REJECTION_CODES`.
        reason: what is wrong and what to do, for a person.
    """

    file: str
    code: str
    reason: str
