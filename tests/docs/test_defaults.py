"""The table of defaults of the command and of the library says what the code does."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import bluetusk as bt
from bluetusk.vertical.party import pipeline
from bluetusk.vertical.party.config import Config, Evidence, Model

PAGE = Path(__file__).parents[2] / "docs/reference/vertical.md"
SECTIONS = {"model": Model, "evidence": Evidence}


def rows() -> list[list[str]]:
    lines = (
        PAGE.read_text(encoding="utf-8").partition("## Defaults of the command")[2].partition("\n:::")[0].splitlines()
    )
    table = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in table[1:]]


def of_command(name: str) -> Any:
    section, _, setting = name.rpartition(".")
    return {item.name: item.default for item in dataclasses.fields(SECTIONS.get(section, Config))}[setting]


def of_library(name: str, parameter: str) -> Any:
    found: Any = bt
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return inspect.signature(found).parameters[parameter].default


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_defaults_are_those_of_the_code(row: list[str]) -> None:
    _, setting, said, function, value = row
    if said:
        assert of_command(setting.strip("`")) == ast.literal_eval(said.strip("`"))
    if value:
        name, parameter = re.fullmatch(r"`(bt[\w.]+)\((\w+)\)`", function).groups()  # type: ignore[union-attr]
        assert of_library(name, parameter) == ast.literal_eval(value.strip("`"))
        if setting == "as the library":
            assert not re.search(rf"\b{parameter}=", inspect.getsource(pipeline))


def test_every_setting_that_protects_is_in_the_table() -> None:
    listed = {row[1].strip("`") for row in rows()}
    least = {f"model.{item.name}" for item in dataclasses.fields(Model) if item.name.startswith("min_")}
    others = {"model.reveal", "model.key_size", "halves", "evidence.audit", "spool_quota"}
    assert least - {"model.min_iv"} | others | {"max_peer_ids"} <= listed
    for name in ("evidence", "evidence.policy"):
        assert any(setting.startswith(f"{name}`: required") for setting in listed)
