"""TNO's Paillier over gmpy2: r^n, decryption without CRT, one number at a time."""

from __future__ import annotations

import importlib
import warnings

from .base import Numbers


class Library(Numbers):
    package = "tno.mpc.encryption_schemes.paillier"
    note = "textbook r^n, over gmpy2; no CRT"

    def __init__(self, bits, p, q):
        warnings.simplefilter("ignore")  # it warns of every operation on a fresh ciphertext
        tno = importlib.import_module("tno.mpc.encryption_schemes.paillier.paillier")
        if importlib.util.find_spec("gmpy2") is None:
            raise RuntimeError("gmpy2 is missing, which would be no fair comparison")
        n, lam = p * q, (p - 1) * (q - 1)
        self.tno = tno
        secret = tno.PaillierSecretKey(lam, pow(lam, -1, n), n)
        self.scheme = tno.Paillier(tno.PaillierPublicKey(n, n + 1), secret)

    def keygen(self, bits):
        self.tno.Paillier.generate_key_material(bits)

    def encrypt(self, values):
        return [self.scheme.encrypt(v) for v in values.tolist()]

    def decrypt(self, c):
        return [int(self.scheme.decrypt(v)) for v in c]
