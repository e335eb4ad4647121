"""Turns a regression on binned columns into a scorecard of points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._numeric import Floats, as_array
from ..binning.estimator import WoEBinning
from ..tables.columns import as_reals, column_names
from .metrics import _real

__all__ = ["Scorecard", "scorecard"]


@dataclass(frozen=True, eq=False)
class Scorecard:
    """One party's half of a scorecard: points for each of its bins. The parties' points add up to the score.

    Attributes
    ----------
    base : float
        Points that every customer gets from this party.
    columns : list of str
        The model's columns.
    bins : list of list of str
        Descriptions of each column's bins.
    points : list of ndarray of float64
        Points of each bin.
    binning : WoEBinning
        The binning that assigns values to bins.

    Examples
    --------
    >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    >>> card = scorecard(bins, [1.0], 0.0)
    >>> card.columns, card.points[0].round(1)
    (['x0'], array([ 46.4, -46.4]))
    """

    base: float
    columns: list[str]
    bins: list[list[str]]
    points: list[Floats]
    binning: WoEBinning

    def score(self, X: Any) -> Floats:
        """Return this party's part of each row's score.

        Parameters
        ----------
        X : array_like or DataFrame
            As for :meth:`WoEBinning.transform`.

        Returns
        -------
        ndarray of float64, shape (n,)
            `base` plus the points of the row's bins; 0 points for a value that training has not seen.

        Examples
        --------
        >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> scorecard(bins, [1.0], 0.0).score([[1.0], [4.0], [2.5]]).round(1)
        array([533.6, 440.7, 533.6])
        """
        codes = self.binning.codes(X, self.columns)
        total = np.full(len(codes), self.base)
        for j, points in enumerate(self.points):
            total += np.append(points, 0.0)[codes[:, j]]
        return total

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each bin, for a report, after a row of the base if this party has it.

        Returns
        -------
        list of dict
            With the keys party, column, bin, points.

        Examples
        --------
        >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> [row["bin"] for row in scorecard(bins, [1.0]).table()]
        ['(-inf, 3)', '[3, inf)']
        """
        first = [{"party": self.binning.role, "column": "base", "bin": "every customer", "points": self.base}]
        return first * (self.base != 0) + [
            {"party": self.binning.role, "column": name, "bin": text, "points": float(value)}
            for name, texts, points in zip(self.columns, self.bins, self.points, strict=True)
            for text, value in zip(texts, points, strict=True)
        ]


def scorecard(
    binning: WoEBinning,
    coefficients: Sequence[float] | Floats,
    intercept: float | None = None,
    *,
    columns: Sequence[str] | None = None,
    points_to_double: float = 20.0,
    base_score: float = 600.0,
    base_odds: float = 50.0,
) -> Scorecard:
    """Turn one party's coefficients of a logistic regression on weights of evidence into points.

    Parameters
    ----------
    binning : WoEBinning
        This party's bins with their weights: a guest's, or those of a host to which they were revealed.
    coefficients : sequence of float
        One for each of `columns`: the coefficient of the column's weight of evidence in the log-odds of the event.
    intercept : float, optional
        This party's part of the intercept (see `intercept_` of the regression): at a host the effect of centring its
        columns. With a guest's binning it adds the base score too, which so counts once. None: no base.
    columns : sequence of str, optional
        The model's columns; by default all of `binning`.
    points_to_double : float
        Points that double the odds of no event.
    base_score : float
        The score at odds of `base_odds` to 1 against the event.
    base_odds : float
        The odds at which the score is `base_score`.

    Returns
    -------
    Scorecard
        A higher score is a better customer. With log-odds z of the event the parties' scores add up to
        ``base_score - factor * (z + ln(base_odds))``, factor = points_to_double / ln 2.

    Raises
    ------
    ValueError
        If the number of coefficients is not that of columns, a column was not fitted, a number is not finite,
        `points_to_double` or `base_odds` is not positive, or `binning` is a host's, whose weights stay at the guest.
    TypeError
        If a number is masked (:mod:`numpy.ma`), a bool or not real.

    References
    ----------
    N. Siddiqi, Credit Risk Scorecards, 2006, chapter 6.

    Examples
    --------
    >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    >>> card = scorecard(bins, [0.0], -3.912023)  # odds of 50 to 1
    >>> round(card.base, 2)
    600.0
    """
    points_to_double = _real(points_to_double, "points_to_double", positive=True)
    base_odds, base_score = _real(base_odds, "base_odds", positive=True), _real(base_score, "base_score")
    if not isinstance(binning, WoEBinning):
        raise TypeError(f"binning must be a WoEBinning, not {type(binning).__name__}")
    if not hasattr(binning, "bins_"):
        raise ValueError("binning is not fitted: fit it first, or load() it")
    names = list(binning.columns_) if columns is None else column_names(columns)
    if any(isinstance(each, bool | np.bool_) for each in as_array(coefficients, "coefficients", object).reshape(-1)):
        raise TypeError("coefficients must hold numbers, not bools: give those of the regression")
    weights = as_reals(coefficients, "coefficients")
    if weights.shape != (len(names),):
        raise ValueError(f"coefficients must hold {len(names)} numbers, one for each column, not shape {weights.shape}")
    by_name = {each.name: each for each in binning.bins_}
    for name in names:
        if name not in by_name:
            raise ValueError(f"columns names {name!r}, which was not fitted")
        if not by_name[name].known:
            raise ValueError(
                f"binning does not know the weights of evidence of {name!r}, which stay at the guest: the scorecard "
                "covers the guest's columns, or those of a host that was fitted with reveal=('woe',)"
            )
    factor = points_to_double / math.log(2.0)
    base = 0.0 if intercept is None else -factor * _real(intercept, "intercept")
    if intercept is not None and binning.role == "guest":
        base += base_score - factor * math.log(base_odds)
    chosen = [by_name[name] for name in names]
    points = [-factor * w * each.woe for w, each in zip(weights.tolist(), chosen, strict=True)]
    return Scorecard(base, names, [each.labels() for each in chosen], points, binning)
