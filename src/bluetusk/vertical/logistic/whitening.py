"""Centres and decorrelates a party's columns, so that one step size fits all data.

Gradient descent on ``sigmoid(z) - y`` has the curvature ``s X'X / n``, s the slope of the sigmoid. Where each party's
own columns U satisfy ``U'U / n <= I``, the curvature of both parties together is at most ``2 s I`` (a matrix of two
blocks with diagonals at most I is at most 2 I), so the step ``1 / (2 s)`` never overshoots, whatever the columns are:
of any scale, copies of each other, with heavy tails, one of them the label itself. No second moment has to be sent for
that. How many steps it takes depends on the correlations between the two parties' columns only.

The form is that of Mahalanobis (ZCA): columns are centred, divided by their standard deviation, and multiplied by
``(R + 0.01 I)^(-1/2)``, R their correlation matrix; 0.01 bounds how far a direction that hardly varies is stretched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._numeric import Floats, Ints

__all__ = ["Whitening", "whitening"]


_RIDGE = 0.01
_BLOCK = 512
"""Largest number of columns decorrelated together: an eigenvalue problem of that size takes a tenth of a second."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine map of rows: ``(X - mean) @ factor``.

    Attributes
    ----------
    mean : ndarray of float64, shape (d,)
    factor : ndarray of float64, shape (d, d)
    """

    mean: Floats
    factor: Floats

    def rows(self, X: Floats | Ints) -> Floats:
        """Return the whitened rows, shape (n, d)."""
        return (X - self.mean) @ self.factor

    def coefficients(self, weights: Floats) -> tuple[Floats, float]:
        """Return the coefficients of the original columns, and the constant, for weights of the whitened columns."""
        coefficients = self.factor @ weights
        return coefficients, -float(self.mean @ coefficients)


def whitening(X: Floats, largest: float, *, centre: bool = True) -> Whitening:
    """Return the map for a party's rows.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        Finite.
    largest : float
        Limit of the size of whitened entries; a whitened column that exceeds it is scaled down.
    centre : bool
        Whether to subtract the means: True if the model has an intercept.

    Returns
    -------
    Whitening
        U = rows(X) satisfies ``U'U / n <= I``. A column that is constant gets the factor 0.

    Examples
    --------
    >>> X = np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 30.0], [4.0, 10.0]])
    >>> U = whitening(X, 64.0).rows(X)
    >>> bool(np.abs(U.T @ U / 4 - np.eye(2)).max() < 0.02)
    True
    """
    n, d = X.shape
    size = np.abs(X).max(axis=0)
    size[size == 0] = 1.0
    Z = X / size  # so that no square overflows
    mean = Z.mean(axis=0) if centre else np.zeros(d)
    Z = Z - mean
    deviation = np.sqrt(np.mean(Z * Z, axis=0))
    constant = (deviation <= 1e-12) | (size < 1e-280)  # a constant column leaves only the rounding error of its mean
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    Z *= scale
    factor = np.zeros((d, d))
    blocks = range(0, d, _BLOCK)
    for lo in blocks:
        part = slice(lo, lo + _BLOCK)
        values, vectors = np.linalg.eigh(Z[:, part].T @ Z[:, part] / n)
        roots = 1.0 / np.sqrt((np.maximum(values, 0.0) + _RIDGE) * len(blocks))  # k blocks at most I / k are at most I
        factor[part, part] = (vectors * roots) @ vectors.T
    peaks = np.abs(Z @ factor).max(axis=0, initial=0.0)
    factor *= np.minimum(1.0, largest / np.maximum(peaks, largest))
    return Whitening(mean * size, (scale / size)[:, None] * factor)
