"""Intervals of AUC and KS: DeLong's variance by the double sum, the ends by SciPy, the coverage by simulation."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import ks_2samp, norm, t
from sklearn.metrics import roc_auc_score

from bluetusk import cli
from bluetusk.cli import demo_credit
from bluetusk.demo import credit, report
from bluetusk.vertical import evaluation as ev
from bluetusk.vertical.evaluation import charts as _charts
from bluetusk.vertical.evaluation import metrics
from bluetusk.vertical.intervals import _normals, delong
from bluetusk.vertical.party import run as _run
from bluetusk.vertical.party.config import Data


def by_double_sum(y, s):
    """DeLong's area and variance as they are defined: every event against every other row, O(m n)."""
    ones, zeros = s[y == 1], s[y == 0]
    wins = (ones[:, None] > zeros[None, :]) + 0.5 * (ones[:, None] == zeros[None, :])
    area = wins.mean()
    parts = [np.var(wins.mean(axis=1 - k), ddof=1) / wins.shape[k] for k in (0, 1)]
    squares = sum(p**2 / (n - 1) for p, n in zip(parts, wins.shape, strict=True))
    return area, sum(parts), sum(parts) ** 2 / squares if squares else math.inf


def counted(y, s):
    distinct, place = np.unique(s, return_inverse=True)
    return np.bincount(place, 1 - y, len(distinct)).astype(int), np.bincount(place, y, len(distinct)).astype(int)


def drawn(rng, m, n, shift, digits=None):
    """A row for each label in two normal distributions, `shift` apart."""
    y = np.r_[np.ones(m, int), np.zeros(n, int)]
    s = rng.normal(size=m + n) + shift * y
    return y, s if digits is None else s.round(digits)


@pytest.mark.parametrize("digits", [0, 1, None])
@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 40), (60, 17), (150, 900)])
def test_delong_is_the_double_sum(m, n, digits):
    y, s = drawn(np.random.default_rng(m), m, n, 0.7, digits)
    area, variance, freedom = delong(*counted(y, s))
    expected = by_double_sum(y, s)
    assert area == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert (area, variance) == pytest.approx(expected[:2], abs=1e-14)
    assert freedom == pytest.approx(expected[2])
    mirrored = delong(*counted(y, -s))
    assert mirrored == pytest.approx((1 - area, variance, freedom), abs=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 1.2])
def test_the_ends_are_those_of_students_t_on_the_logit_scale(shift, level):
    y, s = drawn(np.random.default_rng(4), 30, 200, shift, 1)
    area, variance, freedom = by_double_sum(y, s)
    half = t.ppf((1 + level) / 2, freedom) * math.sqrt(variance) / (area * (1 - area))
    assert ev.auc_interval(y, s, level) == pytest.approx(
        (expit(logit(area) - half), expit(logit(area) + half)), abs=1e-4
    )


def test_a_perfect_order_has_an_interval_with_a_width():
    """Wilson's for as many rows as the rarer label has, by its closed form at 1: n / (n + z^2)."""
    z = norm.ppf(0.975)
    for m, n in ((20, 980), (980, 20), (1, 1), (1, 999)):
        y = np.r_[np.ones(m, int), np.zeros(n, int)]
        low, high = ev.auc_interval(y, y.astype(float))
        assert (low, high) == pytest.approx((min(m, n) / (min(m, n) + z**2), 1.0), abs=1e-6)
        assert ev.auc_interval(y, 1.0 - y) == pytest.approx((1 - high, 1 - low), abs=1e-6)
        low, high = ev.ks_interval(y, y.astype(float))
        assert low < 1.0 - 0.5 / min(m, n)
        assert high == 1.0
    y = np.arange(40) % 2
    low, high = ev.auc_interval(y, np.full(40, 0.3))
    assert low < 0.5 < high < 0.75
    assert ev.ks_interval(y, np.full(40, 0.3)).low == 0.0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=60), st.floats(0.05, 0.999))
def test_the_ends_are_in_order_within_0_and_1_and_hold_the_estimate(rows, level):
    y, s = np.array([*rows, (0, 0), (1, 0)]).T
    for value, (low, high) in (
        (ev.auc(y, s), ev.auc_interval(y, s, level)),
        (ev.ks(y, s), ev.ks_interval(y, s, level)),
    ):
        assert 0.0 <= low <= value + 1e-12
        assert value - 1e-12 <= high <= 1.0
        assert low < high
    mirrored = ev.auc_interval(y, -s, level)
    assert tuple(mirrored) == pytest.approx(
        (1 - ev.auc_interval(y, s, level).high, 1 - ev.auc_interval(y, s, level).low)
    )
    if min(y.sum(), len(y) - y.sum()) >= 5:  # of one row the simulated end is all or nothing
        mirror = ev.ks_interval(y, -s, level)
        assert tuple(mirror) == pytest.approx(tuple(ev.ks_interval(y, s, level)), abs=0.1)


def test_equal_input_gives_equal_ends_and_a_higher_level_wider_ones():
    y, s = drawn(np.random.default_rng(8), 40, 160, 0.6)
    for interval in (ev.auc_interval, ev.ks_interval):
        assert interval(y, s) == interval(y, s)
        assert interval(y, np.exp(s)) == interval(y, s)  # ranks alone count
        narrow, wide = interval(y, s, 0.8), interval(y, s, 0.99)
        assert wide.low < narrow.low < narrow.high < wide.high


def test_the_lower_end_of_ks_is_0_where_the_test_of_kolmogorov_and_smirnov_sees_nothing():
    """Of 60 useless and weak scores: by SciPy's exact p-value, away from the limit itself."""
    rng = np.random.default_rng(12)
    seen = {True: 0, False: 0}
    for k in range(60):
        y, s = drawn(rng, 60, 240, 0.25 * (k % 4))
        p = ks_2samp(s[y == 1], s[y == 0]).pvalue
        if not 0.012 < p < 0.05:
            assert (ev.ks_interval(y, s).low > 0.0) == (p < 0.025)
            seen[p < 0.025] += 1
    assert min(seen.values()) >= 10


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_ninety_five_of_a_hundred_intervals_of_the_auc_hold_it(shift):
    rng = np.random.default_rng(95)
    true = norm.cdf(shift / math.sqrt(2))
    held = 0
    for _ in range(1500):  # standard deviation of the share: 0.6 %
        low, high = ev.auc_interval(*drawn(rng, 60, 240, shift))
        held += low <= true <= high
    assert 0.93 <= held / 1500 <= 0.97


@pytest.mark.nightly
@pytest.mark.parametrize(("m", "n"), [(20, 400), (100, 400)])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.8, 1.5, 3.0])
def test_at_least_ninety_five_of_a_hundred_intervals_of_ks_hold_it(m, n, shift):
    """Up to the noise of 200 draws, 1.5 %; the usual bootstrap holds it in 0 to 90 of a hundred here."""
    rng = np.random.default_rng(int(100 * shift) + m)
    true = 2 * norm.cdf(shift / 2) - 1
    held = 0
    for _ in range(200):
        low, high = ev.ks_interval(*drawn(rng, m, n, shift))
        held += low <= true <= high
    assert held / 200 >= 0.92


def test_the_fixed_numbers_are_normal():
    z = _normals((2, 500, 40)).ravel()
    assert abs(z.mean()) < 4 / math.sqrt(z.size)
    assert abs(z.std() - 1) < 4 / math.sqrt(2 * z.size)
    assert np.quantile(z, [0.025, 0.5, 0.975]) == pytest.approx(norm.ppf([0.025, 0.5, 0.975]), abs=0.04)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, True, "0.95", float("nan")])
def test_a_level_is_a_share(level):
    for interval in (ev.auc_interval, ev.ks_interval):
        with pytest.raises(ValueError, match="level must be a number between 0 and 1"):
            interval([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], level)


@pytest.mark.parametrize(
    ("value", "ends", "digits", "text"),
    [
        (0.5, (0.0, 1.0), 3, "0.5000 (.000-1.000)"),
        (0.77126, (0.7604, 0.78152), 3, "0.7713 (.760-.782)"),
        (0.9999, (0.9996, 0.99999), 2, "0.9999 (1.00-1.00)"),
    ],
)
def test_intervals_in_tables(value, ends, digits, text):
    assert metrics.with_interval(value, ends, digits) == text
    assert re.fullmatch(r"[01]\.\d{4} \([01]?\.\d+-[01]?\.\d+\)", text)


def judged():
    """What a guest keeps of a run: labels, the rows held back, scores of two models."""
    y, s = drawn(np.random.default_rng(6), 90, 310, 0.9)
    test = np.arange(400) % 2 == 0
    scores = dict.fromkeys(("logistic_regression", "gradient_boosting"), s[test])
    return SimpleNamespace(
        sizes={"intersection": 400, "train": 200, "test": 200},
        stages={},
        binning=SimpleNamespace(iv_={}),
        labels=y,
        test=test,
        ranks=scores,
        scores=scores,
        rows=SimpleNamespace(profile=[]),
        findings=[],
        left_out=[],
        models={},
    )


def test_a_party_keeps_and_prints_intervals(monkeypatch, capsys, tmp_path):
    outcome = judged()
    held, scores = outcome.labels[outcome.test], outcome.scores["gradient_boosting"]
    result = _run._result(SimpleNamespace(role="guest", job="job", data=Data("")), outcome, None)
    assert result["gradient_boosting"] == {
        "auc": pytest.approx(roc_auc_score(held, scores)),
        "auc_interval": list(ev.auc_interval(held, scores)),
        "ks": pytest.approx(ks_2samp(scores[held == 1], scores[held == 0]).statistic),
        "ks_interval": list(ev.ks_interval(held, scores)),
    }
    result["bytes"] = {"sent": 1, "received": 2}
    json.dumps(result)
    monkeypatch.setattr(_run, "run_party", lambda *args, **kwargs: result)
    (tmp_path / "party.toml").write_text(
        'role = "guest"\njob = "job"\nevidence = "none"\ncertificate = "a"\nkey = "b"\npeer_certificate = "c"\n'
        'connect = "localhost:1"\nstate = "s"\noutput = "o"\n[data]\nfile = "f.csv"\nid = "id"\nlabel = "y"\n'
    )
    assert cli.main(["party", "--config", str(tmp_path / "party.toml")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "AUC" in line]
    assert len(lines) == 2
    number = r"[01]\.\d{4} \([01]?\.\d{3}-[01]?\.\d{3}\)"
    for line in lines:
        assert re.search(rf"AUC {number}   KS {number}   on the rows held back, with 95 % intervals$", line)
        assert len(line) <= 120


def test_the_tables_of_the_demo_hold_intervals_within_120_columns(capsys):
    outcome = judged()
    held, scores = outcome.labels[outcome.test], outcome.scores["gradient_boosting"]
    found = {"ks": ev.ks(held, scores), "ks_interval": list(ev.ks_interval(held, scores))}
    for kind in ("guest_alone", "joint", "pooled"):
        found |= {kind: ev.auc(held, scores), f"{kind}_interval": list(ev.auc_interval(held, scores))}
    summary = {"logistic_regression": found, "gradient_boosting": found, "stages": {}, "seconds": 1.0}
    learned = {role: {"sums": 1, "bits": 2} for role in ("guest", "host")}
    summary |= {"intersection": 400, "learned": learned, "evidence": {"logs": {}, "verified": True}}
    report.show(demo_credit._tables(credit.CreditPlan(), credit.Result({}, {}, held, summary))[:1])
    out = capsys.readouterr().out
    assert out.count(metrics.with_interval(found["joint"], found["joint_interval"])) == 6
    assert out.count(metrics.with_interval(found["ks"], found["ks_interval"])) == 2
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 120


@pytest.mark.parametrize("sign", [1, -1])
def test_the_chart_shows_the_distance_of_an_inverted_score_too(monkeypatch, sign):
    y, s = drawn(np.random.default_rng(6), 90, 310, 1.5)
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    monkeypatch.setattr(_charts, "_drawing", lambda name, draw: draw(axes))
    _charts.ks_chart(y, sign * s, "x")
    (line,) = (each for each in axes.lines if len(each.get_xdata()) == 2)
    assert abs(np.diff(line.get_ydata())[0]) == pytest.approx(ev.ks(y, s))
