import io
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from cxr.contracts.bundle import BUNDLE_FILE, PICTURES, PictureGate, read_bundle
from cxr.contracts.prediction import FilmPrediction, FilmRefusal
from cxr.errors import REJECTION_CODES, BundleError
from cxr.imaging.preprocess import network_input, stored_film
from cxr.modeling.inference import infer
from cxr.steps.predict import Interpreter, predict
from support.films import chest, dicom, encoded
from support.gates import open_gate
from support.small_run import bundle_with_gate


@pytest.fixture
def films(tmp_path):
    """A PNG, a file that is no picture, and the same chest as DICOM."""
    pixels = chest()
    (tmp_path / "a.png").write_bytes(encoded(pixels))
    (tmp_path / "b.png").write_text("no picture")
    (tmp_path / "c.dcm").write_bytes(dicom(pixels))
    return [tmp_path / name for name in ("a.png", "b.png", "c.dcm")]


def test_answers_come_in_order_and_a_bad_file_stops_nothing(small_run, films, tmp_path):
    files = [*films, tmp_path / "missing.png", tmp_path]
    answers = list(predict(bundle=small_run.folder / "bundle", files=files))
    assert [answer.file for answer in answers] == [str(file) for file in files]
    kinds = [FilmPrediction, FilmRefusal, FilmPrediction, FilmRefusal, FilmRefusal]
    assert [type(answer) for answer in answers] == kinds
    refused = [answer for answer in answers if isinstance(answer, FilmRefusal)]
    assert [answer.code for answer in refused] == ["not_an_image", "unreadable", "unreadable"]
    assert {answer.code for answer in refused} <= set(REJECTION_CODES)


def test_one_film_is_one_film_as_png_and_as_dicom(small_run, films):
    png, dcm = predict(bundle=small_run.folder / "bundle", files=[films[0], films[2]])
    assert msgspec.structs.replace(dcm, file=png.file) == png


def test_probabilities_and_the_peak_are_those_of_the_network(small_run, films):
    (answer,) = predict(bundle=small_run.folder / "bundle", files=films[:1])
    manifest, pixels = read_bundle(small_run.folder / "bundle").manifest, chest()
    preprocessing = small_run.model.recipe.preprocessing
    film = network_input(stored_film(pixels, preprocessing), preprocessing)
    outputs = infer(small_run.model.network, film[None], maps=True)
    scaled = np.exp(outputs.logits[0].astype(np.float64) / manifest.calibration.temperature)
    expected = scaled / scaled.sum()
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-4)
    assert answer.decision == manifest.findings[expected.argmax()]
    assert answer.confidence == max(answer.probabilities.values())
    height, width = pixels.shape
    cells = outputs.maps[0, expected.argmax()]
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert answer.activation.finding == answer.decision
    assert answer.activation.x == pytest.approx((column + 0.5) / cells.shape[1] * width)
    assert answer.activation.y == pytest.approx((row + 0.5) / cells.shape[0] * height)


def test_the_prediction_set_holds_the_findings_that_reach_their_limits(small_run, films):
    bundle = read_bundle(small_run.folder / "bundle")
    limits = bundle.manifest.calibration.prediction_sets
    for answer in predict(bundle=bundle.folder, files=[films[0], films[2]]):
        assert answer.prediction_set == tuple(
            finding
            for finding in bundle.manifest.findings
            if answer.probabilities[finding] >= limits.least_probability[finding]
        )


def test_a_bundle_of_version_1_answers_without_a_prediction_set(small_run, films, tmp_path):
    old = small_run.copy(tmp_path / "run").folder / "bundle"
    manifest = json.loads((old / BUNDLE_FILE).read_bytes())
    manifest["version"] = manifest["calibration"]["version"] = 1
    for name in ("prediction_sets", "refer_error", "refer_error_bound"):
        del manifest["calibration"][name]
    (old / BUNDLE_FILE).write_text(json.dumps(manifest))
    (answer,) = predict(bundle=old, files=films[:1])
    (newer,) = predict(bundle=small_run.folder / "bundle", files=films[:1])
    assert answer.prediction_set is None
    assert answer.probabilities == newer.probabilities
    assert newer.prediction_set is not None


def test_operating_points_and_referral_follow_the_calibration(small_run, films):
    bundle = read_bundle(small_run.folder / "bundle")
    (answer,) = predict(bundle=bundle.folder, files=films[:1])
    calibration = bundle.manifest.calibration
    assert answer.operating_points == {
        point.key: answer.probabilities[point.finding] >= point.threshold for point in calibration.operating_points
    }
    assert len(answer.operating_points) >= 9
    assert ("low_confidence" in answer.referred) == (answer.confidence < calibration.refer_below)
    assert answer.out_of_distribution == (answer.distance > bundle.manifest.out_of_distribution.limit)
    assert answer.out_of_distribution == ("out_of_distribution" in answer.referred)
    assert answer.bundle == bundle.digest


def test_films_like_the_training_films_are_known_and_a_strange_picture_is_not(small_run, tmp_path):
    image = small_run.folder / "studies" / "images" / f"{small_run.index.films['image_id'][0]}.png"
    with Image.open(image) as known:
        buffer = io.BytesIO()
        known.resize((320, 320), Image.Resampling.NEAREST).save(buffer, "PNG")
    (tmp_path / "known.png").write_bytes(buffer.getvalue())
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 40), (320, 4))
    (tmp_path / "strange.png").write_bytes(encoded(stripes))
    known_film, strange = predict(
        bundle=small_run.folder / "bundle", files=[tmp_path / "known.png", tmp_path / "strange.png"]
    )
    assert not known_film.out_of_distribution
    assert strange.out_of_distribution
    assert strange.distance > known_film.distance


def interpreter_with(bundle, limits):
    read = read_bundle(bundle)
    open_one = Interpreter.read(read.folder, manifest=read.manifest, digest=read.digest)
    return replace(open_one, gate=open_gate(limits))


def test_what_the_gate_refuses_never_reaches_the_network(small_run, tmp_path):
    shut = PictureGate(refuse_below=1.0, refer_below=1.0, refused_share=1.0, referred_share=1.0)
    bundle = bundle_with_gate(small_run, tmp_path, shut)
    (tmp_path / "a.png").write_bytes(encoded(chest()))
    (answer,) = predict(bundle=bundle, files=[tmp_path / "a.png"])
    assert isinstance(answer, FilmRefusal)
    assert answer.code in PICTURES[1:]
    assert answer.file.endswith("a.png")
    assert answer.reason


def test_what_passes_the_gate_by_little_is_referred(small_run):
    narrow = PictureGate(refuse_below=-1.0, refer_below=1.0, refused_share=0.0, referred_share=1.0)
    interpreter = interpreter_with(small_run.folder / "bundle", narrow)
    prepared = interpreter.before(chest())
    assert prepared.unsure
    assert (prepared.height, prepared.width) == chest().shape
    classes = len(interpreter.manifest.findings)
    answer = interpreter.after(
        prepared,
        logits=np.zeros(classes, np.float32),
        embedding=interpreter.projection.mean,
        maps=np.zeros((classes, 2, 2), np.float32),
        name="x",
    )
    assert answer.distance < interpreter.manifest.out_of_distribution.limit
    assert answer.out_of_distribution
    assert "out_of_distribution" in answer.referred
    assert answer.file == "x"


def test_answers_survive_json(small_run, films):
    for answer in predict(bundle=small_run.folder / "bundle", files=films):
        line = msgspec.json.encode(answer)
        assert b"\n" not in line
        assert msgspec.json.decode(line, type=FilmPrediction | FilmRefusal) == answer


def test_a_changed_bundle_answers_nothing(small_run, films, tmp_path):
    run = small_run.copy(tmp_path / "run")
    (run.folder / "bundle" / "drift" / "reference.npz").write_bytes(b"")
    with pytest.raises(BundleError, match="changed"):
        next(predict(bundle=run.folder / "bundle", files=films))


@pytest.mark.real
def test_every_real_dicom_is_classified_or_refused_with_a_reason(small_run, real_data: Path):
    files = sorted(path for path in (real_data / "dicom").rglob("*") if path.is_file() and path.suffix != ".csv")
    answers = list(predict(bundle=small_run.folder / "bundle", files=files))
    for file, answer in zip(files, answers, strict=True):
        assert isinstance(answer, FilmPrediction) == (file.parent.name == "chest_frontal" or "MONOHR1" in file.name)
        assert isinstance(answer, FilmPrediction) or answer.code in REJECTION_CODES
