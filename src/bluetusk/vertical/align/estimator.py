"""Alignment: which rows the parties have in common, in one order for all, by private set intersection.

The guest asks, each host answers: the guest's ids travel blinded by its key, come back blinded by both keys, and are
compared with the host's own blinded ids (Diffie-Hellman on P-256, ``openmined-psi``). Then the guest tells each host
which ids all of them have, as HMACs under a key to which every party contributed; their order is the order of the rows.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _parallel
from ..._numeric import as_int
from ..._random import Stream
from ...errors import BluetuskError, ProtocolAbort
from ...wire.frame import field
from ..base import check_role
from ..protocol.job import Keeper, Progress, drive
from ..protocol.link import Link, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from .ids import as_ids
from .psi import POINT, Answerer, Asker, Points

__all__ = ["intersect"]

_PARTS = 8  # a set travels in so many parts, the unit of progress and of recovery
_NONCE = 32
_TAG = 32
_MAX_ROWS = 1 << 32
_MAX_PARTIES = 64
_LABEL = b"bluetusk/vertical/intersect/order/v1\0"
_TASK = "intersect"


def intersect(
    ids: Iterable[Any],
    *,
    role: str,
    link: Link | None = None,
    links: Sequence[Link] | None = None,
    min_intersection: int = 1,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """Find the ids that all parties have, without showing the others.

    Parameters
    ----------
    ids : iterable of str or int
        This party's ids, one for each row, none twice. Integers stand for their decimal digits (7 and "7" are one id).
    role : {"guest", "host"}
        The guest, of which there is one, asks; hosts answer.
    link : Link
        To the other party.
    links : sequence of Link, optional
        In place of `link`: the guest's links to several hosts.
    min_intersection : int
        Give up if fewer ids are common to all; the largest that any party states counts. 0 takes an empty result.
    keeper : Keeper, optional
        Survives a crash of either side.
    progress : callable, optional
        Called after each step.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray of int64
        Positions in `ids` of the common ones, in an order that is the same at every party and says nothing about any
        party's own.

    Raises
    ------
    TypeError, ValueError
        If an id is neither str nor int, or comes twice.
    ProtocolAbort
        If too few ids are common, a party refuses, or what came cannot be right.
    ModuleNotFoundError
        Without the extra ``vertical``.

    Notes
    -----
    What each side learns: the guest the number of ids of each host, and which of its own ids each host has; a host the
    number of the guest's ids and of the parties, and which of its own ids *all* parties have. Of ids that match nothing
    nobody learns more than how many there are. The guest finds its matches before it can see that they are too few, so
    `min_intersection` keeps a small result from the hosts, not from the guest. Sets are what the parties say: whoever
    puts guessed ids into his own learns whether the other has them; a policy caps how many rows may be used.

    Points travel whole, 33 bytes for an id, so there are no false positives but collisions of SHA-256 on the curve
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
    if (link is None) == (links is None):
        raise ValueError("give one link, or links to several hosts")
    ways = list(links) if links is not None else [link]
    if not 1 <= len(ways) < _MAX_PARTIES:
        raise ValueError(f"links must be 1 to {_MAX_PARTIES - 1}, not {len(ways)}")
    if role == "host" and len(ways) != 1:
        raise ValueError("a host has one link, to the guest")
    own, least = as_ids(ids), as_int(min_intersection, "min_intersection", 0)
    _parallel.resolve_threads(threads)
    job: _Guest | _Host = _Guest(own, len(ways), least, threads) if role == "guest" else _Host(own, least, threads)
    drive(job, ways, keeper=keeper, progress=progress)  # type: ignore[arg-type]
    return job.positions


def _part(n: int, i: int) -> slice:
    return slice(n * i // _PARTS, n * (i + 1) // _PARTS)


def _tags(ids: Sequence[str], nonces: bytes) -> list[bytes]:
    key = hashlib.sha256(_LABEL + nonces).digest()
    return [hmac.digest(key, text.encode(), "sha256") for text in ids]


def _receive_points(link: Link, topic: str, rows: int) -> Points:
    points = array_from(link.receive(topic, parts=1).parts[0], "|u1", (rows, POINT))
    if not np.isin(points[:, 0], (2, 3)).all():  # the rest of the check is the library's, when it computes
        raise ProtocolAbort("what came is no list of compressed points", party=link.peer)
    return points


def _authorise(link: Link, rows: int, **details: Any) -> None:
    try:
        link.authorise("intersect", ["id"], rows, **details)
    except BluetuskError:
        link.abort("the policy does not allow this")
        raise


class _Guest:
    """The guest's half."""

    name = _TASK
    steps = 2 + 2 * _PARTS

    def __init__(self, ids: list[str], hosts: int, least: int, threads: int | None) -> None:
        self._ids, self._own_least, self._threads = ids, least, threads
        self.inputs = inputs_of(ids, hosts, least)
        # fresh for each host: two of them see nothing in common
        self._askers = [Asker() for _ in range(hosts)]
        self._least = least
        self._nonces = b""
        self._rows = [0] * hosts
        self._setups: list[Points] = [np.empty((0, POINT), np.uint8)] * hosts
        self._found = np.zeros((hosts, len(ids)), np.bool_)
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)

    def step(self, links: Sequence[Link], index: int) -> None:
        if index == 0:
            self._greet(links)
        elif index <= _PARTS:
            self._ask(links, index - 1)
        elif index <= 2 * _PARTS:
            self._match(links, index - 1 - _PARTS)
        else:
            self._tell(links)

    def _greet(self, links: Sequence[Link]) -> None:
        n, nonces, rows, least = len(self._ids), [os.urandom(_NONCE)], [], self._own_least
        for link in links:
            _authorise(link, n, min_intersection=self._own_least)
            link.send("hello", {"rows": n, "least": self._own_least})
        for link in links:
            said = link.receive("hello", ("rows", "least", "nonce"), parts=0).fields
            rows.append(field(said, "rows", int, low=0, high=_MAX_ROWS))
            least = max(least, field(said, "least", int, low=0, high=_MAX_ROWS))
            nonces.append(field(said, "nonce", bytes, length=_NONCE))
        for link in links:
            link.send("terms", {"least": least}, [b"".join(nonces)])
            link.count("rows", n)
        self._nonces, self._rows, self._least = b"".join(nonces), rows, least

    def _ask(self, links: Sequence[Link], i: int) -> None:
        part = self._ids[_part(len(self._ids), i)]
        for asker, link in zip(self._askers, links, strict=True):
            link.send("request", parts=[asker.request(part, self._threads).tobytes()])
        setups = []
        for link, rows, setup in zip(links, self._rows, self._setups, strict=True):
            cut = _part(rows, i)
            setups.append(np.concatenate([setup, _receive_points(link, "setup", cut.stop - cut.start)]))
        self._setups = setups

    def _match(self, links: Sequence[Link], i: int) -> None:
        cut = _part(len(self._ids), i)
        found = []
        for asker, link, setup in zip(self._askers, links, self._setups, strict=True):
            answer = _receive_points(link, "answer", cut.stop - cut.start)
            found.append(asker.matches(setup, answer, link.peer, self._threads))
        self._found[:, cut] = found

    def _tell(self, links: Sequence[Link]) -> None:
        common = np.flatnonzero(self._found.all(axis=0))
        if len(common) < self._least:
            for link in links:
                link.abort("the intersection is smaller than min_intersection")
            raise ProtocolAbort(
                f"the intersection has {len(common)} ids, fewer than min_intersection = {self._least}: check that the "
                f"parties write ids alike"
            )
        tags = _tags([self._ids[i] for i in common], self._nonces)
        order = sorted(range(len(tags)), key=tags.__getitem__)
        for link in links:
            link.send("common", {"rows": len(tags)}, [b"".join(tags[k] for k in order)])
            link.count("values_revealed", len(tags))
        self.positions = common[order].astype(np.int64)

    def state(self) -> bytes:
        fields = {"keys": [asker.key for asker in self._askers], "nonces": self._nonces, "least": self._least}
        arrays: dict[str, NDArray[Any]] = {f"setup{k}": setup for k, setup in enumerate(self._setups)}
        arrays |= {"rows": np.array(self._rows, np.int64), "found": self._found, "positions": self.positions}
        return pack_state(self.name, fields, arrays)

    def restore(self, state: bytes) -> None:
        fields, arrays = unpack_state(state, self.name)
        self._askers = [Asker(key) for key in fields["keys"]]
        self._nonces, self._least = fields["nonces"], fields["least"]
        self._setups = [arrays[f"setup{k}"] for k in range(len(self._askers))]
        self._rows, self._found, self.positions = arrays["rows"].tolist(), arrays["found"], arrays["positions"]


class _Host:
    """A host's half."""

    name = _TASK
    steps = 2 + 2 * _PARTS

    def __init__(self, ids: list[str], least: int, threads: int | None) -> None:
        self._ids, self._least, self._threads = ids, least, threads
        self.inputs = inputs_of(ids, least)
        self._answerer = Answerer()
        self._seed = os.urandom(32)
        self._nonces = b""
        self._rows = 0
        self._asked: Points = np.empty((0, POINT), np.uint8)
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)

    def step(self, links: Sequence[Link], index: int) -> None:
        (link,) = links
        if index == 0:
            self._greet(link)
        elif index <= _PARTS:
            self._offer(link, index - 1)
        elif index <= 2 * _PARTS:
            cut = _part(self._rows, index - 1 - _PARTS)
            answer = self._answerer.answer(self._asked[cut], link.peer, self._threads)
            link.send("answer", parts=[answer.tobytes()])
        else:
            self._learn(link)

    def _greet(self, link: Link) -> None:
        said = link.receive("hello", ("rows", "least"), parts=0).fields
        rows = field(said, "rows", int, low=0, high=_MAX_ROWS)
        field(said, "least", int, low=0, high=_MAX_ROWS)
        _authorise(link, len(self._ids), asked=rows, min_intersection=self._least)
        nonce = os.urandom(_NONCE)
        link.send("hello", {"rows": len(self._ids), "least": self._least, "nonce": nonce})
        terms = link.receive("terms", ("least",), parts=1)
        if field(terms.fields, "least", int, low=0, high=_MAX_ROWS) < self._least:
            raise ProtocolAbort("the guest took less than this host's min_intersection", party=link.peer)
        nonces = bytes(terms.parts[0])
        split = [nonces[k : k + _NONCE] for k in range(0, len(nonces), _NONCE)]
        if len(nonces) % _NONCE or not 2 <= len(split) <= _MAX_PARTIES or nonce not in split[1:]:
            raise ProtocolAbort("the key of the order was made without this host", party=link.peer)
        link.count("rows", len(self._ids))
        self._rows, self._nonces = rows, nonces

    def _offer(self, link: Link, i: int) -> None:
        # in a private order, so that the part in which an id travels says nothing about its row
        order = np.argsort(Stream(self._seed).uint64(len(self._ids)), kind="stable")
        part = [self._ids[k] for k in order[_part(len(self._ids), i)]]
        link.send("setup", parts=[self._answerer.setup(part, self._threads).tobytes()])
        cut = _part(self._rows, i)
        self._asked = np.concatenate([self._asked, _receive_points(link, "request", cut.stop - cut.start)])

    def _learn(self, link: Link) -> None:
        message = link.receive("common", ("rows",), parts=1)
        rows = field(message.fields, "rows", int, low=self._least, high=min(self._rows, len(self._ids)))
        told = array_from(message.parts[0], "|u1", (rows, _TAG))
        place = {tag: i for i, tag in enumerate(_tags(self._ids, self._nonces))}
        positions = [place.get(row.tobytes(), -1) for row in told]
        tags = [row.tobytes() for row in told]
        if -1 in positions or any(a >= b for a, b in itertools.pairwise(tags)):
            raise ProtocolAbort("the guest names ids that are not this host's, or twice", party=link.peer)
        link.count("values_revealed", rows)
        self.positions = np.array(positions, np.int64)

    def state(self) -> bytes:
        fields = {"key": self._answerer.key, "seed": self._seed, "nonces": self._nonces, "rows": self._rows}
        return pack_state(self.name, fields, {"asked": self._asked, "positions": self.positions})

    def restore(self, state: bytes) -> None:
        fields, arrays = unpack_state(state, self.name)
        self._answerer = Answerer(fields["key"])
        self._seed, self._nonces, self._rows = fields["seed"], fields["nonces"], fields["rows"]
        self._asked, self.positions = arrays["asked"], arrays["positions"]
