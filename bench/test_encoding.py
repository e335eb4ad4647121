"""Real numbers to integers and back, a million at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bluetusk as bt

REALS = np.random.default_rng(11).uniform(-4, 4, size=1_000_000)


@pytest.mark.parametrize(
    "encoding", [bt.FixedPoint(), bt.FixedPoint.decimal(clip=4.0, digits=6)], ids=["binary", "decimal"]
)
def test_quantise(benchmark: Any, encoding: bt.FixedPoint) -> None:
    q, clipped = benchmark(encoding.quantise, REALS)
    assert clipped == 0
    assert np.abs(encoding.to_float(q, encoding.frac) - REALS).max() <= 0.51 / encoding.base**encoding.frac


def test_to_float(benchmark: Any) -> None:
    encoding = bt.FixedPoint()
    q, _ = encoding.quantise(REALS)
    benchmark(encoding.to_float, q, encoding.frac)
