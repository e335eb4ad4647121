"""What an attacker wins: runs the attacks of tests/attacks on this package, and on its faults planted back.

Each file there is one attack, written as the attacker. Its function `table` plays it and returns rows of attack, who,
accuracy, chance, bound, accuracy on the planted fault. This command runs them all and prints one table in Markdown.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ATTACKS = ROOT / "tests" / "attacks"
PAGE = ROOT / "docs" / "explanation" / "attacks.md"
BEGIN, END = "<!-- begin: python bench/attacks.py --write -->", "<!-- end -->"
EPILOG = """columns:
  accuracy   what the attacker gets right on this package, 1 is all; where the row names a unit, a number of that unit
  chance     what it gets by guessing
  at most    chance and the bound: guessing reaches more once in a million runs; "none" where nothing bounds it
  planted    the same attack where one protection is taken out again: it has to win there

Status 1 if an attack gets more than "at most" says.

examples:
  python bench/attacks.py                             all attacks, a few minutes; the table on standard output
  python bench/attacks.py --only masks split          two of them, by the names of their files
  python bench/attacks.py --write                     put the table into docs/explanation/attacks.md

needs: what the tests need, pip install ".[test]", and openmined-psi, which comes with it"""


def files() -> list[Path]:
    """Return the files of attacks."""
    return sorted(ATTACKS.glob("test_*.py"))


def tried(path: Path) -> str:
    """Return what a file says it attacks: the first sentence of its docstring."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?]) ", text)[0]


def rows_of(path: Path, folder: Path) -> list[tuple[Any, ...]] | None:
    """Play the attack of a file; None where it has no figures."""
    module = importlib.import_module(f"tests.attacks.{path.stem}")
    table = getattr(module, "table", None)
    if table is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows: list[tuple[Any, ...]] = table(folder) if inspect.signature(table).parameters else table()
    for row in rows:
        if len(row) != 6:
            raise ValueError(f"{path.name}: table() has a row of {len(row)} entries; a row has 6: {row!r}")
    return rows


def number(value: Any) -> str:
    """Return a figure as text: counts whole, shares to three digits."""
    if value is None:
        return "none"
    if isinstance(value, bool) or float(value).is_integer():
        return str(int(value))
    return f"{float(value):.3f}".lstrip("0") if abs(value) < 10 else f"{float(value):,.0f}"


def lines_of(path: Path, rows: list[tuple[Any, ...]] | None) -> Iterator[str]:
    """Return the lines of the table for one file."""
    place = f"`{path.name}`"
    if rows is None:
        yield f"| {tried(path).rstrip('.')}: compared byte by byte | | | | | | {place} |"
        return
    for attack, who, found, chance, bound, planted in rows:
        most = None if bound is None else chance + bound
        figures = " | ".join(number(value) for value in (found, chance, most, planted))
        yield f"| {attack} | {who} | {figures} | {place} |"


def commit() -> str:
    """Return which commit was run, and whether files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    name = git("rev-parse", "--short=12", "HEAD") or "no commit"
    return f"{name}, with changes" if git("status", "--porcelain", "--", "src", "tests/attacks") else name


def made(paths: list[Path], quiet: bool) -> tuple[str, list[str]]:
    """Run the attacks of these files; return the table, and the attacks that got more than chance and bound say."""
    lines = [
        "| attack | who | accuracy | chance | at most | planted | file in `tests/attacks` |",
        "|---|---|---|---|---|---|---|",
    ]
    begun, won = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for number_, path in enumerate(paths, 1):
            started = time.monotonic()
            place = Path(folder) / path.stem
            place.mkdir()
            rows = rows_of(path, place)
            lines += lines_of(path, rows)
            won += [row[0] for row in rows or () if row[4] is not None and row[2] > row[3] + row[4] + 1e-9]
            if not quiet:
                took = time.monotonic() - started
                print(f"{number_:3} of {len(paths)}  {path.name}  {took:.1f} s", file=sys.stderr, flush=True)
    today = datetime.now(timezone.utc).date()
    lines += ["", f"Made on {today} from commit {commit()}, in {time.monotonic() - begun:.0f} seconds."]
    return "\n".join(lines), won


def written(text: str, table: str) -> str:
    """Return the page with the table in its place."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has no lines {BEGIN} and {END}, between which the table belongs")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="files to run, without test_ and .py (default: all)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/explanation/attacks.md")
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress on standard error")
    given = parser.parse_args()
    paths = files()
    if given.only:
        if given.write:
            parser.error("--write needs all attacks: leave out --only")
        names = {path.stem.removeprefix("test_"): path for path in paths}
        if unknown := sorted(set(given.only) - set(names)):
            parser.error(f"--only: there is no attack {', '.join(unknown)}; there are {', '.join(names)}")
        paths = [names[name] for name in given.only]
    sys.path[:0] = [str(ROOT)]
    table, won = made(paths, given.quiet)
    print(table)
    if given.write:
        PAGE.write_text(written(PAGE.read_text("utf-8"), table), "utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}", file=sys.stderr)
    if won:
        sys.exit("beyond chance and bound: " + "; ".join(won))


if __name__ == "__main__":
    main()
