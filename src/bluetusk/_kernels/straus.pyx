# cython: language_level=3
"""Binding of csrc/bt_straus.h: the steps of a product of powers with many rows of exponents of either sign."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from bluetusk._kernels.limb cimport bt_limb, bt_word
from bluetusk._kernels.modexp cimport Montgomery, bt_mont, bt_mont_offset, new_words


cdef extern from "bt_straus.h" nogil:
    size_t BT_STRAUS_MIN_WINDOW
    size_t BT_STRAUS_MAX_WINDOW
    size_t bt_straus_entries(size_t window)
    size_t bt_straus_cells(size_t ebits)
    size_t bt_straus_table_scratch(const bt_mont *ctx, size_t count)
    void bt_straus_table(const bt_mont *ctx, bt_word *table, size_t cols, size_t first, const bt_word *base,
                         const int64_t *idx, size_t count, size_t window, bt_word *scratch)
    size_t bt_straus_collect_scratch(const bt_mont *ctx)
    void bt_straus_collect(const bt_mont *ctx, bt_word *cells, uint8_t *used, const bt_word *table, size_t cols,
                           const bt_limb *e, size_t el, const uint8_t *negative, size_t m, size_t ebits, size_t rows,
                           size_t window, bt_word *scratch)
    size_t bt_straus_join_scratch(const bt_mont *ctx)
    void bt_straus_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t ebits,
                        size_t rows, int sign, bt_word *scratch)


cdef int check_sizes(Py_ssize_t ebits, Py_ssize_t window) except -1:
    if not <Py_ssize_t>BT_STRAUS_MIN_WINDOW <= window <= <Py_ssize_t>BT_STRAUS_MAX_WINDOW:
        raise ValueError(f"window = {window} must lie between {BT_STRAUS_MIN_WINDOW} and {BT_STRAUS_MAX_WINDOW}")
    if not 0 <= ebits <= 1 << 32:
        raise ValueError(f"ebits = {ebits} must lie between 0 and 2^32")
    return 0


cdef int check_cells(Montgomery mont, Py_ssize_t words, Py_ssize_t used, Py_ssize_t ebits, Py_ssize_t lo,
                     Py_ssize_t hi) except -1:
    cdef Py_ssize_t each = bt_straus_cells(ebits)
    if not 0 <= lo <= hi or hi > used // each or mont.words(hi * each) > words:
        raise ValueError(f"rows [{lo}, {hi}) are outside cells of {words} words and {used} marks")
    return 0


cdef int check_table(Montgomery mont, Py_ssize_t words, Py_ssize_t cols, Py_ssize_t window) except -1:
    if mont.words(cols) > words // <Py_ssize_t>bt_straus_entries(window):
        raise ValueError(f"table has {words} words, too few for {cols} columns")
    return 0


def entries(Py_ssize_t window):
    """Return the powers of one column."""
    check_sizes(0, window)
    return bt_straus_entries(window)


def cells_of_row(Py_ssize_t ebits):
    """Return the cells of one row of exponents of `ebits` bits."""
    check_sizes(ebits, BT_STRAUS_MIN_WINDOW)
    return bt_straus_cells(ebits)


def table(Montgomery mont not None, uint64_t[::1] out not None, Py_ssize_t cols, const uint64_t[::1] src not None,
          const int64_t[::1] idx not None, Py_ssize_t window, Py_ssize_t lo, Py_ssize_t hi):
    """Fill columns ``lo .. hi - 1`` of a table of `cols` with the odd powers of ``src[idx]``."""
    check_sizes(0, window)
    check_table(mont, out.shape[0], cols, window)
    mont.check_range(lo, hi, mont.words(cols))
    idx = mont.own_index(idx, lo, hi, src.shape[0], "idx")
    if lo == hi:
        return
    cdef const int64_t *pick = &idx[0]
    cdef bt_word *scratch = new_words(bt_straus_table_scratch(&mont.mont, hi - lo))
    with nogil:
        bt_straus_table(&mont.mont, &out[0], cols, lo, &src[0], pick, hi - lo, window, scratch)
        free(scratch)


def collect(Montgomery mont not None, uint64_t[::1] cells not None, uint8_t[::1] used not None,
            const uint64_t[::1] powers not None, Py_ssize_t cols, const uint64_t[:, :, ::1] exps not None,
            const uint8_t[:, ::1] negative not None, Py_ssize_t ebits, Py_ssize_t window, Py_ssize_t first):
    """Multiply the powers that rows of signed exponents need into the cells of rows ``first, first + 1, ...``.

    Cells start as ones, marks as zeros; ``exps`` are magnitudes of shape (rows, m, limbs), m <= cols. Calls on the same rows
    must not run at the same time.
    """
    cdef Py_ssize_t rows = exps.shape[0], m = exps.shape[1]
    check_sizes(ebits, window)
    mont.check_exponents(exps.shape[2], ebits)
    check_cells(mont, cells.shape[0], used.shape[0], ebits, first, first + rows)
    check_table(mont, powers.shape[0], cols, window)
    if m > cols or rows != negative.shape[0] or m != negative.shape[1]:
        raise ValueError(f"{rows} x {m} exponents, {negative.shape[0]} x {negative.shape[1]} signs and {cols} columns do not "
                         "match")
    if rows == 0 or m == 0 or ebits == 0:
        return
    cdef size_t each = bt_straus_cells(ebits), el = exps.shape[2]
    cdef bt_word *scratch = new_words(bt_straus_collect_scratch(&mont.mont))
    with nogil:
        bt_straus_collect(&mont.mont, &cells[0] + bt_mont_offset(&mont.mont, first * each), &used[first * each], &powers[0],
                          cols, &exps[0, 0, 0], el, &negative[0, 0], m, ebits, rows, window, scratch)
        free(scratch)


def join(Montgomery mont not None, uint64_t[::1] dst not None, const uint64_t[::1] cells not None,
         const uint8_t[::1] used not None, Py_ssize_t ebits, bint negative, Py_ssize_t lo, Py_ssize_t hi):
    """``dst[r]`` = the product of the powers collected in row r with one of the two signs, ``lo <= r < hi``."""
    check_sizes(ebits, BT_STRAUS_MIN_WINDOW)
    check_cells(mont, cells.shape[0], used.shape[0], ebits, lo, hi)
    mont.check_range(lo, hi, dst.shape[0])
    if lo == hi:
        return
    cdef size_t each = bt_straus_cells(ebits)
    cdef bt_word *scratch = new_words(bt_straus_join_scratch(&mont.mont))
    with nogil:
        bt_straus_join(&mont.mont, &dst[0] + bt_mont_offset(&mont.mont, lo), &cells[0] + bt_mont_offset(&mont.mont, lo * each),
                       &used[lo * each], ebits, hi - lo, negative, scratch)
        free(scratch)
