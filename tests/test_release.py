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


def test_data_that_is_installed_has_its_attribution_beside_it() -> None:
    for path in (ROOT / "src").rglob("*.csv.xz"):
        text = path.with_name(path.name.removesuffix(".csv.xz") + ".NOTICE.txt").read_text()
        for words in (path.name, "I-Cheng Yeh", "https://doi.org/", "CC BY 4.0", "Changes:", "no warranties"):
            assert words in text
    data = PROJECT["tool"]["setuptools"]["package-data"]["bluetusk"]
    assert {"demo/*.csv.xz", "demo/*.NOTICE.txt"} <= set(data)


def test_licence_files_are_there() -> None:
    project = PROJECT["project"]
    found = {path.relative_to(ROOT).as_posix() for each in project["license-files"] for path in ROOT.glob(each)}
    assert found == {"LICENSE", "NOTICE", "LICENSES/CC-BY-4.0.txt", "LICENSES/MIT-zig.txt"}
    assert set(re.split(" AND ", project["license"])) == {"Apache-2.0", "CC-BY-4.0", "MIT"}


# a heading of each, a sentence of its terms, and one of its end
LICENCES = {
    "MPL-2.0": (
        "Mozilla Public License Version 2.0",
        "3.1. Distribution of Source Form",
        "Incompatible With Secondary",
    ),
    "MulanPSL-2.0": (
        "木兰宽松许可证， 第2版",
        "provide recipients with a copy of this License",
        "END OF THE TERMS AND COND",
    ),
}


@pytest.mark.parametrize("name", LICENCES)
def test_licences_that_must_travel_with_vectors_do(name: str) -> None:
    text = (ROOT / "tests" / "LICENSES" / f"{name}.txt").read_text(encoding="utf-8")
    assert [part for part in LICENCES[name] if part not in text] == []
    assert f"tests/LICENSES/{name}.txt" in (ROOT / "tests" / "NOTICE").read_text()
    assert "\ngraft tests\n" in (ROOT / "MANIFEST.in").read_text()  # the source distribution has them


def test_the_notice_of_a_wheel_names_all_code_that_others_made() -> None:
    text = " ".join((ROOT / "NOTICE").read_text().split())
    for words in ("Cython's runtime code", "Zig's compiler runtime", "only the data set was taken", "tests/LICENSES"):
        assert words in text
    assert "Nothing else in a wheel" not in text


@pytest.mark.parametrize("line", [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]])
def test_pins_of_the_wheels_are_allowed(line: str) -> None:
    need = Requirement(line)
    [pin] = [version for name, version in PINS.items() if canonicalize_name(name) == canonicalize_name(need.name)]
    assert pin in need.specifier
