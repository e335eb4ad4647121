"""The Merkle tree of RFC 6962, section 2.1: hashes, inclusion proofs ("audit paths") and consistency proofs.

A leaf is hashed as SHA-256(00 || data), a node as SHA-256(01 || left || right), so neither can be taken for the other.
The left subtree of n leaves has as many as the largest power of two below n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["HASH", "Tree", "leaf_hash", "verify_consistency", "verify_inclusion"]

HASH = 32
"""Bytes of a hash."""
_EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf.

    Parameters
    ----------
    data : bytes
        The leaf: in a log, the frame of a record.

    Returns
    -------
    bytes
        32 bytes.

    References
    ----------
    RFC 6962, section 2.1.

    Examples
    --------
    >>> from bluetusk.evidence import leaf_hash
    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows leaf by leaf and knows the root of every size it has had.

    Level k holds the hashes of all complete subtrees of 2^k leaves, end to end: 64 bytes of memory for each leaf in
    all. A root or proof takes O(log^2 n) hashes.
    """

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH

    def append(self, leaf: bytes) -> None:
        """Add a leaf, given by its hash."""
        index, level, node = len(self), 0, leaf
        self._levels[0] += node
        while index & 1:
            node = _node(self._at(level, index - 1), node)
            index, level = index >> 1, level + 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += node

    def truncate(self, count: int) -> None:
        """Keep the first `count` leaves; also after an :meth:`append` that was interrupted half-way."""
        for level in range(len(self._levels) - 1, -1, -1):  # a leaf last: what stands above it goes before it does
            del self._levels[level][HASH * (count >> level) :]

    def leaf(self, index: int) -> bytes:
        """Return the hash of a leaf."""
        return self._at(0, index)

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves, by default of all."""
        count = len(self) if size is None else size
        return self._range(0, count) if count else _EMPTY

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of leaf `index` in the tree of the first `size` leaves."""
        path: list[bytes] = []
        lo, hi = 0, size
        while hi - lo > 1:
            middle = lo + _split(hi - lo)
            if index < middle:
                path.append(self._range(middle, hi))
                hi = middle
            else:
                path.append(self._range(lo, middle))
                lo = middle
        return path[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of the first `new` leaves extends that of the first `old`."""
        path: list[bytes] = []
        lo, hi, whole = 0, new, True  # whole: the old tree's root is known to who checks, as long as lo is 0
        if not 0 < old < new:
            return path
        while old != hi:
            middle = lo + _split(hi - lo)
            if old <= middle:
                path.append(self._range(middle, hi))
                hi = middle
            else:
                path.append(self._range(lo, middle))
                lo, whole = middle, False
        if not whole:
            path.append(self._range(lo, hi))
        return path[::-1]

    def _at(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][HASH * index : HASH * (index + 1)])

    def _range(self, lo: int, hi: int) -> bytes:
        """Return the root over leaves lo .. hi - 1; lo is a multiple of a power of two that is not below hi - lo."""
        count = hi - lo
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._at(level, lo >> level)
        middle = lo + _split(count)
        return _node(self._range(lo, middle), self._range(middle, hi))


def _split(count: int) -> int:
    """Return the largest power of two below count."""
    return 1 << ((count - 1).bit_length() - 1)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Check that a record is in a log.

    Parameters
    ----------
    index : int
        The record's number, from 0.
    size : int
        Size of the tree under the root.
    leaf : bytes
        :func:`leaf_hash` of the record's frame.
    proof : sequence of bytes
        From :meth:`Log.inclusion`, 32 bytes each.
    root : bytes
        The root in a head of that size.

    Returns
    -------
    bool
        Whether the proof holds. Anything malformed gives False.

    References
    ----------
    RFC 6962, section 2.1.1; the check as in RFC 9162, section 2.1.3.2.

    Examples
    --------
    >>> from bluetusk.evidence import leaf_hash, verify_inclusion
    >>> verify_inclusion(0, 1, leaf_hash(b"x"), [], leaf_hash(b"x"))
    True
    """
    if not 0 <= index < size or not _hashes(leaf, root, *proof):
        return False
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = _node(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = _node(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Check that a log of `new` records begins with the `old` records that an earlier head stood for.

    Parameters
    ----------
    old, new : int
        Sizes of the two trees.
    proof : sequence of bytes
        From :meth:`Log.consistency`, 32 bytes each.
    old_root, new_root : bytes
        The roots in the two heads.

    Returns
    -------
    bool
        Whether the proof holds. Anything malformed gives False. Every tree extends the empty one.

    References
    ----------
    RFC 6962, section 2.1.2; the check as in RFC 9162, section 2.1.4.2.

    Examples
    --------
    >>> from bluetusk.evidence import leaf_hash, verify_consistency
    >>> verify_consistency(1, 1, [], leaf_hash(b"x"), leaf_hash(b"x"))
    True
    """
    if not 0 <= old <= new or not _hashes(old_root, new_root, *proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == _EMPTY
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_node = _node(sibling, old_node)
            new_node = _node(sibling, new_node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_node = _node(new_node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old_node == old_root and new_node == new_root


def _hashes(*values: bytes) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH for value in values)
