"""Aligns rows: finds those that all parties have, in one order for all, by private set intersection.

The guest sends its ids blinded by its key. Each host returns them blinded by both keys, and sends its own ids blinded
by its key; both lists are in private orders. The guest removes its key from what came back, and finds the places of its
ids in the host's list (Diffie-Hellman on P-256, ``openmined-psi``). Then it tells each host the places of the ids that
all of them have, with its request for each, and proves that they match (:mod:`~bluetusk.vertical.align.matched`). The
order in which it names them is the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _parallel
from ..._numeric import as_int
from ..base import check_role, peers_of
from ..protocol.job import Keeper, Progress, drive
from ..protocol.link import Link
from ..protocol.refusal import telling
from .common import MAX_PARTIES, MAX_PEER_IDS, MAX_ROWS
from .guest import Guest
from .host import Host
from .ids import as_ids

__all__ = ["intersect"]


@telling
def intersect(
    ids: Iterable[Any],
    *,
    role: str,
    link: Link | None = None,
    links: Sequence[Link] | None = None,
    min_intersection: int = 1,
    max_peer_ids: int = MAX_PEER_IDS,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """Find the ids that all parties have, without revealing the other ids.

    Parameters
    ----------
    ids : iterable of str or int
        This party's ids, one for each row, all different. An integer stands for its decimal digits (7 and "7" are one
        id).
    role : {"guest", "host"}
        One party is the guest, who finds the matches first; all others are hosts.
    link : Link
        To the other party.
    links : sequence of Link, optional
        In place of `link`: the guest's links to several hosts.
    min_intersection : int
        Abort if fewer ids are common to all; the largest value of any party applies. 0 accepts an empty result.
    max_peer_ids : int
        Abort if a peer has more ids: each takes up to 190 bytes of this party's memory.
    keeper : Keeper, optional
        Keeps the state of each step, so that the alignment survives a crash of either side.
    progress : callable, optional
        Called after each step as ``progress(task, steps taken, all steps)``.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray of int64
        Positions in `ids` of the common ids, in an order that is the same at every party and reveals nothing about any
        party's row order.

    Raises
    ------
    TypeError, ValueError
        If an id is neither str nor int, is a missing value, or comes twice; if `role`, `link` and `links` do not fit
        together, or `min_intersection` or `max_peer_ids` is not an integer, of at least 0 and 1.
    ProtocolAbort
        If too few ids are common, a peer has more than `max_peer_ids`, a party refuses, or a peer's message cannot be
        right.
    ModuleNotFoundError
        If openmined-psi (extra ``vertical``) is not installed.

    Notes
    -----
    What each side learns: the guest learns the number of ids of each host, and which of its own ids each host has; a
    host learns the number of the guest's ids, and which of its own ids *all* parties have. Of ids without a match,
    nobody learns more than their number. The guest names common ids by places in the host's list, so it cannot learn
    from the host's answer whether the host has an id which it did not send blinded. It proves for a sample of 128 that
    it has matched them: if one in twenty is false, the host finds out with probability .998. The guest finds its
    matches before it can see that they are too few, so `min_intersection` keeps a small result from the hosts, not from
    the guest. Nothing checks that a party's ids are real: a party that adds guessed ids to its set learns whether the
    other has them; a policy caps how many rows may be used.

    Points travel untruncated, 33 bytes for an id, so the only false positives are collisions of SHA-256 on the curve
    (below 2^-190 for 10^9 ids a side); truncation to ceil(log2 n_A) + ceil(log2 n_B) + 30 bits, which PPCA 9-2023
    clause 6 allows, would save bytes and is not used.

    References
    ----------
    B. A. Huberman, M. Franklin, T. Hogg, ACM EC 1999; PPCA 9-2023.

    Examples
    --------
    >>> import threading
    >>> from bluetusk.vertical import intersect, local_links
    >>> here, there = local_links()
    >>> host = threading.Thread(target=intersect, args=(["c", "x", "a"],), kwargs={"role": "host", "link": there})
    >>> host.start()
    >>> ids = ["a", "b", "c"]
    >>> sorted(ids[i] for i in intersect(ids, role="guest", link=here))
    ['a', 'c']
    >>> host.join()
    """
    check_role(role)
    _parallel.resolve_threads(threads)
    ways = peers_of(role, link, links)
    if len(ways) >= MAX_PARTIES:
        raise ValueError(f"links must hold 1 to {MAX_PARTIES - 1} links, not {len(ways)}")
    own, least = as_ids(ids), as_int(min_intersection, "min_intersection", 0, MAX_ROWS)
    most = as_int(max_peer_ids, "max_peer_ids", 1)
    job: Guest | Host = (
        Guest(own, len(ways), least, threads, most) if role == "guest" else Host(own, least, threads, most)
    )
    drive(job, ways, keeper=keeper, progress=progress)
    return job.positions
