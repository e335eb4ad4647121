"""pypaillier (Rust over GMP): DJN with masked table reads; lists of bytes."""

from __future__ import annotations

import importlib

import numpy as np

from .base import BINS, Adapter


class Library(Adapter):
    package = "pypaillier"
    constant_time = "yes"
    same_primes = False
    packs = False
    packed_values = 16
    note = "DJN; safe primes; scalars by multiply_integers_public"

    def __init__(self, bits, p, q):
        self.lib = importlib.import_module("paillier")
        self.pub, self.priv = self.lib.generate_keypair(bits)

    def keygen(self, bits):
        self.lib.generate_keypair(bits)

    def encrypt(self, values):
        return self.lib.encrypt_integers(self.pub, values.tolist())

    def decrypt(self, c):
        return [int(v) for v in self.lib.decrypt_many(self.priv, c)]

    def add(self, a, b):
        return [self.lib.add_many(self.pub, [a[i], b[i]]) for i in range(len(a))]

    def total(self, c):
        return [self.lib.add_many(self.pub, c)]

    def plain(self, numbers):
        return numbers.tolist()

    def scale(self, c, k):
        return self.lib.multiply_integers_public(self.pub, c, k)

    def take(self, c, index):
        return [c[i] for i in index]

    def histogram(self, c, codes):
        return self.lib.add_blocks(self.pub, c, [np.flatnonzero(codes == b).tolist() for b in range(BINS)])

    matvec = None  # it has no matrix product, and no sum of products

    def public_bytes(self):
        return bytes(self.pub.modulus_bytes())

    def load(self, data):
        pub = self.lib.PublicKey.from_n(data)
        return lambda values: self.lib.encrypt_integers(pub, values.tolist())
