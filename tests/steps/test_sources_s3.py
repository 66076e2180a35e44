import io
from pathlib import Path

import pytest

from cxr.contracts.source import SourceFilm
from cxr.errors import SourceError
from cxr.steps.sources import open_source
from support import rgw
from support.rgw import Gateway

gateway = rgw.gateway
INDEX = b"path,label,mask\ntb/\xc3\xbc 1.png,TB,masks/1.png\nnormal/2.png,Normal,\ngone.png,TB,\n"
OBJECTS = {
    "set/normal/2.png": b"two",
    "set/tb/ü 1.png": b"one",
    "set/masks/1.png": b"lesion",
    "set/unlisted/3.png": b"three",
    "set-2/normal/4.png": b"four",
}


@pytest.fixture
def bucket(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_ENDPOINT_URL_S3", "S3_ENDPOINT", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in gateway.environment().items():
        monkeypatch.setenv(name, value)
    name = gateway.bucket()
    for key, data in OBJECTS.items():
        gateway.client.put_object(name, key, io.BytesIO(data), len(data))
    return name


def summary(films: list[SourceFilm]) -> dict[str, tuple[str | None, bytes | None]]:
    return {film.name: (film.label, film.path.read_bytes() if film.path.exists() else None) for film in films}


def test_a_prefix_is_a_folder(bucket: str, tmp_path: Path) -> None:
    films = open_source(f"s3://{bucket}/set", scratch=tmp_path, seed=1)
    assert summary(films) == {
        "normal/2.png": ("normal", b"two"),
        "tb/ü 1.png": ("tb", b"one"),
        "unlisted/3.png": ("unlisted", b"three"),
    }
    assert open_source(f"s3://{bucket}/set/", scratch=tmp_path, seed=1) == films


def test_a_bucket_is_a_folder(bucket: str, tmp_path: Path) -> None:
    films = open_source(f"s3://{bucket}", scratch=tmp_path, seed=1)
    assert [film.name for film in films] == sorted(key for key in OBJECTS if "masks" not in key)


@pytest.mark.parametrize("address", ["set", "set/index.csv"])
def test_an_index_brings_what_it_lists_and_no_more(
    bucket: str,
    gateway: Gateway,
    tmp_path: Path,
    address: str,
) -> None:
    gateway.client.put_object(bucket, "set/index.csv", io.BytesIO(INDEX), len(INDEX))
    films = open_source(f"s3://{bucket}/{address}", scratch=tmp_path, seed=1)
    assert summary(films) == {
        "tb/ü 1.png": ("TB", b"one"),
        "normal/2.png": ("Normal", b"two"),
        "gone.png": ("TB", None),
    }
    assert films[0].mask is not None
    assert films[0].mask.read_bytes() == b"lesion"
    assert not list(tmp_path.rglob("3.png"))
    assert open_source(f"s3://{bucket}/{address}", scratch=tmp_path, seed=1) == films


def test_an_index_may_not_lead_out_of_its_download(
    bucket: str,
    gateway: Gateway,
    tmp_path: Path,
) -> None:
    text = b"path\n../../secret.png\n"
    gateway.client.put_object(bucket, "set/index.csv", io.BytesIO(text), len(text))
    with pytest.raises(SourceError, match="within its own folder"):
        open_source(f"s3://{bucket}/set", scratch=tmp_path, seed=1)


def test_one_object_is_one_film(bucket: str, tmp_path: Path) -> None:
    films = open_source(f"s3://{bucket}/set/tb/ü 1.png", scratch=tmp_path, seed=1)
    assert summary(films) == {"ü 1.png": (None, b"one")}


def test_nothing_there(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"s3://{bucket}/se at http.* must hold objects"):
        open_source(f"s3://{bucket}/se", scratch=tmp_path, seed=1)
