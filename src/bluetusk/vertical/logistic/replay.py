"""Replays the guest's half of a training, and of scoring, from its audit book: all that it sent follows from it.

The book has what the guest brought in (labels, its rows in fixed point, what the host's bins are worth), the key of
this job, each message that came, and the seed of each array that the guest encrypted or masked. So the guest's half
runs again, to the byte, without the host's secrets: its messages must be those whose digests the logs keep, and so must
be the host's messages that it was fed. The book also has the numbers that the guest says it encrypted: the first one
that the replay finds otherwise is named. Nothing of the host's is learned: what the key opens has uniform masks.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..._numeric import Ints
from ...errors import BluetuskError
from ...evidence.book import ARRAY, HEARD, STEP, Entry
from ...paillier import PrivateKey, PublicKey
from ...paillier.ephemeral import restored_key
from ...paillier.seed import SEEDS, Seed
from ...tasks import LOGISTIC_SCORES
from ...wire.frame import Kind, decode
from ..protocol.job import pieces_of
from ..protocol.link import Link
from .columns import Bins, residuals_layout
from .config import CLASS_BITS, Config, HostBins
from .half import COEF_BITS, Half, Points
from .job import LogisticJob
from .products import ENTRY_BITS
from .ring import RING_BITS
from .score import ScoreJob

__all__ = ["Models", "Replayed", "Wrong", "replay"]

_ROWS = ("residuals", "powers")
"""Messages of the guest with numbers for each row of a batch."""
Models = dict[bytes, tuple[Half, Points | None]]
"""The guest's halves, and scales of points, of replayed trainings, by the training's name."""
_LABELS = 1000  # a residual that is further off is not called that of another label


@dataclass(frozen=True)
class Wrong:
    """The first number that is not what the replay says.

    Attributes
    ----------
    topic, step : str, int
        The message, and its step.
    row : int or None
        The row, where the numbers are those of rows.
    found, expected : int or str
        The number in the book and the one of the replay; labels, where the number is that of another label.
    reason : str
        In words.
    """

    topic: str
    step: int
    row: int | None
    found: Any
    expected: Any
    reason: str


@dataclass
class Replayed:
    """What a replay found.

    Attributes
    ----------
    me : str
        The guest's name in the messages.
    sent, heard : dict of (int, str) to set of bytes
        By step and topic, SHA-256 of each frame that the guest sent, and that it got, in any attempt.
    kept : dict of (int, str) to set of bytes
        As `sent`, of the last whole attempt of each step: the one from which all later steps follow.
    last : int
        The last step of the book.
    wrong : Wrong or None
        If there is one, the replay ended there.
    """

    me: str = ""
    sent: dict[tuple[int, str], set[bytes]] = field(default_factory=dict)
    heard: dict[tuple[int, str], set[bytes]] = field(default_factory=dict)
    kept: dict[tuple[int, str], set[bytes]] = field(default_factory=dict)
    last: int = -1
    wrong: Wrong | None = None


class _Torn(Exception):
    """The pages end here: the process died, or the link did."""


class _False(Exception):
    """Something is wrong; the argument says what."""


class _Tape:
    """The pages of an attempt of a step, in place of the channel and of randomness."""

    def __init__(self, pages: Sequence[Entry]) -> None:
        self._pages = list(pages)[::-1]
        self.sent: list[tuple[str, bytes]] = []
        self.heard: list[tuple[str, bytes]] = []
        self.differ: tuple[PublicKey, list[int], list[int]] | None = None

    def take(self, name: str) -> Entry:
        """Return the next page."""
        if not self._pages:
            raise _Torn
        page = self._pages.pop()
        if page.name != name:
            raise _False(f"the book has a page {page.name!r} where {name!r} is due")
        return page

    def key(self) -> PrivateKey:
        """Return the guest's key."""
        primes = self.take("key").arrays["primes"].tobytes()
        half = len(primes) // 2
        return restored_key(primes[:half], primes[half:])

    def end(self) -> None:
        """Check that no page is left."""
        if self._pages:
            raise _False(f"the book has a page {self._pages[-1].name!r} that the step does not make")

    def send(self, data: bytes) -> None:
        """Keep what the guest sends."""
        self.sent.append((_topic(data), hashlib.sha256(data).digest()))

    def recv(self) -> bytes:
        """Return what came."""
        data = self.take(HEARD).arrays["frame"].tobytes()
        self.heard.append((_topic(data), hashlib.sha256(data).digest()))
        return data

    def seed(self, pub: PublicKey, values: Sequence[int]) -> Seed:
        """Return the seed of the next array, and note whether the book has other numbers."""
        page, due = self.take(ARRAY), [int(value) for value in values]
        if page.values != due and self.differ is None:
            self.differ = pub, page.values, due
        return Seed(*page.seed)


class _Signer:
    """Fills the places of signed statements in the count of messages."""

    def require(self, task: str, purpose: str) -> None:
        """Demand nothing."""

    def state(self, task: str, purpose: str, columns: Sequence[str], rows: int, details: Mapping[str, Any]) -> bytes:
        """Return nothing: statements are in the logs, and not compared."""
        return b""

    def take(self, task: str, data: bytes | memoryview) -> None:
        """Check nothing."""

    def answered(self, task: str) -> None:
        """Demand nothing."""

    def begun(self) -> None:
        """Note nothing."""

    def settled(self) -> None:
        """Demand nothing."""


class _Link(Link):
    """A link to the tape that stops before the message in which a number is wrong."""

    tape: _Tape
    job: _Guest | _Scorer

    def send(
        self,
        topic: str,
        fields: Mapping[str, Any] | None = None,
        parts: Sequence[bytes | bytearray | memoryview] = (),
    ) -> None:
        """See :meth:`Link.send`."""
        if self.tape.differ is not None:
            raise _False(self.job.explained(topic, *self.tape.differ))
        super().send(topic, fields, parts)


class _Fixed(Half):
    """A half whose table is in fixed point already."""

    def rows(self, table: Any) -> Ints:
        """See :meth:`Half.rows`."""
        fixed: Ints = table
        return fixed


class _Guest(LogisticJob):
    """The guest's half on what its book says."""

    tape: _Tape

    def __init__(self, page: Entry) -> None:
        facts, arrays, bins = page.facts, page.arrays, None
        if "sizes" in facts:
            ends = np.cumsum(facts["sizes"])[:-1]
            counts, values = (np.split(arrays[name], ends) for name in ("counts", "values"))
            bins = HostBins(counts, values, bytes.fromhex(facts["bins"]))
        config = Config.from_fields(facts["config"])
        weights, largest = facts["class_weights"], 1 << ENTRY_BITS
        if weights is not None and not all(0 <= int(weight) <= 1 << CLASS_BITS for weight in weights):
            raise ValueError(f"class weights must be from 0 to 2^{CLASS_BITS}, not {weights}")
        if not -largest < int(arrays["matrix"].min(initial=0)) <= int(arrays["matrix"].max(initial=0)) < largest:
            raise ValueError(f"the guest's rows must be below 2^{ENTRY_BITS}")
        self.index = 0
        super().__init__(
            "guest",
            arrays["matrix"].astype(np.int64),
            ["column"] * (arrays["matrix"].shape[1] - config.intercept),
            int(facts["key_size"]),
            config=config,
            labels=arrays["labels"].astype(np.int64),
            class_weights=None if weights is None else (int(weights[0]), int(weights[1])),
            seed=bytes.fromhex(facts["seed"]),
            held_back=arrays["held"],
            bins=bins,
        )

    def _prepare(self) -> None:
        """Divide the rows: they are prepared."""
        assert self.chosen is not None
        assert self.labels is not None
        self.held = self.chosen
        self.used = np.setdiff1d(np.arange(len(self.table)), self.held)
        self._order = self._sides = None
        self.targets, self.matrix = self.labels[self.used], self.table[self.used]
        self.whitening, self.unit = None, 1.0

    @property
    def half(self) -> Half:
        """See :attr:`LogisticJob.half`."""
        half = super().half
        return _Fixed(**{item.name: getattr(half, item.name) for item in dataclasses.fields(half)})

    def _new_key(self) -> PrivateKey:
        return self.tape.key()

    @property
    def result_step(self) -> int:
        """The step at whose end the weights are there."""
        return self.batches * self.epochs + 1

    def explained(self, topic: str, pub: PublicKey, found: list[int], due: list[int]) -> Wrong:
        """Return what is wrong with the numbers of a message."""
        wrong, at = _differs(self.index, None if self.bins is None else self._bins, topic, found, due)
        if topic in _ROWS and at >= 0:
            was, want = found[at], due[at]
            rows = self.used[self._rows_of(self.index - 1)]
            if topic == "residuals" and self.bins is None:  # packed
                layout = residuals_layout(pub.bits, len(rows), tracked=self._agreed.tol > 0)
                place = ((was ^ want) & -(was ^ want)).bit_length() - 1
                place = min(place // layout.width, layout.count - 1)
                was, want = (layout.signed([each], layout.count)[place] for each in (was, want))
                at = at * layout.count + place
            return self._of_row(topic, int(rows[at]), was, want)
        return wrong

    def _of_row(self, topic: str, row: int, was: int, want: int) -> Wrong:
        """Return what is wrong with the number of a row: another label, where that explains it."""
        assert self.labels is not None
        half = 1 << (RING_BITS - 1)
        away = (want - was + half) % (2 * half) - half
        more, label = round(away / (1 << COEF_BITS)), int(self.labels[row])
        near = 0 < abs(more) < _LABELS and abs(away - (more << COEF_BITS)) <= 2
        if topic == "residuals" and near and not self._agreed.weighted:
            what = "the label is neither 0 nor 1" if label + more not in (0, 1) else "the label is not that of the row"
            return Wrong(topic, self.index, row, label + more, label, what)
        what = "the number is not this party's share of sigmoid(score) - label"
        return Wrong(topic, self.index, row, was, want, what)


class _Scorer(ScoreJob):
    """The guest's half of a scoring, on what its book says, with the weights of a replayed training."""

    tape: _Tape

    def __init__(self, page: Entry, models: Models) -> None:
        facts, matrix = page.facts, page.arrays["matrix"].astype(np.int64)
        model = bytes.fromhex(facts["model"])
        half, points = models[model]
        exact, self._ids, self.index = bool(facts["exact"]), bytes.fromhex(facts["ids"]), 0
        super().__init__(half, model, b"", matrix, [], int(facts["key_size"]), points=points, exact=exact)
        self.rows = int(facts.get("rows", len(matrix)))
        # books of versions that scored all rows in one step do not have their number
        self.pieces = pieces_of(self.rows) if "rows" in facts else [slice(0, self.rows)]
        self.matrices: dict[int, Ints] = {}

    def take(self, page: Entry) -> None:
        """Take the rows of a step."""
        if "matrix" in page.arrays:
            self.matrices[page.number] = page.arrays["matrix"].astype(np.int64)

    def _piece(self, k: int) -> Any:
        return self.matrices[k]

    @property
    def order(self) -> bytes:
        """See :attr:`ScoreJob.order`."""
        return self._ids

    def _new_key(self) -> PrivateKey:
        return self.tape.key()

    def explained(self, topic: str, pub: PublicKey, found: list[int], due: list[int]) -> Wrong:
        """Return what is wrong with the numbers of a message."""
        return _differs(self.index, self.half.bins, topic, found, due)[0]


def _differs(index: int, bins: Bins | None, topic: str, found: list[int], due: list[int]) -> tuple[Wrong, int]:
    """Return what is wrong with an array of a step, and at which number; -1 if there are more or fewer numbers."""
    if len(found) != len(due):
        return Wrong(topic, index, None, len(found), len(due), "another number of numbers was encrypted"), -1
    at = next(i for i, (a, b) in enumerate(zip(found, due, strict=True)) if a != b)
    what = f"number {at} of the array"
    if bins is not None and topic in ("values", "weights") and at < bins.entries:
        what = f"the number of bin {int(bins.place[at])} of the host's column {int(bins.column[at])}"
    what += " is not what labels, bins and shares say"
    return Wrong(topic, index, None, found[at], due[at], what), at


def _topic(data: bytes) -> str:
    return str(decode(data, Kind.VERTICAL).header["topic"])


def _attempts(pages: Iterable[Entry]) -> list[list[Entry]]:
    """Return the pages of each attempt of a step."""
    found: list[list[Entry]] = []
    for page in pages:
        if page.name == STEP:
            found.append([])
        if found:
            found[-1].append(page)
    return found


def replay(pages: Iterable[Entry], models: Models) -> Replayed:
    """Run the guest's half of trainings, or of scorings, again.

    Parameters
    ----------
    pages : iterable of Entry
        Those of the task, in order.
    models : dict
        What the trainings end with: added by a training, used by a scoring.

    Raises
    ------
    FrameError, KeyError, ValueError
        If the pages do not hold what they must.
    """
    out = Replayed()
    guest: _Guest | _Scorer | None = None
    facts: dict[str, Any] = {}
    states: dict[int, bytes] = {}  # before each step
    at = 0
    for first, *rest in _attempts(pages):
        index = first.number
        out.last = max(out.last, index)
        if index == 0 and first.task == LOGISTIC_SCORES.name and bytes.fromhex(first.facts["model"]) not in models:
            out.wrong = Wrong("rows", 0, None, "", "", "the book does not have the training of this model")
            return out
        if index == 0:
            guest = _Scorer(first, models) if first.task == LOGISTIC_SCORES.name else _Guest(first)
            facts, states = first.facts, {}
            out.me, at = str(facts["me"])[:64], 0  # as logs keep names
            states[0] = guest.state()
        if guest is None or index not in states:
            out.wrong = Wrong("log", index, None, "", "", "the book does not have the step before this one")
            return out
        if index != at:
            guest.restore(states[index])
        at = index
        tape = guest.tape = _Tape(rest)
        guest.index = index
        if isinstance(guest, _Scorer):
            guest.take(first)
        try:
            _step(guest, tape, facts)
            tape.end()
            if isinstance(guest, _Guest) and index == guest.result_step:
                models[guest.model] = guest.half, guest.points
            states = {k: state for k, state in states.items() if k >= index - 1}
            at = index + 1
            states[at] = guest.state()
        except _False as error:
            what = error.args[0]
            topic = tape.sent[-1][0] if tape.sent else "setup"
            out.wrong = what if isinstance(what, Wrong) else Wrong(topic, index, None, "", "", str(what))
        except (_Torn, BluetuskError):  # the guest did not come further either
            at = -1
        whole = at == index + 1  # what follows may follow from the attempt before a torn one
        if whole:
            out.kept = {place: digests for place, digests in out.kept.items() if place[0] != index}
        for topics, seen in ((tape.sent, out.sent), (tape.sent * whole, out.kept), (tape.heard, out.heard)):
            for topic, digest in topics:
                seen.setdefault((index, topic), set()).add(digest)
        if out.wrong is not None:
            return out
    return out


def _step(guest: _Guest | _Scorer, tape: _Tape, facts: Mapping[str, Any]) -> None:
    link = _Link(tape, me=str(facts["me"]), peer=str(facts["peer"]), signer=_Signer() if facts["signs"] else None)
    link.session, link.tape, link.job = bytes.fromhex(facts["session"]), tape, guest
    link.scope(guest.name, guest.index)
    token = SEEDS.set(tape.seed)
    try:
        guest.step([link], guest.index)
    finally:
        SEEDS.reset(token)
    if tape.differ is not None:
        raise _False(guest.explained("array", *tape.differ))
