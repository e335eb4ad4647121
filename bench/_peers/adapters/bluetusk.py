"""This package: suite djn, arrays; and gmpy2's batches of powers, which are compared fairly in the same process."""

from __future__ import annotations

import gmpy2
import numpy as np

import bluetusk as bt

from .base import BINS, Adapter

POWER_BITS = 1024  # of the exponents of the batch powers
POWERS = 16  # to a batch


class Library(Adapter):
    package = "bluetusk"
    constant_time = "yes"
    matrix = (128, 1000)
    packed_values = 1000
    note = "DJN; every decryption and the owner's encryption checked for faults"

    def __init__(self, bits, p, q):
        bt.set_num_threads(1)
        self.priv = bt.paillier.PrivateKey(p, q)
        self.pub = self.priv.public_key
        self.plan = bt.FixedPoint.integers(limit=2**32)
        self.slots = bt.FixedPoint.integers(limit=2**24, max_weight=16)
        assert self.slots.slot_bits == 32, self.slots.slot_bits

    def keygen(self, bits):
        bt.paillier.generate_keypair(bits, threads=1)

    def encrypt(self, values):
        return self.pub.encrypt(values, self.plan)

    def encrypt_owner(self, values):
        return self.priv.encrypt(values, self.plan)

    def decrypt(self, c):
        return [int(v) for v in np.ravel(self.priv.decrypt_integers(c))]

    def add(self, a, b):
        return a + b

    def total(self, c):
        return c.sum()

    def scale(self, c, k):
        return c * k

    def matvec(self, matrix, c):
        return matrix @ c

    def take(self, c, index):
        return c[np.asarray(index)].copy()

    def histogram(self, c, codes):
        return c.bincount(codes, BINS)

    def pack(self, values):
        return self.pub.encrypt(values, self.slots, packed=True)

    def dump(self, c):
        return c.to_bytes()

    def parse(self, data):
        return bt.CipherArray.from_bytes(data, self.pub)

    def public_bytes(self):
        pub, priv = bt.paillier.generate_keypair(self.pub.bits)
        priv.close()  # another key than the one in use, whose table equal keys of the process share
        return pub.to_bytes()

    def load(self, data):
        pub = bt.paillier.PublicKey.from_bytes(data)
        return lambda values: pub.encrypt(values, self.plan)

    # ------------------------------------------------------------------------------------- what no peer is asked for

    def precompute(self, n):
        self.pub.precompute(n)

    def table(self):
        """Build a comb table such as a public key has, and use it once."""
        fixed = bt.modexp.FixedBase(self.pub.hs, self.pub.nsquare, self.pub.bits // 2)
        fixed.powmod([1])
        return fixed.table_bytes

    def prove(self):
        return bt.paillier.prove_modulus(self.priv, b"session", b"holder")

    def verify(self, proof):
        bt.paillier.verify_modulus(self.pub, proof, b"session", b"holder")

    def threads(self, n):
        bt.set_num_threads(n)

    def power_inputs(self, bits):
        """Random numbers for batches of powers: bases, one exponent, modulus."""
        rng = np.random.default_rng(bits)

        def draw(size):
            return gmpy2.mpz(int.from_bytes(rng.bytes(size // 8), "little"))

        top = gmpy2.mpz(1) << (bits - 1)
        return [draw(bits) for _ in range(POWERS)], draw(POWER_BITS), draw(bits) | top | 1

    def powers(self, bases, exponent, modulus):
        return bt.modexp.powmod(bases, exponent, modulus, threads=1)

    def gmpy2_powers(self, bases, exponent, modulus):
        return gmpy2.powmod_base_list(bases, exponent, modulus)

    def versions(self):
        info = bt.build_info()
        return {key: str(info[key]) for key in ("gmp", "gmpy2", "numpy", "backend")}
