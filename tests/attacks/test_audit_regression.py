"""A guest that plants numbers of its own in a joint regression, and is named by the audit afterwards.

Labels enter a regression through the guest's share of the residuals, and its digits through tables of what the host's
bins are worth: what the host answers opens at the guest. Protocol and policy let that pass. The guest here runs this
package with one method replaced; host, logs and audit are as they are. It wins if the audit is silent.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.errors import BluetuskError
from bluetusk.evidence import AuditBook, Identity, Log, Meter, Recorder
from bluetusk.evidence import book as books
from bluetusk.evidence.book import array_digest, leaves_in
from bluetusk.paillier import _bounds
from bluetusk.paillier.array import encrypt_integers
from bluetusk.paillier.opening import opening
from bluetusk.storage import sealed
from bluetusk.vertical import Link, LogisticRegression, WoEBinning, auditing, local_links
from bluetusk.vertical.auditing import audit
from bluetusk.vertical.binning import guest as binning_guest
from bluetusk.vertical.binning.common import label_plan
from bluetusk.vertical.logistic import columns, job, ring, score
from bluetusk.wire import frame

ROWS = 60
RNG = np.random.default_rng(7)
X, Z = RNG.normal(size=(ROWS, 1)), RNG.normal(size=(ROWS, 2))
Y = (X[:, 0] + 2 * Z[:, 0] + RNG.normal(size=ROWS) > 0.3).astype(np.int64)
BACK = np.arange(ROWS) % 10 == 4
PAIR = tuple(int(np.flatnonzero(~BACK & (label == Y))[3]) for label in (0, 1))
TASK = "logistic_regression"


@pytest.fixture(autouse=True)
def quick(monkeypatch, keypair, keypair2):
    prepare(monkeypatch, {"guest": keypair[1], "host": keypair2[1]})


def prepare(monkeypatch, keys):
    """Instead of scrypt, a hash of all it depends on; instead of a key for each job, the same two."""

    def derive(secret, header):
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)
    monkeypatch.setattr(binning_guest, "ephemeral_key", lambda bits: keys["guest"])
    for module in (job, score):
        monkeypatch.setattr(module, "ephemeral_key", lambda bits: keys[threading.current_thread().name])
    monkeypatch.setattr(job.PrivateKey, "close", lambda self: None)  # a training closes its key
    monkeypatch.setattr(_bounds, "largest", lambda values: 0)  # a liar's build does not refuse its numbers


def play(folder, *, binned=True, labels=Y, lie=None, scored=0, names=("guest", "host"), **options):
    """Run guest and host with a book and two logs; a lie may end the job."""
    logs = {name: Log.create(folder / f"{name}.log", Identity.generate(), owner=name) for name in ("guest", "host")}
    watch = [
        Recorder(log=logs[me], meter=Meter(), job="j", me=f"the {me}", peers={peer: "5a" * 32})
        for me, peer in (("guest", "host"), ("host", "guest"))
    ]
    here, there = local_links(*names, observers=(watch[0], watch[1]), seconds=30)
    ended = []
    more = {"epochs": 2, "tol": 0.0, "calibrate": False, "key_size": 2048, "held_back": None} | options
    held = more.pop("held_back")

    def side(role, link, x, y):
        try:
            warnings.simplefilter("ignore", UserWarning)
            binning = None
            if binned:
                binning = WoEBinning(role, min_rows=10, max_bins=3, key_size=2048).fit(x, y, link=link)
            at_host = {"key_size": 2048, "reveal": more.get("reveal", ())}
            model = LogisticRegression(role, **(more if role == "guest" else at_host))
            model.fit(x, y, link=link, binning=binning, held_back=held, ids=range(len(x)))
            if scored:
                model.decision_function(x[:scored], link=link, ids=range(len(x), len(x) + scored))
        except Exception as error:
            ended.append(error)
            link.abort("failed")

    host = threading.Thread(target=side, args=("host", there, Z, None), name="host")
    guest = threading.Thread(target=lambda: entered(folder, side, here, labels), name="guest")
    with pytest.MonkeyPatch.context() as patch:
        if lie is not None:
            lie(patch)
        for each in (host, guest):
            each.start()
        for each in (host, guest):
            each.join()
    for log in logs.values():
        log.close()
    return ended


def entered(folder, side, link, labels):
    with AuditBook(folder / "book", "p", job="j") as book:
        side("guest", link, X, labels)
    book.close()


def unseen(folder):
    """Whether the audit is silent if it does not replay regressions: the planted fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing._Replay, "_regression", lambda self, job, task, models: None)
        return all("nothing to audit" in each.reason for each in audited(folder).findings)


def audited(folder, **more):
    given = {"labels": Y, "logs": [folder / "guest.log", folder / "host.log"]} | more
    return audit(folder / "book", "p", **given)


NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize(
    "options",
    [
        {"held_back": BACK, "epochs": 1, "scored": 9},
        pytest.param({"binned": False, "tol": 2.0**-14, "batch_size": 45, "class_weight": "balanced"}, marks=NIGHTLY),
        pytest.param({"binned": False, "sigmoid": "cubic", "epochs": 1, "held_back": BACK}, marks=NIGHTLY),
        pytest.param({"tol": 2.0**-14, "batch_size": 45, "reveal": ("coefficients", "scores")}, marks=NIGHTLY),
    ],
)
def test_an_honest_run_is_clean(tmp_path, options):
    assert play(tmp_path, **options) == []
    result = audited(tmp_path)
    assert not result.findings, "\n".join(map(str, result.findings))
    assert (result.ok, result.notes) == (True, ())
    assert result.arrays > 4


def at_guest(patch, owner, name, change):
    """Plant: the guest's method calls `change` with the real one; the host's, and the auditor's, is as it is."""
    real = getattr(owner, name)

    def method(self, *given, **more):
        if threading.current_thread().name != "guest":
            return real(self, *given, **more)
        return change(real, self, *given, **more)

    patch.setattr(owner, name, method)


def label(row, value):
    """The guest's share of the residual of a row with another label, from the second step on."""

    def lie(patch):
        def residuals(real, self, link, scores, rows):
            true = self.targets
            at = np.flatnonzero(self.used == row)
            self.targets = np.where(np.isin(np.arange(len(true)), at), value, true)
            try:
                return real(self, link, scores, rows)
            finally:
                self.targets = true

        at_guest(patch, job.LogisticJob, "_residuals", residuals)

    return lie


def exchanged(one, two):
    """Two labels exchanged in the whole regression, but not in the book."""

    def lie(patch):
        def prepare(real, self):
            real(self)
            labels = self.labels.copy()
            labels[[one, two]] = labels[[two, one]]
            self.targets = labels[self.used]

        at_guest(patch, job.LogisticJob, "_prepare", prepare)

    return lie


def digit(entry, bits, scoring=False):
    """A digit in the table of what bins are worth: rows of that bin show in the scores that the guest opens."""

    def lie(patch):
        def weights(real, self, share, factor):
            made = columns.products.encrypted
            if scoring != (factor is not None):
                return real(self, share, factor)

            def planted(priv, words):
                return made(priv, words + np.array([(k == entry) << bits for k in range(len(words))], dtype=object))

            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(columns.products, "encrypted", planted)
                return real(self, share, factor)

        at_guest(patch, columns.BinnedPeer, "weights", weights)

    return lie


def values(patch):
    """Digits instead of the weights of evidence, where the host keeps them for the whole training."""

    def made(real, self):
        self._worth = self._worth + np.array([1 << (2 * k) for k in range(len(self._worth))], dtype=object)
        return real(self)

    at_guest(patch, columns.BinnedPeer, "values", made)


def worth(patch):
    """Digits as weights of evidence from the beginning, in the book too."""

    def init(real, self, *given, **more):
        bins = more["bins"]
        shown = [each + 0.5 * np.arange(len(each)) for each in bins.values]
        more["bins"] = job.HostBins(bins.counts, shown, bins.name)
        real(self, *given, **more)

    at_guest(patch, job.LogisticJob, "__init__", init)


def shifted(patch):
    """Shares that the guest moves before it encrypts them, while its book has the numbers that are due."""
    moved = []

    def array(real, self, pub, task, name, number, numbers, **more):
        numbers = [v - sum(moved) for v in numbers]
        return real(self, pub, task, name, number, numbers, **more)

    def residuals(real, self, pulls, tracked):
        moved.append(3 << 40)
        try:
            return real(self, ring.words((pulls + (3 << 40)).tolist()), tracked)
        finally:
            moved.clear()

    at_guest(patch, AuditBook, "array", array)
    at_guest(patch, columns.BinnedPeer, "residuals", residuals)


def answer(patch):
    """A false book: another answer of the host, from which other shares follow."""

    def note(real, self, task, name, number=0, *, facts=None, arrays=None):
        if name == "heard" and number == 1:
            arrays = {"frame": np.r_[arrays["frame"][:-40], np.roll(arrays["frame"][-40:], 1)]}
        return real(self, task, name, number, facts=facts, arrays=arrays)

    at_guest(patch, AuditBook, "note", note)


def other(patch):
    """A message that is not the book's: the guest sends an array, and its book has another one."""

    def send(real, self, topic, fields=None, parts=()):
        if topic == "residuals" and self._step == 2:
            parts = [self.kept]
        elif topic == "residuals":
            self.kept = parts[0]
        return real(self, topic, fields, parts)

    at_guest(patch, Link, "send", send)


CASES = {
    "label 2": (label(17, 2), {}, ("residuals", 17, "2"), "neither 0 nor 1"),
    "label -1": (label(5, -1), {"binned": False}, ("residuals", 5, "-1"), "neither 0 nor 1"),
    "labels exchanged": (exchanged(*PAIR), {"held_back": BACK}, ("residuals", PAIR, None), "not that of the row"),
    "weighted": (label(17, 1 - Y[17]), {"class_weight": "balanced"}, ("residuals", 17, None), "share of sigmoid"),
    "a digit in the table": (digit(1, 70), {}, ("weights", None, None), "bin 1 of the host's column 0"),
    "a small digit": (digit(5, 0), {}, ("weights", None, None), "bin 1 of the host's column 1"),
    "a digit in scoring": (digit(2, 80, True), {"scored": 9}, ("weights", None, None), "bin 2 of the host's column 0"),
    "digits as values": (values, {}, ("values", None, None), "bin 0 of the host's column 0"),
    "digits as worth": (worth, {}, ("worth", None, None), "is not its weight of evidence"),
    "a moved share": (shifted, {}, ("residuals", None, None), "what was sent is not what the book says"),
    "a false answer": (answer, {}, (None, (None, *range(ROWS)), None), ""),
    "another message": (other, {}, ("residuals", None, None), "what was sent is not what the book says"),
}
FIRST = ("label 2", "a digit in the table")


@pytest.mark.parametrize("case", [each if each in FIRST else pytest.param(each, marks=NIGHTLY) for each in CASES])
def test_a_lie_is_named(tmp_path, case):
    lie, options, (array, row, found), reason = CASES[case]
    play(tmp_path, lie=lie, **{"epochs": 2} | options)
    result = audited(tmp_path)
    assert not result.ok
    first = next(each for each in result.findings if each.task.startswith(TASK))
    assert array in (None, first.array), str(first)
    assert first.row in (row if isinstance(row, tuple) else (row,)), str(first)
    assert found in (None, first.found), str(first)
    assert reason in first.reason, str(first)
    assert unseen(tmp_path) == (array != "worth")


def dead(patch, hide):
    """The guest takes step 2 twice: first on a link that breaks, which it may keep from its book."""

    def step(real, self, links, index):
        if index == 2:
            nowhere, _ = local_links(observers=(links[0].observer, None), seconds=0.1)
            nowhere.scope(TASK, 2)
            state = self.state()
            with pytest.MonkeyPatch.context() as inner:
                if hide:
                    inner.setattr(job, "auditing", lambda: None)
                with contextlib.suppress(BluetuskError):
                    real(self, [nowhere], index)
            self.restore(state)
        return real(self, links, index)

    at_guest(patch, job.LogisticJob, "step", step)


def test_names_that_are_longer_than_logs_keep_them(tmp_path):
    assert play(tmp_path, epochs=1, names=("guest" * 20, "host" * 20)) == []
    assert not (found := audited(tmp_path)).findings, str(found.findings[0])


@pytest.mark.parametrize("hide", [False, pytest.param(True, marks=NIGHTLY)])
def test_a_step_that_was_taken_again(tmp_path, hide):
    """The log keeps both attempts; an honest book opens both, and one that leaves an attempt out is named."""
    assert play(tmp_path, binned=False, lie=lambda patch: dead(patch, hide)) == []
    found = audited(tmp_path).findings
    if not hide:
        assert not found, str(found[0])
        return
    assert [(each.array, each.number) for each in found] == [("weights", 2)]
    assert "keeps another message: what was sent is not what the book says" in found[0].reason


def test_a_run_that_ends_in_a_step_that_was_taken_again(tmp_path):
    """The parties go back from step 3 to step 2, and the guest dies between its page and its message."""

    class Nowhere(Link):
        def send(self, *message, **parts):
            raise bt.ProtocolAbort("the process dies")

    def lie(patch):
        before = []

        def step(real, self, links, index):
            before.append(self.state())
            if index < 3:
                return real(self, links, index)
            for number in (3, 2):
                self.restore(before[number])
                nowhere = Nowhere(links[0].channel, me=links[0].me, peer=links[0].peer)
                nowhere.scope(TASK, number)
                with contextlib.suppress(bt.ProtocolAbort):
                    real(self, [nowhere], number)
            raise bt.ProtocolAbort("the process is dead")

        at_guest(patch, job.LogisticJob, "step", step)

    died = play(tmp_path, binned=False, batch_size=20, lie=lie)
    assert "the process is dead" in map(str, died)
    result = audited(tmp_path)
    assert not result.findings, str(result.findings[0])


@pytest.mark.parametrize("part", [0, 2])
def test_a_guest_that_ends_between_its_page_and_its_message(tmp_path, part):
    """Nothing was sent, and nothing follows from it: no lie, unless more pages come."""

    def lie(patch):
        def send(real, self, topic, *given, **more):
            if topic == "encrypted" and self._step == part + 1:
                raise bt.ProtocolAbort("the process dies")
            return real(self, topic, *given, **more)

        at_guest(patch, Link, "send", send)

    play(tmp_path, lie=lie)
    result = audited(tmp_path)
    assert [each.reason for each in result.findings] == (
        [] if part else ["no array was compared: there is nothing to audit"]
    )
    assert all("the guest ended before it was sent" in note for note in result.notes)
    assert len(result.notes) == 2
    rewritten(tmp_path, lambda entries: [*entries, replace(entries[-1], name="labels", number=part + 1)])
    assert any("keeps no array of this step" in each.reason for each in audited(tmp_path).findings)


def rewritten(folder, change):
    """Write the guest's book again, under its id and passphrase, with the pages that `change` returns."""
    path = folder / "book"
    entries, _ = AuditBook.read(path, "p")
    with contextlib.closing(AuditBook(path, "p", job="j")) as book:
        start = books.opened(path.read_bytes(), books.frame.Kind.AUDIT_BOOK, "p", "")[2]
        book._file.cut(start)
        book._end, book._seq = start, 0
        for e in change(entries):
            book._write(e.task, e.name, e.number, e.facts, e.arrays, e.key, e.seed[0] if e.seed else b"", e.values)


@pytest.mark.parametrize(
    ("case", "task"), [("label 2", TASK), pytest.param("a digit in scoring", f"{TASK}.predict", marks=NIGHTLY)]
)
def test_a_guest_under_another_name(tmp_path, case, task):
    """In the book the guest has another name and takes step 0 only, which fails: nothing of it is in the logs."""

    def change(entries):
        kept = [e for e in entries if not e.task.startswith(task) or e.number == 0]
        return [replace(e, facts=e.facts | {"me": "x"}) if (e.task, e.name) == (task, "step") else e for e in kept]

    lie, options, *_ = CASES[case]
    play(tmp_path, lie=lie, **{"epochs": 1} | options)
    rewritten(tmp_path, change)
    first, *_ = audited(tmp_path).findings
    assert (first.task, first.reason.endswith("keeps no message of 'x', as the book calls the guest")) == (task, True)


def test_a_book_in_another_order(tmp_path):
    """The regression before its binning, or without the host's sums: worth is compared all the same."""
    play(tmp_path, lie=worth, epochs=1)
    rewritten(tmp_path, lambda entries: sorted(entries, key=lambda e: e.task != TASK))
    assert [(each.array, "is not its weight" in each.reason) for each in audited(tmp_path).findings] == [
        ("worth", True)
    ]
    rewritten(tmp_path, lambda entries: [e for e in entries if e.name != "bins"])
    first, *_ = audited(tmp_path).findings
    assert (first.array, first.reason.endswith("and the book does not open them")) == ("worth", True)


def test_a_book_that_ends_early(tmp_path):
    """The guest cuts its lie from the book, and all that comes after it."""
    play(tmp_path, lie=label(17, 2), binned=False, epochs=1, batch_size=20, random_state=7)
    rewritten(tmp_path, lambda entries: [e for e in entries if e.task != TASK or e.number < 2])
    first, *_ = audited(tmp_path).findings
    assert (first.task, first.number) == (TASK, 2)
    assert first.reason.endswith("keeps a message that the book does not open")


def test_an_answer_that_no_host_gave(tmp_path):
    """Another number in the host's answer before the guest uses it: book, log and messages of the guest agree."""
    changed = []

    def lie(patch):
        def recv(real, self):
            data = real(self)
            got = frame.decode(data)
            if (got.header["task"], got.header["step"], got.header["topic"]) == (TASK, 1, "scores") and not changed:
                changed.append(data)
                (at,) = np.cumsum(got.header["parts"])[:1] - 512  # the last ciphertext becomes the one before it
                payload = bytes(got.payload)
                return frame.encode(got.kind, got.header, payload[:at] + payload[at - 512 : at] + payload[at + 512 :])
            return data

        at_guest(patch, type(local_links()[0].channel), "recv", recv)

    assert play(tmp_path, lie=lie, binned=False) == []
    assert changed
    assert audited(tmp_path, logs=[tmp_path / "guest.log"]).ok
    first, *_ = audited(tmp_path).findings
    assert (first.array, first.number) == ("scores", 1)
    assert first.reason == f"{tmp_path}/host.log keeps another message of the host, or none"


@pytest.mark.nightly
def test_sums_of_a_host_that_is_not_there(tmp_path):
    """Sums that the guest made up, as those of a second host, and in its own log."""

    def lie(patch):
        pages = []

        def note(real, self, task, name, number=0, **more):
            pages.extend([more["facts"]] if name == "bins" else [])
            return real(self, task, name, number, **more)

        def counts(real, self, link, i):
            true = real(self, link, i)
            false = [(rows, np.clip(events + 4, 0, rows)) for rows, events in true]
            bits = self._priv.public_key.bits
            layout = binning_guest.Layout(len(self._labels))
            slots = layout.slots(bits)
            values = [int(r) + (int(e) << layout.w) for pair in false for r, e in zip(*pair, strict=True)]
            packed = np.array(slots.packed(values), dtype=object)
            c = encrypt_integers(self._priv.public_key, packed, label_plan(), frac=0, bound=slots.bound)
            data = c.to_bytes(slots.bound)
            opens = b"".join(r.to_bytes(bits // 8, "little") for r in opening(self._priv, c))
            kept = {"opens": opens, "seed": self._seed, "sums": data}
            arrays = {name: np.frombuffer(each, np.uint8) for name, each in kept.items()}
            books.auditing().note(self.name, "bins", 1, facts=pages[0], arrays=arrays)
            about = {"topic": "bins", "step": 9, "peer": "host"}
            hashes = {"part 0": array_digest(*leaves_in(data))}
            link.observer.log.append("committed", by="host", task=f"j/{self.name}", hashes=hashes, details=about)
            return false

        at_guest(patch, AuditBook, "note", note)
        at_guest(patch, binning_guest.GuestJob, "_counts", counts)

    assert play(tmp_path, lie=lie, epochs=1) == []
    first, *_ = audited(tmp_path).findings
    assert (first.array, first.reason) == ("bins", f"{tmp_path}/host.log keeps other sums of the host")


class Tape:
    """What came once, once more."""

    def __init__(self, frames):
        self.frames = list(frames)

    def send(self, data):
        pass

    def recv(self):
        return self.frames.pop(0)


@pytest.mark.nightly
def test_rows_that_change_between_steps(tmp_path):
    """Step 1 is sent with the guest's rows, step 2 with others: the book has a second training of those."""

    def lie(patch):
        first, frames = [], []

        def write(real, self, *page):
            first.extend([page] if page[0] == TASK and page[2] == 0 else [])
            return real(self, *page)

        def step(real, self, links, index):
            (link,) = links
            if index != 1:
                return real(self, links, index)
            before, recv = self.state(), link.channel.recv
            link.channel.recv = lambda: frames.append(recv()) or frames[-1]
            real(self, links, index)
            link.channel.recv = recv
            self.restore(before)
            self.matrix = np.zeros_like(self.matrix)
            self.matrix[7, 0] = 20000
            for task, name, number, facts, arrays, *rest in first[:]:
                if name == "step":
                    matrix = np.zeros_like(arrays["matrix"])
                    matrix[self.used] = self.matrix
                    arrays = arrays | {"matrix": matrix}
                books.auditing()._write(task, name, number, facts, arrays, *rest)
            again = Link(Tape(frames), me=link.me, peer=link.peer)
            again.scope(TASK, 1)
            return real(self, [again], 1)

        at_guest(patch, AuditBook, "_write", write)
        at_guest(patch, job.LogisticJob, "step", step)

    assert play(tmp_path, lie=lie) == []
    first, *_ = audited(tmp_path).findings
    assert (first.array, first.number) == ("weights", 1)
    assert first.reason.endswith("does not keep the guest's message")


@pytest.mark.nightly
def test_a_regression_outside_of_the_book(tmp_path):
    """Binning in the book, the regression not."""

    def lie(patch):
        patch.setattr(job, "auditing", lambda: None)

    play(tmp_path, lie=lie)
    first = audited(tmp_path).findings[0]
    assert (first.task, first.array) == (TASK, "setup")
    assert "keeps a message that the book does not open" in first.reason


@pytest.mark.nightly
def test_labels_of_another_file(tmp_path):
    """The guest trains, and keeps its book, on a label that the label file does not have."""
    labels = Y.copy()
    labels[21] ^= 1
    play(tmp_path, binned=False, labels=labels)
    (found,) = audited(tmp_path).findings
    assert (found.task, found.array, found.row, found.found) == (TASK, "labels", 21, str(labels[21]))


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    keys = {name: bt.paillier.generate_keypair(2048)[1] for name in ("guest", "host")}
    cases = ("label 2", "a digit in the table", "a digit in scoring")
    silent, planted = [], []
    for case in cases:
        place = folder / case.replace(" ", "-")
        place.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            prepare(patch, keys)
            play(place, lie=CASES[case][0], **{"epochs": 1} | CASES[case][1])
            silent.append(audited(place).ok)
            planted.append(unseen(place))
    return [("numbers planted in a regression, unseen by an audit", "guest", np.mean(silent), 0, 0, np.mean(planted))]
