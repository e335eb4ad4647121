#!/usr/bin/env python3
"""Installs a wheel beside the oldest NumPy that pyproject.toml allows and beside the newest, and tests both.

A fresh environment for each: the self-test, then the tests whose results rest most on NumPy's rules (what becomes an
array, operators, encoding, rounding, words of rings, frames). About a minute of processor time an end.

With --whole, the whole suite at the oldest one, in an environment with the extra `test`. Then the tests named above and
those of Paillier, shares, sums and joint models once more, with the promotion rules of NumPy 2 (NEP 50) switched on in
NumPy 1.26, which reports each result that has another type by the old rules: a report from this package fails the run.
The oldest NumPy wants CPython 3.12 or older; PYTHON is the interpreter, by default the one that runs this.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("pytest", "hypothesis", "pandas", "scipy")  # what these tests import
TESTS = (
    "tests/test_numeric.py",
    "tests/test_operators.py",
    "tests/test_encoding.py",
    "tests/paillier/test_cipherarray_arithmetic.py",
    "tests/paillier/test_sparse.py",
    "tests/kernels/test_pack.py",
    "tests/kernels/test_ring.py",
    "tests/sharing/test_ring.py",
    "tests/wire",
)
PROMOTION = (*TESTS, "tests/paillier", "tests/sharing", "tests/federated", "tests/vertical")
# What cannot pass in that mode of 1.26, and does by the rules of 1.26 and of 2: a comparison of uint64 with a negative
# integer, which only 2 makes without a conversion; pandas' own rows of objects.
NOT_IN_THAT_MODE = (
    "tests/federated/test_paillier_sum.py::test_integers_of_any_type_make_a_result[integers0]",
    *(
        f"tests/paillier/test_cipherarray_pandas.py::{test}"
        for test in (
            "test_operators_on_both_sides[add-frame of one row]",
            "test_operators_on_both_sides[sub-frame of one row]",
            "test_operators_on_both_sides[mul-frame of one row]",
            "test_functions_of_numpy_and_products[frame of one row]",
        )
    ),
)
# other packages, and the tests themselves, may depend on either rule
REPORTS = ("ignore:result dtype changed:UserWarning", r"error:result dtype changed:UserWarning:bluetusk\b")


def oldest() -> str:
    """Return a requirement: the newest patch of the release that pyproject.toml names as NumPy's oldest."""
    found = re.search(r'"numpy>=(\d+\.\d+)', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if not found:
        raise SystemExit('pyproject.toml must ask for "numpy>=MAJOR.MINOR"')
    return f"numpy=={found[1]}.*"


def end(python: str, wheel: Path, numpy: str, *, whole: bool) -> None:
    """Install and test one end."""
    start = time.monotonic()
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", f"{folder}/venv"], check=True)

        def run(*words: str, **more: str) -> None:
            command = [f"{folder}/venv/bin/python", *words]
            subprocess.run(command, check=True, cwd=ROOT, env=env | more, stdin=subprocess.DEVNULL)

        asked = [f"bluetusk[test] @ {wheel.as_uri()}"] if whole else [str(wheel), *TOOLS]
        run("-m", "pip", "install", "-q", "--no-compile", "--only-binary", ":all:", *asked, numpy)
        run("-c", "import numpy, sys; print(f'=== numpy {numpy.__version__} on CPython {sys.version.split()[0]}')")
        run("-m", "bluetusk", "selftest")
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
        run(*pytest, *(() if whole else TESTS))
        if whole:
            filters = "filterwarnings=" + "\n".join(("error", *REPORTS))
            without = [f"--deselect={test}" for test in NOT_IN_THAT_MODE]
            run(*pytest, "-o", filters, *without, *PROMOTION, NPY_PROMOTION_STATE="weak_and_warn")
    print(f"{numpy}: {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    """Read the arguments and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, metavar="WHEEL", help="a wheel of bluetusk that the interpreter takes")
    parser.add_argument("python", nargs="?", default=sys.executable, metavar="PYTHON", help="CPython 3.10 to 3.12")
    parser.add_argument("--whole", action="store_true", help="the whole suite at the oldest NumPy, for nightly runs")
    args = parser.parse_args()
    for numpy in (oldest(),) if args.whole else (oldest(), "numpy"):
        end(args.python, args.wheel.resolve(strict=True), numpy, whole=args.whole)


if __name__ == "__main__":
    main()
