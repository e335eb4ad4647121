"""rust-paillier, the Rust core of FATE 1.x: r^n over GMP, arrays."""

from __future__ import annotations

import importlib
import pickle

import numpy as np

from .base import Adapter


class Library(Adapter):
    package = "rust-paillier"
    same_primes = False
    vector = 128  # it has no way to repeat elements
    wraps = 64
    packs = False
    packed_values = 2
    note = "r^n, Rust over GMP"

    def __init__(self, bits, p, q):
        self.lib = importlib.import_module("rust_paillier")
        self.pub, self.priv = self.lib.keygen(bits)

    def keygen(self, bits):
        self.lib.keygen(bits)

    def encrypt(self, values):
        return self.pub.encrypt_i64(values.reshape(-1, 1))

    def decrypt(self, c):
        return [int(v) for v in np.ravel(self.priv.decrypt_i64(c))]

    def add(self, a, b):
        return a.add_cipherblock(b)

    def total(self, c):
        return c.sum()

    def plain(self, numbers):
        return np.ascontiguousarray(numbers if numbers.ndim == 2 else numbers.reshape(-1, 1))

    def scale(self, c, k):
        return c.mul_plaintext_i64(k)

    def matvec(self, matrix, c):
        return c.rmatmul_plaintext_ix2_i64(matrix)

    take = None

    def dump(self, c):
        return pickle.dumps(c)

    def parse(self, data):
        return pickle.loads(data)
