"""One column's bins: cut, merged and weighed as by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from bluetusk.vertical.binning.bins import (
    ColumnBins,
    cut,
    information_value,
    monotone_groups,
    weigh,
    weights_of_evidence,
)
from bluetusk.vertical.tables.columns import as_labels, as_table, texts_of

NAN = float("nan")
numbers = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.just(NAN), st.floats(-1e9, 1e9)), min_size=1, max_size=60
)


@settings(max_examples=150)
@given(numbers, st.integers(1, 8), st.integers(1, 20))
def test_numbers_fall_into_bins_of_enough_rows(values, max_bins, min_rows):
    x = np.array(values)
    min_rows = min(min_rows, len(x))
    bins = cut("c", x, max_bins=max_bins, min_rows=min_rows)
    codes = bins.codes(x)
    assert np.bincount(codes, minlength=bins.n_bins).tolist() == bins.rows.tolist()
    assert bins.rows.min() >= min_rows
    assert bins.ordered <= max_bins
    assert bins.n_bins in (bins.ordered, bins.ordered + 1)
    for a, b in zip(x, codes, strict=True):  # by the definition of the edges
        if not np.isnan(a):
            assert b == sum(e <= a for e in bins.edges)
    assert (bins.missing >= 0) == bool(np.isnan(x).any())


@settings(max_examples=150)
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None, 1, 2.5]), min_size=1, max_size=50), st.integers(1, 12))
def test_categories_fall_into_bins_of_enough_rows(values, min_rows):
    texts = texts_of(values)
    min_rows = min(min_rows, len(texts))
    bins = cut("c", texts, max_bins=3, min_rows=min_rows)
    codes = bins.codes(texts)
    assert np.bincount(codes, minlength=bins.n_bins).tolist() == bins.rows.tolist()
    assert bins.rows.min() >= min_rows
    counts = {text: texts.tolist().count(text) for text in set(texts.tolist())}
    for together in bins.groups:
        assert len(together) == 1
        assert counts[together[0]] >= min_rows
    assert {text for group in (*bins.groups, bins.rare) for text in group} == counts.keys() - {None}
    assert bins.codes(texts_of(["never seen"])).tolist() == [bins.other]


def test_bins_in_words_and_unseen_values():
    bins = cut("c", np.array([1.0, 1, 1, 2, 2, 2, 7, 7, 7, NAN, NAN]), max_bins=5, min_rows=2)
    assert bins.labels() == ["(-inf, 2)", "[2, 7)", "[7, inf)", "missing"]
    assert bins.rows.tolist() == [3, 3, 3, 2]
    few = cut("c", np.array([1.0, 1, 1, 2, 2, 2, 2, NAN]), max_bins=5, min_rows=2)
    assert few.labels() == ["(-inf, 2)", "[2, inf), missing"]
    assert cut("c", np.full(4, NAN), max_bins=5, min_rows=2).labels() == ["(-inf, inf), missing"]
    mostly = cut("c", np.array([1.0, NAN, NAN, NAN]), max_bins=5, min_rows=2)
    assert mostly.rows.tolist() == [4]
    woe = np.array([-1.0, 1.0])
    seen = cut("c", np.array([1.0, 2.0]), max_bins=2, min_rows=1).weighed(woe, 0.1)
    assert seen.transform(np.array([0.0, 2.0, np.inf, NAN])).tolist() == [-1.0, 1.0, 1.0, 0.0]
    jobs = cut("c", texts_of(["a", "a", "b", "c", 3]), max_bins=5, min_rows=2)
    assert jobs.labels() == ["a", "others"]
    assert cut("c", texts_of(["a", None, None]), max_bins=5, min_rows=2).labels() == ["others, missing"]


def test_weights_and_information_by_hand():
    rows, events = np.array([100, 200]), np.array([30, 20])
    woe = weights_of_evidence(rows, events, 0.0)
    assert woe.tolist() == pytest.approx([np.log((30 / 50) / (70 / 250)), np.log((20 / 50) / (180 / 250))])
    assert information_value(rows, events, 0.0) == pytest.approx(
        (30 / 50 - 70 / 250) * woe[0] + (20 / 50 - 180 / 250) * woe[1]
    )
    assert np.isfinite(weights_of_evidence(rows, np.array([0, 200]), 0.5)).all()


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=9), st.integers(0, 2))
def test_monotone_bins_are_those_of_isotonic_regression(pairs, extra):
    rows = np.array([n for n, _ in pairs])
    events = np.array([min(n, e) for n, e in pairs])
    ordered = max(len(rows) - extra, 1)
    groups = monotone_groups(rows, events, ordered, 1e-9)
    assert groups[0] == 0
    assert set(np.diff(groups).tolist()) <= {0, 1}
    assert (np.diff(groups)[ordered - 1 :] == 1).all()
    rate = (np.bincount(groups, events) / np.bincount(groups, rows))[groups][:ordered]
    x, each = np.arange(ordered), events[:ordered] / rows[:ordered]
    fits = [
        IsotonicRegression(increasing=up).fit_transform(x, each, sample_weight=rows[:ordered]) for up in (True, False)
    ]
    assert any(np.allclose(rate, fit) for fit in fits)


@settings(max_examples=200)
@example([(1, 0), (6, 1), (1, 1)], 0, 0, 0, True)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=9),
    st.integers(0, 9),
    st.integers(0, 12),
    st.integers(0, 12),
    st.booleans(),
)
def test_silent_joins_leave_bins_of_enough_of_both(pairs, extra, min_events, min_others, monotonic):
    rows = np.array([n for n, _ in pairs])
    events = np.array([min(n, e) for n, e in pairs])
    ordered = max(len(rows) - extra, 0)
    least = {"min_events": min_events, "min_others": min_others}
    values, iv = weigh(rows, events, ordered, monotonic=monotonic, smoothing=0.5, **least)
    assert values.shape == rows.shape
    assert np.isfinite(values).all()
    assert iv >= 0
    first = values[:ordered]
    if monotonic and 0.0 not in first:
        assert (np.diff(first) >= -1e-12).all() or (np.diff(first) <= 1e-12).all()
    for value in set(values.tolist()) - {0.0}:
        members = values == value
        marked = events[members].sum()
        assert marked >= min_events
        assert rows[members].sum() - marked >= min_others
    if not monotonic and ((events >= min_events) & (rows - events >= min_others)).all():
        assert values.tolist() == weights_of_evidence(rows, events, 0.5).tolist()
        assert iv == pytest.approx(information_value(rows, events, 0.5))


def test_silent_joins_by_hand():
    rows, events = np.array([50, 20, 60, 40, 30, 10]), np.array([10, 1, 20, 10, 2, 1])
    values, _ = weigh(rows, events, 4, monotonic=False, smoothing=0.5, min_events=3)
    assert values[0] == values[1]  # the smaller neighbour of the second
    assert values[4] == values[5] != 0  # the two that have no order: 3 events together
    n, e = np.array([70, 60, 40, 40]), np.array([11, 20, 10, 3])
    assert values.tolist() == weights_of_evidence(n, e, 0.5)[[0, 0, 1, 2, 3, 3]].tolist()
    values, _ = weigh(rows, events, 4, monotonic=False, smoothing=0.5, min_events=4)
    assert values[4:].tolist() == [0.0, 0.0]
    assert weigh(rows, events, 4, monotonic=False, smoothing=0.5, min_events=50)[0].tolist() == [0.0] * 6


def test_bins_without_weights_in_plain_form():
    bins = cut("c", np.array([0.0, 1, 2]), max_bins=3, min_rows=1)
    plain = bins.to_plain()
    assert (bins.known, plain["woe"], plain["iv"]) == (False, None, None)
    again = ColumnBins.from_plain(plain)
    assert again.to_plain() == plain
    assert not again.known
    for change in ({"woe": [0.1, 0.2, 0.3]}, {"iv": NAN, "woe": [0.1, 0.2, 0.3]}):
        with pytest.raises(ValueError, match=r"do not match|must be"):
            ColumnBins.from_plain({**plain, **change})


def test_merged_bins_keep_their_values():
    x = np.array([0.0, 1, 2, 3, NAN])
    bins = cut("c", x, max_bins=4, min_rows=1)
    merged = bins.merged(np.array([0, 1, 1, 2, 3]))
    assert merged.edges.tolist() == [1.0, 3.0]
    assert merged.codes(x).tolist() == [0, 1, 1, 2, 3]
    assert merged.rows.tolist() == [1, 2, 1, 1]


def test_plain_form_is_checked():
    bins = cut("c", np.array([0.0, 1, 2]), max_bins=3, min_rows=1).weighed(np.array([0.1, 0.2, 0.3]), 0.5)
    plain = bins.to_plain()
    assert ColumnBins.from_plain(plain).to_plain() == plain
    for change in (
        {"edges": [2.0, 1.0]},
        {"rows": [1]},
        {"kind": "other"},
        {"missing": 7},
        {"other": -2},
        {"woe": [NAN] * 3},
        {"edges": [1.0, 2.0, 3.0]},
        {"events": [1]},
    ):
        with pytest.raises(ValueError, match=r"do not match|must be"):
            ColumnBins.from_plain({**plain, **change})


class Frame:
    """As much of a DataFrame as is used."""

    def __init__(self, **columns):
        self.columns, self._data = list(columns), columns

    def __getitem__(self, name):
        return type("Series", (), {"to_numpy": lambda _: np.array(self._data[name], dtype=object)})()

    def to_numpy(self):
        raise AssertionError("columns are read one by one")


def test_tables():
    table = as_table(Frame(age=[20, None, 30.5], job=["x", None, "y"]))
    assert table.names == ["age", "job"]
    assert table.values[0].tolist()[::2] == [20.0, 30.5]
    assert np.isnan(table.values[0][1])
    assert table.values[1].tolist() == ["x", None, "y"]
    assert as_table(np.array([["a"], ["b"]])).values[0].tolist() == ["a", "b"]
    for bad, message in (
        ({"X": np.zeros(3)}, "two axes"),
        ({"X": np.zeros((2, 2)), "columns": ["a"]}, "1 names"),
        ({"X": np.zeros((2, 2)), "columns": ["a", "a"]}, "distinct"),
        ({"X": np.zeros((2, 1)), "categorical": ["b"]}, "no column"),
    ):
        with pytest.raises(ValueError, match=message):
            as_table(**bad)
    for values in ([[b"a"]], [[1 + 2j]], [[[1], 2]], [["a"], [{}]]):
        with pytest.raises((TypeError, ValueError)):
            as_table(values)
    assert as_labels([[1.0], [0.0]], 2).tolist() == [1, 0]
    for y in ([0, 1, 1], [0, 2], ["0", "1"], [0, 0], [1, NAN]):
        with pytest.raises(ValueError, match="y "):
            as_labels(y, 2)
