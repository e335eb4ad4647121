"""Threads that hammer one key: tables that no one has built yet, the pool, both ways to encrypt, and arithmetic."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bluetusk.paillier.keys import PrivateKey, PublicKey

THREADS, ROUNDS = 8, 6


def test_one_key_under_many_threads(keypair):
    pub, priv = keypair
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    fresh = PublicKey(pub.n, hs=pub.hs)
    with PrivateKey(p, q, hs=pub.hs) as private:  # neither has a table yet
        start = threading.Barrier(THREADS)

        def hammer(seed):
            rng = np.random.default_rng(seed)
            start.wait()
            wrong = 0
            for _ in range(ROUNDS):
                values, weights = rng.integers(-(2**40), 2**40, 20), rng.integers(-50, 50, (3, 20))
                fresh.precompute(16)
                theirs, owners = fresh.encrypt(values, threads=1), private.public_key.encrypt(values, threads=1)
                mine = private.encrypt(values, threads=1)
                for c in (theirs, owners, mine):
                    wrong += private.decrypt_integers(c, threads=1).tolist() != values.tolist()
                products = private.decrypt_integers(weights @ mine, threads=1)
                wrong += products.tolist() != (weights @ values).tolist()
                total = private.decrypt_integers((mine + owners * 3).sum(), threads=1)
                wrong += int(total) != 4 * int(values.sum())
                wrong += len({bytes(c.to_bytes()) for c in (mine, owners)}) != 2
            return wrong

        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(hammer, range(THREADS))) == [0] * THREADS
