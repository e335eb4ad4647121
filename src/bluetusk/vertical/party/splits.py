"""Draws which rows are held back for the test, by a key that both parties make after the rows are fixed.

Row i is held back if HMAC-SHA-256 of its id, under the key, falls below the agreed share: both parties compute that,
and no message depends on a label. The key comes from 32 random bytes of each party. Each commits to its bytes, bound to
the pair of parties, before either shows them, so neither can choose the split.

A party keeps its bytes, and the commitment of its peer, for each pair, outside of the state of a job. Later runs of the
pair, over whatever rows, therefore take the same key, and a row that was for training never comes to be scored: without
that a party could run again, or break off when it has seen the key, or leave out another row each time, until every row
had been held back once. A peer that commits to other bytes than before has lost its own, or says that it has; then the
run ends, because only the owners can allow another split.
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
    """What both parties know after they have agreed; everything that is drawn from the rows in common comes from it.

    Attributes
    ----------
    secret : bytes
        32 bytes. The repr does not show it.

    Raises
    ------
    FrameError
        If it has another length: a state directory of another version.

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
        """Return 32 bytes for one purpose; those of other purposes say nothing about them."""
        return hmac.digest(self.secret, _LABEL + purpose.encode(), "sha256")

    def held_back(self, ids: Sequence[str], share: float, purpose: str = "test") -> NDArray[np.bool_]:
        """Return which rows fall into a share.

        Parameters
        ----------
        ids : sequence of str
            Of the rows.
        share : float
            0 to 1.
        purpose : str
            What for: each purpose has its own draw.

        Returns
        -------
        ndarray of bool
            Each row is in it with the probability `share`, whatever other rows there are.
        """
        key, limit = self.derived(purpose), int(share * 2.0**64)  # exact: a power of two times a float
        drawn = (int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:8], "big") for text in ids)
        return np.fromiter((number < limit for number in drawn), np.bool_, len(ids))

    def order(self, ids: Sequence[str], purpose: str = "order") -> NDArray[np.int64]:
        """Return the positions of the rows in an order that follows from the key and the ids alone."""
        key = self.derived(purpose)
        keys = [hmac.digest(key, text.encode(), "sha256") for text in ids]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)

    def hash(self) -> bytes:
        """Return what a log may hold of it: the same for the same key, and nothing else can be told from it."""
        return self.derived("hash")


class Splits:
    """A party's own part of every split that it has agreed on.

    Parameters
    ----------
    path : path-like, optional
        A directory, encrypted as the state is; by default the parts live in memory, for one run.
    key : bytes
        32 bytes, of :meth:`~bluetusk.vertical.party.Identity.state_key`.
    pair : bytes
        Names the two parties: the same at both.

    Raises
    ------
    ProtocolAbort
        If the disk refuses a write, or another process uses the directory for long.

    Examples
    --------
    >>> splits = Splits()
    >>> splits.rows(["b", "a"]) == splits.rows(["a", "b"]), splits.contribution() == splits.contribution()
    (True, True)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, key: bytes = b"", *, pair: bytes = b"") -> None:
        self._path, self._key, self._pair = path, key, pair
        self._memory: dict[str, bytes] = {}
        if path is not None:
            with self._vault():  # a directory that cannot be used is found before the first message
                pass

    @property
    def between(self) -> bytes:
        """The digest of the pair, the same at both parties: what the key is of."""
        return hashlib.sha256(_LABEL + b"pair " + self._pair).digest()

    def rows(self, ids: Sequence[str]) -> bytes:
        """Return the digest of the pair and of its common ids, in whatever order they come."""
        digest = hashlib.sha256(_LABEL + len(self._pair).to_bytes(8, "little") + self._pair)
        for text in sorted(text.encode() for text in ids):
            digest.update(len(text).to_bytes(8, "little") + text)
        return digest.digest()

    def place(self) -> str:
        """Return where this party's part is kept, for messages."""
        return os.path.join(os.fspath(self._path), self.between.hex()[:32]) if self._path is not None else "memory"

    def contribution(self) -> tuple[bytes, bytes]:
        """Return this party's 32 bytes for the pair, drawn when they are first asked for, and the peer's commitment.

        Both are on the disk when this returns; the commitment is empty as long as there is none.
        """
        with self._changing() as kept:
            if not kept:
                kept.update(mine=os.urandom(_BYTES), theirs=b"")
            return kept["mine"], kept["theirs"]

    def pin(self, commitment: bytes) -> None:
        """Keep the peer's commitment, before this party's bytes are shown."""
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
        """Open the directory for a moment: jobs with several peers may share it."""
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
        The same at both, and the same whenever this pair agrees.

    Raises
    ------
    ProtocolAbort
        If the peer commits to other bytes than in an earlier run, or shows others than it committed to.
    """
    pair = splits.between
    mine, pinned = splits.contribution()
    link.send("commit", {}, [_commitment(pair, link.me, mine)])
    (part,) = link.receive("commit", parts=1).parts
    theirs = bytes(part)
    if len(theirs) != _BYTES:
        raise FrameError(f"message 'commit' holds {len(theirs)} bytes, not {_BYTES}")
    if pinned and not hmac.compare_digest(pinned, theirs):
        link.abort(_LOST)
        raise ProtocolAbort(
            f"{link.peer!r} brings another part of the split than in an earlier run, so other rows would be held back "
            f"and scored: have it restore its splits directory. If both owners want a new split, each removes its part "
            f"first, here {splits.place()}",
            party=link.peer,
        )
    splits.pin(theirs)
    link.send("reveal", {}, [mine])
    (part,) = link.receive("reveal", parts=1).parts
    shown = bytes(part)
    if len(shown) != _BYTES or not hmac.compare_digest(_commitment(pair, link.peer, shown), theirs):
        raise ProtocolAbort("what was shown for the split is not what was committed to", party=link.peer)
    both = mine + shown if link.me < link.peer else shown + mine  # "guest" before "host" at both
    return SplitKey(sealed.derived(both, _LABEL + b"key", pair))
