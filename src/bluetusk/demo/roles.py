"""The roles' main programs: a bank, the aggregator and the key holder, each of which runs in its own process.

::

    bank        -> aggregator -> key holder    hello: name, Ed25519 public key, upper limit on its number of rows
    key holder  -> aggregator -> every bank    session "counts": the Paillier public key and the list of clients; ask
    bank        -> aggregator                  its histogram, encrypted and signed
    aggregator  -> key holder                  one total, decrypted once
    key holder  -> aggregator -> every bank    bins; session "gradient"; then, again and again, ask: a point
    bank        -> aggregator                  its mean gradient there, times its number of rows, encrypted and signed
    aggregator  -> key holder                  one total
    key holder  -> aggregator -> every bank    end

That is the method "paillier"; :mod:`~bluetusk.demo.masked` does without a key holder.

The aggregator and the key holder also report their progress to the program that started them, and at the end each role
reports the resources it used; none of that comes from a bank's data, except the model and the bins, which all roles
know.
"""

from __future__ import annotations

import contextlib
import selectors
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from ..encoding import FixedPoint
from ..errors import FrameError, ProtocolAbort
from ..federated import Aggregator, PaillierSum, Rejected, SumResult
from ..federated.secagg import Result
from ..paillier.keys import PrivateKey, generate_keypair
from ..wire.frame import Frame, Kind, decode, field
from .binning import CELLS, Bins, cells_of, choose_bins, histogram
from .channel import Account, Channel, note, read_note, topic_of
from .data import FEATURES, deal, load
from .model import QuasiNewton, gradient, inverse_hessian

__all__ = [
    "FRAC_BITS",
    "MIN_CLIENTS",
    "Ask",
    "Banks",
    "Fitted",
    "Job",
    "Tell",
    "aggregator",
    "bank",
    "bank_name",
    "fit",
    "key_holder",
    "own_rows",
    "read_hello",
    "rounded_up",
]

MIN_CLIENTS = 3
"""Least number of banks in a sum that is opened."""
GAP = 3e-6
"""The training ends when the next step would change no coefficient by more than this."""

FRAC_BITS = 36
"""Fractional bits of a mean gradient: rounding by 2^-37 moves no coefficient by more than n 2^-37 = 2e-7."""

_LIMIT_STEP = 1000  # a bank states its rows rounded up to a multiple of this
_MOST_ROUNDS = 500
_START = 60.0  # seconds that a bank has for its hello, however short the rounds' patience is

Tell = Callable[[bytes], None]
Ask = Callable[[int, NDArray[np.float64]], SumResult | Result]
"""Takes a round and a point, returns the sum of the banks' values there."""


@dataclass(frozen=True)
class Job:
    """The parameters of one process; nothing in it comes from a bank's data.

    Attributes
    ----------
    role : str
        "bank", "aggregator" or "key holder".
    index : int
        Index of the bank; 0 for the other roles.
    banks : int
        Number of banks.
    seed : int
        Determines the bank of each customer.
    key_size : int
        Bits of the Paillier modulus.
    penalty : float
        scikit-learn's C.
    data : str or None
        The customers' file; None for the one in the package.
    rows : int or None
        How many customers to take; None for all.
    vanish : int
        The training round in which this bank vanishes; -1 for never.
    patience : float
        Seconds that the aggregator waits for the banks in one round.
    state : str
        Folder in which the key holder records the sums that it has opened.
    method : str
        "paillier", "secagg" or "secagg+dp".
    noise : float
        Standard deviation of the noise in a sum, divided by the sensitivity; 0 for none.
    """

    role: str
    index: int
    banks: int
    seed: int
    key_size: int
    penalty: float
    data: str | None
    rows: int | None
    vanish: int
    patience: float
    state: str
    method: str = "paillier"
    noise: float = 0.0


def bank_name(index: int) -> str:
    """Return a bank's name; names sort by number."""
    return f"bank-{index + 1:02d}"


def rounded_up(rows: int) -> int:
    """Return the size that a bank states: an upper limit on its rows.

    Parameters
    ----------
    rows : int
        At least 1.

    Returns
    -------
    int
        The next multiple of a thousand.

    Examples
    --------
    >>> rounded_up(1), rounded_up(2000), rounded_up(2001)
    (1000, 2000, 3000)
    """
    return -(-rows // _LIMIT_STEP) * _LIMIT_STEP


def own_rows(job: Job) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the features and labels of the customers with whom a bank trains."""
    customers = load(job.data, rows=job.rows, seed=job.seed)
    dealt = deal(customers, banks=job.banks, seed=job.seed)
    mine = (dealt.bank == job.index) & dealt.train
    return customers.x[mine], customers.y[mine]


def bank(job: Job, link: Channel, account: Account) -> None:
    """Run one bank: it reads its own customers and sends only encrypted sums about them."""
    name = bank_name(job.index)
    x, y = own_rows(job)
    signing_key = Ed25519PrivateKey.generate()
    public = signing_key.public_key().public_bytes_raw()
    link.send(note("hello", name=name, key=public, limit=rounded_up(len(y))))

    client = None
    pool = 0
    codes: NDArray[np.int64] | None = None
    while True:
        data = link.receive(None)
        frame = decode(data)
        if frame.kind is Kind.SUM_SESSION:
            session = PaillierSum.from_bytes(data)
            if session.clients.get(name, (b"", 0))[0] != public or session.min_clients < MIN_CLIENTS:
                raise ProtocolAbort(f"{name} was sent a session whose terms it does not accept", party="key holder")
            client = session.client(name, signing_key)
            ((plan, length),) = session.tensors.values()
            account.enter("bins" if "counts" in session.tensors else "training")
            pool = -(-(length + 1) // plan.slots(session.public_key.bits))
            continue
        topic = topic_of(frame)
        if topic == "end":
            return
        if topic == "bins":
            codes = Bins.from_bytes(frame.payload).codes(x)
            continue
        if topic != "ask" or client is None:
            raise ProtocolAbort(f"{name} was sent a note about {topic!r} out of turn", party="aggregator")
        round = field(frame.header, "round", int, low=0)
        if field(frame.header, "tensor", str) == "counts":
            link.send(client.contribute(round, "counts", histogram(cells_of(x), y)))
            continue
        if codes is None:
            raise ProtocolAbort(f"{name} got a request for a gradient before the bins", party="key holder")
        values = gradient(codes, y, np.frombuffer(frame.payload, dtype="<f8"))
        if round == job.vanish:
            sys.exit(0)  # silently, in the middle of the round
        link.send(client.contribute(round, "gradient", values, weight=len(y)))
        session.public_key.precompute(pool)  # the next round's obfuscators, while the others are at work


class Banks:
    """The aggregator's connections to the remaining banks."""

    def __init__(self, links: list[Channel], patience: float, tell: Tell) -> None:
        self.live = {bank_name(index): link for index, link in enumerate(links)}
        self._patience = patience
        self._tell = tell

    def lose(self, name: str, why: str) -> None:
        """Drop a bank and report the reason."""
        self.live.pop(name).close()
        self._tell(note("lost", name=name, why=why))

    def send(self, data: bytes) -> None:
        """Send a frame to every bank; drop those that are gone."""
        for name in [*self.live]:
            self.send_to(name, data)

    def send_to(self, name: str, data: bytes) -> None:
        """Send a frame to one bank; drop it if it is gone."""
        try:
            self.live[name].send(data)
        except EOFError:
            self.lose(name, "vanished")

    def hellos(self) -> list[bytes]:
        """Take the banks' hellos: starting and reading the file takes longer than a round."""
        said: list[bytes] = []
        self.collect(said.append, patience=max(self._patience, _START))
        return said

    def collect(
        self,
        take: Callable[[bytes], None],
        names: Collection[str] | None = None,
        patience: float | None = None,
    ) -> None:
        """Take one frame from every bank, in the order of arrival; drop those that do not send in time."""
        patience = self._patience if patience is None else patience
        deadline = time.monotonic() + patience
        waiting = set(self.live if names is None else self.live.keys() & names)
        with selectors.DefaultSelector() as selector:
            for name in waiting:
                selector.register(self.live[name], selectors.EVENT_READ, name)
            while waiting:
                left = deadline - time.monotonic()
                for key, _ in selector.select(left) if left > 0 else ():
                    name = str(key.data)
                    selector.unregister(key.fileobj)
                    waiting.remove(name)
                    try:
                        data = self.live[name].receive(max(deadline - time.monotonic(), 1e-3))
                    except EOFError:
                        self.lose(name, "vanished in the middle of a round")
                    except (TimeoutError, FrameError) as err:
                        self.lose(name, str(err) or "stopped in the middle of a message")
                    else:
                        take(data)
                if left <= 0:
                    for name in sorted(waiting):
                        self.lose(name, f"was silent for {patience:g} s")
                    return


def aggregator(job: Job, holder: Channel, links: list[Channel], tell: Tell, account: Account) -> None:
    """Run the aggregator: it forwards messages to all banks and adds up ciphertexts that it cannot read."""
    banks = Banks(links, job.patience, tell)
    for data in banks.hellos():
        holder.send(data)
    holder.send(note("complete"))
    summing = None
    while True:
        data = holder.receive(None)
        frame = decode(data)
        if frame.kind is Kind.SUM_SESSION:
            session = PaillierSum.from_bytes(data)
            summing = session.aggregator()
            account.enter("bins" if "counts" in session.tensors else "training")
            banks.send(data)
            continue
        topic = topic_of(frame)
        banks.send(data)
        if topic == "end":
            return
        if topic == "ask":
            if summing is None:
                raise ProtocolAbort("a sum was requested before the session began", party="key holder")
            round = field(frame.header, "round", int, low=0)
            tensor = field(frame.header, "tensor", str)
            banks.collect(partial(_add, summing, tell))
            holder.send(summing.finish(round, tensor))


def _add(summing: Aggregator, tell: Tell, data: bytes) -> None:
    """Add a contribution to the open sum, or report why it is refused."""
    verdict = summing.add(data)
    if isinstance(verdict, Rejected):
        tell(note("refused", name=verdict.sender or "somebody", why=verdict.reason))


def key_holder(job: Job, link: Channel, tell: Tell, account: Account) -> None:
    """Run the key holder: it decrypts sums over the banks, chooses the bins, and steps towards the optimum."""
    account.enter("keys")
    public_key, private_key = generate_keypair(job.key_size)
    tell(note("key", words=public_key.fingerprint_words, bits=public_key.bits))
    with private_key:
        clients = _roster(link)
        account.enter("bins")
        tell(note("phase", name="bins"))
        plan = FixedPoint.integers(limit=max(limit for _, limit in clients.values()), max_weight=len(clients))
        equal = {name: (key, 1) for name, (key, _) in clients.items()}
        session = PaillierSum(public_key, {"counts": (plan, CELLS + 1)}, equal, MIN_CLIENTS)
        with _asking(job, link, session, private_key) as ask:
            counts = np.asarray(ask(0, np.zeros(0)).integers, dtype=np.int64)
        bins = choose_bins(counts)
        link.send(note("bins", bins.to_bytes()))
        tell(note("bins", bins.to_bytes(), size=bins.size))
        account.enter("training")
        tell(note("phase", name="training"))
        plan = FixedPoint(clip=1.0, frac_bits=FRAC_BITS, max_weight=sum(limit for _, limit in clients.values()))
        session = PaillierSum(public_key, {"gradient": (plan, bins.size + 1)}, clients, MIN_CLIENTS)
        with _asking(job, link, session, private_key) as ask:
            fitted = fit(job.penalty, ask, tell, counts, bins)
        fitted.end(link.send, tell)


def read_hello(frame: Frame, clients: dict[str, tuple[bytes, int]]) -> None:
    """Add to `clients` the bank that says hello: name, public key and limit."""
    name = field(frame.header, "name", str, low=1, high=64)
    if name in clients:
        raise ProtocolAbort(f"two banks use the name {name!r}", party=name)
    clients[name] = (field(frame.header, "key", bytes, length=32), field(frame.header, "limit", int, low=1))


def _roster(link: Channel) -> dict[str, tuple[bytes, int]]:
    """Collect the banks that take part, with the public key and the limit of each."""
    clients: dict[str, tuple[bytes, int]] = {}
    while True:
        frame = read_note(link.receive(None), "hello", "complete")
        if frame.header["topic"] == "complete":
            break
        read_hello(frame, clients)
    if len(clients) < MIN_CLIENTS:
        raise ProtocolAbort(f"{len(clients)} banks take part; a sum needs at least {MIN_CLIENTS}")
    return clients


@contextlib.contextmanager
def _asking(job: Job, link: Channel, session: PaillierSum, private_key: PrivateKey) -> Iterator[Ask]:
    """Begin a session of one tensor, whose sums are opened as they are asked for."""
    (tensor,) = session.tensors
    with session.key_holder(private_key, state=f"{job.state}/{tensor}") as holder:
        link.send(session.prove(private_key).to_bytes())

        def ask(round: int, point: NDArray[np.float64]) -> SumResult:
            link.send(note("ask", point.astype("<f8").tobytes(), round=round, tensor=tensor))
            return holder.open(link.receive(None))

        yield ask


class Fitted(NamedTuple):
    """The result of the training, which the role that opens the sums passes on.

    Attributes
    ----------
    model : ndarray of float64, shape (d + 1,)
        Coefficients and intercept.
    rounds : int
        Number of sums of gradients that were opened.
    starts : list of int
        The rounds in which the optimiser restarted.
    clients : list of str
        The banks in the last sum.
    weight : int
        The number of their rows; 0 where nobody knows it.
    """

    model: NDArray[np.float64]
    rounds: int
    starts: list[int]
    clients: list[str]
    weight: int

    def end(self, send: Tell, tell: Tell) -> None:
        """Send the model to the banks and to the program that started the roles."""
        model = self.model.astype("<f8").tobytes()
        send(note("end", model))
        rest = {"rounds": self.rounds, "starts": self.starts, "clients": self.clients, "weight": self.weight}
        tell(note("model", model, **rest))


def fit(
    penalty: float,
    ask: Ask,
    tell: Tell,
    counts: NDArray[np.int64],
    bins: Bins,
) -> Fitted:
    """Step to the optimum of the banks that take part; where some vanish, to the optimum of the rest.

    Parameters
    ----------
    penalty : float
        scikit-learn's C.
    ask : callable
        Called with a round and a point; returns the opened sum of the banks' mean gradients there, times their rows.
    tell : callable
        Called with notes on the training's progress.
    counts : ndarray of int64, shape (CELLS + 1,)
        The pooled counts.
    bins : Bins
        The agreed bins.

    Returns
    -------
    Fitted

    Raises
    ------
    ProtocolAbort
        If the optimum is not reached.

    Examples
    --------
    See :mod:`bluetusk.demo.runner`: an example needs running banks.
    """
    n, defaults = int(counts[:CELLS].sum()) // len(FEATURES), int(counts[-1])
    point = np.zeros(bins.size + 1)
    point[-1] = np.log((defaults + 0.5) / (n - defaults + 0.5))
    parts: tuple[str, ...] = ()
    starts: list[int] = []
    for round in range(_MOST_ROUNDS):
        opened = ask(round, point)
        if tuple(opened.clients) != parts:  # the objective has changed: restart from here
            parts = tuple(opened.clients)
            ridge = np.append(np.full(bins.size, 1.0 / (penalty * opened.weight)), 0.0)
            optimiser = QuasiNewton(point, inverse_hessian(bins, counts, ridge))
            starts.append(round)
        optimiser.tell(opened.mean + ridge * point)
        tell(note("step", np.array([optimiser.gap]).tobytes(), round=round, clients=len(parts)))
        if optimiser.gap <= GAP:
            return Fitted(optimiser.best, round + 1, starts, list(parts), int(opened.weight))
        point = optimiser.point
    raise ProtocolAbort(f"no optimum after {_MOST_ROUNDS} rounds; raise the penalty", round=_MOST_ROUNDS)
