"""Noise for the demo: what one row can change, what is accounted for, and training on noisy sums."""

from __future__ import annotations

import math

import dp_accounting
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bluetusk.demo import private
from bluetusk.demo.binning import CELLS, Bins, cells_of, choose_bins, histogram
from bluetusk.demo.data import Customers, load
from bluetusk.demo.model import gradient, scores
from bluetusk.federated import noise


@pytest.fixture(scope="module")
def customers() -> Customers:
    return load(rows=3000)


@pytest.fixture(scope="module")
def bins(customers: Customers) -> Bins:
    return choose_bins(histogram(cells_of(customers.x), customers.y))


def test_one_row_changes_a_sum_by_no_more_than_the_sensitivity(customers: Customers, bins: Bins) -> None:
    codes, y, cells = bins.codes(customers.x), customers.y, cells_of(customers.x)
    point = 3.0 * np.random.default_rng(1).normal(size=bins.size + 1)  # residuals up to 1
    whole = {"gradient": private.gradient_sum(codes, y, point), "counts": histogram(cells, y)}
    largest = dict.fromkeys(whole, 0.0)
    for i in range(200):
        rest = np.arange(len(y)) != i
        without = {
            "gradient": private.gradient_sum(codes[rest], y[rest], point),
            "counts": histogram(cells[rest], y[rest]),
        }
        for tensor in whole:
            change = whole[tensor] - without[tensor]
            largest[tensor] = max(largest[tensor], float(np.linalg.norm(change)))
            assert np.count_nonzero(change) <= 24
    for tensor in whole:
        assert 0.99 * private.sensitivity(tensor) < largest[tensor] <= private.sensitivity(tensor) * (1 + 1e-15)


def test_gradient_sums_are_the_gradient(customers: Customers, bins: Bins) -> None:
    codes = bins.codes(customers.x)
    point = np.random.default_rng(2).normal(size=bins.size + 1)
    exact = gradient(codes, customers.y, point) * len(customers.y)
    assert np.abs(private.gradient_sum(codes, customers.y, point) * 2.0**-16 - exact).max() <= len(customers.y) * 2**-17


@pytest.mark.parametrize("tensor", ["counts", "gradient"])
def test_the_parts_of_the_noise_add_up(tensor: str) -> None:
    zero = np.zeros(20_000, np.int64)
    total = sum(private.noisy(zero, tensor, 7.0, honest=4) for _ in range(4))
    sigma = 7.0 * private.sensitivity(tensor)
    assert abs(float(np.std(total)) / sigma - 1) < 0.03  # six standard errors
    assert abs(float(np.mean(total))) < 6 * sigma / math.sqrt(20_000)
    most = private.encoding(tensor, 10).limit - private.MOST_ROWS * (2**16 if tensor == "gradient" else 1)
    assert most > 300 * private.calibrate(0.01) * private.sensitivity(tensor) / math.sqrt(3)  # never refused


def test_epsilon_is_that_of_all_sums_together() -> None:
    for multiplier in (2.0, 5.0, 20.0):
        accountant = dp_accounting.rdp.RdpAccountant(orders=range(2, 400))  # each sum as what it is
        for tensor, unit, times in (("counts", 1, 1), ("gradient", 2**16, private.STEPS)):
            sigma, l2 = multiplier * private.sensitivity(tensor), private.sensitivity(tensor)
            event = noise.event("skellam", sigma, sensitivity=l2, l1_sensitivity=24 * unit)
            accountant.compose(dp_accounting.ZCDpEvent(rho=event.rho, xi=event.xi - event.rho), times)
        known = accountant.get_epsilon(private.DELTA)
        assert known <= private.epsilon(multiplier) <= 1.01 * known
    # Renyi divergence of order a is at least that of a Gaussian, a / (2 z^2) each: no smaller epsilon is possible there
    rho = (private.STEPS + 1) / (2 * 20.0**2)
    best = min(
        rho * a + math.log1p(-1 / a) - math.log(private.DELTA * a) / (a - 1) for a in np.linspace(1.5, 200, 20_000)
    )
    assert private.epsilon(20.0) >= best - 1e-9


@pytest.mark.parametrize("target", [0.1, 1.0, 10.0])
def test_calibration_meets_its_target_from_below(target: float) -> None:
    multiplier = private.calibrate(target)
    assert private.epsilon(multiplier) <= target < private.epsilon(multiplier / 1.001)


def test_descent_finds_a_good_model_and_bears_negative_counts(customers: Customers, bins: Bins) -> None:
    codes, y = bins.codes(customers.x), customers.y
    counts = histogram(cells_of(customers.x), y)
    counts[:CELLS][counts[:CELLS] == 0] = -5  # what noise makes of empty cells
    descent = private.Descent(bins, counts, 1.0)
    start = roc_auc_score(y, scores(codes, descent.point))
    gaps = []
    for _ in range(private.STEPS):
        descent.tell(private.gradient_sum(codes, y, descent.point))
        gaps.append(descent.gap)
    assert start == 0.5
    assert roc_auc_score(y, scores(codes, descent.mean)) > 0.77
    assert np.isfinite(descent.mean).all()
    assert gaps[-1] < gaps[0]
