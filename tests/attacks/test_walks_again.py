"""A guest that has the same rows walk down the trees again learns the sides of more of the host's splits.

A row shows its side at the splits that it reaches. Which it reaches a guest may choose, level by level: by a second
walk it would see the other branches. A host would have to forget what its model has scored: because it crashed after
the answers had left, because it reads an older copy of its half or of the state of a scoring, because the same customer
comes under another spelling, or in a step that is taken again, where the guest asks for something else.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import GradientBoosting, local_links
from bluetusk.vertical.book import Book, marks_of
from bluetusk.vertical.boosting import score

from ..vertical.conftest import Both, Steps

ROWS = 120
IDS = [f"M{k}" for k in range(ROWS)]
SMALL = {"n_estimators": 3, "max_depth": 3, "min_samples_leaf": 4, "min_bucket_rows": 4, "max_bins": 8}
SMALL |= {"min_events": 0, "min_others": 0, "min_child_weight": 1e-3, "first_tree_local": False, "key_size": 2048}


class Case:
    """Files of both halves, the rows of both, and how many sides the guest has seen, by row and split."""

    def __init__(self, folder):
        rng = np.random.default_rng(5)
        self.folder, self.x = folder, rng.normal(size=(ROWS, 4)).round(2)
        y = (self.x.sum(axis=1) + rng.normal(size=ROWS) > 0).astype(int)
        guest, host = (GradientBoosting(role, **SMALL) for role in ("guest", "host"))
        here, there = local_links(seconds=30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bt.DataWarning)
            Both()(lambda: guest.fit(self.x[:, :2], y, link=here), lambda: host.fit(self.x[:, 2:], link=there))
        guest.save(folder / "guest")
        host.save(folder / "host")
        assert host.split_counts_.sum() >= 6
        self.seen = set()

    def host(self, path=None):
        (book,) = self.folder.glob("host.*.scored")
        return GradientBoosting.load(path or self.folder / "host", book=book)

    def asked(self, host, ids=IDS, keepers=(None, None), *, elsewhere=False, rows=ROWS, run="j"):
        """Score the rows; None if the host refuses. A guest may send its rows elsewhere at its splits."""
        guest = GradientBoosting.load(self.folder / "guest")
        if elsewhere:
            guest._half.threshold[:] = np.where(guest._half.party == 0, -99.0, guest._half.threshold)
        here, there = local_links(seconds=30)
        there.run = here.run = run

        def theirs():
            with contextlib.suppress(bt.BluetuskError):
                host.decision_function(self.x[:rows, 2:], link=there, ids=ids[:rows], keeper=keepers[1])

        def ours():
            try:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(score.GuestWalk, "_hear", self.hearing(score.GuestWalk._hear))
                    return guest.decision_function(self.x[:rows, :2], link=here, keeper=keepers[0])
            except bt.BluetuskError:
                return None

        return Both()(ours, theirs)[0]

    def hearing(self, inner):
        def hear(walk, link, where, table, places):
            reached = [(row, *at) for at in places for row in np.flatnonzero(where[at[0]] == at[1]).tolist()]
            inner(walk, link, where, table, places)
            self.seen |= set(reached)

        return hear


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("trees"))


@pytest.fixture
def case(trained, tmp_path):
    for path in trained.folder.iterdir():
        shutil.copy(path, tmp_path / path.name)
    made = Case.__new__(Case)
    made.folder, made.x, made.seen = tmp_path, trained.x, set()
    return made


def crashing(case):
    """Each time the host ends when its answers have left, and starts again with its file, under a new job."""
    for k in itertools.count():
        yield case.asked(case.host(), elsewhere=k > 0, run=f"j{k}")


def going_back(case):
    """The host saves its half after each time, and then reads a copy of the file from before, under another name."""
    shutil.copy(case.folder / "host", case.folder / "copy")
    for k in itertools.count():
        host = case.host(case.folder / "copy")
        yield case.asked(host, elsewhere=k > 0)
        host.save(case.folder / "host")


def renaming(case):
    """The same customers, their ids as numbers and as digits."""
    host = case.host()
    for k, ids in enumerate(itertools.cycle((list(range(ROWS)), [str(k) for k in range(ROWS)], np.arange(ROWS)))):
        yield case.asked(host, ids, elsewhere=k > 0)


def taking_again(case):
    """The same job with the state directories as they were before it."""
    host = case.host()
    for k in itertools.count():
        yield case.asked(host, keepers=(Steps({}, 0), Steps({}, 0)), elsewhere=k > 0)


def asking_otherwise(case):
    """The step of the walk is taken again, from kept states; the guest's says nothing of where its rows go."""
    host, keepers = case.host(), (Steps(), Steps())
    yield case.asked(host, keepers=keepers)
    inputs = keepers[0].states[2][:32]
    while True:
        changed = GradientBoosting.load(case.folder / "guest")
        changed._half.threshold[:] = np.where(changed._half.party == 0, -99.0, changed._half.threshold)
        assert keepers[0].states[2][:32] == inputs
        yield case.asked(host, keepers=tuple(Steps(dict(each.states), 2) for each in keepers), elsewhere=True)


WAYS = {
    "crash": crashing,
    "copied half": going_back,
    "other spelling": renaming,
    "old state": taking_again,
    "other questions": asking_otherwise,
}


def forgets(patch):
    """Plant the weakness: the book notes nothing."""
    patch.setattr(Book, "keep", lambda self, path, create: None)
    number = itertools.count()
    patch.setattr(Book, "_tag", lambda self, mark: next(number).to_bytes(16, "big"))


def seen_in(case, way, times=2):
    """Return how many sides the guest knew after the first time and after all, and how often it was answered."""
    first, answers = None, 0
    for scores in itertools.islice(WAYS[way](case), times):
        first = len(case.seen) if first is None else first
        answers += scores is not None
    return first, len(case.seen), answers


@pytest.mark.parametrize("way", list(WAYS))
def test_a_row_shows_one_path(case, way):
    first, last, answers = seen_in(case, way)
    assert first > ROWS
    assert (last, answers) == (first, 1)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_host_that_forgets_shows_other_paths(case, monkeypatch, way):
    forgets(monkeypatch)
    first, last, answers = seen_in(case, way)
    assert answers == 2
    assert last > 1.1 * first


def test_the_same_step_taken_again_gives_the_same_scores(case):
    keepers = Steps(), Steps()
    host = case.host()
    first = case.asked(host, keepers=keepers)
    for at in (3, 2):
        again = case.asked(case.host(), keepers=tuple(Steps(dict(each.states), at) for each in keepers))
        assert again.tolist() == first.tolist()


def test_the_refusal_names_the_job_and_counts_the_rows(case):
    assert case.asked(case.host(), rows=40, run="scores-1") is not None
    with pytest.raises(bt.PolicyRefused, match=r"40 of 120 ids have been scored .*\(in 'scores-1'\).*start it again"):
        case.host().book_.refuse(marks_of(case.host()._half.digests[0].tobytes(), IDS))


def test_a_host_must_name_its_rows(case):
    link = local_links(seconds=5)[1]
    for method in ("decision_function", "predict_proba", "predict"):
        with pytest.raises(ValueError, match="ids is missing"):
            getattr(case.host(), method)(case.x[:, 2:], link=link)


def test_a_lost_or_older_book_is_refused(case):
    (book,) = case.folder.glob("host.*.scored")
    before, half = book.read_bytes(), (case.folder / "host").read_bytes()
    host, keepers = case.host(), (Steps(), Steps())
    case.asked(host, keepers=keepers)
    host.save(case.folder / "host")
    later = (case.folder / "host").read_bytes()
    book.write_bytes(before)
    with pytest.raises(bt.FrameError, match=r"older than the half, which knows 122 rows more"):  # and two levels
        case.host()
    (case.folder / "host").write_bytes(half)  # both are older: the kept steps of the job know it
    there = local_links(seconds=5)[1]
    with pytest.raises(bt.FrameError, match="lacks 120 rows that this job has scored"):
        case.host().decision_function(case.x[:, 2:], link=there, ids=IDS, keeper=Steps(keepers[1].states, 3))
    (case.folder / "host").write_bytes(later)
    book.unlink()
    with pytest.raises(bt.FrameError, match="is missing"):
        GradientBoosting.load(case.folder / "host")


def test_two_trainings_with_the_same_trees_have_two_books(case, tmp_path):
    """Else the second of two equal trainings could not score its rows held back."""
    (tmp_path / "again").mkdir()
    other = Case(tmp_path / "again")
    first, second = case.host(), other.host()
    assert first._half.digests.tolist() == second._half.digests.tolist()
    assert first.book_.path.rpartition("host.")[2] != second.book_.path.rpartition("host.")[2]
    assert case.asked(first).tolist() == other.asked(second).tolist()


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        (folder := Path(home, "trees")).mkdir()
        case = Case(folder)
        first, last, _ = seen_in(case, "crash")
        right = last / first - 1
        forgets(patch)
        case.seen = set()
        first, last, _ = seen_in(case, "crash")
    return [
        ("sides at the host's splits from a second walk, in parts of the first", "guest", right, 0, 0, last / first - 1)
    ]
