"""A host compares two runs that differ in nothing but the labels: does anything that it receives differ?

A binning, the regression on its bins and a scoring are run with two label vectors. Of every frame that the host
receives, everything that is not encrypted must be the same: topic, step, fields, number and sizes of parts, and each
part that is no ciphertext under the guest's key, but the guest's share of the answer to "go on or stop", a fair coin.
"""

from __future__ import annotations

import itertools
import threading
import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.errors import FrameError
from bluetusk.paillier import PrivateKey
from bluetusk.vertical import LogisticRegression, Observer, WoEBinning, local_links
from bluetusk.vertical.binning import guest as binning_module
from bluetusk.vertical.logistic import job as job_module
from bluetusk.vertical.logistic import score as score_module
from bluetusk.wire.frame import Kind, decode

from ..vertical.conftest import Both

ROWS, KEPT = 160, 40


class Received(Observer):
    """Keeps the frames that come in."""

    def __init__(self):
        self.frames = []

    def authorise(self, *, peer, purpose, columns, rows, **details):
        pass

    def passed(self, *, peer, task, sent, frame):
        if not sent:
            self.frames.append(bytes(frame))


def received(y, keypair, keypair2, reveal=(), **options):
    """Run all three tasks; return the host's frames. Keys and the order of rows are the same in every run."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS + KEPT, 5))
    lock, primes = threading.Lock(), [pair[1]._kernel.export_primes() for pair in (keypair, keypair2)]

    def key_of(place):
        p, q = primes[place]
        return PrivateKey._generated(int.from_bytes(p, "little"), int.from_bytes(q, "little"), "djn")

    turn = {}

    def new_key(bits):
        with lock:  # the guest asks in one thread, the host in the other
            return key_of(turn.setdefault(threading.get_ident(), len(turn)))

    seen = Received()
    woe = tuple(name for name in reveal if name == "woe")
    given = {"min_rows": 20, "max_bins": 4, "key_size": 2048, "reveal": woe}
    more = {"key_size": 2048, "reveal": tuple(name for name in reveal if name != "woe")}
    options = {"epochs": 2, "batch_size": 72, "random_state": bytes(32)} | options

    def guest(links):
        new_key(0)
        host_may.set()
        binning = WoEBinning("guest", **given).fit(x[:ROWS, :2], y, link=links[0])
        model = LogisticRegression("guest", **options, **more)
        model.fit(binning.transform(x[:ROWS, :2]), y, link=links[1], binning=binning)
        model.predict_points(binning.transform(x[ROWS:, :2]), link=links[2])

    def host(links):
        host_may.wait(30)
        binning = WoEBinning("host", **given).fit(x[:ROWS, 2:], link=links[0])
        model = LogisticRegression("host", **more)
        model.fit(x[:ROWS, 2:], link=links[1], binning=binning, ids=range(KEPT, KEPT + ROWS))
        model.predict_points(x[ROWS:, 2:], link=links[2], ids=list(range(KEPT)))

    host_may = threading.Event()
    links = [local_links(observers=(None, seen), seconds=60) for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for module in (job_module, score_module, binning_module):
            patch.setattr(module, "ephemeral_key", new_key)
        Both()(lambda: guest([pair[0] for pair in links]), lambda: host([pair[1] for pair in links]))
    return seen.frames


def view(frames):
    """Return what of each frame the host can read without a key of the guest: sizes, and all that is in the clear."""
    told = []
    for data in frames:
        got = decode(data, Kind.VERTICAL)
        head = dict(got.header)
        ends = np.cumsum([0, *head["parts"]]).tolist()
        clear = []
        for a, b in itertools.pairwise(ends):
            part = bytes(got.payload[a:b])
            if head["topic"] == "sign":
                assert part in (b"\0", b"\1")
                part = b"a share"
            else:
                part = readable(part)
            clear.append(part)
        told.append((len(data), head, clear))
    return told


def readable(part):
    """Return a part without what is encrypted or random: ciphertexts, and keys with their proofs."""
    for kind in (Kind.CIPHER_ARRAY, Kind.PUBLIC_KEY, Kind.KEY_PROOF):
        try:
            got = decode(part, kind)
        except FrameError:
            continue
        if kind is not Kind.CIPHER_ARRAY:
            return kind.name, sorted(got.header), len(got.payload)
        return kind.name, dict(got.header), len(got.payload)
    return part


def labels(share, seed):
    return (np.random.default_rng(seed).random(ROWS) < share).astype(int)


OTHERS = {"other rows": labels(0.5, 2), "fewer events": labels(0.25, 3), "turned": 1 - labels(0.5, 1)}


@pytest.fixture(scope="module")
def usual(keypair, keypair2):
    return view(received(labels(0.5, 1), keypair, keypair2))


def differences(one, other):
    return [
        (a[1]["task"], a[1]["topic"])
        for a, b in itertools.zip_longest(one, other, fillvalue=(0, {"task": "", "topic": "missing"}, []))
        if a != b
    ]


@pytest.mark.parametrize(
    "name", [name if name == "fewer events" else pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS]
)
def test_labels_change_nothing_that_the_host_can_read(usual, name, keypair, keypair2):
    assert len(usual) > 30
    assert differences(usual, view(received(OTHERS[name], keypair, keypair2))) == []


@pytest.mark.nightly
def test_what_is_revealed_by_name_is_seen(keypair, keypair2):
    """The planted weaknesses: each is found in the frame that carries it."""
    reveal = ("coefficients", "woe")
    found = [view(received(y, keypair, keypair2, reveal)) for y in (labels(0.5, 1), labels(0.25, 3))]
    assert differences(*found) == [("woe-binning", "weights"), ("logistic_regression", "coefficients")]


@pytest.mark.nightly
def test_a_number_of_steps_that_follows_from_labels_is_seen(usual, keypair, keypair2):
    """The planted weakness: a guest that chooses its batches by the number of events."""
    frames = received(labels(0.25, 3), keypair, keypair2, batch_size=int(72 - labels(0.25, 3).sum()))
    assert differences(usual, view(frames))


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    keys = [bt.paillier.generate_keypair(2048) for _ in range(2)]
    found = []
    for reveal in ((), ("woe",)):
        one, other = (view(received(y, *keys, reveal)) for y in (labels(0.5, 1), labels(0.25, 3)))
        found.append(1.0 if differences(one, other) else 0.5)
    return [("two label vectors told apart by frames", "host", found[0], 0.5, 0.0, found[1])]
