"""Intel's IPCL through ipcl-python: made for AVX-512 IFMA, where eight powers are computed at once."""

from __future__ import annotations

import importlib
import pickle

from .base import Adapter


class Library(Adapter):
    package = "ipcl-python"
    constant_time = "not said"
    packs = False
    packed_values = 16
    note = "DJN; fast only with AVX-512 IFMA; keys up to 2048 bits"

    def __init__(self, bits, p, q):
        if bits > 2048:
            raise RuntimeError("ipcl-python documents keys of up to 2048 bits")
        self.lib = importlib.import_module("ipcl_python")
        self.bindings = importlib.import_module("ipcl_python.bindings.ipcl_bindings")
        self.pub = self.lib.PaillierPublicKey(p * q, bits, True)
        self.priv = self.lib.PaillierPrivateKey(self.pub, p, q)

    def keygen(self, bits):
        self.lib.PaillierKeypair.generate_keypair(bits, True)

    def encrypt(self, values):
        return self.pub.encrypt(values.tolist())

    def decrypt(self, c):
        if isinstance(c, list):  # the rows of a matrix product
            return [v for one in c for v in self.decrypt(one)]
        got = self.priv.decrypt(c)
        return got if isinstance(got, list) else [got]

    def add(self, a, b):
        return a + b

    def total(self, c):
        return c.sum()

    def plain(self, numbers):
        return numbers.tolist()

    def scale(self, c, k):
        return c * k

    def matvec(self, matrix, c):
        return [c.dot(row) for row in matrix]

    def take(self, c, index):
        texts, exponents = c.ciphertextBN(), c.exponent()
        picked = self.bindings.ipclCipherText(self.pub.pubkey, [texts[i] for i in index])
        return self.lib.PaillierEncryptedNumber(self.pub, picked, [exponents[i] for i in index], len(index))

    def dump(self, c):
        return pickle.dumps(c)

    def parse(self, data):
        return pickle.loads(data)
