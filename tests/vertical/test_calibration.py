"""From scores to probabilities: the mean is the rate, the order stays, and few or odd rows do not make it run away."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bluetusk.vertical.logistic.calibration import Calibration, calibrated


def sample(n, slope, intercept, seed=0):
    rng = np.random.default_rng(seed)
    z = np.rint(rng.normal(size=n) * 8) / 8  # as coarse as points are
    return z, (rng.random(n) < 1 / (1 + np.exp(-(intercept + slope * z)))).astype(np.int64)


@pytest.mark.parametrize(
    ("n", "slope", "intercept"), [(300, 1.0, 0.0), (2000, 0.5, -4.0), (2000, 2.0, 1.0), (40, 1.0, -1.0)]
)
def test_the_mean_is_the_rate_of_all_labels_but_for_what_scores_explain(n, slope, intercept):
    z, y = sample(n, slope, intercept)
    for rate in (0.005, y.mean(), 0.6):
        found = calibrated(z, y, float(rate), 0.125)
        p = found.probability(z)
        # of what these rows' own rate differs, the part that their scores explain may come in, and no more
        share = (p.mean() - rate) / (y.mean() - rate) if rate != y.mean() else 0.0
        assert -1e-9 < share <= np.corrcoef(z, y)[0, 1] ** 2 + 1e-9
        assert found.slope > 0
        assert (np.diff(p[np.argsort(z)]) >= 0).all()
        assert 0.0 <= p.min() <= p.max() <= 1.0


def test_with_many_events_it_is_the_maximum_likelihood_fit():
    from sklearn.linear_model import LogisticRegression

    z, y = sample(50_000, 1.3, -1.0)
    found = calibrated(z, y, float(y.mean()), 0.125)
    fit = LogisticRegression(C=1e9, tol=1e-9, max_iter=1000).fit(z.reshape(-1, 1), y)
    assert math.isclose(found.slope, fit.coef_[0, 0], rel_tol=0.01)
    assert math.isclose(found.intercept, fit.intercept_[0], abs_tol=0.02)


def test_without_events_it_is_the_slope_of_a_linear_discriminant():
    """Two normal classes of one variance: the log odds' slope in the linear probability is known."""
    rng = np.random.default_rng(1)
    labels = (rng.random(200_000) < 0.3).astype(int)
    x = labels + rng.normal(size=len(labels))
    line = np.polyfit(x, labels - 0.5, 1)
    z = 8 * np.polyval(line, x)
    found = calibrated(z[:400], np.zeros(400, np.int64), 0.3, 0.125)  # the likelihood alone has no largest slope
    true = 1.0 / (8 * line[0])  # log odds are x + const, x = z / (8 line)
    assert 0.3 * true < found.slope < 3 * true


@pytest.mark.parametrize(
    "y", [np.zeros(30, int), np.ones(30, int), np.arange(30) % 2, (np.arange(30) > 14).astype(int)]
)
def test_odd_rows_give_a_rising_map(y):
    for z in (np.zeros(30), np.arange(30.0), -np.arange(30.0), np.arange(30) * 1e9, np.repeat([0.0, 1e-9], 15)):
        found = calibrated(z, np.asarray(y, np.int64), 0.2, 0.125)
        p = found.probability(z)
        seen = np.corrcoef(z, y)[0, 1] ** 2 if np.ptp(z) and np.ptp(np.asarray(y, int)) else 0.0
        assert min(0.2, 0.2 + seen * (np.mean(y) - 0.2)) - 1e-6 < p.mean() < max(0.2, 0.2 + seen * 0.8) + 1e-6
        assert found.slope > 0
        assert np.isfinite(p).all()


def test_far_scores_are_probabilities_too():
    p = Calibration(0.0, 1.0).probability(np.array([-1e300, -800.0, 0.0, 800.0, 1e300]))
    assert p.tolist()[2] == 0.5
    assert 0.0 <= p.min() <= p.max() <= 1.0
