"""A guest that reads the edges of the host's bins out of a hash in the host's log, which a tutorial has them exchange.

The guest knows the rows of each bin and guesses what the column holds: codes from -2 to 8. It makes the table that a
host with each possible choice of edges would hash, and compares. A plain hash confirms the right guess. A hash under a
key of the host confirms none, whatever the guest knows: the pair, the job, the key of the split, its own key.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json

import numpy as np
import pytest

from bluetusk.vertical.binning.bins import cut
from bluetusk.vertical.party import pipeline
from bluetusk.vertical.party.splits import SplitKey, Splits

PAIR, PURPOSE, COLUMNS = b"bank network", "bins of job-7", 12
GRID = [float(value) for value in range(-1, 9)]
OF_THE_GUEST, OF_THE_PAIR = bytes(range(32)), bytes(32)


def table_of(labels, rows):
    """The table of a half, as its owner hashes it."""
    names = ("party", "column", "bin", "rows", "events", "woe", "iv")
    return [
        dict(zip(names, ("host", "PAY_0", label, int(n), None, None, None), strict=True))
        for label, n in zip(labels, rows, strict=True)
    ]


def hosts(seed):
    """Return a host's bins of a column of codes, and the hash in its log."""
    rng = np.random.default_rng(seed)
    values = rng.choice(np.arange(-2.0, 9.0), 400, p=rng.dirichlet(np.ones(11)))
    bins = cut("PAY_0", values, max_bins=5, min_rows=40)
    key = Splits("unused", rng.bytes(32), pair=PAIR).hash_key(PURPOSE)
    return bins, pipeline._digest(key, table_of(bins.labels(), bins.rows))


def guessed(rows, due):
    """Return the edges that give the hash, from the rows of the bins; None if none do."""
    own = Splits(pair=PAIR)
    own._key = OF_THE_GUEST
    keys = [b"", OF_THE_GUEST, OF_THE_PAIR, PAIR, own.hash_key(PURPOSE), SplitKey(OF_THE_PAIR).derived(PURPOSE)]
    for edges in itertools.combinations(GRID, len(rows) - 1):
        ends = ["-inf", *(f"{edge:.6g}" for edge in edges), "inf"]
        labels = [f"[{a}, {b})".replace("[-inf", "(-inf") for a, b in itertools.pairwise(ends)]
        data = json.dumps(table_of(labels, rows), sort_keys=True, default=float).encode()
        if due in [hashlib.sha256(data).digest(), *(hmac.digest(key, data, "sha256") for key in keys)]:
            return list(edges)
    return None


def found(monkeypatch):
    """Return the share of columns whose edges the guest finds, and the share of those that it could have found."""
    monkeypatch.setattr(Splits, "_vault", lambda self: pytest.MonkeyPatch.context())  # no directory
    right = 0
    for seed in range(COLUMNS):
        bins, due = hosts(seed)
        edges = guessed(bins.rows.tolist(), due)
        assert edges in (None, bins.edges.tolist())
        right += edges is not None
    return right / COLUMNS


def plain(monkeypatch):
    """The planted weakness: a hash without a key, as it once was."""
    monkeypatch.setattr(
        pipeline,
        "_digest",
        lambda key, value: hashlib.sha256(json.dumps(value, sort_keys=True, default=float).encode()).digest(),
    )


def shares():
    """Return the share of columns that is read, here and on the planted weakness."""
    with pytest.MonkeyPatch.context() as patch:
        here = found(patch)
        plain(patch)
        return here, found(patch)


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    here, planted = shares()
    return [("columns whose edges a hash in the log confirms", "guest", here, 0.0, 0.0, planted)]


def test_a_hash_in_a_log_confirms_no_guess_of_bins():
    here, planted = shares()
    assert planted == 1.0
    assert here == 0.0
