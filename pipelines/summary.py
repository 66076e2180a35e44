"""What a run says when it has ended: the numbers that matter, and what to type next."""

from pathlib import Path

from cxr.contracts.files import read_json
from cxr.contracts.metrics import LOCALISATION_FILE, METRICS_FILE, Estimate, LocalisationReport, MetricsReport
from cxr.contracts.registration import PROMOTION_FILE, REGISTRATION_FILE, Promotion, Registration
from cxr.programs import program


def summarise(run: Path) -> str:
    """The summary of a run's folder, several lines."""
    metrics = read_json(run / "evaluation" / METRICS_FILE, MetricsReport)
    localisation = read_json(run / "explanation" / LOCALISATION_FILE, LocalisationReport)
    lines = [
        ("test films", f"{metrics.films} of {metrics.patients} patients"),
        ("macro AUROC", _estimate(metrics.overall["macro_auroc"])),
        ("accuracy", _estimate(metrics.overall["accuracy"])),
        ("pointing game", _estimate(localisation.pointing_game)),
        ("model", _model(run)),
        ("report", str(run / "report.html")),
        ("next", "make mlflow-ui"),
        ("", f"{program('cxr')} predict --bundle {run / 'bundle'} FILE…"),
        ("", f"make serve ARGS='--bundle {run / 'bundle'}'"),
    ]
    return "\n".join(f"{name:<14}{words}" for name, words in lines)


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"undefined: {estimate.reason}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} (95% CI {estimate.low:.3f} to {estimate.high:.3f})"


def _model(run: Path) -> str:
    registration = read_json(run / "registration" / REGISTRATION_FILE, Registration)
    words = f"{registration.model} version {registration.model_version}, alias challenger"
    if (run / "promotion" / PROMOTION_FILE).is_file():
        promotion = read_json(run / "promotion" / PROMOTION_FILE, Promotion)
        words += " and champion" if promotion.promoted else f"; not champion: {'; '.join(promotion.reasons)}"
    return words
