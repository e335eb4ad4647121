"""Reads the plain values of a saved model: what JSON gives is a list, a text or a number, or is refused.

NumPy would take a text for a number, cut a fraction off, and count True as 1. The callers turn the errors into
:class:`~bluetusk.FrameError`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._numeric import Floats, Ints, as_int, as_real

__all__ = ["ints", "listed", "number", "reals", "text", "texts"]

_MOST = (1 << 63) - 1


def listed(value: object, name: str) -> list[Any]:
    """Return a list as it is; TypeError if it is anything else.

    Examples
    --------
    >>> listed("", "bins")
    Traceback (most recent call last):
        ...
    TypeError: bins must be a list, not str
    """
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list, not {type(value).__name__}")
    return value


def ints(value: object, name: str, low: int = 0) -> Ints:
    """Return a list of ints from `low` to 2^63 - 1 as an array; TypeError or ValueError if it is anything else.

    Examples
    --------
    >>> ints([1, 2], "rows")
    array([1, 2])
    """
    return np.array([as_int(each, name, low, _MOST) for each in listed(value, name)], np.int64)


def number(value: object, name: str) -> float:
    """Return a finite number; TypeError or ValueError if it is anything else."""
    return as_real(value, name, -math.inf, math.inf)


def reals(value: object, name: str) -> Floats:
    """Return a list of finite numbers as an array; TypeError or ValueError if it is anything else.

    Examples
    --------
    >>> reals([1, 0.5], "woe")
    array([1. , 0.5])
    """
    return np.array([number(each, name) for each in listed(value, name)], np.float64)


def text(value: object, name: str) -> str:
    """Return a text; TypeError if it is anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {type(value).__name__}")
    return value


def texts(value: object, name: str) -> list[str]:
    """Return a list of different texts; TypeError or ValueError if it is anything else.

    Examples
    --------
    >>> texts(["a", "a"], "groups")
    Traceback (most recent call last):
        ...
    ValueError: groups must hold different texts
    """
    found = [text(each, name) for each in listed(value, name)]
    if len({*found}) != len(found):
        raise ValueError(f"{name} must hold different texts")
    return found
