"""Which of our applicants are on a partner's blacklist? Private set intersection of which one side learns the result.

The asker's ids travel blinded by its key and come back blinded by both; compared with the list's own blinded ids they
tell the asker which of them are listed (Diffie-Hellman on P-256, ``openmined-psi``). The owner sees how many were
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
from ..align.common import MAX_ROWS
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
    """What the asker learns.

    Attributes
    ----------
    listed : ndarray of bool, shape (n,)
        Whether each id that was asked is on the list.
    list_size : int
        How many ids are on it.

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
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> BlacklistAnswer:
    """Ask which ids are on the other party's list, without showing them.

    Parameters
    ----------
    ids : iterable of str or int
        The ids, none twice; written as the list's owner writes them (see :func:`intersect`).
    link : Link
        To the list's owner, who calls :func:`blacklist_serve`.
    keeper, progress, threads
        As for :func:`intersect`.

    Returns
    -------
    BlacklistAnswer

    Raises
    ------
    TypeError, ValueError
        If an id is neither str nor int, or comes twice.
    ProtocolAbort
        If the owner refuses, or what it sent cannot be right.
    ModuleNotFoundError
        Without the extra ``vertical``.

    Notes
    -----
    What each side learns. The asker: which of its ids are listed, and the size of the list. The owner: how many ids
    were asked; neither which, nor how many are listed. An id of low entropy (a telephone number, an identity number)
    can be enumerated by an asker who may ask often enough: every id that is asked takes an answer of the owner, so
    the owner's limit bounds it, per request here and in all by the policy. The owner's key is fresh for every
    request, so what an asker keeps from one is of no use in the next. There are no false positives; see
    :func:`intersect`.

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
    job = _Query(as_ids(ids), threads)
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
        The list, no id twice.
    link : Link
        To the asker, who calls :func:`blacklist_query`.
    limit : int
        Most ids that may be asked. A policy may allow fewer, and caps what is asked in all.
    keeper, progress, threads
        As for :func:`intersect`.

    Returns
    -------
    int
        How many ids were asked.

    Raises
    ------
    PolicyRefused
        If more are asked than `limit`, or the policy does not allow the request; the asker is told so.
    TypeError, ValueError
        As :func:`blacklist_query`.
    ProtocolAbort
        If what the asker sent cannot be right.

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
    bluetusk.errors.PolicyRefused: policy refuses blacklist to guest (clause limit): 2 ids are asked, at ...
    """
    _parallel.resolve_threads(threads)
    job = _Serve(as_ids(ids), as_int(limit, "limit", 0), threads)
    drive(job, peers_of("host", link), keeper=keeper, progress=progress)
    return job.asked


class _Query(Guest):
    """The asker's half: an alignment that ends with the matches, and tells nobody."""

    name = BLACKLIST.name
    steps = 1 + 2 * PARTS

    def __init__(self, ids: list[str], threads: int | None) -> None:
        super().__init__(ids, 1, 0, threads)

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
                f"{rows} ids are asked, at most {self._limit} may be: raise the limit, or let the peer ask for fewer",
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
        raise ProtocolAbort("a blacklist's owner learns nothing")  # no step leads here
