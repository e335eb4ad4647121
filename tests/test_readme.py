"""The README is part of the product: its example runs, its commands are there and are one line each."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import bluetusk as bt

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_example() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        example = doctest.DocTestParser().get_doctest(block, {}, "example", README.name, 0)
        assert len(example.examples) >= 8
        assert doctest.DocTestRunner().run(example).failed == 0


def test_two_commands() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README.read_text(), re.MULTILINE)
    assert len(commands) == 2
    job, tests = commands
    assert job.endswith(".venv/bin/bluetusk demo banks")
    assert tests.endswith(".venv/bin/python -m pytest -q")


def test_short() -> None:
    assert len(README.read_text().splitlines()) <= 120


@pytest.mark.parametrize(
    "path", [*ROOT.glob("README*.md"), *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_names_exist(path: Path) -> None:
    """Every bt.name that a document speaks of is there."""
    for name in set(re.findall(r"\bbt((?:\.[A-Za-z_]+)+)", path.read_text())):
        thing: object = bt
        for part in name.strip(".").split("."):
            thing = getattr(thing, part)
