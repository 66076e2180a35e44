from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cxr.contracts.metrics import Estimate
from cxr.contracts.recipe import Gate
from cxr.contracts.registration import Registration
from cxr.errors import BundleError, ContractError
from cxr.evaluation.gate import judge
from cxr.reporting.composition import compose_report
from cxr.reporting.html import render_html
from cxr.reporting.report import ReportData, read_report_data
from cxr.reporting.run_tables import gate_table
from support.audited import REASON
from support.synthetic_run import INDEX, TRAINING_FIGURE, SyntheticRun, folders_of, synthetic_run
from support.withheld import LACKS


def read(run: Path):
    return read_report_data(folders_of(run), training_figure=run / TRAINING_FIGURE)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    synthetic_run(11).write(tmp_path)
    return tmp_path


def test_serious_limits_come_first(written_run: Path):
    serious = [caveat.serious for caveat in compose_report(read(written_run)).caveats]
    assert serious == sorted(serious, reverse=True)
    assert any(serious)
    assert not all(serious)


@pytest.mark.parametrize("folder", ["evaluation", "robustness"])
def test_folders_of_two_models_are_refused(fresh: Path, folder: str):
    path = fresh / folder / ("metrics.json" if folder == "evaluation" else "robustness.json")
    path.write_text(path.read_text().replace("c" * 64, "d" * 64))
    with pytest.raises(ContractError, match=f"{folder} must be of checkpoint cccccccccccc, is of dddddddddddd"):
        read(fresh)


@pytest.mark.parametrize(
    "name", ["search/search.json", "checkpoint/history.json", "evaluation/metrics.json", "robustness/robustness.json"]
)
def test_folders_of_another_split_are_refused(fresh: Path, name: str):
    path = fresh / name
    path.write_text(path.read_text().replace(INDEX, "d" * 64))
    with pytest.raises(ContractError, match=f"{name.partition('/')[0]} must be of index {INDEX[:12]}, is of dddddd"):
        read(fresh)


def test_a_registration_of_another_bundle_is_refused(fresh: Path):
    path = fresh / "registration" / "registration.json"
    other = msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Registration), bundle="b" * 64)
    path.write_bytes(msgspec.json.encode(other))
    with pytest.raises(ContractError, match=r"registration must be of bundle .*, is of bbbbbbbbbbbb"):
        read(fresh)


def test_a_changed_bundle_is_refused(fresh: Path):
    (fresh / "bundle" / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"changed \['model.onnx'\]"):
        read(fresh)


@pytest.mark.parametrize(
    "name", ["studies/ingest.json", "search/search.json", "checkpoint/history.json", "explanation/localisation.json"]
)
def test_a_missing_file_is_named(fresh: Path, name: str):
    (fresh / name).unlink()
    with pytest.raises(ContractError, match=f"{name} must exist"):
        read(fresh)


def test_the_abstention_is_that_of_the_predictions(written_run: Path, run: SyntheticRun):
    counted = read(written_run).abstention
    test = run.predictions[run.predictions["split"] == "test"]
    surest = test[[name for name in test.columns if name.startswith("probability_")]].max(axis=1)
    assert counted.films == len(test)
    assert counted.referred == (surest < run.calibration.refer_below).sum()
    right = test["label"] == test["decision"]
    assert counted.decided_right + counted.referred_right == right.sum()
    assert counted.decided_right == right[surest >= run.calibration.refer_below].sum()


@pytest.mark.parametrize(
    ("sources", "title", "summary"),
    [
        ((None,), "Sources unknown", "from sources that are not named,"),
        (("nih",), "One source", "from 1 source,"),
        (("nih", "phantom_a"), "Phantoms among patients", "from 2 sources,"),
        (("phantom_a", None), "Phantoms among patients", "from 1 source,"),
        (("phantom_a", "phantom_b"), "Phantoms, not patients", "from 2 sources,"),
    ],
)
def test_a_report_tells_where_its_films_come_from(
    fresh: Path, sources: tuple[str | None, ...], title: str, summary: str
):
    report = compose_report(of_sources(read(fresh), sources))
    told = {"Sources unknown", "One source", "Phantoms among patients", "Phantoms, not patients"}
    assert told & {caveat.title for caveat in report.caveats if caveat.serious} == {title}
    assert summary in report.words["summary"]


@pytest.mark.parametrize(
    ("sources", "reading"),
    [
        (("nih", "phantom_a"), "Not comparable: phantoms among the films"),
        (("phantom_a", "phantom_b"), "Not comparable: phantoms"),
    ],
)
def test_phantoms_come_first_and_are_not_compared_with_the_ancestor(
    fresh: Path, sources: tuple[str, ...], reading: str
):
    report = compose_report(of_sources(read(fresh), sources))
    assert {figure.reading for figure in report.key_figures[:3]} == {reading}
    assert report.caveats[0].title.startswith("Phantoms")


def of_sources(data: ReportData, sources: tuple[str | None, ...]) -> ReportData:
    """What is read of a run, its films of these sources in turn; None is of no known source."""
    films = data.films.assign(source=[sources[row % len(sources)] for row in range(len(data.films))])
    named = tuple(source for source in sources if source)
    provenance = msgspec.structs.replace(data.bundle.manifest.provenance, training_sources=named)
    manifest = msgspec.structs.replace(data.bundle.manifest, provenance=provenance)
    return replace(data, films=films, bundle=replace(data.bundle, manifest=manifest))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"macro_auroc": 0.999999},
        {"accuracy": 1.0},
        {"tuberculosis_sensitivity": 1.0},
        {"clinical_drop": 0.0},
        {"calibration_error": 0.0},
        {"coverage_chance": 1.0},
        {"subgroup_gap": 0.0},
        {"refer_rate": 0.0},
        {"shortcuts": "pass"},
    ],
)
def test_the_gate_table_agrees_with_the_gate(run: SyntheticRun, changed: dict[str, float]):
    gate = Gate(**({"accuracy": 0.5, "macro_auroc": 0.5, "calibration_error": 0.5} | changed))
    judged = judge(gate=gate, metrics=run.metrics, robustness=run.robustness, champion=None, shortcuts=run.shortcuts)
    verdicts = [row[-1] for row in gate_table(gate, run.metrics, run.robustness, run.shortcuts).rows]
    assert ("fails" not in verdicts) is judged.passed
    assert verdicts.count("fails") == (0 if judged.passed else len(judged.reasons))


def test_an_evaluation_from_before_prediction_sets_is_reported_without_them(written_run: Path):
    data = read(written_run)
    older = msgspec.structs.replace(data.metrics, prediction_sets=None, selective=None, gaps=())
    report = compose_report(replace(data, metrics=older))
    assert not {"prediction-sets", "selective", "gaps"} & set(report.tables)
    assert "has no limits for prediction sets" in report.words["prediction_sets"]
    assert "not measured" in render_html(report)
    verdicts = {row[0]: row[-1] for row in report.tables["gate"].rows}
    assert verdicts["Findings covered by prediction sets"] == verdicts["Films referred"] == "fails"


def test_an_undefined_metric_fails_its_floor(run: SyntheticRun):
    undefined = {"macro_auroc": Estimate(value=None, reason="one class")}
    metrics = msgspec.structs.replace(run.metrics, overall=run.metrics.overall | undefined)
    assert gate_table(Gate(), metrics, run.robustness, None).rows[0][-1] == "fails"


def test_the_audit_is_in_the_report_and_in_the_gate(written_run: Path):
    data = read(written_run)
    report = compose_report(data)
    assert {"shortcuts-hidden", "shortcuts-source", "shortcuts-pasted"} <= set(report.tables)
    assert REASON in report.words["shortcuts"]
    assert {row[0]: row[1:] for row in report.tables["gate"].rows}["Shortcut audit"] == (
        "warn",
        "at worst warn",
        "holds",
    )
    without = compose_report(replace(data, shortcuts=None))
    assert "not audited" in without.words["shortcuts"]
    assert not [name for name in without.tables if name.startswith("shortcuts")]
    assert "Shortcuts were not audited" in render_html(without)


def test_sources_never_seen_are_in_the_report(written_run: Path):
    data = read(written_run)
    report = compose_report(data)
    sources, trust = report.tables["unseen-sources"], report.tables["unseen-trust"]
    assert [row[0] for row in sources.rows] == ["north", "south", "west", "Mean", "Worst"]
    assert [row[:2] for row in trust.rows] == [
        ("north, south", "east, west"),
        ("south, west", "east, north"),
        ("east", ""),
        ("All tests", ""),
    ]
    assert trust.rows[-1][2].text == "154"
    page = render_html(report)
    assert LACKS in page
    assert f"{100 * data.unseen.trust.refer_rate.value:.1f}%" in page
    assert LACKS in report.words["unseen"]
    few = msgspec.structs.replace(data.unseen, mean_source_auroc=Estimate(value=None, reason="few patients"))
    assert compose_report(replace(data, unseen=few)).words["unseen"].endswith("none can be judged: few patients.")
    without = compose_report(replace(data, unseen=None))
    assert not [name for name in without.tables if name.startswith("unseen")]
    assert "No source was withheld" in render_html(without)
    assert "No outside test" in {caveat.title for caveat in without.caveats}
