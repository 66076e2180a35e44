"""One synthetic run: every contract that a report reads, with figures that no two places share."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pandas as pd
from PIL import Image

from cxr.contracts.bundle import BundleManifest, OutOfDistribution, PictureGate, Provenance, TensorSpec
from cxr.contracts.checkpoint import Epoch, History
from cxr.contracts.crossval import CROSSVAL_FILE, Crossval
from cxr.contracts.evaluated import write_predictions
from cxr.contracts.files import file_digest, write_json
from cxr.contracts.ingest import FilmCount, IngestReport
from cxr.contracts.metrics import (
    Calibration,
    CorruptionResult,
    Estimate,
    FindingCoverage,
    LocalisationReport,
    MetricsReport,
    OperatingPoint,
    PredictionSetLimits,
    PredictionSetReport,
    RobustnessReport,
    SelectiveReport,
    Subgroup,
    SubgroupGap,
)
from cxr.contracts.recipe import Recipe
from cxr.contracts.registration import Registration, Verdict
from cxr.contracts.search_report import SearchReport, Trial
from cxr.contracts.shortcuts import SHORTCUTS_FILE, ShortcutReport
from cxr.contracts.split import SplitCount, SplitReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.reporting.composition import Report, compose_report
from cxr.reporting.report import RunFolders, read_report_data
from support.audited import make_audit
from support.withheld import make_crossval

FINDINGS = TAXONOMY.findings
CHECKPOINT, RECIPE = "c" * 64, "e" * 64
TRAINING_FIGURE = "drafts/training.png"
FIGURES = (
    "search/figures/search.png",
    "evaluation/figures/confusion.png",
    "evaluation/figures/roc.png",
    "evaluation/figures/risk_coverage.png",
    "robustness/figures/robustness.png",
    "explanation/figures/activation_maps.png",
)
HOLDINGS = {
    "guangzhou": (60, 90, 0),
    "montgomery": (40, 0, 30),
    "open_covid": (50, 40, 0),
    "nih": (60, 20, 10),
    "belarus": (0, 0, 60),
}


class Draws:
    """Estimates from a seeded stream, so that every one of a run is different."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def estimate(self, low: float = 0.85, high: float = 0.99, width: float = 0.03) -> Estimate:
        value = float(self.random.uniform(low, high))
        return Estimate(
            value=value, low=value - width * float(self.random.uniform(0.8, 1)), high=min(1.0, value + width)
        )

    def row(self, *names: str, **bounds: float) -> dict[str, Estimate]:
        return {name: self.estimate(**bounds) for name in names}


def make_films() -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = []
    for source, holding in HOLDINGS.items():
        for finding, number in zip(FINDINGS, holding, strict=True):
            for film in range(number):
                name = f"{source}-{finding}-{film}"
                child = source == "guangzhou"
                rows.append(
                    {
                        "image_id": f"{len(rows):064x}",
                        "patient_id": name,
                        "study_id": None,
                        "label": finding,
                        "source": source,
                        "view": "AP" if child else random.choice(["PA", "PA", "AP"]),
                        "sex": random.choice(["F", "M"]) if source in {"nih", "open_covid"} else None,
                        "age": None,
                        "age_group": "paediatric" if child else "adult",
                        "group_id": name,
                        "split": random.choice(["train", "validation", "test"], p=[0.8, 0.1, 0.1]),
                        "width": 512,
                        "height": 512,
                        "sha256": f"{len(rows) + 10**6:064x}",
                    }
                )
    return StudyIndex(pd.DataFrame(rows)).films


INDEX = StudyIndex(make_films()).digest


def draw_metrics(draws: Draws) -> MetricsReport:
    others = Draws(71)
    per_class = ("precision", "recall", "f1", "auroc", "auprc", "specificity", "sensitivity_at_specificity_70")
    undefined = Estimate(value=None, reason="only one class among these films")
    subgroups = [
        Subgroup(
            attribute="source",
            value=source,
            films=20 + 3 * position,
            patients=18 + 3 * position,
            metrics={"accuracy": draws.estimate(), "macro_auroc": draws.estimate()},
        )
        for position, source in enumerate(list(HOLDINGS)[:-1])
    ]
    subgroups += [
        Subgroup(
            attribute="source",
            value="belarus",
            films=7,
            patients=7,
            metrics={"accuracy": draws.estimate(), "macro_auroc": undefined},
        ),
        Subgroup(
            attribute="sex",
            value="F",
            films=61,
            patients=55,
            metrics=draws.row("accuracy", "macro_auroc", low=0.6, high=0.7),
        ),
        Subgroup(attribute="sex", value="M", films=71, patients=65, metrics=draws.row("accuracy", "macro_auroc")),
    ]
    overall = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auroc", "macro_auprc")
    return MetricsReport(
        split="test",
        films=153,
        patients=141,
        findings=FINDINGS,
        index=INDEX,
        model=CHECKPOINT,
        temperature=1.2345,
        resamples=2000,
        overall=draws.row(*overall) | draws.row("ece", "brier", "log_loss", low=0.04, high=0.2, width=0.01),
        per_class={finding: draws.row(*per_class) for finding in FINDINGS},
        operating_points={
            key: draws.row("sensitivity", "specificity", "ppv", "npv")
            for key in (
                *(f"{finding}/youden" for finding in FINDINGS),
                "Tuberculosis/sensitivity_at_least/0.9",
                "Tuberculosis/specificity_at_least/0.7",
            )
        },
        subgroups=tuple(subgroups),
        confusion=((48, 3, 1), (2, 51, 1), (0, 2, 45)),
        prediction_sets=draw_prediction_sets(others),
        selective=SelectiveReport(
            target_error=0.05,
            refer_below=0.5678,
            aurc=others.estimate(0.02, 0.05, 0.01),
            refer_rate=others.estimate(0.2, 0.4),
            error=others.estimate(0.03, 0.06, 0.02),
            ece=others.estimate(0.02, 0.04, 0.01),
        ),
        gaps=tuple(draw_gaps(others)),
    )


def draw_prediction_sets(draws: Draws) -> PredictionSetReport:
    names = ("coverage", "empty", "single", "multiple", "single_right")
    return PredictionSetReport(
        error=0.1,
        per_class={
            finding: FindingCoverage(coverage=draws.estimate(), patients=41 + number, chance=0.31)
            for number, finding in enumerate(FINDINGS)
        },
        mean_size=draws.estimate(1.05, 1.3),
        **draws.row(*names),
    )


def draw_gaps(draws: Draws) -> Iterator[SubgroupGap]:
    point = "Tuberculosis/sensitivity_at_least/0.9"
    for measure in ("macro_auroc", "accuracy", f"sensitivity/{point}", f"specificity/{point}"):
        for value, state, low in (("F", "flag", 0.15), ("M", "within", -0.25), ("O", "unknown", None)):
            gap = draws.estimate(low, low + 0.04) if low is not None else None
            yield SubgroupGap(
                attribute="sex",
                value=value,
                measure=measure,
                films=61,
                patients=55,
                here=None if gap is None else 0.7,
                rest=None if gap is None else 0.85,
                gap=gap or Estimate(value=None, reason="fewer than 20 patients on one side"),
                state=state,  # type: ignore[arg-type]
            )


def draw_calibration(draws: Draws) -> Calibration:
    def point(finding: str, name: str, target: float | None) -> OperatingPoint:
        return OperatingPoint(
            finding=finding,
            name=name,  # type: ignore[arg-type]
            target=target,
            threshold=float(draws.random.uniform(0.2, 0.7)),
            validation_sensitivity=float(draws.random.uniform(0.9, 1)),
            validation_specificity=float(draws.random.uniform(0.7, 1)),
        )

    return Calibration(
        temperature=1.2345,
        operating_points=(
            *(point(finding, "youden", None) for finding in FINDINGS),
            point("Tuberculosis", "sensitivity_at_least", 0.9),
            point("Tuberculosis", "specificity_at_least", 0.7),
        ),
        refer_below=0.5678,
        refer_error=0.05,
        refer_error_bound=0.0487,
        prediction_sets=PredictionSetLimits(
            error=0.1,
            least_probability=dict(zip(FINDINGS, (0.3141, 0.1827, 0.2236), strict=True)),
            patients=dict.fromkeys(FINDINGS, 47),
        ),
        validation_films=149,
    )


def draw_robustness(draws: Draws) -> RobustnessReport:
    corruptions = (
        "brightness",
        "contrast",
        "gamma",
        "blur",
        "motion",
        "gaussian_noise",
        "jpeg",
        "rotation",
        "collimation",
    )
    results = [
        CorruptionResult(
            corruption=corruption,
            severity=severity,
            accuracy=draws.estimate(),
            macro_auroc=draws.estimate(),
            accuracy_drop=draws.estimate(0.01 * severity**1.5 - 0.02, 0.02 * severity**1.5, 0.02),
            macro_auroc_drop=draws.estimate(0.0, 0.01 * severity, 0.01),
        )
        for corruption in corruptions
        for severity in range(1, 6)
    ]
    names = ("accuracy", "macro_auroc")
    return RobustnessReport(
        films=153,
        patients=141,
        index=INDEX,
        model=CHECKPOINT,
        clean_accuracy=draws.estimate(),
        clean_macro_auroc=draws.estimate(),
        results=tuple(results),
        presets={
            preset: draws.row(*names) | draws.row("accuracy_drop", "macro_auroc_drop", low=0.0, high=drop, width=0.012)
            for preset, drop in (("clinical", 0.02), ("severe", 0.15))
        },
    )


def draw_localisation(draws: Draws) -> LocalisationReport:
    names = ("pointing_game", "pointing_chance", "energy_inside", "lesion_area")
    return LocalisationReport(
        films=153,
        masked_films=101,
        index=INDEX,
        model=CHECKPOINT,
        tolerance=15.0,
        pointing_game=draws.estimate(0.7, 0.9),
        pointing_chance=draws.estimate(0.1, 0.2),
        energy_inside=draws.estimate(0.3, 0.5),
        lesion_area=draws.estimate(0.05, 0.1),
        per_class={finding: draws.row(*names, low=0.1, high=0.6) for finding in FINDINGS[1:]},
        analytic_cosine=0.99991,
    )


def make_history() -> History:
    epochs = tuple(
        Epoch(
            epoch=epoch,
            loss=0.2 / (epoch + 1),
            learning_rate=3e-4 * (8 - epoch) / 8,
            validation_loss=0.22 / (epoch + 0.8) + 0.02,
            validation_accuracy=0.95 - 0.4 / (epoch + 1),
            validation_macro_auroc=0.985 - 0.3 / (epoch + 1),
            seconds=61.5 + epoch,
            films_per_second=38.25 + epoch,
        )
        for epoch in range(1, 9)
    )
    return History(
        initial_weights="imagenet",
        best_epoch=7,
        stopped="patience",
        index=INDEX,
        device="cpu",
        finished="2026-11-24T06:29:00Z",
        epochs=epochs,
    )


def make_manifest(calibration: Calibration, recipe: Recipe) -> BundleManifest:
    def tensor(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=shape)

    return BundleManifest(
        architecture="densenet121",
        findings=FINDINGS,
        preprocessing=recipe.preprocessing,
        calibration=calibration,
        out_of_distribution=OutOfDistribution(limit=23.4567, quantile=0.99),
        gate=PictureGate(refuse_below=3.21, refer_below=6.54, refused_share=0.005, referred_share=0.02),
        inputs=(tensor("films", -1, 1, 224, 224),),
        outputs=(tensor("logits", -1, 3), tensor("embedding", -1, 1024), tensor("maps", -1, 3, 7, 7)),
        provenance=Provenance(
            created="2026-11-24T06:30:00Z",
            cxr_version="0.1.0",
            index=INDEX,
            checkpoint=CHECKPOINT,
            recipe=RECIPE,
            training_films=378,
            training_sources=tuple(sorted(HOLDINGS)),
            initial_weights="imagenet",
        ),
        files={"model.onnx": "a" * 64},
    )


def draw_search(draws: Draws) -> SearchReport:
    trials = []
    for number in range(6):
        parameters = {
            "optimiser.learning_rate": float(draws.random.uniform(1e-4, 2e-3)),
            "optimiser.weight_decay": float(draws.random.uniform(1e-4, 1e-1)),
            "model.dropout": float(draws.random.uniform(0.05, 0.5)),
            "loss.gamma": float(draws.random.uniform(0.5, 3)),
            "schedule.batch_size": int(draws.random.choice([16, 32, 64])),
        }
        curve = tuple(float(value) for value in np.sort(draws.random.uniform(0.7, 0.95, 3)))
        state: Literal["complete", "pruned"] = "pruned" if number == 3 else "complete"
        trials.append(
            Trial(
                number=number,
                state=state,
                parameters=parameters,
                value=curve[-1],
                curve=curve,
                seconds=float(draws.random.uniform(20, 40)),
            )
        )
    trials.append(
        Trial(number=6, state="failed", parameters=parameters, value=None, curve=(), seconds=1.5, reason="diverged")
    )
    complete = [trial for trial in trials if trial.state == "complete"]
    return SearchReport(
        algorithm="bayesianoptimization",
        seed=42,
        planned=7,
        epochs=3,
        films=378,
        index=INDEX,
        trials=tuple(trials),
        best=max(complete, key=lambda trial: trial.value or 0).number,
        importance={"optimiser.learning_rate": 0.61, "loss.gamma": 0.27, "schedule.batch_size": 0.12},
    )


def draw_predictions(draws: Draws, films: pd.DataFrame) -> pd.DataFrame:
    seen = films[films["split"].isin(["validation", "test"])]
    logits = draws.random.normal(0, 1, (len(seen), 3))
    logits[np.arange(len(seen)), [FINDINGS.index(label) for label in seen["label"]]] += 2
    odds = np.exp(logits)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    table = seen[["image_id", "group_id", "label", "split"]].reset_index(drop=True)
    for column, finding in enumerate(FINDINGS):
        table[f"logit_{finding}"] = logits[:, column]
        table[f"probability_{finding}"] = probabilities[:, column]
    return table.assign(decision=[FINDINGS[number] for number in logits.argmax(axis=1)])


@dataclass(frozen=True, kw_only=True)
class SyntheticRun:
    """What the steps of a run would have written; `write` writes it."""

    films: pd.DataFrame
    ingest: IngestReport
    split: SplitReport
    recipe: Recipe
    search: SearchReport
    history: History
    metrics: MetricsReport
    calibration: Calibration
    predictions: pd.DataFrame
    robustness: RobustnessReport
    localisation: LocalisationReport
    manifest: BundleManifest
    verdict: Verdict
    shortcuts: ShortcutReport | None
    unseen: Crossval | None

    def write(self, run: Path) -> None:
        """Write every folder that a report reads; images are noise, figures are plain colours."""
        StudyIndex(self.films).write(run / "split")
        _write(run / "split", {"split.json": self.split})
        for film in self.films.itertuples():
            noise = np.random.default_rng(len(str(film.image_id))).integers(0, 256, (48, 48), dtype=np.uint8)
            _picture(run / "studies" / "images" / f"{film.image_id}.png", noise)
        _write(run / "studies", {"ingest.json": self.ingest})
        _write(run / "search", {"recipe.json": self.recipe, "search.json": self.search})
        (run / "search" / "trials.csv").write_text("number,value\n", encoding="utf-8")
        _write(run / "checkpoint", {"recipe.json": self.recipe, "history.json": self.history})
        _write(run / "evaluation", {"metrics.json": self.metrics, "calibration.json": self.calibration})
        (run / "evaluation" / "metrics.csv").write_text("metric,value\n", encoding="utf-8")
        write_predictions(run / "evaluation", self.predictions, FINDINGS)
        _write(run / "robustness", {"robustness.json": self.robustness})
        _write(run / "explanation", {"localisation.json": self.localisation})
        (run / "bundle").mkdir()
        (run / "bundle" / "model.onnx").write_bytes(b"graph")
        (run / "bundle" / "reports").mkdir()
        if self.shortcuts:
            _write(run / "bundle" / "reports", {SHORTCUTS_FILE: self.shortcuts})
        if self.unseen:
            _write(run / "bundle" / "reports", {CROSSVAL_FILE: self.unseen})
        written = [path for path in (run / "bundle").rglob("*") if path.is_file()]
        files = {path.relative_to(run / "bundle").as_posix(): file_digest(path) for path in written}
        _write(run / "bundle", {"bundle.json": msgspec.structs.replace(self.manifest, files=files)})
        registration = Registration(
            model="cxr",
            model_version="3",
            run_id="ab12",
            bundle=file_digest(run / "bundle" / "bundle.json"),
            verdict=self.verdict,
        )
        _write(run / "registration", {"registration.json": registration})
        for place in (*FIGURES, TRAINING_FIGURE):
            _picture(run / place, np.full((40, 60, 3), 200, dtype=np.uint8))


def count_films(films: pd.DataFrame) -> IngestReport:
    held = films.groupby(["label", "source"]).size()
    return IngestReport(
        read=len(films) + 31,
        kept=len(films),
        rejected={"corrupt": 4, "too_small": 7},
        exact_duplicates=12,
        near_duplicates=8,
        look_alikes=5,
        polarity_corrected=3,
        masked=101,
        patients=films["patient_id"].nunique(),
        groups=films["group_id"].nunique(),
        films=tuple(FilmCount(label=label, source=source, films=int(n)) for (label, source), n in held.items()),
        index=INDEX,
        seconds=12.5,
    )


def count_parts(films: pd.DataFrame) -> SplitReport:
    held = films.groupby(["split", "label", "source"])["group_id"].agg(["size", "nunique"])
    return SplitReport(
        seed=42,
        studies="5" * 64,
        index=INDEX,
        films=len(films),
        unlabelled=0,
        groups=films["group_id"].nunique(),
        largest_group=int(films["group_id"].value_counts().max()),
        rejoined=0,
        patient_unknown=0,
        counts=tuple(
            SplitCount(split=Split(part), label=label, source=source, films=int(size), groups=int(groups))
            for (part, label, source), (size, groups) in zip(held.index, held.to_numpy(), strict=True)
        ),
        caveats=("nih and open_covid may share patients whom no identifier shows.",),
    )


def synthetic_run(seed: int = 7) -> SyntheticRun:
    """A run with its own figures for every seed."""
    draws, recipe, films = Draws(seed), Recipe(), make_films()
    calibration = draw_calibration(draws)
    return SyntheticRun(
        films=films,
        ingest=count_films(films),
        split=count_parts(films),
        recipe=recipe,
        search=draw_search(draws),
        history=make_history(),
        metrics=draw_metrics(draws),
        calibration=calibration,
        predictions=draw_predictions(draws, films),
        robustness=draw_robustness(draws),
        localisation=draw_localisation(draws),
        manifest=make_manifest(calibration, recipe),
        verdict=Verdict(passed=True, reasons=("every floor of the gate holds",)),
        shortcuts=make_audit("warn"),
        unseen=make_crossval(),
    )


def folders_of(run: Path) -> RunFolders:
    """The folders of a written run."""
    return RunFolders(**{field.name: run / field.name for field in fields(RunFolders)})


def compose(run: Path) -> Report:
    """The report of a written run; its training figure is a plain colour."""
    return compose_report(read_report_data(folders_of(run), training_figure=run / TRAINING_FIGURE))


def _write(folder: Path, values: dict[str, msgspec.Struct]) -> None:
    for name, value in values.items():
        write_json(folder / name, value)


def _picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
