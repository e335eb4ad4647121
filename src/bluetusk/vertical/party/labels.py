"""Keeps the one label array of a pair of parties: the ciphertexts at the guest, their hashes at the host.

Both lie in the directory of the splits, outside the state of a job, since they hold for all jobs of the pair.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence

from numpy.typing import ArrayLike

from ...errors import ProtocolAbort
from ..binning.labels import LabelArray, LabelBook
from .splits import Splits

__all__ = ["PairLabels"]


class PairLabels:
    """The labels that a pair has used, kept where its splits are kept.

    Parameters
    ----------
    splits : Splits
        This party's.

    Examples
    --------
    >>> kept = PairLabels(Splits())
    >>> first = kept.array(["A", "B"], [0, 1], key_size=2048)
    >>> kept.array(["C", "A"], [1, 0], key_size=2048).public_key == first.public_key
    True
    """

    def __init__(self, splits: Splits) -> None:
        self._splits = splits
        self._name = f"{splits.between.hex()[:32]}.labels"

    def array(self, ids: Sequence[str], y: ArrayLike, *, key_size: int) -> LabelArray:
        """Return, at the guest, the array of some rows: what earlier jobs encrypted, and only new rows encrypted now.

        Parameters
        ----------
        ids : sequence of str
            The ids of the rows in common.
        y : array_like of shape (n,)
            Their labels, 0 and 1.
        key_size : int
            Bits of the key, if the pair has none yet.

        Returns
        -------
        LabelArray
            In the order of `ids`; it is on disk when this returns.

        Raises
        ------
        ProtocolAbort
            If a row has another label than before, or the disk refuses a write.
        FrameError
            If the file was changed.
        """
        with self._splits._vault() as vault:
            data = self._splits._memory.get(self._name) if vault is None else vault.read(self._name)
            before = None if data is None else LabelArray.from_bytes(data)
            try:
                array = LabelArray(y, ids, key_size=key_size) if before is None else before.including(ids, y)
            except ValueError as error:
                raise ProtocolAbort(
                    f"{error}; if labels became known since, agree with the host and remove {self._place()}"
                ) from None
            if array is not before:
                if vault is None:
                    self._splits._memory[self._name] = array.to_bytes()
                else:
                    vault.write(self._name, array.to_bytes())
        return array.at(ids)

    def book(self, *, second_labels: bool = False) -> LabelBook:
        """Return, at the host, the book of the guest's labels; close it after the job.

        Parameters
        ----------
        second_labels : bool
            As for :class:`LabelBook`: what the host's policy grants.

        Examples
        --------
        >>> PairLabels(Splits()).book().second_labels
        False
        """
        key = hmac.digest(self._splits._key, b"bluetusk/vertical/party/labels/v1\0" + self._splits.between, "sha256")
        path = None if self._splits._path is None else self._place()
        return LabelBook(path, key=key, second_labels=second_labels)

    def _place(self) -> str:
        path = self._splits._path
        return "the labels in memory" if path is None else os.path.join(os.fspath(path), self._name)
