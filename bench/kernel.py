"""The C kernel without Python: the cost of a product, a square and a power in each Montgomery backend.

Compiles bench/kernel.c with csrc/ into a temporary folder and runs it with gmpy2's GMP. The backends take turns; a
figure is the best of many short windows of processor time, per element. Conversions are shown separately.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gmpy2
from _peers import machine

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "csrc"
FLAGS = ("-std=gnu17", "-O2", "-Wall", "-Wextra")  # those of setup.py
KINDS = ("mul", "sqr", "pow", "load", "store")
EPILOG = """examples:
  python bench/kernel.py                                 every size, about a minute
  python bench/kernel.py --bits 4096 --seconds 10        one size, for a closer look
  CC=clang python bench/kernel.py --cflags '-march=native'

A power is one of `--exponent-bits` secret bits, its table read whole. mul and sqr are Montgomery products and squares
of secret operands; load and store convert to the backend's layout and back."""


def libgmp() -> str:
    """The GMP to load: gmpy2's own, else the system's."""
    package = Path(gmpy2.__file__).resolve().parent
    bundled = sorted(package.with_name("gmpy2.libs").glob("libgmp-*.so*"))
    return str(bundled[0]) if bundled else "libgmp.so.10"


def build(folder: Path, compiler: str, flags: list[str]) -> Path:
    """Compile the driver with the core; its errors are the compiler's."""
    program = folder / "kernel"
    sources = [HERE / "kernel.c", *sorted(CORE.glob("bt_*.c"))]
    include = [f"-I{CORE}", f"-I{Path(gmpy2.__file__).resolve().parent}"]
    subprocess.run(
        [*shlex.split(compiler), *FLAGS, *flags, *include, "-o", program, *sources, "-ldl", "-lm", "-pthread"],
        check=True,
    )
    return program


def measure(program: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the driver; one object per size and backend."""
    command = [program, libgmp(), args.elements, args.seconds, args.exponent_bits, *args.bits]
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    rows = []
    for line in output.splitlines():
        name, bits, *times = line.split()
        rows.append({"backend": name, "bits": int(bits), **dict(zip(KINDS, map(float, times), strict=True))})
    return rows


def table(rows: list[dict[str, Any]], exponent_bits: int) -> str:
    """Microseconds per element, and how many times as long mpn takes."""
    head = ["modulus", "backend", "mul", "sqr", f"power, {exponent_bits} bits", "load", "store", "mpn's power by it"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    mpn = {row["bits"]: row["pow"] for row in rows if row["backend"] == "mpn"}
    for row in rows:
        figures = [f"{row[kind]:.3f}" if row[kind] < 100 else f"{row[kind]:,.0f}" for kind in KINDS]
        ratio = f"{mpn[row['bits']] / row['pow']:.2f}x" if row["bits"] in mpn and row["backend"] != "mpn" else ""
        lines.append("| " + " | ".join([str(row["bits"]), row["backend"], *figures, ratio]) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Compile, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bits", type=int, nargs="+", default=[1024, 2048, 3072, 4096, 6144, 8192], help="sizes, multiples of 64"
    )
    parser.add_argument("--elements", type=int, default=4, metavar="N", help="to an array (default 4: one group)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each size (default 5)")
    parser.add_argument("--exponent-bits", type=int, default=1024, metavar="N", help="of the power (default 1024)")
    parser.add_argument("--cflags", default="", help=f"after {' '.join(FLAGS)}")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    args = parser.parse_args(argv)
    if any(bits < 64 or bits > 16384 or bits % 64 for bits in args.bits):
        parser.error("argument --bits: sizes are multiples of 64, from 64 to 16384")
    if args.elements < 1 or args.exponent_bits < 1:
        parser.error("arguments --elements and --exponent-bits: give at least 1")
    about = machine.describe()
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build(Path(folder), os.environ.get("CC", "cc"), shlex.split(args.cflags))
        except (subprocess.CalledProcessError, FileNotFoundError) as err:
            print(f"kernel.py: the C core does not compile: {err}; set CC to a C compiler", file=sys.stderr)
            return 1
        rows = measure(program, args)
    print(f"Microseconds per element, best of many windows. {machine.sentence(about)}.\n")
    print(table(rows, args.exponent_bits))
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
