"""Adds noise to counts of events before a host sees weights of evidence made from them, and accounts for it."""

from __future__ import annotations

import math

import numpy as np

from ..._numeric import Ints
from ...federated.noise import discrete_gaussian

__all__ = ["DELTA", "draw", "epsilon", "noised"]

DELTA = 1e-6
"""The delta at which epsilon is stated."""


def draw(count: int, sigma: int) -> Ints:
    """Return samples of the discrete Gaussian.

    Examples
    --------
    >>> len(draw(3, 10))
    3
    """
    return np.asarray(discrete_gaussian(count, sigma), np.int64)


def noised(rows: Ints, events: Ints, noise: Ints) -> Ints:
    """Return the events of each bin with noise, between 0 and the bin's rows, which the host knows.

    Examples
    --------
    >>> noised(np.array([50, 50]), np.array([2, 20]), np.array([-7, 4]))
    array([ 0, 24])
    """
    return np.asarray(np.clip(events + noise, 0, rows), np.int64)


def epsilon(columns: int, sigma: int) -> float:
    """Return the epsilon, at a delta of 1e-6, that the noised events of a number of columns cost each row's label.

    Another label of one row changes one bin of each column by 1, so the counts change by sqrt(columns) in the L2 norm,
    and noise of sigma makes them zero-concentrated private with rho = columns / (2 sigma^2) (Canonne, Kamath, Steinke:
    The Discrete Gaussian for Differential Privacy, 2020, theorem 4). That is (epsilon, delta) private for
    epsilon = rho + 2 sqrt(rho ln(1 / delta)) (Bun, Steinke: Concentrated Differential Privacy, 2016, proposition 1.3).
    What is computed from the noised counts costs nothing more; the noise of further fits adds up in rho.

    Examples
    --------
    >>> round(epsilon(18, 10), 2)
    2.32
    """
    rho = columns / (2 * sigma**2)
    return rho + 2 * math.sqrt(rho * math.log(1 / DELTA))
