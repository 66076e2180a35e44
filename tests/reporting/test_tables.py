import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.metrics import Estimate
from cxr.reporting.tables import MINUS, Number, Table, count, metric_cells, metric_columns, metric_label, metric_style


def read(text: str) -> float:
    return float(text.replace(MINUS, "-").replace(",", "").rstrip("%"))


@given(st.floats(0, 1))
def test_a_share_is_shown_to_a_tenth_of_a_percent(value: float):
    text = Number(value=value, style="share").text
    assert text.endswith("%")
    assert read(text) == pytest.approx(100 * value, abs=0.0501)


@given(st.floats(-1, 1))
def test_points_never_show_a_negative_zero(value: float):
    text = Number(value=value, style="points").text
    assert read(text) == pytest.approx(100 * value, abs=0.0501)
    assert text != f"{MINUS}0.0"
    assert "-" not in text


@given(st.integers(0, 10**9))
def test_counts_are_exact(value: int):
    assert read(count(value).text) == value


def test_an_interval_that_reaches_below_zero_uses_words_between_its_ends():
    assert Number(value=0.01, low=-0.02, high=0.03, style="points").interval == f"{MINUS}2.0 to 3.0"
    assert Number(value=0.91, low=0.90, high=0.95, style="score").interval == "0.900–0.950"


def test_an_interval_with_one_end_unknown_is_not_shown():
    assert Number(value=0.91, low=0.90, style="score").interval == ""


def test_undefined_shows_a_dash_and_the_table_says_why_once():
    undefined = Number.of(Estimate(value=None, reason="no film"), "share")
    other = Number.of(Estimate(value=None, reason="one class"), "share")
    table = Table(
        name="t", caption="T", columns=("Row", "A", "B"), rows=(("x", undefined, other), ("y", count(3), undefined))
    )
    assert undefined.text == "—"
    assert table.footnotes == {"no film": "a", "one class": "b"}
    assert table.numeric == (False, True, True)


def test_footnote_letters_go_on_after_z():
    rows = tuple((str(n), Number(value=None, style="share", reason=str(n))) for n in range(28))
    letters = list(Table(name="t", caption="T", columns=("Row", "A"), rows=rows).footnotes.values())
    assert letters[25:] == ["z", "aa", "ab"]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="must have 2 cells"):
        Table(name="t", caption="T", columns=("Row", "A"), rows=(("x",),))


def test_metric_names_read_well():
    assert metric_label("specificity_at_sensitivity_95") == "Specificity at 95% sensitivity"
    assert metric_label("some_new_metric") == "Some new metric"
    assert metric_style("sensitivity_at_specificity_90") == "share"
    assert metric_style("some_new_metric") == "score"


def test_a_metric_that_a_row_lacks_is_not_measured():
    rows = [{"accuracy": Estimate(value=0.5)}, {"ece": Estimate(value=0.1)}]
    names = metric_columns(rows)
    cells = metric_cells(rows[1], names)
    assert names == ("accuracy", "ece")
    assert (cells[0].value, cells[0].reason, cells[1].value) == (None, "not measured", 0.1)
