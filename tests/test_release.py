"""What a release carries: a notice for every file that others made, and pins that pyproject.toml allows."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = dict(
    line.split("==") for line in (ROOT / ".ci" / "wheels-requirements.txt").read_text().splitlines() if "==" in line
)
DATA = sorted(path for folder in ("src", "tests", "examples") for path in (ROOT / folder).rglob("*.xz"))
VECTORS = sorted((ROOT / "tests" / "vectors").glob("*.json"))


@pytest.mark.parametrize("path", DATA, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_data_has_its_notice(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name.startswith("tests/"):
        text, name = (ROOT / "tests" / "NOTICE").read_text(), name.removeprefix("tests/")
    else:
        text, name = (ROOT / "NOTICE").read_text(), name.removeprefix("src/")
    assert name in text
    assert "CC BY 4.0" in text


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.name)
def test_vectors_of_others_have_their_notice(path: Path) -> None:
    content = json.loads(path.read_text())
    made_here = "generator" in content or str(content.get("source")).startswith("bluetusk")
    assert (f"vectors/{path.name}" in (ROOT / "tests" / "NOTICE").read_text()) is not made_here


def test_licence_files_are_there() -> None:
    project = PROJECT["project"]
    found = {path.relative_to(ROOT).as_posix() for each in project["license-files"] for path in ROOT.glob(each)}
    assert found == {"LICENSE", "NOTICE", "LICENSES/CC-BY-4.0.txt", "LICENSES/MIT-zig.txt"}
    assert set(re.split(" AND ", project["license"])) == {"Apache-2.0", "CC-BY-4.0", "MIT"}


@pytest.mark.parametrize("line", [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]])
def test_pins_of_the_wheels_are_allowed(line: str) -> None:
    need = Requirement(line)
    [pin] = [version for name, version in PINS.items() if canonicalize_name(name) == canonicalize_name(need.name)]
    assert pin in need.specifier
