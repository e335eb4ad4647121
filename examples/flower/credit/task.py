"""A bank's rows and its logistic regression, independent of Flower and of secure aggregation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bluetusk.demo.data import FEATURES, deal, load

Floats = NDArray[np.float64]


def initial_model() -> list[Floats]:
    """Return the weights, one for each feature, and the intercept."""
    return [np.zeros(len(FEATURES)), np.zeros(1)]


def features(raw: NDArray[np.int64]) -> Floats:
    """Scale the columns roughly to -1 .. 1 by public constants, so that banks need not agree on statistics first."""
    x = raw.astype(np.float64)
    money = np.array([name.startswith(("BILL", "PAY_AMT", "LIMIT")) for name in FEATURES])
    x[:, money] = np.sign(x[:, money]) * np.log1p(np.abs(x[:, money])) / 14.0
    x[:, ~money] /= 4.0
    x[:, FEATURES.index("AGE")] /= 20.0
    return x


def bank_rows(bank: int, banks: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return a bank's customers: features and labels for training, then for testing."""
    customers = load()
    dealt = deal(customers, banks=banks, seed=0)
    mine, train = dealt.bank == bank, dealt.train
    x, y = features(customers.x), customers.y.astype(np.float64)
    return x[mine & train], y[mine & train], x[mine & ~train], y[mine & ~train]


def fit(model: list[Floats], x: Floats, y: Floats) -> list[Floats]:
    """Take one Newton step from the model on a bank's rows, with a small ridge penalty."""
    z = np.column_stack([x, np.ones(len(x))])
    w = np.concatenate(model)
    p = 1.0 / (1.0 + np.exp(-z @ w))
    hessian = (z * (p * (1.0 - p))[:, None]).T @ z + np.eye(len(w))
    w = w + np.linalg.solve(hessian, z.T @ (y - p) - w)
    return [w[:-1], w[-1:]]


def auc(model: list[Floats], x: Floats, y: Floats) -> float:
    """Return the chance that a defaulter scores above another customer; ties do not occur in practice."""
    rank = np.argsort(np.argsort(x @ model[0] + model[1]))
    bad = y == 1
    return float((rank[bad].sum() - bad.sum() * (bad.sum() - 1) / 2) / (bad.sum() * (~bad).sum()))
