"""The reference that live films are compared with."""

from typing import Literal

from cxr.contracts.bundle import OutOfDistribution
from cxr.contracts.files import Contract

REFERENCE_FILE = "reference.json"
ARRAYS_FILE = "reference.npz"


CONDITIONS = ("clean", "clinical", "severe")
"""Of the rehearsal: test films as they are, and with one corruption each of that preset of `cxr.imaging.corrupt`."""


class Rehearsal(Contract, frozen=True, kw_only=True):
    """Films that neither the network nor the reference has seen, to measure how often the tests alarm.

    Attributes:
        films: test films, the same ones under every condition; of other patients than the reference films, drawn from
            the same population by the same split.
        conditions: of `CONDITIONS`, in order.
        seed: from which each film's corruption is drawn.
    """

    films: int
    conditions: tuple[str, ...]
    seed: int


class DriftReference(Contract, frozen=True, kw_only=True):
    """`reference.json`: what `reference.npz` beside it holds, see `cxr.drift.reference.Reference`.

    Attributes:
        checkpoint: digest of the network that made the embeddings.
        index: digest of the study index.
        training_films: on which the projection was fitted.
        reference_films: validation films, which later films are compared with.
        features: length of an embedding.
        components: of the projection.
        explained_variance: share of the training embeddings' variance in the components.
        statistics: names of the image statistics, in order.
        findings: in the order of the logits.
        rehearsal: None in a reference that is older than rehearsals and distances; of 0 films and no conditions when
            there was no test split.
    """

    version: Literal[1] = 1
    checkpoint: str
    index: str
    training_films: int
    reference_films: int
    features: int
    components: int
    explained_variance: float
    statistics: tuple[str, ...]
    findings: tuple[str, ...]
    out_of_distribution: OutOfDistribution
    rehearsal: Rehearsal | None = None


class TestResult(Contract, frozen=True, kw_only=True):
    """One two-sample test of a window against the reference.

    Attributes:
        name: what was compared.
        group: embedding, output or image.
        test: of `cxr.drift.detector`.
        statistic: its value; larger is farther apart.
        p_value: not corrected.
        threshold: below which the p-value alarms, after the correction for all tests.
        alarm: it is below.
    """

    name: str
    group: Literal["embedding", "output", "image"]
    test: Literal["kolmogorov-smirnov", "chi-square", "mmd"]
    statistic: float
    p_value: float
    threshold: float
    alarm: bool


class Verdict(Contract, frozen=True, kw_only=True):
    """All tests of one window.

    Attributes:
        films: in the window.
        alarm: any test alarms; without drift this happens to a share of windows of at most `level`.
        level: of the family of tests.
        tests: the most conspicuous first.
        left_out: tests that cannot run here, and why.
    """

    films: int
    alarm: bool
    level: float
    tests: tuple[TestResult, ...]
    left_out: dict[str, str]


class AlarmRate(Contract, frozen=True, kw_only=True):
    """How often windows of one size alarm under one condition.

    Attributes:
        condition: of `CONDITIONS`.
        window: films.
        windows: drawn.
        alarms: of them that alarm.
        low, high: Wilson's 95% interval of the share, for these films; windows share films, which it leaves out.
    """

    condition: str
    window: int
    windows: int
    alarms: int
    low: float
    high: float


class Measurement(Contract, frozen=True, kw_only=True):
    """False alarms and power of the tests, on the rehearsal films of a reference.

    Attributes:
        bundle: digest.
        level: of the family of tests.
        films: in the rehearsal; a window is drawn from them without replacement.
        seed: of the draws.
        rates: by condition and window size; sizes that the films do not allow are missing.
        reason: why there are no rates.
    """

    bundle: str
    level: float
    films: int
    seed: int
    rates: tuple[AlarmRate, ...]
    reason: str | None = None


class Alert(Contract, frozen=True, kw_only=True):
    """What the webhook is told: once when an incident begins and once when it ends.

    Attributes:
        incident: the same for both.
        event: began or ended.
        time: of the window that decided it, ISO 8601.
        bundle: digest.
        films: in that window.
        tests: names of those that alarmed; none when it ended.
    """

    incident: str
    event: Literal["began", "ended"]
    time: str
    bundle: str
    films: int
    tests: tuple[str, ...]


class AlertBook(Contract, frozen=True, kw_only=True):
    """What the sidecar must still know after it was killed, so that an incident is told once.

    Attributes:
        alarms, quiet: windows in a row, until now, that alarmed or did not.
        incident: the one that goes on.
        undelivered: alerts that the webhook has not confirmed.
        last: alerts, the latest first.
    """

    alarms: int = 0
    quiet: int = 0
    incident: str | None = None
    undelivered: tuple[Alert, ...] = ()
    last: tuple[Alert, ...] = ()


State = Literal["collecting", "steady", "suspected", "drift"]


class DriftReport(Contract, frozen=True, kw_only=True):
    """What the sidecar answers to `GET /drift_report`.

    Attributes:
        state: collecting (too few films), steady, suspected (the last window alarmed), drift (an incident goes on).
        bundle: digest of the bundle that is watched.
        films: in the window now.
        needed: for the first test.
        window: most films in it.
        tested: when the last window was tested, ISO 8601.
        verdict: on that window.
        alerts: the latest first.
        undelivered: alerts that the webhook has not confirmed.
        events: accepted, duplicate, malformed and refused (of another bundle) since the process began.
        measurement: how often the tests alarm without and with drift; None when it was not measured.
    """

    state: State
    bundle: str
    films: int
    needed: int
    window: int
    tested: str | None
    verdict: Verdict | None
    alerts: tuple[Alert, ...]
    undelivered: int
    events: dict[str, int]
    measurement: Measurement | None
