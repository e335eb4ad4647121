"""Deals, interpolates and finds wrong shares, for Shamir's sharing and its packed form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _parallel
from .._numeric import as_int
from .._random import Stream
from ..errors import ProtocolAbort
from ._decode import wrong_positions
from ._field import ShareField

__all__ = [
    "DEFAULT_PRIME",
    "abort",
    "check_ids",
    "correct_over",
    "deal",
    "find_wrong",
    "interpolate",
    "received",
    "reconstruct_over",
    "share_over",
    "sizes",
]

DEFAULT_PRIME = 2**61 - 1


def deal(field: ShareField, values: NDArray[Any], matrix: NDArray[Any], threads: int | None = None) -> NDArray[Any]:
    """Return `matrix` times the rows `values` and, below them, fresh random rows up to the number of its columns."""
    known, n = values.shape[:2]
    inner = matrix.shape[1]
    out = field.empty(len(matrix), n)

    def work(lo: int, hi: int) -> None:
        stream = Stream()
        rows = field.empty(inner, min(field.chunk, hi - lo))
        for at in range(lo, hi, field.chunk):
            size = min(field.chunk, hi - at)
            if size < rows.shape[1]:
                rows = field.empty(inner, size)
            rows[:known] = values[:, at : at + size]
            if inner > known:
                field.uniform(rows[known:], stream)
            field.kernel.matmul(matrix, rows, out, 0, at, size)

    _parallel.run(n, work, cost_us=field.cost_us(matrix), align=64, threads=threads)
    return out


def sizes(field: ShareField, threshold: int, parties: int, pack: int = 1) -> tuple[int, int]:
    most = field.order - pack
    parties = as_int(parties, "parties", 1)
    if parties > most:
        raise ValueError(f"parties is {parties}, but {field!r} has {most} points for them: use a larger field")
    threshold = as_int(threshold, "threshold", 1)
    if threshold + pack - 1 > parties:
        packed = f" with {pack} packed secrets" if pack > 1 else ""
        raise ValueError(
            f"threshold is {threshold}{packed}, but {parties} parties cannot reach it: add parties or lower threshold"
        )
    return threshold, parties


def check_ids(field: ShareField, ids: Sequence[int], count: int) -> tuple[int, ...]:
    """Return party numbers as a tuple; refuse 0, duplicates and what is outside the field."""
    if not isinstance(ids, Iterable):
        raise TypeError(f"ids must be a sequence of party numbers, not {type(ids).__name__}")
    who = tuple(as_int(party, f"ids[{i}]") for i, party in enumerate(ids))
    if len(who) != count:
        raise ValueError(f"ids names {len(who)} parties, but shares holds {count}: give one id for each share")
    seen: dict[int, int] = {}
    for i, party in enumerate(who):
        if party == 0:
            raise ValueError(f"ids[{i}] is 0: parties are counted from 1, share 0 would be the secret itself")
        if not 1 <= party < field.order:
            raise ValueError(f"ids[{i}] is {party}, outside the field: ids are 1 to {field.order - 1}")
        if party in seen:
            raise ValueError(f"ids[{i}] is {party}, and so is ids[{seen[party]}]: give each party's share once")
        seen[party] = i
    return who


def received(
    field: ShareField, shares: ArrayLike, ids: Sequence[int], threshold: int, fewest: int | None = None
) -> tuple[NDArray[Any], tuple[int, ...], tuple[int, ...], int]:
    """Check what came from parties: shares as (m, n) elements, the shape of the secrets, the parties, the threshold."""
    flat, shape = field.elements(shares, "shares")
    who = check_ids(field, ids, len(flat))
    threshold = as_int(threshold, "threshold", 1)
    needed = threshold if fewest is None else fewest
    if len(who) < needed:
        raise ValueError(f"shares holds {len(who)} shares, but {needed} are needed: wait for more parties")
    return flat, shape, who, threshold


def share_over(
    field: ShareField, x: ArrayLike, threshold: int, parties: int, threads: int | None, name: str = "x"
) -> NDArray[Any]:
    """Share numbers over a field; see :func:`bluetusk.sharing.shamir.share`."""
    values, shape = field.encode(x, name)
    threshold, parties = sizes(field, threshold, parties)
    shares = deal(field, values[None], field.powers(tuple(range(1, parties + 1)), threshold), threads)
    return shares.reshape(parties, *shape, *field.tail)


def reconstruct_over(
    field: ShareField, shares: ArrayLike, ids: Sequence[int], threshold: int, check: bool, threads: int | None
) -> NDArray[Any]:
    """Reconstruct numbers over a field; see :func:`bluetusk.sharing.shamir.reconstruct`."""
    flat, shape, who, threshold = received(field, shares, ids, threshold)
    values, suspect = interpolate(field, flat, who, threshold, (0,), check, threads)
    if suspect.size:
        abort(who, threshold, find_wrong(field, flat, who, threshold, suspect))
    return field.decode(values[0], shape)


def correct_over(
    field: ShareField, shares: ArrayLike, ids: Sequence[int], threshold: int, threads: int | None
) -> tuple[NDArray[Any], list[int]]:
    """Reconstruct although some shares may be wrong; see :func:`bluetusk.sharing.shamir.correct`."""
    flat, shape, who, threshold = received(field, shares, ids, threshold)
    values, suspect = interpolate(field, flat, who, threshold, (0,), True, threads)
    wrong: list[int] = []
    if suspect.size:
        found = find_wrong(field, flat, who, threshold, suspect)
        if found is None:
            abort(who, threshold, None)
        wrong = sorted(found or ())
        keep = [i for i, party in enumerate(who) if party not in wrong]
        good = tuple(who[i] for i in keep)
        values, _ = interpolate(field, flat[keep], good, threshold, (0,), False, threads)
    return field.decode(values[0], shape), wrong


def interpolate(
    field: ShareField,
    flat: NDArray[Any],
    who: tuple[int, ...],
    threshold: int,
    to: tuple[int, ...],
    check: bool,
    threads: int | None,
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the values at `to` from the first `threshold` shares, and the positions at which the others disagree."""
    n = flat.shape[1]
    others = who[threshold:] if check else ()
    matrix = field.lagrange((*to, *others), who[:threshold])
    base, rest = flat[:threshold], flat[threshold:]
    values = field.empty(len(to), n)
    suspect = np.zeros(n, dtype=bool)

    def work(lo: int, hi: int) -> None:
        for at in range(lo, hi, field.chunk):
            size = min(field.chunk, hi - at)
            if not others:
                field.kernel.matmul(matrix, base, values, at, at, size)
                continue
            part = field.empty(len(matrix), size)
            field.kernel.matmul(matrix, base, part, at, 0, size)
            values[:, at : at + size] = part[: len(to)]
            differs = part[len(to) :] != rest[:, at : at + size]
            if differs.any():
                suspect[at : at + size] = differs.any(axis=(0, 2) if field.tail else 0)

    _parallel.run(n, work, cost_us=field.cost_us(matrix), align=64, threads=threads)
    return values, np.flatnonzero(suspect)


def find_wrong(
    field: ShareField, flat: NDArray[Any], who: tuple[int, ...], threshold: int, suspect: NDArray[np.intp]
) -> set[int] | None:
    """Return the parties whose shares are wrong somewhere, or None if they are more than half of the surplus.

    One position after the other is decoded, but only until its culprits are known: what is left must disagree without
    them to be looked at. Each decoding names a new party, so there are at most as many as wrong parties. With e = (m
    - t) // 2, u <= e named and at most e wrong in all, the m - u other shares hold at least m - e >= t + e right
    ones: if they agree, they are right.
    """
    most = (len(who) - threshold) // 2
    wrong: set[int] = set()
    columns = flat[:, suspect]
    while columns.shape[1]:
        values = field.to_ints(np.ascontiguousarray(columns[:, 0]))
        found = wrong_positions(field.order, who, values, threshold)
        if found is None:
            return None
        wrong |= {who[i] for i in found}
        if len(wrong) > most:
            return None
        keep = [i for i, party in enumerate(who) if party not in wrong]
        good = np.ascontiguousarray(columns[keep])
        _, left = interpolate(field, good, tuple(who[i] for i in keep), threshold, (0,), True, 1)
        columns = columns[:, left]
    return wrong


def abort(who: tuple[int, ...], threshold: int, wrong: set[int] | None) -> NoReturn:
    if wrong is None:
        most = (len(who) - threshold) // 2
        raise ProtocolAbort(
            f"the shares of {len(who)} parties disagree, and more than {most} of them are wrong: get more shares"
        )
    names = ", ".join(str(party) for party in sorted(wrong))
    one = len(wrong) == 1
    raise ProtocolAbort(
        f"the share{'' if one else 's'} of part{'y' if one else 'ies'} {names} {'is' if one else 'are'} wrong: "
        f"leave {'it' if one else 'them'} out, or use correct()",
        party=names,
    )
