"""Parameters: the published figures, exact tails against counting and against simulation, conditions that are kept."""

from __future__ import annotations

import itertools
import math
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.errors import FrameError
from bluetusk.federated import secagg
from bluetusk.federated.secagg._graph import draw, hashed
from bluetusk.federated.secagg._tails import group_bound, least_unlikely, run_is_unlikely, tail

NIGHTLY = bool(os.environ.get("BLUETUSK_SCHEDULES"))


@pytest.mark.parametrize(
    ("corrupt", "dropout", "n", "k", "t"),
    [
        (0.1, 0.1, 1000, 50, 27),
        (0.1, 0.1, 10_000, 60, 32),
        (0.2, 0.2, 1000, 109, 57),
        (0.2, 0.2, 10_000, 134, 70),
        (0.33, 0.05, 1000, 83, 62),
        (0.33, 0.05, 10_000, 102, 75),
    ],
)
def test_figures(corrupt, dropout, n, k, t):
    plan = secagg.plan(n, corrupt=corrupt, dropout=dropout)
    assert (plan.neighbours, plan.threshold, plan.complete) == (k, t, False)
    privacy, correctness = plan.bits()
    assert privacy <= -40
    assert correctness <= -30
    # recomputed from the definition, in Python's integers
    bad, gone = round(corrupt * n), int(Fraction(str(dropout)) * (n - 1))
    subsets = math.comb(n - 1, k)
    lost = sum(math.comb(bad, x) * math.comb(n - 1 - bad, k - x) for x in range(t, k + 1))
    late = sum(math.comb(gone, x) * math.comb(n - 1 - gone, k - x) for x in range(k - t + 1, k + 1))
    assert n * lost * 2**40 <= subsets
    assert n * late * 2**30 <= subsets
    assert abs(privacy - math.log2(Fraction(n * lost, subsets))) < 1e-9
    malicious = secagg.plan(n, corrupt=corrupt, dropout=dropout, malicious=True)
    assert malicious.neighbours > k
    assert malicious.threshold > t


def test_a_smaller_graph_does_not_do():
    """No k below the plan's has a threshold that keeps both bounds."""
    plan = secagg.plan(1000)
    for k in range(plan.neighbours - 8, plan.neighbours):
        for t in range(k // 2 + 1, k + 1):
            with pytest.raises(ValueError, match=r"threshold|correctness"):
                bounds(secagg.Plan(1000, plan.corrupt, plan.dropout, False, False, k, t))


def bounds(plan):
    if plan.bits()[1] > -plan.correctness:
        raise ValueError("correctness")


@given(st.integers(1, 12), st.data())
def test_tails_are_counts_of_subsets(population, data):
    marked, draws = (data.draw(st.integers(0, population)) for _ in range(2))
    least = data.draw(st.integers(0, population + 1))
    subsets = list(itertools.combinations(range(population), draws))
    hits = sum(sum(i < marked for i in subset) >= least for subset in subsets)
    assert tail(population, marked, draws, least) == (hits, len(subsets))
    union, bits = data.draw(st.integers(1, 50)), data.draw(st.integers(0, 12))
    least = least_unlikely(population, marked, draws, union, bits)
    for u in range(draws + 2):
        hits = sum(sum(i < marked for i in subset) >= u for subset in subsets)
        assert (union * hits * 2**bits <= len(subsets)) is (u >= least)


def test_runs_and_groups_by_hand():
    # 3 of 10 marked, a run of 2: 10 * (3/10)(2/9) = 2/3
    assert run_is_unlikely(10, 3, 2, 0)
    assert not run_is_unlikely(10, 3, 2, 1)
    assert run_is_unlikely(10, 3, 4, 60)
    # two clients that each choose the other, one choice each of 9: C(10,2) / 81 = 0.56
    assert group_bound(10, 10, 1, 1, 0) == 3  # 0.56 + C(10,3) (2/9)^3 = 1.87
    assert group_bound(10, 10, 1, 1, 1) == 2


def test_simulation_semi_honest():
    """With bounds that can be seen: corrupt majorities and lost clients are as rare as the tails say."""
    plan = secagg.plan(60, corrupt=0.2, dropout=0.2, complete=False, security=5, correctness=4)
    n, k, t = plan.clients, plan.neighbours, plan.threshold
    trials = 20_000 if NIGHTLY else 2000
    rng = np.random.default_rng(5)
    privacy = correctness = 0
    for _ in range(trials):
        holders = hashed(rng.bytes(32), n, k)
        bad, gone = np.zeros(n, bool), np.zeros(n, bool)
        bad[: plan.bad] = True  # fixed before the hash is known
        gone[n - 1 - plan.gone : n - 1] = True
        privacy += bool((bad[holders].sum(axis=1) >= t).any())
        correctness += bool(((~gone)[holders].sum(axis=1) < t).any())
    # below the union bound up to 5 standard deviations; and not by far, or the plan would waste neighbours
    for count, bits in ((privacy, plan.security), (correctness, plan.correctness)):
        expected = trials * 2.0**-bits
        assert count <= expected + 5 * expected**0.5
        assert count >= expected / 100


def test_simulation_malicious():
    """Two views: where clients draw their own holders, no more of them are corrupt than the plan allows for."""
    plan = secagg.plan(60, corrupt=0.1, dropout=0.1, malicious=True, complete=False, security=5, correctness=4)
    n, k, t = plan.clients, plan.neighbours, plan.threshold
    c = 2 * t - k - 1  # t > (k + c) / 2: so many corrupt holders cannot help two views
    trials = 2000 if NIGHTLY else 200
    over = 0
    for _ in range(trials):
        over += any(int((draw(n, k, me) < plan.bad).sum()) > c for me in range(n))
    expected = trials * 2.0**-plan.security
    assert over <= expected + 5 * expected**0.5


@pytest.mark.parametrize(("m", "k"), [(2, 1), (5, 2), (5, 3), (7, 6), (100, 32), (101, 33)])
def test_the_hashed_graph(m, k):
    holders = hashed(bytes([m]) * 32, m, k)
    assert holders.shape == (m, k)
    for me, row in enumerate(holders.tolist()):
        assert row == sorted(set(row))
        assert me not in row
        assert all(0 <= place < m for place in row)
    assert np.array_equal(holders, hashed(bytes([m]) * 32, m, k))
    if k < m - 1 > 4:
        assert not np.array_equal(holders, hashed(bytes([m + 1]) * 32, m, k))
    # as many hold as are held, so nobody carries more than its part
    counts = np.bincount(holders.reshape(-1), minlength=m)
    assert set(counts.tolist()) == {k}


def test_the_hashed_graph_is_uniform():
    """Chi-square over all pairs (client, holder): false alarm below 1e-6."""
    m, k, trials = 8, 3, 4000
    counts = np.zeros((m, m))
    for i in range(trials):
        for me, row in enumerate(hashed(i.to_bytes(32, "little"), m, k)):
            counts[me, row] += 1
    expected = trials * k / (m - 1)
    off = counts[~np.eye(m, dtype=bool)]
    chi2 = float(((off - expected) ** 2 / expected).sum())
    degrees = m * (m - 2)
    assert chi2 < degrees + 5 * (2 * degrees) ** 0.5 + 25


def test_own_draws_are_uniform():
    counts = np.zeros(8)
    for _ in range(4000):
        chosen = draw(8, 3, me=2)
        assert chosen.tolist() == sorted(set(chosen.tolist()))
        counts[chosen] += 1
    assert counts[2] == 0
    expected = 4000 * 3 / 7
    assert float(((np.delete(counts, 2) - expected) ** 2 / expected).sum()) < 45  # 6 degrees: below 1e-7


@pytest.mark.parametrize("malicious", [False, True])
def test_plans_for_fewer_clients(malicious):
    """The corrupt ones all came: the tails at the smaller number keep the bounds."""
    plan = secagg.plan(1000, corrupt=0.2, dropout=0.1, malicious=malicious)
    for m in (1000, 990, 950, 900):
        fewer = plan.at(m)
        assert (fewer.clients, fewer.bad, fewer.gone) == (m, 200, max(0, 99 - (1000 - m)))
        privacy, correctness = fewer.bits()
        assert privacy <= -40
        assert correctness <= -30
    assert plan.at(1000) is plan
    with pytest.raises(ValueError, match="advertised must be 900 to 1000, not 899"):
        plan.at(899)


@pytest.mark.parametrize("n", [2, 3, 10, 64])
def test_complete_graphs(n):
    plan = secagg.plan(n)
    assert plan.complete
    assert plan.neighbours == n
    assert plan.bad < plan.threshold <= n - int(n * Fraction(1, 10))
    assert 2 * plan.threshold > n
    plan = secagg.plan(n, malicious=True)
    assert 2 * plan.threshold > n + plan.bad
    assert plan.threshold >= plan.quorum


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n": 1}, ValueError, "n must be 2 to"),
        ({"n": 10.0}, TypeError, "n must be an int"),
        ({"n": 10, "corrupt": 1}, ValueError, "corrupt must be at least 0 and below 1"),
        ({"n": 10, "dropout": -0.1}, ValueError, "dropout must be"),
        ({"n": 10, "dropout": True}, TypeError, "dropout must be a float"),
        ({"n": 10, "threshold": 5}, ValueError, "threshold is 5: it must be 6 to 10"),
        ({"n": 10, "dropout": 0.6}, ValueError, "threshold is 4: it must be 6"),
        ({"n": 10, "corrupt": 0.7, "dropout": 0.2, "malicious": True}, ValueError, "threshold"),
        ({"n": 100, "threshold": 51}, ValueError, "threshold follows from the tails"),
        ({"n": 1000, "corrupt": 0.8, "dropout": 0.3}, ValueError, "no graph of 1000 clients"),
        ({"n": 70, "corrupt": 0.3, "dropout": 0.4, "malicious": True}, ValueError, "no graph|dropout leaves"),
        ({"n": 10, "security": 0}, ValueError, "security must be 1 to 128"),
    ],
)
def test_refusals(arguments, error, match):
    with pytest.raises(error, match=match):
        secagg.plan(**arguments)


@given(st.integers(2, 400), st.sampled_from([0.0, 0.05, 0.1, 0.25]), st.sampled_from([0.0, 0.1, 0.2]), st.booleans())
@settings(max_examples=60)
def test_any_plan_travels(n, corrupt, dropout, malicious):
    try:
        plan = secagg.plan(n, corrupt, dropout, malicious)
    except ValueError:
        return
    d = plan.to_dict()
    assert secagg.Plan.from_dict(d) == plan
    for change in (
        {"threshold": plan.neighbours + 1},
        {"threshold": 1 if plan.neighbours > 1 else 0},
        {"neighbours": n + 1},
        {"corrupt": "2/20"},
        {"corrupt": "x"},
        {"corrupt": "1/0"},
        {"dropout": "-1/2"},
        {"clients": True},
        {"more": 1},
    ):
        if {**d, **change} != d:
            with pytest.raises(FrameError):
                secagg.Plan.from_dict({**d, **change})


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_numbers_of_numpy_are_kept_as_ints(kind):
    """Bounds are counted with Python's ints, and a frame takes no others."""
    plain = secagg.plan(10)
    numbers = {name: kind(value) for name, value in plain.to_dict().items() if type(value) is int}
    plan = secagg.Plan(
        corrupt=plain.corrupt, dropout=plain.dropout, malicious=plain.malicious, complete=plain.complete, **numbers
    )
    assert plan == plain
    assert {type(plan.to_dict()[name]) for name in numbers} == {int}
