"""Registering, judging and promoting real bundles in a real MLflow store."""

import shutil
from pathlib import Path

import msgspec
import pytest
from mlflow.tracking import MlflowClient

from cxr.adapters.registry import CHALLENGER, CHAMPION, Registry
from cxr.contracts.bundle import BUNDLE_FILE, BundleManifest
from cxr.contracts.deployment import Deployment
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.contracts.metrics import Estimate, MetricsReport
from cxr.contracts.registration import PROMOTION_FILE, REGISTRATION_FILE, Promotion, Registration, Verdict
from cxr.contracts.shortcuts import SHORTCUTS_FILE, ShortcutReport, ShortcutState
from cxr.errors import BundleError, ClusterError, ContractError, RegistryError
from cxr.steps.deploy import deploy
from cxr.steps.register import promote, register
from support.audited import REASON, make_audit
from support.small_run import SmallRun
from support.synthetic_run import synthetic_run

RUN = synthetic_run()


class Hospital:
    """A tracking server, and runs whose bundles are registered there."""

    def __init__(self, folder: Path, empty_store: Path) -> None:
        shutil.copy(empty_store, folder / "mlflow.db")
        self.folder = folder
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.runs = 0

    def register(
        self, *, auroc: float = 0.0, index: str = "i", run: Path | None = None, films: Path | None = None
    ) -> tuple[Path, Registration]:
        run = run or self.write(auroc=auroc, index=index)
        registration = register(
            bundle=run / "bundle",
            evaluation=run / "evaluation",
            search=run / "search",
            out=run / "registration",
            tracking_uri=self.uri,
            model_name="cxr",
            experiment="cxr",
            studies=films,
            split=films,
        )
        return run, registration

    def promote(self, run: Path) -> Promotion:
        return promote(registration=run / "registration", out=run / "promotion", tracking_uri=self.uri)

    def alias(self, name: str) -> str | None:
        found = Registry(self.uri).alias("cxr", name)
        return found and found.version

    def write(self, *, auroc: float, index: str = "i", audit: ShortcutReport | None = None) -> Path:
        """What the steps before would have written, of a model with this macro AUROC ± 0.02."""
        self.runs += 1
        run = self.folder / f"run{self.runs}"
        good = {
            "macro_auroc": Estimate(value=auroc, low=auroc - 0.02, high=auroc + 0.02),
            "accuracy": Estimate(value=0.9, low=0.88, high=0.92),
            "ece": Estimate(value=0.05),
        }
        metrics = msgspec.structs.replace(
            RUN.metrics, index=index, overall=good, per_class={"Tuberculosis": {"recall": Estimate(value=0.9)}}
        )
        robustness = msgspec.structs.replace(
            RUN.robustness, presets={"clinical": {"accuracy_drop": Estimate(value=0.01)}}
        )
        write_json(run / "evaluation" / "metrics.json", metrics)
        write_json(run / "search" / "recipe.json", RUN.recipe)
        write_json(run / "bundle" / "reports" / "robustness.json", robustness)
        write_json(run / "bundle" / "reports" / "recipe.json", RUN.recipe)
        (run / "bundle" / "model.onnx").write_bytes(f"model {self.runs}".encode())
        write_json(run / "bundle" / "reports" / SHORTCUTS_FILE, audit or make_audit())
        written = [path for path in (run / "bundle").rglob("*") if path.is_file()]
        files = {path.relative_to(run / "bundle").as_posix(): file_digest(path) for path in written}
        write_json(run / "bundle" / BUNDLE_FILE, msgspec.structs.replace(of_index(RUN.manifest, index), files=files))
        return run


def of_index(manifest: BundleManifest, index: str) -> BundleManifest:
    """The manifest of a bundle that was made with another split."""
    provenance = msgspec.structs.replace(manifest.provenance, index=index)
    return msgspec.structs.replace(manifest, provenance=provenance)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    Registry(f"sqlite:///{path}")
    return path


@pytest.fixture
def hospital(tmp_path: Path, empty_store: Path) -> Hospital:
    return Hospital(tmp_path, empty_store)


def test_a_registered_bundle_is_a_challenger_with_its_run(hospital: Hospital) -> None:
    run, registration = hospital.register(auroc=0.97)
    assert registration.verdict == Verdict(
        passed=True,
        reasons=("every floor of the gate holds; there is no other champion to compare with",),
    )
    assert registration == read_json(run / "registration" / REGISTRATION_FILE, Registration)
    assert registration.bundle == file_digest(run / "bundle" / BUNDLE_FILE)
    assert (hospital.alias(CHALLENGER), hospital.alias(CHAMPION)) == ("1", None)
    logged = MlflowClient(hospital.uri).get_run(registration.run_id)
    assert logged.data.params["loss.gamma"] == str(RUN.recipe.loss.gamma)
    assert logged.data.metrics["macro_auroc_low"] == pytest.approx(0.95)
    assert logged.data.metrics["Tuberculosis/recall"] == pytest.approx(0.9)
    assert logged.data.metrics["clinical/accuracy_drop"] == pytest.approx(0.01)
    registry = Registry(hospital.uri)
    assert registry.artifact(registration.run_id, "bundle/model.onnx") == (run / "bundle" / "model.onnx").read_bytes()
    assert registry.artifact(registration.run_id, "search/recipe.json")


def test_only_the_gate_makes_champions(hospital: Hospital) -> None:
    good, _ = hospital.register(auroc=0.97)
    assert hospital.promote(good).promoted
    poor, refused = hospital.register(auroc=0.93)
    promotion = hospital.promote(poor)
    assert refused.verdict.champion == "1"
    assert promotion.reasons == ("macro AUROC against champion version 1 must be at least 0.950, is 0.930",)
    assert not promotion.promoted
    assert (hospital.alias(CHALLENGER), hospital.alias(CHAMPION)) == ("2", "1")
    near, _ = hospital.register(auroc=0.96)
    promotion = hospital.promote(near)
    assert (promotion.promoted, promotion.replaced) == (True, "1")
    assert promotion == read_json(near / "promotion" / PROMOTION_FILE, Promotion)
    assert hospital.alias(CHAMPION) == "3"


def test_both_steps_may_be_repeated(hospital: Hospital) -> None:
    run, first = hospital.register(auroc=0.97)
    assert hospital.register(auroc=0.97, run=run)[1] == first
    promotion = hospital.promote(run)
    assert hospital.register(auroc=0.97, run=run)[1] == first
    assert hospital.promote(run) == promotion
    assert hospital.alias(CHAMPION) == "1"


def test_a_promotion_is_of_what_the_gate_compared(hospital: Hospital) -> None:
    first, _ = hospital.register(auroc=0.93)
    second, _ = hospital.register(auroc=0.97)
    hospital.promote(second)
    with pytest.raises(RegistryError, match="must still be what the gate compared with, version None, is version 2"):
        hospital.promote(first)
    assert hospital.alias(CHAMPION) == "2"


def test_a_champion_of_other_films_stays(hospital: Hospital) -> None:
    first, _ = hospital.register(auroc=0.91, index="old")
    hospital.promote(first)
    _, registration = hospital.register(auroc=0.99, index="new")
    assert not registration.verdict.passed
    assert "the same test films" in registration.verdict.reasons[0]


@pytest.fixture
def with_champion(hospital: Hospital, small_run: SmallRun, tmp_path: Path) -> Hospital:
    """The champion is a real network, which was measured on films that are no more."""
    run = small_run.copy(tmp_path / "champion").folder
    metrics = read_json(run / "evaluation" / "metrics.json", MetricsReport)
    write_json(run / "evaluation" / "metrics.json", msgspec.structs.replace(metrics, index="old"))
    manifest = read_json(run / "bundle" / BUNDLE_FILE, BundleManifest)
    write_json(run / "bundle" / BUNDLE_FILE, of_index(manifest, "old"))
    write_json(run / "search" / "recipe.json", RUN.recipe)
    _, registration = hospital.register(run=run)
    Registry(hospital.uri).set_alias("cxr", CHAMPION, registration.model_version)
    return hospital


def test_a_champion_of_other_films_is_measured_on_those_of_its_challenger(
    with_champion: Hospital, small_run: SmallRun
) -> None:
    films, index = small_run.folder / "studies", small_run.index.digest
    _, registration = with_champion.register(auroc=0.99, index=index, films=films)
    assert registration.verdict.passed
    assert "not worse than champion version 1" in registration.verdict.reasons[0]
    assert "measured again on these test films" in registration.verdict.reasons[0]
    _, worse = with_champion.register(auroc=0.05, index=index, films=films)
    assert any("macro AUROC against champion version 1" in reason for reason in worse.verdict.reasons)


def test_a_champion_is_not_measured_on_films_that_its_challenger_was_not(
    with_champion: Hospital, small_run: SmallRun
) -> None:
    with pytest.raises(ContractError, match="the split must be that of the evaluation"):
        with_champion.register(auroc=0.99, index="another", films=small_run.folder / "studies")


def test_an_evaluation_of_another_model_is_refused(hospital: Hospital) -> None:
    run = hospital.write(auroc=0.97)
    metrics = read_json(run / "evaluation" / "metrics.json", MetricsReport)
    write_json(run / "evaluation" / "metrics.json", msgspec.structs.replace(metrics, model="f" * 64))
    with pytest.raises(BundleError, match="must be of the bundle's checkpoint"):
        hospital.register(auroc=0.97, run=run)


def test_an_evaluation_on_films_that_may_have_been_learnt_is_refused(hospital: Hospital) -> None:
    run = hospital.write(auroc=0.97)
    metrics = read_json(run / "evaluation" / "metrics.json", MetricsReport)
    write_json(run / "evaluation" / "metrics.json", msgspec.structs.replace(metrics, index="all of them"))
    with pytest.raises(BundleError, match="test films of the bundle's own split"):
        hospital.register(auroc=0.97, run=run)


def test_a_changed_bundle_is_refused(hospital: Hospital) -> None:
    run = hospital.write(auroc=0.97)
    (run / "bundle" / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match=r"changed \['model.onnx'\]"):
        hospital.register(auroc=0.97, run=run)


def test_a_champion_without_readable_metrics_is_named(hospital: Hospital) -> None:
    registry = Registry(hospital.uri)
    old = hospital.folder / "old"
    (old / "evaluation").mkdir(parents=True)
    (old / "evaluation" / "metrics.json").write_text('{"version": 0}')
    run_id = registry.record(
        experiment="cxr", name="old", key="old", params={}, metrics={}, artifacts={"evaluation": old / "evaluation"}
    )
    registry.register(model="cxr", run_id=run_id, folder="bundle", bundle="old", description="")
    registry.set_alias("cxr", CHAMPION, "1")
    with pytest.raises(RegistryError, match="cxr version 1, the champion, must be readable"):
        hospital.register(auroc=0.97)


def test_a_store_on_this_machine_is_no_place_from_which_kserve_could_serve(hospital: Hospital, tmp_path: Path) -> None:
    run, registration = hospital.register(auroc=0.97)
    address = Registry(hospital.uri).address(registration.model, registration.model_version)
    assert (Path(address.removeprefix("file://")) / BUNDLE_FILE).is_file()
    with pytest.raises(ClusterError, match="artifact store in S3"):
        deploy(
            bundle=run / "bundle",
            registration=run / "registration",
            mode="print",
            deployment=Deployment(tracking_uri=hospital.uri),
            out=tmp_path / "deployed",
        )


@pytest.mark.parametrize(("state", "passed"), [("warn", True), ("fail", False)])
def test_the_gate_reads_the_audit_that_the_bundle_holds(hospital: Hospital, state: ShortcutState, passed: bool) -> None:
    run = hospital.write(auroc=0.97, audit=make_audit(state))
    _, registration = hospital.register(auroc=0.97, run=run)
    assert registration.verdict.passed is passed
    assert any(REASON in reason for reason in registration.verdict.reasons) is not passed
