"""Every cut at quantiles under ties at either end, negated and shifted, against plain counts of the definition."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from bluetusk.demo import binning as demo_binning
from bluetusk.vertical import evaluation as ev
from bluetusk.vertical.binning.bins import cut
from bluetusk.vertical.boosting.buckets import Buckets
from bluetusk.vertical.evaluation import charts as _charts
from bluetusk.vertical.evaluation import metrics
from bluetusk.vertical.evaluation.quantiles import gaps, quantile_edges

RNG = np.random.default_rng(11)
TAIL = np.round(RNG.normal(size=14) * 40)
SHAPES = {
    "ties at the low end": np.r_[np.full(266, -200.0), TAIL],
    "ties at the high end": np.r_[TAIL, np.full(266, 200.0)],
    "ties at both ends": np.r_[np.full(133, -200.0), TAIL, np.full(133, 200.0)],
    "ties in the middle": np.r_[TAIL, np.full(266, 0.0)],
    "constant": np.full(280, 3.0),
    "two values, the high one rare": np.r_[np.full(266, 0.0), np.full(14, 1.0)],
    "two values, the low one rare": np.r_[np.full(14, 0.0), np.full(266, 1.0)],
    "no ties": RNG.permutation(280).astype(float),
}
every_shape = pytest.mark.parametrize("x", list(SHAPES.values()), ids=list(SHAPES))
moved = pytest.mark.parametrize("move", [lambda x: x, lambda x: -x, lambda x: x + 1000.0, lambda x: 7.0 - x])


def nearest_gaps(values, bins):
    """The definition, in fractions: the gaps between distinct values that come nearest to each quantile."""
    number = Counter(values.tolist())
    distinct = sorted(number)
    below = [Fraction(sum(number[v] for v in distinct[: k + 1])) for k in range(len(distinct) - 1)]
    if len(distinct) <= bins:
        return list(range(len(below)))
    n, found = len(values), set()
    for q in range(1, bins):
        key = [(abs(b - Fraction(n * q, bins)), abs(b - Fraction(n, 2))) for b in below]
        found |= {k for k, each in enumerate(key) if each == min(key)}
    return sorted(found)


def psi_by_hand(old, new, bins):
    """Bins as sets of distinct values of `old`; a new value belongs to the nearest of them, half to either of two."""
    distinct = sorted(set(old.tolist()))
    at = nearest_gaps(old, bins)
    groups = [
        distinct[a:b] for a, b in zip([0, *[k + 1 for k in at]], [*[k + 1 for k in at], len(distinct)], strict=True)
    ]
    names = list(range(len(groups)))
    shares = []
    for values in (old, new):
        counts = Counter()
        for v in values.tolist():
            if v < distinct[0] and len(groups[0]) == 1:
                counts["below"] += 2
            elif v > distinct[-1] and len(groups[-1]) == 1:
                counts["above"] += 2
            else:
                gap = [min(abs(v - member) for member in group) for group in groups]
                near = [k for k in names if gap[k] == min(gap)]
                for k in near:
                    counts[k] += 2 // len(near)
        shares.append(counts)
    used = [k for k in ("below", *names, "above") if shares[0][k] or shares[1][k]]
    a, b = ([counts[k] / 2 + 0.5 for k in used] for counts in shares)
    return sum((y / sum(b) - x / sum(a)) * math.log((y / sum(b)) / (x / sum(a))) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("bins", [2, 3, 10])
@moved
@every_shape
def test_psi_is_that_of_the_definition(x, move, bins):
    new = np.r_[x[: len(x) // 3], x[-5:] + 20.0, x[:5] - 20.0, np.repeat(np.median(x), 30)]
    found = ev.stability_index(move(x), move(new), bins)
    assert found == pytest.approx(psi_by_hand(x, new, bins), abs=1e-12)
    assert ev.stability_index(move(x), move(x), bins) == 0.0
    assert ev.stability_index(move(x), move(RNG.permutation(x)), bins) == 0.0


def test_psi_sees_a_shift_of_ties_at_an_end():
    right = (0.5 - 0.95) * math.log(0.5 / 0.95) + (0.5 - 0.05) * math.log(0.5 / 0.05)
    assert right == pytest.approx(1.325, abs=0.0005)
    for low, high in ((0.0, 1.0), (1.0, 0.0), (-0.9, -0.2), (0.2, 0.9)):
        old, new = np.repeat([low, high], [95_000, 5_000]), np.repeat([low, high], [50_000, 50_000])
        assert ev.stability_index(old, new) == pytest.approx(right, abs=1e-3)
    for a, b in ((0.2, 0.9), (0.9, 0.2)):
        value = (1000.5 / 1001 - 0.5 / 1001) * math.log(1000.5 / 0.5) * 2
        assert ev.stability_index(np.full(1000, a), np.full(1000, b)) == pytest.approx(value)


@settings(max_examples=100)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=40), st.lists(st.integers(-6, 6), min_size=1, max_size=40))
def test_psi_of_negated_and_shifted_scores_is_the_same(old, new):
    old, new = np.array(old, float), np.array(new, float)
    for bins in (2, 3, 5):
        found = ev.stability_index(old, new, bins)
        assert found == pytest.approx(psi_by_hand(old, new, bins), abs=1e-12)
        assert found == pytest.approx(ev.stability_index(-old, -new, bins), abs=1e-12)
        assert found == pytest.approx(ev.stability_index(old + 64, new + 64, bins), abs=1e-12)


@settings(max_examples=150)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(2, 12))
def test_gaps_are_the_nearest_to_the_quantiles(counts, bins):
    values = np.repeat(np.arange(len(counts)), counts)
    found = gaps(np.array(counts), bins).tolist()
    assert found == nearest_gaps(values, bins)
    assert found == [len(counts) - 2 - k for k in gaps(np.array(counts[::-1]), bins).tolist()[::-1]]
    assert len(found) <= bins  # one more than asked for where the two gaps about the median are equally near


@moved
@every_shape
def test_calibration_keeps_equal_probabilities_together(x, move):
    p = move(x)
    p = (p - p.min()) / 2000.0 + 0.1
    y = np.random.default_rng(3).permutation(np.arange(len(p)) % 4 == 0)
    predicted, observed, rows = ev.calibration(y, p)
    edges = [-1.0, *quantile_edges(p, 10).tolist(), 2.0]
    parts = [(p > lo) & (p < hi) for lo, hi in itertools.pairwise(edges)]
    assert len(parts) == len(nearest_gaps(p, 10)) + 1
    assert rows.tolist() == [part.sum() for part in parts]
    assert np.allclose(predicted, [p[part].mean() for part in parts])
    assert np.allclose(observed, [y[part].mean() for part in parts])
    assert np.diff(predicted).min(initial=1.0) > 0


def test_calibration_of_two_probabilities_has_two_bins():
    for p in ([0.1] * 95 + [0.9] * 5, [0.1] * 5 + [0.9] * 95):
        y = np.arange(100) % 2
        predicted, _, rows = ev.calibration(y, p)
        assert predicted == pytest.approx([0.1, 0.9])
        assert rows.tolist() == [p.count(0.1), p.count(0.9)]
    p = np.random.default_rng(0).random(500)
    y = np.arange(500) % 2
    assert np.allclose(ev.calibration(y, p)[1], calibration_curve(y, p, n_bins=10, strategy="quantile")[0])


@pytest.mark.parametrize("bins", [0, -3, True, 2.0, "10", None])
def test_bins_must_be_a_number_of_bins(bins):
    y, p = [0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8]
    error = ValueError if type(bins) is int else TypeError
    for call in (
        lambda: ev.stability_index(p, p, bins),
        lambda: ev.calibration(y, p, bins),
        lambda: metrics.rank_table(y, p, bins),
    ):
        with pytest.raises(error, match="bins must be"):
            call()


def test_what_is_no_probability_and_what_is_masked_is_refused():
    with pytest.raises(ValueError, match=r"probability\[2\] is 1.7, not between 0 and 1"):
        ev.calibration([0, 1, 0], [0.1, 0.2, 1.7])
    with pytest.raises(ValueError, match=r"probability\[0\] is -0.1"):
        ev.calibration([0, 1], [-0.1, 0.2])
    hidden = np.ma.array([0.1, 0.2], mask=[0, 1])
    for call in (
        lambda: ev.stability_index(hidden, [0.1]),
        lambda: ev.stability_index([0.1], hidden),
        lambda: ev.calibration([0, 1], hidden),
        lambda: ev.auc(hidden, [0.1, 0.2]),
        lambda: ev.auc([0, 1], hidden),
    ):
        with pytest.raises(TypeError, match="masked"):
            call()


@moved
@every_shape
def test_tenths_do_not_depend_on_the_order_of_rows_with_one_score(x, move):
    """A gain table by a plain loop; equal scores in one part."""
    s = move(x)
    y = np.arange(len(s)) % 3 == 0
    table = metrics.rank_table(y, s)
    shuffled = np.random.default_rng(1).permutation(len(s))
    assert metrics.rank_table(y[shuffled], s[shuffled]) == table
    top = np.inf
    for row in table:
        part = (s < top) & (s >= row["lowest"])
        assert (row["rows"], row["events"]) == (part.sum(), y[part].sum())
        assert row["rate"] == pytest.approx(y[part].mean())
        assert row["caught"] == pytest.approx(y[s >= row["lowest"]].sum() / y.sum())
        top = row["lowest"]
    assert top == s.min()
    assert len(table) == len(nearest_gaps(s, 10)) + 1


@moved
@every_shape
def test_weights_of_evidence_have_bins_for_ties_at_either_end(x, move):
    """Each cut is nearest to a quantile, as far as the least number of rows allows: one row here."""
    values = move(x)
    bins = cut("c", values, max_bins=10, min_rows=1)
    number = np.unique(values, return_counts=True)[1]
    below = np.cumsum(number)[:-1]
    found = [int((values < edge).sum()) for edge in bins.edges]
    wanted = len(values) * np.arange(1, 10) / 10
    for q in wanted if len(below) else []:
        nearest = np.abs(below - q).min()
        assert min(abs(f - q) for f in found) == nearest or q - nearest <= 0 or q + nearest >= len(values)
    assert set(found) <= set(below.tolist())
    assert len(found) >= (1 if len(below) else 0)


@moved
@every_shape
def test_buckets_of_trees_tell_ties_at_either_end_from_the_rest(x, move):
    values = move(x)
    buckets = Buckets.of(values[:, None], 10)
    codes = buckets.codes(values[:, None])[:, 0]
    for v in np.unique(values):
        assert len(np.unique(codes[values == v])) == 1
    order = np.argsort(values, kind="stable")
    assert (np.diff(codes[order].astype(int)) >= 0).all()
    distinct = np.unique(values)
    assert (len(np.unique(codes)) > 1) == (len(distinct) > 1)
    for end in (values.min(), values.max()):
        if (values == end).mean() > 0.2 and len(distinct) > 1:  # a heavy end stands alone
            assert (codes == codes[values == end][0]).sum() == (values == end).sum()


@pytest.mark.parametrize("heavy", [0, 1, 20, 38, 39])
def test_cells_of_the_demo_are_cut_beside_a_heavy_one(heavy):
    """At either end the heavy cell stands alone, for the rest has the least number of rows that a bin needs."""
    counts = np.full(40, 100)
    counts[heavy] = 50_000
    bins, mirrored = demo_binning._quantiles(counts), demo_binning._quantiles(counts[::-1])
    assert np.array_equal(mirrored, bins.max() - bins[::-1])
    sizes = np.bincount(bins, counts)
    assert (sizes >= counts.sum() / demo_binning._THIN).all()
    assert (sizes.max() == 50_000) == (heavy in (0, 39))


@pytest.mark.parametrize(
    "values", [np.full(40, 0.0), np.full(40, 0.5), np.r_[np.full(20, 0.5), np.full(20, np.nextafter(0.5, 1))]]
)
def test_a_constant_score_has_a_distribution_to_draw(values):
    y = np.arange(40) % 2
    for reference in (None, values):
        assert _charts.distribution_chart(y, values, reference, "x").startswith("<svg")
