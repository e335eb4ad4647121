"""The interface between worker and library. Runs on CPython 3.8."""

from __future__ import annotations

import numpy as np

SCALAR_BITS = 40
BINS = 16


class Adapter:
    """One library under one key.

    `encrypt` takes a vector of int64 and returns whatever the library calls an array of ciphertexts; everything else
    takes such things. A row is measured if the method of its name is there, so what a library cannot do is left out.
    """

    package = ""  # as pip calls it
    constant_time = "no"
    same_primes = True  # whether the key is made of the primes that every library gets
    vector = 1000  # length of the vectors of the cheap rows
    matrix = (2, 50)  # of the matvec row: rows and columns; the cost is per multiply-add
    wraps = 0  # bits of the integers that decryption returns, if it does not return all of them
    packs = True  # whether `pack` puts more than one value into a ciphertext
    packed_values = 100  # length of the vector of the packed row
    note = ""

    def __init__(self, bits: int, p: int, q: int) -> None:
        raise NotImplementedError

    def keygen(self, bits: int) -> None:
        """Make a key pair and forget it."""
        raise NotImplementedError

    def encrypt(self, values: np.ndarray):
        """Encrypt int64 values, freshly."""
        raise NotImplementedError

    def decrypt(self, c) -> list:
        """Decrypt to a list of ints; also what `total` returns."""
        raise NotImplementedError

    def add(self, a, b):
        """Add element by element."""
        raise NotImplementedError

    def total(self, c):
        """Add up all elements."""
        raise NotImplementedError

    def scale(self, c, k):
        """Multiply element by element with `plain` numbers."""
        raise NotImplementedError

    def matvec(self, matrix, c):
        """Multiply a `plain` matrix with an encrypted vector."""
        raise NotImplementedError

    def take(self, c, index: list):
        """Pick elements, repeats allowed: how long vectors are made of few encryptions."""
        raise NotImplementedError

    # What a library may do beyond that, each a row: histogram(c, codes), pack(values) and unpack(c, n), dump(c) and
    # parse(data), public_bytes() and load(data), which returns an encrypting function, plain(numbers).

    def plain(self, numbers: np.ndarray):
        """Plain numbers as the library wants them for `scale` and `matvec`: not part of what is timed."""
        return numbers

    def pack(self, values: np.ndarray):
        """Encrypt a gradient with as many 32-bit slots to a ciphertext as the library manages: here, one."""
        return self.encrypt(values)

    def unpack(self, c, n: int) -> list:
        """Decrypt what `pack` returned."""
        return self.decrypt(c)[:n]


class Numbers(Adapter):
    """A library of single ciphertexts: arrays are lists. It brings `encrypt` and `decrypt`."""

    packs = False
    packed_values = 2

    def take(self, c, index: list):
        return [c[i] for i in index]

    def add(self, a, b):
        return [a[i] + b[i] for i in range(len(a))]

    def total(self, c):
        result = c[0]
        for v in c[1:]:
            result = result + v
        return [result]

    def plain(self, numbers: np.ndarray):
        return numbers.tolist()

    def scale(self, c, k):
        return [c[i] * k[i] for i in range(len(c))]

    def matvec(self, matrix, c):
        return [self.total(self.scale(c, row))[0] for row in matrix]
