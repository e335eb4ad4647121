"""Compares the federated model with scikit-learn's on the pooled rows, and with each bank's model of its own rows.

This check belongs to the demo, not to a role: it reads the whole public file, which no bank could.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ..vertical.evaluation.metrics import Interval, auc_interval
from ..vertical.evaluation.metrics import auc as area_under
from .binning import cells_of, choose_bins, histogram
from .data import Customers, Deal
from .model import scores
from .roles import bank_name
from .runner import Outcome

__all__ = ["Comparison", "auc", "compare", "fit"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """Figures of merit, all on test customers that no model has seen.

    Attributes
    ----------
    names : list of str
        The banks.
    train, test : list of int
        Customers of each bank.
    risk : list of float
        Default rate of each bank.
    alone : list of float
        AUC of each bank's own model on all test customers.
    alone_own : list of float
        AUC of each bank's own model on the bank's test customers.
    federated_own : list of float
        AUC of the federated model on each bank's test customers.
    federated, pooled : float
        AUC on all test customers of the federated model, and of scikit-learn's model of the pooled rows.
    difference : float
        Largest difference of a coefficient, or of the intercept, between these two models.
    bins_equal : bool
        Whether the pooled table gives the same bins.
    labels : ndarray of int64, shape (tests,)
        Labels of all test customers.
    curves : dict of str to ndarray of float64, shape (tests,)
        Log-odds by "federated", "pooled" and each bank's name.
    intervals : dict of str to Interval, or list of them
        Intervals of 95 % for `alone`, `alone_own`, `federated_own`, `federated` and `pooled`.
    """

    names: list[str]
    train: list[int]
    test: list[int]
    risk: list[float]
    alone: list[float]
    alone_own: list[float]
    federated_own: list[float]
    federated: float
    pooled: float
    difference: float
    bins_equal: bool
    labels: Ints
    curves: dict[str, Floats]
    intervals: dict[str, Any]

    @property
    def gain(self) -> list[float]:
        """The gain of each bank in AUC on all test customers."""
        return [self.federated - alone for alone in self.alone]


def fit(codes: Ints, y: Ints, size: int, penalty: float) -> Floats:
    """Fit scikit-learn's penalised logistic regression to one-hot columns.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, 23)
        The bins of each customer.
    y : ndarray of int64, shape (n,)
        Labels, both present.
    size : int
        Number of bins.
    penalty : float
        scikit-learn's C, the inverse of the penalty.

    Returns
    -------
    ndarray of float64, shape (size + 1,)
        Coefficients and intercept, to about 1e-8.

    Examples
    --------
    >>> fit(np.array([[0], [0], [1], [1]]), np.array([0, 1, 1, 1]), 2, 1.0).round(3).tolist()
    [-0.366, 0.366, 1.132]
    """
    columns = np.zeros((len(y), size))
    columns[np.arange(len(y))[:, None], codes] = 1.0
    fitted = LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-9, max_iter=200).fit(columns, y)
    return np.append(fitted.coef_[0], fitted.intercept_[0])


def auc(customers: Customers, dealt: Deal, outcome: Outcome) -> tuple[float, Interval]:
    """Return the AUC of a run's model on all test customers, and its interval of 95 %.

    Parameters
    ----------
    customers, dealt, outcome
        As in :func:`compare`.

    Returns
    -------
    float, Interval

    Examples
    --------
    See :mod:`bluetusk.demo.runner` for the outcome; ``bluetusk demo banks`` shows it for each method.
    """
    log_odds = scores(outcome.bins.codes(customers.x[~dealt.train]), outcome.model)
    labels = customers.y[~dealt.train]
    return area_under(labels, log_odds), auc_interval(labels, log_odds)


def compare(customers: Customers, dealt: Deal, outcome: Outcome, penalty: float) -> Comparison:
    """Compare the federated model with the pooled one and with every bank's own.

    Parameters
    ----------
    customers : Customers
        All customers.
    dealt : Deal
        The banks of the customers, and who was held back.
    outcome : Outcome
        The result of the run.
    penalty : float
        scikit-learn's C, the inverse of the penalty.

    Returns
    -------
    Comparison
        The pooled model is fitted to the rows of the banks that stayed to the end, on the agreed bins.

    Examples
    --------
    See :mod:`bluetusk.demo.runner` for the outcome; ``bluetusk demo banks`` shows the comparison.
    """
    y, train = customers.y, dealt.train
    codes, size = outcome.bins.codes(customers.x), outcome.bins.size
    banks = int(dealt.bank.max()) + 1
    names = [bank_name(index) for index in range(banks)]
    members = train & np.isin(dealt.bank, [names.index(name) for name in outcome.banks])
    pooled = fit(codes[members], y[members], size, penalty)
    counts = histogram(cells_of(customers.x[train]), y[train])

    test = ~train
    labels, of_bank = y[test], dealt.bank[test]
    curves = {"federated": scores(codes[test], outcome.model), "pooled": scores(codes[test], pooled)}
    for index, name in enumerate(names):
        mine = train & (dealt.bank == index)
        curves[name] = scores(codes[test], fit(codes[mine], y[mine], size, penalty))

    def auc_of(model: str, only: int | None = None) -> tuple[float, Interval]:
        rows = slice(None) if only is None else of_bank == only
        found = labels[rows], curves[model][rows]
        return area_under(*found), auc_interval(*found)

    alone = [auc_of(name) for name in names]
    alone_own = [auc_of(name, index) for index, name in enumerate(names)]
    federated_own = [auc_of("federated", index) for index in range(banks)]
    federated, of_pooled = auc_of("federated"), auc_of("pooled")
    return Comparison(
        names=names,
        train=np.bincount(dealt.bank[train], minlength=banks).tolist(),
        test=np.bincount(of_bank, minlength=banks).tolist(),
        risk=(np.bincount(dealt.bank, weights=y) / np.bincount(dealt.bank)).tolist(),
        alone=[value for value, _ in alone],
        alone_own=[value for value, _ in alone_own],
        federated_own=[value for value, _ in federated_own],
        federated=federated[0],
        pooled=of_pooled[0],
        difference=float(np.abs(outcome.model - pooled).max()),
        bins_equal=bool(np.array_equal(choose_bins(counts).bin_of, outcome.bins.bin_of)),
        labels=labels,
        curves=curves,
        intervals={
            "alone": [interval for _, interval in alone],
            "alone_own": [interval for _, interval in alone_own],
            "federated_own": [interval for _, interval in federated_own],
            "federated": federated[1],
            "pooled": of_pooled[1],
        },
    )
