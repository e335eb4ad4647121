"""Looks up ids in a partner's blacklist by private set intersection, of which only the asker learns the result.

The asker's ids travel blinded by its key and come back blinded by both; compared with the list's own blinded ids they
tell the asker which of them are listed (Diffie-Hellman on P-256, ``openmined-psi``). The owner learns how many ids were
asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _parallel
from ..._numeric import as_int
from ...errors import PolicyRefused, ProtocolAbort
from ...tasks import BLACKLIST
from ...wire.frame import field
from ..align.common import MAX_PEER_IDS, MAX_ROWS, check_peer_ids
from ..align.guest import Guest
from ..align.host import Host
from ..align.ids import as_ids
from ..base import peers_of
from ..protocol.job import PARTS, Keeper, Progress, drive
from ..protocol.link import Link
from ..protocol.refusal import telling

__all__ = ["BlacklistAnswer", "blacklist_query", "blacklist_serve"]


@dataclass(frozen=True, eq=False)
class BlacklistAnswer:
    """The answer to a blacklist query.

    Attributes
    ----------
    listed : ndarray of bool, shape (n,)
        Whether each queried id is on the list.
    list_size : int
        Number of ids on the list.

    Examples
    --------
    >>> int(BlacklistAnswer(np.array([True, False]), 1000).listed.sum())
    1
    """

    listed: NDArray[np.bool_]
    list_size: int


@telling
def blacklist_query(
    ids: Iterable[Any],
    *,
    link: Link,
    max_peer_ids: int = MAX_PEER_IDS,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> BlacklistAnswer:
    """Find which ids are on the other party's list, without revealing them.

    Parameters
    ----------
    ids : iterable of str or int
        The ids, all different, in the spelling of the list's owner (see :func:`intersect`).
    link : Link
        To the list's owner, who calls :func:`blacklist_serve`.
    max_peer_ids : int
        Abort if the list has more ids: each takes up to 190 bytes of this party's memory.
    keeper, progress, threads
        As for :func:`intersect`.

    Returns
    -------
    BlacklistAnswer

    Raises
    ------
    TypeError, ValueError
        If an id is neither str nor int, is a missing value, or comes twice; if `max_peer_ids` is not an integer of at
        least 1.
    ProtocolAbort
        If the owner refuses, its list is longer than `max_peer_ids`, or its message cannot be right.
    ModuleNotFoundError
        If openmined-psi (extra ``vertical``) is not installed.

    Notes
    -----
    What each side learns. The asker: which of its ids are listed, and the size of the list. The owner: the number of
    queried ids; neither which they are, nor how many are listed. An asker with enough queries can enumerate ids of low
    entropy (telephone numbers, identity numbers). Every queried id needs an answer of the owner, so the owner's limits
    bound that: `limit` in one request, the policy in all. The owner's key is fresh for every request, so an asker
    cannot use what it kept from an earlier one. There are no false positives; see :func:`intersect`.

    Examples
    --------
    >>> import threading
    >>> from bluetusk.vertical import blacklist_query, blacklist_serve, local_links
    >>> here, there = local_links("guest", "host")
    >>> owner = threading.Thread(target=blacklist_serve, args=(["x", "b"],), kwargs={"link": there, "limit": 100})
    >>> owner.start()
    >>> answer = blacklist_query(["a", "b", "c"], link=here)
    >>> owner.join()
    >>> answer.listed.tolist(), answer.list_size
    ([False, True, False], 2)
    """
    _parallel.resolve_threads(threads)
    job = _Query(as_ids(ids), threads, as_int(max_peer_ids, "max_peer_ids", 1))
    drive(job, peers_of("guest", link), keeper=keeper, progress=progress)
    return BlacklistAnswer(job.listed, job.list_size)


@telling
def blacklist_serve(
    ids: Iterable[Any],
    *,
    link: Link,
    limit: int,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> int:
    """Answer one request about this party's list.

    Parameters
    ----------
    ids : iterable of str or int
        The list, all ids different.
    link : Link
        To the asker, who calls :func:`blacklist_query`.
    limit : int
        Largest number of ids in the request. A policy may allow fewer, and caps the total over all requests.
    keeper, progress, threads
        As for :func:`intersect`.

    Returns
    -------
    int
        Number of ids that were asked.

    Raises
    ------
    PolicyRefused
        If the request has more than `limit` ids, or the policy does not allow it; the asker learns that it was refused.
    TypeError, ValueError
        As :func:`blacklist_query`.
    ProtocolAbort
        If the asker's message cannot be right.

    Examples
    --------
    See :func:`blacklist_query`. More than the limit is refused:

    >>> from bluetusk.vertical import local_links
    >>> here, there = local_links("guest", "host")
    >>> here.scope("blacklist", 0)
    >>> here.send("hello", {"rows": 2})
    >>> blacklist_serve(["x"], link=there, limit=1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bluetusk.errors.PolicyRefused: policy refuses blacklist to guest (clause limit): the request has 2 ids, ...
    """
    _parallel.resolve_threads(threads)
    job = _Serve(as_ids(ids), as_int(limit, "limit", 0), threads)
    drive(job, peers_of("host", link), keeper=keeper, progress=progress)
    return job.asked


class _Query(Guest):
    """The asker's half: an alignment that ends with the matches, which the owner does not learn."""

    name = BLACKLIST.name
    steps = 1 + 2 * PARTS

    def __init__(self, ids: list[str], threads: int | None, most: int) -> None:
        super().__init__(ids, 1, 0, threads, most)

    @property
    def listed(self) -> NDArray[np.bool_]:
        listed: NDArray[np.bool_] = self.found[0]
        return listed

    @property
    def list_size(self) -> int:
        return int(self.rows[0])

    def greet(self, links: Sequence[Link]) -> None:
        (link,) = links
        link.authorise(BLACKLIST.purpose, ["id"], len(self.ids))
        link.send("hello", {"rows": len(self.ids)})
        rows = field(link.receive("hello", ("rows",), parts=0).fields, "rows", int, low=0, high=MAX_ROWS)
        check_peer_ids(link, rows, self.most)
        link.count("rows", len(self.ids))
        self.rows = [rows]


class _Serve(Host):
    """The owner's half."""

    name = BLACKLIST.name
    steps = 1 + 2 * PARTS

    def __init__(self, ids: list[str], limit: int, threads: int | None) -> None:
        super().__init__(ids, 0, threads)
        self._limit = limit

    @property
    def asked(self) -> int:
        return self.rows

    def greet(self, link: Link) -> None:
        rows = field(link.receive("hello", ("rows",), parts=0).fields, "rows", int, low=0, high=MAX_ROWS)
        if rows > self._limit:
            link.abort(f"at most {self._limit} ids may be asked")
            raise PolicyRefused(
                f"the request has {rows} ids, limit is {self._limit}: raise limit, or have the peer send fewer",
                clause="limit",
                peer=link.peer,
                purpose=BLACKLIST.purpose,
            )
        link.authorise(BLACKLIST.purpose, ["id"], rows)
        link.send("hello", {"rows": len(self.ids)})
        link.count("rows", len(self.ids))
        link.count("values_revealed", rows)  # whether each of them is listed
        self.rows = rows

    def learn(self, link: Link) -> None:
        raise ProtocolAbort("the owner of a blacklist receives no matches")  # no step leads here
