"""A guest that states a thousand epochs: what does a host of binned columns hold to bound each batch's curvature?

A message of a few bytes made the host keep the rows of all batches of all epochs, 8 GB for a million rows.
"""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from bluetusk.vertical.logistic import job as _job
from bluetusk.vertical.logistic.config import Config, HostBins

ROWS, EPOCHS = 20_000, 100
ALL = 8 * ROWS * EPOCHS  # bytes of the rows of all batches


def peak():
    codes = np.random.default_rng(0).integers(0, 3, size=(ROWS, 1))
    host = _job.LogisticJob("host", codes, ["a"], 2048, bins=HostBins([np.bincount(codes[:, 0])]))
    told = {"learning_rate": None, "l2": 0.0, "sigmoid": "linear", "weighted": False, "intercept": True, "tol": 0.0}
    more = {"held_back": 0, "binned": True, "reveal": ()}
    host.config, host.seed = Config(epochs=EPOCHS, batch_size=ROWS // 2, **told, **more), bytes(32)
    host._check_batches(SimpleNamespace(peer="guest"))  # as many steps as a host of bins takes
    tracemalloc.start()
    try:
        host._prepare()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    kept = _job.curvature
    with pytest.MonkeyPatch.context() as patch:
        held = peak() / 1e6
        patch.setattr(_job, "curvature", lambda codes, counts, batches, over: kept(codes, counts, [*batches], over))
        name = f"MB that a host of bins holds for {EPOCHS} epochs of {ROWS} rows; chance: a batch and its sums"
        return [(name, "guest", held, ALL / 4e6, 0, peak() / 1e6)]


def test_the_host_holds_the_rows_of_a_batch_and_not_of_all():
    assert peak() < ALL / 4


def test_holding_all_batches_takes_the_memory_of_all_epochs(monkeypatch):
    kept = _job.curvature
    monkeypatch.setattr(_job, "curvature", lambda codes, counts, batches, over: kept(codes, counts, [*batches], over))
    assert peak() > ALL
