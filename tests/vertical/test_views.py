"""What crosses between the parties, every frame of it inside TLS: nothing but the table below, and nothing plain in it.

A run of the whole pipeline is recorded at the links. `plain` looks for private values in any encoding, `shape` compares
messages with the table, `opened` decrypts with each side's own keys what that side received. Each of them must find
leaks that are planted in the recording.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import Identity, Log, Meter, Recorder
from bluetusk.evidence.notary import Notary
from bluetusk.paillier import PrivateKey, primes, slots
from bluetusk.paillier.array import encrypt_integers
from bluetusk.paillier.masked import unmask
from bluetusk.vertical.binning import common as _binning
from bluetusk.vertical.boosting import sums as _boosting_sums
from bluetusk.vertical.boosting.buckets import Buckets
from bluetusk.vertical.logistic import products, ring
from bluetusk.vertical.logistic.columns import Bins
from bluetusk.vertical.party.config import Config, Data, Model
from bluetusk.vertical.party.pipeline import confirm, run
from bluetusk.vertical.party.rows import Rows
from bluetusk.vertical.protocol import link as _link
from bluetusk.wire.frame import Kind, decode, encode

pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

DOCS = Path(__file__).parents[2] / "docs"
PEERS = {"guest": "host", "host": "guest"}
POINT, CIPHER = 33, 512
MODEL = Model(
    key_size=2048,
    min_intersection=50,
    min_total_events=10,
    min_bucket_rows=10,
    max_bins=4,
    min_rows=20,
    epochs=2,
    batch_size=64,
    trees=2,
    depth=2,
    tree_bins=8,
    l2=0.0,
)
LR, GB = "logistic_regression", "gradient_boosting"
KEY = [None, None]  # the frame of a key, and that of its proof


def ceil(a, b):
    return -(-a // b)


# --- the table -------------------------------------------------------------------------------------------------------
# (task, topic, from): names of fields, and of each part its length: bytes, or (ciphertexts,), or None for a frame of
# its own kind. `s` has the public sizes, `f` the message's fields, `b` what was said before in this task.
TABLE = {
    ("agree", "settings", "guest"): ("settings", lambda s, f, b: []),
    ("agree", "settings", "host"): ("settings", lambda s, f, b: []),
    ("intersect", "hello", "guest"): ("least rows", lambda s, f, b: []),
    ("intersect", "hello", "host"): ("least rows", lambda s, f, b: []),
    ("intersect", "request", "guest"): ("", lambda s, f, b: [s.slice(s.ids["guest"]) * POINT]),
    ("intersect", "setup", "host"): ("", lambda s, f, b: [s.slice(s.ids["host"]) * POINT]),
    ("intersect", "answer", "host"): ("", lambda s, f, b: [s.slice(s.ids["guest"]) * POINT]),
    ("intersect", "common", "guest"): ("rows", lambda s, f, b: [4 * s.common] * 2),
    ("intersect", "sample", "host"): ("", lambda s, f, b: [32]),
    ("intersect", "committed", "guest"): ("", lambda s, f, b: [40 * 32]),
    ("intersect", "coins", "host"): ("", lambda s, f, b: [40]),
    ("intersect", "opened", "guest"): ("", lambda s, f, b: [40 * 32]),
    ("woe-binning", "labels", "guest"): ("min_events min_others min_rows noise_sigma reveal rows", lambda s, f, b: KEY),
    ("woe-binning", "columns", "host"): (
        "columns min_events min_others monotonic",
        lambda s, f, b: [4 * s.d["host"]] * 2 + [s.names],
    ),
    ("woe-binning", "encrypted", "guest"): ("", lambda s, f, b: [(s.slice(s.used),)]),
    ("woe-binning", "bins", "host"): ("", lambda s, f, b: [(ceil(s.bins, s.bin_slots),)]),
    ("woe-binning", "done", "guest"): ("", lambda s, f, b: []),
    (LR, "setup", "guest"): ("columns config held rows seed", lambda s, f, b: KEY),
    (LR, "setup", "host"): ("bins columns curvature rows", lambda s, f, b: KEY),
    (LR, "values", "guest"): ("", lambda s, f, b: [(s.entries,)]),
    (LR, "residuals", "guest"): ("", lambda s, f, b: [(s.batch,) if s.entries else s.packed_residuals]),
    (LR, "residuals", "host"): ("", lambda s, f, b: [s.packed_residuals]),
    (LR, "gradients", "guest"): ("", lambda s, f, b: [(s.w("guest"),), (1,)]),
    (LR, "gradients", "host"): ("", lambda s, f, b: [*s.host_gradients, (1,)]),
    **{(LR, "sign", me): ("", lambda s, f, b: [1]) for me in PEERS},
    (LR, "coefficients", "guest"): ("", lambda s, f, b: [12 * s.w("host"), 8 * len(s.sizes)]),
    (LR, "coefficients", "host"): ("", lambda s, f, b: [12 * s.w("guest"), 0]),
    **{
        (task, topic, me): value
        for task in (LR, LR + ".predict")
        for me in PEERS
        for topic, value in {
            "weights": ("", lambda s, f, b, me=me: s.weights(me)),
            "scores": ("", lambda s, f, b, me=me: [(ceil(s.scored, s.row_slots(me)),)]),
        }.items()
    },
    (LR, "points", "host"): ("", lambda s, f, b: [2 * s.held]),
    (LR, "bits", "guest"): ("", lambda s, f, b: [(64,)]),
    (LR, "places", "host"): ("", lambda s, f, b: [64 * CIPHER]),
    (LR, "powers", "guest"): ("", lambda s, f, b: [(s.batch,)] * 2),
    (LR, "cubes", "host"): ("", lambda s, f, b: [(ceil(s.batch, products.values_layout(2048, 96).count),)]),
    (LR, "to weigh", "host"): ("", lambda s, f, b: [(s.batch,)]),
    (LR, "weighed", "guest"): ("", lambda s, f, b: [(ceil(s.batch, products.values_layout(2048, 17).count),)]),
    (LR + ".predict", "rows", "guest"): ("exact ids model rows", lambda s, f, b: KEY),
    (LR + ".predict", "key", "host"): ("", lambda s, f, b: KEY),
    (LR + ".predict", "points", "host"): ("", lambda s, f, b: [2 * s.test]),
    (GB, "offer", "guest"): ("host rows settings", lambda s, f, b: KEY),
    (GB, "ready", "host"): ("columns max_bins rows", lambda s, f, b: []),
    (GB, "gradients", "guest"): ("rows", lambda s, f, b: [0, (s.train,)]),
    (GB, "level", "guest"): ("active split", lambda s, f, b: [ceil(s.train, 8) if f["split"] else 0]),
    (GB, "candidates", "host"): ("counts", lambda s, f, b: [(ceil(sum(f["counts"]), s.sum_slots),)]),
    (GB, "choice", "guest"): ("handles places", lambda s, f, b: [4 * sum(f["handles"]), 0]),
    (GB, "partition", "host"): ("", lambda s, f, b: [ceil(s.train, 8)]),
    (GB + ".predict", "offer", "guest"): ("ids model rows", lambda s, f, b: []),
    (GB + ".predict", "ready", "host"): ("rows", lambda s, f, b: []),
    (GB + ".predict", "ask", "guest"): ("", lambda s, f, b: [4 * s.asked(f), ceil(s.test, 8) * s.asked(f)]),
    (GB + ".predict", "answer", "host"): ("", lambda s, f, b: [ceil(s.test * s.asked(b["ask", "guest"]), 8)]),
    **{
        (task, topic, me): ("", lambda s, f, b: [None])
        for me in PEERS
        for task, topic in (("heads", "held"), ("heads", "head"), ("any", "signed"))
    },
    **{("split", topic, me): ("", lambda s, f, b: [32]) for me in PEERS for topic in ("commit", "reveal")},
    **{("kept", "kept", me): ("", lambda s, f, b: []) for me in PEERS},
}
AT_MOST = {"level", "partition", "answer"}  # of some nodes' rows only: these lengths are bounds
OPENED = {
    ("woe-binning", "bins"),
    (GB, "candidates"),
    (LR, "scores"),
    (LR + ".predict", "scores"),
    (LR, "gradients"),
    (LR, "cubes"),
    (LR, "weighed"),
}


class Both:
    """Run two callables at the same time; raise the first error."""

    def __call__(self, *calls):
        results, errors = [None] * len(calls), []

        def one(k):
            try:
                results[k] = calls[k]()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=one, args=(k,), daemon=True) for k in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        if errors:
            raise errors[0]
        return results


@dataclass
class Sizes:
    """The public numbers that the lengths follow from; `batch` and `slice` change from message to message."""

    ids: dict[str, int]
    common: int
    train: int
    d: dict[str, int]
    names: int
    bins: int
    sizes: tuple = ()  # of the host's columns in the regression, if they are binned
    epochs: int = 0  # that the regression took
    held: int = 0
    batch: int = 0
    part: int = 0
    scored: int = 0
    scoring: bool = False

    @property
    def test(self):
        return self.common - self.train

    @property
    def used(self):
        """Rows that the bins and the regression are fitted to."""
        return self.train - self.held

    def slice(self, n):
        return n * (self.part + 1) // 8 - n * self.part // 8

    def w(self, me):
        return self.d[me] + (me == "guest")  # the intercept is the guest's

    def at(self, step, batch_size, task=LR):
        """Set what depends on the step: which of eight parts, which batch."""
        batches = ceil(self.used, batch_size)
        k = max(step - 1, 0) % batches
        self.part, self.batch = (step - 1) % 8, self.used * (k + 1) // batches - self.used * k // batches
        self.scoring = task == LR + ".predict" or (task == LR and step > batches * self.epochs)
        self.scored = self.batch if not self.scoring else self.held if task == LR else self.test

    @property
    def bin_slots(self):
        return 2046 // (31 + self.used.bit_length())

    def row_slots(self, me):
        if self.scoring and me == "host":
            return 1  # a number that the guest made too large reaches no other row
        return products.rows_layout(2048, self.w(me) + 1, 18 + 16 * self.scoring).count

    @property
    def entries(self):
        return sum(self.sizes) + len(self.sizes)  # each column has one more for values that the binning has not seen

    def weights(self, me):
        count = self.entries if me == "guest" and self.entries else self.w(PEERS[me])
        if not self.scoring or me == "host":
            return [(count,)]
        return [(count,), (self.entries or 1,)]  # for a factor that only the guest knows

    @property
    def packed_residuals(self):
        return (ceil(self.batch, self.column_slots),)

    @property
    def host_gradients(self):
        if not self.entries:
            return [(self.w("host"),)]
        bins = Bins(self.sizes)
        sums, products_ = bins.sums_layout(2048, self.batch), bins.gradients_layout(2048)
        return [(ceil(self.entries, sums.count),), (ceil(len(self.sizes), products_.count),)]

    @property
    def column_slots(self):
        return products.columns_layout(2048, self.batch, 96).count

    @property
    def sum_slots(self):
        return 2043 // _boosting_sums.Layout(self.train, 24).slot_bits

    def asked(self, message):
        return len(message["parts"][0]) // 4


# --- the recording ---------------------------------------------------------------------------------------------------
@dataclass
class Message:
    task: str
    topic: str
    me: str
    step: int
    fields: dict
    parts: list
    frame: bytes

    @classmethod
    def read(cls, data):
        got = decode(data, Kind.VERTICAL, max_payload=1 << 30)
        ends = np.cumsum([0, *got.header["parts"]]).tolist()
        parts = [bytes(got.payload[a:b]) for a, b in itertools.pairwise(ends)]
        head = got.header
        return cls(head["task"], head["topic"], head["from"], head["step"], head["fields"], parts, data)

    def changed(self, **changes):
        new = dataclasses.replace(self, **changes)
        head = {"topic": new.topic, "task": new.task, "step": new.step, "seq": 0, "from": new.me, "fields": new.fields}
        new.frame = encode(Kind.VERTICAL, {**head, "parts": [len(p) for p in new.parts]}, b"".join(new.parts))
        return new


@dataclass
class Recording:
    messages: list
    sizes: Sizes
    keys: dict  # private keys by party
    private: dict = field(default_factory=dict)
    outcomes: dict = field(default_factory=dict)

    def with_message(self, place, message):
        messages = [*self.messages[:place], message, *self.messages[place + 1 :]]
        return dataclasses.replace(self, messages=messages)

    def first(self, task, topic, me):
        return next(k for k, m in enumerate(self.messages) if (m.task, m.topic, m.me) == (task, topic, me))


class Tap:
    """A channel that notes what goes out, as it is before TLS."""

    def __init__(self, inner, frames):
        self.inner, self.frames = inner, frames

    def send(self, data):
        self.frames.append(bytes(data))
        self.inner.send(data)

    def recv(self):
        return self.inner.recv()


class Fresh:
    """A keeper that keeps nothing."""

    def resume(self, task):
        return 0, None

    def commit(self, task, index, state):
        pass


def recorded(both, monkeypatch, guest, host, observers=(None, None)):
    """Run two callables, each with its link; return frames, private keys by party, and results."""
    found, frames = [], []
    whole = primes.generate_primes

    def generate(*args, **more):
        pair = whole(*args, **more)
        found.append(PrivateKey._generated(int(pair[0]), int(pair[1]), "djn"))
        return pair

    monkeypatch.setattr(primes, "generate_primes", generate)
    links = _link.local_links(observers=observers, seconds=120)
    for link in links:
        link.channel = Tap(link.channel, frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        results = both(lambda: guest(links[0]), lambda: host(links[1]))
    monkeypatch.setattr(primes, "generate_primes", whole)
    messages = [Message.read(data) for data in frames]
    keys = {me: [] for me in PEERS}
    for message, key in itertools.product(messages, found):
        if key.public_key.to_bytes() in message.parts:
            keys[message.me].append(key)
    assert sum(map(len, keys.values())) == len(found)
    return messages, keys, results


def tables(n=240):
    """Ids, columns and labels of both: of high entropy, so that a value met by chance is none of them."""
    rng = np.random.default_rng(5)
    ids = [f"{v:016x}" for v in rng.integers(1 << 60, 1 << 63, n).tolist()]
    of = {"guest": np.sort(rng.permutation(n)[: n * 9 // 10]), "host": rng.permutation(n)[: n * 19 // 20]}
    x = {"guest": rng.normal(5e5, 1e5, (n, 2)), "host": rng.normal(5e5, 1e5, (n, 3))}
    y = (x["guest"][:, 0] + x["host"][:, 0] + rng.normal(0, 1e5, n) > 1e6).astype(np.int64)
    names = {me: [f"{me}_{j}" for j in range(x[me].shape[1])] for me in PEERS}
    return {
        me: Rows(
            np.array([ids[k] for k in of[me]], object),
            names[me],
            list(x[me][of[me]].round(2).T),
            y[of[me]] if me == "guest" else None,
        )
        for me in PEERS
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole pipeline, recorded."""
    folder, rows, signers = tmp_path_factory.mktemp("views"), tables(), {}
    recorders, configs = {}, {}
    for me in PEERS:
        signers[me] = Identity.generate()
        log = Log.create(folder / me, signers[me], owner=me)
        recorders[me] = Recorder(log=log, meter=Meter(), job="views", me=me, peers={})
        data = Data("-", label="label" if me == "guest" else None)
        configs[me] = Config(me, "views", "-", "-", "-", data, connect="-", model=MODEL)

    def side(me):
        def program(link):
            key, log = signers[PEERS[me]].public_key, recorders[me].log
            notary = link._signer = Notary(log, signers[me], job="views", me=me, peer=PEERS[me], key=key)
            outcome = run(configs[me], rows[me], link, Fresh(), recorder=recorders[me], notary=notary)
            confirm(link, Fresh())
            return outcome

        return program

    with pytest.MonkeyPatch.context() as patch:
        observers = (recorders["guest"], recorders["host"])
        messages, keys, (guest, host) = recorded(Both(), patch, side("guest"), side("host"), observers)
    digests = [r.hashes["labels"] for each in recorders.values() for r in each.log.records if "labels" in r.hashes]
    assert len(digests) == 2
    assert digests[0] == digests[1]  # both logs have the digest of the one label array
    for each in recorders.values():
        each.log.close()
    names = len(messages[[m.topic for m in messages].index("columns")].parts[2])
    sizes = Sizes(
        {me: len(rows[me].ids) for me in PEERS},
        guest.sizes["intersection"],
        guest.sizes["train"],
        {me: len(rows[me].names) for me in PEERS},
        names,
        sum(each.n_bins for each in host.binning.bins_),
        tuple(each.n_bins for each in host.binning.bins_),
        guest.models[LR].n_iter_,
        held=int(guest.held.sum()),
    )
    return Recording(messages, sizes, keys, private=rows, outcomes={"guest": guest, "host": host})


def host_woe(recording):
    """Return the host's weights of evidence, row by row, which only both together know."""
    guest, host = (recording.outcomes[me] for me in PEERS)
    codes = host.binning.codes(host.rows.matrix(host.order), columns=host.rows.names)
    return np.column_stack([np.append(v, 0.0)[c] for v, c in zip(guest.binning.peer_values(), codes.T, strict=True)])


def woe_of(recording, me):
    outcome = recording.outcomes[me]
    if me == "host":
        return host_woe(recording)
    return outcome.binning.transform(outcome.rows.matrix(outcome.order), columns=outcome.rows.names)


def joint_scores(recording):
    """Return the regression's probabilities of all rows in common, which no party has: from both halves."""
    guest, host = (recording.outcomes[me] for me in PEERS)
    mine, theirs = guest.models[LR].half_, host.models[LR].half_
    x = woe_of(recording, "guest")
    x[:, [k for k, name in enumerate(guest.rows.names) if name in guest.left_out]] = 0.0
    codes = mine.bins.columns(host.binning.codes(host.rows.matrix(host.order))) + mine.bins.first
    rows = [mine.rows(x).astype(float), mine.worth[codes].astype(float)]
    shares = (mine.own, theirs.theirs), (theirs.own, mine.theirs)
    weights = [np.array(ring.centred(ring.words((a + b).tolist())), float) for a, b in shares]
    total = sum(r @ w for r, w in zip(rows, weights, strict=True)) / 2.0**32
    return guest.models[LR].calibration_.probability(total)


# --- the checkers ----------------------------------------------------------------------------------------------------
def named(m):
    """Return a message's place in the table: signed statements and heads come in any task, after any."""
    task = "heads" if m.task.endswith("/heads") else m.task
    return "any" if m.topic == "signed" else task, m.topic, m.me


def shape(recording):
    """Return what differs from the table."""
    wrong, before, s = [], {}, recording.sizes
    for m in recording.messages:
        said = named(m)
        if said not in TABLE:
            wrong.append(f"{said} is not documented")
            continue
        names, lengths = TABLE[said]
        if sorted(m.fields) != names.split():
            wrong.append(f"{said} has the fields {sorted(m.fields)}")
            continue
        s.at(m.step, MODEL.batch_size, m.task)
        f = {**m.fields, "parts": m.parts}
        due = lengths(s, f, {key[1:]: value for key, value in before.items() if key[0] == m.task})
        if len(due) != len(m.parts):
            wrong.append(f"{said} has {len(m.parts)} parts")
            continue
        for part, length in zip(m.parts, due, strict=True):
            if isinstance(length, tuple):
                found = len(decode(part, Kind.CIPHER_ARRAY).payload) if part else 0
                length = CIPHER * length[0]
            elif length is None:
                continue
            else:
                found = len(part)
            if found != length and not (m.topic in AT_MOST and found < length):
                wrong.append(f"{said} has a part of {found} bytes, not {length}")
        before[said] = f
    return wrong


def windows(values, count):
    """Return all runs of so many values, but for those of one value only."""
    for k in range(len(values) - count + 1):
        piece = values[k : k + count]
        if count == 1 or len(set(piece.tolist())) > 1:
            yield piece


def encoded(values, count, kinds):
    for piece in windows(values, count):
        for kind in kinds:
            with np.errstate(invalid="ignore"):
                yield piece.astype(kind).tobytes()


def needles(recording):
    """Yield what must not be in any frame: a name, and at least eight bytes."""
    both_ways = [order + kind for kind in ("f4", "i4", "i8") for order in "<>"]
    guest = recording.outcomes["guest"]
    train = ~guest.test
    for me, rows in recording.private.items():
        outcome = recording.outcomes[me]
        for text in rows.ids:
            for piece in (text.encode(), text.encode("utf-16-le"), hashlib.sha256(text.encode()).digest()):
                yield "id", piece
        for values in rows.values:
            for ordered in (values, values[outcome.order], values[outcome.order][train]):
                for piece in encoded(ordered, 1, ("<f8", ">f8")):
                    yield "feature", piece
                for piece in encoded(np.rint(ordered), 2, both_ways):
                    yield "feature", piece
                for piece in encoded(np.rint(ordered * 4096), 2, ("<i8", ">i8")):
                    yield "feature", piece
            for v in values.tolist():
                yield "feature", f"{v:.2f}".encode()[:8]
        table = outcome.rows.matrix(outcome.order)
        woe = woe_of(recording, me)
        for column in woe.T:
            for piece in encoded(column, 12, ("<f8", ">f8", "<f4", ">f4")):
                yield "woe", piece
            for piece in encoded(np.rint(column * 4096), 12, ("<i4", ">i4", "<i8", ">i8")):
                yield "woe", piece
        for column, bins in zip(table.T, outcome.binning.bins_, strict=True):
            for piece in encoded(bins.codes(column), 32, ("|u1", "<i4", ">i4", "<i8", ">i8")):
                yield "bin", piece
    for labels in (recording.private["guest"].labels, guest.labels, guest.labels[train]):
        for piece in encoded(labels, 64, ("|u1", *both_ways, "<f8", ">f8")):
            yield "label", piece
        for piece in windows(labels, 64):
            for bits, order in itertools.product((piece, 1 - piece), ("big", "little")):
                yield "label", np.packbits(bits.astype(np.uint8), bitorder=order).tobytes()
            yield "label", bytes(48 + piece.astype(np.uint8))
    everywhere = joint_scores(recording)
    for name, rows, scores in (
        (LR, slice(None), everywhere),
        (LR, train, everywhere[train]),
        *((name, ~train, scores) for name, scores in guest.scores.items()),
    ):
        y = guest.labels[rows].astype(float)
        logit = np.log(np.clip(scores, 1e-9, 1) / np.clip(1 - scores, 1e-9, 1))
        for values in (scores, logit, scores - y, scores * (1 - scores)):
            for piece in encoded(values, 16, ("<f8", ">f8", "<f4", ">f4")):
                yield f"gradient or score of {name}", piece
            for bits in (16, 20, 24, 32):
                for piece in encoded(np.rint(values * 2.0**bits), 16, both_ways[2:]):
                    yield f"gradient or score of {name}", piece
    for gradient in first_gradients(guest.labels[train]):
        for piece in encoded(gradient, 64, ("<i8", ">i8", "<i4", ">i4")):
            yield "gradient", piece
    for key in itertools.chain(*recording.keys.values()):
        for half in key._kernel.export_primes():
            yield "private key", bytes(half)
            yield "private key", bytes(half)[::-1]


def first_gradients(labels):
    """Return g and h of the first tree: of a probability that is the share of the ones."""
    return gradients(labels, np.full(len(labels), np.log(labels.mean() / (1 - labels.mean()))))


def gradients(labels, scores):
    p = 1 / (1 + np.exp(-scores))
    return np.rint((p - labels) * 2.0**24).astype(np.int64), np.rint(p * (1 - p) * 2.0**24).astype(np.int64)


def after_first_tree(guest):
    """Return the scores of the training rows after the first tree, all of whose splits are the guest's."""
    half, x = guest.models[GB]._half, guest.rows.matrix(guest.order)[~guest.test]
    where = np.zeros(len(x), int)
    for place in np.flatnonzero(half.party[0] == 0).tolist():
        left = half.goes_left(0, place, x)
        where = np.where(where == place, 2 * place + 1 + ~left, where)
    return half.base[0] + half.value[0][where]


def plain(recording, by_start):
    """Return which private values are in which frames; `by_start` has them by their first eight bytes."""
    starts, wrong = np.array(sorted(by_start), np.uint64), []
    for m in recording.messages:
        for at in range(8):
            found = np.frombuffer(m.frame, "<u8", offset=at, count=(len(m.frame) - at) // 8)
            for k in np.flatnonzero(starts[np.searchsorted(starts, found).clip(max=len(starts) - 1)] == found).tolist():
                rest = m.frame[at + 8 * k :]
                wrong += [
                    f"{m.task} {m.topic}: {name}"
                    for piece, name in by_start[int(found[k])].items()
                    if rest.startswith(piece)
                ]
    return wrong


ROOM = slots.room(2048, masked=True)
"""Bits that a value may have before it is masked."""


def opened(recording):
    """Open all that each side can open of what it received; return what is not as documented, and the masked values."""
    wrong, masked, s = [], {me: [] for me in PEERS}, recording.sizes
    places = []  # of the level whose sums are sent
    for m in recording.messages:
        s.at(m.step, MODEL.batch_size, m.task)
        places = m.fields["active"] if m.topic == "level" else places
        for part, key in itertools.product(m.parts, recording.keys[PEERS[m.me]]):
            try:
                c = bt.CipherArray.from_bytes(part, key.public_key)
            except (bt.FrameError, bt.InvalidKey):
                continue
            if (m.task, m.topic) not in OPENED:
                wrong.append(f"{m.task} {m.topic}: the receiver can open it")
            elif m.task.startswith(LR):
                masked[PEERS[m.me]] += [(v, int(key.public_key.n)) for v in unmask(key, part, len(c))]
            elif m.topic == "bins" and key.decrypt_integers(c).tolist() != documented_bins(recording):
                wrong.append("bins: more than rows and events of each bin")
            elif m.topic == "candidates":
                wrong += unexplained(recording, m, key, places)
    for me, values in masked.items():
        if any(min(v, n - v) >> (ROOM + 8) == 0 for v, n in values):  # by chance once in 2^56
            wrong.append(f"{me} opens a value without a mask")
        if any((b - a) >> (ROOM + 8) == 0 for a, b in itertools.pairwise(sorted(v for v, _ in values))):
            wrong.append(f"{me} opens two values under one mask")
    return wrong, masked


def documented_bins(recording):
    s, guest, host = recording.sizes, *(recording.outcomes[me] for me in PEERS)
    w, width = _binning.Layout(s.used).w, _binning.Layout(s.used).slots(2048).width
    fitted, table = ~(host.test | host.held), host.rows.matrix(host.order)
    y, values = guest.labels[fitted], []
    for bins, column in zip(host.binning.bins_, table[fitted].T, strict=True):
        codes = bins.codes(column)
        rows, events = np.bincount(codes, minlength=bins.n_bins), np.bincount(codes, y, bins.n_bins)
        values += [int(r) + (int(e) << w) for r, e in zip(rows, events, strict=True)]
    k = s.bin_slots
    return [sum(v << (width * j) for j, v in enumerate(values[i : i + k])) for i in range(0, len(values), k)]


def unexplained(recording, m, key, places):
    """Of the second tree's root, as the first is the guest's alone: sums of other rows than those left of a cut."""
    s, guest, host = recording.sizes, *(recording.outcomes[me] for me in PEERS)
    layout = _boosting_sums.Layout(s.train, 24)
    try:
        g, h = layout.unpacked(key, m.parts[0], sum(m.fields["counts"]), m.me)
    except bt.ProtocolAbort:
        return ["candidates: a ciphertext holds more than its sums"]
    if m.step != 2 or places != [0] or m.fields["counts"][0] == 0:
        return []
    table = host.rows.matrix(host.order)[~host.test]
    buckets = Buckets.of(table, MODEL.tree_bins)
    codes, (of_g, of_h) = buckets.codes(table), gradients(guest.labels[~host.test], after_first_tree(guest))
    due = set()
    for column, cut in itertools.product(codes.T, range(buckets.count)):
        due.add((int(of_g[column <= cut].sum()), int(of_h[column <= cut].sum())))
    odd = set(zip(g.tolist(), h.tolist(), strict=True)) - due
    return [f"candidates: sums of other rows: {odd}, of {len(due)}"] if odd else []


# --- the views -------------------------------------------------------------------------------------------------------
def test_messages_are_those_of_the_table(whole):
    assert shape(whole) == []
    said = {named(m) for m in whole.messages}
    options = {"powers", "cubes", "to weigh", "weighed", "coefficients"}
    assert {key for key in TABLE if key[1] not in options} == said


@pytest.fixture(scope="module")
def private(whole):
    by_start = {}
    for name, piece in needles(whole):
        by_start.setdefault(int.from_bytes(piece[:8], "little"), {})[piece] = name
    return by_start


def test_no_private_value_is_in_any_frame(whole, private):
    kinds = {name.split(" of ")[0] for pieces in private.values() for name in pieces.values()}
    assert kinds == {"id", "feature", "woe", "bin", "label", "gradient", "gradient or score", "private key"}
    assert plain(whole, private) == []


def distance(values):
    """Kolmogorov's distance of numbers in [0, 1) from uniform, by the root of their number: above 2.7 once in 10^6."""
    v, n = np.sort(np.array(values)), len(values)
    return n**0.5 * max(np.max(np.arange(1, n + 1) / n - v), np.max(v - np.arange(n) / n))


def slices(values):
    """Return the top of masked values, their last 53 bits, and some between, as numbers in [0, 1)."""
    top = [v / n for v, n in values]
    return [top, *([((v >> at) & (2**53 - 1)) / 2**53 for v, _ in values] for at in (0, 40, 100))]


def test_each_side_opens_what_is_documented_and_no_more(whole):
    wrong, masked = opened(whole)
    assert wrong == []
    for values in masked.values():
        assert len(values) >= 8
        assert max(map(distance, slices(values))) < 2.7


def documented(page):
    """Return the topics in the tables of a page."""
    rows = [line.split("|")[1] for line in (DOCS / page).read_text().splitlines() if line.startswith("|")]
    return {topic for row in rows for topic in re.findall("`([a-z ]+)`", row)}


def test_topics_are_documented():
    """Each page lists the topics of its task, and the code sends no other than the table's."""
    pages = {"intersect": "alignment", "woe-binning": "binning", LR: "logistic", GB: "boosting"}
    for task, topic, _ in TABLE:
        name = pages.get(task.removesuffix(".predict"))
        page = f"how-to/{name}.md" if name else "explanation/messages.md"
        assert topic in documented(page), (task, topic)
    code = "".join(path.read_text() for path in Path(bt.vertical.__file__).parent.rglob("*.py"))
    sent = set(re.findall(r'^ +(?:way|link)\.send\(\s*"([a-z ]+)"', code, re.MULTILINE))
    sent |= set(re.findall(r'_exchange\(\s*link, "([a-z ]+)"', code))
    sent |= {"signed"}  # by the link itself
    others = {"models"}  # of `bluetusk score`, which is no part of a training
    assert sent == {topic for _, topic, _ in TABLE} | others
    assert others <= documented("explanation/messages.md")


# --- planted leaks ---------------------------------------------------------------------------------------------------
def planted(recording, task, topic, me, extra, part=-1):
    """Hide bytes in a part that is there already, so that nothing but its content can tell."""
    place = recording.first(task, topic, me)
    m = recording.messages[place]
    parts = list(m.parts)
    parts[part] = (parts[part][:101] + extra + parts[part][101 + len(extra) :])[
        : max(len(parts[part]), 101 + len(extra))
    ]
    return recording.with_message(place, m.changed(parts=parts))


def plain_leaks(recording):
    guest, host = (recording.outcomes[me] for me in PEERS)
    train, column = ~host.test, recording.private["host"].values[1]
    y = guest.labels[train]
    outside = sorted(set(recording.private["guest"].ids) - set(recording.private["host"].ids))[0]
    woe = host_woe(recording)
    score = joint_scores(recording)[train]
    return {
        "a feature": column[20:22].astype("<f8").tobytes(),
        "a feature, big-endian": column[7:8].astype(">f8").tobytes(),
        "a feature in single precision": np.rint(column)[5:8].astype("<f4").tobytes(),
        "a feature in whole numbers": np.rint(column[host.order])[30:33].astype(">i4").tobytes(),
        "a feature as text": ",".join(map(repr, column[:3].tolist())).encode(),
        "weights of evidence by row": woe[40:60, 0].astype("<f8").tobytes(),
        "bins by row": host.binning.bins_[0].codes(host.rows.matrix(host.order)[:, 0])[10:60].astype("|u1").tobytes(),
        "labels as bits": np.packbits(y[3:99].astype(np.uint8)).tobytes(),
        "labels as bits, the other way": np.packbits(1 - y[:80].astype(np.uint8), bitorder="little").tobytes(),
        "labels as words": y[:70].astype("<i4").tobytes(),
        "an id outside": outside.encode(),
        "a hash of an id outside": hashlib.sha256(outside.encode()).digest(),
        "gradients": (score - y)[:20].astype("<f8").tobytes(),
        "gradients of the first tree": first_gradients(y)[0][:70].astype("<i8").tobytes(),
        "scores in fixed point": np.rint(score[:30] * 2.0**20).astype("<i8").tobytes(),
        "a private key": bytes(recording.keys["guest"][0]._kernel.export_primes()[0]),
    }


def test_planted_plain_values_are_found(whole, private):
    for name, extra in plain_leaks(whole).items():
        leaky = planted(whole, "intersect", "setup", "host", extra)
        message = leaky.messages[whole.first("intersect", "setup", "host")]
        assert plain(dataclasses.replace(whole, messages=[message]), private), name


def test_planted_messages_are_found(whole):
    at = whole.first(GB, "level", "guest")
    m = whole.messages[at]
    for change in (
        {"topic": "debug"},
        {"task": LR},
        {"me": "host"},
        {"fields": {**m.fields, "mean": 3}},
        {"parts": [*m.parts, b""]},
        {"parts": [bytes(1000)]},
    ):
        assert shape(whole.with_message(at, m.changed(**change))), change


def resealed(recording, key, values):
    """Return a recording in which the guest's first gradients are other numbers than they were."""
    at = recording.first(LR, "gradients", "guest")
    m = recording.messages[at]
    n, plain = int(key.public_key.n), np.empty(len(values), dtype=object)
    plain[:] = [v - n if v > n // 2 else v for v in values]
    sent = encrypt_integers(key, plain, bt.FixedPoint.integers(1), frac=0, bound=n // 2).to_bytes(n // 2)
    return recording.with_message(at, m.changed(parts=[sent, *m.parts[1:]]))


def test_planted_ciphertexts_are_found(whole):
    recording = whole
    at = recording.first(LR, "gradients", "guest")
    m, s = recording.messages[at], recording.sizes
    s.at(m.step, MODEL.batch_size, m.task)
    (key,) = [k for k in recording.keys["host"] if _opens(k, m.parts[0])]
    values = unmask(key, m.parts[0], s.w("guest"))
    assert opened(resealed(recording, key, values))[0] == []
    assert "without a mask" in opened(resealed(recording, key, [1 << 50, *values[1:]]))[0][0]
    assert "under one mask" in opened(resealed(recording, key, [values[1] + 12345, *values[1:]]))[0][0]
    found = next(k for k, each in enumerate(recording.messages) if each.topic == "encrypted")
    labels = recording.messages[found]  # the host's reply, in the guest's key, of rows one by one
    back = labels.changed(task="woe-binning", topic="labels back", me="host")
    assert "can open it" in opened(recording.with_message(found, back))[0][0]


def _opens(key, part):
    try:
        bt.CipherArray.from_bytes(part, key.public_key)
    except bt.InvalidKey:
        return False
    return True


# --- masked values do not depend on the peer's rows ------------------------------------------------------------------
def trained(patch, host_rows, n=128):
    """Record a logistic regression with all its options."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 1)), np.arange(n) % 3 == 0
    more = {"epochs": 1, "batch_size": 64, "sigmoid": "cubic", "class_weight": "balanced", "calibrate": False}
    more["reveal"] = opened = ("coefficients",)
    guest = bt.vertical.LogisticRegression("guest", key_size=2048, learning_rate=0.01, **more)
    host = bt.vertical.LogisticRegression("host", key_size=2048, reveal=opened)
    sides = (lambda link: guest.fit(x, y.astype(int), link=link), lambda link: host.fit(host_rows, link=link))
    messages, keys, _ = recorded(Both(), patch, *sides)
    sizes = Sizes({}, n, n, {"guest": 1, "host": host_rows.shape[1]}, 0, 0, epochs=1)
    return Recording(messages, sizes, keys)


def test_masked_values_do_not_depend_on_rows(monkeypatch):
    """Two tables of the host, as different as they can be; every test of uniformity fails once in 10^6."""
    seen = []
    for table in (np.zeros((128, 2)), 1e6 * np.array([[1.0, -1.0], [-1.0, -1.0]] * 64)):
        recording = trained(monkeypatch, table)
        assert shape(recording) == []
        wrong, masked = opened(recording)
        assert wrong == []
        assert max(map(distance, slices(masked["guest"]))) < 2.7
        assert max(map(distance, slices(masked["host"]))) < 2.7
        seen.append(slices(masked["guest"]))
    for one, other in zip(*seen, strict=True):
        every = np.sort([*one, *other])
        a, b = (np.searchsorted(np.sort(v), every, side="right") / len(v) for v in (one, other))
        assert np.abs(a - b).max() * (len(one) * len(other) / len(every)) ** 0.5 < 2.7


def test_short_masks_are_found(monkeypatch):
    whole = slots.uniform
    monkeypatch.setattr(slots, "uniform", lambda n, count, *source: whole(n // 4, count, *source))
    _, values = opened(trained(monkeypatch, np.zeros((128, 2))))
    assert max(map(distance, slices(values["guest"]))) > 2.7
