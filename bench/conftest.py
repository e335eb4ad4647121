"""Keys and numbers for the microbenchmarks: one thread, 2048 bits, made once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bluetusk as bt

BITS = 2048

collect_ignore_glob = ["[!t]*"]  # programs, which import each other; the microbenchmarks are test_*.py


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    bt.set_num_threads(1)


@pytest.fixture(scope="session")
def keys() -> Iterator[tuple[Any, Any]]:
    with pytest.warns(UserWarning, match="112-bit"):
        pub, priv = bt.paillier.generate_keypair(BITS)
    with priv:
        yield pub, priv


@pytest.fixture(scope="session")
def plan() -> bt.FixedPoint:
    return bt.FixedPoint(clip=4.0, frac_bits=20, max_weight=100, guard_bits=2)


@pytest.fixture(scope="session")
def values() -> np.ndarray:
    return np.random.default_rng(7).uniform(-4, 4, size=1024)


@pytest.fixture(scope="session")
def modulus(keys: tuple[Any, Any]) -> int:
    return int(keys[0].nsquare)
