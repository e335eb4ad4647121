"""Checks what a party brings before its first message: what fails here costs the peer nothing, and tells it nothing."""

from __future__ import annotations

import importlib.util
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..._parallel import get_num_threads
from ...errors import ProtocolAbort
from ..align.ids import as_ids
from ..logistic.job import MOST_COLUMNS
from .config import Config
from .results import check_places
from .rows import Rows

__all__ = ["check_folders", "check_room", "check_rows"]

_NAME = 256  # characters of a column's name in a message
_TREE_ROWS = 1 << 29  # sums of so many gradients of 24 fractional bits are exact as float64
_MARGIN = 1 << 20
_REPORT = 3 << 20


def check_rows(config: Config, rows: Rows) -> None:
    """Check a party's table against its configuration.

    Parameters
    ----------
    config : Config
        The party's.
    rows : Rows
        Its table.

    Raises
    ------
    ValueError
        Naming the file, the column and the setting that cannot work.
    TypeError
        If an id is neither str nor int.
    """
    data, model = config.data, config.model
    guest = config.role == "guest"
    count = len(as_ids(rows.ids, f"{data.file}: {data.id}"))
    for what, least in (("model.min_intersection", model.min_intersection), ("model.min_rows", model.min_rows)):
        if count < least:
            raise ValueError(f"{data.file} has {count} rows, fewer than {what} = {least}: give more rows, or lower it")
    if model.trees and count >= _TREE_ROWS:
        raise ValueError(
            f"{data.file} has {count} rows, and boosted trees take fewer than {_TREE_ROWS}: set model.trees = 0"
        )
    if not 1 <= len(rows.names) <= MOST_COLUMNS:
        raise ValueError(
            f"{data.file} gives {len(rows.names)} columns beside the id and the label: a party needs 1 to "
            f"{MOST_COLUMNS}; see data.columns"
        )
    for name in rows.names:
        if len(name) > _NAME or "\0" in name:
            raise ValueError(
                f"{data.file}: the column {name[:40]!r} has a name of more than {_NAME} characters, or with a zero "
                f"byte: rename it"
            )
    if rows.labels is not None and not 0 < rows.labels.sum() < count:
        raise ValueError(f"{data.file}: the column {data.label!r} holds one label only: there is nothing to tell apart")
    get_num_threads()  # a wrong BLUETUSK_NUM_THREADS
    needed = {"private_set_intersection": "openmined-psi"} | ({"sklearn": "scikit-learn"} if guest else {})
    needed |= {"matplotlib": "matplotlib"} if guest else {}
    for module, package in needed.items():
        if importlib.util.find_spec(module) is None:
            raise ValueError(f"bluetusk party needs {package} at the {config.role}: pip install 'bluetusk[vertical]'")


def check_folders(config: Config, rows: Rows) -> None:
    """Make the folders that a run writes to, and check that they can be written to and have the space that is sure.

    No folder may be in the place of a result either.

    What a run needs for sure: the largest frames of the alignment, or of a tree's gradients over the smallest
    intersection that is allowed, twice (as sent and as state), and the results. It may need more.

    Parameters
    ----------
    config, rows
        As for :func:`check_rows`.

    Raises
    ------
    ProtocolAbort
        Naming the folder, the space that it has, and how much is needed; or the folder in the place of a result.
    OSError
        If a folder cannot be made.
    """
    model, guest, count = config.model, config.role == "guest", len(rows.ids)
    training = math.ceil(model.min_intersection * (1 - model.test_share))
    gradients = training * model.key_size // 4 if model.trees and guest else 0
    check_room(
        {
            config.state: _MARGIN + 2 * max(33 * count // 8, gradients),
            config.splits: _MARGIN // 16,
            config.output: (_REPORT + 40 * model.min_intersection if guest else 0) + _MARGIN,
        }
    )
    try:
        check_places(Path(config.output))
    except IsADirectoryError as err:
        raise ProtocolAbort(f"cannot write the results to {config.output}: {err.strerror}") from None


def check_room(needs: Mapping[str, int]) -> None:
    """Make folders, and check that they can be written to and have so many bytes free.

    Parameters
    ----------
    needs : mapping of str to int
        Bytes by folder.

    Raises
    ------
    ProtocolAbort, OSError
        As :func:`check_folders`.
    """
    room: dict[int, list[tuple[str, int]]] = {}
    for folder, size in needs.items():
        path = Path(folder)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as err:
            raise ProtocolAbort(f"cannot write to {folder}: {err.strerror}: mend it and start again") from None
        room.setdefault(os.stat(path).st_dev, []).append((folder, size))
    for parts in room.values():  # folders of one file system share its space
        folder, size = parts[-1][0], sum(size for _, size in parts)
        stat = os.statvfs(folder)
        free = stat.f_bavail * stat.f_frsize
        if free < size:
            folders = ", ".join(folder for folder, _ in parts)
            raise ProtocolAbort(
                f"{folders}: {free / 1e6:.1f} MB are free, at least {size / 1e6:.1f} MB are needed: free space and "
                f"start again"
            )
