"""The regression on public data: beside scikit-learn on pooled columns, at rare events, where data give nothing."""

from __future__ import annotations

import csv
import io
import lzma
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.demo.data import load
from bluetusk.vertical import LogisticRegression, local_links
from bluetusk.vertical.logistic.calibration import calibrated

from . import plain_logistic as plain

DATA = Path(__file__).parents[1] / "data" / "germancredit.csv.xz"


def german():
    """Return 1 000 applicants, the labels (bad: 1), and which columns are categories."""
    table = list(csv.reader(io.StringIO(lzma.decompress(DATA.read_bytes()).decode())))[1:]
    y = np.array([row[-1] == "bad" for row in table]).astype(int)
    columns, categories = [], []
    for j in range(20):
        values = [row[j] for row in table]
        numeric = all(value.isdecimal() for value in values)
        columns.append(np.array([float(v) for v in values] if numeric else values, object))
        if not numeric:
            categories.append(f"x{j}")
    return np.column_stack(columns), y, categories


def rare(rate, seed):
    """Return the UCI customers with so few of the defaulting ones, drawn by the seed, that they are this share."""
    customers = load()
    rng = np.random.default_rng(100 + seed)
    others, events = np.flatnonzero(customers.y == 0), np.flatnonzero(customers.y)
    chosen = rng.choice(events, round(rate / (1 - rate) * len(others)), replace=False)
    keep = np.sort(np.concatenate([others, chosen]))
    return customers.x[keep].astype(float), customers.y[keep]


def halves(n, seed):
    """Return the rows of training and of the test, without a look at the labels."""
    order = np.random.default_rng(seed).permutation(n)
    return order[: round(0.7 * n)], order[round(0.7 * n) :]


def pooled(w, y, train, test):
    from sklearn.linear_model import LogisticRegression as Pooled
    from sklearn.metrics import roc_auc_score

    model = Pooled(C=1e6, max_iter=2000).fit(w[train], y[train])
    return roc_auc_score(y[test], model.decision_function(w[test]))


def joint(both, w, y, train, test, own):
    """Return the joint model's AUC on the test rows, and its probabilities there.

    By the plain training, which gives the same: `test_the_encrypted_training_is_the_plain_one`. The nightly run sets
    BLUETUSK_ENCRYPTED, and trains for real.
    """
    from sklearn.metrics import roc_auc_score

    xg, xh = w[:, :own], w[:, own:]
    if os.environ.get("BLUETUSK_ENCRYPTED"):
        guest, host = fitted(both, xg[train], xh[train], y[train])
        z = xg[test] @ guest.coef_ + xh[test] @ host.coef_ + guest.intercept_ + host.intercept_
        return roc_auc_score(y[test], z), guest.calibration_.probability(z)
    score, held, _ = plain.trained(xg[train], xh[train], y[train])
    rows = train[held]
    found = calibrated(score(xg[rows], xh[rows]), y[rows], float(y[train].mean()), 0.125)
    z = score(xg[test], xh[test])
    return roc_auc_score(y[test], z), found.probability(z)


def test_a_thousand_rows_are_as_good_as_pooled(both):
    """German credit, its first ten columns at the guest, five seeds: within 0.005 of scikit-learn in the mean."""
    x, y, categories = german()
    differences = []
    for seed in range(5):
        train, test = halves(len(y), seed)
        w = plain.weights_of_evidence(x, y, train, min_rows=20, categorical=categories)
        differences.append(joint(both, w, y, train, test, 10)[0] - pooled(w, y, train, test))
    assert np.mean(differences) > -0.005, differences


@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")  # of eight events among the rows held back, of epochs
@pytest.mark.parametrize("rate", [0.01, 0.005])
@pytest.mark.nightly
def test_rare_events_are_ranked_and_calibrated(both, rate):
    """The mean probability is the rate that is observed, within two standard errors; the AUC is that of pooled data."""
    differences = []
    for seed in range(5):
        x, y = rare(rate, seed)
        train, test = halves(len(y), seed)
        w = plain.weights_of_evidence(x, y, train, min_rows=100)
        area, p = joint(both, w, y, train, test, 5)
        differences.append(area - pooled(w, y, train, test))
        observed = y[test].mean()
        # both rates are of samples: that of training, to which probabilities are fitted, and that of the test
        error = math.sqrt(observed * (1 - observed) * (1 / len(test) + 1 / len(train)))
        assert abs(p.mean() - observed) < 2 * error, (seed, p.mean(), observed)
        assert len(np.unique(p)) > 0.9 * len(np.unique(w[test], axis=0))  # nobody is cut off at 0
    assert np.mean(differences) > -0.01, differences


def fitted(both, xg, xh, y, **options):
    opened = {"key_size": 2048, "reveal": ("coefficients", "scores")}  # so that they can be compared
    guest = LogisticRegression("guest", random_state=bytes(32), **opened, **options)
    host = LogisticRegression("host", **opened)
    from bluetusk.vertical import local_links

    links = local_links(seconds=120.0)

    def party(call, link):
        try:
            return call(link)
        except BaseException:
            link.abort("failed")
            raise

    both(
        lambda: party(lambda link: guest.fit(xg, y, link=link), links[0]),
        lambda: party(lambda link: host.fit(xh, link=link, ids=range(len(xh))), links[1]),
    )
    return guest, host


def test_the_encrypted_training_is_the_plain_one(both):
    """What the tests above say of plain floats, they say of the protocol: German credit, whole."""
    x, y, categories = german()
    train, _ = halves(len(y), 0)
    w = plain.weights_of_evidence(x, y, train, min_rows=20, categorical=categories)
    xg, xh = w[train][:, :10], w[train][:, 10:]
    guest, host = fitted(both, xg, xh, y[train])
    score, held, taken = plain.trained(xg, xh, y[train])
    assert guest.n_iter_ == taken
    z = xg @ guest.coef_ + xh @ host.coef_ + guest.intercept_ + host.intercept_
    assert np.abs(z - score(xg, xh)).max() < 0.01
    same = calibrated(score(xg[held], xh[held]), y[train][held], float(y[train].mean()), 0.125)
    assert math.isclose(guest.calibration_.slope, same.slope, rel_tol=0.02)
    assert guest.findings_ == []


# --- what is said where data give nothing ---


def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    return x, (x @ [1.0, -0.5, 0.8, 0.2, -0.7] + rng.normal(size=n) > 0.3).astype(int)


def findings(both, x, y, names):
    """The guest's findings of a short training; they come after it, since an error before it would tell the host."""
    guest = LogisticRegression("guest", epochs=1, calibrate=False, tol=0.0, key_size=2048)
    host = LogisticRegression("host", key_size=2048)
    here, there = local_links(seconds=60)
    with pytest.warns(bt.DataWarning):
        both(
            lambda: guest.fit(x, y, link=here, columns=names),
            lambda: host.fit(x[:, :1], link=there),
        )
    return guest.findings_


@pytest.mark.parametrize("label", [0, 1])
def test_few_events_are_named(both, label):
    x, _ = rows()
    y = np.full(400, 1 - label)
    y[:10] = label
    assert any(f"10 rows of label {label}: below 20" in said for said in findings(both, x, y, list("abcde")))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_separates_is_named(both, sign):
    x, y = rows()
    x[:, 1] = sign * (y + 0.001 * x[:, 1])
    found = findings(both, x, y, ["a", "late", "b", "c", "d"])
    assert any(re.match(r"column 'late' alone separates the labels \(AUC [01]\.000\)", said) for said in found)


def test_a_training_that_ends_too_early_is_named(both):
    x, y = rows(400)
    with pytest.warns(bt.DataWarning, match="ended after 2 epochs while its loss still fell"):
        guest, _ = fitted(both, x[:, :2], x[:, 2:], y, epochs=2)
    assert len(guest.findings_) == 1


def test_columns_that_say_nearly_the_same_are_told_apart(both):
    """Debt as the bank sees it and as the network sees it: what counts is their difference."""
    from sklearn.linear_model import LogisticRegression as Pooled
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    a, noise, other = rng.normal(size=4000), rng.normal(size=4000), rng.normal(size=(4000, 2))
    y = (noise + 0.5 * other[:, 0] + 0.5 * rng.normal(size=4000) > 0).astype(int)
    xg, xh = np.column_stack([a, other[:, 0]]), np.column_stack([a + 0.3 * noise, other[:, 1]])
    score, _, taken = plain.trained(xg[:1000], xh[:1000], y[:1000])
    ours = roc_auc_score(y[1000:], score(xg[1000:], xh[1000:]))
    x = np.hstack([xg, xh])
    pooled = Pooled(C=1e6, max_iter=5000).fit(x[:1000], y[:1000]).decision_function(x[1000:])
    assert ours > roc_auc_score(y[1000:], pooled) - 0.005, taken


def test_a_model_worse_than_chance_or_than_alone_is_named(both):
    """The rows held back mean the opposite of those of training, as when the meaning of a column has changed."""
    x, y = rows(1000)
    order = plain.drawn(b"bluetusk logistic held back", bytes(32), 1000)
    turned = x[:, 2:].copy()
    turned[order[:100]] *= -4
    with pytest.warns(bt.DataWarning) as told:
        guest, host = fitted(both, x[:, :2], turned, y)
    assert [str(w.message) for w in told] == guest.findings_
    assert "worse than chance" in guest.findings_[0]
    assert "worse than this party's columns alone" in guest.findings_[1]
    assert host.findings_ == []
    assert guest.calibration_.slope > 0


def test_shuffled_labels_are_named(both):
    """Labels that depend on nothing: the AUC's interval holds one half, and probabilities hardly differ."""
    x, _ = rows(400)
    y = np.random.default_rng(5).integers(0, 2, 400)
    with pytest.warns(bt.DataWarning, match="cannot be distinguished from chance"):
        guest, host = fitted(both, x[:, :2], x[:, 2:], y)
    assert host.findings_ == []
    z = x @ np.concatenate([guest.coef_, host.coef_]) + guest.intercept_ + host.intercept_
    p = guest.calibration_.probability(z)
    assert abs(p.mean() - y.mean()) < 0.05
    assert p.std() < 0.15
