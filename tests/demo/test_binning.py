"""Public cells, pooled counts, common bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bluetusk.demo import binning, data


def test_cells_of_a_column_keep_to_their_range() -> None:
    x = data.load().x
    cells = binning.cells_of(x)
    for j in range(cells.shape[1] - 1):
        assert cells[:, j].max() < cells[:, j + 1].min()
    assert cells.min() >= 0
    assert cells.max() < binning.CELLS


def test_cells_are_monotone_and_total() -> None:
    wild = np.array([-(2**62), -1, 0, 1, 10**5, 2**62])
    cells = binning.cells_of(np.repeat(wild[:, None], 23, axis=1))
    assert (np.diff(cells, axis=0) >= 0).all()
    assert len(np.unique(cells[0])) == 23


def test_histograms_of_banks_add_up_to_the_pooled_one() -> None:
    customers = data.load(rows=3000)
    bank = data.deal(customers, banks=4, seed=0).bank
    cells = binning.cells_of(customers.x)
    parts = [binning.histogram(cells[bank == b], customers.y[bank == b]) for b in range(4)]
    assert np.array_equal(sum(parts), binning.histogram(cells, customers.y))


def test_bins_of_the_credit_data() -> None:
    customers = data.load()
    counts = binning.histogram(binning.cells_of(customers.x), customers.y)
    bins = binning.choose_bins(counts)
    per_column = np.bincount(bins.column_of)
    by_name = dict(zip(data.FEATURES, per_column.tolist(), strict=True))
    assert by_name["SEX"] == 2
    assert by_name["MARRIAGE"] == 3  # the 54 undocumented together with the 323 others
    assert by_name["LIMIT_BAL"] == by_name["AGE"] == by_name["BILL_AMT1"] == 8
    pooled = bins.pooled(counts)
    assert np.array_equal(pooled, np.bincount(bins.codes(customers.x).ravel()))
    assert pooled.min() >= 150  # no bin that tells of a handful of people
    assert np.array_equal(binning.Bins.from_bytes(bins.to_bytes()).bin_of, bins.bin_of)


@given(arrays(np.int64, binning.CELLS + 1, elements=st.integers(0, 3000)))
def test_any_counts_give_a_numbering_that_survives_the_wire(counts: np.ndarray) -> None:
    bins = binning.choose_bins(counts)
    assert np.array_equal(binning.Bins.from_bytes(bins.to_bytes()).bin_of, bins.bin_of)
    assert len(bins.column_of) == bins.size
    assert np.bincount(bins.column_of, minlength=23).min() >= 1
    assert set(bins.bin_of.tolist()) == set(range(bins.size))


def test_damaged_bins_are_refused() -> None:
    good = binning.choose_bins(np.ones(binning.CELLS + 1, dtype=np.int64)).to_bytes()
    gap = np.frombuffer(good, "<u2").copy()
    gap[gap > 3] += 1
    for bad in (good[:-2], good + b"\0\0", b"\xff" * len(good), bytes(len(good)), good[::-1], gap.tobytes()):
        with pytest.raises(ValueError, match="bins"):
            binning.Bins.from_bytes(bad)
