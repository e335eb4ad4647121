"""Checks a party's inputs before its first message: a failure here costs the peer nothing and reveals nothing to it."""

from __future__ import annotations

import importlib.util
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..._parallel import get_num_threads
from ...errors import ProtocolAbort
from ..align.ids import as_ids
from ..logistic.config import MOST_COLUMNS
from .config import Config
from .results import check_places
from .rows import Rows

__all__ = [
    "check_folders",
    "check_room",
    "check_rows",
    "count_faults",
    "machine_faults",
    "room_faults",
    "room_needed",
    "row_faults",
]

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
        If an id is missing or repeated, the table has too few rows or events for the settings, too few or too many
        columns, a column's name is too long, or the labels are all equal. The error names file, column and setting.
    TypeError
        If an id is neither str nor int.
    """
    for fault in row_faults(config, rows):
        raise fault
    for fault in machine_faults(config.role):
        raise fault


def row_faults(config: Config, rows: Rows) -> Iterator[ValueError | TypeError]:
    """Yield all that :func:`check_rows` would raise for a table."""
    data = config.data
    try:
        as_ids(rows.ids, f"{data.file}: {data.id}")
    except (ValueError, TypeError) as err:
        yield err
    yield from count_faults(config, len(rows.ids), rows.labels)
    if not 1 <= len(rows.names) <= MOST_COLUMNS:
        yield ValueError(
            f"{data.file} has {len(rows.names)} columns besides id and label: a party needs 1 to {MOST_COLUMNS}; set "
            f"data.columns"
        )
    for name in rows.names:
        if len(name) > _NAME or "\0" in name:
            yield ValueError(
                f"{data.file}: the column {name[:40]!r} has a name of more than {_NAME} characters, or with a zero "
                f"byte: rename it"
            )


def count_faults(config: Config, count: int, labels: NDArray[Any] | None) -> Iterator[ValueError]:
    """Yield what is wrong with the numbers of rows and of events."""
    data, model = config.data, config.model
    for what, least in (("model.min_intersection", model.min_intersection), ("model.min_rows", model.min_rows)):
        if count < least:
            yield ValueError(f"{data.file} has {count} rows, fewer than {what} = {least}: give more rows, or lower it")
    if model.trees and count >= _TREE_ROWS:
        yield ValueError(
            f"{data.file} has {count} rows, but boosted trees need fewer than {_TREE_ROWS}: set model.trees = 0"
        )
    if labels is not None and not 0 < labels.sum() < count:
        yield ValueError(f"{data.file}: the column {data.label!r} holds only one label: both 0 and 1 are needed")
    if labels is not None and int(labels.sum()) < model.min_total_events:
        yield ValueError(
            f"{data.file} has {int(labels.sum())} events, fewer than model.min_total_events = "
            f"{model.min_total_events}: give more rows, or lower it at both"
        )


def machine_faults(role: str) -> Iterator[ValueError]:
    """Yield what is wrong with the environment of a run: the number of threads, packages that are not installed."""
    try:
        get_num_threads()  # a wrong BLUETUSK_NUM_THREADS
    except ValueError as err:
        yield err
    needed = {"private_set_intersection": "openmined-psi", "grpc": "grpcio"}
    needed |= {"sklearn": "scikit-learn", "matplotlib": "matplotlib"} if role == "guest" else {}
    for module, package in needed.items():
        if importlib.util.find_spec(module) is None:
            yield ValueError(f"bluetusk party needs {package} at the {role}: pip install 'bluetusk[vertical]'")


def check_folders(config: Config, rows: Rows) -> None:
    """Make the folders that a run writes to, and check that they are writable and have the least space needed.

    Also check that no folder has the name of a result.

    A run needs at least the largest frames of the alignment, or of a tree's gradients over the smallest allowed
    intersection, twice (as sent and as state), and the results. It may need more.

    Parameters
    ----------
    config, rows
        As for :func:`check_rows`.

    Raises
    ------
    ProtocolAbort
        If a folder is not writable or has too little space, or a folder has the name of a result. The error names the
        folder, the space it has and the space needed.
    OSError
        If a folder cannot be made.
    """
    check_room(room_needed(config, len(rows.ids)))
    try:
        check_places(Path(config.output))
    except IsADirectoryError as err:
        raise ProtocolAbort(f"cannot write the results to {config.output}: {err.strerror}") from None


def room_needed(config: Config, count: int) -> dict[str, int]:
    """Return the least bytes that a run needs, by folder, with a table of so many rows."""
    model, guest = config.model, config.role == "guest"
    training = math.ceil(model.min_intersection * (1 - model.test_share))
    gradients = training * model.key_size // 4 if model.trees and guest else 0
    return {
        config.state: _MARGIN + 2 * max(33 * count // 8, gradients),
        config.splits: _MARGIN // 16,
        config.output: (_REPORT + 40 * model.min_intersection if guest else 0) + _MARGIN,
    }


def room_faults(needs: Mapping[str, int]) -> Iterator[str]:
    """Yield why folders cannot be made, written to, or hold enough, and change nothing on the disk."""
    room: dict[int, list[tuple[str, int]]] = {}
    for folder, size in needs.items():
        there = Path(folder)
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            yield f"cannot make the folder {folder}: {there} is not a folder: rename it, or choose another name"
            continue
        if not os.access(there, os.W_OK | os.X_OK) or os.statvfs(there).f_flag & os.ST_RDONLY:
            yield f"cannot write to {folder}: {there} is not writable for this user: change its mode or its owner"
        room.setdefault(os.stat(there).st_dev, []).append((str(there), size))
    for parts in room.values():
        if (short := _short(parts[-1][0], parts)) is not None:
            yield short


def _short(folder: str, parts: Sequence[tuple[str, int]]) -> str | None:
    """Return the error if the file system of some folders has too little space for them together."""
    size = sum(size for _, size in parts)
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free >= size:
        return None
    folders = ", ".join(dict.fromkeys(folder for folder, _ in parts))
    return (
        f"{folders}: {free / 1e6:.1f} MB are free, at least {size / 1e6:.1f} MB are needed: free space and start again"
    )


def check_room(needs: Mapping[str, int]) -> None:
    """Make folders, and check that they are writable and have enough bytes free.

    Parameters
    ----------
    needs : mapping of str to int
        Bytes needed, by folder.

    Raises
    ------
    ProtocolAbort, OSError
        As for :func:`check_folders`.
    """
    room: dict[int, list[tuple[str, int]]] = {}
    for folder, size in needs.items():
        path = Path(folder)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as err:
            raise ProtocolAbort(f"cannot write to {folder}: {err.strerror}: fix it and start again") from None
        room.setdefault(os.stat(path).st_dev, []).append((folder, size))
    for parts in room.values():  # folders of one file system share its space
        if (short := _short(parts[-1][0], parts)) is not None:
            raise ProtocolAbort(short, kind="disk")
