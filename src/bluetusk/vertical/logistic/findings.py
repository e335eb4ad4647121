"""Warns the guest about points and scores like those of a training that failed, from what the guest already holds."""

from __future__ import annotations

import numpy as np

from ..._numeric import Floats, Ints
from .half import POINTS
from .whitening import Whitening

__all__ = ["alone", "at_the_ends", "scattered"]

_ENDS = 16  # points
_ENOUGH, _SCATTERED = 20, 0.3  # rows, and length of their points' mean on a circle, from which on it is not by chance


def scattered(points: Ints) -> list[str]:
    """Return a finding about points that are spread over all 1024 as by chance, as those of a diverged training are.

    On a circle of 1024, n points that are uniform have a mean of length above r with a probability of some
    ``exp(-n r^2)``. Those that do not wrap have a longer one: 0.3 is that of a standard deviation of 250 points, twelve
    times as many as double the odds.
    """
    length = abs(complex(np.exp(2j * np.pi * points / (1 << POINTS)).mean()))
    if len(points) < _ENOUGH or length >= _SCATTERED:
        return []
    return [
        f"the points of {len(points)} rows held back are spread over 0 to 1023 as by chance: the training diverged, or "
        'scores exceed both ends; leave out learning_rate, use sigmoid="linear", and do not use this model'
    ]


def at_the_ends(points: Ints) -> list[str]:
    """Return a finding about points near 0 or 1023, where scores meet that are farthest apart."""
    near = int(((points < _ENDS) | (points >= (1 << POINTS) - _ENDS)).sum())
    if not near:
        return []
    return [
        f"{near} of {len(points)} rows held back have points near 0 or 1023: what exceeds an end comes in at the other "
        'one, so their order may be wrong; let both policies grant exact scores, reveal=("scores",)'
    ]


def alone(whitening: Whitening, used: Floats | Ints, labels: Ints, held: Floats | Ints) -> Floats:
    """Return scores of the rows held back, by least squares on the guest's columns alone, in the form of joint ones."""
    rows = whitening.rows(used)
    weights = np.linalg.lstsq(np.column_stack([rows, np.ones(len(rows))]), labels - 0.5, rcond=None)[0]
    result: Floats = whitening.rows(held) @ weights[:-1]
    return result
