"""fate_utils, the Rust core of FATE 2.x: r^n over GMP, vectors of fixed-point numbers."""

from __future__ import annotations

import importlib
import pickle

import numpy as np

from .base import BINS, Adapter

OFFSET = 2**24  # its packing takes no negative numbers


class Library(Adapter):
    package = "fate-utils"
    same_primes = False
    wraps = 64
    note = "r^n, Rust over GMP; its packing is for floats"

    def __init__(self, bits, p, q):
        self.lib = importlib.import_module("fate_utils.paillier")
        self.bits = bits
        self.priv, self.pub, self.coder = self.lib.keygen(bits)
        self.slots = (bits - 2) // 32
        self.packed_values = 2 * self.slots

    def keygen(self, bits):
        self.lib.keygen(bits)

    # an array is the vector and its length, which the vector does not tell

    def encrypt(self, values):
        return self.pub.encrypt_encoded(self.coder.encode_i64_vec(values), True), len(values)

    def decrypt(self, c):
        return [int(v) for v in self.coder.decode_i64_vec(self.priv.decrypt_to_encoded(c[0]))]

    def add(self, a, b):
        return a[0].add(self.pub, b[0]), a[1]

    def total(self, c):
        return c[0].intervals_sum_with_step(self.pub, [(0, c[1])], 1), 1

    def plain(self, numbers):
        return self.coder.encode_i64_vec(np.ascontiguousarray(numbers).reshape(-1)), list(numbers.shape)

    def scale(self, c, k):
        return c[0].mul(self.pub, k[0]), c[1]

    def matvec(self, matrix, c):
        plain, (rows, columns) = matrix
        return c[0].rmatmul(self.pub, plain, [columns, 1], [rows, columns]), rows

    def take(self, c, index):
        return c[0].slice_indexes(index), len(index)

    def histogram(self, c, codes):
        bins = self.lib.CiphertextVector.zeros(BINS)
        bins.iupdate(c[0], codes.reshape(-1, 1).tolist(), 1, self.pub)
        return bins, BINS

    def pack(self, values):
        packed = self.coder.pack_floats((values + OFFSET).astype(np.float64), 32, self.slots, 0)
        return self.pub.encrypt_encoded(packed, True), -(-len(values) // self.slots)

    def unpack(self, c, n):
        packed = self.priv.decrypt_to_encoded(c[0])
        return [int(v) - OFFSET for v in self.coder.unpack_floats(packed, 32, self.slots, 0, n)]

    def dump(self, c):
        return pickle.dumps(c[0])

    def parse(self, data):
        return pickle.loads(data), None
