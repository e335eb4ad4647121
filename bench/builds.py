"""Compare builds of this package: the cost of another compiler, or of the stable ABI.

Each build is installed in its own environment and runs in one process per backend. In every round each build has one
short window per row, in an order that rotates; processor time is measured. A row is the median over the rounds of each
round's ratio to the first build, so that a slow minute of the machine affects both sides of the ratio.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EPILOG = """examples:
  python bench/builds.py gcc=/tmp/a/bin/python zig=/tmp/b/bin/python
  python bench/builds.py gcc=... zig=... --backend ifma --rounds 60 --limit 1.03   exit status 1 above the limit

A row of few values shows the cost of a call, the others that of the kernels. --limit holds for encrypt, encrypt as the
key's owner, decrypt and the powers."""

JUDGED = ("encrypt", "owner", "decrypt", "power")  # how the names of those rows begin
BACKENDS = {"ifma": "ifma", "fma": "fma", "mpn": "mpn"}


def rows(bits: int) -> dict[str, tuple[Callable[[], object], int]]:
    """What is timed, and how many values one call takes; runs in a worker."""
    import warnings

    import numpy as np

    import bluetusk as bt
    from bluetusk.sharing import ring, shamir

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(5)
    pub, priv = bt.paillier.generate_keypair(bits)
    values = rng.integers(-(2**20), 2**20, 64)
    c = pub.encrypt(values)
    one, other = c[:1], c[1:2]
    data, single = c.to_bytes(), one.to_bytes()
    matrix = rng.integers(-(2**20), 2**20, (8, 64))
    words = rng.integers(0, 2**63, 100_000, dtype=np.uint64)
    square = rng.integers(0, 2**63, (192, 192), dtype=np.uint64)
    secrets = rng.integers(0, 2**60, 20_000)
    reals = rng.uniform(-4, 4, 100_000)
    plan = bt.FixedPoint(clip=4.0)

    def powers(size: int) -> Callable[[], object]:
        modulus = int.from_bytes(rng.bytes(size // 8), "little") | 1 | 1 << (size - 1)
        bases = [int.from_bytes(rng.bytes(size // 8), "little") % modulus for _ in range(16)]
        exponent = int.from_bytes(rng.bytes(32), "little") | 1 << 255
        return lambda: bt.modexp.powmod(bases, exponent, modulus, threads=1)

    shares = bt.sharing.ring.share(square, 2)
    return {
        "encrypt 64": (lambda: pub.encrypt(values, threads=1), 64),
        "owner's encrypt 64": (lambda: priv.encrypt(values, threads=1), 64),
        "decrypt 64": (lambda: priv.decrypt_integers(c), 64),
        "decrypt 1": (lambda: priv.decrypt_integers(one), 1),
        "powers 1024": (powers(1024), 16),
        "powers 2048": (powers(2048), 16),
        "powers 4096": (powers(4096), 16),
        "powers 6144": (powers(6144), 16),
        "matrix product": (lambda: matrix @ c, 512),
        "add 64": (lambda: c + c, 64),
        "add 1": (lambda: one + other, 1),
        "parse 64": (lambda: bt.CipherArray.from_bytes(data, pub), 64),
        "parse 1": (lambda: bt.CipherArray.from_bytes(single, pub), 1),
        "quantise 10^5": (lambda: plan.quantise(reals), 100_000),
        "ring share 10^5": (lambda: ring.share(words, 3), 100_000),
        "ring reconstruct": (lambda: ring.reconstruct(shares), square.size),
        "Shamir 2^61 - 1": (lambda: shamir.share(secrets, 3, 5), 20_000),
        "Shamir 2^31 - 1": (lambda: shamir.share(secrets % 2**31 % (2**31 - 1), 3, 5, prime=2**31 - 1), 20_000),
    }


def work(bits: int) -> None:
    """Take orders, the name of a row and seconds, and answer with seconds of processor time per value."""
    import bluetusk as bt

    todo = rows(bits)
    info = bt.build_info()
    print(
        json.dumps({"rows": list(todo), "compiler": info.get("compiler", "?"), "backend": info["backend"]}), flush=True
    )
    for line in sys.stdin:
        name, seconds = json.loads(line)
        call, units = todo[name]
        call()
        calls, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds:
            call()
            calls += 1
        print(json.dumps(spent / (calls * units)), flush=True)


class Worker:
    """A build's process for one backend."""

    def __init__(self, python: str, backend: str, bits: int) -> None:
        env = {**os.environ, "BLUETUSK_BACKEND": backend, "BLUETUSK_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        env.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(Path(__file__).resolve()), "--work", "--bits", str(bits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd="/",
            text=True,
        )
        self.hello: dict[str, Any] = self.read()

    def read(self) -> Any:
        """The next answer; ends the run if the process has ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args}: ended with status {self.process.wait()}")
        return json.loads(line)

    def window(self, row: str, seconds: float) -> float:
        """Seconds of processor time per value."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([row, seconds]) + "\n")
        self.process.stdin.flush()
        return float(self.read())


def compare(builds: dict[str, str], backend: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one backend and print its rows."""
    workers = {name: Worker(python, backend, args.bits) for name, python in builds.items()}
    first, *others = workers
    if any(worker.hello["backend"] != backend for worker in workers.values()):
        sys.exit(f"not every build runs {backend}: { {name: w.hello['backend'] for name, w in workers.items()} }")
    print(f"\n{backend}: " + ", ".join(f"{name} is {worker.hello['compiler']}" for name, worker in workers.items()))
    print(f"  {'us per value':<20}{first:>10}" + "".join(f"{name:>16}" for name in others))
    wanted = [row for row in workers[first].hello["rows"] if not args.only or any(row.startswith(o) for o in args.only)]
    found = []
    for row in wanted:
        seen: dict[str, list[float]] = {name: [] for name in workers}
        order = list(workers)
        for _ in range(args.rounds):
            for name in order:
                seen[name].append(workers[name].window(row, args.window))
            order.append(order.pop(0))
        best = {name: min(times) for name, times in seen.items()}
        ratio = {name: statistics.median(map(float.__truediv__, seen[name], seen[first])) for name in others}
        cells = "".join(f"{1e6 * best[name]:>9.4g} {ratio[name]:.3f}".rjust(16) for name in others)
        print(f"  {row:<20}{1e6 * best[first]:>10.4g}{cells}", flush=True)
        found.append({"backend": backend, "row": row, "best_us": {n: 1e6 * t for n, t in best.items()}, "ratio": ratio})
    for worker in workers.values():
        assert worker.process.stdin
        worker.process.stdin.close()
        worker.process.wait()
    return found


def main() -> int:
    """Compare the builds of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("builds", nargs="*", metavar="NAME=PYTHON", help="a build and the Python it is installed for")
    parser.add_argument("--backend", action="append", choices=list(BACKENDS), help="default: all that this CPU has")
    parser.add_argument("--bits", type=int, default=2048, help="of the Paillier key (default: 2048)")
    parser.add_argument("--rounds", type=int, default=20, help="windows for each build and row (default: 20)")
    parser.add_argument("--window", type=float, default=0.03, help="seconds of a window (default: 0.03)")
    parser.add_argument("--only", nargs="+", help="rows whose names begin so")
    parser.add_argument("--limit", type=float, help="exit with 1 if a judged row's ratio is above")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.bits)
        return 0
    builds = dict(build.split("=", 1) for build in args.builds if "=" in build)
    if len(builds) != len(args.builds) or len(builds) < 2:
        parser.error("name at least two builds, each as NAME=PYTHON, with different names")
    found = list(
        itertools.chain.from_iterable(compare(builds, backend, args) for backend in args.backend or available(builds))
    )
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    slow = [
        f"{each['backend']} {each['row']}: {name} takes {ratio:.3f} of the first build's time"
        for each in found
        for name, ratio in each["ratio"].items()
        if args.limit and each["row"].split()[0].rstrip("s'").startswith(JUDGED) and ratio > args.limit
    ]
    print("\n".join(slow))
    return 1 if slow else 0


def available(builds: dict[str, str]) -> list[str]:
    """The backends of this CPU, by the first build."""
    import subprocess

    python = next(iter(builds.values()))
    found = []
    for backend in BACKENDS:
        env = {**os.environ, "BLUETUSK_BACKEND": backend}
        env.pop("PYTHONPATH", None)
        run = subprocess.run([python, "-c", "import bluetusk"], env=env, cwd="/", capture_output=True)
        if run.returncode == 0:
            found.append(backend)
    return found


if __name__ == "__main__":
    sys.exit(main())
