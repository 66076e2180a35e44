"""Register: a bundle as a version of a registered model, its verdict by the gate, and promotion to champion."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from cxr.adapters.registry import CHALLENGER, CHAMPION, Registry
from cxr.contracts.bundle import REPORTS_FOLDER, Bundle, read_bundle
from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.files import new_folder, read_json, write_json
from cxr.contracts.metrics import METRICS_FILE, ROBUSTNESS_FILE, Estimate, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Recipe
from cxr.contracts.registration import PROMOTION_FILE, REGISTRATION_FILE, Promotion, Registration
from cxr.contracts.shortcuts import read_packed_shortcuts
from cxr.errors import BundleError, RegistryError
from cxr.evaluation.gate import judge
from cxr.steps.champion import EVALUATION_ARTIFACT, other_champion

BUNDLE_ARTIFACT = "bundle"
SEARCH_ARTIFACT = "search"

logger = logging.getLogger(__name__)


def register(
    *,
    bundle: Path,
    evaluation: Path,
    search: Path | None,
    out: Path,
    tracking_uri: str,
    model_name: str,
    experiment: str,
    studies: Path | None = None,
    split: Path | None = None,
) -> Registration:
    """Register a bundle as challenger and write what the gate says of it.

    The tracking run holds the recipe as parameters, all estimates as metrics (`_low` and `_high` for the intervals)
    and the folders as artifacts. Registering the same bundle again, also after a kill, gives the same run and version.

    Args:
        bundle: folder to register.
        evaluation: of the bundle's checkpoint on the test split.
        search: that found the recipe; None when there was none.
        out: folder to write: registration.json.
        tracking_uri: of an MLflow server with a model registry.
        model_name: registered model that the bundle becomes a version of.
        experiment: that the run belongs to.
        studies: images, by which a champion that was measured on other test films is measured again.
        split: index of the test films.

    Raises:
        BundleError: this bundle or the champion's is incomplete or changed, or the evaluation is not of its checkpoint.
        ContractError: a report is missing or malformed.
        RegistryError: the registry cannot be reached or refuses.
    """
    packed = read_bundle(bundle)
    metrics = read_json(evaluation / METRICS_FILE, MetricsReport)
    robustness = read_json(bundle / REPORTS_FOLDER / ROBUSTNESS_FILE, RobustnessReport)
    recipe = read_json(bundle / REPORTS_FOLDER / RECIPE_FILE, Recipe)
    _check_model(packed, metrics)
    folders = {BUNDLE_ARTIFACT: bundle, EVALUATION_ARTIFACT: evaluation, SEARCH_ARTIFACT: search}

    registry = Registry(tracking_uri)
    run_id = registry.record(
        experiment=experiment,
        name=f"{model_name} {packed.digest[:12]}",
        key=f"bundle-{packed.digest}",
        params=dict(_flat(msgspec.to_builtins(recipe))),
        metrics=dict(_values(metrics, robustness)),
        artifacts={name: folder for name, folder in folders.items() if folder is not None},
        tags={"bundle": packed.digest, "index": metrics.index, "checkpoint": packed.manifest.provenance.checkpoint},
    )
    version = registry.register(
        model=model_name,
        run_id=run_id,
        folder=BUNDLE_ARTIFACT,
        bundle=packed.digest,
        description=f"{packed.manifest.architecture} for {', '.join(packed.manifest.findings)}",
    )
    registry.set_alias(model_name, CHALLENGER, version.version)
    registration = Registration(
        model=model_name,
        model_version=version.version,
        run_id=version.run_id,
        bundle=packed.digest,
        verdict=judge(
            gate=recipe.gate,
            metrics=metrics,
            robustness=robustness,
            champion=other_champion(registry, version, metrics, studies=studies, split=split),
            shortcuts=read_packed_shortcuts(bundle / REPORTS_FOLDER),
        ),
    )
    with new_folder(out) as draft:
        write_json(draft / REGISTRATION_FILE, registration)
    logger.info("registered %s version %s as challenger", model_name, version.version)
    return registration


def promote(*, registration: Path, out: Path, tracking_uri: str) -> Promotion:
    """Make a registered version champion when its verdict allows it, and write what came of it.

    A refused promotion is no error: the model stays challenger.

    Args:
        registration: folder that `register` wrote.
        out: folder to write: promotion.json.
        tracking_uri: of the MLflow server that it was registered with.

    Raises:
        RegistryError: the registry cannot be reached, or has another champion than the one that was compared with.
    """
    asked = read_json(registration / REGISTRATION_FILE, Registration)
    registry = Registry(tracking_uri)
    found = registry.alias(asked.model, CHAMPION)
    present = found.version if found else None
    replaced = None
    if asked.verdict.passed and present != asked.model_version:
        if present != asked.verdict.champion:
            raise RegistryError(
                f"the champion of {asked.model} must still be what the gate compared with, version "
                f"{asked.verdict.champion}, is version {present}; run `cxr register` again"
            )
        registry.set_alias(asked.model, CHAMPION, asked.model_version)
        replaced = present
    promotion = Promotion(
        model=asked.model,
        model_version=asked.model_version,
        promoted=asked.verdict.passed,
        replaced=replaced,
        reasons=asked.verdict.reasons,
    )
    with new_folder(out) as draft:
        write_json(draft / PROMOTION_FILE, promotion)
    logger.info("%s version %s: %s", asked.model, asked.model_version, "champion" if promotion.promoted else "refused")
    return promotion


def _check_model(bundle: Bundle, metrics: MetricsReport) -> None:
    trained, films = bundle.manifest.provenance.checkpoint, bundle.manifest.provenance.index
    if metrics.model != trained:
        raise BundleError(
            f"the evaluation must be of the bundle's checkpoint {trained[:12]}, is of {metrics.model[:12]}; "
            "run `cxr evaluate` and `cxr package` again"
        )
    if metrics.index != films:
        raise BundleError(
            f"the evaluation must be on the test films of the bundle's own split, index {films[:12]}, is on those of "
            f"{metrics.index[:12]}, which may have been learnt; run `cxr evaluate` on that split"
        )


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of everything in nested mappings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _values(metrics: MetricsReport, robustness: RobustnessReport) -> Iterator[tuple[str, float]]:
    """All estimates that are defined, with the bounds of their intervals."""
    groups: dict[str, Mapping[str, Estimate]] = {"": metrics.overall}
    groups |= {f"{finding}/": estimates for finding, estimates in metrics.per_class.items()}
    groups |= {f"{preset}/": estimates for preset, estimates in robustness.presets.items()}
    for prefix, estimates in groups.items():
        for name, estimate in estimates.items():
            for suffix, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
                if value is not None:
                    yield f"{prefix}{name}{suffix}", value
