"""Cut-offs, lift, swap sets, reasons and the interval of a gain against plain loops, scikit-learn and a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import confusion_matrix, roc_auc_score

from bluetusk.vertical import evaluation as ev
from bluetusk.vertical.evaluation.metrics import auc_gain


def drawn(seed, n=400, digits=2):
    """Return labels and two scores of the same rows that have much in common, with ties."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.25).astype(int)
    common = rng.normal(size=n) + y
    return y, (common + 0.7 * rng.normal(size=n) + 0.5 * y).round(digits), (common + rng.normal(size=n)).round(digits)


# ------------------------------------------------------------------------------------------------------------- cut-offs
@pytest.mark.parametrize("digits", [0, 1, 6])
def test_cutoffs_are_the_confusion_matrices_of_scikit_learn(digits):
    y, score, _ = drawn(1, digits=digits)
    shares = (0.1, 0.5, 0.8, 0.95)
    found = ev.cutoffs(y, score, shares)
    assert len(found) == len({each["cutoff"] for each in found})
    for each in found:
        refused = [value > each["cutoff"] for value in score]
        (good_approved, good_refused), (bad_approved, bad_refused) = confusion_matrix(y, refused, labels=[0, 1])
        assert (each["good_approved"], each["good_refused"]) == (good_approved, good_refused)
        assert (each["bad_approved"], each["bad_refused"]) == (bad_approved, bad_refused)
        assert each["approved"] == pytest.approx((good_approved + bad_approved) / len(y))
        assert each["rate"] == pytest.approx(bad_approved / (good_approved + bad_approved))
        if good_refused + bad_refused:
            assert each["rate_refused"] == pytest.approx(bad_refused / (good_refused + bad_refused))
    for share in shares:  # no other cut-off comes nearer
        best = min(abs(sum(v <= at for v in score) / len(y) - share) for at in set(score.tolist()))
        assert min(abs(each["approved"] - share) for each in found) == pytest.approx(best)


def test_the_curve_of_approvals_is_that_of_a_loop():
    y, score, _ = drawn(2, n=60, digits=1)
    approved, rate = ev.approval_curve(y, score)
    for k, at in enumerate(sorted(set(score.tolist()))):
        taken = [label for label, value in zip(y.tolist(), score.tolist(), strict=True) if value <= at]
        assert approved[k] == pytest.approx(len(taken) / len(y))
        assert rate[k] == pytest.approx(sum(taken) / len(taken))
    assert len(approved) == len(set(score.tolist()))


def test_lift_is_that_of_a_loop():
    y, score, _ = drawn(3, n=500, digits=6)
    share, times = ev.lift(y, score)
    order = np.argsort(-score)
    for part, value in zip(share, times, strict=True):
        top = y[order[: round(part * len(y))]]
        assert value == pytest.approx(top.mean() / y.mean())
    assert share == pytest.approx(np.arange(1, 11) / 10)
    assert times[-1] == 1.0


def test_the_swap_set_adds_up():
    y, score, baseline = drawn(4)
    found = ev.swap_set(y, score, baseline, approve=0.7)
    (new,), (old,) = ev.cutoffs(y, score, [0.7]), ev.cutoffs(y, baseline, [0.7])
    for name, want in {"in": (1, 0), "out": (0, 1), "both": (1, 1), "neither": (0, 0)}.items():
        rows = [k for k in range(len(y)) if (score[k] <= new["cutoff"], baseline[k] <= old["cutoff"]) == want]
        assert (found[name]["rows"], found[name]["events"]) == (len(rows), int(y[rows].sum()))
        low, high = found[name]["interval"]
        assert low < found[name]["rate"] < high
    assert sum(each["rows"] for each in found.values()) == len(y)
    assert sum(each["events"] for each in found.values()) == y.sum()
    approved = found["both"]["rows"] + found["in"]["rows"]
    assert approved == new["good_approved"] + new["bad_approved"]
    assert found["both"]["events"] + found["in"]["events"] == new["bad_approved"]
    same = ev.swap_set(y, score, 3 * score + 1, approve=0.7)
    assert same["in"] == same["out"] == {"rows": 0, "events": 0, "rate": None, "interval": None}


@pytest.mark.parametrize("score", [np.zeros(40), np.repeat([0.0, 1.0], [39, 1])])
def test_scores_with_one_or_two_values(score):
    """No cut-off separates equal scores: the shares are what these allow."""
    y = np.arange(40) % 4 == 0
    for each in ev.cutoffs(y, score):
        assert each["approved"] in (1.0, 39 / 40)
        assert sum(each[f"{a}_{b}"] for a in ("good", "bad") for b in ("approved", "refused")) == 40
    assert ev.cutoffs(y, np.zeros(40), [0.5])[0]["rate_refused"] is None
    assert ev.approval_curve(y, score)[0][-1] == 1.0
    assert ev.lift(y, score)[1][-1] == 1.0
    assert sum(each["rows"] for each in ev.swap_set(y, score, score).values()) == 40


def test_an_inverted_score_is_worse_than_chance_everywhere():
    y, score, _ = drawn(5, digits=6)
    assert (ev.lift(y, -score)[1][:-1] < 1.0).all()
    assert all(each["rate"] > y.mean() for each in ev.cutoffs(y, -score, [0.5, 0.8]))
    gain, (low, high) = auc_gain(y, -score, score)
    assert low <= gain <= high < 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ev.cutoffs([0, 1], [0.1, 0.2], []), ValueError, "approve is empty"),
        (lambda: ev.cutoffs([0, 1], [0.1, 0.2], [1.0]), ValueError, "approve must be between 0 and 1.* not 1"),
        (lambda: ev.cutoffs([0, 1], [0.1, 0.2], [True]), TypeError, "approve must be a number .* not bool"),
        (lambda: ev.cutoffs([0, 1], [0.1, 0.2], ["0.8"]), TypeError, "not str"),
        (lambda: ev.cutoffs([1, 1], [0.1, 0.2], [0.5]), ValueError, "one label"),
        (lambda: ev.swap_set([0, 1], [0.1, 0.2], [0.1]), ValueError, "baseline must hold 2 scores"),
        (lambda: auc_gain([0, 1], [0.1, 0.2], [0.1]), ValueError, "baseline must hold 2 scores"),
        (lambda: ev.lift([0, 1], [0.1, 0.2], bins=0), ValueError, "bins"),
        (lambda: ev.reasons(np.zeros((0, 1)), ["a"]), ValueError, "one row or more"),
        (lambda: ev.reasons([[0.1]], ["a", "b"]), ValueError, "2 names"),
        (lambda: ev.reasons([[float("nan")]], ["a"]), ValueError, "contributions"),
        (lambda: ev.reasons([[0.1]], ["a"], first=1.5), TypeError, "first"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ----------------------------------------------------------------------------------------------------------------- gain
def textbook(y, score, other):
    """Return the gain and its standard error by DeLong's formulas, pair of rows by pair of rows."""
    ones, zeros = np.flatnonzero(y == 1), np.flatnonzero(y == 0)

    def kernel(s):
        return np.array([[1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0 for j in zeros] for i in ones])

    both = [kernel(score), kernel(other)]
    by_one = np.cov([each.mean(axis=1) for each in both])
    by_zero = np.cov([each.mean(axis=0) for each in both])
    whole = by_one / len(ones) + by_zero / len(zeros)
    return both[0].mean() - both[1].mean(), np.sqrt(whole[0, 0] + whole[1, 1] - 2 * whole[0, 1])


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_the_gain_is_delongs(digits):
    y, score, other = drawn(6, n=300, digits=digits)
    gain, (low, high) = auc_gain(y, score, other)
    want, error = textbook(y, score, other)
    assert gain == pytest.approx(want, abs=1e-12)
    assert gain == pytest.approx(roc_auc_score(y, score) - roc_auc_score(y, other), abs=1e-12)
    assert (low + high) / 2 == pytest.approx(gain)
    ratio = (high - low) / 2 / error
    assert norm.ppf(0.975) < ratio < 1.03 * norm.ppf(0.975)  # Student's t for more than 60 degrees of freedom
    assert high - low < 0.8 * (np.ptp(ev.auc_interval(y, score)) + np.ptp(ev.auc_interval(y, other)))  # paired


def test_the_interval_of_the_gain_is_that_of_a_bootstrap():
    y, score, other = drawn(7, n=600, digits=6)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(600):
        rows = rng.integers(0, len(y), len(y))  # the same rows for both scores
        gains.append(ev.auc(y[rows], score[rows]) - ev.auc(y[rows], other[rows]))
    _, (low, high) = auc_gain(y, score, other)
    assert np.quantile(gains, [0.025, 0.975]) == pytest.approx([low, high], abs=0.15 * (high - low))


def test_gains_without_a_spread():
    y = np.arange(40) % 2
    assert auc_gain(y, y + 1.0, y * 5.0) == (0.0, (0.0, 0.0))  # the same order
    gain, (low, high) = auc_gain(y, y, np.zeros(40))  # every row's placement gains the same
    assert gain == 0.5
    assert low < 0.5 < high <= 1.0
    gain, (low, high) = auc_gain([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.25], [0.3, 0.2, 0.1, 0.15])  # one event
    assert gain == pytest.approx(1 / 3)
    assert -1.0 <= low < gain < high <= 1.0


# -------------------------------------------------------------------------------------------------------------- reasons
@pytest.mark.parametrize("first", [1, 2, 9])
def test_reasons_are_those_of_a_loop(first):
    rng = np.random.default_rng(8)
    parts = rng.normal(size=(50, 4)) - [0, 0, 0, 9]  # the last column never raises a risk
    names = ["a", "b", "c", "never"]
    main, among = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for row in parts.tolist():
        ranked = sorted(((value, name) for value, name in zip(row, names, strict=True) if value > 0), reverse=True)
        for k, (_, name) in enumerate(ranked[:first]):
            main[name] += k == 0
            among[name] += 1
    found = ev.reasons(parts, names, first=first)
    assert {each["column"]: (each["main"], each["among"]) for each in found} == {
        name: (pytest.approx(main[name] / 50), pytest.approx(among[name] / 50)) for name in names if among[name]
    }
    assert [each["main"] for each in found] == sorted((each["main"] for each in found), reverse=True)
    assert "never" not in [each["column"] for each in found]
    for each in found:
        assert each["mean"] == pytest.approx(parts[:, names.index(each["column"])].mean())


def test_reasons_of_no_column_and_of_one():
    assert ev.reasons(np.zeros((3, 0)), []) == []
    assert ev.reasons(np.zeros((3, 1)), ["a"]) == []  # raises nothing
    assert ev.reasons([[0.5], [-0.5]], ["a"])[0]["main"] == 0.5
