"""Reads TOML on every supported CPython."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file; ValueError, with the line, if it is malformed."""
    try:
        import tomllib
    except ModuleNotFoundError:  # CPython 3.10
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    try:
        return dict(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ValueError(f"{os.fspath(path)} is not a TOML file: {err}") from None
