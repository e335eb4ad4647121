"""What noise costs in privacy: against Renyi sums, the formulas of the papers once more, and dp_accounting itself."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.federated import noise

WORK = mp.MPContext()
WORK.prec = 300


def renyi(masses: dict[int, Any], shift: int, order: int) -> Any:
    """Of a law and its shift, by the sum itself, over what both have."""
    terms = (p**order / masses[x - shift] ** (order - 1) for x, p in masses.items() if x - shift in masses)
    return WORK.log(WORK.fsum(terms)) / (order - 1)


def normalised(kind: str, variance: Fraction, reach: int) -> dict[int, Any]:
    v = WORK.mpf(variance.numerator) / variance.denominator
    if kind == "gaussian":
        masses = {x: WORK.exp(-(x * x) / (2 * v)) for x in range(-reach, reach + 1)}
    else:
        masses = {x: WORK.besseli(abs(x), v) for x in range(-reach, reach + 1)}
    total = WORK.fsum(masses.values())
    return {x: p / total for x, p in masses.items()}


@pytest.mark.parametrize("variance", [Fraction(1, 2), Fraction(2), Fraction(9)])
def test_event_bounds_one_gaussian_and_one_skellam(variance: Fraction) -> None:
    for kind in ("gaussian", "skellam"):
        masses = normalised(kind, variance, 60)
        for shift in (1, 2):
            event = noise.event(kind, variance=variance, sensitivity=shift, dimension=1)  # type: ignore[arg-type]
            for order in (2, 3, 5):
                exact = renyi(masses, shift, order)
                assert exact <= (event.xi + event.rho * order) * (1 + 1e-12)
                if variance > 1:
                    assert exact * 2 > event.rho * order  # and it is no idle bound


def test_event_adds_the_gap_of_a_sum() -> None:
    """Two clients at sigma 1/2: the sum of their noises is worse than a Gaussian, by less than the bound says."""
    one = normalised("gaussian", Fraction(1, 4), 12)
    two: dict[int, Any] = {}
    for x, p in one.items():
        for y, q in one.items():
            two[x + y] = two.get(x + y, WORK.mpf(0)) + p * q
    inner = {x: p for x, p in two.items() if abs(x) <= 8}
    event = noise.event("gaussian", variance=Fraction(1, 2), sensitivity=1, dimension=1, clients=2)
    exact = renyi(inner, 1, 3)
    assert exact > 3 / 2 * 2 * 1.05  # the continuous Gaussian's, exceeded by more than 5 %
    assert exact <= event.xi + 3 * event.rho
    wide = noise.event("gaussian", sigma=40, sensitivity=10, dimension=10**6, clients=10)
    plain = noise.event("gaussian", sigma=40, sensitivity=10)
    assert 0 <= wide.rho + wide.xi - plain.rho < 1e-12


@settings(max_examples=100)
@given(
    st.floats(1, 1e6),
    st.floats(0.5, 1e4),
    st.integers(1, 10**7),
    st.integers(2, 1000),
)
def test_gap_is_the_least_of_three_bounds(sensitivity: float, each: float, d: int, clients: int) -> None:
    """Against the formulas of the paper (and of google-research/federated, distributed_dp), written out once more."""
    tau = 10 * sum(math.exp(-2 * math.pi**2 * each**2 * k / (k + 1)) for k in range(1, clients))
    sigma = each * math.sqrt(clients)
    l1, l2, order = min(sensitivity**2, sensitivity * math.sqrt(d)) / sigma, sensitivity / sigma, 16
    bounds = (
        order / 2 * l2**2 + tau * d,
        order / 2 * (l2**2 + 2 * l1 * tau + tau**2 * d),
        order / 2 * (l2 + math.sqrt(d) * tau) ** 2,
    )
    event = noise.event("gaussian", variance=clients * each**2, sensitivity=sensitivity, dimension=d, clients=clients)
    assert event.xi + order * event.rho == pytest.approx(min(bounds), rel=1e-9)


@settings(max_examples=100)
@given(st.floats(1, 1e4), st.floats(1, 1e6), st.floats(1, 100), st.floats(1.01, 60))
def test_skellam_is_the_lesser_of_two_bounds(l2: float, variance: float, ratio: float, order: float) -> None:
    """Against the formula of the paper, which is for whole orders; the event holds for those between them too."""

    def bound(a: int) -> float:
        better = ((2 * a - 1) * l2**2 + 6 * l2 * ratio) / (4 * variance**2)
        return a * l2**2 / (2 * variance) + min(better, 3 * l2 * ratio / (2 * variance))

    event = noise.event("skellam", variance=variance, sensitivity=l2, l1_sensitivity=l2 * ratio)
    assert (event.xi + event.rho * order) * (1 + 1e-9) >= bound(math.ceil(order))
    if 6 * ratio >= l2:  # else the line, which must not begin below 0, lies above the bound
        assert event.xi + event.rho * 15 == pytest.approx(bound(16), rel=1e-9)


def test_epsilon() -> None:
    # one Gaussian release with noise multiplier 4: the accountant's own event for it
    import dp_accounting

    accountant = dp_accounting.rdp.RdpAccountant(orders=range(2, 400))
    accountant.compose(dp_accounting.GaussianDpEvent(4.0), 30)
    ours = noise.epsilon("gaussian", 40, sensitivity=10, rounds=30, delta=1e-5)
    assert ours == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-9)
    # Skellam's law costs a little more, less and less as its variance grows
    costs = [noise.epsilon("skellam", 4 * s, sensitivity=s, rounds=30, delta=1e-5) for s in (10, 1000, 10**5)]
    assert costs[0] > costs[1] > costs[2] > ours
    assert costs[2] == pytest.approx(ours, rel=1e-4)
    assert noise.epsilon("gaussian", 40, sensitivity=10, rounds=60, delta=1e-5) > ours
    # conversion of a curve to epsilon, by hand (Canonne, Kamath, Steinke, proposition 12)
    rho = 30 * 100 / (2 * 1600)
    by_hand = min(rho * a + math.log1p(-1 / a) - math.log(1e-5 * a) / (a - 1) for a in range(2, 400))
    assert ours == pytest.approx(by_hand, rel=1e-9)


def test_privacy_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="kind"):
        noise.event("laplace", 1, sensitivity=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dimension"):
        noise.event("gaussian", 10, sensitivity=1, clients=3)
    with pytest.raises(ValueError, match="skellam"):
        noise.event("gaussian", 1, sensitivity=1, clients=5, dimension=2)
    for sensitivity in (0, -1, 2.0**200):
        with pytest.raises(ValueError, match="sensitivity"):
            noise.event("skellam", 1, sensitivity=sensitivity)
    with pytest.raises(ValueError, match="l1_sensitivity"):
        noise.event("skellam", 1, sensitivity=1, l1_sensitivity=0)
    for delta in (0.0, 1.0, -1e-5, 1, True, float("nan")):
        with pytest.raises(ValueError, match="delta"):
            noise.epsilon("skellam", 1, sensitivity=1, delta=delta)
    with pytest.raises(ValueError, match="rounds"):
        noise.epsilon("skellam", 1, sensitivity=1, delta=1e-5, rounds=0)
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ModuleNotFoundError, match=r"bluetusk\[dp\]"):
        noise.event("skellam", 1, sensitivity=1)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.sampled_from(["half-even", "stochastic"]))
def test_clipping_by_the_l2_norm_bounds_the_sensitivity(values: list[float], rounding: Any) -> None:
    plan = bt.FixedPoint(clip=1.5, frac_bits=4, on_clip="l2", rounding=rounding)
    q = plan.quantise(values)[0].tolist()
    assert sum(v * v for v in q) <= plan.limit**2
