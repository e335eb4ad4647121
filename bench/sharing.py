"""Secret sharing beside its peers: the same numbers, one run, one thread.

    python bench/sharing.py [--seconds 2] [--json FILE] [--only share ...]

Each peer does the operation on as many numbers as it handles in a short window; its result is checked against Python's
integers before anything is timed. Timing is interleaved: in each round each peer gets one window, in an order that
rotates, so that a noisy minute affects all. The table gives numbers per second of processor time, median (best); a
ratio compares medians with medians and bests with bests.

python-flint multiplies a prepared matrix with prepared vectors, without drawing randomness or converting, which makes
it the harder peer. For mpyc, galois and shamirs the whole operation is timed. Peers that are not installed are left out
and named.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

import bluetusk as bt

THRESHOLD, PARTIES = 7, 10
P61, P31 = 2**61 - 1, 2**31 - 1
SIZES = {"Bluetusk": 100_000, "numpy": 100_000, "python-flint": 20_000, "galois": 20_000, "mpyc": 500, "shamirs": 100}
MATRIX = 512
PACKAGES = {"python-flint": "flint", "mpyc": "mpyc", "galois": "galois", "shamirs": "shamirs", "numpy": "numpy"}

Job = tuple[Callable[[], Any], Callable[[Any], bool]]  # what is timed; whether its result is right


@dataclass
class Operation:
    """One row: per peer a job, how many units of work it does, and what we hold ourselves to."""

    name: str
    unit: str
    target: str
    reached: Callable[[dict[str, float]], bool]  # from units per second by peer
    jobs: dict[str, Job] = field(default_factory=dict)
    work: dict[str, int] = field(default_factory=dict)

    def add(self, peer: str, run: Callable[[], Any], right: Callable[[Any], bool], work: int) -> None:
        self.jobs[peer], self.work[peer] = (run, right), work


def load(peer: str) -> Any:
    """The peer's module, or None if it is not installed."""
    try:
        return importlib.import_module(PACKAGES[peer])
    except ImportError:
        return None


def secrets(n: int, p: int) -> np.ndarray:
    """The same numbers in every run."""
    return np.random.default_rng(5).integers(0, p, n, dtype=np.uint64)


def powers(p: int) -> list[list[int]]:
    return [[pow(i, j, p) for j in range(THRESHOLD)] for i in range(1, PARTIES + 1)]


def weights(p: int) -> list[int]:
    """Lagrange's weights at 0 for parties 1 .. THRESHOLD."""
    out = []
    for i in range(1, THRESHOLD + 1):
        w = 1
        for j in range(1, THRESHOLD + 1):
            if j != i:
                w = w * -j * pow(i - j, -1, p) % p
        out.append(w)
    return out


def opens_to(x: np.ndarray, p: int) -> Callable[[Any], bool]:
    """Whether shares (parties, n) are a sharing of x: by Python's integers, at some positions."""
    lagrange = weights(p)

    def right(shares: Any) -> bool:
        places = range(0, len(x), max(1, len(x) // 50))
        rows = [[int(row[j]) for j in places] for row in list(shares)[:THRESHOLD]]
        got = [sum(w * row[k] for w, row in zip(lagrange, rows, strict=True)) % p for k in range(len(rows[0]))]
        return got == [int(x[j]) for j in places]

    return right


def same(x: np.ndarray) -> Callable[[Any], bool]:
    return lambda got: [int(v) for v in got] == [int(v) for v in x]


def shamir_share(p: int, target: float) -> Operation:
    op = Operation(
        f"Shamir {p.bit_length()}-bit prime, {THRESHOLD}-of-{PARTIES}: share",
        "secret",
        f">= {target:g} M/s",
        lambda rate: rate["Bluetusk"] >= target * 1e6,
    )
    n = SIZES["Bluetusk"]
    x = secrets(n, p)
    mine = x.astype(np.uint32) if p == P31 else x
    op.add("Bluetusk", lambda: bt.sharing.shamir.share(mine, THRESHOLD, PARTIES, p), opens_to(x, p), n)
    if flint := load("python-flint"):
        k = SIZES["python-flint"]
        matrix = flint.nmod_mat(PARTIES, THRESHOLD, [v for row in powers(p) for v in row], p)
        rows = [int(v) for v in x[:k]] + [int(v) for v in secrets(k * (THRESHOLD - 1), p)]
        vectors = flint.nmod_mat(THRESHOLD, k, rows, p)
        table = opens_to(x[:k], p)
        op.add("python-flint", lambda: matrix * vectors, lambda got: table(got.tolist()), k)
    if load("mpyc"):
        from mpyc.finfields import GF
        from mpyc.thresha import random_split

        k = SIZES["mpyc"]
        gf = GF(p)
        elements = [gf(int(v)) for v in x[:k]]
        op.add("mpyc", lambda: random_split(gf, elements, THRESHOLD - 1, PARTIES), opens_to(x[:k], p), k)
    if p == P31 and (galois := load("galois")):
        k = SIZES["galois"]
        gfp = galois.GF(p)
        evaluate, values = gfp(powers(p)), gfp(x[:k].astype(np.int64))

        def by_galois() -> Any:
            coefficients = gfp.Random((THRESHOLD, len(values)))
            coefficients[0] = values
            return evaluate @ coefficients

        op.add("galois", by_galois, opens_to(x[:k], p), k)
    if shamirs := load("shamirs"):
        k = SIZES["shamirs"]
        numbers = [int(v) for v in x[:k]]

        def by_shamirs() -> Any:
            return [shamirs.shares(v, quantity=PARTIES, modulus=p, threshold=THRESHOLD) for v in numbers]

        def right(got: Any) -> bool:
            return all(shamirs.interpolate(one, threshold=THRESHOLD) == v for one, v in zip(got, numbers, strict=True))

        op.add("shamirs", by_shamirs, right, k)
    return op


def shamir_reconstruct(p: int, target: float) -> Operation:
    op = Operation(
        f"Shamir {p.bit_length()}-bit prime: reconstruct from {THRESHOLD}",
        "secret",
        f">= {target:g} M/s",
        lambda rate: rate["Bluetusk"] >= target * 1e6,
    )
    n = SIZES["Bluetusk"]
    x = secrets(n, p)
    shares = bt.sharing.shamir.share(x, THRESHOLD, PARTIES, p)
    ids = list(range(1, THRESHOLD + 1))
    few = shares[:THRESHOLD]
    op.add("Bluetusk", lambda: bt.sharing.shamir.reconstruct(few, ids, THRESHOLD, p), same(x), n)
    if flint := load("python-flint"):
        k = SIZES["python-flint"]
        row, right = flint.nmod_mat(1, THRESHOLD, weights(p), p), same(x[:k])
        vectors = flint.nmod_mat(THRESHOLD, k, [int(v) for part in few for v in part[:k]], p)
        op.add("python-flint", lambda: row * vectors, lambda got: right(got.tolist()[0]), k)
    if load("mpyc"):
        from mpyc.finfields import GF
        from mpyc.thresha import recombine

        k = SIZES["mpyc"]
        gf = GF(p)
        points = [(i + 1, [int(v) for v in part[:k]]) for i, part in enumerate(few)]
        want = same(x[:k])
        op.add("mpyc", lambda: recombine(gf, points), lambda got: want(int(v) % p for v in got), k)  # left unreduced
    return op


def additive_share(target: float) -> Operation:
    op = Operation(
        "additive 2^64, 3 parties: share", "number", f">= {target:g} M/s", lambda rate: rate["Bluetusk"] >= target * 1e6
    )
    n = SIZES["Bluetusk"]
    x = secrets(n, 2**63)
    right = lambda shares: np.array_equal(shares[0] + shares[1] + shares[2], x)  # noqa: E731
    op.add("Bluetusk", lambda: bt.sharing.ring.share(x, 3), right, n)

    def by_numpy() -> Any:  # with the system's generator: NumPy's own is none for secrets
        shares = np.frombuffer(os.urandom(16 * n), np.uint64).reshape(2, n)
        return shares[0], shares[1], x - shares[0] - shares[1]

    op.add("numpy", by_numpy, right, n)
    return op


def matrix_product(ratio: float) -> Operation:
    op = Operation(
        f"matrix product over Z_2^64, {MATRIX}^3",
        "multiply-add",
        f">= {ratio:g}x numpy",
        lambda rate: rate["Bluetusk"] >= ratio * rate["numpy"],
    )
    rng = np.random.default_rng(6)
    a, b = (rng.integers(0, 2**64, (MATRIX, MATRIX), np.uint64) for _ in range(2))
    picks = [(i * 37 % MATRIX, i * 101 % MATRIX) for i in range(20)]

    def right(c: Any) -> bool:
        exact = [sum(int(u) * int(v) for u, v in zip(a[i], b[:, j], strict=True)) % 2**64 for i, j in picks]
        return [int(c[place]) for place in picks] == exact

    op.add("Bluetusk", lambda: bt.sharing.ring.matmul(a, b), right, MATRIX**3)
    op.add("numpy", lambda: a @ b, right, MATRIX**3)
    return op


def key_sharing(limit_ms: float) -> Operation:
    op = Operation(
        "two 32-byte keys, 51-of-100: share",
        "sharing",
        f"<= {limit_ms:g} ms",
        lambda rate: rate["Bluetusk"] >= 1e3 / limit_ms,
    )
    keys = [os.urandom(32), os.urandom(32)]
    ids = list(range(50, 101))
    op.add(
        "Bluetusk",
        lambda: bt.sharing.share_keys(keys, 51, 100),
        lambda got: bt.sharing.reconstruct_keys(got[49:], ids, 51, 32) == keys,
        1,
    )
    if shamirs := load("shamirs"):
        prime = 2**521 - 1  # both keys in one number
        number = int.from_bytes(b"".join(keys), "little")
        op.add(
            "shamirs",
            lambda: shamirs.shares(number, quantity=100, modulus=prime, threshold=51),
            lambda got: shamirs.interpolate(got[49:], threshold=51) == number,
            1,
        )
    return op


def operations() -> list[Operation]:
    return [
        shamir_share(P61, 12),
        shamir_reconstruct(P61, 120),
        shamir_share(P31, 35),
        additive_share(150),
        matrix_product(20),
        key_sharing(0.3),
    ]


def measure(op: Operation, seconds: float) -> dict[str, dict[str, float]]:
    """Units per second: interleaved windows until each peer has had its time, five at least."""
    for peer, (run, right) in op.jobs.items():
        if not right(run()):
            raise SystemExit(f"{peer}: {op.name} gives wrong results; nothing was timed")
    times: dict[str, list[float]] = {peer: [] for peer in op.jobs}
    names, turn = list(op.jobs), 0
    while any(sum(t) < seconds or len(t) < 5 for t in times.values()):
        for offset in range(len(names)):
            peer = names[(turn + offset) % len(names)]
            if (
                sum(times[peer]) >= seconds
                and len(times[peer]) >= 5
                and len(times[peer]) > 3 * min(map(len, times.values()))
            ):
                continue  # the fast ones need not wait for the slowest
            start = time.process_time()
            op.jobs[peer][0]()
            times[peer].append(time.process_time() - start)
        turn += 1
    return {
        peer: {
            "median_per_s": op.work[peer] / statistics.median(t),
            "best_per_s": op.work[peer] / min(t),
            "windows": len(t),
            "batch": op.work[peer],
        }
        for peer, t in times.items()
    }


def show(rate: float) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if rate >= unit:
            return f"{rate / unit:.3g}{name}"
    return f"{rate:.3g}"


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table: units per second, median (best); the ratio is ours to the best peer's."""
    lines = [
        "| operation | per | Bluetusk | peers | ratio to the best | target | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        peers = {name: f for name, f in row["peers"].items() if name != "Bluetusk"}
        ours = row["peers"]["Bluetusk"]
        text = ", ".join(f"{name} {show(f['median_per_s'])} ({show(f['best_per_s'])})" for name, f in peers.items())
        ratio = ""
        if peers:
            by = [ours[k] / max(f[k] for f in peers.values()) for k in ("median_per_s", "best_per_s")]
            row["ratio_median"], row["ratio_best"] = by
            ratio = f"{by[0]:.1f}x ({by[1]:.1f}x)"
        mine = f"{show(ours['median_per_s'])} ({show(ours['best_per_s'])})"
        state = "yes" if row["reached_median"] else "best only" if row["reached_best"] else "no"
        cells = [row["operation"], row["unit"], mine, text, ratio, row["target"], state]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="time per operation and peer (default 2)")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only operations that contain one of these words")
    args = parser.parse_args(argv)
    bt.set_num_threads(1)
    rows = []
    for op in operations():
        if args.only and not any(word in op.name for word in args.only):
            continue
        peers = measure(op, args.seconds)
        reached = {k: op.reached({name: f[k] for name, f in peers.items()}) for k in ("median_per_s", "best_per_s")}
        rows.append(
            {
                "operation": op.name,
                "unit": op.unit,
                "target": op.target,
                "peers": peers,
                "reached_median": reached["median_per_s"],
                "reached_best": reached["best_per_s"],
            }
        )
    print("one thread, units per second of processor time: median (best)\n")
    print(markdown(rows))
    absent = [package for package in PACKAGES if load(package) is None]
    versions = {"bluetusk": bt.__version__} | {name: version(name) for name in PACKAGES if name not in absent}
    print("\nversions: " + ", ".join(f"{name} {number}" for name, number in versions.items()))
    if absent:
        print("not installed, left out: " + ", ".join(absent))
    if args.json:
        report = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
        with open(args.json, "w") as file:
            json.dump(report | {"versions": versions, "absent": absent, "rows": rows}, file, indent=1)
    missed = [row["operation"] for row in rows if not row["reached_best"]]
    if missed:
        print("below target: " + "; ".join(missed))
    return bool(missed)


if __name__ == "__main__":
    raise SystemExit(main())
