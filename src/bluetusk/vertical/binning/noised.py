"""Adds noise to counts of events before a host sees weights of evidence made from them, and accounts for it."""

from __future__ import annotations

import hmac
import math
from fractions import Fraction

import numpy as np

from ..._numeric import Ints
from ..._random import Stream
from ...federated.noise.laws import Gaussian
from ...federated.noise.sampler import Sampler

__all__ = ["DELTA", "epsilon", "noised"]

DELTA = 1e-6
"""The delta at which epsilon is stated."""


def noised(columns: list[tuple[Ints, Ints]], sigma: int, seed: bytes) -> list[Ints]:
    """Return the events of each bin of some columns with noise, between 0 and the bin's rows, which the host knows.

    Parameters
    ----------
    columns : list of (rows, events)
        Two arrays of int64 for each column.
    sigma : int
        Of the discrete Gaussian.
    seed : bytes
        32 secret bytes of the job. The noise is a pseudorandom function of seed and counts. So a step that is taken
        again shows the same and nothing can be averaged; and if the host then sends other sums, it gets other noise
        and cannot subtract one answer from the other.

    Examples
    --------
    >>> counts = [(np.array([50, 50]), np.array([0, 20]))]
    >>> once, again = (noised(counts, 10, bytes(32))[0] for _ in range(2))
    >>> bool((once == again).all()), bool((once >= 0).all())
    (True, True)
    """
    counts = np.concatenate([np.stack(pair) for pair in columns], axis=1)
    noise = np.empty(counts.shape[1], np.int64)
    key = hmac.digest(seed, counts.astype("<i8").tobytes(), "sha256")
    Sampler(Gaussian(Fraction(sigma**2))).fill(noise, Stream(key))
    ends = np.cumsum([len(rows) for rows, _ in columns])[:-1]
    return np.split(np.clip(counts[1] + noise, 0, counts[0]), ends)


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
