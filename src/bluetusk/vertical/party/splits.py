"""Draws the rows held back for the test, with a key that both parties make after the rows are fixed.

Row i is held back if HMAC-SHA-256 of its id, under the key, falls below the agreed share: both parties compute that,
and no message depends on a label. The key comes from 32 random bytes of each party. Each commits to its bytes, bound to
the pair of parties, before either reveals them, so neither can choose the split.

A party keeps its bytes, and the commitment of its peer, for each pair, outside the state of a job. Later runs of the
pair, over any rows, therefore use the same key, and a row used for training is never scored: otherwise a party could
run again, or abort when it has seen the key, or leave out another row each time, until every row had been held back
once. A peer that commits to other bytes than before has lost its own, or claims so; then the run ends, because only the
owners can allow another split.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, ProtocolAbort
from ...storage import sealed
from ...wire.frame import Kind, check_fields, decode, encode, field
from ..protocol.link import Link
from .vault import Vault

__all__ = ["SplitKey", "Splits", "agree_on_split"]

_BYTES = 32
_LABEL = b"bluetusk/vertical/party/split/v1\0"
_PATIENCE = 10.0  # seconds that another job of this party may hold the directory
_LOST = "this run's part of the split is not that of an earlier run: a splits directory was lost"


@dataclass(frozen=True)
class SplitKey:
    """The key on which both parties have agreed; every draw from the rows in common derives from it.

    Attributes
    ----------
    secret : bytes
        The key, 32 bytes. The repr does not show it.

    Raises
    ------
    FrameError
        If it has another length, as in a state directory of another version.

    Examples
    --------
    >>> key = SplitKey(bytes(32))
    >>> key.held_back(["a", "b", "c", "d"], 0.5).tolist(), key.order(["a", "b", "c", "d"]).tolist()
    ([True, True, True, False], [0, 1, 3, 2])
    """

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != _BYTES:
            raise FrameError(f"the key of the split has {len(self.secret)} bytes, not {_BYTES}: begin a new job")

    def __repr__(self) -> str:
        return "SplitKey()"

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose; they are independent of those of other purposes."""
        return hmac.digest(self.secret, _LABEL + purpose.encode(), "sha256")

    def held_back(self, ids: Sequence[str], share: float, purpose: str = "test") -> NDArray[np.bool_]:
        """Return the rows that a draw selects.

        Parameters
        ----------
        ids : sequence of str
            The ids of the rows.
        share : float
            0 to 1.
        purpose : str
            The purpose; each has an independent draw.

        Returns
        -------
        ndarray of bool
            True for selected rows; each row is selected with probability `share`, independently of the other rows.
        """
        key, limit = self.derived(purpose), int(share * 2.0**64)  # exact: a power of two times a float
        drawn = (int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:8], "big") for text in ids)
        return np.fromiter((number < limit for number in drawn), np.bool_, len(ids))

    def order(self, ids: Sequence[str], purpose: str = "order") -> NDArray[np.int64]:
        """Return the positions of the rows in an order that depends only on the key and the ids."""
        key = self.derived(purpose)
        keys = [hmac.digest(key, text.encode(), "sha256") for text in ids]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)

    def hash(self) -> bytes:
        """Return a hash of the key for logs: equal for equal keys, and it reveals nothing else."""
        return self.derived("hash")


class Splits:
    """A party's part of every split that it has agreed on.

    Parameters
    ----------
    path : path-like, optional
        A directory, encrypted like the state; by default the parts are in memory only, for one run.
    key : bytes
        The 32 bytes of :meth:`~bluetusk.vertical.party.Identity.state_key`.
    pair : bytes
        Identifies the two parties; the same at both.

    Raises
    ------
    ProtocolAbort
        If the disk refuses a write, or another process holds the directory for too long.

    Examples
    --------
    >>> splits = Splits()
    >>> splits.rows(["b", "a"]) == splits.rows(["a", "b"]), splits.contribution() == splits.contribution()
    (True, True)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, key: bytes = b"", *, pair: bytes = b"") -> None:
        self._path, self._key, self._pair = path, key, pair
        self._memory: dict[str, bytes] = {}
        self._fresh = os.urandom(_BYTES)  # in place of a key, for one run
        if path is not None:
            with self._vault():  # find an unusable directory before the first message
                pass

    @property
    def between(self) -> bytes:
        """The digest of the pair, the same at both parties, to which the key belongs."""
        return hashlib.sha256(_LABEL + b"pair " + self._pair).digest()

    def hash_key(self, purpose: str) -> bytes:
        """Return 32 bytes for keyed hashes in this party's log: nobody else can confirm a guess by such a hash.

        They follow from the identity's key, so they are the same in every run with this peer. An auditor who is given
        them can check the hashes of this purpose, and nothing else.

        Parameters
        ----------
        purpose : str
            What is hashed, and in which job.
        """
        key = self._key or self._fresh
        return hmac.digest(key, _LABEL + b"hash " + self.between + purpose.encode(), "sha256")

    def rows(self, ids: Sequence[str]) -> bytes:
        """Return the digest of the pair and of its common ids, in any order."""
        digest = hashlib.sha256(_LABEL + len(self._pair).to_bytes(8, "little") + self._pair)
        for text in sorted(text.encode() for text in ids):
            digest.update(len(text).to_bytes(8, "little") + text)
        return digest.digest()

    def place(self) -> str | None:
        """Return the location of this party's part; None in memory."""
        return None if self._path is None else os.path.join(os.fspath(self._path), self.between.hex()[:32])

    def contribution(self) -> tuple[bytes, bytes]:
        """Return this party's 32 bytes for the pair, drawn on first use, and the peer's commitment.

        Both are on disk when this returns; the commitment is empty if there is none yet.
        """
        with self._changing() as kept:
            if not kept:
                kept.update(mine=os.urandom(_BYTES), theirs=b"")
            return kept["mine"], kept["theirs"]

    def pin(self, commitment: bytes) -> None:
        """Keep the peer's commitment, before this party's bytes are revealed."""
        with self._changing() as kept:
            kept["theirs"] = commitment

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, bytes]]:
        name = self.between.hex()[:32]
        with self._vault() as vault:
            data = self._memory.get(name) if vault is None else vault.read(name)
            kept: dict[str, bytes] = {}
            if data is not None:
                header = decode(data, Kind.CHECKPOINT).header
                check_fields(header, ["mine", "theirs"])
                kept = {"mine": field(header, "mine", bytes, length=_BYTES), "theirs": field(header, "theirs", bytes)}
            before = dict(kept)
            yield kept
            if kept != before:
                new = encode(Kind.CHECKPOINT, kept)
                if vault is None:
                    self._memory[name] = new
                else:
                    vault.write(name, new)

    @contextlib.contextmanager
    def _vault(self) -> Iterator[Vault | None]:
        """Open the directory briefly: jobs with several peers may share it."""
        if self._path is None:
            yield None
            return
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                vault = Vault(self._path, self._key)
                break
            except ProtocolAbort:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        try:
            yield vault
        finally:
            vault.close()


def _commitment(pair: bytes, party: str, contribution: bytes) -> bytes:
    return hmac.digest(contribution, _LABEL + b"commitment " + party.encode() + b"\0" + pair, "sha256")


def agree_on_split(splits: Splits, link: Link) -> SplitKey:
    """Agree with the peer on the key of the pair, once the rows are fixed: commitments both ways, then the bytes.

    Parameters
    ----------
    splits : Splits
        This party's.
    link : Link
        To the peer.

    Returns
    -------
    SplitKey
        The same at both, and the same in every run of this pair.

    Raises
    ------
    ProtocolAbort
        If the peer commits to other bytes than in an earlier run, or reveals others than it committed to.
    """
    pair = splits.between
    mine, pinned = splits.contribution()
    link.send("commit", {}, [_commitment(pair, link.me, mine)])
    (part,) = link.receive("commit", parts=1, most=_BYTES).parts
    theirs = bytes(part)
    if len(theirs) != _BYTES:
        raise FrameError(f"message 'commit' holds {len(theirs)} bytes, not {_BYTES}")
    if pinned and not hmac.compare_digest(pinned, theirs):
        link.abort(_LOST)
        raise ProtocolAbort(
            f"{link.peer!r} has another part of the split than in an earlier run, so other rows would be held back "
            f"and scored: have it restore its splits directory. If both owners want a new split, each must remove its "
            f"part first, here {splits.place() or 'memory'}",
            party=link.peer,
        )
    splits.pin(theirs)
    link.send("reveal", {}, [mine])
    (part,) = link.receive("reveal", parts=1, most=_BYTES).parts
    shown = bytes(part)
    if len(shown) != _BYTES or not hmac.compare_digest(_commitment(pair, link.peer, shown), theirs):
        raise ProtocolAbort("the peer's part of the split is not what was committed to", party=link.peer)
    both = mine + shown if link.me < link.peer else shown + mine  # "guest" before "host" at both
    return SplitKey(sealed.derived(both, _LABEL + b"key", pair))
