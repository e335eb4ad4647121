"""Replays what a guest encrypted from its audit book, for an auditor whom both parties accept.

The book's numbers are what was sent if, encrypted again with their seeds, they give the digests in the parties' logs.
They are what they should be if labels are those of the label file, each tree's gradients follow from labels and scores,
and scores follow from the trees before: leaves from gradients, and the rows of leaves, below a host's splits, from what
the host answered, whose digest is in the logs. In a regression everything that the guest sent follows from its
labels, its rows, the weights of evidence of the host's bins and the host's messages (:mod:`.logistic.replay`); the
weights of evidence follow from labels and from the sums that the host sent. The first number that is not so is named.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import Bools, Floats, Ints, as_array
from ..errors import BluetuskError, InvalidCiphertext
from ..evidence import Record, verify
from ..evidence.book import (
    ROWS,
    STEP,
    AuditBook,
    Commitment,
    Entry,
    array_digest,
    commitments,
    leaves_in,
    rows_digest,
    settings_digest,
)
from ..paillier.keys import PublicKey
from ..tasks import BINNING, BOOSTING, LOGISTIC, LOGISTIC_SCORES
from .binning.common import Layout as LabelLayout
from .binning.common import Terms
from .binning.guest import GuestJob, PeerColumn
from .boosting.model import Settings, probabilities
from .boosting.sums import Layout as GradientLayout
from .logistic.replay import Models, Replayed, replay
from .protocol.job import part_of

__all__ = ["AuditResult", "Finding", "audit"]

_HALF = 0.5 + 2.0**-16  # of a unit: a machine whose exp differs in the last digit may round a tie the other way
_HASH = 32
_SENT = {(BINNING.name, "sent"): "encrypted", (BOOSTING.name, "gradients"): "gradients"}
"""Which pages say what was sent, and the topic of the message that held it."""
_MALFORMED = (ArithmeticError, AssertionError, AttributeError, BluetuskError, LookupError, TypeError, ValueError)
"""What a page that does not hold what it must can raise: a finding, whatever a guest has written."""
_REGRESSIONS = (LOGISTIC.name, LOGISTIC_SCORES.name)
_TOPICS = {(task, topic) for (task, _), topic in _SENT.items()}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes
    ----------
    job, task, array : str
        Where: the array is "sent" (labels of a binning), "bins" (the host's sums), "labels", "gradients", "scores" or
        "tree" (of boosting), "labels", "worth" (of the host's bins) or the name of a message (of a regression), or
        "log".
    number : int
        Which part of the labels, or which tree, from 0; of a regression's messages, which step.
    row : int or None
        The row, from 0, in the order of the task; None if it is not about one row.
    id : str
        The row's id, where the book names ids.
    found, expected : str
        The number, and what it should be.
    reason : str
        In words.

    Examples
    --------
    >>> print(Finding("job-7", "woe-binning", "sent", 0, 3, "", "2", "0 or 1", "the label is neither 0 nor 1"))
    job-7/woe-binning, sent 0, row 3: found 2, expected 0 or 1: the label is neither 0 nor 1
    """

    job: str
    task: str
    array: str
    number: int
    row: int | None
    id: str
    found: str
    expected: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.job}/{self.task}, {self.array} {self.number}"
        if self.row is not None:
            where += f", row {self.row}" + (f" (id {self.id!r})" if self.id else "")
        numbers = f": found {self.found}, expected {self.expected}" if self.found or self.expected else ""
        return f"{where}{numbers}: {self.reason}"


@dataclass(frozen=True)
class AuditResult:
    """The result of :func:`audit`.

    Attributes
    ----------
    ok : bool
        Whether nothing was found.
    findings : tuple of Finding
        The first of each array that has one, in the order in which the arrays were made.
    arrays, numbers : int
        How many encrypted arrays were compared, and how many numbers are in them.
    logs : int
        Against how many logs.
    notes : tuple of str
        What was not compared.
    torn : int
        Bytes of a last page that was being written when its process died: its array never left.

    Examples
    --------
    >>> AuditResult(True, (), 0, 0, 0, (), 0).ok
    True
    """

    ok: bool
    findings: tuple[Finding, ...]
    arrays: int
    numbers: int
    logs: int
    notes: tuple[str, ...]
    torn: int


class _OtherLabels(ValueError):
    """The labels given are not those of the book's rows."""


@dataclass
class _State:
    """What is known of a task so far."""

    ids: list[str] = field(default_factory=list)
    settings: Settings | None = None
    labels: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: dict[int, Floats] = field(default_factory=dict)  # before each tree
    key: PublicKey | None = None  # of a binning
    rows: int = 0
    sent: dict[int, int] = field(default_factory=dict)  # the label of each row that was sent to a binning
    columns: dict[str, list[PeerColumn]] = field(default_factory=dict)  # what a binning says of each host's


def audit(
    book: str | os.PathLike[str],
    passphrase: str | bytes,
    *,
    logs: Sequence[str | os.PathLike[str]] = (),
    labels: Mapping[str, int] | ArrayLike | None = None,
    jobs: Collection[str] | None = None,
) -> AuditResult:
    """Replay a guest's audit book.

    Parameters
    ----------
    book : path-like
        The guest's book (:class:`bluetusk.evidence.AuditBook`).
    passphrase : str or bytes
        Its passphrase.
    logs : sequence of path-like
        The logs of evidence of both parties, the host's above all: without one, nothing shows that the book's numbers
        are those that were sent.
    labels : mapping of str to int, or array_like, optional
        The label of each id, where the book names ids (``bluetusk party`` does); else the labels in the order of the
        rows. Without them labels are checked to be 0 or 1, and the same in all gradients.
    jobs : collection of str, optional
        The jobs to audit. By default all: a job of which a log keeps something, and the book nothing, is then a
        finding. Name the jobs where a log has others too, of another book or with other guests. A job that is named,
        and of which nothing could be compared, is a finding; so is a whole audit that has compared nothing.

    Returns
    -------
    AuditResult

    Raises
    ------
    InvalidKey
        If the file is not an audit book, or the passphrase is wrong.
    FrameError
        If a page of the book was altered, moved or taken out.
    ValueError
        If the labels given belong to no task of the book, or are not a mapping and have another shape than (n,).
    TypeError
        If `jobs` or `logs` is one text.
    OSError
        If a file cannot be read.

    Notes
    -----
    What an audit cannot show: that the label file is true, that the guest's own columns are (its own splits and the
    rows that it brings into a regression are its word, and so are class weights, smoothing, the score of all rows
    before the first tree and what chooses splits), and which rows a tree's sample should have had. Scoring by a
    regression is replayed where the book has its training in the same job. With several hosts give the logs of all.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import bluetusk as bt
    >>> from bluetusk.evidence.book import note_sent, seed_for
    >>> from bluetusk.paillier.array import encrypt_integers
    >>> from bluetusk.vertical.auditing import audit
    >>> two = 1 + (2 << LabelLayout(8).w)  # as a label 2 is encrypted
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "book")
    ...     with bt.evidence.AuditBook(path, "correct horse", job="job-7") as book:
    ...         seed = seed_for(pub, "woe-binning", "labels", [two])
    ...         c = encrypt_integers(pub, np.array([two]), bt.FixedPoint.integers(1), frac=0, bound=two, seed=seed)
    ...         note_sent("woe-binning", "sent", 7, c.to_bytes(two), rows=8, first=7, step=8)
    ...     book.close()
    ...     print(audit(path, "correct horse").findings[0])
    job-7/woe-binning, sent 7, row 7: found 2, expected 0 or 1: the label is neither 0 nor 1
    """
    for name, given in (("jobs", jobs), ("logs", logs)):
        if isinstance(given, str | bytes | os.PathLike):
            raise TypeError(f"{name} must be a list, not one {type(given).__name__}: give [{os.fspath(given)!r}]")
    entries, torn = AuditBook.read(book, passphrase)
    found = _Replay(entries, labels, jobs)
    for path in logs:
        found.read(path)
    found.all()
    return found.result(torn)


class _Replay:
    """One audit."""

    def __init__(
        self,
        entries: list[Entry],
        labels: Mapping[str, int] | ArrayLike | None,
        jobs: Collection[str] | None,
    ) -> None:
        mine = [entry for entry in entries if jobs is None or entry.job in jobs]
        self.entries = sorted(mine, key=lambda entry: entry.name != ROWS)  # ids first, wherever a book has them
        self.ends = {entry.job: _place(entry) for entry in mine}  # the last page of each job
        self.earlier = [entry for entry in entries if jobs is not None and entry.job not in jobs]
        self.asked = jobs
        self.labels = labels if labels is None or isinstance(labels, Mapping) else as_array(labels, "labels")
        if isinstance(self.labels, np.ndarray) and self.labels.ndim != 1:
            raise ValueError(f"labels must have one axis, a label for each row, not the shape {self.labels.shape}")
        self.logs: dict[str, dict[str, list[Commitment]]] = {}  # by log and job
        self.records: dict[str, tuple[Record, ...]] = {}
        self.states: dict[tuple[str, str], _State] = {}
        self.opened: dict[bytes, int] = {}  # the number in each ciphertext, by its hash
        self.keys: dict[bytes, PublicKey] = {}
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.grown: dict[tuple[str, str, str, int], bytes] = {}  # the gradients whose tree is still to come
        self.trees: list[tuple[tuple[str, str, str, int], bytes]] = []  # and those that trees were grown from
        self.arrays = self.numbers = 0
        self.fits = False  # whether the labels given are those of a task's rows
        self.counted: set[int] = set()
        self.summed: set[bytes] = set()  # the hosts' sums, by their digests
        self.compared: set[str] = set()  # jobs of which an array was
        self.before: dict[bytes, Entry] = {}  # the array of earlier jobs that has a ciphertext

    @property
    def jobs(self) -> list[str]:
        return list(dict.fromkeys([entry.job for entry in self.entries] + list(self.asked or ())))

    def read(self, path: str | os.PathLike[str]) -> None:
        """Read a log: what it keeps of the book's jobs."""
        report = verify(path)
        name = os.fspath(path)
        if not report.ok:
            self.findings.append(
                Finding("", "", "log", 0, None, "", "", "", f"{name} does not verify: {report.reason}")
            )
        self.logs[name] = {job: commitments(report.records, job) for job in self.jobs}
        self.records[name] = tuple(report.records)
        have = {entry.job for entry in self.entries}
        kept = {r.job for r in report.records if r.what == "committed"}
        for job in sorted(kept - have if self.asked is None else (kept - have) & set(self.asked)):
            self._found((job, "", "log", 0), f"{name} keeps arrays of this job, of which the book has nothing")

    def result(self, torn: int) -> AuditResult:
        """Return what was found."""
        if not self.logs:
            self.notes.append("no log was given: nothing shows that the book's numbers are those that were sent")
        if self.labels is None:
            self.notes.append("no labels were given: labels were only checked to be 0 or 1, the same in all gradients")
        if torn:
            self.notes.append(f"the last {torn} bytes of the book were being written when the process died, or are cut")
        where = {each.job for each in self.findings}
        for job in sorted(set(self.asked or ()) - self.compared - where):
            self._found((job, "", "log", 0), "no array of this job was compared: there is nothing to audit")
        if not self.compared and not self.findings:
            self._found(("", "", "log", 0), "no array was compared: there is nothing to audit")
        found = tuple(self.findings)
        return AuditResult(not found, found, self.arrays, self.numbers, len(self.logs), tuple(self.notes), torn)

    def all(self) -> None:
        """Check every page in the order in which they were made, then what the logs have besides."""
        sent: dict[tuple[str, str, str, int], set[bytes]] = {}
        steps: dict[tuple[str, str, str, int], int] = {}
        unfit: _OtherLabels | None = None
        for entry in self.earlier:  # labels that were encrypted once serve later jobs, too
            if entry.key is not None and (entry.task, entry.name) == (BINNING.name, "labels"):
                with contextlib.suppress(*_MALFORMED):  # a finding where its own job is audited
                    leaves = self._open(entry)
                    self.before.update((leaves[at : at + _HASH], entry) for at in range(0, len(leaves), _HASH))
        for entry in self.entries:
            place, leaves = _place(entry), b""
            try:
                if entry.key is not None and entry.task not in _REGRESSIONS:
                    leaves = self._open(entry)
                    self._count(entry, entry.job)
                self._check(entry, self.states.setdefault(place[:2], _State()))
                if place[1:3] in _SENT:
                    key = bytes.fromhex(entry.facts["key"]) if entry.key is None else entry.key.fingerprint
                    digest = array_digest(key, leaves or entry.arrays["leaves"].tobytes())
                    steps[place] = int(entry.facts["step"])
                    sent.setdefault(place, set()).add(digest)
                    self.grown[place] = digest
            except _OtherLabels as error:
                self._found(place, str(error))
                if not any(self._logged(name, *place[:2]) for name in self.records):  # else the book lacks its ids
                    unfit = error
            except _MALFORMED as error:
                self._found(place, f"the page does not hold what it must: {error!r}")
        if unfit is not None and not self.fits:  # where they are those of another task, it is the book that differs
            raise unfit
        for entry in self.entries:
            if (entry.task, entry.name, entry.number) == (LOGISTIC.name, STEP, 0):
                try:
                    self._worth(entry)
                except _MALFORMED as error:
                    self._found(_place(entry), f"the page does not hold what it must: {error!r}")
        have = {(entry.job, entry.task) for entry in self.entries if entry.name == ROWS}
        for job, task in self.states:
            for name in self.records if (job, task) not in have else ():
                if self._logged(name, job, task):
                    self._found(
                        (job, task, ROWS, 0), f"{name} keeps a hash of the ids, and the book has no page of them"
                    )
        for job in dict.fromkeys(entry.job for entry in self.entries):
            models: Models = {}
            for task in _REGRESSIONS:
                self._regression(job, task, models)
        for name, jobs in self.logs.items():
            self._compare(name, jobs, sent, steps)
            for job, keeps in jobs.items():
                bins = [c for c in keeps if (c.task, c.topic) == (BINNING.name, "bins")]
                self._unread((job, BINNING.name), name, bins, self.summed)
        for job, task, array, number in self.grown:
            if array == "gradients":
                self.notes.append(f"{job}/{task}: the book has gradients of tree {number}, and no tree that they gave")

    def _count(self, array: Entry, job: str) -> None:
        """Count an array that is compared in a job, once."""
        if id(array) not in self.counted:
            self.counted.add(id(array))
            self.arrays, self.numbers = self.arrays + 1, self.numbers + len(array.values)
        self.compared.add(job)

    def _open(self, entry: Entry) -> bytes:
        """Encrypt an array again, keep what its ciphertexts hold, and return their hashes."""
        assert entry.key is not None
        leaves = entry.leaves()
        hashes = (leaves[at : at + _HASH] for at in range(0, len(leaves), _HASH))
        for leaf, value in zip(hashes, entry.values, strict=True):
            self.opened[leaf], self.keys[leaf] = value, entry.key
        return leaves

    def _unread(self, of: tuple[str, str], name: str, kept: list[Commitment], have: set[bytes]) -> None:
        """Note that a log keeps answers which the book does not have: a crash can leave one, and so can a guest."""
        if any(have.isdisjoint(c.digests) for c in kept):
            self.notes.append(
                f"{of[0]}/{of[1]}: {name} keeps a message of the host that the book does not have: the guest ended "
                "before it used it, or the page was left out"
            )

    def _compare(
        self,
        name: str,
        jobs: dict[str, list[Commitment]],
        sent: dict[tuple[str, str, str, int], set[bytes]],
        steps: dict[tuple[str, str, str, int], int],
    ) -> None:
        """Compare what a log keeps with what the book says was sent: neither may have more."""
        told: dict[tuple[str, str, int], set[bytes]] = {}
        for job, keeps in jobs.items():
            for kept in keeps:
                if (kept.task, kept.topic) in _TOPICS:  # the array is the last part
                    told.setdefault((job, kept.task, kept.step), set()).update(kept.digests[-1:])
        lost = [
            place
            for place, digest in self.trees  # scores that follow from what was never sent are another history
            if digest not in told.get((*place[:2], 1 + place[3]), set())
        ]
        for place, digests in sent.items():
            kept_there = told.pop((*place[:2], steps[place]), set())
            if not kept_there and place == self.ends[place[0]]:  # nothing follows from it
                self.notes.append(
                    f"{place[0]}/{place[1]}: {name} does not keep the array of the last page: the guest ended before "
                    "it was sent"
                )
                if not any(kept[place[0]] for kept in self.logs.values()):
                    self.compared.discard(place[0])
            elif not kept_there:
                self._found(place, f"{name} keeps no array of this step")
            elif not kept_there <= digests:
                self._found(place, f"{name} keeps another array: what was sent is not what the book says")
        for job, task, step in told:
            self._found((job, task, "sent", step - 1), f"{name} keeps an array that the book does not open")
        for place in lost[:1]:
            self._found(place, f"{name} does not keep the gradients that the tree was grown from")

    def _found(
        self,
        place: tuple[str, str, str, int],
        reason: str,
        *,
        row: int | None = None,
        found: object = "",
        expected: object = "",
    ) -> None:
        ids = self.states.get(place[:2], _State()).ids
        id = ids[row] if row is not None and row < len(ids) else ""
        self.findings.append(Finding(*place, row, id, _said(found), _said(expected), reason))

    def _check(self, entry: Entry, state: _State) -> None:
        """Check a page by what it is; arrays of other tasks are of no concern here."""
        if entry.name == ROWS:
            self._rows(entry, state)
        elif (entry.task, entry.name) == (BINNING.name, "sent"):
            self._labels(entry, state)
        elif (entry.task, entry.name) == (BINNING.name, "bins"):
            self._bins(entry, state)
        elif (entry.task, entry.name, entry.number) == (LOGISTIC.name, STEP, 0):
            self._training(entry, state)
        elif (entry.task, entry.name) == (BOOSTING.name, "labels"):
            self._offer(entry, state)
        elif (entry.task, entry.name) == (BOOSTING.name, "gradients"):
            self._gradients(entry, state)
        elif (entry.task, entry.name) == (BOOSTING.name, "tree"):
            self._tree(entry, state)

    def _logged(self, name: str, job: str, task: str) -> list[bytes]:
        """Return the hashes of a task's ids, in order, that a log keeps."""
        found = [r.hashes.get(task) for r in self.records[name] if (r.what, r.task) == (ROWS, f"{job}/{ROWS}")]
        return [each for each in found if each is not None]

    def _rows(self, entry: Entry, state: _State) -> None:
        """Check the ids of a task's rows: their order is what both parties' logs say."""
        ids = [str(id) for id in entry.facts["ids"]]
        if state.ids not in ([], ids):
            return self._found(_place(entry), "the book names other ids for the same rows, or in another order")
        state.ids = ids
        logged = [name for name in self.records if self._logged(name, entry.job, entry.task)]
        if "key" not in entry.facts and logged:
            what = f"{logged[0]} keeps a hash of the ids in their order, and the page lacks the key to check it"
            return self._found(_place(entry), what)
        if "key" not in entry.facts:
            said = "the order of the ids is the guest's word: the logs keep nothing of it"
            if said not in self.notes:
                self.notes.append(said)
            return None
        due = rows_digest(bytes.fromhex(entry.facts["key"]), state.ids)
        for name in self.records:
            if due not in self._logged(name, entry.job, entry.task):
                return self._found(_place(entry), f"{name} keeps other ids for the rows, or another order")
        return None

    def _true(self, count: int, first: int, rows: int, state: _State) -> list[int | None] | None:
        """Return the labels of rows ``first .. first + count - 1`` of a task's `rows` rows; None for unknown ids."""
        if self.labels is None:
            return None
        if isinstance(self.labels, Mapping):
            if len(state.ids) != rows:
                raise (ValueError if state.ids else _OtherLabels)(
                    f"the book names {len(state.ids)} ids for {rows} rows: give the labels as an array in the order of "
                    "the rows"
                )
            self.fits = True
            return [self.labels.get(id) for id in state.ids[first : first + count]]
        if len(self.labels) != rows:
            raise _OtherLabels(f"labels has {len(self.labels)} labels, the task {rows} rows: give one a row, in order")
        self.fits = True
        true: list[int | None] = self.labels[first : first + count].tolist()
        return true

    def _labels(self, entry: Entry, state: _State) -> None:
        """Check labels that were sent to a binning: a ciphertext each row, of 1 + y 2^w."""
        rows, first = int(entry.facts["rows"]), int(entry.facts["first"])
        w, leaves, due = LabelLayout(rows).w, entry.arrays["leaves"], part_of(rows, entry.number)
        if (first, first + len(leaves), int(entry.facts["step"])) != (due.start, due.stop, 1 + entry.number):
            return self._found(_place(entry), f"the page is of other rows than {due.start} to {due.stop - 1}")
        true = self._true(len(leaves), first, rows, state)
        for k, leaf in enumerate(leaves):
            value = self.opened.get(leaf.tobytes())
            if value is None:
                return self._found(_place(entry), "the book does not open the ciphertext that was sent", row=first + k)
            label, rest = divmod(value - 1, 1 << w)
            if rest:
                what = "the number is not 1 + label * 2^w"
                return self._found(_place(entry), what, row=first + k, found=value, expected=f"1 or {1 + (1 << w)}")
            state.rows, state.sent[first + k], state.key = rows, label, self.keys[leaf.tobytes()]
            if (array := self.before.get(leaf.tobytes())) is not None:
                self._count(array, entry.job)
            if not self._label(entry, first + k, label, None if true is None else (true[k],)):
                return None
        return None

    def _bins(self, entry: Entry, state: _State) -> None:
        """Decrypt a host's sums, which the logs must keep, and weigh its bins."""
        place, arrays, facts = _place(entry), entry.arrays, entry.facts
        data = arrays["sums"].tobytes()
        fingerprint, leaves = leaves_in(data)
        digest, peer = array_digest(fingerprint, leaves), str(facts["peer"])
        self.summed.add(digest)
        kept = {
            name: [c for c in jobs[entry.job] if (c.task, c.topic) == (entry.task, "bins")]
            for name, jobs in self.logs.items()
        }
        if kept and not any(digest in c.digests for found in kept.values() for c in found):
            return self._found(place, "no log keeps the sums that the book says a host sent")
        for name, found in kept.items():  # each log: a guest can write one that has what it likes
            sums = {each for c in found if c.by == peer[:64] for each in c.digests}
            if sums and digest not in sums:
                return self._found(place, f"{name} keeps other sums of the host")
        if state.key is None or fingerprint != state.key.fingerprint:
            return self._found(place, "the sums are under another key than the labels")
        if not state.sent or len(state.sent) != state.rows:
            return None  # their labels were found to be false, or are not in the book
        labels = np.array([state.sent[row] for row in sorted(state.sent)], np.int64)
        terms = facts["terms"] | {"reveal": tuple(facts["terms"]["reveal"])}
        job = GuestJob(labels, Terms(**terms), smoothing=float(facts["smoothing"]), key_size=state.key.bits)
        try:
            opens, seed = arrays["opens"].tobytes(), arrays["seed"].tobytes()
            state.columns[peer] = job.replayed(state.key, seed, peer, facts["shape"], data, opens)
        except (InvalidCiphertext, ValueError) as error:
            return self._found(place, f"the book does not open the host's sums: {error}")
        return None

    def _training(self, entry: Entry, state: _State) -> None:
        """Check the labels that a regression begins with."""
        labels = entry.arrays["labels"].astype(np.int64)
        true = self._true(len(labels), 0, len(labels), state)
        for row, label in enumerate(labels.tolist()):
            if not self._label(entry, row, label, None if true is None else (true[row],), array="labels"):
                break

    def _worth(self, entry: Entry) -> None:
        """Check what the host's bins are worth: after all pages, for a book may have them in any order."""
        if "sizes" not in entry.facts:
            return None
        columns = self.states.get((entry.job, BINNING.name), _State()).columns.get(str(entry.facts["peer"]))
        place = (entry.job, entry.task, "worth", 0)
        if columns is None:
            for name, jobs in self.logs.items():
                if any((c.task, c.topic) == (BINNING.name, "bins") for c in jobs[entry.job]):
                    return self._found(
                        place, f"{name} keeps the sums of the host's bins, and the book does not open them"
                    )
            said = (
                f"{entry.job}: what the host's bins are worth is the guest's word: the book has no binning of this job"
            )
            return self.notes.append(said)
        ends = np.cumsum(entry.facts["sizes"])[:-1]
        counts, values = (np.split(entry.arrays[name], ends) for name in ("counts", "values"))
        if [len(each) for each in counts] != [len(column.rows) for column in columns]:
            return self._found(place, "the bins are not those of the binning")
        for j, (rows, value, column) in enumerate(zip(counts, values, columns, strict=True)):
            if not np.array_equal(rows, column.rows):
                return self._found(place, f"the rows of the bins of the host's column {j} are not those of the binning")
            wrong = np.flatnonzero(~np.isclose(value, column.woe, rtol=1e-9, atol=1e-12))
            if len(wrong) and value.any():  # a column that is left out counts as 0
                at = int(wrong[0])
                what = f"the value of bin {at} of the host's column {j} is not its weight of evidence"
                return self._found(place, what, found=value[at], expected=column.woe[at])
        return None

    def _regression(self, job: str, task: str, models: Models) -> None:
        """Replay the training, or the scoring, of a job, and compare it with the logs."""
        pages = [entry for entry in self.entries if (entry.job, entry.task) == (job, task) and entry.name != ROWS]
        if pages and task == LOGISTIC_SCORES.name and not models:
            said = f"{job}: scores are not replayed: the book does not have the whole training of this job"
            return self.notes.append(said)
        found = Replayed()
        if pages:
            try:
                found = replay(pages, models)
            except _MALFORMED as error:
                return self._found((job, task, STEP, 0), f"a page does not hold what it must: {error!r}")
        for entry in pages:
            if entry.key is not None:
                self._count(entry, job)
        wrong, end = found.wrong, found.last
        if wrong is not None:
            place, end = (job, task, wrong.topic, wrong.step), wrong.step - 1
            self._found(place, wrong.reason, row=wrong.row, found=wrong.found, expected=wrong.expected)
        for name, jobs in self.logs.items():
            self._told(name, (job, task), [c for c in jobs[job] if c.task == task], found, end)
        return None

    def _told(self, name: str, of: tuple[str, str], kept: list[Commitment], found: Replayed, end: int) -> None:
        """Compare a log's messages of a job's task with a replay that was right up to the step `end`."""

        def place(step: int, topic: str) -> tuple[str, str, str, int]:
            return *of, topic, step

        told: dict[tuple[int, str], set[bytes]] = {}
        for c in kept:
            told.setdefault((c.step, c.topic), set()).update(c.digests)
            if found.last < 0 or (c.by == found.me and c.step > found.last):
                return self._found(place(c.step, c.topic), f"{name} keeps a message that the book does not open")
            if c.by == found.me and c.step <= end and not set(c.digests) <= found.sent.get((c.step, c.topic), set()):
                what = f"{name} keeps another message: what was sent is not what the book says"
                return self._found(place(c.step, c.topic), what)
        for (step, topic), digests in found.heard.items():
            if topic != "signed" and step <= end and not digests <= told.get((step, topic), set()):
                return self._found(place(step, topic), f"{name} keeps another message of the host, or none")
        if kept and not any(c.by == found.me for c in kept):
            return self._found(place(0, STEP), f"{name} keeps no message of {found.me!r}, as the book calls the guest")
        for (step, topic), digests in found.kept.items():
            if topic != "signed" and step < end and not digests <= told.get((step, topic), set()):
                return self._found(place(step, topic), f"{name} does not keep the guest's message")
        if found.wrong is None:
            heard: set[bytes] = set().union(*found.heard.values())
            self._unread(of, name, [c for c in kept if c.by != found.me], heard)
        return None

    def _label(
        self, entry: Entry, row: int, label: int, true: tuple[int | None] | None, *, array: str | None = None
    ) -> bool:
        """Check one label; report it if it is false."""
        if label not in (0, 1):
            what, expected = "the label is neither 0 nor 1", "0 or 1" if true is None or true[0] is None else true[0]
        elif true is None or true[0] == label:
            return True
        elif true[0] is None:
            what, expected = "the row's id is not among the labels", ""
        else:
            what, expected = "the label differs from the label file", true[0]
        place = (*_place(entry)[:2], array or entry.name, entry.number)
        self._found(place, what, row=row, found=label, expected=expected)
        return False

    def _offer(self, entry: Entry, state: _State) -> None:
        """Check what a boosting begins with: settings, labels, and the score of all rows."""
        state.settings = Settings.from_fields(entry.facts["settings"])
        state.labels = entry.arrays["labels"].astype(np.int64)
        rows, share = len(state.labels), state.settings.base_score
        true = self._true(rows, 0, rows, state)
        for row, label in enumerate(state.labels.tolist()):
            if not self._label(entry, row, label, None if true is None else (true[row],)):
                break
        due = settings_digest(state.settings.agreed())
        for name, jobs in self.logs.items():
            kept = [c for c in jobs[entry.job] if (c.task, c.topic) == (entry.task, "offer")]
            if not kept:
                self.notes.append(f"{name} keeps no settings of {entry.task}: they are the guest's word")
            elif not any(due in c.digests for c in kept):
                self._found(_place(entry), f"{name} keeps other settings of the training")
        share = float(state.labels.mean()) if share is None else share
        base = float(np.log(share / (1 - share)))
        if not np.isclose(entry.facts["base"], base, rtol=1e-12, atol=0):
            self._found(
                _place(entry), "the first score is not that of the labels", found=entry.facts["base"], expected=base
            )
        state.scores = {0: np.full(rows, float(entry.facts["base"]))}

    def _wanted(self, state: _State, scores: Floats) -> tuple[Floats, Floats, float]:
        """Return g and h of all rows, in units, not yet rounded, and the unit."""
        assert state.settings is not None
        unit = float(1 << state.settings.frac_bits)
        p = probabilities(scores)
        return (p - state.labels) * unit, p * (1.0 - p) * unit, unit

    def _gradients(self, entry: Entry, state: _State) -> None:
        """Check gradients of a tree: one number each sampled row, g 2^w + h."""
        place = _place(entry)
        if state.settings is None or entry.number not in state.scores:
            return self._found(place, "the book does not say what these gradients follow from")
        scores = state.scores[entry.number]
        told = entry.arrays["scores"]
        if told.shape != scores.shape:
            return self._found(place, "the tree has another number of rows")
        wrong = np.flatnonzero(~np.isclose(told, scores, rtol=1e-12, atol=1e-12))
        if len(wrong):
            row, where = int(wrong[0]), (*place[:2], "scores", entry.number)
            what = "the score is not that of the trees before"
            return self._found(where, what, row=row, found=told[row], expected=scores[row])
        layout = GradientLayout(len(scores), state.settings.frac_bits)
        g, h, _ = self._wanted(state, told)
        at = np.flatnonzero(entry.arrays["sampled"])
        if int(entry.facts["step"]) != 1 + entry.number:
            return self._found(place, "the page is of another step than its tree")
        if len(at) != len(entry.values):
            return self._found(place, f"{len(entry.values)} numbers were encrypted for {len(at)} rows")
        due = zip(np.rint(g[at]).astype(np.int64).tolist(), np.rint(h[at]).astype(np.int64).tolist(), strict=True)
        for row, value, (want_g, want_h) in zip(at.tolist(), entry.values, due, strict=True):
            got_g, got_h = layout.opened(value)
            if (got_g, got_h) == (want_g, want_h) or (_near(got_g, g[row]) and _near(got_h, h[row])):
                continue
            what = "the number is not sigmoid(score) - label, with its derivative, at the fixed point"
            return self._found(place, what, row=row, found=_pair(got_g, got_h), expected=_pair(want_g, want_h))
        return None

    def _tree(self, entry: Entry, state: _State) -> None:
        """Check a grown tree: leaves from the gradients, and the rows of leaves from the host's answers."""
        place, number = _place(entry), entry.number
        if state.settings is None or number not in state.scores:
            return self._found(place, "the book does not say what this tree follows from")
        s, scores = state.settings, state.scores[number]
        where, value = entry.arrays["where"].astype(np.int64), entry.arrays["value"]
        sampled, party = entry.arrays["sampled"], entry.arrays["party"]
        if where.shape != scores.shape or len(value) != s.places or len(party) != s.places:
            return self._found(place, "the tree has another number of rows or places")
        if not ((where >= 0) & (where < s.places)).all():
            return self._found(place, "a row is at a place that the tree does not have")
        local = number == 0 and s.first_tree_local
        grown = self.grown.pop((*place[:2], "gradients", number), None)
        if grown is None and not local:
            return self._found(place, "the book has no gradients that this tree was grown from")
        if grown is not None:
            self.trees.append((place, grown))
        g, h, unit = self._wanted(state, scores)
        g, h = np.rint(g), np.rint(h)
        for leaf in np.unique(where).tolist():
            here = sampled & (where == leaf)
            weight = float(h[here].sum()) / unit + s.reg_lambda
            due = -s.learning_rate * (float(g[here].sum()) / unit) / weight if weight > 0 else 0.0
            if not np.isclose(value[leaf], due, rtol=1e-9, atol=1e-12):
                what = f"the value of the leaf at place {leaf} is not that of its rows' gradients"
                return self._found(place, what, found=value[leaf], expected=due)
        state.scores[number + 1] = scores + value[where]
        hosts = False
        due_digests = _partitions(where, party, s.max_depth)
        answers: set[bytes] = set()  # as the hosts' logs have them: a host's has its own only
        for name, jobs in self.logs.items():
            kept = [c for c in jobs[entry.job] if (c.task, c.topic, c.step) == (entry.task, "partition", 1 + number)]
            digests = {digest for c in kept for digest in c.digests}
            of_host = not any(c.sent for c in jobs[entry.job] if (c.task, c.topic) in _TOPICS)
            answers |= digests if of_host else set()
            if not digests <= set(due_digests):
                return self._found(place, f"{name} keeps a host's answer that is not in the tree: which rows go left")
            if not of_host and not set(due_digests) <= digests:
                return self._found(place, f"{name} does not keep the host's answer that the tree follows")
            hosts = hosts or of_host
        level = next((level for digest, level in due_digests.items() if digest not in answers), None)
        if hosts and level is not None:
            self._found(place, f"the rows below level {level} are not where a host put them, by the logs of hosts")
        return None


def _place(entry: Entry) -> tuple[str, str, str, int]:
    return entry.job, entry.task, entry.name, entry.number


def _near(found: int, exact: float) -> bool:
    return abs(found) < 1 << 53 and abs(found - float(exact)) <= _HALF


def _pair(g: int, h: int) -> str:
    return f"g {_said(g)}, h {_said(h)}"


def _said(value: object) -> str:
    if isinstance(value, int | np.integer) and abs(int(value)) >= 1 << 64:
        return f"{'-' if value < 0 else ''}2^{abs(int(value)).bit_length() - 1} or more"
    return f"{value:.12g}" if isinstance(value, float | np.floating) else str(value)


def _partitions(where: Ints, party: NDArray[Any], depth: int) -> dict[bytes, int]:
    """Return the digest, and the level, of each answer in which a host said which rows go left.

    One host's places of a level share an answer, in order.
    """
    path = [where]  # each row's place, then its ancestors
    while path[-1].any():
        path.append(np.where(path[-1] > 0, (path[-1] - 1) // 2, 0))
    depths = np.floor(np.log2(where + 1)).astype(np.int64)
    found: dict[bytes, int] = {}
    for level in range(depth):
        # the row's ancestor at this level and at the one below it; -1 where the row's leaf is above
        at, below = (_ancestor(path, depths, deep) for deep in (level, level + 1))
        for host in np.unique(party[party > 0]).tolist():
            bits: list[Bools] = [
                below[at == place] == 2 * place + 1
                for place in range((1 << level) - 1, (2 << level) - 1)
                if party[place] == host
            ]
            if bits:
                found[hashlib.sha256(np.packbits(np.concatenate(bits)).tobytes()).digest()] = level
    return found


def _ancestor(path: list[Ints], depths: Ints, level: int) -> Ints:
    out = np.full(len(depths), -1, np.int64)
    for up, places in enumerate(path):
        here = depths - up == level
        out[here] = places[here]
    return out
