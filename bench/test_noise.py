"""Noise, a million samples at a time in one thread: from tables alone (sigma below 512) and with blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from bluetusk.federated import noise

N = 1_000_000


@pytest.mark.parametrize("draw", [noise.discrete_gaussian, noise.skellam])
@pytest.mark.parametrize("sigma", [1, 100, 10**4, 2**30])
def test_noise(benchmark: Any, draw: Callable[..., Any], sigma: int) -> None:
    draw(1, sigma)  # the table
    x = benchmark(draw, N, sigma)
    assert abs((x / sigma).var() - 1) < 10 * math.sqrt(3 / N)


def test_noise_of_a_client(benchmark: Any) -> None:
    assert benchmark(noise.skellam, N, 2**20, clients=10, bits=32).nbytes == 4 * N


@pytest.mark.parametrize("kind", ["gaussian", "skellam"])
def test_table(benchmark: Any, kind: str) -> None:
    """What the first call for a variance costs."""
    benchmark.pedantic(lambda: noise._sampler.__wrapped__(kind, noise.Fraction(511) ** 2), rounds=3)
