import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.source import SourceFilm
from cxr.errors import SourceError
from cxr.steps.sources.index_file import read_index

FULL = """\
path,label,patient_id,study_id,source,view,sex,age,age_group,mask,licence
a.png,TB,p1,s1,here,PA,F,61,adult,masks/a.png,free
b.png,,,,,,,,,,
sub/c.dcm, Normal ,007,NA,nan,None,null,006M,,,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "sub/c.dcm"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, text: str, *, name: str = "index.csv", confined: bool = False) -> list[SourceFilm]:
    (folder / name).write_bytes(text.encode())
    return read_index(folder / name, confined=confined)


def test_reads_every_column_and_leaves_the_rest_unknown(folder: Path) -> None:
    assert read(folder, FULL) == [
        SourceFilm(
            path=folder / "a.png",
            name="a.png",
            label="TB",
            patient_id="p1",
            study_id="s1",
            source="here",
            view="PA",
            sex="F",
            age=61.0,
            age_group="adult",
            mask=folder / "masks/a.png",
        ),
        SourceFilm(path=folder / "b.png", name="b.png"),
        SourceFilm(path=folder / "sub/c.dcm", name="sub/c.dcm", label="Normal", patient_id="007", age=0.5),
    ]


def test_parquet_says_the_same(folder: Path) -> None:
    expected = read(folder, FULL)
    frame = pd.read_csv(io.StringIO(FULL), dtype={"patient_id": str})
    frame["age"] = [61.0, float("nan"), 0.5]
    frame.to_parquet(folder / "films.parquet")
    assert read_index(folder / "films.parquet") == expected


def test_numbers_that_pandas_made_fractions_are_whole_identifiers(folder: Path) -> None:
    pd.DataFrame({"path": ["a.png", "b.png"], "patient_id": [12, None]}).to_parquet(folder / "films.parquet")
    assert [film.patient_id for film in read_index(folder / "films.parquet")] == ["12", None]


@pytest.mark.parametrize(
    "text",
    [
        "path;label\na.png;TB\n",
        "path\tlabel\r\na.png\tTB\r\n",
        "\ufeffpath,label\na.png,TB",
        ' path , label \n"a.png","TB"\n\n,,,\n',
    ],
)
def test_reads_what_spreadsheets_write(folder: Path, text: str) -> None:
    assert read(folder, text) == [SourceFilm(path=folder / "a.png", name="a.png", label="TB")]


@pytest.mark.parametrize(
    ("word", "identifier"),
    [
        ("unknown", None),
        ("ANONYMIZED", None),
        ("?", None),
        ("0", "0"),
        ("anon12", "anon12"),
        ("unknown 7", "unknown 7"),
    ],
)
def test_films_of_nobody_are_not_films_of_one_patient(folder: Path, word: str, identifier: str | None) -> None:
    (film,) = read(folder, f"path,patient_id,study_id\na.png,{word},{word}\n")
    assert (film.patient_id, film.study_id) == (identifier, identifier)


def test_a_row_whose_file_is_missing_is_listed(folder: Path) -> None:
    assert [film.name for film in read(folder, "path\ngone.png\na.png\n")] == ["gone.png", "a.png"]


def test_no_file_at_all_is_a_mistaken_folder(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"none of its 2 does; the first is 'x/a.png'.*relative to the index"):
        read(folder, "path\nx/a.png\nx/b.png\n")


def test_paths_may_lead_elsewhere(folder: Path) -> None:
    text = f"path\n{folder / 'a.png'}\n../{folder.name}/b.png\nsub\\c.dcm\n"
    films = read(folder, text)
    assert all(film.path.is_file() for film in films)
    assert [film.name for film in films] == ["a.png", f"../{folder.name}/b.png", "sub/c.dcm"]


@pytest.mark.parametrize("name", ["../b.png", "sub/../../b.png", "/etc/passwd", "..\\b.png"])
@pytest.mark.parametrize("column", ["path", "mask"])
def test_paths_of_a_downloaded_index_may_not(folder: Path, name: str, column: str) -> None:
    cells = {"path": "a.png", "mask": "b.png"} | {column: name}
    with pytest.raises(SourceError, match="within its own folder"):
        read(folder, f"path,mask\n{cells['path']},{cells['mask']}\n", confined=True)


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("Path,label", "path"),
        ("path,labels", "label"),
        ("path,Label", "label"),
        ("path,PatientID", "patient_id"),
        ("path,patient id", "patient_id"),
        ("path,sources", "source"),
        ("path,age group", "age_group"),
    ],
)
def test_a_slip_in_a_name_is_named(folder: Path, header: str, meant: str) -> None:
    with pytest.raises(SourceError, match=f"did you mean {meant}"):
        read(folder, f"{header}\na.png,x\n")


@pytest.mark.parametrize("other", ["orig_width", "license", "view_position", "patient_position", "labels", "sha256"])
def test_other_columns_are_ignored(folder: Path, other: str) -> None:
    assert read(folder, f"path,label,{other}\na.png,TB,x\n")[0].label == "TB"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line of column names"),
        ("path,label\n", "has no rows"),
        ("path,label\n,\n", "has no rows"),
        ("path,label\n,TB\n", "row 2 of .* must have a path"),
        ("image,label\na.png,TB\n", "must have a column path, has image, label"),
        ("path,path\na.png,b.png\n", "path more than once"),
        ("path,label\na.png,TB,no,comma\n", "line 2 of .* must have 2 cells, has 4"),
        ('path,label\n"a.png,TB\n', "readable CSV"),
        ("image_id,group_id,label\nx,y,TB\n", "study index that ingestion wrote"),
    ],
)
def test_says_what_is_wrong(folder: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(folder, text)


def test_other_encodings_and_formats_are_named(folder: Path) -> None:
    (folder / "latin.csv").write_bytes("path,label\nü.png,TB\n".encode("latin-1"))
    with pytest.raises(SourceError, match="must be UTF-8 text"):
        read_index(folder / "latin.csv")
    with pytest.raises(SourceError, match="readable Parquet"):
        read(folder, FULL, name="films.parquet")


cell = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)


@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=6), st.sampled_from([",", ";", "\t"]))
def test_whatever_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str]], separator: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "index.csv"
        (Path(name) / "here.png").touch()
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter=separator)
            writer.writerows(
                [("path", "label", "source"), ("here.png", "TB", ""), *(("here.png", *row) for row in rows)]
            )
        films = read_index(path)
    unknown = ("", "na", "n/a", "nan", "null", "none", "<na>")
    assert [(film.label, film.source) for film in films[1:]] == [
        tuple(None if text.strip().lower() in unknown else text.strip() for text in row) for row in rows
    ]
