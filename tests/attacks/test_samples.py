"""A guest of a boosting whose samples leave out one row each, and that compares the sums of two trees.

Each sum of a tree is over `min_bucket_rows` rows or more. But two trees whose samples differ in one row have sums that
differ by this row's gradients, on one side of the cut: they tell its bucket. Nobody needs to lie for that: it is enough
that the parties agree on a `subsample` just below 1. The guest, which knows all scores, takes no split, so that each
tree shows the root's sums, and divides each sum of Hessians by the Hessian of a row. It counts the rows left of each
cut. Where one is missing, the row that was left out lies to the left.

It also sets its own `min_bucket_rows` to 1, so that its own side has nothing to refuse.
"""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from scipy.stats import binom

import bluetusk as bt
from bluetusk.vertical.boosting import guest as _guest
from bluetusk.vertical.boosting.buckets import Buckets
from bluetusk.vertical.boosting.model import Settings

ROWS, TREES, BLOCKS, LEAST = 200, 12, 6, 25
COMMON = {"n_estimators": TREES, "max_depth": 1, "max_bins": BLOCKS, "key_size": 2048, "first_tree_local": False}
COMMON |= {"subsample": 1 - 1 / ROWS, "min_samples_leaf": LEAST}
NEVER = 1e-6  # how often guessing names more
RNG = np.random.default_rng(3)
COLUMN, MINE = RNG.normal(size=(2, ROWS, 1))
LABELS = (COLUMN[:, 0] + RNG.normal(size=ROWS) > 0).astype(int)


def trees(priv, host_rows=LEAST):
    """Train; return the guest's view of each tree, the row left out and the rows left of each cut, and all errors."""
    seen, errors = [], []

    class Watching(_guest.GuestJob):
        def _candidates(self, link, shape, sizes):
            found = super()._candidates(link, shape, sizes)
            share = float(self.labels.mean())  # the score of each row: no split was taken
            counts = np.rint(found[0][1] * 2.0**-self.settings.frac_bits / (share * (1 - share))).astype(int)
            seen.append((self.left_out, np.sort(counts)))
            return found

        def _start(self, number):
            tree = super()._start(number)
            self.left_out = np.flatnonzero(~tree.sampled).tolist()
            return tree

    def side(role, link, x, y, **more):
        try:
            bt.vertical.GradientBoosting(role, **COMMON, **more).fit(x, y, link=link)
        except Exception as error:
            errors.append((role, error))

    links = bt.vertical.local_links(seconds=30)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        patch.setattr("bluetusk.vertical.boosting.estimator.GuestJob", Watching)
        patch.setattr(_guest, "ephemeral_key", lambda bits: priv)
        more = {"min_bucket_rows": host_rows}
        host = threading.Thread(target=side, args=("host", links[1], COLUMN, None), kwargs=more, daemon=True)
        host.start()
        side("guest", links[0], MINE, LABELS, min_bucket_rows=1, min_gain=1e12, random_state=1)
        host.join(60)
        assert not host.is_alive()
    return seen, errors


def named(seen):
    """Return the row and the block that the attacker names, of each tree; blocks are counted from the left."""
    cuts = max(len(counts) for _, counts in seen)
    full = [(rows[0], counts) for rows, counts in seen if len(counts) == cuts]
    whole = np.max([counts for _, counts in full], axis=0)
    return [(row, int((counts == whole).sum())) for row, counts in full]


def attacked(priv, *, planted):
    """Return how many of the rows' blocks are named rightly, of how many, and the errors that the parties raised."""
    with pytest.MonkeyPatch.context() as patch:
        if planted:  # whatever a sample leaves out is taken
            patch.setattr(Settings, "sample_of", lambda self, rows: max(1, int(self.subsample * rows)))
        seen, errors = trees(priv)
    block = Buckets.of(COLUMN, BLOCKS).codes(COLUMN)[:, 0]
    said = named(seen) if seen else []
    return sum(block[row] == at for row, at in said), len(said), errors


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    from bluetusk.paillier import generate_keypair

    _, priv = generate_keypair(2048)
    right, tries, _ = attacked(priv, planted=True)
    refused = attacked(priv, planted=False)[0]
    attack = f"which of {BLOCKS} buckets holds the row that a sample leaves out; refused"
    return [(attack, "guest", float(refused / tries), 1 / BLOCKS, 0.0, float(right / tries))]


def test_samples_that_differ_in_a_row_name_its_bucket(priv):
    right, tries, errors = attacked(priv, planted=True)
    assert not errors
    assert tries == TREES
    assert right > binom.isf(NEVER, tries, 1 / BLOCKS)


def test_the_host_refuses_them_before_any_message(priv):
    right, tries, errors = attacked(priv, planted=False)
    assert (right, tries) == (0, 0)
    said = dict(errors)
    assert isinstance(said["host"], ValueError)
    for part in ("subsample is 0.995", "leave out 1,", f"min_bucket_rows={LEAST}", f"at most 1 - {LEAST}/{ROWS}"):
        assert part in str(said["host"])
    assert isinstance(said["guest"], bt.ProtocolAbort)


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.parametrize(("rows", "remedy"), [(60, "at most 1 - 50/60, or 1, at all"), (40, "to 1 at all")])
def test_each_party_refuses_its_own_setting(role, rows, remedy):
    link, _ = bt.vertical.local_links()
    model = bt.vertical.GradientBoosting(role, subsample=0.5)
    with pytest.raises(ValueError, match=remedy):
        model.fit(MINE[:rows], LABELS[:rows] if role == "guest" else None, link=link)
    assert link.bytes_sent < 200  # no more than that it ends


def test_what_may_be_left_out():
    made = bt.vertical.GradientBoosting("host", subsample=1 - LEAST / ROWS, min_bucket_rows=LEAST)
    assert made._settings().sample_of(ROWS) == ROWS - LEAST
    for rows in range(LEAST + 1, 500):
        model = bt.vertical.GradientBoosting("host", subsample=1 - LEAST / rows, min_bucket_rows=LEAST)
        assert rows - model._settings().sample_of(rows) >= LEAST  # the remedy that an error names
    assert bt.vertical.GradientBoosting("host")._settings().sample_of(1) == 1
