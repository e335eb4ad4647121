"""One library in its own process: orders come as JSON lines on standard input, answers go to what was standard output.

Runs in the library's environment, on CPython 3.8 and later, with nothing but NumPy and the library. What the library
prints goes to standard error.

    {"do": "open", "adapter": "phe", "bits": 2048, "p": "...", "q": "..."}
    {"do": "can", "rows": [...]}                                         which of these rows it has
    {"do": "row", "row": "encrypt", "n": 64, "limit": 0.1}               make ready, warm up; answers how many it takes
    {"do": "window", "row": "encrypt", "seconds": 0.02, "clock": "cpu"}  mean and best of its calls, in seconds per unit
    {"do": "facts"}
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback

import numpy as np

SEED = 20251
FEW = 64  # values that are encrypted to check a library
PREFIX = "powers of "


class Check(Exception):
    """A library gave a wrong result: nothing of it is timed."""


class Bench:
    """A library, its ciphertexts, and the rows that can be timed."""

    def __init__(self, adapter, bits, p, q):
        from adapters.base import BINS, SCALAR_BITS

        self.bins = BINS
        self.bits = bits
        before = resident()
        self.lib = lib = importlib.import_module("adapters." + adapter).Library(bits, p, q)
        rng = np.random.default_rng(SEED)
        self.values = rng.integers(-(2**24), 2**24, size=max(lib.vector, 1000))
        few = FEW if lib.take else lib.vector
        self.codes = rng.integers(0, BINS, size=lib.vector)
        self.scalars = rng.integers(1 - 2**SCALAR_BITS, 2**SCALAR_BITS, size=few)
        self.matrix = rng.integers(1 - 2**SCALAR_BITS, 2**SCALAR_BITS, size=lib.matrix)
        self.few = lib.encrypt(self.values[:few])
        self.key_memory = resident() - before
        self.small = self.values[:few]
        self.index = np.arange(lib.vector) % few
        self.many = lib.take(self.few, self.index.tolist()) if lib.take else self.few
        self.check()
        self.ready = {}  # the rows in hand

    def expect(self, what, got, want):
        want = [int(v) for v in want]
        if self.lib.wraps:
            got, want = ([v % 2**self.lib.wraps for v in x] for x in (got, want))
        if list(got) != want:
            raise Check(f"{what} gives wrong results")

    def check(self):
        """Compare every operation with Python's integers."""
        lib, small = self.lib, self.small.tolist()
        long = [small[i] for i in self.index]
        self.expect("decryption", lib.decrypt(self.few), small)
        self.expect("the sum of two", lib.decrypt(lib.add(self.few, self.few)), [2 * v for v in small])
        self.expect("the sum of all", lib.decrypt(lib.total(self.many)), [sum(long)])
        k = self.scalars.tolist()
        products = lib.scale(self.few, lib.plain(self.scalars))
        self.expect("the product", lib.decrypt(products), [small[i] * k[i] for i in range(len(k))])
        if lib.matvec:
            columns = lib.matrix[1]
            some = self.matrix[:2]
            vector = self.vector(columns)
            want = [sum(int(m) * long[j] for j, m in enumerate(row)) for row in some]
            self.expect("the matrix product", lib.decrypt(lib.matvec(lib.plain(some), vector)), want)
        if hasattr(lib, "histogram"):
            want = [0] * self.bins
            for code, v in zip(self.codes.tolist(), long):  # noqa: B905 - CPython 3.8
                want[code] += v
            self.expect("the histogram", lib.decrypt(lib.histogram(self.many, self.codes)), want)
        if hasattr(lib, "parse"):
            self.expect("reading back", lib.decrypt(lib.parse(lib.dump(self.few))), small)
        packed = lib.pack(self.values[: lib.packed_values])
        self.expect("packing", lib.unpack(packed, lib.packed_values), self.values[: lib.packed_values])
        if hasattr(lib, "encrypt_owner"):
            self.expect("the owner's encryption", lib.decrypt(lib.encrypt_owner(self.small)), small)

    def vector(self, n):
        return self.lib.take(self.many, list(range(n))) if self.lib.take else self.lib.encrypt(self.values[:n])

    # ------------------------------------------------------------------------------------------------------- rows

    def row(self, name, n):
        """Return (run, units of one run, before, less): `before` is not timed, the time of `less` is taken off."""
        lib = self.lib
        base, _, threads = name.partition(" @")
        if threads:
            run, units, before, less = self.row(base, n)

            def on_threads():
                lib.threads(int(threads))
                run()
                lib.threads(1)

            return on_threads, units, before, less
        if base.startswith(PREFIX):
            inputs = lib.power_inputs(int(base[len(PREFIX) :].split()[0]))
            work = lib.gmpy2_powers if base.endswith("gmpy2") else lib.powers
            self.expect(
                "a batch of powers", work(*inputs), [pow(int(b), int(inputs[1]), int(inputs[2])) for b in inputs[0]]
            )
            return lambda: work(*inputs), len(inputs[0]), None, None
        return getattr(self, "row_" + base)(n)

    def row_encrypt(self, n):
        values = self.values[:n]
        return lambda: self.lib.encrypt(values), n, None, None

    def row_encrypt_owner(self, n):
        values = self.values[:n]
        return lambda: self.lib.encrypt_owner(values), n, None, None

    def row_encrypt_packed(self, n):
        values = self.values[: self.lib.packed_values]
        return lambda: self.lib.pack(values), len(values), None, None

    def row_encrypt_pool(self, n):
        values = self.values[:n]
        return lambda: self.lib.encrypt(values), n, lambda: self.lib.precompute(n), None

    def row_decrypt(self, n):
        c = self.vector(n)
        return lambda: self.lib.decrypt(c), n, None, None

    def row_add(self, n):
        return lambda: self.lib.add(self.many, self.many), self.lib.vector, None, None

    def row_sum(self, n):
        return lambda: self.lib.total(self.many), self.lib.vector, None, None

    def row_histogram(self, n):
        return lambda: self.lib.histogram(self.many, self.codes), self.lib.vector, None, None

    def row_scale(self, n):
        c, k = self.vector(n), self.lib.plain(np.resize(self.scalars, n))
        return lambda: self.lib.scale(c, k), n, None, None

    def row_matvec(self, n):
        c, matrix = self.vector(self.lib.matrix[1]), self.lib.plain(self.matrix)
        return lambda: self.lib.matvec(matrix, c), self.matrix.size, None, None

    def row_rows(self, n):
        """A quarter of the matrix, for what is measured twice."""
        matrix = self.matrix[: self.lib.matrix[0] // 4]
        c, plain = self.vector(self.lib.matrix[1]), self.lib.plain(matrix)
        return lambda: self.lib.matvec(plain, c), matrix.size, None, None

    def row_keygen(self, n):
        return lambda: self.lib.keygen(self.bits), 1, None, None

    def row_load(self, n):
        data = self.lib.public_bytes()
        values = self.values[:16]
        state = {}

        def run():
            state["encrypt"] = self.lib.load(data)
            state["encrypt"](values)

        # what is left after the encryptions, done again with the key now loaded
        return run, 1, state.clear, lambda: state["encrypt"](values)

    def row_table(self, n):
        self.table_bytes = self.lib.table()
        return self.lib.table, 1, None, None

    def row_prove(self, n):
        return self.lib.prove, 1, None, None

    def row_verify(self, n):
        proof = self.lib.prove()
        return lambda: self.lib.verify(proof), 1, None, None

    def row_serialise(self, n):
        return lambda: self.lib.dump(self.many), len(self.index), None, None

    def row_parse(self, n):
        data = self.lib.dump(self.many)
        return lambda: self.lib.parse(data), len(self.index), None, None

    # ------------------------------------------------------------------------------------------------------ timing

    def can(self, name):
        base = name.partition(" @")[0]
        need = {
            "encrypt_packed": "pack",
            "encrypt_pool": "precompute",
            "rows": "matvec",
            "sum": "total",
            "serialise": "dump",
        }.get(base, base)
        need = "powers" if base.startswith(PREFIX) else need
        return callable(getattr(self.lib, need, None)) and (" @" not in name or hasattr(self.lib, "threads"))

    def prepare(self, name, n, limit):
        """Choose how many to take so that a call stays within `limit` seconds, and warm up."""
        while len(self.ready) > 1:  # a pair is compared at most
            del self.ready[next(iter(self.ready))]
        if n > 1:
            least = min(4, n)
            self.ready[name] = self.row(name, least)
            self.once(name, time.perf_counter)
            per_unit = self.once(name, time.process_time)[0]
            n = max(1, min(n, int(limit / max(per_unit, 1e-9))))
        self.ready[name] = self.row(name, n)
        self.once(name, time.perf_counter)
        return n

    def once(self, name, clock):
        """Time one call: seconds per unit, and the seconds of the wall and of the processor that it took."""
        run, units, before, less = self.ready[name]
        if before:
            before()
        wall, cpu, start = time.perf_counter(), time.process_time(), clock()
        run()
        taken, wall, cpu = clock() - start, time.perf_counter() - wall, time.process_time() - cpu
        if less:
            start = clock()
            less()
            taken -= clock() - start
        return taken / units, wall, cpu

    def window(self, name, seconds, clock):
        clock = time.process_time if clock == "cpu" else time.perf_counter
        each, wall, cpu = [], 0.0, 0.0
        while not each or wall < seconds:
            per_unit, w, c = self.once(name, clock)
            each.append(per_unit)
            wall, cpu = wall + w, cpu + c
        return {"mean": sum(each) / len(each), "best": min(each), "calls": len(each), "wall": wall, "cpu": cpu}

    def facts(self):
        lib = self.lib
        size = len(lib.dump(self.few)) / len(self.small) if hasattr(lib, "dump") else None
        if isinstance(self.few, list) and isinstance(self.few[0], bytes):
            size = sum(map(len, self.few)) / len(self.few)
        return {
            "version": version(lib.package),
            "python": sys.version.split()[0],
            "constant_time": lib.constant_time,
            "same_primes": lib.same_primes,
            "note": lib.note,
            "packs": lib.packs,
            "matrix": list(lib.matrix) if lib.matvec else None,
            "bytes": size,
            "key_memory": self.key_memory,
            "table_bytes": getattr(self, "table_bytes", None),
            "peak_rss": most_resident(),
            "versions": lib.versions() if hasattr(lib, "versions") else {},
        }


def version(package):
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # a source tree that is not installed
        return importlib.import_module(package).__version__


def resident():
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def most_resident():
    """The most memory that it had (ru_maxrss would begin with the parent's)."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def serve(orders, answers):
    bench = None
    for line in orders:
        order = json.loads(line)
        try:
            if order["do"] == "open":
                bench = Bench(order["adapter"], order["bits"], int(order["p"], 16), int(order["q"], 16))
                answer = {}
            elif order["do"] == "can":
                answer = {"rows": [row for row in order["rows"] if bench.can(row)]}
            elif order["do"] == "row":
                answer = {"n": bench.prepare(order["row"], order["n"], order["limit"])}
            elif order["do"] == "window":
                answer = bench.window(order["row"], order["seconds"], order["clock"])
            else:
                answer = bench.facts()
        except BaseException as err:  # a panic of a Rust library is no Exception
            traceback.print_exc()
            answer = {"error": f"{type(err).__name__}: {err}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is kept out of the answers
    serve(sys.stdin, private)
