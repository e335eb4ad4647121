"""Noise, a million samples at a time in one thread: from tables alone (sigma below 512) and with blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from bluetusk.federated import noise
from bluetusk.federated.noise.laws import Gaussian, Law, Skellam
from bluetusk.federated.noise.sampler import Sampler

N = 1_000_000


@pytest.mark.parametrize("draw", [noise.discrete_gaussian, noise.skellam])
@pytest.mark.parametrize("sigma", [1, 100, 10**4, 2**30])
def test_noise(benchmark: Any, draw: Callable[..., Any], sigma: int) -> None:
    draw(1, sigma)  # the table
    x = benchmark(draw, N, sigma)
    assert abs((x / sigma).var() - 1) < 10 * math.sqrt(3 / N)


def test_noise_of_a_client(benchmark: Any) -> None:
    assert benchmark(noise.skellam, N, 2**20, clients=10, bits=32).nbytes == 4 * N


@pytest.mark.parametrize("law", [Gaussian, Skellam])
def test_table(benchmark: Any, law: Callable[[Fraction], Law]) -> None:
    """What the first call for a variance costs."""
    benchmark.pedantic(lambda: Sampler(law(Fraction(511) ** 2)), rounds=3)
