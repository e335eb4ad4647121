"""Both methods for a plain matrix times an encrypted vector, beside the cost model's estimates.

    python bench/matvec.py [--bits 2048] [--seconds 1.0]

For each shape: microseconds of processor time per multiply-add (the best of several runs, one thread) with tables of
powers that all rows share (csrc/bt_straus.h) and with buckets for each row (csrc/bt_multiexp.c); the numbers of
products that the model of `bluetusk.paillier._words` expects; the method that it chooses. A choice that costs over 10 %
more than the other method is marked. Every result is decrypted and compared with Python's integers first.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

import bluetusk as bt
from bluetusk.paillier import _words
from bluetusk.paillier.primes import generate_primes

SHAPES = [(1, 16), (1, 1000), (1, 4000), (2, 1000), (4, 100), (4, 1000), (8, 250), (16, 128), (64, 16), (128, 1000)]
SHAPES += [(1000, 4), (1000, 16), (1000, 64)]
WIDTHS = [1, 16, 40, 64]


def best(work: Any, seconds: float) -> float:
    """Return the least processor seconds of one call."""
    least, start = math.inf, time.perf_counter()
    while least == math.inf or time.perf_counter() - start < seconds:
        begin = time.process_time()
        work()
        least = min(least, time.process_time() - begin)
    return least


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bits", type=int, default=2048, help="size of n (default 2048)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time per shape and way (default 1)")
    args = parser.parse_args()
    bt.set_num_threads(1)
    priv = bt.paillier.PrivateKey(*(int(prime) for prime in generate_primes(args.bits // 2)))
    rng = np.random.default_rng(1)
    values = rng.integers(-1000, 1000, size=max(m for _, m in SHAPES))
    c = priv.encrypt(values, bt.FixedPoint.integers(limit=1000))
    model = _words._straus.cost
    wrong = 0
    print(f"{args.bits}-bit key, backend {bt.build_info()['backend']}, us per multiply-add (products by the model)\n")
    print("| rows x columns | bits | shared tables | buckets | chosen |\n|---|---|---|---|---|")
    for bits in WIDTHS:
        for rows, m in SHAPES:
            matrix = rng.integers(-(2**bits) + 1, 2**bits, size=(rows, m)) if bits < 63 else None
            if matrix is None:
                matrix = rng.integers(-(2**63), 2**63 - 1, size=(rows, m))
            vector = c[:m].copy()
            expected = matrix.astype(object) @ values[:m].astype(object)
            figures = {}
            for way, cost in (("shared tables", 0.0), ("buckets", math.inf)):
                _words._straus.cost = lambda *_, cost=cost: cost
                if list(priv.decrypt_integers(matrix @ vector)) != list(expected):
                    raise SystemExit(f"{way}: wrong results for {rows} x {m}, {bits} bits")
                figures[way] = (
                    best(lambda matrix=matrix, vector=vector: matrix @ vector, args.seconds) / (rows * m) * 1e6
                )
            _words._straus.cost = model
            mont = c._mont
            expect = {
                "shared tables": model(mont, rows, m, bits) / (rows * m),
                "buckets": _words._sides_cost(mont, rows, m, bits) / (rows * m),
            }
            taken = min(expect, key=expect.__getitem__)
            late = figures[taken] > 1.1 * min(figures.values())
            wrong += late
            cells = [f"{figures[way]:.2f} ({expect[way]:.1f})" for way in figures]
            print(f"| {rows} x {m} | {bits} | {cells[0]} | {cells[1]} | {taken}{' (!)' if late else ''} |", flush=True)
    print(f"\n{wrong} of {len(WIDTHS) * len(SHAPES)} choices cost more than 10 %")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
