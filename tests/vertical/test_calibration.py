"""Probabilities from raw scores: scikit-learn's unpenalised logistic regression, sums of events, order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from bluetusk.vertical._calibration import Calibration, fit_calibration


def drawn(rows, rate, seed, slope=1.0, step=0.25):
    """Raw scores, rounded as they are opened, and labels whose log-odds are a line in the exact ones."""
    rng = np.random.default_rng(seed)
    s = rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-(slope * s + math.log(rate / (1 - rate)))))).astype(int)
    return np.round(s / step) * step, y


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize(("rows", "rate"), [(300, 0.5), (4000, 0.006), (20_000, 0.05), (100_000, 0.005)])
def test_it_is_the_unpenalised_regression_of_scikit_learn(rows, rate, scale):
    s, y = drawn(rows, rate, rows)
    assert y.sum() >= 15
    found = fit_calibration(s * scale + 5 * scale, y)
    other = LogisticRegression(C=1e10, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(s[:, None], y)
    expected = other.predict_proba(s[:, None])[:, 1]
    p = found.apply(s * scale + 5 * scale)
    assert np.allclose(p, expected, rtol=5e-4, atol=0)  # the ridge on the slope: 0.0005
    assert p.sum() == pytest.approx(y.sum(), rel=1e-9)
    assert (found.rows, found.events, found.flat) == (rows, y.sum(), False)


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.005])
def test_probabilities_of_new_rows_are_right_in_the_mean(rate):
    """Mean probability within three standard errors of the rate, those of the fit among them."""
    s, y = drawn(40_000, rate, 3)
    fresh, outcome = drawn(40_000, rate, 4)
    p = fit_calibration(s, y).apply(fresh)
    error = math.sqrt(2 * y.mean() / len(y))
    assert abs(p.mean() - outcome.mean()) < 3 * error
    top = fresh >= np.quantile(fresh, 0.9)
    assert p[top].mean() == pytest.approx(outcome[top].mean(), abs=3 * math.sqrt(2 * p[top].mean() / top.sum()))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 1)), min_size=1, max_size=60),
    st.sampled_from([1.0, 1e-9, 1e9, 0.1]),
    st.sampled_from([0.0, 3.0, -1e5]),
)
def test_sums_order_and_range_hold_for_any_rows(rows, scale, shift):
    s, y = np.array([*rows, (0, 0), (0, 1)]).T
    raw = s * scale + shift
    found = fit_calibration(raw, y)
    p = found.apply(raw)
    assert p.sum() == pytest.approx(y.sum(), rel=1e-7)
    assert ((p > 0) & (p < 1)).all()
    order = np.argsort(raw, kind="stable")
    steps, rises = np.diff(p[order]), np.diff(raw[order]) > 0
    assert (steps >= 0).all()
    assert (steps[~rises] == 0).all()
    if not found.flat:
        inside = (p[order][1:] < 1 - 1e-9) & (p[order][:-1] > 1e-9)
        assert (steps[rises & inside] > 0).all()
    far = found.apply([-1e300, 1e300])
    assert 0 < far[0] <= p.min() <= p.max() <= far[1] < 1
    assert Calibration.from_fields(found.to_fields()) == found


@pytest.mark.parametrize(("m", "n"), [(20, 980), (1, 99), (50, 50)])
def test_labels_that_are_separated_keep_a_finite_slope(m, n):
    s = np.r_[np.linspace(1, 2, m), np.linspace(-2, -1, n)]
    y = np.r_[np.ones(m), np.zeros(n)]
    found = fit_calibration(s, y)
    p = found.apply(s)
    assert 1 < found.slope < 1000
    assert p[:m].min() > 0.5 > p[m:].max()
    assert p.sum() == pytest.approx(m, rel=1e-9)
    assert found.flat is False


@pytest.mark.parametrize(
    ("score", "y"),
    [
        (np.full(50, 0.3), np.arange(50) % 5 == 0),
        (np.full(50, 0.0), np.arange(50) % 5 == 0),
        (np.full(50, 1e9), np.arange(50) % 5 == 0),
        (-(np.arange(50.0)), np.arange(50) >= 40),
        (np.array([1.0, 1.0, 2.0, 2.0]), [0, 1, 0, 1]),
    ],
)
def test_scores_that_do_not_rise_with_the_events_give_the_share_of_events(score, y):
    found = fit_calibration(score, y)
    assert found.flat is True
    assert found.slope == 0.0
    assert found.apply([-5.0, 0.0, 99.0]) == pytest.approx(np.mean(y))
    assert Calibration.from_fields(found.to_fields()) == found


def test_a_weight_counts_rows():
    s, y = drawn(2000, 0.3, 5)
    repeated = fit_calibration(np.r_[s, s[y == 1], s[y == 1]], np.r_[y, y[y == 1], y[y == 1]])
    weighted = fit_calibration(s, y, weights=np.where(y == 1, 3.0, 1.0))
    at = [-1.0, 0.0, 2.0]
    assert weighted.apply(at) == pytest.approx(repeated.apply(at), rel=1e-9)
    assert (weighted.rows, weighted.events) == (repeated.rows, repeated.events)
    dropped = fit_calibration(np.r_[s, 9.0], np.r_[y, 0], weights=np.r_[np.ones(2000), 0.0])
    assert dropped.apply(at) == pytest.approx(fit_calibration(s, y).apply(at), rel=1e-12)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, ([1.0, 2.0], [1, 1]), "y holds the label 1 only"),
        (ValueError, ([1.0, 2.0], [0, 0]), "y holds the label 0 only"),
        (ValueError, ([1.0, 2.0], [0, 2]), "y must hold 0 and 1 only"),
        (ValueError, ([1.0, np.nan], [0, 1]), "score holds NaN"),
        (ValueError, ([[1.0, 2.0]], [[0, 1]]), "score must have one axis"),
        (ValueError, ([], []), "score must have one axis"),
        (ValueError, ([1.0, 2.0], [0, 1, 1]), "y has the shape"),
        (ValueError, ([1.0, 2.0], [0, 1], [1.0]), "weights has the shape"),
        (ValueError, ([1.0, 2.0], [0, 1], [1.0, -1.0]), "weights must be finite"),
        (ValueError, ([1.0, 2.0], [0, 1], [1.0, 0.0]), "y holds the label 0 only"),
        (TypeError, (np.ma.array([1.0, 2.0], mask=[0, 1]), [0, 1]), "score is masked"),
        (TypeError, ([1.0, 2.0], np.ma.array([0, 1], mask=[0, 1])), "y is masked"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name(error, arguments, message):
    with pytest.raises(error, match=message):
        fit_calibration(*arguments[:2], **({"weights": arguments[2]} if len(arguments) > 2 else {}))


@pytest.mark.parametrize(
    "change",
    [
        {"slope": "-0x1.0p+0"},
        {"slope": "nan"},
        {"slope": 2.0},
        {"scale": "0x0.0p+0"},
        {"events": "0x1.0p+40"},
        {"flat": True},
        {"flat": 0},
        {"more": "0x1.0p+0"},
    ],
)
def test_altered_fields_are_refused(change):
    fields = fit_calibration([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1]).to_fields()
    assert Calibration.from_fields(fields).flat is False
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_fields({**fields, **change})
    with pytest.raises(ValueError, match="fields"):
        Calibration.from_fields({name: fields[name] for name in list(fields)[1:]})
