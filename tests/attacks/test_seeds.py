"""A host that looks for labels in what both parties could have drawn: the order of rows, batches, samples of a tree.

Such a draw follows from a seed on which both have agreed, so a draw that also depends on labels is an equation for
them. The attacker runs the guest's program with labels that it makes up, and the same seeds: whatever then differs from
what it has seen, and is neither fresh randomness nor a statistic that the tables of messages name, tells it labels.
"""

from __future__ import annotations

import ast
import itertools
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk._random import Stream
from bluetusk.vertical import local_links
from bluetusk.vertical.boosting import guest as _guest
from bluetusk.wire.frame import Kind, decode

ROWS, SEED = 240, 7
# of statistics of labels that the tables of messages name; all others are the same whatever the labels are
NAMED = {
    ("woe-binning", "weights"),
    ("logistic_regression", "coefficients"),
    ("gradient_boosting", "level"),
    ("gradient_boosting", "choice"),
    ("gradient_boosting.predict", "offer"),  # a hash of the host's own partitions
    ("gradient_boosting.predict", "ask"),
}


class Tap:
    """A channel of the host that notes what comes in."""

    def __init__(self, inner, frames):
        self.inner, self.frames = inner, frames

    def send(self, data):
        self.inner.send(data)

    def recv(self):
        self.frames.append(self.inner.recv())
        return self.frames[-1]


def binning(role, x, y, link):
    bt.vertical.WoEBinning(role, max_bins=3, min_rows=20, key_size=2048).fit(x, y, link=link)


def regression(role, x, y, link):
    model = bt.vertical.LogisticRegression(role, epochs=1, batch_size=48, random_state=SEED, key_size=2048)
    model.fit(x[:96], None if y is None else y[:96], link=link, ids=range(96))
    model.decision_function(x[:20], link=link, ids=[f"N{k}" for k in range(20)])


def boosting(role, x, y, link):
    model = bt.vertical.GradientBoosting(
        role, n_estimators=2, max_depth=2, max_bins=6, subsample=0.5, random_state=SEED, key_size=2048
    )
    model.fit(x, y, link=link)
    model.decision_function(x[:20], link=link, ids=[f"N{k}" for k in range(20)])


TASKS = {"binning": binning, "regression": regression, "boosting": boosting}


def seen(task, labels):
    """Run both parties; return what the guest tells the host: of each message the name, lengths and values."""
    x = np.random.default_rng(5).normal(size=(ROWS, 4))
    links, frames, errors = local_links(seconds=60), [], []
    links[1].channel = Tap(links[1].channel, frames)

    def side(role, x, y, link):
        try:
            task(role, x, y, link)
        except Exception as error:
            errors.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        host = threading.Thread(target=side, args=("host", x[:, 2:], None, links[1]), daemon=True)
        host.start()
        side("guest", x[:, :2], labels, links[0])
        host.join(60)
    assert not errors, errors
    found = []
    for data in frames:
        got = decode(data, Kind.VERTICAL)
        head, ends = got.header, np.cumsum([0, *got.header["parts"]]).tolist()
        parts = [bytes(got.payload[a:b]) for a, b in itertools.pairwise(ends)]
        values = [*sorted(head["fields"].items()), *parts]
        found.append(((head["task"], head["topic"]), head["parts"], values))
    return [message for message in found if message[0] not in NAMED]


def telling(task):
    """Return the messages that are a function of labels and of what both parties know.

    What differs between two runs with the same labels is fresh randomness (ciphertexts, masked words, keys), of which
    only the length can tell something.
    """
    x = np.random.default_rng(5).normal(size=(ROWS, 4))
    one, other = ((x[:, column] > 0).astype(np.int64) for column in (0, 3))
    first, again, made_up = seen(task, one), seen(task, one), seen(task, other)
    if not [m[:2] for m in first] == [m[:2] for m in again] == [m[:2] for m in made_up]:
        return ["the number or the lengths of messages"]
    told = []
    for a, b, c in zip(first, again, made_up, strict=True):
        if any(u == v != w for u, v, w in zip(a[2], b[2], c[2], strict=True)):
            told.append(a[0])
    return told


def stratified(start):
    """The planted weakness: the sample of a tree holds as many events as others, drawn with the agreed seed."""

    def sampled(self, number):
        tree = start(self, number)
        order = np.argsort(Stream(bytes(31) + bytes([SEED + number])).uint64(ROWS), kind="stable")
        marked, others = order[self.labels[order] == 1], order[self.labels[order] == 0]
        half = self.sample_size // 2
        tree.sampled[:] = False
        tree.sampled[marked[:half]] = tree.sampled[others[: self.sample_size - half]] = True
        return tree

    return sampled


def test_a_sample_of_rows_by_labels_is_told(monkeypatch):
    """The attack wins on the planted weakness."""
    monkeypatch.setattr(_guest.GuestJob, "_start", stratified(_guest.GuestJob._start))
    assert ("gradient_boosting", "gradients") in telling(boosting)


@pytest.mark.parametrize("task", TASKS)
def test_no_message_is_a_function_of_labels_and_an_agreed_seed(task):
    assert telling(TASKS[task]) == []


# of fixed numbers for intervals that one party computes and no message holds; of a secret of the guest for noise
LOCAL = {("intervals.py", "_SEED"), ("noised.py", "key")}


def drawn(path):
    """Yield (line, seed, permuted) for each seeded stream in a file: whether it only puts places in an order."""
    tree = ast.parse(path.read_text())
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Stream" and node.args:
            words = above[above[node]]
            sort = above.get(words)
            plain = (
                isinstance(words, ast.Call)
                and ast.unparse(words.func).endswith(".uint64")
                and len(words.args) == 1
                and ast.unparse(words.args[0]).split("(")[0] in ("n", "rows", "len")
                and isinstance(sort, ast.Call)
                and ast.unparse(sort.func) == "np.argsort"
                and ast.unparse(sort.keywords[0].value) == "'stable'"
            )
            yield node.lineno, ast.unparse(node.args[0]), plain


def test_seeded_streams_put_places_of_rows_in_an_order_and_nothing_else(tmp_path):
    root = Path(bt.__file__).parent / "vertical"
    for path in sorted(root.rglob("*.py")):
        for line, seed, plain in drawn(path):
            assert plain or (path.name, seed) in LOCAL, f"{path}:{line}: a seeded stream that does not order rows"
    planted = tmp_path / "planted.py"
    planted.write_text("np.argsort(Stream(seed).uint64(n) + labels, kind='stable')\nStream(seed).below(3, n)")
    assert [plain for _, _, plain in drawn(planted)] == [False, False]


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    found = any(telling(task) for task in TASKS.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_guest.GuestJob, "_start", stratified(_guest.GuestJob._start))
        planted = bool(telling(boosting))
    name = "two label vectors told apart by what agreed seeds draw"
    return [(name, "host", (1 + found) / 2, 0.5, 0.0, (1 + planted) / 2)]
