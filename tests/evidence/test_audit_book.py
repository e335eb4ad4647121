"""Audit of a guest: an honest run is clean, and each lie is named by its row or its array.

The guest that lies here runs this package with one method replaced; host, logs and audit are as they are.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bluetusk as bt
from bluetusk import cli
from bluetusk.errors import FrameError, InvalidKey, ProtocolAbort
from bluetusk.evidence import AuditBook, Identity, Log, Meter, Recorder, _commit, verify
from bluetusk.evidence import book as books
from bluetusk.evidence.book import STEP, rows_digest
from bluetusk.paillier import _bounds
from bluetusk.storage import sealed
from bluetusk.tasks import LOGISTIC
from bluetusk.vertical import GradientBoosting, LabelArray, Link, WoEBinning, local_links
from bluetusk.vertical.auditing import Finding, audit
from bluetusk.vertical.binning import guest as binning_guest
from bluetusk.vertical.boosting import guest as boosting_guest
from bluetusk.wire import frame

ROWS = 160
RNG = np.random.default_rng(5)
X, Z = RNG.normal(size=(ROWS, 1)), RNG.normal(size=(ROWS, 2))
Y = (X[:, 0] + 2 * Z[:, 0] + RNG.normal(size=ROWS) > 0.5).astype(np.int64)
TREES: dict[str, Any] = {
    "n_estimators": 2,
    "max_depth": 2,
    "key_size": 2048,
    "min_bucket_rows": 5,
    "first_tree_local": False,
}
BINS, BOOST = "woe-binning", "gradient_boosting"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, keypair: Any) -> None:
    """Instead of scrypt, a hash of all it depends on; instead of a key for each job, that of the session."""

    def derive(secret: bytes, header: dict[str, object]) -> bytes:
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)
    for module in (binning_guest, boosting_guest):
        monkeypatch.setattr(module, "ephemeral_key", lambda bits: keypair[1])


def play(folder: Path, *tasks: str, labels: Any = Y, lies: bool = True) -> None:
    """Run guest and host with a book and two logs in a folder; a lie may end the job."""
    logs = {name: Log.create(folder / f"{name}.log", Identity.generate(), owner=name) for name in ("guest", "host")}
    watch = [
        Recorder(log=logs[me], meter=Meter(), job="j", me=me, peers={peer: "5a" * 32})
        for me, peer in (("guest", "host"), ("host", "guest"))
    ]
    here, there = local_links(observers=(watch[0], watch[1]), seconds=20)
    ended: list[BaseException] = []

    def side(role: str, link: Link, x: Any, y: Any) -> None:
        try:
            if BINS in tasks:
                WoEBinning(role, min_rows=10, max_bins=4, key_size=2048).fit(x, y, link=link)
            if BOOST in tasks:
                GradientBoosting(role=role, **TREES).fit(x, y, link=link)
        except Exception as error:
            ended.append(error)

    host = threading.Thread(target=side, args=("host", there, Z, None))
    host.start()
    with AuditBook(folder / "book", "p", job="j") as book:
        side("guest", here, X, labels)
    host.join()
    book.close()
    for log in logs.values():
        log.close()
    assert lies or not ended, ended


def audited(folder: Path, **more: Any) -> tuple[Finding, ...]:
    given = {"labels": Y, "logs": [folder / "guest.log", folder / "host.log"]} | more
    return audit(folder / "book", "p", **given).findings


def replaced(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    monkeypatch.setattr(owner, name, make(getattr(owner, name)))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liar's build does not refuse numbers beyond the bound that it declares."""
    monkeypatch.setattr(_bounds, "largest", lambda values: 0)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, keypair: Any) -> Path:
    """The book and logs of an honest run."""
    with pytest.MonkeyPatch.context() as patch:
        quick.__wrapped__(patch, keypair)  # type: ignore[attr-defined]
        folder = tmp_path_factory.mktemp("honest")
        play(folder, BINS, BOOST, lies=False)
    return folder


def test_an_honest_run_is_clean(honest: Path) -> None:
    result = audit(honest / "book", "p", logs=[honest / "guest.log", honest / "host.log"], labels=Y)
    assert (result.ok, result.findings, result.notes, result.torn) == (True, (), (), 0)
    assert (result.arrays, result.numbers, result.logs) == (8 + 2, 3 * ROWS, 2)
    kept = {
        name: [r for r in verify(honest / f"{name}.log").records if r.what == "committed"] for name in ("guest", "host")
    }
    assert [(r.task, r.hashes, r.details["step"]) for r in kept["guest"]] == [
        (r.task, r.hashes, r.details["step"]) for r in kept["host"]
    ]
    assert {r.by for r in kept["host"] if r.details["topic"] not in ("partition", "bins")} == {"guest"}


def test_what_was_not_compared_is_said(honest: Path) -> None:
    result = audit(honest / "book", "p")
    assert result.ok
    assert [note.split(":")[0] for note in result.notes] == ["no log was given", "no labels were given"]


def test_labels_of_another_file(honest: Path) -> None:
    other = Y.copy()
    other[[40, 90]] ^= 1
    first, *more = audited(honest, labels=other)
    assert (first.task, first.array, first.number, first.row) == (BINS, "sent", 2, 40)
    assert (first.found, first.expected) == (str(Y[40]), str(other[40]))
    assert [(f.task, f.array, f.row) for f in more] == [(BINS, "sent", 90), (BOOST, "labels", 40)]
    with pytest.raises(ValueError, match="labels has 3 labels, the task 160 rows"):
        audited(honest, labels=[0, 1, 1])
    with pytest.raises(ValueError, match="names 0 ids for 160 rows"):
        audited(honest, labels={"a": 1})


@pytest.mark.parametrize(("row", "label"), [(17, 2), (5, -1)])
def test_a_label_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None, row: int, label: int
) -> None:
    def lie(real: Any) -> Any:
        def sent(self: Any, links: Any, i: int) -> None:
            self._labels = np.where(np.arange(ROWS) == row, label, Y)
            real(self, links, i)

        return sent

    replaced(monkeypatch, binning_guest.GuestJob, "_encrypt", lie)
    play(tmp_path, BINS)
    (found,) = audited(tmp_path)
    assert (found.array, found.number, found.row, found.found, found.expected) == (
        "sent",
        row // 20,
        row,
        str(label),
        str(Y[row]),
    )
    assert found.reason == "the label is neither 0 nor 1"
    assert audited(tmp_path, labels=None)[0].expected == "0 or 1"


def test_a_job_that_the_book_leaves_out(honest: Path, tmp_path: Path) -> None:
    """The log has a job of which the book has nothing: the guest kept another book, or none."""
    AuditBook(tmp_path / "book", "p", job="other").close()
    log = honest / "host.log"
    result = audit(tmp_path / "book", "p", logs=[log])
    (found,) = result.findings
    assert not result.ok
    assert (found.job, found.array) == ("j", "log")
    assert "keeps arrays of this job, of which the book has nothing" in found.reason
    assert not audit(tmp_path / "book", "p", logs=[log], jobs=["j"]).ok
    assert audit(honest / "book", "p", logs=[log], labels=Y, jobs=["j"]).ok


def test_an_audit_that_compares_nothing(honest: Path, tmp_path: Path) -> None:
    """Another name for a job, or a book without arrays: silence is not what an auditor takes for a good book."""
    AuditBook(tmp_path / "book", "p", job="other").close()
    for book, jobs, of in (
        (honest, ["k"], ["k"]),
        (honest, ["j", "k"], ["k"]),
        (tmp_path, ["other"], ["other"]),
        (tmp_path, [], [""]),
        (tmp_path, None, [""]),
    ):
        result = audit(book / "book", "p", labels=Y, jobs=jobs)
        assert (result.ok, [each.job for each in result.findings]) == (False, of)
        assert "there is nothing to audit" in result.findings[0].reason


def test_labels_and_names_of_another_kind(honest: Path) -> None:
    """A label between 0 and 1 is neither; one text is not a list of jobs, of which it would hold every part."""
    assert [each.expected for each in audited(honest, labels=np.where(Y, 1.0, 0.4))][:1] == ["0.4"]
    assert audited(honest, labels=Y.astype(float)) == ()
    with pytest.raises(ValueError, match="one axis"):
        audited(honest, labels=Y.reshape(-1, 1))
    with pytest.raises(TypeError, match=r"jobs must be a list, not one str: give \['jk'\]"):
        audited(honest, jobs="jk")
    with pytest.raises(TypeError, match="logs must be a list, not one PosixPath"):
        audited(honest, logs=honest / "host.log")


def test_findings_are_in_the_order_of_the_book(tmp_path: Path) -> None:
    jobs = [f"job-{k}" for k in (3, 1, 7, 2, 9, 5, 8, 4)]
    book = AuditBook(tmp_path / "book", "p", job="")
    for job in jobs:
        book.job = job
        book.note(LOGISTIC.name, STEP, facts={"me": "guest"}, arrays={"labels": np.zeros(3, np.int64)})
    book.close()
    found = audit(tmp_path / "book", "p").findings
    assert [each.job for each in found if each.array == STEP] == jobs


def test_scores_of_another_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second tree grows from another base score, and the book has a second first tree, never sent, that says so."""
    pages: list[Any] = []

    def keep(real: Any) -> Any:
        def note(self: Any, task: str, name: str, number: int = 0, **more: Any) -> None:
            pages.extend([more["arrays"]] if name == "tree" else [])
            real(self, task, name, number, **more)

        return note

    def lie(real: Any) -> Any:
        def start(self: Any, number: int) -> Any:
            if number == 1:
                s, page, book = self.settings, pages[0], books.auditing()
                assert book is not None
                base, unit = float(np.log(0.9 / (1 - 0.9))), float(1 << s.frac_bits)
                facts = {"settings": replace(s, base_score=0.9).to_fields(), "base": base}
                book.note(BOOST, "labels", facts=facts, arrays={"labels": self.labels})
                p = 1 / (1 + np.exp(-np.full(ROWS, base)))
                g, h = np.rint((p - self.labels) * unit), np.rint(p * (1 - p) * unit)
                value = page["value"].copy()
                for leaf in np.unique(page["where"]).tolist():
                    at = page["where"] == leaf
                    value[leaf] = -s.learning_rate * (g[at].sum() / unit) / (h[at].sum() / unit + s.reg_lambda)
                if fake:
                    packed, kept = self.layout.packed(g.astype(int), h.astype(int)), {"sampled": np.ones(ROWS, bool)}
                    kept["scores"] = np.full(ROWS, base)
                    book.array(self.priv.public_key, BOOST, "gradients", 0, packed, facts={"step": 1}, arrays=kept)
                book.note(BOOST, "tree", 0, arrays=page | {"value": value})
                self.scores = base + value[page["where"]]
            return real(self, number)

        return start

    replaced(monkeypatch, AuditBook, "note", keep)
    replaced(monkeypatch, boosting_guest.GuestJob, "_start", lie)
    for fake, reason in (
        (False, "has no gradients that this tree"),
        (True, "does not keep the gradients that the tree"),
    ):
        pages.clear()
        (folder := tmp_path / str(fake)).mkdir()
        play(folder, BOOST, lies=False)
        first, *_ = audited(folder)
        assert (first.array, first.number, reason in first.reason) == ("tree", 0, True), str(first)


def test_labels_that_an_earlier_job_encrypted(tmp_path: Path) -> None:
    """One array of labels serves two jobs; each can be audited alone, though the book opens it in the first."""
    logs = {name: Log.create(tmp_path / f"{name}.log", Identity.generate(), owner=name) for name in ("guest", "host")}
    known: list[Any] = []

    def side(role: str, link: Link, x: Any) -> None:
        if role == "guest" and not known:
            known.append(LabelArray(Y, key_size=2048))
        labels = known[0] if role == "guest" else None
        y = Y if role == "guest" else None
        WoEBinning(role, min_rows=10, max_bins=4, key_size=2048).fit(x, y, link=link, labels=labels)

    for job in ("j", "k"):
        watch = [
            Recorder(log=logs[me], meter=Meter(), job=job, me=me, peers={peer: "5a" * 32})
            for me, peer in (("guest", "host"), ("host", "guest"))
        ]
        here, there = local_links(observers=(watch[0], watch[1]), seconds=20)
        host = threading.Thread(target=side, args=("host", there, Z))
        host.start()
        with AuditBook(tmp_path / "book", "p", job=job) as book:
            side("guest", here, X)
        host.join()
        book.close()
    for log in logs.values():
        log.close()
    for jobs in (None, ["j"], ["k"]):
        result = audit(tmp_path / "book", "p", labels=Y, logs=[tmp_path / "host.log"], jobs=jobs)
        assert (result.findings, result.arrays, result.numbers) == ((), 1, ROWS)
        assert audited(tmp_path, jobs=jobs) == ()
    other = Y.copy()
    other[40] ^= 1
    assert [(each.job, each.row) for each in audited(tmp_path, jobs=["k"], labels=other)] == [("k", 40)]


def test_settings_that_both_agreed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that trains with another rate than it told the host: leaves of its choice would follow from it."""

    def lie(real: Any) -> Any:
        def offer(self: Any, links: Any) -> None:
            real(self, links)
            book = books.auditing()
            self.settings = replace(self.settings, learning_rate=0.75, reg_lambda=7.0)
            if book is not None:
                facts = {"settings": self.settings.to_fields(), "base": float(self.half.base[0])}
                book.note(BOOST, "labels", facts=facts, arrays={"labels": self.labels})

        return offer

    replaced(monkeypatch, boosting_guest.GuestJob, "_offer", lie)
    play(tmp_path, BOOST)
    for log in ("guest", "host"):
        (found,) = audited(tmp_path, logs=[tmp_path / f"{log}.log"])
        assert (found.array, found.reason.split(" keeps ")[1]) == ("labels", "other settings of the training")


def test_books_and_logs_of_earlier_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lack the settings and the host's sums: what they have is audited, and a note says what is not."""
    old = {(BINS, "encrypted"), (BOOST, "gradients"), (BOOST, "partition")}
    monkeypatch.setattr(_commit, "_KEPT", old)
    monkeypatch.setattr(_commit, "_WHOLE", set())
    monkeypatch.setattr(binning_guest, "auditing", lambda: None)
    play(tmp_path, BINS, BOOST, lies=False)
    result = audit(tmp_path / "book", "p", logs=[tmp_path / "host.log"], labels=Y)
    assert (result.ok, result.findings) == (True, ())
    (note,) = result.notes
    assert note.endswith("host.log keeps no settings of gradient_boosting: they are the guest's word")


def test_parties_with_other_rates(keypair: Any) -> None:
    links = local_links(seconds=20)
    failed: list[Exception] = []

    def side(role: str, link: Link, rate: float) -> None:
        try:
            y = Y if role == "guest" else None
            GradientBoosting(role=role, learning_rate=rate, **TREES).fit(Z, y, link=link)
        except ProtocolAbort as error:
            failed.append(error)

    host = threading.Thread(target=side, args=("host", links[1], 0.5))
    host.start()
    side("guest", links[0], 0.25)
    host.join()
    assert any("different values of learning_rate" in str(each) for each in failed)


def test_labels_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flipped label, encrypted and sent as any other."""
    row = 33

    def lie(real: Any) -> Any:
        def made(self: Any, labels: Any, *others: Any, **more: Any) -> None:
            real(self, labels ^ (np.arange(ROWS) == row), *others, **more)

        return made

    replaced(monkeypatch, binning_guest.GuestJob, "__init__", lie)
    play(tmp_path, BINS)
    (found,) = audited(tmp_path)
    assert (found.row, found.found, found.expected) == (row, str(1 - Y[row]), str(Y[row]))


def test_an_array_sent_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ciphertexts of part 2 go out again as part 3, the book says otherwise."""
    kept: list[Any] = []

    def lie(real: Any) -> Any:
        def send(self: Any, topic: str, fields: Any = None, parts: Any = ()) -> None:
            if topic == "encrypted":
                kept.append(parts)
                parts = kept[2] if len(kept) == 4 else parts
            real(self, topic, fields, parts)

        return send

    replaced(monkeypatch, Link, "send", lie)
    play(tmp_path, BINS)
    found = audited(tmp_path)
    assert [(f.array, f.number) for f in found] == [("sent", 3)] * 2
    assert "keeps another array: what was sent is not what the book says" in found[0].reason


def started(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any, Any, int], None]) -> None:
    """Let a guest change the gradients of a tree before they are encrypted."""

    def lie(real: Any) -> Any:
        def start(self: Any, number: int) -> Any:
            tree = real(self, number)
            change(self, tree, number)
            return tree

        return start

    replaced(monkeypatch, boosting_guest.GuestJob, "_start", lie)


def test_powers_of_two_as_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    def change(job: Any, tree: Any, number: int) -> None:
        tree.g = np.array([1 << i for i in range(ROWS)], dtype=object)

    started(monkeypatch, change)
    play(tmp_path, BOOST)
    found = audited(tmp_path)[0]
    assert (found.array, found.number, found.row) == ("gradients", 0, 0)
    assert found.found.startswith("g 1, h ")


@pytest.mark.parametrize("step", [1, -1])
def test_a_gradient_one_unit_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    def change(job: Any, tree: Any, number: int) -> None:
        tree.g[33] += step * (number == 1)

    started(monkeypatch, change)
    play(tmp_path, BOOST)
    found = audited(tmp_path)[0]
    assert (found.array, found.number, found.row) == ("gradients", 1, 33)
    (g, h), (want, same) = ([int(part[2:]) for part in text.split(", ")] for text in (found.found, found.expected))
    assert (g - want, h - same) == (step, 0)


def test_a_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that follow from a score which does not follow from the tree before."""

    def lie(real: Any) -> Any:
        def grown(self: Any, links: Any, number: int) -> Any:
            self.scores = self.scores + 0.25 * (np.arange(ROWS) == 12) * (number == 1)
            return real(self, links, number)

        return grown

    replaced(monkeypatch, boosting_guest.GuestJob, "_grown", lie)
    play(tmp_path, BOOST)
    found = audited(tmp_path)[0]
    assert (found.array, found.number, found.row) == ("scores", 1, 12)
    assert float(found.found) - float(found.expected) == pytest.approx(0.25)


def test_a_first_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in the book, in all gradients and in all scores, so that nothing but the labels tells."""

    def lie(real: Any) -> Any:
        def init(self: Any, *given: Any, **more: Any) -> None:
            real(self, *given, **more)
            self.half.base[0] += 0.5
            self.scores += 0.5

        return init

    replaced(monkeypatch, boosting_guest.GuestJob, "__init__", lie)
    play(tmp_path, BOOST)
    (found,) = audited(tmp_path)
    assert (found.array, found.reason) == ("labels", "the first score is not that of the labels")
    assert float(found.found) - float(found.expected) == pytest.approx(0.5)


def test_a_row_in_another_leaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores may encode rows by the leaves that the guest claims: below a host's split, the host's answer says."""
    moved: list[int] = []

    def lie(real: Any) -> Any:
        def leaves(self: Any, tree: Any) -> None:
            for place in np.flatnonzero(tree.half.party[0] == 1).tolist():
                left, right = 2 * place + 1, 2 * place + 2
                rows = np.flatnonzero(tree.where == left)
                if len(rows) > 1 and (tree.where == right).any():
                    moved.append(place)
                    tree.where[rows[0]] = right
                    break
            real(self, tree)

        return leaves

    replaced(monkeypatch, boosting_guest.GuestJob, "_leaves", lie)
    play(tmp_path, BOOST)
    assert moved
    found = audited(tmp_path, logs=[tmp_path / "host.log"])[0]
    assert (found.array, found.number) == ("tree", 0)
    assert "that is not in the tree" in found.reason
    assert audited(tmp_path)[0].reason.startswith(str(tmp_path / "guest.log"))


@pytest.mark.parametrize("place", [-1, 1 << 20])
def test_a_row_at_a_place_that_no_tree_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Not even where the leaf's value would be right: a place before the first one counts from the end in an array."""

    def lie(real: Any) -> Any:
        def note(self: Any, task: str, name: str, number: int = 0, *, facts: Any = None, arrays: Any = None) -> None:
            if name == "tree":
                where = arrays["where"].astype(np.int64)
                where[-1] = place
                arrays = arrays | {"where": where}
            real(self, task, name, number, facts=facts, arrays=arrays)

        return note

    replaced(monkeypatch, AuditBook, "note", lie)
    play(tmp_path, BOOST)
    found = audited(tmp_path)[0]
    assert (found.array, found.reason) == ("tree", "a row is at a place that the tree does not have")


def test_a_host_split_that_the_guest_calls_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below its own splits the rows are its word; so the host's answers must all be in the trees."""

    def lie(real: Any) -> Any:
        def leaves(self: Any, tree: Any) -> None:
            assert (tree.half.party[0] == 1).any()
            tree.half.party[0] = np.where(tree.half.party[0] == 1, 0, tree.half.party[0])
            tree.where[:] = np.where(np.arange(ROWS) % 2 == 0, 1, 2)
            real(self, tree)

        return leaves

    replaced(monkeypatch, boosting_guest.GuestJob, "_leaves", lie)
    play(tmp_path, BOOST)
    found = audited(tmp_path, logs=[tmp_path / "host.log"])[0]
    assert (found.array, found.number) == ("tree", 0)
    assert "keeps a host's answer that is not in the tree" in found.reason


def test_a_split_of_the_guest_that_it_calls_a_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that a host never parted are nobody's word but the guest's."""

    def lie(real: Any) -> Any:
        def leaves(self: Any, tree: Any) -> None:
            assert tree.half.party[0].tolist() == [1] + [-1] * 6
            rows = np.flatnonzero(tree.where == 2)
            tree.half.party[0, 2], tree.where[rows] = 1, np.where(np.arange(len(rows)) % 2, 5, 6)
            real(self, tree)

        return leaves

    replaced(monkeypatch, boosting_guest.GuestJob, "_leaves", lie)
    play(tmp_path, BOOST)
    found = audited(tmp_path, logs=[tmp_path / "host.log"])[0]
    assert (found.array, found.number) == ("tree", 0)
    assert "are not where a host put them, by the logs of hosts" in found.reason


def test_labels_permuted_with_their_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that exchanges labels of two parts, and says in its book that it sent them in the other order."""
    order = np.r_[20:40, 0:20, 40:ROWS]

    def lie(real: Any) -> Any:
        def made(self: Any, labels: Any, *others: Any, **more: Any) -> None:
            real(self, labels[order], *others, **more)

        return made

    def note(real: Any) -> Any:
        def noted(self: Any, task: str, name: str, number: int = 0, *, facts: Any = None, arrays: Any = None) -> None:
            if name == "sent" and number < 2:
                facts = facts | {"first": 20 - facts["first"]}
            real(self, task, name, number, facts=facts, arrays=arrays)

        return noted

    replaced(monkeypatch, binning_guest.GuestJob, "__init__", lie)
    replaced(monkeypatch, AuditBook, "note", note)
    play(tmp_path, BINS)
    first, second = audited(tmp_path)
    assert (first.array, first.number, first.reason) == ("sent", 0, "the page is of other rows than 0 to 19")
    assert second.number == 1


def test_ids_exchanged(honest: Path, tmp_path: Path, pub: Any) -> None:
    """A guest that exchanges the ids of two rows instead of their labels: both logs keep the order."""
    key, ids = bytes(32), [f"M{k}" for k in range(4)]
    log = Log.create(tmp_path / "log", Identity.generate(), owner="host")
    recorder = Recorder(log=log, meter=Meter(), job="j", me="host", peers={"guest": "5a" * 32})
    for _ in range(2):
        recorder.rows({BINS: rows_digest(key, ids)})
    assert [record.what for record in log.records] == ["opened", "rows"]
    log.close()
    for name, given in (("true", ids), ("false", [*ids[:2], ids[3], ids[2]])):
        book = AuditBook(tmp_path / name, "p", job="j")
        book.note(BINS, "rows", facts={"ids": given, "key": key.hex()})
        book.close()
    (found,) = audit(tmp_path / "true", "p", logs=[tmp_path / "log"]).findings
    assert "there is nothing to audit" in found.reason  # the ids alone are right
    (found,) = audit(tmp_path / "false", "p", logs=[tmp_path / "log"]).findings
    assert "keeps other ids for the rows, or another order" in found.reason
    book = AuditBook(tmp_path / "word", "p", job="j")
    book.note(BINS, "rows", facts={"ids": ids})
    book.close()
    assert any("the guest's word" in note for note in audit(tmp_path / "word", "p").notes)
    (found,) = audit(tmp_path / "word", "p", logs=[tmp_path / "log"]).findings
    assert "lacks the key to check it" in found.reason


def test_a_leaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(real: Any) -> Any:
        def leaves(self: Any, tree: Any) -> None:
            real(self, tree)
            tree.half.value[0, tree.where[0]] += 1e-6

        return leaves

    replaced(monkeypatch, boosting_guest.GuestJob, "_leaves", lie)
    play(tmp_path, BOOST)
    found = audited(tmp_path)[0]
    assert (found.array, found.number, found.row) == ("tree", 0, None)
    assert float(found.found) - float(found.expected) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("task", [BINS, BOOST])
@pytest.mark.parametrize("what", ["seed", "key", "numbers"])
def test_a_book_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keypair2: Any, task: str, what: str) -> None:
    """The book names another seed, another key or other numbers than those that made what was sent."""

    def lie(real: Any) -> Any:
        def array(self: Any, pub: Any, task: str, name: str, number: int, values: Any, **more: Any) -> Any:
            seed = bt.paillier.seed.Seed(bytes(range(32)), "another")
            if what == "key":
                pub, seed = keypair2[0], None
            if what == "numbers":
                seed, values = None, [*values[:-1], values[0] + 1]
            kept = real(self, pub, task, name, number, values, **more)
            return kept if seed is None else seed

        return array

    replaced(monkeypatch, AuditBook, "array", lie)
    play(tmp_path, task)
    found = audited(tmp_path)[0]
    if task == BINS:
        row = 19 if what == "numbers" else 0
        assert (found.array, found.number, found.row) == ("sent", 0, row)
        assert found.reason == "the book does not open the ciphertext that was sent"
    elif what == "numbers":
        assert (found.array, found.number, found.row) == ("gradients", 0, ROWS - 1)
    else:
        assert (found.array, found.number) == ("gradients", 0)
        assert "what was sent is not what the book says" in found.reason


def test_only_the_hosts_log_shows_what_was_sent(honest: Path, tmp_path: Path) -> None:
    """A guest that writes a new book, and a new log to it, cannot change the host's."""
    play(tmp_path, BINS, BOOST)
    assert audited(tmp_path) == ()
    found = audited(tmp_path, logs=[honest / "host.log"])
    assert {f.array for f in found} >= {"sent", "gradients"}
    assert len(found) >= 10
    assert "keeps another array" in next(f for f in found if f.array == "sent").reason
    assert "no log keeps the sums" in found[0].reason


def pages_of(data: bytes) -> list[int]:
    """Return where each frame of a book ends."""
    ends = [0]
    while ends[-1] < len(data):
        *_, header, payload = frame.FIXED.unpack_from(data, ends[-1])
        ends.append(ends[-1] + frame.FIXED.size + header + payload)
    return ends[1:]


def test_books_cut_and_altered(honest: Path, tmp_path: Path) -> None:
    data = (honest / "book").read_bytes()
    ends = pages_of(data)
    logs = [honest / "host.log"]
    book = tmp_path / "book"

    def seen(content: bytes) -> Any:
        book.write_bytes(content)
        return audit(book, "p", logs=logs, labels=Y)

    result = seen(data[: ends[-2]])  # without the last tree's note: its arrays are there
    assert (result.ok, [note.split(": ")[1] for note in result.notes]) == (
        True,
        ["the book has gradients of tree 1, and no tree that they gave"],
    )
    result = seen(data[: ends[-3]])
    assert [str(f.array) + str(f.number) for f in result.findings] == ["sent1"]
    assert "keeps an array that the book does not open" in result.findings[0].reason
    result = seen(data[: ends[-3] + 40])
    assert (result.ok, result.torn) == (False, 40)
    assert "or are cut" in result.notes[-1]
    with pytest.raises(FrameError, match="page 3 is missing: page 4 is in its place"):
        seen(data[: ends[3]] + data[ends[4] :])
    with pytest.raises(FrameError, match="page 2 was altered"):
        seen(data[: ends[2] + 150] + bytes([data[ends[2] + 150] ^ 1]) + data[ends[2] + 151 :])
    for content in (b"", data[:40], data[1:], (honest / "host.log").read_bytes()):
        with pytest.raises(InvalidKey, match="not an audit book"):
            seen(content)
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        audit(honest / "book", "other")


def named(entries: list[Any], log: Path) -> list[Any]:
    """Return a book's pages with ids, of which a log keeps the order."""
    key, ids = bytes(32), [f"M{k}" for k in range(ROWS)]
    owner = Identity.generate()
    with Log.create(log, owner, owner="host") as kept:
        recorder = Recorder(log=kept, meter=Meter(), job="j", me="host", peers={})
        recorder.rows({task: rows_digest(key, ids) for task in (BINS, BOOST)})
    facts = {"ids": ids, "key": key.hex()}
    page = replace(entries[0], name="rows", key=None, values=[], seed=(), arrays={}, facts=facts)
    return [replace(page, task=task) for task in (BINS, BOOST)]


@pytest.mark.parametrize("part", [12, pytest.param(1, marks=pytest.mark.nightly)])
def test_pages_in_another_order(honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """Pages exchanged, left out or doubled: a finding, a note, or nothing lost; never another error."""
    entries, _ = AuditBook.read(honest / "book", "p")
    known = {f"M{k}": int(Y[k]) for k in range(ROWS)}
    rows = named(entries, tmp_path / "rows.log")
    logs, ids = [honest / "guest.log", honest / "host.log"], [tmp_path / "rows.log"]

    def seen(pages: list[Any], **more: Any) -> Any:
        monkeypatch.setattr(AuditBook, "read", lambda *given: (pages, 0))
        return audit(honest / "book", "p", **{"logs": logs, "labels": Y} | more)

    def reasons(pages: list[Any], **more: Any) -> list[str]:
        keeps = "keeps no array of this step"  # in the log that has nothing but the rows
        found = seen(pages, logs=ids, labels=known, **more).findings
        return [each.reason for each in found if not each.reason.endswith(("that the tree was grown from", keeps))]

    for pages in (entries + rows, [*entries, *rows, *rows]):
        assert not any("names" in each or "what it must" in each for each in reasons(pages))
    other = replace(rows[0], facts=rows[0].facts | {"ids": ["M1", "M0", *rows[0].facts["ids"][2:]]})
    short = replace(rows[0], facts=rows[0].facts | {"ids": ["M1", "M0"]})
    assert any("the book names other ids for the same rows" in each for each in reasons([*entries, *rows, other]))
    assert any("names 2 ids for 160 rows" in each for each in reasons([*entries, short]))
    assert any("has no page of them" in each for each in reasons(entries))
    for at, entry in list(enumerate(entries))[4::part]:
        result = seen(entries[:at] + entries[at + 1 :])
        whole = not result.findings and not result.notes
        assert not whole, entry.name
        if (entry.name, entry.number) != ("tree", 0):  # nothing can be grown from its gradients twice
            assert seen(entries[: at + 1] + entries[at:]).arrays >= 10
    order = np.random.default_rng(3)
    for _ in range(36 // part):
        mixed = [entries[at] for at in order.permutation(len(entries))]
        result = seen(mixed)
        assert result.findings or (result.arrays, result.notes) == (10, ())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sent", {"facts": {"rows": 0, "first": 0, "step": 1}}),
        ("sent", {"facts": {"rows": 1 << 5000, "first": 0, "step": 1}}),
        ("sent", {"number": -1}),
        ("bins", {"arrays": {"sums": np.zeros(9, np.uint8)}}),
        ("bins", {"facts": {"peer": "host", "terms": [], "smoothing": "x", "shape": 3}}),
        ("labels", {"facts": {"settings": [], "base": None}}),
        ("labels", {"values": [], "arrays": {}}),
        ("labels", {"arrays": {"labels": np.zeros(3, np.int64)}}),
        ("tree", {"arrays": {}}),
        ("gradients", {"facts": {"step": "x"}}),
    ],
)
def test_pages_that_hold_something_else(
    honest: Path, monkeypatch: pytest.MonkeyPatch, name: str, changes: dict[str, Any]
) -> None:
    entries, _ = AuditBook.read(honest / "book", "p")
    pages = [replace(entry, **changes) if entry.name == name else entry for entry in entries]
    monkeypatch.setattr(AuditBook, "read", lambda *given: (pages, 0))
    assert audited(honest, labels=Y)


def test_a_log_that_does_not_verify(honest: Path, tmp_path: Path) -> None:
    data = bytearray((honest / "host.log").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "log").write_bytes(data)
    found = audited(honest, logs=[tmp_path / "log"])
    assert found[0].array == "log"
    assert "does not verify" in found[0].reason


def test_a_step_taken_again_is_opened_both_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash a step is taken with a fresh seed; the log keeps both arrays, the book opens both."""

    def again(real: Any) -> Any:
        def sent(self: Any, links: Any, i: int) -> None:
            if i == 2:  # what was sent before the crash, and was not received
                before, _ = local_links(observers=(links[0].observer, None))
                before.scope(BINS, 1 + i)
                real(self, [before], i)
            real(self, links, i)

        return sent

    replaced(monkeypatch, binning_guest.GuestJob, "_encrypt", again)
    play(tmp_path, BINS, lies=False)
    kept = {
        name: {r.hashes["part 0"] for r in verify(tmp_path / f"{name}.log").records if r.what == "committed"}
        for name in ("guest", "host")
    }
    assert len(kept["guest"]) == 9 + 1  # and the host's sums
    assert len(kept["host"] & kept["guest"]) == 8 + 1
    assert audited(tmp_path) == ()


def test_a_frame_sent_again_is_kept_once(tmp_path: Path, pub: Any) -> None:
    path, me = tmp_path / "log", Identity.generate()
    log = Log.create(path, me, owner="host")
    header = {"topic": "encrypted", "task": BINS, "step": 1, "seq": 0, "from": "guest", "fields": {}}
    data = pub.encrypt([1, 2]).to_bytes()
    whole = frame.encode(frame.Kind.VERTICAL, header | {"parts": [len(data)]}, data)
    for _ in range(2):  # the process ends and starts again
        recorder = Recorder(log=log, meter=Meter(), job="j", me="host", peers={"guest": "5a" * 32})
        for _ in range(2):
            recorder.passed(peer="guest", task=BINS, sent=False, frame=whole)
        many = frame.encode(frame.Kind.VERTICAL, header | {"parts": [1] * 100}, bytes(100))
        about = header | {"task": "logistic_regression", "topic": "t" * 5000, "parts": []}
        long = frame.encode(frame.Kind.VERTICAL, about)  # more than a record has room for; the link refuses it
        for other in (b"", b"BTK1", whole[:50], data, many, long):
            recorder.passed(peer="guest", task=BINS, sent=False, frame=other)
        log.close()
        log = Log.open(path, me)
    assert [record.what for record in log.records] == ["opened", "committed"]
    log.close()


def test_seeds_are_nowhere_in_the_clear(honest: Path) -> None:
    entries, _ = AuditBook.read(honest / "book", "p")
    seeds = [entry.seed[0] for entry in entries if entry.key is not None]
    assert len(set(seeds)) == len(seeds) == 10
    for path in honest.iterdir():
        data = path.read_bytes()
        assert not any(seed in data or seed.hex().encode() in data for seed in seeds)
        assert path.name.endswith(".log") or b"labels" not in data
    assert (honest / "book").stat().st_mode & 0o777 == 0o600


def test_a_book_is_continued(tmp_path: Path, pub: Any) -> None:
    for turn in range(3):
        with AuditBook(tmp_path / "book", "p", job="j") as book:
            book.array(pub, "t", "a", turn, [turn, -turn, 1 << 300])
            with pytest.raises(ProtocolAbort, match="in use"):
                AuditBook(tmp_path / "book", "p", job="j")
        book.close()
        with open(tmp_path / "book", "ab") as file:
            file.write(b"BTK1\x01")  # killed while it wrote
    entries, torn = AuditBook.read(tmp_path / "book", "p")
    assert [(entry.number, entry.values) for entry in entries] == [(k, [k, -k, 1 << 300]) for k in range(3)]
    assert torn == 5
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        AuditBook(tmp_path / "book", "q", job="j")
    with pytest.raises(TypeError, match="cannot be pickled"):
        book.__reduce__()


def test_a_full_disk_encrypts_nothing(tmp_path: Path, pub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book = AuditBook(tmp_path / "book", "p", job="j")

    def full(data: bytes, end: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book._file, "append", full)
    with pytest.raises(ProtocolAbort, match="nothing is encrypted"):
        book.array(pub, "t", "a", 0, [1])
    book.close()


def test_on_the_command_line(
    honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["evidence", "audit", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out, err

    monkeypatch.setenv("BLUETUSK_AUDIT_PASSPHRASE", "p")
    book, logs = honest / "book", [f"--log={honest / name}.log" for name in ("guest", "host")]
    labels = tmp_path / "labels.csv"
    labels.write_text("default\n" + "".join(f"{y}\n" for y in Y))
    given = ["--labels", labels, "--label-column", "default", "--in-order"]
    status, out, _ = call(book, *logs, *given)
    assert (status, out) == (0, "GOOD    480 numbers in 10 arrays are what labels and model say and in 2 logs\n")
    labels.write_text("default\n" + "".join(f"{y ^ (k == 7)}\n" for k, y in enumerate(Y)))
    status, out, _ = call(book, *logs, *given)
    assert status == 1
    assert out.splitlines()[-1] == (
        f"BAD     j/woe-binning, sent 0, row 7: found {Y[7]}, expected {1 - Y[7]}: "
        "the label differs from the label file"
    )
    status, out, _ = call(book, *logs, *given, "--json")
    told = json.loads(out)
    assert (status, told["ok"], told["findings"][0]["row"], told["logs"]) == (1, False, 7, 2)
    status, out, _ = call(book)
    assert (status, out.count("note")) == (0, 2)
    labels.write_text("id,default\nM1,0\nM2,1\nM1,1\n")
    status, _, err = call(book, "--labels", labels, "--label-column", "default")
    assert status == 1
    assert "the id 'M1' comes twice" in err
    (tmp_path / "wrong").write_text("q\n")
    status, _, err = call(book, "--passphrase-file", tmp_path / "wrong")
    assert status == 1
    assert "passphrase is wrong" in err
