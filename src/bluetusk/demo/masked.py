"""Runs the demo without a key holder: banks mask their values against each other, the aggregator opens only sums.

::

    bank        -> aggregator                  hello: name, Ed25519 public key, upper limit on its number of rows
    aggregator  -> every bank                  session: the clients, the plan, the encoding; ask
    bank       <-> aggregator                  one round of secure aggregation of its histogram: keys, shares, the
                                               masked vector, what unmasks the sum
    aggregator  -> every bank                  bins; session; then, again and again, ask: a point
    bank       <-> aggregator                  one round, of its mean gradient there, times its number of rows
    aggregator  -> every bank                  end

If a bank vanishes after it shared its keys, the others help to leave it out of the sum, and the next round has a
session of those that are left. If too many vanish for a round to finish, it starts again with the rest. With
``secagg+dp`` the banks add noise to what they mask, as :mod:`~bluetusk.demo.private` describes; the numbers of rows,
and limits derived from them, then never leave a bank.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from fractions import Fraction
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from ..encoding import FixedPoint
from ..errors import ProtocolAbort
from ..federated import secagg
from ..wire.frame import Kind, decode, field
from . import private
from .binning import CELLS, Bins, cells_of, choose_bins, histogram
from .channel import Account, Channel, note, read_note, topic_of
from .model import gradient
from .roles import FRAC_BITS, MIN_CLIENTS, Banks, Fitted, Job, Tell, bank_name, fit, own_rows, read_hello, rounded_up

__all__ = ["CORRUPT", "aggregator", "bank", "honest", "plan_for"]

Clients = Mapping[str, tuple[bytes, int]]

CORRUPT = DROPOUT = Fraction(1, 5)
"""The share of the banks that may collude with the aggregator, or vanish in one round."""


def plan_for(banks: int) -> secagg.Plan:
    """Return the plan of secure aggregation that every role requires.

    Parameters
    ----------
    banks : int
        At least 3.

    Returns
    -------
    Plan

    Examples
    --------
    >>> plan_for(10).threshold, plan_for(10).bad, plan_for(3).threshold
    (8, 2, 3)
    """
    return secagg.plan(banks, CORRUPT, DROPOUT)


def honest(session: secagg.Session) -> int:
    """Return the smallest number of honest banks in a sum that can be opened.

    Parameters
    ----------
    session : Session
        A session with a plan of :func:`plan_for`.

    Returns
    -------
    int

    Examples
    --------
    >>> import bluetusk as bt
    >>> names = {f"bank-{i:02d}": (bytes([i]) * 32, 1) for i in range(1, 11)}
    >>> honest(secagg.Session(plan_for(10), bt.FixedPoint(), 5, names, bytes(32)))
    6
    """
    return session.min_clients - session.plan.bad


def _encoding(job: Job, tensor: str, clients: Clients) -> FixedPoint:
    """Return the encoding of a tensor's values, as every bank computes it."""
    if job.noise:
        return private.encoding(tensor, len(clients))
    if tensor == "counts":
        return FixedPoint.integers(limit=private.MOST_ROWS, max_weight=len(clients))
    return FixedPoint(clip=1.0, frac_bits=FRAC_BITS, max_weight=sum(limit for _, limit in clients.values()))


def _weights(job: Job, tensor: str, clients: Clients) -> dict[str, tuple[bytes, int]]:
    """Return the clients of a tensor's session: histograms and noisy sums are not weighted."""
    weighted = tensor == "gradient" and not job.noise
    return {name: (key, limit if weighted else 1) for name, (key, limit) in clients.items()}


class _Bank:
    """A bank's state, and its answers to the aggregator."""

    def __init__(self, job: Job, name: str, x: NDArray[np.int64], y: NDArray[np.int64]) -> None:
        self.job, self.name, self.x, self.y = job, name, x, y
        self.key = Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        self.limit = 1 if job.noise else rounded_up(len(y))
        self.codes: NDArray[np.int64] | None = None
        self.tensor = ""
        self.client: secagg.Client | None = None
        self._peers: Clients = {}
        self._opened = {"counts": 0, "gradient": 0}

    def agree(self, data: bytes) -> None:
        """Begin a session, if its terms are those that this bank agrees to."""
        session = secagg.Session.from_bytes(data)
        tensor = "counts" if session.length == CELLS + 1 else "gradient"
        peers = {**session.clients}
        self._peers = self._peers or peers
        good = (
            len(peers) >= MIN_CLIENTS
            and session.plan == plan_for(len(peers))
            and session.encoding == _encoding(self.job, tensor, peers)
            and session.min_clients >= session.plan.threshold >= MIN_CLIENTS
            and peers.get(self.name, (b"", 0))[0] == self.public
            and all(self._peers.get(name, (b"", 0))[0] == key for name, (key, _) in peers.items())
        )
        if not good:
            raise ProtocolAbort(f"{self.name} was sent a session whose terms it does not accept", party="aggregator")
        if self.client is not None:
            self.client.close()
        # a bank that crashes is lost for good in this demo: without saved states there is nothing to keep a journal for
        self.client = secagg.Client(session, self.name, self.key)
        self.tensor = tensor

    def start(self, round: int, point: NDArray[np.float64]) -> list[bytes]:
        """Begin a round: mask what the bank contributes."""
        if self.client is None or (self.tensor == "gradient") != bool(len(point)):
            raise ProtocolAbort(f"{self.name} got a request for a sum out of turn", round=round, party="aggregator")
        if self.tensor == "counts":
            exact = histogram(cells_of(self.x), self.y)
        elif self.codes is None:
            raise ProtocolAbort(f"{self.name} got a request for a gradient before the bins", party="aggregator")
        elif not self.job.noise:
            return self.client.start(round, gradient(self.codes, self.y, point), len(self.y))
        else:
            exact = private.gradient_sum(self.codes, self.y, point)
        if not self.job.noise:
            return self.client.start(round, exact)
        return self.client.start(round, private.noisy(exact, self.tensor, self.job.noise, honest(self.client.session)))

    def step(self, kind: Kind, data: bytes) -> list[bytes]:
        """Answer the aggregator's message; with noise, help to open at most as many sums as were accounted for."""
        if self.client is None:
            raise ProtocolAbort(f"{self.name} was sent a message before the session began", party="aggregator")
        if kind is Kind.SECAGG_REQUEST and self.job.noise:
            self._opened[self.tensor] += 1
            if self._opened[self.tensor] > (1 if self.tensor == "counts" else private.STEPS):
                raise ProtocolAbort(f"{self.name} has spent the agreed epsilon", party="aggregator")
        return self.client.step(data)


def bank(job: Job, link: Channel, account: Account) -> None:
    """Run one bank: it reads its own customers and sends only masked values about them."""
    me = _Bank(job, bank_name(job.index), *own_rows(job))
    link.send(note("hello", name=me.name, key=me.public, limit=me.limit))
    while True:
        data = link.receive(None)
        frame = decode(data)
        answers: list[bytes] = []
        if frame.kind is Kind.SECAGG_SESSION:
            me.agree(data)
            account.enter("bins" if me.tensor == "counts" else "training")
        elif frame.kind is not Kind.MESSAGE:
            if frame.kind is Kind.SECAGG_DELIVERY and me.tensor == "gradient" and frame.header["round"] == job.vanish:
                sys.exit(0)  # silently, in the middle of the round: its keys are shared, its vector is not sent
            answers = me.step(frame.kind, data)
        elif (topic := topic_of(frame)) == "end":
            return
        elif topic == "bins":
            me.codes = Bins.from_bytes(frame.payload).codes(me.x)
        elif topic == "ask":
            point = np.frombuffer(frame.payload, dtype="<f8")
            answers = me.start(field(frame.header, "round", int, low=0), point)
        else:
            raise ProtocolAbort(f"{me.name} was sent a note about {topic!r} out of turn", party="aggregator")
        for answer in answers:
            link.send(answer)


class _Sums:
    """The aggregator's side of the rounds."""

    def __init__(self, job: Job, banks: Banks, clients: Clients, tell: Tell) -> None:
        self._job, self._banks, self._clients, self._tell = job, banks, clients, tell
        self._key = Ed25519PrivateKey.generate()
        self._session: secagg.Session | None = None
        self.requests = 0  # requests to the banks to open a sum

    def _agree(self, tensor: str, length: int) -> secagg.Session:
        """Return a session of the present banks: a new one if some are gone."""
        here = {name: self._clients[name] for name in sorted(self._banks.live) if name in self._clients}
        if len(here) < MIN_CLIENTS:
            raise ProtocolAbort(f"{len(here)} banks are left; a sum needs at least {MIN_CLIENTS}")
        session = self._session
        if session is None or session.length != length or [*session.clients] != [*here]:
            encoding = _encoding(self._job, tensor, here)
            server = self._key.public_key().public_bytes_raw()
            weights = _weights(self._job, tensor, here)
            self._session = session = secagg.Session(plan_for(len(here)), encoding, length, weights, server)
            self._banks.send(session.to_bytes())
        return session

    def open(self, tensor: str, length: int, round: int, point: NDArray[np.float64]) -> secagg.Result:
        """Have one tensor summed, in new attempts until enough banks stay to finish the round."""
        ask = note("ask", point.astype("<f8").tobytes(), round=round)
        while True:
            session = self._agree(tensor, length)
            before = len(self._banks.live)
            try:
                return self._round(secagg.Server(session, round, self._key), ask)
            except ProtocolAbort as err:
                if len(self._banks.live) == before:  # nobody vanished: trying again would not help
                    raise ProtocolAbort(err.reason, round=round, party=err.party) from None

    def descend(self, counts: NDArray[np.int64], bins: Bins) -> Fitted:
        """Step along a few noisy gradients, which spend the banks' privacy budget."""
        descent = private.Descent(bins, counts, self._job.penalty)
        rounds = 0
        while self.requests < private.STEPS:
            opened = self.open("gradient", bins.size + 1, rounds, descent.point)
            descent.tell(opened.integers)
            gap = np.array([descent.gap]).tobytes()
            rounds += 1
            self._tell(note("step", gap, round=rounds - 1, clients=len(opened.clients), of=private.STEPS))
        return Fitted(descent.mean, rounds, [0], list(opened.clients), 0)

    def _round(self, server: secagg.Server, ask: bytes) -> secagg.Result:
        self._banks.send(ask)
        take = partial(_take, server, self._tell)
        self._banks.collect(take)
        while not server.last:
            out = server.advance()
            self.requests += server.phase == "unmask"
            for name, message in out.items():
                if name in self._banks.live:
                    self._banks.send_to(name, message)
            self._banks.collect(take, out)
        return server.finish()


def _take(server: secagg.Server, tell: Tell, data: bytes) -> None:
    verdict = server.step(data)
    if isinstance(verdict, secagg.Rejected):
        tell(note("refused", name=verdict.sender or "somebody", why=verdict.reason))


def aggregator(job: Job, links: list[Channel], tell: Tell, account: Account) -> None:
    """Run the aggregator: it opens sums over the banks, chooses the bins, and steps towards the optimum."""
    banks = Banks(links, job.patience, tell)
    clients: dict[str, tuple[bytes, int]] = {}
    for data in banks.hellos():
        read_hello(read_note(data, "hello"), clients)
    account.enter("bins")
    tell(note("phase", name="bins"))
    sums = _Sums(job, banks, clients, tell)
    counts = sums.open("counts", CELLS + 1, 0, np.zeros(0)).integers
    bins = choose_bins(np.maximum(counts, 0))
    banks.send(note("bins", bins.to_bytes()))
    tell(note("bins", bins.to_bytes(), size=bins.size))
    account.enter("training")
    tell(note("phase", name="training"))
    sums.requests = 0
    ask = partial(sums.open, "gradient", bins.size + 1)
    fitted = sums.descend(counts, bins) if job.noise else fit(job.penalty, ask, tell, counts, bins)
    fitted.end(banks.send, tell)
