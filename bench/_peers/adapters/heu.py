"""SecretFlow HEU, schema ZPaillier (C++ over OpenSSL). Its OU is another scheme and is not measured."""

from __future__ import annotations

import importlib

import numpy as np

from .base import BINS, Adapter


class Library(Adapter):
    package = "sf-heu"
    same_primes = False
    note = "ZPaillier: DJN, fixed base of 10-bit windows"
    packed_values = 64

    def __init__(self, bits, p, q):
        self.phe = importlib.import_module("heu.phe")
        self.np = importlib.import_module("heu.numpy")
        self.kit = self.np.setup(self.phe.SchemaType.ZPaillier, bits)
        self.enc, self.dec, self.ev = self.kit.encryptor(), self.kit.decryptor(), self.kit.evaluator()
        self.params, self.coder = self.phe.BigintEncoderParams(), self.kit.bigint_encoder()
        self.pairs, self.pair_coder = self.phe.BatchIntegerEncoderParams(1, 32), self.kit.batch_integer_encoder(1, 32)

    def keygen(self, bits):
        self.np.setup(self.phe.SchemaType.ZPaillier, bits)

    def encrypt(self, values):
        return self.enc.encrypt(self.kit.array(values, self.params))

    def decrypt(self, c):
        plain = self.dec.decrypt(c)
        if isinstance(plain, self.phe.Plaintext):
            return [int(str(plain))]
        return [int(v) for v in np.ravel(plain.to_numpy(self.coder))]

    def add(self, a, b):
        return self.ev.add(a, b)

    def total(self, c):
        return self.ev.sum(c)

    def plain(self, numbers):
        return self.kit.array(numbers, self.params)

    def scale(self, c, k):
        return self.ev.mul(c, k)

    def matvec(self, matrix, c):
        return self.ev.matmul(matrix, c)

    def take(self, c, index):
        return c[index]

    def histogram(self, c, codes):
        column = np.ascontiguousarray(codes.astype(np.int8).reshape(-1, 1))
        return self.ev.feature_wise_bucket_sum(c, np.ones((1, len(codes)), np.int8), column, BINS, False)

    def pack(self, values):
        return self.enc.encrypt(self.kit.array(values.reshape(-1, 2), self.pairs))

    def unpack(self, c, n):
        return [int(v) for v in np.ravel(self.dec.decrypt(c).to_numpy(self.pair_coder))][:n]

    def dump(self, c):
        return c.serialize()

    def parse(self, data):
        return self.np.CiphertextArray.load_from(data)

    def public_bytes(self):
        return self.kit.public_key().serialize()

    def load(self, data):
        kit = self.np.setup(self.phe.PublicKey.load_from(data))
        enc = kit.encryptor()
        return lambda values: enc.encrypt(kit.array(values, self.params))
