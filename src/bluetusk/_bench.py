"""Measures the speed of the usual operations on this machine, for ``bluetusk bench``."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gmpy2
import numpy as np
from numpy.typing import NDArray

from ._parallel import resolve_threads
from .encoding import FixedPoint
from .modexp import powmod
from .paillier.array import CipherArray
from .paillier.keys import PrivateKey, PublicKey, generate_keypair

__all__ = ["Figure", "measure"]

_BATCH = 64
_LONG = 1000  # of operations that cost a product each
_MATRIX = (128, 1000)
_POWERS = 16
_AT_LEAST = 0.4  # seconds for each figure

_Work = tuple[str, Callable[[], object], int, str]  # name, what is timed, how many units it does, the unit


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes
    ----------
    operation : str
        What was measured.
    seconds : float
        For one `unit`.
    unit : str
        "ciphertext", "value", "multiply-add", "power" or "key".

    Examples
    --------
    >>> Figure("encrypt", 0.002, "ciphertext").per_second
    500.0
    """

    operation: str
    seconds: float
    unit: str

    @property
    def per_second(self) -> float:
        """How many units in a second."""
        return 1.0 / self.seconds


def _time(work: Callable[[], object], units: int, *, warm: bool = True) -> float:
    """Return seconds per unit: as many calls as fill the time, after one that warms up."""
    if warm:
        work()
    calls = 0
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < _AT_LEAST or not calls:
        work()
        calls += 1
    return spent / (calls * units)


def measure(key_size: int = 3072, threads: int | None = None) -> Iterator[Figure]:
    """Measure the usual operations, one after the other.

    Parameters
    ----------
    key_size : int, default 3072
        Bits of the Paillier modulus.
    threads : int, optional
        Threads for those operations that take a number of them.

    Yields
    ------
    Figure
        With fresh keys and fresh obfuscators: no figure uses earlier results. Powers have a modulus of the size of
        n^2 and an exponent of 1024 bits.

    Examples
    --------
    >>> next(measure(2048)).operation
    'generate a key pair'
    """
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 2048 bits: requested, for its speed
        pub, priv = generate_keypair(key_size, threads=threads)
        another, its_owner = generate_keypair(key_size, threads=threads)
    yield Figure("generate a key pair", (time.perf_counter() - start) / 2, "key")
    with priv, its_owner:
        for name, work, units, unit in _works(pub, priv, another.to_bytes(), threads):
            # a matrix product takes seconds where the others take milliseconds, so it does not run twice
            yield Figure(name, _time(work, units, warm=unit != "multiply-add"), unit)
    yield from _powers(2 * key_size, threads)


def _works(pub: PublicKey, priv: PrivateKey, another: bytes, threads: int | None) -> list[_Work]:
    """List what is timed under one key; `another` is a public key without a table in this process."""
    plan = FixedPoint()
    values = np.linspace(-1.0, 1.0, _BATCH)
    scalars = _scalars(_BATCH)
    matrix = _scalars(_MATRIX[0] * _MATRIX[1]).reshape(_MATRIX)
    many = np.linspace(-1.0, 1.0, _BATCH * plan.slots(pub.bits))
    codes = np.arange(_LONG) % 16
    c = pub.encrypt(values, plan, threads=threads)
    long = c[np.arange(_LONG) % _BATCH]
    packed = pub.encrypt(many, plan, packed=True, threads=threads)
    fresh = c.to_bytes()

    def load() -> CipherArray:
        return PublicKey.from_bytes(another).encrypt(values[:16], plan, threads=threads)

    works: list[_Work] = [
        ("encrypt", lambda: pub.encrypt(values, plan, threads=threads), _BATCH, "ciphertext"),
        ("encrypt, by the key's owner", lambda: priv.encrypt(values, plan, threads=threads), _BATCH, "ciphertext"),
        ("encrypt, packed", lambda: pub.encrypt(many, plan, packed=True, threads=threads), many.size, "value"),
        ("decrypt", lambda: priv.decrypt(c, threads=threads), _BATCH, "ciphertext"),
        ("decrypt, packed", lambda: priv.decrypt(packed, threads=threads), many.size, "value"),
        ("c + c", lambda: long + long, _LONG, "ciphertext"),
        ("c.sum()", lambda: long.sum(threads=threads), _LONG, "ciphertext"),
        ("c.bincount(codes, 16)", lambda: long.bincount(codes, 16, threads=threads), _LONG, "ciphertext"),
        ("c * k, signed 40-bit", lambda: c * scalars, _BATCH, "ciphertext"),
        (
            f"{_MATRIX[0]} x {_MATRIX[1]} matrix @ c, 40-bit",
            lambda: matrix @ c[np.arange(_MATRIX[1]) % _BATCH],
            matrix.size,
            "multiply-add",
        ),
        ("load a key, encrypt 16 values", load, 1, "key"),
        ("c.to_bytes(), fresh", c.to_bytes, _BATCH, "ciphertext"),
        ("read and check bytes", lambda: CipherArray.from_bytes(fresh, pub), _BATCH, "ciphertext"),
    ]
    if resolve_threads(threads) > 1:
        works += [
            ("encrypt, one thread", lambda: pub.encrypt(values, plan, threads=1), _BATCH, "ciphertext"),
            ("decrypt, one thread", lambda: priv.decrypt(c, threads=1), _BATCH, "ciphertext"),
        ]
    return works


def _scalars(n: int) -> NDArray[np.int64]:
    """Draw n numbers from -2^40 to 2^40 - 1."""
    return np.frombuffer(os.urandom(8 * n), dtype=np.int64) >> 23


def _powers(bits: int, threads: int | None) -> Iterator[Figure]:
    """Batches of powers, and the same by gmpy2 on one thread."""
    bases = [gmpy2.mpz(int.from_bytes(os.urandom(bits // 8), "little")) for _ in range(_POWERS + 1)]
    modulus = bases.pop() | (gmpy2.mpz(1) << (bits - 1)) | 1
    exponent = gmpy2.mpz(int.from_bytes(os.urandom(128), "little"))

    spent = _time(lambda: powmod(bases, exponent, modulus, threads=threads), len(bases))
    yield Figure(f"powers modulo {bits} bits", spent, "power")
    spent = _time(lambda: gmpy2.powmod_base_list(bases, exponent, modulus), len(bases))
    yield Figure("the same by gmpy2, one thread", spent, "power")
