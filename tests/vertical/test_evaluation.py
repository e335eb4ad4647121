"""AUC, KS, calibration against scikit-learn and SciPy; PSI and scorecards by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

import bluetusk as bt
from bluetusk.vertical import WoEBinning, local_links
from bluetusk.vertical import evaluation as ev
from bluetusk.vertical.evaluation import metrics


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_curves_are_those_of_other_libraries(digits):
    rng = np.random.default_rng(digits)
    y = (rng.random(700) < 0.2).astype(int)
    s = (rng.normal(size=700) + y).round(digits)
    assert ev.auc(y, s) == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert ev.ks(y, s) == pytest.approx(ks_2samp(s[y == 1], s[y == 0]).statistic, abs=1e-12)
    for mine, other in zip(ev.roc(y, s), roc_curve(y, s, drop_intermediate=False), strict=True):
        assert np.allclose(mine, other)


def test_calibration_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    p = rng.random(500)
    y = (rng.random(500) < p).astype(int)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    mine = ev.calibration(y, p)
    assert np.allclose(mine[0], predicted)
    assert np.allclose(mine[1], observed)
    assert mine[2].sum() == 500
    assert ev.calibration([0, 1, 1], [0.5, 0.5, 0.5])[2].tolist() == [3]


def test_psi_by_hand():
    old = np.repeat([0.0, 1.0], [50, 50])
    new = np.repeat([0.0, 1.0], [20, 80])
    a, b = 50.5 / 101, 20.5 / 101
    by_hand = (b - a) * math.log(b / a) + (a - b) * math.log((80.5 / 101) / a)
    assert ev.stability_index(old, new, bins=2) == pytest.approx(by_hand)
    assert ev.stability_index(old, old) == 0.0
    assert ev.psi is ev.stability_index  # its earlier name, without a warning
    assert ev.stability_index(old, np.full(10, 5.0)) > 0.25


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [([0, 1], [1.0, float("nan")], "NaN"), ([1, 1], [1.0, 2.0], "one label"), ([0, 1], [[1.0, 2.0]], "one axis")],
)
def test_bad_input_is_refused(y, score, message):
    for function in (ev.auc, ev.ks, ev.calibration):
        with pytest.raises(ValueError, match=message):
            function(y, score)


@pytest.fixture(scope="module")
def bins():
    rng = np.random.default_rng(3)
    y = (rng.random(600) < 0.3).astype(int)
    x = rng.normal(size=(600, 2)) + y[:, None]
    return x, y, WoEBinning("guest", min_rows=30).fit(x, y)


def test_points_double_the_odds(bins):
    x, _, binning = bins
    weights, intercept = np.array([0.8, -0.3]), -1.5
    card = ev.scorecard(binning, weights, intercept, points_to_double=20, base_score=600, base_odds=50)
    z = binning.transform(x) @ weights + intercept
    score = card.score(x)
    assert np.allclose(np.exp(-z), 50 * 2 ** ((score - 600) / 20))  # odds against the event, by the definition
    mine = ev.scorecard(binning, weights[:1], intercept, columns=["x0"])
    theirs = ev.scorecard(binning, weights[1:], columns=["x1"])
    assert np.allclose(mine.score(x) + theirs.score(x), score)
    assert len(card.table()) == 1 + sum(b.n_bins for b in binning.bins_)
    assert len(theirs.table()) == binning.bins_[1].n_bins
    with pytest.warns(bt.DataWarning, match=r"X\['x1'\]: 1 of 1 values missing, counted as 0"):
        assert card.score(np.full((1, 2), np.nan))[0] == pytest.approx(card.base)


def test_scorecards_refuse_what_does_not_fit(bins):
    binning = bins[2]
    for weights, given, message in (
        ([1.0], {}, "2 numbers, one for each column"),
        ([1.0], {"columns": ["none"]}, "not fitted"),
        ([1.0, 1.0], {"points_to_double": 0}, "positive"),
    ):
        with pytest.raises(ValueError, match=message):
            ev.scorecard(binning, weights, **given)


@pytest.mark.parametrize("reveal", [(), ("woe",)])
def test_a_host_has_a_scorecard_if_its_weights_are_revealed(both, bins, reveal):
    x, y, _ = bins
    here, there = local_links(seconds=30)
    guest, host = (WoEBinning(role, min_rows=60, key_size=2048, reveal=reveal) for role in ("guest", "host"))
    both(lambda: guest.fit(x[:, :1], y, link=here), lambda: host.fit(x[:, 1:], columns=["b"], link=there))
    assert len(ev.scorecard(guest, [1.0]).table()) == guest.sizes()[0]  # its own column is explained in full
    if reveal:
        assert len(ev.scorecard(host, [1.0]).table()) == host.sizes()[0]
        assert ev.scorecard(host, [1.0], 0.5).base == pytest.approx(-0.5 * 20 / np.log(2))  # the guest adds the 600
        return
    with pytest.raises(ValueError, match=r"weights of evidence of 'b', which stay at the guest"):
        ev.scorecard(host, [1.0])
    rows = host.table()
    assert [row["rows"] for row in rows] == guest.peer_counts()[0].tolist()
    assert {row["woe"] for row in rows} == {None}


def test_tenths_and_thinned_curves():
    y = np.array([0] * 80 + [1] * 20)
    rows = metrics.rank_table(y, y + np.linspace(0, 0.1, 100), bins=5)
    assert [row["rows"] for row in rows] == [20.0] * 5
    assert [row["caught"] for row in rows] == [1.0] * 5
    assert rows[0]["rate"] == 1.0
    x, z = metrics.thinned(np.arange(1000.0), np.arange(1000.0), 50)
    assert (len(x), x[0], z[-1]) == (50, 0.0, 999.0)


def test_scorecards_take_finite_real_numbers_alone(bins):
    binning = bins[2]
    for given, error, message in (
        ({"coefficients": np.ma.array([0.7, 0.1], mask=[1, 0])}, TypeError, "coefficients is masked"),
        ({"coefficients": [0.7, np.ma.masked]}, TypeError, r"coefficients\[1\] is masked"),
        ({"coefficients": [True, 0.5]}, TypeError, "coefficients must hold numbers, not bools"),
        ({"coefficients": ["1", "2"]}, TypeError, "coefficients must hold integers or floats"),
        ({"coefficients": [1j, 2]}, TypeError, "coefficients must hold integers or floats"),
        ({"coefficients": [0.5, math.nan]}, ValueError, r"coefficients\[1\] is NaN or infinite"),
        ({"intercept": math.nan}, ValueError, "intercept is NaN or infinite"),
        ({"intercept": True}, TypeError, "intercept must be a number, not bool"),
        ({"intercept": [1.0]}, ValueError, "intercept must be one number"),
        ({"points_to_double": math.inf}, ValueError, "points_to_double is NaN or infinite"),
        ({"points_to_double": -1}, ValueError, "points_to_double must be positive, not -1"),
        ({"base_odds": "50"}, TypeError, "base_odds must hold integers or floats"),
        ({"base_odds": math.inf}, ValueError, "base_odds is NaN or infinite"),
        ({"base_score": -math.inf}, ValueError, "base_score is NaN or infinite"),
    ):
        with pytest.raises(error, match=f"^{message}"):
            ev.scorecard(binning, **{"coefficients": [1.0, 1.0], "intercept": 0.0} | given)


@pytest.mark.parametrize("measure", [ev.auc, ev.ks, ev.roc, metrics.rank_table, ev.auc_interval, ev.ks_interval])
@pytest.mark.parametrize("score", [["1", "2"], np.array([1j, 2]), [b"1", b"2"], [None, 1.0]])
def test_scores_are_real_numbers(measure, score):
    with pytest.raises(TypeError, match=r"^score"):
        measure([0, 1], score)


def test_bad_probabilities_are_refused_by_name():
    for call, name in (
        (lambda p: ev.calibration([0, 1], p), "probability"),
        (lambda p: ev.stability_index(p, [0.1, 0.2]), "expected"),
        (lambda p: ev.stability_index([0.1, 0.2], p), "actual"),
    ):
        with pytest.raises(TypeError, match=f"^{name} must hold integers or floats"):
            call(["0.1", "0.2"])
        with pytest.raises(ValueError, match=rf"^{name}\[1\] is NaN or infinite"):
            call([0.1, math.inf])
