#!/usr/bin/env python3
"""Installs the oldest release of every dependency that pyproject.toml allows, all at once, and tries the package.

    python3 .ci/floors.py WHEEL          install, import, self-test, a part of the tests
    python3 .ci/floors.py                print the constraints alone

The wheel must be of this interpreter, CPython 3.10 to 3.12: some floors are older than 3.13. What the tests use besides
(pytest, hypothesis, scipy, phe) and dependencies of dependencies are the newest that fit. The extra `flower` stays out,
for it pins releases that exclude these.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("cli", "demo", "dp", "vertical")
TOOLS = ("pytest", "hypothesis", "pytest-benchmark", "scipy", "phe")
TESTS = (
    "tests/storage",
    "tests/wire",
    "tests/paillier/test_golden.py",
    "tests/paillier/test_keyfile.py",
    "tests/paillier/test_cipherarray.py",
    "tests/paillier/test_cipherarray_numpy.py",
    "tests/paillier/test_primes.py",
    "tests/sharing/test_ring.py",
    "tests/sharing/test_shamir.py",
    "tests/sharing/test_array.py",
    "tests/evidence/test_cli.py",
    "tests/evidence/test_fingerprints.py",
    "tests/evidence/test_log.py",
    "tests/evidence/test_policy.py",
    "tests/federated/test_golden.py",
    "tests/federated/test_noise_privacy.py",
    "tests/test_cli.py",
    "tests/test_inspect.py",
    "tests/vertical/test_align.py",
    "tests/vertical/test_check.py",
    "tests/vertical/test_data_forms.py",
    "tests/vertical/test_evaluation.py",
    "tests/vertical/test_party.py",
    "tests/vertical/test_report.py",
    "tests/vertical/test_score.py",
    "tests/demo/test_model.py",
)


def floors() -> list[str]:
    """Return a constraint for each dependency and extra, `>=` turned into `==`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(each for extra in EXTRAS for each in project["optional-dependencies"][extra])]
    found = []
    for requirement in asked:
        if requirement.startswith("bluetusk["):
            continue
        if not re.fullmatch(r"[\w.-]+>=[\d.]+( *;.*)?", requirement):
            raise SystemExit(
                f"pyproject.toml asks for {requirement!r}: write it as name>=version, the floor that was tried"
            )
        found.append(requirement.replace(">=", "==", 1))
    return found


def main() -> None:
    """Print the constraints, or try a wheel with them."""
    lines = floors()
    print("\n".join(lines), flush=True)
    if len(sys.argv) == 1:
        return
    wheel, start = Path(sys.argv[1]).resolve(), time.monotonic()
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "floors.txt")
        constraints.write_text("\n".join(lines) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
        python = f"{folder}/venv/bin/python"

        def run(*words: str) -> None:
            subprocess.run([python, *words], check=True, cwd=ROOT, env=env, stdin=subprocess.DEVNULL)

        asked = f"bluetusk[{','.join(EXTRAS)}] @ {wheel.as_uri()}"
        run("-m", "pip", "install", "-q", "--only-binary", ":all:", "-c", str(constraints), asked, *TOOLS)
        print(f"installed after {time.monotonic() - start:.0f} s", flush=True)
        run("-c", "import bluetusk, bluetusk.vertical.party, bluetusk.demo.report")
        run("-m", "bluetusk", "selftest")
        # a release of its time deprecates what an old one uses: that is no fault of the floor
        run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default::DeprecationWarning", *TESTS)
    print(f"the floors hold: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
