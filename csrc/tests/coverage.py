"""Branch coverage of the C core: python3 coverage.py FOLDER PERCENT.

FOLDER holds what a run of the tests built with --coverage -O0 left there. What is counted: both ways of every branch of
csrc/*.c and csrc/*.h, once however many files include a header, and taken if any of them took it. The build keeps gcc
from inlining (-O0, and the core's own always_inline functions made ordinary ones), so a branch is one of the source,
not a copy. Fails below PERCENT, and names what was never taken.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

CORE = Path(__file__).resolve().parents[1]


def read(folder: Path) -> dict[Path, dict[tuple[int, int], int]]:
    """Count how often each branch was taken: file -> (line, which of the line's branches) -> count."""
    counts: dict[Path, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
    with tempfile.TemporaryDirectory() as out:
        notes = [str(path) for path in sorted(folder.resolve().glob("*bt_*.gcno"))]
        subprocess.run(["gcov", "--json-format", "--branch-probabilities", *notes], cwd=out, check=True, stdout=-3)
        for report in Path(out).glob("*.gcov.json.gz"):
            data = json.loads(gzip.decompress(report.read_bytes()))
            for file in data["files"]:
                path = (Path(data["current_working_directory"]) / file["file"]).resolve()
                if path.parent != CORE:
                    continue
                for line in file["lines"]:
                    for k, branch in enumerate(line["branches"]):
                        counts[path][line["line_number"], k] += branch["count"]
    return counts


def main() -> int:
    """Print the table; the exit status is 1 below the wanted percentage."""
    counts, least = read(Path(sys.argv[1])), float(sys.argv[2])
    missed = [(path, line) for path, of in sorted(counts.items()) for (line, _), n in sorted(of.items()) if not n]
    for path, line in dict.fromkeys(missed):
        print(f"{path.name}:{line}: a way never taken: {path.read_text().splitlines()[line - 1].strip()}")
    for path, of in sorted(counts.items()):
        print(f"{100 * sum(map(bool, of.values())) / len(of):6.1f} % of {len(of):4d} branches  {path.name}")
    total = sum(len(of) for of in counts.values())
    percent = 100 * (total - len(missed)) / total if total else 0
    print(f"{percent:6.2f} % of {total} branches; at least {least:g} % wanted")
    return percent < least


if __name__ == "__main__":
    sys.exit(main())
