import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.domain import TAXONOMY, Taxonomy


def test_the_order_of_findings_is_that_of_every_vector():
    assert tuple(TAXONOMY) == ("Normal", "Pneumonia", "Tuberculosis")
    assert len(TAXONOMY) == 3
    assert [TAXONOMY.index(finding) for finding in TAXONOMY] == [0, 1, 2]


def test_what_is_no_finding_has_no_position():
    with pytest.raises(ValueError, match="not in tuple"):
        TAXONOMY.index("Fracture")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NORMAL", "Normal"),
        ("Healthy", "Normal"),
        ("no_finding", "Normal"),
        ("bacterial  pneumonia", "Pneumonia"),
        ("Viral-Pneumonia", "Pneumonia"),
        ("tb", "Tuberculosis"),
        ("\tTuberculosis\n", "Tuberculosis"),
        ("Fracture", None),
        ("not normal", None),
        ("", None),
        (None, None),
    ],
)
def test_labels_are_read_as_people_write_them(written, meant):
    assert TAXONOMY.canonical(written) == meant


def test_a_synonym_means_nothing_where_its_finding_is_not_told_apart():
    assert Taxonomy(("Normal", "Pneumonia")).canonical("TB") is None


@given(finding=st.sampled_from(TAXONOMY.findings), case=st.sampled_from([str.upper, str.lower, str.title, str]))
def test_a_finding_is_itself_however_it_is_spelt(finding, case):
    assert TAXONOMY.canonical(f" {case(finding)} ") == finding


@given(st.text())
def test_any_text_is_a_finding_or_none(text):
    assert TAXONOMY.canonical(text) in (*TAXONOMY.findings, None)
