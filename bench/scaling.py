"""Cost by array length, key size and threads: where overhead ends, and whether growth is linear.

Each operation is timed on arrays of 1 to a million ciphertexts, as long as a call fits the time and the memory; one and
two threads take turns, and a figure is the best of several calls: processor time for one thread, to which other
processes add little, wall clock for more threads, which needs a quiet machine. Long arrays repeat a few ciphertexts: a
product of any two ciphertexts costs the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _peers import machine
from _peers.rows import show

import bluetusk as bt

FEW = 64  # different ciphertexts
NEAR = 1.15  # overhead has ended where an element costs at most this many times its floor
EPILOG = """examples:
  python bench/scaling.py --quick                             a minute or two
  python bench/scaling.py --plot scaling.png --json scaling.json
  python bench/scaling.py --bits 3072 --only sum encrypt --threads 1 2 4

The table gives microseconds per element. "overhead ends" is the length from which an element costs at most 1.15 times
the least; "last decade" is what ten times the length costs at the end, in tenfolds: 1.00 is linear."""

OPERATIONS: dict[str, tuple[str, float]] = {  # name: what it needs, bytes of memory per byte of ciphertext
    "c + c": ("array", 1.3),
    "sum": ("array", 0.0),
    "to_bytes": ("array", 2.0),
    "from_bytes": ("bytes", 5.0),
    "encrypt": ("numbers", 1.3),
    "decrypt": ("array", 1.0),
}


@dataclass(frozen=True)
class Point:
    """One figure: seconds of a call on `length` elements."""

    operation: str
    bits: int
    threads: int
    length: int
    seconds: float

    @property
    def each_us(self) -> float:
        """Microseconds per element."""
        return 1e6 * self.seconds / self.length


class Key:
    """A key pair and a few ciphertexts under it."""

    def __init__(self, bits: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # 2048 bits: for comparison
            self.pub, self.priv = bt.paillier.generate_keypair(bits)
        self.plan = bt.FixedPoint.integers(limit=2**31)
        self.values = np.random.default_rng(bits).integers(-(2**31), 2**31, size=FEW)
        self.few = self.pub.encrypt(self.values, self.plan)
        assert self.priv.decrypt_integers(self.few.sum()) == self.values.sum()

    def work(self, operation: str, length: int) -> Callable[[], Any]:
        """What is timed; its operands are made here."""
        index = np.arange(length) % FEW
        if operation == "encrypt":
            values = self.values[index]
            return lambda: self.pub.encrypt(values, self.plan)
        c = self.few[index]  # a view: no ciphertext is copied
        if operation == "c + c":
            return lambda: c + c
        if operation == "sum":
            return c.sum
        if operation == "to_bytes":
            return c.to_bytes
        if operation == "decrypt":
            return lambda: self.priv.decrypt_integers(c)
        data = c.to_bytes()
        return lambda: bt.CipherArray.from_bytes(data, self.pub)


def lengths(longest: int, quick: bool) -> Iterator[int]:
    """1, 10, 100 and so on, with the steps 2 and 5 between unless in a hurry."""
    step = 1
    while step <= longest:
        yield from (n for n in ((step,) if quick else (step, 2 * step, 5 * step)) if n <= longest)
        step *= 10


def available_memory() -> float:
    """Bytes that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return 2.0**31


def best(work: Callable[[], Any], threads: list[int], budget: float) -> dict[int, float]:
    """The best call of each number of threads, which take turns for `budget` seconds, at least twice."""
    least = dict.fromkeys(threads, float("inf"))
    start = time.monotonic()
    turns = 0
    while turns < 2 or time.monotonic() - start < budget:
        for n in threads:
            bt.set_num_threads(n)
            clock = time.process_time if n == 1 else time.perf_counter
            began = clock()
            work()
            least[n] = min(least[n], clock() - began)
        turns += 1
    return least


def measure(args: argparse.Namespace, say: Callable[[str], None]) -> Iterator[Point]:
    """All points, operation by operation, until a call would take too long or too much memory."""
    for bits in args.bits:
        key = Key(bits)
        for operation in args.only:
            each = 0.0
            for length in lengths(args.longest, args.quick):
                need = OPERATIONS[operation][1] * length * bits / 4
                if each * length > args.longest_call or need > available_memory() / 3:
                    break
                say(f"{bits} bits, {operation}, {length:,}")
                times = best(key.work(operation, length), args.threads, args.budget)
                each = min(times.values()) / length
                yield from (Point(operation, bits, n, length, seconds) for n, seconds in times.items())


def floor(points: list[Point]) -> tuple[float, int, float | None]:
    """Return the least cost of an element in us, the length where it is nearly reached, and the growth at the end."""
    least = min(point.each_us for point in points)
    ends = next(point.length for point in points if point.each_us <= NEAR * least)
    last = points[-1]
    before = [point for point in points if 10 * point.length == last.length]
    return least, ends, last.seconds / before[0].seconds / 10 if before else None


def series(points: list[Point]) -> dict[tuple[str, int, int], list[Point]]:
    """The points of each operation, key size and number of threads, by length."""
    out: dict[tuple[str, int, int], list[Point]] = {}
    for point in points:
        out.setdefault((point.operation, point.bits, point.threads), []).append(point)
    return out


def table(points: list[Point]) -> str:
    """One line per operation, key size and number of threads."""
    tens = [n for n in (10**k for k in range(7)) if any(point.length == n for point in points)]
    head = ["operation", "key", "threads", *(f"{n:,}" for n in tens), "least", "overhead ends", "last decade"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (operation, bits, threads), those in series(points).items():
        by_length = {point.length: show(point.each_us) for point in those}
        least, ends, growth = floor(those)
        cells = [operation, str(bits), str(threads), *(by_length.get(n, "") for n in tens), show(least), f"{ends:,}"]
        lines.append("| " + " | ".join([*cells, f"{growth:.2f}" if growth else ""]) + " |")
    return "\n".join(lines)


def draw(points: list[Point], about: dict[str, Any], path: str) -> None:
    """One panel per operation: microseconds per element against length, both logarithmic; flat is linear."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(point.operation for point in points))
    sizes = sorted({point.bits for point in points})
    most = sorted({point.threads for point in points})
    colours = dict(zip(sizes, ("#1f5fa8", "#c77c11", "#5b8c3a"), strict=False))
    styles = dict(zip(most, ("-", "--", ":", "-."), strict=False))
    rows = -(-len(names) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(15, 3.9 * rows + 0.6), squeeze=False, layout="constrained")
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        for (operation, bits, threads), those in series(points).items():
            if operation != name:
                continue
            x, y = [point.length for point in those], [point.each_us for point in those]
            label = f"{bits} bits, {threads} thread{'s' if threads > 1 else ''}"
            axis.loglog(x, y, styles[threads], color=colours[bits], marker="o", markersize=3, label=label)
            if threads == most[0]:
                axis.plot(
                    [floor(those)[1]], [y[x.index(floor(those)[1])]], "o", color=colours[bits], markersize=9, mfc="none"
                )
        axis.set_title(name, loc="left", fontsize=11)
        axis.set_xlabel("elements", fontsize=9)
        axis.set_ylabel("us per element", fontsize=9)
        axis.grid(alpha=0.25)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes.flat[0].legend(fontsize=8, frameon=False)
    figure.suptitle(
        "Cost of an element against array length: falling is overhead, flat is linear growth; "
        "a ring marks where overhead ends\n"
        f"{about['cpu']}, {', '.join(about['flags'])}",
        fontsize=12,
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="powers of ten, short calls: a minute or two")
    parser.add_argument("--bits", type=int, nargs="+", choices=(2048, 3072, 4096), default=[2048, 3072, 4096])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="(default: 1 2)")
    parser.add_argument("--only", nargs="+", choices=list(OPERATIONS), default=list(OPERATIONS), metavar="OPERATION")
    parser.add_argument("--longest", type=int, default=10**6, metavar="N", help="array (default: a million)")
    parser.add_argument("--json", metavar="FILE", help="write all points to FILE")
    parser.add_argument("--plot", metavar="FILE", help="draw them to FILE (.png, .svg, .pdf); needs matplotlib")
    args = parser.parse_args(argv)
    if args.longest < 1 or min(args.threads) < 1:
        parser.error("arguments --longest and --threads: give at least 1")
    args.budget, args.longest_call = (0.05, 2.0) if args.quick else (0.5, 10.0)
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    args = parse(argv)
    about = machine.describe()
    shown = sys.stderr.isatty()

    def say(text: str) -> None:
        if shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    points = list(measure(args, say))
    say("")
    print(f"Microseconds per element, best of several calls. {machine.sentence(about)}.\n")
    print(table(points))
    if args.json:
        report = {"machine": about, "load_after": machine.load(), "points": [asdict(point) for point in points]}
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    if args.plot:
        draw(points, about, args.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
