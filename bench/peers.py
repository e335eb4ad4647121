"""Bluetusk beside its peers: the same keys, the same numbers, one run, one thread.

    python bench/peers.py [--bits 2048] [--seconds 3] [--json FILE] [--peer phe ...] [--only encrypt ...]

Every peer does every operation on the same numbers; each result is decrypted by the peer's own means and compared with
Python's integers before anything is timed. Timing is interleaved: in each round every peer gets one short window per
operation, in an order that rotates, so that a noisy minute hits all of them. The table gives the median of the windows
and the best one, per element; a ratio compares medians with medians and bests with bests.

A peer is a subclass of :class:`Peer`: a few methods on lists of integers. Peers that are not installed are left out and
named.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np

SCALAR_BITS = 40
ROWS, COLUMNS = 16, 128  # the matrix of the matvec row
SUM_LENGTH = 1000
WINDOW = 0.02  # seconds


class Peer(ABC):
    """One library. Ciphertexts are whatever the library likes; plain numbers are Python ints or int64 arrays."""

    name: ClassVar[str]
    package: ClassVar[str]  # as pip calls it
    only: ClassVar[frozenset[str] | None] = None  # the operations to time; None: all
    batch: ClassVar[int] = 1  # the least array that is ordinary use; a library of single numbers has none

    @classmethod
    def version(cls) -> str | None:
        """The installed version, or None."""
        try:
            return version(cls.package)
        except PackageNotFoundError:
            return None

    @abstractmethod
    def __init__(self, p: int, q: int) -> None:
        """Take the primes, so that all peers compute under one modulus."""

    @abstractmethod
    def keygen(self, bits: int) -> None:
        """Make a key pair and forget it."""

    @abstractmethod
    def encrypt(self, values: np.ndarray) -> Any:
        """Encrypt int64 values, freshly."""

    @abstractmethod
    def decrypt(self, c: Any) -> list[int]:
        """Decrypt an array or a single sum."""

    @abstractmethod
    def add(self, a: Any, b: Any) -> Any:
        """Add element by element."""

    @abstractmethod
    def total(self, c: Any) -> Any:
        """Add up all elements."""

    @abstractmethod
    def scale(self, c: Any, k: np.ndarray) -> Any:
        """Multiply element by element with plain numbers."""

    @abstractmethod
    def matvec(self, matrix: np.ndarray, c: Any) -> Any:
        """Multiply a plain matrix with an encrypted vector."""

    @abstractmethod
    def dump(self, c: Any) -> bytes:
        """Serialise as the library does, ready to leave."""


class Bluetusk(Peer):
    """This package: suite djn, arrays."""

    name, package, batch = "Bluetusk", "bluetusk", 64

    @classmethod
    def version(cls) -> str | None:
        import bluetusk

        return bluetusk.__version__  # also from a source tree that is not installed

    def __init__(self, p: int, q: int) -> None:
        import bluetusk as bt

        self.bt = bt
        bt.set_num_threads(1)
        self.priv = bt.paillier.PrivateKey(p, q)
        self.pub = self.priv.public_key
        self.plan = bt.FixedPoint.integers(limit=2**32)

    def keygen(self, bits: int) -> None:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 2048 bits warn; here they are the comparison's common ground
            self.bt.paillier.generate_keypair(bits, threads=1)

    def encrypt(self, values: np.ndarray) -> Any:
        return self.pub.encrypt(values, self.plan)

    def decrypt(self, c: Any) -> list[int]:
        return [int(v) for v in np.ravel(self.priv.decrypt_integers(c))]

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def total(self, c: Any) -> Any:
        return c.sum()

    def scale(self, c: Any, k: np.ndarray) -> Any:
        return c * k

    def matvec(self, matrix: np.ndarray, c: Any) -> Any:
        return matrix @ c

    def dump(self, c: Any) -> bytes:
        return c.to_bytes()


class BluetuskOwner(Bluetusk):
    """The key owner's own encryption (CRT, checked); the other operations are the same."""

    name, only = "Bluetusk, key owner", frozenset({"encrypt"})

    def encrypt(self, values: np.ndarray) -> Any:
        return self.priv.encrypt(values, self.plan)


class Phe(Peer):
    """python-paillier over gmpy2: r^n, one number at a time."""

    name, package = "phe", "phe"

    def __init__(self, p: int, q: int) -> None:
        phe = importlib.import_module("phe")
        self.phe = phe
        self.pub = phe.PaillierPublicKey(p * q)
        self.priv = phe.PaillierPrivateKey(self.pub, p, q)

    def keygen(self, bits: int) -> None:
        self.phe.generate_paillier_keypair(n_length=bits)

    def encrypt(self, values: np.ndarray) -> Any:
        return [self.pub.encrypt(v) for v in values.tolist()]

    def decrypt(self, c: Any) -> list[int]:
        return [self.priv.decrypt(v) for v in (c if isinstance(c, list) else [c])]

    def add(self, a: Any, b: Any) -> Any:
        return [x + y for x, y in zip(a, b, strict=True)]

    def total(self, c: Any) -> Any:
        result = c[0]
        for v in c[1:]:
            result = result + v
        return result

    def scale(self, c: Any, k: np.ndarray) -> Any:
        return [x * y for x, y in zip(c, k.tolist(), strict=True)]

    def matvec(self, matrix: np.ndarray, c: Any) -> Any:
        return [self.total(self.scale(c, row)) for row in matrix]

    def dump(self, c: Any) -> bytes:
        return json.dumps([[str(v.ciphertext()), v.exponent] for v in c]).encode()  # as phe's documentation shows


PEERS: list[type[Peer]] = [Bluetusk, BluetuskOwner, Phe]


class Operation:
    """What is timed: `run(peer, state, n)` does n units; `state` is made and checked before."""

    def __init__(
        self,
        name: str,
        unit: str,
        run: Callable[[Peer, Any, int], Any],
        *,
        batches: tuple[int, ...],
        target: float | None = None,
        work: int = 1,
    ) -> None:
        self.name, self.unit, self.run, self.target = name, unit, run, target
        self.batches = batches  # sizes to try; the first that fills a window is used
        self.work = work  # units per element of the batch


class State:
    """One peer's ciphertexts, checked."""

    def __init__(self, peer: Peer) -> None:
        rng = np.random.default_rng(20251)
        limit = 2**31
        self.values = rng.integers(-limit, limit, size=SUM_LENGTH)
        self.small = self.values[:COLUMNS]
        self.scalars = rng.integers(-(2**SCALAR_BITS), 2**SCALAR_BITS, size=COLUMNS)
        self.matrix = rng.integers(-(2**SCALAR_BITS), 2**SCALAR_BITS, size=(ROWS, COLUMNS))
        few = peer.encrypt(self.small)
        expect(peer, "encrypt, decrypt", peer.decrypt(few), self.small.tolist())
        self.few = few
        self.other = peer.encrypt(self.small[::-1].copy())
        expect(peer, "add", peer.decrypt(peer.add(few, self.other)), (self.small + self.small[::-1]).tolist())
        products = [int(v) * int(k) for v, k in zip(self.small, self.scalars, strict=True)]
        expect(peer, "scale", peer.decrypt(peer.scale(few, self.scalars)), products)
        rows = [sum(int(m) * int(v) for m, v in zip(row, self.small, strict=True)) for row in self.matrix]
        expect(peer, "matvec", peer.decrypt(peer.matvec(self.matrix, few)), rows)
        # sums of many: the ciphertexts need not be fresh to cost what they cost, so a few are encrypted and added up
        self.many = self._stretch(peer)
        expect(peer, "sum", peer.decrypt(peer.total(self.many)), [int(self.stretched.sum())])

    def _stretch(self, peer: Peer) -> Any:
        index = np.arange(SUM_LENGTH) % COLUMNS
        self.stretched = self.small[index]
        return [self.few[i] for i in index] if isinstance(self.few, list) else self.few[index].copy()


def expect(peer: Peer, what: str, got: list[int], want: list[int]) -> None:
    """A wrong peer is not timed."""
    if list(got) != list(want):
        raise SystemExit(f"{peer.name}: {what} gives wrong results; nothing was timed")


def operations(bits: int) -> list[Operation]:
    """The rows of the table; `target` is the least ratio against phe that we hold ourselves to at 2048 bits."""
    few = (1, 2, 4, 8, 16, 32, 64, COLUMNS)
    many = (10, 100, SUM_LENGTH)
    return [
        Operation("encrypt", "value", lambda p, s, n: p.encrypt(s.values[:n]), batches=few, target=8.0),
        Operation("decrypt", "value", lambda p, s, n: p.decrypt(s.few[:n]), batches=few, target=0.6),
        Operation("c + c", "value", lambda p, s, n: p.add(s.many[:n], s.many[:n]), batches=many, target=1.8),
        Operation("sum", "value", lambda p, s, n: p.total(s.many[:n]), batches=many, target=2.0),
        Operation(
            f"c * signed {SCALAR_BITS}-bit", "value", lambda p, s, n: p.scale(s.few[:n], s.scalars[:n]), batches=few
        ),
        Operation(
            f"{ROWS} x {COLUMNS} matrix @ c",
            "multiply-add",
            lambda p, s, n: p.matvec(s.matrix[:n], s.few),
            batches=(1, 2, 4, 8, ROWS),
            work=COLUMNS,
        ),
        Operation("serialise", "value", lambda p, s, n: p.dump(s.few[:n]), batches=few),
        Operation("key generation", "key", lambda p, s, n: p.keygen(bits), batches=(1,)),
    ]


def window(op: Operation, peer: Peer, state: State, n: int) -> float:
    """Seconds per unit of one call."""
    start = time.perf_counter()
    op.run(peer, state, n)
    return (time.perf_counter() - start) / (n * op.work)


def calibrate(op: Operation, peer: Peer, state: State, limit: float) -> int:
    """The least batch that fills a window, or the largest there is; running them is the warm-up (tables, caches)."""
    for n in [size for size in op.batches if size >= min(peer.batch, op.batches[-1])]:
        if window(op, peer, state, n) * n * op.work > limit:
            break
    return n


def measure(peers: list[Peer], states: dict[str, State], ops: list[Operation], seconds: float) -> list[dict[str, Any]]:
    """Interleaved windows: about `seconds` per operation and peer."""
    rows = []
    for op in ops:
        those = [peer for peer in peers if peer.only is None or op.name in peer.only]
        sizes = {peer.name: calibrate(op, peer, states[peer.name], WINDOW) for peer in those}
        times: dict[str, list[float]] = {peer.name: [] for peer in those}
        spent = dict.fromkeys(times, 0.0)
        turn = 0
        while min(spent.values()) < seconds or min(len(t) for t in times.values()) < 5:
            for offset in range(len(those)):
                peer = those[(turn + offset) % len(those)]
                n = sizes[peer.name]
                per_unit = window(op, peer, states[peer.name], n)
                times[peer.name].append(per_unit)
                spent[peer.name] += per_unit * n * op.work
            turn += 1
        rows.append(
            {
                "operation": op.name,
                "unit": op.unit,
                "target": op.target,
                "peers": {
                    name: {
                        "median_us": statistics.median(values) * 1e6,
                        "best_us": min(values) * 1e6,
                        "windows": len(values),
                        "batch": sizes[name],
                    }
                    for name, values in times.items()
                },
            }
        )
    return rows


def show(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(rows: list[dict[str, Any]], names: list[str], base: str, ours: str) -> str:
    """The table: median (best) per unit in microseconds, and how many times faster than `base` we are."""
    head = ["operation", "per", *names, f"{ours} against {base}", "target"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["operation"], row["unit"]]
        for name in names:
            figures = row["peers"].get(name)
            cells.append(f"{show(figures['median_us'])} ({show(figures['best_us'])})" if figures else "")
        ratios = [row["peers"][base][k] / row["peers"][ours][k] for k in ("median_us", "best_us")]
        row["ratio_median"], row["ratio_best"] = ratios
        cells += [f"{ratios[0]:.2f}x ({ratios[1]:.2f}x)", f">= {row['target']}x" if row["target"] else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bits", type=int, default=2048, help="size of n (default 2048)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time per operation and peer (default 3)")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--peer", nargs="+", metavar="NAME", help="only these beside Bluetusk")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only operations that contain one of these words")
    args = parser.parse_args(argv)

    from bluetusk.paillier.primes import generate_primes

    p, q = (int(prime) for prime in generate_primes(args.bits // 2))
    chosen = [
        cls for cls in PEERS if cls.version() and (not args.peer or issubclass(cls, Bluetusk) or cls.name in args.peer)
    ]
    absent = sorted({cls.package for cls in PEERS if not cls.version()})
    peers = [cls(p, q) for cls in chosen]
    states = {peer.name: State(peer) for peer in peers}
    ops = [op for op in operations(args.bits) if not args.only or any(word in op.name for word in args.only)]
    rows = measure(peers, states, ops, args.seconds)
    names = [peer.name for peer in peers]
    base = next((peer.name for peer in peers if not isinstance(peer, Bluetusk)), names[0])
    versions = {cls.package: str(cls.version()) for cls in chosen} | {"gmpy2": version("gmpy2")}
    print(f"{args.bits}-bit key, one thread, microseconds per unit: median (best)\n")
    print(markdown(rows, names, base, names[0]))
    sizes = {peer.name: len(peer.dump(states[peer.name].few)) / COLUMNS for peer in peers}
    print("\nbytes per ciphertext: " + ", ".join(f"{name} {size:.0f}" for name, size in sizes.items()))
    print("versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()))
    if absent:
        print("not installed, left out: " + ", ".join(absent))
    if args.json:
        report = {"bits": args.bits, "machine": platform.processor() or platform.machine(), "versions": versions}
        report |= {"python": platform.python_version(), "bytes_per_ciphertext": sizes, "rows": rows, "absent": absent}
        with open(args.json, "w") as file:
            json.dump(report, file, indent=1)
    missed = [row["operation"] for row in rows if row["target"] and row["ratio_median"] < row["target"]]
    if missed and args.bits == 2048 and base == "phe":
        print("below target: " + ", ".join(missed))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
