"""One gate for cells: missing ones as pandas reads them, categories as texts that do not merge, no mixed columns."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.vertical import GradientBoosting, LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.protocol import refusal
from bluetusk.vertical.tables.cells import MISSING_TEXTS, looks_like, number_reader
from bluetusk.vertical.tables.columns import as_classes, as_labels, as_table, texts_of

NAN, INF = float("nan"), float("inf")
BIG = 2**53


@pytest.fixture(scope="module")
def pd():
    return pytest.importorskip("pandas", reason="frames are tried with pandas, which is no dependency")


def alone(X, y, **given):
    """A guest's binning of its own columns."""
    return WoEBinning("guest", **{"min_rows": 1, "max_bins": 4, **given}).fit(X, y)


def weights(rows, events, smoothing=0.5):
    """WoE by the definition, from counts by hand."""
    bad = [e + smoothing for e in events]
    good = [r - e + smoothing for r, e in zip(rows, events, strict=True)]
    return [np.log((b / sum(bad)) / (g / sum(good))) for b, g in zip(bad, good, strict=True)]


# ---------------------------------------------------------------------------------------------------- missing values


def test_missing_texts_are_those_of_pandas(pd):
    from pandas._libs.parsers import STR_NA_VALUES

    assert set(MISSING_TEXTS) == STR_NA_VALUES


@pytest.mark.parametrize("text", ["NA", " ", "", "n/a", " NULL ", "<NA>", "-1.#IND"])
def test_a_missing_text_leaves_a_column_numeric(text):
    x = [20.0, 30.0, text, 40.0, None, NAN]
    table = as_table([[v] for v in x], ["age"])
    assert table.kinds == ["numeric"]
    assert np.array_equal(table.values[0], [20, 30, NAN, 40, NAN, NAN], equal_nan=True)
    fitted = alone([[v] for v in x], [0, 0, 1, 1, 1, 0], max_bins=2)
    assert fitted.bins_[0].rows.tolist() == [1, 2, 3]
    assert fitted.bins_[0].woe.tolist() == pytest.approx(weights([1, 2, 3], [0, 1, 2]))


def test_columns_of_pandas_keep_their_meaning(pd):
    frame = pd.DataFrame(
        {
            "int": pd.array([1, None, 3], dtype="Int64"),
            "float": pd.array([1.5, None, 3], dtype="Float64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "str": pd.array(["a", None, "b"], dtype="string"),
            "object": np.array([1, pd.NA, 2.5], dtype=object),
            "big": pd.array([BIG, BIG + 1, None], dtype="Int64"),
            "coded": pd.Categorical([BIG, BIG + 1, None]),
            "named": pd.Categorical(["NA", "1", None]),
        }
    )
    table = as_table(frame, categorical=["big"])
    found = {name: values.tolist() for name, values in zip(table.names, table.values, strict=True)}
    for name, want in (
        ("int", [1, NAN, 3]),
        ("float", [1.5, NAN, 3]),
        ("flag", [1, NAN, 0]),
        ("object", [1, NAN, 2.5]),
    ):
        assert np.array_equal(found[name], want, equal_nan=True), name
    assert found["str"] == ["a", None, "b"]
    assert found["big"] == found["coded"] == ["9007199254740992", "9007199254740993", None]
    assert found["named"] == ["NA", "1", None]  # a dtype that lists its categories says what is one
    assert table.kinds == ["numeric", "numeric", "numeric", "text", "numeric", *["categorical"] * 3]
    with pytest.raises(TypeError, match=r"X\['d'\] is of datetime64.*days or months|row 0 of X\['d'\]"):
        as_table(pd.DataFrame({"d": pd.to_datetime(["2026-01-01"])}))


# ------------------------------------------------------------------------------------------------------ mixed columns


@pytest.mark.parametrize(
    ("cell", "looks"),
    [
        ("?", ""),
        ("1,169", r" \(a number with a thousands separator or a decimal comma\)"),
        ("12,5", r" \(a number with a decimal comma\)"),
        ("1.169,50", r" \(a number with thousands separators and a decimal comma\)"),
        ("29.11.2026", r" \(a date\)"),
        ("2026-11-29 10:00", r" \(a date\)"),
        ("15%", r" \(a percentage\)"),
        ("EUR 1,169.00", r" \(an amount of money\)"),
        ("1_000", r" \(a number with thousands separators\)"),
        ("\u0661", ""),
    ],
)
@pytest.mark.parametrize("numbers", [[20, 30.5, 41], ["20", "30.5", "41"]])
def test_one_bad_cell_is_named(cell, looks, numbers):
    column = [*numbers, cell, *numbers]
    said = rf"X\['age'\] mixes numbers and texts: of 7 cells 1 are not numbers: '{re.escape(cell)}' in row 3{looks}; "
    with pytest.raises(ValueError, match=said + ".*categorical"):
        alone({"age": column}, [0, 1] * 3 + [1])
    with pytest.raises(ValueError, match=said.replace("['age", "['x0")):
        as_table([[v] for v in column])
    link, _ = local_links(seconds=5)
    with pytest.raises(ValueError, match="mixes numbers and texts"):
        GradientBoosting("guest").fit({"age": column}, [0, 1] * 3 + [1], link=link)
    fitted = alone({"age": column}, [0, 1] * 3 + [1], categorical=["age"])
    assert fitted.categorical_ == ["age"]


def test_five_cells_are_named_and_the_rest_counted():
    column = [*range(20), *(f"t{k}" for k in range(9))]
    with pytest.raises(
        ValueError, match=r"of 29 cells 9 are not numbers: 't0' in row 20, .*'t4' in row 24, and 4 more"
    ):
        as_table({"x": column})
    with pytest.raises(ValueError, match=r"of 4 cells 1 are numbers: 7 in row 3"):
        as_table({"x": ["a", "b", "c", 7]})
    with pytest.raises(ValueError, match=r"mixes numbers and strings of numbers: 1 in row 0, '2' in row 1"):
        as_table({"x": [1, "2"]})
    with pytest.raises(ValueError, match=r"texts that all look like a date: '2026-01-31' in row 0"):
        as_table({"x": ["2026-01-31", "2026-02-28"]})
    assert as_table({"x": ["1", "2", "NA"]}).values[0].tolist() == ["1", "2", None]  # strings stay categories


def test_pandas_makes_a_text_of_a_column_with_one_bad_cell(pd):
    import io

    frame = pd.read_csv(io.StringIO("age\n20\n30\n1,169\n".replace("1,169", '"1,169"')))
    with pytest.raises(ValueError, match=r"'1,169' in row 2 \(a number with a thousands separator"):
        as_table(frame)


@pytest.mark.parametrize("bad", [INF, -INF, "inf", np.float32("inf"), Decimal("Infinity"), "1e999"])
def test_an_infinite_cell_is_refused_and_the_peer_told_no_more_than_that(bad):
    x = [1.0, 2.0, bad, 4.0] if not isinstance(bad, str) else ["1", "2", bad, "x"]
    link, _ = local_links(seconds=5)
    for fit in (
        lambda: WoEBinning("host", min_rows=1).fit({"a": x}, link=link),
        lambda: GradientBoosting("host").fit({"a": x}, link=link),
        lambda: alone({"a": x}, [0, 0, 1, 1]),
    ):
        with pytest.raises(ValueError, match=r"row 2 of X\['a'\] is infinite|mixes numbers and texts"):
            fit()
    if not isinstance(bad, str):
        array = np.array([[float(v)] for v in x])
        with pytest.raises(ValueError, match=r"row 2 of X\['x0'\] is infinite|X\[2, 0\] is NaN or infinite"):
            LogisticRegression("host").fit(array, link=link)
    other, _ = local_links(seconds=5)
    refusal.tell([other], ValueError("of no row"))
    assert link.bytes_sent == other.bytes_sent


def test_other_types_are_refused_by_name():
    for cell, kind in ((b"a", "bytes"), (1 + 2j, "complex"), (datetime.date(2026, 1, 1), "date"), ({}, "dict")):
        for categorical in ((), ("x",)):
            with pytest.raises(TypeError, match=rf"row 1 of X\['x'\] is of type {kind}"):
                as_table({"x": [1, cell]}, categorical=categorical)
    for array in (
        np.array([[b"a"]]),
        np.zeros((1, 1), "M8[s]"),
        np.zeros((1, 1), np.complex128),
        np.zeros((1, 1), "g"),
    ):
        with pytest.raises(TypeError, match=rf"X\['x0'\] is of {re.escape(str(array.dtype))}"):
            as_table(array)
    with pytest.raises(TypeError, match=r"give \['code'\]"):
        as_table([[1]], ["code"], "code")
    with pytest.raises(ValueError, match="different lengths: 1, 2"):
        as_table({"a": [1], "b": [1, 2]})


def test_masks_are_refused():
    masked = np.ma.array([[1.0], [2.0]], mask=[[0], [1]])
    for call in (
        lambda: as_table(masked),
        lambda: as_table([[1.0], [np.ma.masked]]),
        lambda: as_table({"a": masked[:, 0]}),
        lambda: as_labels(masked[:, 0], 2),
        lambda: as_classes(masked[:, 0], 2),
        lambda: alone([[1.0], [2.0]], masked[:, 0]),
        lambda: alone([[1.0], [2.0]], [0, 1]).transform(masked),
    ):
        with pytest.raises(TypeError, match="masked"):
            call()


# --------------------------------------------------------------------------------------------------------- categories


@pytest.mark.parametrize(
    "column",
    [
        [BIG, BIG + 1, BIG, BIG + 1],
        np.array([BIG, BIG + 1, BIG, BIG + 1]),
        np.array([BIG, BIG + 1, BIG, BIG + 1], np.uint64),
        ["007", "7", "007", "7"],
        ["07", 7, "07", 7],
        [True, 1, True, 1],
        ["\u00e9", "e\u0301", "\u00e9", "e\u0301"],
        ["a", "a ", "a", "a "],
    ],
)
def test_categories_do_not_merge(column):
    fitted = alone({"code": column}, [1, 0, 1, 0], categorical=["code"])
    assert sorted(fitted.bins_[0].rows.tolist()) == [2, 2]
    assert fitted.transform({"code": column})[:, 0].tolist() == pytest.approx(
        [w for _ in range(2) for w in weights([2, 2], [2, 0])]
    )


@pytest.mark.parametrize(
    "other",
    [
        ["1", "2", "30", "2"],
        [1.0, 2.0, 30.0, 2.0],
        np.array([1, 2, 30, 2], np.int8),
        np.array([1, 2, 30, 2], np.float32),
        np.array(["1", "2", "30", "2"]),
        [Decimal(1), Decimal("2.0"), Decimal(30), 2],
        np.array([1, 2, 30, 2], dtype=object),
    ],
)
def test_one_code_in_several_types_is_one_category(other):
    fitted = alone({"code": [1, 2, 30, 2]}, [1, 0, 0, 1], categorical=["code"])
    assert fitted.bins_[0].groups == [["1"], ["2"], ["30"]]
    want = weights([1, 2, 1], [1, 1, 0])
    assert fitted.transform({"code": other})[:, 0].tolist() == pytest.approx([want[k] for k in (0, 1, 2, 1)])


def test_floats_that_may_have_merged_are_refused():
    with pytest.raises(ValueError, match=r"row 1 of X\['c'\] is the float 9007199254740992.0: from 2\^53 on"):
        as_table({"c": np.array([1.0, BIG + 1])}, categorical=["c"])
    for column in ([BIG, BIG + 1], np.array([BIG, BIG + 1]), np.array([1, 2**63 + 1], np.uint64), [1, 10**400]):
        with pytest.raises(
            ValueError, match=r"row 1 of X\['c'\] is (\d+, an integer that float64|.*not hold|infinite)"
        ):
            as_table({"c": column})
    assert as_table({"c": np.array([BIG, 2**60, -(2**62)])}).values[0].tolist() == [2.0**53, 2.0**60, -(2.0**62)]
    assert texts_of([np.float32(0.1), 0.1, Decimal("0.1"), -0.0, 1e300 / 1e300]).tolist() == [
        "0.1",
        "0.1",
        "0.1",
        "0",
        "1",
    ]


@given(st.lists(st.one_of(st.integers(), st.text(max_size=5)), min_size=1, max_size=20))
def test_texts_are_equal_where_python_says_so(values):
    """Integers and strings: one category if and only if the decimal digits or the strings are equal."""
    found = texts_of(values).tolist()
    for a, text in zip(values, found, strict=True):
        assert text == (None if isinstance(a, str) and a.strip() in MISSING_TEXTS else str(a))


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_numbers_are_read_as_python_reads_them(x, comma):
    read = number_reader(",", ".") if comma else number_reader()
    text = repr(x).replace(".", ",") if comma else repr(x)
    try:
        assert read(f" {text} ") == x
    except ValueError:
        assert abs(x) > BIG


def test_marks_of_numbers():
    read = number_reader(",", ".")
    assert [read(t) for t in ("1.169,50", "1169,5", "1.16", "1,169.50", "12", "-1.000.000", "1.0000")] == [
        *(1169.5, 1169.5, None, None, 12.0, -1e6, None)
    ]
    assert number_reader(".", ",")("1,169") == 1169.0
    assert number_reader(".", "'")("1'169.5") == 1169.5
    for marks in ((",", ","), ("", ""), ("1", ""), (".", "ab"), ("-", "")):
        with pytest.raises(ValueError, match=r"decimal|thousands"):
            number_reader(*marks)
    assert looks_like("1169") is looks_like("clerk") is looks_like("A-12-2026") is None


# ------------------------------------------------------------------------------- what training has not seen is counted


def test_unseen_categories_are_counted_and_treated_as_said():
    jobs = ["clerk"] * 4 + ["farmer"] * 4 + ["pilot", "cook"]
    y = [1, 1, 1, 0, 0, 0, 0, 1, 1, 0]
    fitted = alone({"job": jobs}, y, min_rows=2)
    woe = dict(zip(("clerk", "farmer", "others"), weights([4, 4, 2], [3, 1, 1]), strict=True))
    assert fitted.transform({"job": ["cook", "clerk"]})[:, 0].tolist() == pytest.approx([woe["others"], woe["clerk"]])
    new = ["clerk", "judge", "judge", "nurse", "pilot"]
    with pytest.warns(
        bt.DataWarning, match=r"3 of 5 values in 2 categories \('judge', 'nurse'\), counted as the rare ones"
    ):
        found = fitted.transform({"job": new})[:, 0]
    assert found.tolist() == pytest.approx([woe["clerk"], *[woe["others"]] * 4])
    plain = alone({"job": jobs[:8], "age": list(range(8))}, y[:8], min_rows=2)
    with pytest.warns(
        bt.DataWarning, match=r"\['job'\]: 2 of 2 values in 2 categories .* as 0; X\['age'\]: 1 of 2 .*missing"
    ):
        assert plain.transform({"age": [1, None], "job": [0, 1]})[:, 0].tolist() == [0.0, 0.0]


def test_a_column_keeps_its_kind():
    numbers = alone({"a": [1.0, 2.0, 3.0, 4.0]}, [0, 0, 1, 1])
    with pytest.raises(ValueError, match="holds strings, but was fitted with numbers"):
        numbers.transform({"a": ["1", "2"]})
    with pytest.raises(ValueError, match="mixes"):
        numbers.transform({"a": [1.0, "?"]})
    assert numbers.transform({"b": [0], "a": [4]}, ["a"]).tolist() == numbers.transform([[4.0]]).tolist()
    assert numbers.transform([[4.0]], []).shape == (1, 0)
    assert numbers.codes({"a": [4.0]}, []).shape == (1, 0)
    assert numbers.transform({"note": [1, "x"], "a": [4.0, 1.0]}).shape == (2, 1)  # only what is used is read


def test_labels():
    assert as_labels(np.array([0, True, 1.0], dtype=object), 3).tolist() == [0, 1, 1]
    assert as_classes(np.array(["b", "a"], dtype=object), 2)[1].tolist() == ["a", "b"]
    assert as_classes([3.0, 2], 2)[1].tolist() == [2, 3]
    for y in ([1, "1"], [True, 2], [None, 1], [NAN, 1.0], [2.0**60, 1.0], [1, 2, None]):
        with pytest.raises(ValueError, match="y "):
            as_classes(y, len(y))
    with pytest.raises(ValueError, match="0 and 1 only"):
        as_labels(np.array([0, None], dtype=object), 2)
