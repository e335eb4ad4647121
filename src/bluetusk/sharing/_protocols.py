"""Runs the protocols on shares: two parties with additive shares and a dealer, three with replicated shares.

A protocol is written once for all parties. A shared value is a dict from those parties that run in this process to
what each holds; :meth:`Wire.transfer` moves a value from one party to another, over a channel if one of them is
elsewhere. Every party goes through the same transfers in the same order, so no two wait for each other.

Both protocols are secure against parties that follow them and do not collude.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._fork import process
from .._once import Uncopied
from .._random import SEED_BYTES, Stream
from ..errors import FrameError, ProtocolAbort
from ..wire import frame
from . import beaver, ring
from ._words import dtype_of

__all__ = ["Channel", "Dealer", "Parties", "Supply", "ThreeParties", "TwoParties", "Wire"]

Words: TypeAlias = NDArray[Any]
Held: TypeAlias = dict[int, Words]

_SWAP = ((0, 1), (1, 0))
_BACK = ((0, 2), (1, 0), (2, 1))  # from each of three parties to the one before it


class Channel(Protocol):
    """A private, authentic, ordered connection to one other party: TLS, or a queue in a test."""

    def send(self, data: bytes) -> Any:
        """Send one message."""

    def recv(self) -> bytes:
        """Wait for the next message and return it."""


class Supply(Protocol):
    """Where two parties get triples and truncation pairs from: for both if both are here, else for one."""

    def triple(self, shape: tuple[int, ...], other: tuple[int, ...] | None) -> beaver.Triple:
        """Return a triple that has not been returned before."""

    def truncation_pair(self, shape: tuple[int, ...], k: int) -> ring.TruncationPair:
        """Return a pair that has not been returned before."""


class Dealer(Uncopied):
    """A supply for two parties in one process."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def triple(self, shape: tuple[int, ...], other: tuple[int, ...] | None) -> beaver.Triple:
        """Make a triple."""
        return beaver.triple(shape, 2, self.bits, other=other)

    def truncation_pair(self, shape: tuple[int, ...], k: int) -> ring.TruncationPair:
        """Make a pair."""
        return ring.truncation_pair(shape, k, 2, self.bits)


class Wire(Uncopied):
    """Moves arrays between parties; each message carries its number, so that parties out of step notice."""

    _no_copy = "two copies would send messages with the same number"

    def __init__(self, local: tuple[int, ...], channels: Mapping[int, Channel], dtype: np.dtype[Any]) -> None:
        self.local, self.channels, self.dtype = local, channels, dtype
        self._steps = 0
        self._process = process()

    def check(self) -> None:
        """Refuse to go on in a forked child: both sides would draw the same masks from the seeds they share.

        Raises
        ------
        ProtocolAbort
            If this process is not the one that opened the session.
        """
        if self._process is not process():
            raise ProtocolAbort(
                "the session belongs to the parent process, and each side of a fork would use its masks: open one "
                "session for each process"
            )

    def transfer(self, sender: int, receiver: int, value: Words | None, shape: tuple[int, ...]) -> Words | None:
        """Return what `receiver` gets from `sender`, or None if it is not here."""
        self.check()
        self._steps += 1
        if sender in self.local and receiver in self.local:
            return value
        header = {"topic": "shares", "step": self._steps, "sender": sender, "shape": list(shape)}
        if sender in self.local and value is not None:
            words = np.ascontiguousarray(value, self.dtype.newbyteorder("<"))
            self.channels[receiver].send(frame.encode(frame.Kind.MESSAGE, header, words.tobytes()))
        if receiver not in self.local:
            return None
        try:
            got = frame.decode(self.channels[sender].recv(), frame.Kind.MESSAGE)
        except FrameError as error:
            raise ProtocolAbort(f"step {self._steps}: {error}", party=str(sender)) from None
        if got.header != header or len(got.payload) != self.dtype.itemsize * math.prod(shape):
            raise ProtocolAbort(
                f"step {self._steps}: expected shares of shape {list(shape)}: the parties run different computations",
                party=str(sender),
            )
        return np.frombuffer(got.payload, self.dtype.newbyteorder("<")).astype(self.dtype).reshape(shape)

    def moved(self, ways: Sequence[tuple[int, int]], held: Held, shape: tuple[int, ...]) -> Held:
        """Send what each sender holds along its way; return what has come to parties of this process."""
        got = {receiver: self.transfer(sender, receiver, held.get(sender), shape) for sender, receiver in ways}
        return {receiver: words for receiver, words in got.items() if words is not None}

    def dealt(self, owner: int, parts: Sequence[Words | None], shape: tuple[int, ...]) -> Held:
        """Send each other party the owner's part for it; return the parts that are held in this process."""
        got = {i: part if i == owner else self.transfer(owner, i, part, shape) for i, part in enumerate(parts)}
        return {i: part for i, part in got.items() if part is not None}


class Parties(Uncopied, ABC):
    """Shared values of one session: additions are local, everything else a protocol."""

    _no_copy = "two copies would draw the same masks"
    lead: tuple[int, ...] = ()  # what a party holds of a value has the shape lead + shape

    def __init__(self, wire: Wire, bits: int) -> None:
        self.wire, self.bits, self.dtype = wire, bits, dtype_of(bits)

    @abstractmethod
    def share(self, owner: int, words: Words | None, shape: tuple[int, ...]) -> Held:
        """Share what `owner` knows (None where that party is not here)."""

    @abstractmethod
    def public(self, words: Words) -> Held:
        """Return a sharing of words that all know; no secret, but of the right form."""

    @abstractmethod
    def open(self, x: Held, shape: tuple[int, ...]) -> Words:
        """Let every party know the value."""

    @abstractmethod
    def product(self, x: Held, y: Held, shapes: tuple[tuple[int, ...], tuple[int, ...]], matrix: bool) -> Held:
        """Multiply element by element (equal shapes) or as matrices."""

    @abstractmethod
    def truncate(self, x: Held, k: int, shape: tuple[int, ...]) -> Held:
        """Divide by 2^k, rounding down or up, for values below 2^(bits-2) in magnitude."""


class TwoParties(Parties):
    """Additive shares; products and truncation by a dealer's triples and pairs."""

    def __init__(self, wire: Wire, bits: int, supply: Supply, *, accept_failure: bool = False) -> None:
        super().__init__(wire, bits)
        self.supply, self.accept_failure = supply, accept_failure

    def share(self, owner: int, words: Words | None, shape: tuple[int, ...]) -> Held:
        """Give the other party one of two shares."""
        return self.wire.dealt(owner, [None] * 2 if words is None else [*ring.share(words, 2, self.bits)], shape)

    def public(self, words: Words) -> Held:
        """Party 0 takes the words, party 1 zero."""
        return {i: words if i == 0 else np.zeros_like(words) for i in self.wire.local}

    def open(self, x: Held, shape: tuple[int, ...]) -> Words:
        """Exchange shares."""
        i = self.wire.local[0]
        return ring.reconstruct(np.stack([x[i], self.wire.moved(_SWAP, x, shape)[i]]))

    def _mine(self, whole: Any, i: int) -> Any:
        return whole.party(i) if len(self.wire.local) == 2 else whole

    def product(self, x: Held, y: Held, shapes: tuple[tuple[int, ...], tuple[int, ...]], matrix: bool) -> Held:
        """Open both factors, masked by a triple."""
        whole = self.supply.triple(shapes[0], shapes[1] if matrix else None)
        triples = {i: self._mine(whole, i) for i in self.wire.local}
        masked = {i: triples[i].mask(x[i], y[i]) for i in self.wire.local}
        d = self.open({i: pair[0] for i, pair in masked.items()}, shapes[0])
        e = self.open({i: pair[1] for i, pair in masked.items()}, shapes[1])
        return {i: triples[i].finish(d, e, leader=i == 0) for i in self.wire.local}

    def truncate(self, x: Held, k: int, shape: tuple[int, ...]) -> Held:
        """Open the value, masked by a truncation pair; or each by itself, where failure is accepted."""
        if self.accept_failure:
            most = 1 << (self.bits - 2)
            return {i: ring.truncate(x[i], k, most, party=i, accept_failure=True).reshape(shape) for i in x}
        whole = self.supply.truncation_pair(shape, k)
        pairs = {i: self._mine(whole, i) for i in self.wire.local}
        opened = self.open({i: pairs[i].mask(x[i], leader=i == 0) for i in self.wire.local}, shape)
        return {i: pairs[i].finish(opened, leader=i == 0) for i in self.wire.local}


class ThreeParties(Parties):
    """Replicated shares: x = x_0 + x_1 + x_2, party i holds x_i and x_(i+1).

    Neighbours share a seed: ``mine`` of party i is that of x_i, which party i - 1 holds as well.

    References
    ----------
    T. Araki et al., CCS 2016 (products); truncation by a pair that the third party deals to the other two.
    """

    lead = (2,)

    def __init__(self, wire: Wire, bits: int) -> None:
        super().__init__(wire, bits)
        # each party draws the seed that it has in common with the one before it
        seeds = {i: np.frombuffer(Stream().bytes(SEED_BYTES), self.dtype) for i in wire.local}
        theirs = wire.moved(_BACK, seeds, (SEED_BYTES // self.dtype.itemsize,))
        self._own = {i: Stream(seed.tobytes()) for i, seed in seeds.items()}  # of the seed with party i - 1
        self._next = {i: Stream(seed.tobytes()) for i, seed in theirs.items()}  # of the seed with party i + 1

    def _draw(self, streams: dict[int, Stream], i: int, shape: tuple[int, ...]) -> Words:
        return streams[i].words(shape, self.bits)

    def share(self, owner: int, words: Words | None, shape: tuple[int, ...]) -> Held:
        """Deal replicated shares."""
        parts = [None] * 3 if words is None else [*ring.share_replicated(words, self.bits)]
        return self.wire.dealt(owner, parts, (2, *shape))

    def public(self, words: Words) -> Held:
        """Let x_0 be the words, the others zero: parties 0 and 2 hold it."""
        zero = np.zeros_like(words)
        return {i: np.stack([words if i == 0 else zero, words if i == 2 else zero]) for i in self.wire.local}

    def open(self, x: Held, shape: tuple[int, ...]) -> Words:
        """Send each party the share that it lacks, which its successor holds second."""
        missing = self.wire.moved(_BACK, {i: x[i][1] for i in x}, shape)
        i = self.wire.local[0]
        return ring.reconstruct(np.stack([x[i][0], x[i][1], missing[i]]))

    def product(self, x: Held, y: Held, shapes: tuple[tuple[int, ...], tuple[int, ...]], matrix: bool) -> Held:
        """Each party multiplies what it has, adds its share of zero, and passes the sum on."""
        own: Held = {}
        for i in self.wire.local:
            (x0, x1), (y0, y1) = x[i], y[i]
            if matrix:
                part = np.asarray(ring.matmul(x0, y0 + y1) + ring.matmul(x1, y0))
            else:
                part = np.asarray(x0 * (y0 + y1) + x1 * y0)
            zero = self._draw(self._own, i, part.shape)
            zero -= self._draw(self._next, i, part.shape)
            own[i] = part + zero
        shape = next(iter(own.values())).shape
        following = self.wire.moved(_BACK, own, shape)
        return {i: np.stack([own[i], following[i]]) for i in self.wire.local}

    def truncate(self, x: Held, k: int, shape: tuple[int, ...]) -> Held:
        """Party 2 deals a truncation pair to parties 0 and 1, who alone see the masked value.

        Party 0 holds x_0 + x_1 and party 1 holds x_2: an additive sharing between them. Party 0's part of the pair is
        drawn from the stream that it shares with party 2, so only party 1's part is sent.
        """
        pairs: dict[int, ring.TruncationPair] = {}
        parts: list[Words] | None = None
        if 2 in x:
            r = Stream().words(shape, self.bits).astype(self.dtype, copy=False)
            top = self.dtype.type(self.bits - 1)
            parts = [part - self._draw(self._next, 2, shape) for part in (r, r >> self.dtype.type(k), r >> top)]
        if 0 in x:
            pairs[0] = ring.TruncationPair(k, *(self._draw(self._own, 0, shape) for _ in range(3)))
        got = self.wire.transfer(2, 1, np.stack(parts) if parts is not None else None, (3, *shape))
        if got is not None:
            pairs[1] = ring.TruncationPair(k, got[0], got[1], got[2])
        masked: Held = {}
        if 0 in x:
            masked[0] = pairs[0].mask(x[0][0] + x[0][1], leader=True)
        if 1 in x:
            masked[1] = pairs[1].mask(x[1][1], leader=False)
        others = self.wire.moved(_SWAP, masked, shape)
        z = {i: pairs[i].finish(masked[i] + other, leader=i == 0) for i, other in others.items()}
        return self._from_two(z, x, shape)

    def _from_two(self, z: Held, x: Held, shape: tuple[int, ...]) -> Held:
        """Make an additive sharing between parties 0 and 1 a replicated one.

        x_0' comes from the stream of parties 0 and 2, x_2' from that of parties 1 and 2, and x_1' = (z_0 - x_0') +
        (z_1 - x_2'), of which parties 0 and 1 send each other their summand: each is masked by what the receiver does
        not know.
        """
        first = {i: self._draw(self._own, i, shape) for i in x if i != 1}
        second = {i: self._draw(self._next, i, shape) for i in x if i != 0}
        sent = {i: value - (first[0] if i == 0 else second[1]) for i, value in z.items()}
        for i, other in self.wire.moved(_SWAP, sent, shape).items():
            (second if i == 0 else first)[i] = sent[i] + other
        return {i: np.stack([first[i], second[i]]) for i in x}
