import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.studies import FORMAT, SCHEMA, StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError


def row(**changes):
    values = dict.fromkeys(SCHEMA.names) | {
        "image_id": "0" * 64,
        "group_id": "g",
        "width": 10,
        "height": 20,
        "sha256": "a" * 64,
    }
    return values | changes


def index(*rows):
    return StudyIndex(pd.DataFrame(list(rows), columns=SCHEMA.names))


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
rows = st.fixed_dictionaries(
    {
        "image_id": st.text("0123456789abcdef", min_size=4, max_size=4),
        "patient_id": st.none() | texts,
        "study_id": st.none() | texts,
        "label": st.sampled_from([None, "Normal", "Pneumonia", "Tuberculosis"]),
        "source": st.none() | texts,
        "view": st.sampled_from([None, "PA", "AP"]),
        "sex": st.sampled_from([None, "F", "M", "O"]),
        "age": st.none() | st.floats(0, 120, width=32),
        "age_group": st.sampled_from([None, "paediatric", "adult"]),
        "group_id": texts,
        "split": st.sampled_from([None, "train", "validation", "test"]),
        "width": st.integers(1, 10_000),
        "height": st.integers(1, 10_000),
        "sha256": texts,
    }
)
indexes = st.lists(rows, min_size=1, max_size=6, unique_by=lambda film: film["image_id"])


@settings(max_examples=30)
@given(films=indexes)
def test_what_is_written_is_read(tmp_path_factory, films):
    folder = tmp_path_factory.mktemp("studies")
    written = index(*films)
    written.write(folder)
    read = StudyIndex.read(folder)
    pd.testing.assert_frame_equal(read.films, written.films)
    assert read.digest == written.digest
    assert len(read) == len(films)


@settings(max_examples=30)
@given(films=indexes, data=st.data())
def test_order_does_not_matter_and_everything_else_does(films, data):
    one = index(*films)
    assert index(*data.draw(st.permutations(films))).digest == one.digest
    changed = data.draw(st.integers(0, len(films) - 1))
    others = [film | {"width": film["width"] + (number == changed)} for number, film in enumerate(films)]
    assert index(*others).digest != one.digest


def test_types_are_those_of_the_schema_even_where_all_is_unknown():
    films = index(row()).films
    assert films["label"].dtype == pd.StringDtype()
    assert films["age"].dtype == np.float32
    assert films["width"].dtype == np.int32
    assert films["age"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ""}, 'label of a study index must be null where unknown, never ""'),
        ({"label": "Fracture"}, r"label of a study index must be one of .*, has \['Fracture'\]"),
        ({"view": "LATERAL"}, "view of a study index must be one of"),
        ({"sex": "female"}, "sex of a study index must be one of"),
        ({"age_group": "child"}, "age_group of a study index must be one of"),
        ({"split": "holdout"}, "split of a study index must be one of"),
        ({"image_id": None}, "image_id of a study index must not be null"),
        ({"group_id": None}, "group_id of a study index must not be null"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused(change, message):
    with pytest.raises(ContractError, match=message):
        index(row(**change))


def test_one_image_has_one_row():
    with pytest.raises(ContractError, match="image_id of a study index must be unique"):
        index(row(), row(group_id="h"))


@pytest.mark.parametrize("change", [lambda f: f.drop(columns="age"), lambda f: f.assign(name="Jane Doe")])
def test_columns_are_those_of_the_schema_and_no_others(change):
    with pytest.raises(ContractError, match="must have exactly the columns"):
        StudyIndex(change(index(row()).films))


def test_a_part_has_the_films_of_its_split():
    films = index(*(row(image_id=str(n), split=split) for n, split in enumerate(["train", "test", "train", None])))
    assert films.part(Split.TRAIN).films["image_id"].tolist() == ["0", "2"]
    with pytest.raises(ContractError, match="must have films of split 'validation', has none; run `cxr split`"):
        films.part(Split.VALIDATION)


def test_a_missing_index_says_what_to_run(tmp_path):
    with pytest.raises(ContractError, match="must exist: run `cxr ingest`"):
        StudyIndex.read(tmp_path)


def parquet(metadata):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image_id": ["a"]}).replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image_id,label\n", "must be a Parquet file"),
        (b"", "must be a Parquet file"),
        (parquet(None), f"must be of format {FORMAT}, is of none"),
        (parquet({"format": "cxr.studies/2"}), f"must be of format {FORMAT}, is of cxr.studies/2"),
        (parquet({"format": FORMAT}), "must have exactly the columns"),
    ],
)
def test_a_file_that_is_no_index_is_refused(tmp_path, content, message):
    (tmp_path / "index.parquet").write_bytes(content)
    with pytest.raises(ContractError, match=message):
        StudyIndex.read(tmp_path)
