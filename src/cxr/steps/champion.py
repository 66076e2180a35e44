"""The present champion on the films that its challenger is judged by."""

import logging
import tempfile
from pathlib import Path

import msgspec

from cxr.adapters.registry import CHAMPION, RegisteredVersion, Registry
from cxr.contracts.bundle import read_bundle
from cxr.contracts.metrics import METRICS_FILE, MetricsReport
from cxr.contracts.studies import StudyIndex
from cxr.errors import ContractError, RegistryError
from cxr.evaluation.gate import Champion, comparable
from cxr.steps.evaluate import evaluate_bundle

EVALUATION_ARTIFACT = "evaluation"

logger = logging.getLogger(__name__)


def other_champion(
    registry: Registry,
    challenger: RegisteredVersion,
    metrics: MetricsReport,
    *,
    studies: Path | None,
    split: Path | None,
) -> Champion | None:
    """The champion that a challenger must not be worse than, or None when there is no other.

    What its own evaluation said counts where it was of the same test films. Otherwise its bundle is measured again, on
    those of the challenger. It may have learnt some of them, which counts in its favour.

    Args:
        registry: that has both.
        challenger: not to be compared with itself.
        metrics: of the challenger.
        studies: images; without them the champion is as it was measured.
        split: index of the challenger's test films.

    Raises:
        BundleError: the champion's bundle is incomplete or changed.
        ContractError: the split is not that of the challenger's evaluation.
        RegistryError: the registry cannot be reached, or what it has of the champion cannot be read.
    """
    found = registry.alias(challenger.model, CHAMPION)
    if found is None or found.version == challenger.version:
        return None
    recorded = _recorded(registry, found)
    if isinstance(recorded, MetricsReport) and comparable(recorded, metrics):
        return Champion(version=found.version, metrics=recorded)
    if studies is not None and split is not None:
        again = _measured_again(registry, found, metrics, studies=studies, split=split)
        if again is not None:
            return Champion(version=found.version, metrics=again, again=True)
    if isinstance(recorded, MetricsReport):
        return Champion(version=found.version, metrics=recorded)
    raise RegistryError(
        f"the metrics of {found.model} version {found.version}, the champion, must be readable, are of another "
        f"version of cxr ({recorded}); remove the alias `{CHAMPION}` to start anew"
    ) from recorded


def _recorded(registry: Registry, champion: RegisteredVersion) -> MetricsReport | msgspec.DecodeError:
    """What the champion's evaluation said when it was registered, or why that cannot be read."""
    content = registry.artifact(champion.run_id, f"{EVALUATION_ARTIFACT}/{METRICS_FILE}")
    try:
        return msgspec.json.decode(content, type=MetricsReport)
    except msgspec.DecodeError as error:
        return error


def _measured_again(
    registry: Registry, champion: RegisteredVersion, metrics: MetricsReport, *, studies: Path, split: Path
) -> MetricsReport | None:
    """The champion's bundle on the test films of a split; None when it tells other findings apart."""
    with tempfile.TemporaryDirectory(prefix="cxr-") as folder:
        bundle = registry.download(champion, Path(folder) / "champion")
        if read_bundle(bundle).manifest.findings != metrics.findings:
            return None
        index = StudyIndex.read(split).digest
        if index != metrics.index:
            raise ContractError(
                f"the split must be that of the evaluation, index {metrics.index[:12]}, is {index[:12]}; name "
                "the run's own --studies and --split"
            )
        logger.info("measuring champion version %s on the test films of its challenger", champion.version)
        return evaluate_bundle(bundle=bundle, data=str(studies), split=split, out=Path(folder) / EVALUATION_ARTIFACT)
