"""Keeps the encrypted labels of a pair: the guest its array, for all jobs, the host the book that compares.

A guest that encrypted its labels anew for each job could exchange them, and learn more about the host's bins with each
array (:mod:`bluetusk.vertical.binning.labels`). So the directory of the splits holds, at the guest, one array for all
rows that the pair ever had in common, sealed; at the host, hashes of what it was sent for each row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..._numeric import Ints
from ...errors import ProtocolAbort
from ...storage import sealed
from ...wire.frame import Kind, encode
from ..binning.labels import LabelArray, LabelBook
from ..protocol.state import pack_state, unpack_state
from ..saving import load_frame, save_frame

__all__ = ["Labels"]

_NAME = "labels of a pair"
_LABEL = b"bluetusk labels 1 "


class Labels:
    """A party's part.

    Parameters
    ----------
    folder : path-like, optional
        The directory of the splits; by default everything is in memory, for one run.
    key : bytes
        The 32 bytes of :meth:`~bluetusk.vertical.party.Identity.state_key`.
    pair : bytes
        Identifies the two parties.

    Examples
    --------
    >>> labels = Labels()
    >>> labels.array(["b", "a"], np.array([0, 1]), 2048).labels
    array([0, 1])
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, key: bytes = b"", *, pair: bytes = b"") -> None:
        self._key = sealed.derived(key or bytes(32), _LABEL, pair)
        name = sealed.derived(self._key, _LABEL + b"name", b"").hex()[:32]
        self._array = None if folder is None else Path(folder) / f"{name}.labels"
        self._book = None if folder is None else Path(folder) / f"{name}.book"

    def array(self, ids: Sequence[str], labels: Ints, key_size: int) -> LabelArray:
        """Return, at the guest, the array for these rows; what is new in it is on disk when this returns.

        Parameters
        ----------
        ids : sequence of str
        labels : ndarray of int64, shape (n,)
        key_size : int

        Raises
        ------
        ProtocolAbort
            If a row had another label in an earlier job.
        FrameError, OSError
            If the file cannot be read or written.
        """
        names, whole = self._load(key_size)
        places = {name: k for k, name in enumerate(names)}
        at = np.array([places.get(name, -1) for name in ids], np.int64)
        known = at >= 0
        if whole is not None:
            changed = int((whole.labels[at[known]] != labels[known]).sum())
            if changed:
                raise ProtocolAbort(
                    f"{changed} rows have other labels than in an earlier job with this host, which would refuse them: "
                    f"give the labels of then; or remove {self._array}, and have the host grant second_labels",
                    party=None,
                )
        if not known.all():
            more = labels[~known]
            whole = LabelArray(more, key_size=key_size) if whole is None else whole.extended(more)
            names = [*names, *(name for name, old in zip(ids, known.tolist(), strict=True) if not old)]
            self._save(names, whole)
            places = {name: k for k, name in enumerate(names)}
            at = np.array([places[name] for name in ids], np.int64)
        assert whole is not None
        return whole[at]

    def book(self) -> LabelBook:
        """Return, at the host, the book of this pair; close it after the binning.

        Second labels go to the policy, which refuses them unless a grant has the clause.
        """
        return LabelBook(self._book, key=self._key, second_labels=True)

    def _load(self, key_size: int) -> tuple[list[str], LabelArray | None]:
        if self._array is None or not self._array.exists():
            return [], None
        got = load_frame(self._array, Kind.VERTICAL_STATE, self._key)
        _, kept = unpack_state(encode(got.kind, got.header, got.payload), _NAME)
        whole = LabelArray.from_bytes(kept["array"].tobytes())
        if whole.public_key.bits != key_size:
            raise ProtocolAbort(
                f"the labels of this pair are encrypted with {whole.public_key.bits} bits, model.key_size is "
                f"{key_size}: set it to that, or remove {self._array}, and have the host grant second_labels",
                party=None,
            )
        return json.loads(kept["ids"].tobytes()), whole

    def _save(self, names: list[str], whole: LabelArray) -> None:
        if self._array is not None:
            parts = {"array": whole.to_bytes(), "ids": json.dumps(names).encode()}
            arrays = {name: np.frombuffer(data, np.uint8) for name, data in parts.items()}
            save_frame(self._array, pack_state(_NAME, {}, arrays), self._key)
