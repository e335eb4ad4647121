"""Binding of csrc/bt_ring: words of Z_2^32 and Z_2^64, uint32 or uint64 throughout a call. Checks sizes, releases the GIL."""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free

from bluetusk._kernels.limb cimport BT_OK, bt_status

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "bt_ring.h" nogil:
    enum:
        BT_RING_ALIGN
    size_t BT_RING_SCRATCH
    ctypedef struct bt_ring_ops:
        const char *name
        void (*matmul32)(uint32_t *c, const uint32_t *a, const uint32_t *b, size_t m, size_t k, size_t n, void *scratch) noexcept nogil
        void (*matmul64)(uint64_t *c, const uint64_t *a, const uint64_t *b, size_t m, size_t k, size_t n, void *scratch) noexcept nogil
    const bt_ring_ops *bt_ring_pick(int portable)
    size_t bt_ring_packed_bytes(size_t n, unsigned l)
    void bt_ring_share32(uint32_t *rows, size_t stride, const uint32_t *x, size_t parties, size_t n)
    void bt_ring_share64(uint64_t *rows, size_t stride, const uint64_t *x, size_t parties, size_t n)
    void bt_ring_sum32(uint32_t *out, const uint32_t *rows, size_t stride, size_t parties, size_t n)
    void bt_ring_sum64(uint64_t *out, const uint64_t *rows, size_t stride, size_t parties, size_t n)
    void bt_ring_add32(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t n)
    void bt_ring_add64(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n)
    void bt_ring_sub32(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t n)
    void bt_ring_sub64(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n)
    void bt_ring_mul32(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t n)
    void bt_ring_mul64(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n)
    void bt_ring_scale32(uint32_t *out, const uint32_t *a, uint32_t k, size_t n)
    void bt_ring_scale64(uint64_t *out, const uint64_t *a, uint64_t k, size_t n)
    uint32_t bt_ring_dot32(const uint32_t *a, const uint32_t *b, size_t n)
    uint64_t bt_ring_dot64(const uint64_t *a, const uint64_t *b, size_t n)
    void bt_ring_beaver32(uint32_t *out, const uint32_t *d, const uint32_t *e, const uint32_t *a, const uint32_t *b,
                          const uint32_t *c, int leader, size_t n)
    void bt_ring_beaver64(uint64_t *out, const uint64_t *d, const uint64_t *e, const uint64_t *a, const uint64_t *b,
                          const uint64_t *c, int leader, size_t n)
    void bt_ring_truncate32(uint32_t *out, const uint32_t *x, unsigned k, int party, size_t n)
    void bt_ring_truncate64(uint64_t *out, const uint64_t *x, unsigned k, int party, size_t n)
    void bt_ring_mask32(uint32_t *out, const uint32_t *a, const uint32_t *b, unsigned l, size_t n)
    void bt_ring_mask64(uint64_t *out, const uint64_t *a, const uint64_t *b, unsigned l, size_t n)
    void bt_ring_unmask32(uint32_t *out, const uint32_t *a, const uint32_t *b, unsigned l, size_t n)
    void bt_ring_unmask64(uint64_t *out, const uint64_t *a, const uint64_t *b, unsigned l, size_t n)
    bt_status bt_ring_pack32(uint8_t *out, const uint32_t *x, unsigned l, size_t n)
    bt_status bt_ring_pack64(uint8_t *out, const uint64_t *x, unsigned l, size_t n)
    bt_status bt_ring_unpack32(uint32_t *out, const uint8_t *packed, unsigned l, size_t n)
    bt_status bt_ring_unpack64(uint64_t *out, const uint8_t *packed, unsigned l, size_t n)

ctypedef fused word:
    uint32_t
    uint64_t

# BLUETUSK_BACKEND is checked by the kernel of modular powers; "mpn" selects code that runs on any CPU
cdef const bt_ring_ops *_ops = bt_ring_pick(os.environ.get("BLUETUSK_BACKEND") == "mpn")
BACKEND = _ops.name.decode()


cdef int _same(Py_ssize_t got, Py_ssize_t want, str what) except -1:
    if got != want:
        raise ValueError(f"{what}: got {got}, need {want}")
    return 0


cdef int _width(long bits, size_t word_bytes) except -1:
    if not 1 <= bits <= <long>(8 * word_bytes):
        raise ValueError(f"bits must be 1 to {8 * word_bytes}, not {bits}")
    return 0


def share(word[:, ::1] rows not None, const word[::1] x not None, Py_ssize_t lo, Py_ssize_t hi):
    """Complete columns lo .. hi - 1 of a sharing: all rows but the last hold random words, the last row x minus their sum."""
    if rows.shape[0] < 1:
        raise ValueError("rows must have at least one party")
    _same(rows.shape[1], x.shape[0], "columns of rows")
    if not 0 <= lo <= hi <= x.shape[0]:
        raise ValueError(f"columns {lo} .. {hi} are outside the rows")
    if lo == hi:
        return
    with nogil:
        if word is uint32_t:
            bt_ring_share32(&rows[0, lo], rows.shape[1], &x[lo], rows.shape[0], hi - lo)
        else:
            bt_ring_share64(&rows[0, lo], rows.shape[1], &x[lo], rows.shape[0], hi - lo)


def total(const word[:, ::1] rows not None, word[::1] out not None, Py_ssize_t lo, Py_ssize_t hi):
    """Sum columns lo .. hi - 1 over the rows."""
    _same(rows.shape[1], out.shape[0], "columns of rows")
    if not 0 <= lo <= hi <= out.shape[0]:
        raise ValueError(f"columns {lo} .. {hi} are outside the rows")
    if lo == hi or rows.shape[0] == 0:
        out[lo:hi] = 0
        return
    with nogil:
        if word is uint32_t:
            bt_ring_sum32(&out[lo], &rows[0, lo], rows.shape[1], rows.shape[0], hi - lo)
        else:
            bt_ring_sum64(&out[lo], &rows[0, lo], rows.shape[1], rows.shape[0], hi - lo)


def add(const word[::1] a not None, const word[::1] b not None, word[::1] out not None):
    """Compute ``out = a + b``."""
    _same(b.shape[0], a.shape[0], "length of b")
    _same(out.shape[0], a.shape[0], "length of out")
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_add32(&out[0], &a[0], &b[0], a.shape[0])
            else:
                bt_ring_add64(&out[0], &a[0], &b[0], a.shape[0])


def sub(const word[::1] a not None, const word[::1] b not None, word[::1] out not None):
    """Compute ``out = a - b``."""
    _same(b.shape[0], a.shape[0], "length of b")
    _same(out.shape[0], a.shape[0], "length of out")
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_sub32(&out[0], &a[0], &b[0], a.shape[0])
            else:
                bt_ring_sub64(&out[0], &a[0], &b[0], a.shape[0])


def mul(const word[::1] a not None, const word[::1] b not None, word[::1] out not None):
    """Compute ``out = a * b``, element by element."""
    _same(b.shape[0], a.shape[0], "length of b")
    _same(out.shape[0], a.shape[0], "length of out")
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_mul32(&out[0], &a[0], &b[0], a.shape[0])
            else:
                bt_ring_mul64(&out[0], &a[0], &b[0], a.shape[0])


def scale(const word[::1] a not None, uint64_t k, word[::1] out not None):
    """Compute ``out = k * a``; k is taken modulo the ring."""
    _same(out.shape[0], a.shape[0], "length of out")
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_scale32(&out[0], &a[0], <uint32_t>k, a.shape[0])
            else:
                bt_ring_scale64(&out[0], &a[0], k, a.shape[0])


def dot(const word[::1] a not None, const word[::1] b not None):
    """Return the sum of ``a * b``."""
    _same(b.shape[0], a.shape[0], "length of b")
    cdef uint64_t result = 0
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                result = bt_ring_dot32(&a[0], &b[0], a.shape[0])
            else:
                result = bt_ring_dot64(&a[0], &b[0], a.shape[0])
    return result


def beaver(const word[::1] d not None, const word[::1] e not None, const word[::1] a not None,
           const word[::1] b not None, const word[::1] c not None, bint leader, word[::1] out not None):
    """Compute one party's share of a product: ``c + d * b + e * a``, and ``+ d * e`` for the leader."""
    cdef Py_ssize_t n = out.shape[0]
    _same(d.shape[0], n, "length of d")
    _same(e.shape[0], n, "length of e")
    _same(a.shape[0], n, "length of a")
    _same(b.shape[0], n, "length of b")
    _same(c.shape[0], n, "length of c")
    if n:
        with nogil:
            if word is uint32_t:
                bt_ring_beaver32(&out[0], &d[0], &e[0], &a[0], &b[0], &c[0], leader, n)
            else:
                bt_ring_beaver64(&out[0], &d[0], &e[0], &a[0], &b[0], &c[0], leader, n)


def truncate(const word[::1] x not None, long k, bint party, word[::1] out not None):
    """Truncate one share of a two-party sharing by k bits."""
    _same(out.shape[0], x.shape[0], "length of out")
    if not 0 <= k < <long>(8 * sizeof(word)):
        raise ValueError(f"k must be 0 to {8 * sizeof(word) - 1}, not {k}")
    if x.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_truncate32(&out[0], &x[0], <unsigned>k, party, x.shape[0])
            else:
                bt_ring_truncate64(&out[0], &x[0], <unsigned>k, party, x.shape[0])


def mask(const word[::1] a not None, const word[::1] b not None, long bits, word[::1] out not None):
    """Compute ``out = (a + b) mod 2**bits``."""
    _width(bits, sizeof(word))
    _same(b.shape[0], a.shape[0], "length of b")
    _same(out.shape[0], a.shape[0], "length of out")
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_mask32(&out[0], &a[0], &b[0], <unsigned>bits, a.shape[0])
            else:
                bt_ring_mask64(&out[0], &a[0], &b[0], <unsigned>bits, a.shape[0])


def unmask(const word[::1] a not None, const word[::1] b not None, long bits, word[::1] out not None):
    """Compute ``out = (a - b) mod 2**bits``."""
    _width(bits, sizeof(word))
    _same(b.shape[0], a.shape[0], "length of b")
    _same(out.shape[0], a.shape[0], "length of out")
    if a.shape[0]:
        with nogil:
            if word is uint32_t:
                bt_ring_unmask32(&out[0], &a[0], &b[0], <unsigned>bits, a.shape[0])
            else:
                bt_ring_unmask64(&out[0], &a[0], &b[0], <unsigned>bits, a.shape[0])


def packed_bytes(Py_ssize_t n, long bits):
    """Return the bytes that n words of `bits` bits take."""
    if n < 0 or not 1 <= bits <= 64:
        raise ValueError("n must not be negative, and bits must be 1 to 64")
    return bt_ring_packed_bytes(n, <unsigned>bits)


def pack(const word[::1] x not None, long bits, uint8_t[::1] out not None):
    """Write words of `bits` bits end to end; refuse a word with more."""
    _width(bits, sizeof(word))
    _same(out.shape[0], bt_ring_packed_bytes(x.shape[0], <unsigned>bits), "length of out")
    cdef bt_status rc = BT_OK
    if x.shape[0]:
        with nogil:
            if word is uint32_t:
                rc = bt_ring_pack32(&out[0], &x[0], <unsigned>bits, x.shape[0])
            else:
                rc = bt_ring_pack64(&out[0], &x[0], <unsigned>bits, x.shape[0])
    if rc != BT_OK:
        raise ValueError(f"a word of x has more than {bits} bits: reduce it modulo 2**{bits}")


def unpack(const uint8_t[::1] packed not None, long bits, word[::1] out not None):
    """Read words of `bits` bits; return whether the bits after the last one are 0, as they must be."""
    _width(bits, sizeof(word))
    _same(packed.shape[0], bt_ring_packed_bytes(out.shape[0], <unsigned>bits), "length of packed")
    cdef bt_status rc = BT_OK
    if out.shape[0]:
        with nogil:
            if word is uint32_t:
                rc = bt_ring_unpack32(&out[0], &packed[0], <unsigned>bits, out.shape[0])
            else:
                rc = bt_ring_unpack64(&out[0], &packed[0], <unsigned>bits, out.shape[0])
    return rc == BT_OK


def matmul(const word[:, ::1] a not None, const word[:, ::1] b not None, word[:, ::1] out not None, Py_ssize_t lo,
           Py_ssize_t hi):
    """Compute rows lo .. hi - 1 of ``out = a @ b``."""
    cdef Py_ssize_t k = a.shape[1], n = b.shape[1]
    _same(b.shape[0], k, "rows of b")
    _same(out.shape[0], a.shape[0], "rows of out")
    _same(out.shape[1], n, "columns of out")
    if not 0 <= lo <= hi <= a.shape[0]:
        raise ValueError(f"rows {lo} .. {hi} are outside of a")
    if lo == hi or n == 0:
        return
    if k == 0:
        out[lo:hi, :] = 0
        return
    cdef void *scratch = aligned_alloc(BT_RING_ALIGN, BT_RING_SCRATCH)
    if scratch == NULL:
        raise MemoryError("no memory for the work space of a matrix product")
    with nogil:
        if word is uint32_t:
            _ops.matmul32(&out[lo, 0], &a[lo, 0], &b[0, 0], hi - lo, k, n, scratch)
        else:
            _ops.matmul64(&out[lo, 0], &a[lo, 0], &b[0, 0], hi - lo, k, n, scratch)
        free(scratch)
