"""A host that follows every message of a binning, and chooses its columns so that the weights tell single labels.

Column j is 1 in the rows j to j + SIZE - 1 and 0 elsewhere, in a ring. All bins have many rows, yet the numbers of
events in the windows are a system of equations with one solution: the label of every row. The attacker reads these
numbers out of weights of evidence, if it gets any. Otherwise it looks at all else that may depend on labels: how many
frames come, how long they are, what stands in them outside of ciphertexts.
"""

from __future__ import annotations

import itertools
import threading
import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import WoEBinning, local_links
from bluetusk.vertical.binning import guest as guest_half
from bluetusk.vertical.binning.common import Terms
from bluetusk.wire.frame import Kind, decode

ROWS, SIZE, RATE, SMOOTHING = 161, 40, 0.3, 0.5  # sizes without a common factor, or the equations have no one solution
NEVER = 1e-6  # how often a test of chance may fail


class Tap:
    """The guest's channel, which notes what goes to the host."""

    def __init__(self, inner, frames):
        self.inner, self.frames = inner, frames

    def send(self, data):
        self.frames.append(bytes(data))
        self.inner.send(data)

    def recv(self):
        return self.inner.recv()


def windows():
    return ((np.arange(ROWS)[:, None] - np.arange(ROWS)) % ROWS < SIZE).astype(float)


def view(labels, columns, **given):
    """Fit the two halves; return the frames that the host was sent."""
    links, frames = local_links(seconds=60), []
    links[0].channel = Tap(links[0].channel, frames)
    given = {"max_bins": 2, "min_rows": SIZE, "key_size": 2048, "smoothing": SMOOTHING} | given
    guest, host = (WoEBinning(role, **given) for role in ("guest", "host"))
    thread = threading.Thread(target=host.fit, args=(columns,), kwargs={"link": links[1]}, daemon=True)
    thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        guest.fit(np.arange(ROWS)[:, None] % 7, labels, link=links[0])
    thread.join(60)
    assert not thread.is_alive()
    return frames


def parts(frame):
    """Return header and parts of a frame."""
    got = decode(frame, Kind.VERTICAL)
    ends = np.cumsum([0, *got.header["parts"]]).tolist()
    return got.header, [bytes(got.payload[a:b]) for a, b in itertools.pairwise(ends)]


def weights_in(frames):
    """Return what the host is told of its bins: an array (columns, 2), or None."""
    for frame in frames:
        header, said = parts(frame)
        if header["topic"] == "weights":
            return np.frombuffer(said[0], "<f8").reshape(-1, 2)
    return None


def events_of(weights, size=SIZE):
    """Return the numbers of events in the windows that fit the weights best, for the best number of events in all."""
    best, found = np.inf, np.zeros(len(weights))
    for total in range(1, ROWS):
        inside = np.arange(max(0, total - (ROWS - size)), min(total, size) + 1)
        events = np.stack([total - inside, inside], axis=1)  # of the bin of zeros, and of ones
        bad, good = events + SMOOTHING, np.array([ROWS - size, size]) - events + SMOOTHING
        woe = np.log(bad / bad.sum(1, keepdims=True)) - np.log(good / good.sum(1, keepdims=True))
        far = np.abs(woe[None] - weights[:, None]).sum(axis=2)
        if far.min(axis=1).sum() < best:
            best, found = far.min(axis=1).sum(), inside[far.argmin(axis=1)]
    return found


def guessed(frames, rate):
    """Return the attacker's labels: the solution of the equations, or the commoner label where there are none."""
    weights = weights_in(frames)
    if weights is None:
        return np.full(ROWS, int(rate > 0.5))
    return (np.linalg.solve(windows().T, events_of(weights)) > 0.5).astype(int)


def made_up(seed=5, rate=RATE):
    return (np.random.default_rng(seed).random(ROWS) < rate).astype(int)


def exact(monkeypatch):
    """The planted weakness: the host is told exact weights, as it always was before."""
    monkeypatch.setattr(guest_half, "noised", lambda counts, sigma, seed: [events for _, events in counts])


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    labels = made_up()
    chance = 1 - labels.mean()
    bound = (np.log(1 / NEVER) / (2 * ROWS)) ** 0.5
    found = [(guessed(view(labels, windows()), RATE) == labels).mean()]
    found.append((guessed(view(labels, windows(), reveal=["woe"]), RATE) == labels).mean())
    with pytest.MonkeyPatch.context() as patch:
        exact(patch)
        planted = (guessed(view(labels, windows(), reveal=["woe"]), RATE) == labels).mean()
    names = "windows in one binning", "the same, reveal=('woe',) with its noise"
    return [(name, "host", rate, chance, bound, planted) for name, rate in zip(names, found, strict=True)]


def test_windows_tell_labels_where_weights_are_told_and_nothing_else_does():
    for _, _, accuracy, chance, bound, planted in table():
        assert planted == 1.0  # every label, each of them right
        assert accuracy <= chance + bound  # Hoeffding, Probability Inequalities, 1963


def fixed(counts, sigma, seed):
    """The planted weakness: noise that is drawn once for a fit, and added to whatever sums come."""
    return [
        np.clip(events + np.rint(np.random.default_rng(list(seed)).normal(0, sigma, len(events))).astype(int), 0, rows)
        for rows, events in counts
    ]


def retaken(labels):
    """Take the last step of a fit that reveals weights twice, for each row with that row in the other bin.

    The host says that it has crashed. Its guess is the difference of the events that the two answers tell.
    """
    guess = []
    for row in range(0, ROWS, 2):
        job = guest_half.GuestJob(labels, Terms(1, 0, 0, ("woe",), 10), smoothing=SMOOTHING, key_size=2048)
        job._seed = bytes([row]) * 32
        told = []
        for moved in (0, 1):
            codes = (np.arange(ROWS) < 80).astype(int)
            codes[row] = moved
            counts = [(np.bincount(codes, minlength=2), np.bincount(codes, labels, 2).astype(np.int64))]
            shape = {"names": ["x"], "bins": [2], "ordered": [2], "monotonic": False, "min_events": 0, "min_others": 0}
            woe = job._weighed("host", shape, counts)[0].woe
            told.append(int(events_of(woe[None], int(counts[0][0][1]))[0]))
        guess.append(told[1] - told[0] > 0.5)
    return np.array(guess)


def test_a_step_taken_again_with_other_sums_tells_no_label(monkeypatch):
    labels = made_up()
    true = labels[::2]
    chance, bound = 1 - true.mean(), (np.log(1 / NEVER) / (2 * len(true))) ** 0.5
    assert (retaken(labels) == true).mean() <= chance + bound
    monkeypatch.setattr(guest_half, "noised", fixed)
    assert (retaken(labels) == true).mean() == 1.0


def plain(frames):
    """Return all that the host can read in its frames: headers, sizes, and parts that are neither key nor ciphertext.

    Of a key and its proof the sizes, of an array of ciphertexts the header without the key's hash, and the size.
    """
    out = []
    for frame in frames:
        header, said = parts(frame)
        shown = []
        for part in said:
            try:
                got = decode(part)
            except bt.FrameError:
                shown.append(part)
                continue
            own = {name: value for name, value in got.header.items() if name not in ("key", "n", "hs")}
            shown.append((got.kind, own if got.kind is Kind.CIPHER_ARRAY else sorted(own), len(got.payload)))
        sizes = header.pop("parts")
        out.append((header, len(sizes) if "labels" in header["topic"] else sizes, shown))
    return out


CHOICES = {"max_bins": 8, "min_rows": 12, "monotonic": True, "min_events": 4, "min_others": 4}


def three():
    """Labels for which the same columns are joined in very different ways, and a table of three columns."""
    columns = np.random.default_rng(1).normal(size=(ROWS, 3))
    columns[:, 2] = np.round(columns[:, 2])
    rare = np.zeros(ROWS, int)
    rare[:3] = 1
    return columns, [made_up(), rare, (columns[:, 0] > 0).astype(int)]


def test_no_frame_depends_on_the_labels():
    """Not even how many bins were joined, or which column says nothing: to the byte the same, whatever the labels."""
    columns, labels = three()
    seen = [plain(view(each, columns, **CHOICES)) for each in labels]
    assert [header["topic"] for header, *_ in seen[0]] == ["labels", *["encrypted"] * 8, "done"]
    assert seen[0] == seen[1] == seen[2]


def test_the_comparison_sees_joined_bins(monkeypatch):
    """The planted weakness: one more message, whose size is the number of bins that are left."""
    answer = guest_half.GuestJob._answer

    def telling(self, links):
        answer(self, links)
        links[0].send("joined", {}, [bytes(len(set(column.woe.tolist()))) for column in self.peers[0]])

    monkeypatch.setattr(guest_half.GuestJob, "_answer", telling)
    columns, labels = three()
    assert len({str(plain(view(each, columns, **CHOICES))) for each in labels}) == 3
