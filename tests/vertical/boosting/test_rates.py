"""At low rates of events the joint trees are as good as XGBoost's on the pooled columns, and the guest knows of few."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt

RECORDED = Path(__file__).with_name("xgboost.json")
SEEDS = range(5)
MOST = 0.005
"""Of AUC, that minima and a local first tree may cost."""


@pytest.fixture(scope="module")
def rates():
    """The benchmark program that made the records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[3] / "bench"))
        import _vertical_rates

        yield _vertical_rates
    del sys.modules["_vertical_rates"]


def bits(made):
    return [b"".join(a.tobytes() for a in model._half.arrays().values()) for model in made.all]


@pytest.mark.parametrize(
    ("hosts", "missing", "more"),
    [
        (1, 0.0, {}),
        (1, 0.1, {"reg_lambda": 0.0, "min_child_weight": 1e-3, "min_bucket_rows": 4, "min_samples_leaf": 5}),
        (2, 0.05, {"subsample": 0.7, "random_state": 5, "max_depth": 2, "share_gain": True}),
    ],
)
def test_plain_integers_grow_the_same_trees(rates, parties, toy, hosts, missing, more):
    """What the figures below come from, and the protocol under a key: both halves are equal to the bit."""
    tables, y = toy(150, [2, 3, 1][: hosts + 1], missing=missing, seed=hosts)
    p = {"n_estimators": 2, **more}
    encrypted = parties(hosts, **p).fit(tables, y)
    with rates.plainly():
        plain = parties(hosts, **p).fit(tables, y)
    assert bits(plain) == bits(encrypted)
    assert {party for party in encrypted.guest._half.party.ravel().tolist() if party >= 0} >= {1}


LONG = [pytest.param(rate, marks=pytest.mark.nightly) for rate in (0.01, 0.03, 0.2)]


@pytest.mark.parametrize("rate", [0.005, *LONG])
@pytest.mark.parametrize("name", ["credit", pytest.param("synthetic", marks=pytest.mark.nightly)])
def test_not_worse_than_xgboost(rates, name, rate):
    """In the mean of five seeds, but for two standard errors of the difference; see bench/_vertical_rates.py."""
    recorded = json.loads(RECORDED.read_text())
    assert recorded["parameters"] == rates.XGBOOST
    mine = [rates.joint(rates.SETS[name](rate, seed)) for seed in SEEDS]
    for minima in rates.PARAMS:  # XGBoost's default of min_child_weight, and ours
        mean, error = rates.behind(mine, recorded[minima][name][str(rate)])
        assert mean >= -2 * error, minima


@pytest.mark.parametrize("rate", [0.005, *LONG])
@pytest.mark.parametrize("name", ["credit", pytest.param("synthetic", marks=pytest.mark.nightly)])
@pytest.mark.nightly
def test_what_the_default_minima_cost(rates, name, rate):
    """And a first tree of the guest's own: printed, and in the mean of five seeds at most so much."""
    splits = [rates.SETS[name](rate, seed) for seed in SEEDS]
    mean, error = rates.behind(
        [rates.joint(s, **rates.DEFAULTS) for s in splits], [rates.joint(s, **rates.LIFTED) for s in splits]
    )
    print(f"{name}, {rate:.1%} events: the default minima cost {-mean:.4f} of AUC, standard error {error:.4f}")
    assert mean >= -MOST - 2 * error


@pytest.mark.nightly
def test_the_penalty_costs_nothing_where_events_are_many(rates):
    splits = [rates.credit(0.2, seed) for seed in SEEDS]
    mean, error = rates.behind([rates.joint(s) for s in splits], [rates.joint(s, **rates.BEFORE) for s in splits])
    assert mean >= -2 * error


def labelled(events, rows=60):
    """A column of either party, and labels that both have a part in."""
    rng = np.random.default_rng(events)
    tables = [rng.normal(size=(rows, 1)) for _ in range(2)]
    y = np.zeros(rows, int)
    y[np.argsort(tables[0][:, 0] + tables[1][:, 0])[rows - events :]] = 1
    return tables, y


P = {"n_estimators": 1, "max_depth": 1, "min_samples_leaf": 5, "min_child_weight": 0.1}


@pytest.mark.parametrize(
    ("events", "said"), [(19, "19 rows of label 1"), (41, "19 rows of label 0"), (1, "1 row of label 1")]
)
def test_few_rows_of_a_class_are_said_to_the_guest(parties, events, said):
    tables, y = labelled(events)
    made = parties(1, **P)
    with pytest.warns(bt.DataWarning) as warned:
        made.fit(tables, y)
    assert [str(w.message) for w in warned] == made.guest.findings_
    assert said in made.guest.findings_[0]
    assert len(warned) == 1 + (events == 1)  # of one event, a column that has it at its end separates
    assert made.hosts[0].findings_ == []


def test_twenty_rows_of_a_class_are_enough(parties):
    for events in (20, 40):
        parties(1, **P).fit(*labelled(events))  # a warning would be an error


def test_the_host_sees_nothing_of_the_warning(parties, together):
    """Made an error, the warning comes after the job: the host is through."""
    tables, y = labelled(19)
    made = parties(1, **P)
    with warnings.catch_warnings():
        warnings.simplefilter("error", bt.DataWarning)
        with pytest.raises(bt.DataWarning):
            made.fit(tables, y)
    assert hasattr(made.hosts[0], "feature_importances_")
    assert made.theirs[0].channel._in.empty()
    made = parties(1, **P)
    with pytest.warns(bt.DataWarning) as warned:  # without the filter the run goes its usual way
        made.fit(tables, y)
    assert len(warned) == 1
    assert made.hosts[0].split_counts_.sum() + made.guest.split_counts_.sum() == 1
