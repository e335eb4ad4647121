"""What this machine does in a second: the figures of ``bluetusk bench``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .encoding import FixedPoint
from .paillier.cipherarray import CipherArray
from .paillier.keys import generate_keypair

__all__ = ["Figure", "measure"]

_BATCH = 64
_AT_LEAST = 0.6  # seconds for each figure


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
        "ciphertext", "value" or "key".

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
        """How many of them in a second."""
        return 1.0 / self.seconds


def _time(work: Callable[[], object], units: int) -> float:
    """Return seconds per unit: as many calls as fill the time, after one that warms up."""
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
        Fresh keys, fresh obfuscators: nothing that was computed before is counted.

    Examples
    --------
    >>> next(measure(2048)).operation
    'generate a key pair'
    """
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 2048 bits: it was asked for, for its speed
        pub, priv = generate_keypair(key_size, threads=threads)
    yield Figure("generate a key pair", time.perf_counter() - start, "key")
    with priv:
        plan = FixedPoint()
        values = np.linspace(-1.0, 1.0, _BATCH)
        weights = np.arange(1, _BATCH + 1) * (1 << 24)
        many = np.linspace(-1.0, 1.0, _BATCH * plan.slots(key_size))
        c, d = pub.encrypt(values, plan, threads=threads), pub.encrypt(values, plan, threads=threads)
        packed = pub.encrypt(many, plan, packed=True, threads=threads)
        sent = c.to_bytes()

        works: list[tuple[str, Callable[[], object], int, str]] = [
            ("encrypt", lambda: pub.encrypt(values, plan, threads=threads), _BATCH, "ciphertext"),
            ("encrypt, by the key's owner", lambda: priv.encrypt(values, plan, threads=threads), _BATCH, "ciphertext"),
            ("encrypt, packed", lambda: pub.encrypt(many, plan, packed=True, threads=threads), many.size, "value"),
            ("decrypt", lambda: priv.decrypt(c, threads=threads), _BATCH, "ciphertext"),
            ("decrypt, packed", lambda: priv.decrypt(packed, threads=threads), many.size, "value"),
            ("c + c", lambda: c + d, _BATCH, "ciphertext"),
            ("c + c, packed", lambda: packed + packed, many.size, "value"),
            ("c.sum()", lambda: c.sum(), _BATCH, "ciphertext"),
            ("c * k, k of 30 bits", lambda: c * weights, _BATCH, "ciphertext"),
            ("weights @ c", lambda: weights @ c, _BATCH, "ciphertext"),
            ("read and check bytes", lambda: CipherArray.from_bytes(sent, pub), _BATCH, "ciphertext"),
        ]
        for name, work, units, unit in works:
            yield Figure(name, _time(work, units), unit)
