"""python-paillier over gmpy2: r^n, one number at a time."""

from __future__ import annotations

import importlib
import json

from .base import Numbers


class Library(Numbers):
    package = "phe"
    note = "textbook r^n, over gmpy2"

    def __init__(self, bits, p, q):
        self.phe = importlib.import_module("phe")
        if not self.phe.util.HAVE_GMP:
            raise RuntimeError("phe does not use gmpy2 here, which would be no fair comparison")
        self.pub = self.phe.PaillierPublicKey(p * q)
        self.priv = self.phe.PaillierPrivateKey(self.pub, p, q)

    def keygen(self, bits):
        self.phe.generate_paillier_keypair(n_length=bits)

    def encrypt(self, values):
        return [self.pub.encrypt(v) for v in values.tolist()]

    def decrypt(self, c):
        return [self.priv.decrypt(v) for v in c]

    def dump(self, c):
        return json.dumps([[str(v.ciphertext()), v.exponent] for v in c]).encode()  # as phe's documentation shows

    def parse(self, data):
        return [self.phe.EncryptedNumber(self.pub, int(v), e) for v, e in json.loads(data)]
