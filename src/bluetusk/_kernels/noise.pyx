"""Binding of csrc/bt_noise: exact samples from a table, as far as their words decide them. Checks sizes, releases the GIL."""

import numpy as np

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "bt_noise.h" nogil:
    enum:
        BT_NOISE_GUIDE_BITS
        BT_NOISE_MAX_COUNT
        BT_NOISE_MAX_SHIFT
    ctypedef struct bt_noise:
        const uint64_t *threshold
        const uint16_t *guide
        size_t count
        unsigned shift
        uint64_t slope
    unsigned bt_noise_words(const bt_noise *table)
    size_t bt_noise_draw(int64_t *out, uint32_t *open, const uint64_t *words, size_t n, const bt_noise *table)

GUIDE_BITS = BT_NOISE_GUIDE_BITS
MAX_COUNT = BT_NOISE_MAX_COUNT
MAX_SHIFT = BT_NOISE_MAX_SHIFT


cdef class Table:
    """The table in which a law's samples are looked up; see bt_noise.h. Checks that the kernel stays within its arrays."""

    cdef const uint64_t[::1] _threshold
    cdef const uint16_t[::1] _guide
    cdef bt_noise _table
    cdef readonly Py_ssize_t words

    def __cinit__(self, const uint64_t[::1] threshold not None, const uint16_t[::1] guide not None, unsigned shift,
                  uint64_t slope):
        threshold, guide = np.array(threshold), np.array(guide)  # what is checked here must not change afterwards
        cdef Py_ssize_t count = threshold.shape[0], j
        if not 1 <= count <= BT_NOISE_MAX_COUNT or threshold[count - 1] != (<uint64_t>1 << 63) - 1:
            raise ValueError(f"threshold must have 1 to {BT_NOISE_MAX_COUNT} values, the last of them 2^63 - 1")
        for j in range(1, count):
            if threshold[j] < threshold[j - 1]:
                raise ValueError("threshold must not decrease")
        if guide.shape[0] != <Py_ssize_t>1 << BT_NOISE_GUIDE_BITS:
            raise ValueError(f"guide must have 2^{BT_NOISE_GUIDE_BITS} values")
        for j in range(guide.shape[0]):
            if guide[j] >= count:
                raise ValueError("guide must hold indices of threshold")
        if shift > BT_NOISE_MAX_SHIFT or slope > (<uint64_t>-1) // <uint64_t>(2 * count - 1):
            raise ValueError(f"shift must be 0 to {BT_NOISE_MAX_SHIFT} and (2 count - 1) slope below 2^64")
        self._threshold, self._guide = threshold, guide
        self._table.threshold, self._table.guide = &threshold[0], &guide[0]
        self._table.count, self._table.shift, self._table.slope = count, shift, slope
        self.words = bt_noise_words(&self._table)


def draw(Table table not None, const uint64_t[::1] words not None, int64_t[::1] out not None,
         uint32_t[::1] open not None):
    """Write the samples that the words decide; return how many indices of others were written to `open`."""
    cdef Py_ssize_t n = out.shape[0]
    if words.shape[0] != n * table.words or open.shape[0] < n or n >> 32:
        raise ValueError(f"words must have {table.words} values for each value of out, and open as many values as out")
    if n == 0:
        return 0
    cdef size_t undecided
    with nogil:
        undecided = bt_noise_draw(&out[0], &open[0], &words[0], n, &table._table)
    return undecided
