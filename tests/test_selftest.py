"""The self-tests of shares, masks and noise notice what they are there to notice."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from bluetusk import _selftest, _selftest_shares
from bluetusk._random import Stream
from bluetusk._selftest import _expect
from bluetusk.errors import BluetuskError
from bluetusk.federated.secagg import masks
from bluetusk.sharing import _polynomial, beaver, ring, shamir

TESTS = dict(_selftest_shares.TESTS)


def test_the_known_answers_of_an_import_take_no_time() -> None:
    _selftest.known_answer_test()
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        _selftest.known_answer_test()
        best = min(best, time.process_time() - start)
    assert best <= 0.05


def wrong(function: Any) -> Any:
    """Return the function with one bit of its result turned."""

    def call(*args: Any, **options: Any) -> Any:
        out = np.array(function(*args, **options))
        out.reshape(-1)[-1:] ^= 1
        return out

    return call


@pytest.mark.parametrize(
    ("owner", "name", "make", "what"),
    [
        (_selftest_shares, "Stream", lambda _: lambda seed: Stream(b"\1" * 32), "AES-256-CTR"),
        (ring, "share", wrong, "additive shares"),
        (ring, "reconstruct", wrong, "additive shares"),
        (ring, "matmul", wrong, "a product of shares"),
        (shamir, "reconstruct", wrong, "Shamir's shares"),
        (_polynomial, "abort", lambda _: lambda *args: None, "a wrong share was accepted"),
        (_polynomial, "find_wrong", lambda _: lambda *args: [2], "a wrong share was not named"),
        (_selftest_shares, "_times", lambda _: lambda a, b: a * b % 256, "GF"),
    ],
)
def test_a_fault_stops_the_import(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, make: Any, what: str) -> None:
    monkeypatch.setattr(owner, name, make(getattr(owner, name)))
    with pytest.raises(BluetuskError, match=f"self-test failed: {what}"):
        _selftest.known_answer_test()


@pytest.mark.parametrize(
    ("test", "owner", "name", "make", "what"),
    [
        ("shares", beaver, "multiply", wrong, "a product by triples"),
        ("shares", shamir, "share", wrong, "Shamir"),
        ("masks and secure aggregation", masks, "apply", lambda _: lambda words, masks: words.fill(1), "masks do not"),
        ("noise", _selftest_shares, "_SEED", lambda _: bytes(32), "gaussian noise"),
    ],
)
def test_a_fault_fails_the_self_test(
    monkeypatch: pytest.MonkeyPatch, test: str, owner: Any, name: str, make: Any, what: str
) -> None:
    TESTS[test](_expect)
    monkeypatch.setattr(owner, name, make(getattr(owner, name)))
    with pytest.raises(BluetuskError, match=f"self-test failed: {what}"):
        TESTS[test](_expect)


def test_the_expected_samples_follow_from_the_laws() -> None:
    """By floating-point sums: sign from the lowest bit of each word, size by the inverse of the distribution."""
    words = [int(w) for w in Stream(bytes(range(32))).uint64(12)]
    for law in ("gaussian", "skellam"):
        if law == "gaussian":
            mass = [math.exp(-x * x / 18) for x in range(200)]
        else:  # I_x(9), its series
            mass = [
                sum(4.5 ** (2 * k + x) / math.factorial(k) / math.factorial(k + x) for k in range(60))
                for x in range(60)
            ]
        mass = [mass[0], *(2 * m for m in mass[1:])]
        below = np.cumsum(mass) / sum(mass)
        sizes = [int(np.searchsorted(below, (w >> 1) / 2**63)) for w in words]
        samples = [-size if w & 1 else size for size, w in zip(sizes, words, strict=True)]
        assert samples == _selftest_shares._SAMPLES[law, 9]
