"""Binding of csrc/bt_field: elements of a finite field as NumPy arrays. Checks sizes, releases the GIL.

An element of `Field` is one item of ``Field.dtype``, or ``Field.limbs`` of them on a trailing axis where there is more than one.
Arrays are C-contiguous; their sizes are counted in items here.
"""

import os

import numpy as np

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc

from bluetusk._kernels.limb cimport BT_OK, bt_status

cdef extern from "bt_field.h" nogil:
    enum:
        BT_FIELD_MAX_LIMBS
    ctypedef enum bt_field_kind:
        BT_FIELD_P31
        BT_FIELD_P61
        BT_FIELD_P64
        BT_FIELD_ODD
        BT_FIELD_GF256
    ctypedef struct bt_field:
        size_t bytes
        size_t limbs
    bt_status bt_field_init(bt_field *f, bt_field_kind kind, const uint64_t *p, size_t limbs, int portable)
    void bt_field_add(const bt_field *f, void *out, const void *a, const void *b, size_t n)
    void bt_field_sub(const bt_field *f, void *out, const void *a, const void *b, size_t n)
    void bt_field_mul(const bt_field *f, void *out, const void *a, const void *b, size_t n)
    int bt_field_canonical(const bt_field *f, const void *a, size_t n)
    size_t bt_field_accept(const bt_field *f, void *a, size_t n)
    size_t bt_field_scratch(const bt_field *f, size_t k)
    void bt_field_matmul(const bt_field *f, void *out, size_t out_stride, const void *m, size_t rows, size_t k,
                         const void *s, size_t stride, size_t n, void *scratch)
    void bt_field_powers(const bt_field *f, void *out, const void *x, size_t rows, size_t k)
    bt_status bt_field_lagrange(const bt_field *f, void *w, const void *z, size_t rows, const void *x, size_t k,
                                void *work)

MAX_BITS = 64 * BT_FIELD_MAX_LIMBS
_ORDERS = f"the order of a field must be 256 or an odd prime of at most {MAX_BITS} bits"
cdef bint _portable = os.environ.get("BLUETUSK_BACKEND") == "mpn"
_KINDS = {2**31 - 1: (BT_FIELD_P31, np.uint32), 2**61 - 1: (BT_FIELD_P61, np.uint64),
          2**64 - 2**32 + 1: (BT_FIELD_P64, np.uint64), 256: (BT_FIELD_GF256, np.uint8)}


cdef Py_ssize_t _along(array, Py_ssize_t axis, str name) except -1:
    """The length of an axis that may not be there: an index into a tuple is not checked here, nor by CPython 3.10."""
    shape = array.shape
    if len(shape) <= axis:
        raise ValueError(f"{name} has {len(shape)} axes, need {axis + 1}")
    return shape[axis]


cdef class Field:
    """The integers modulo an odd prime, or GF(2^8) for 256."""

    cdef bt_field f
    cdef readonly object order
    cdef readonly object dtype
    cdef readonly Py_ssize_t limbs

    def __cinit__(self, order):
        kind, dtype = _KINDS.get(order, (BT_FIELD_ODD, np.uint64))
        cdef uint64_t p[BT_FIELD_MAX_LIMBS]
        cdef Py_ssize_t limbs = 1, i
        if kind == BT_FIELD_ODD:
            limbs = (order.bit_length() + 63) // 64
            if order < 3 or order % 2 == 0 or limbs > BT_FIELD_MAX_LIMBS:
                raise ValueError(_ORDERS)
            for i in range(limbs):
                p[i] = (order >> (64 * i)) & 0xFFFFFFFFFFFFFFFF
        cdef bt_status rc = bt_field_init(&self.f, kind, p, limbs, _portable)
        if rc != BT_OK:
            raise ValueError(_ORDERS)
        self.order = order
        self.dtype = np.dtype(dtype)
        self.limbs = limbs

    cdef const uint8_t *_read(self, array, Py_ssize_t n, str name) except NULL:
        """The memory of n elements."""
        if array.dtype != self.dtype or not array.flags.c_contiguous:
            raise TypeError(f"{name} must be a C-contiguous array of {self.dtype}, not of {array.dtype}")
        if array.size != n * self.limbs:
            raise ValueError(f"{name}: got {array.size} items, need {n * self.limbs}")
        cdef const uint8_t[::1] view
        if n == 0:
            return <const uint8_t *>&self.f  # never read
        view = array.reshape(-1).view(np.uint8)
        return &view[0]

    cdef uint8_t *_write(self, array, Py_ssize_t n, str name) except NULL:
        cdef const uint8_t *p = self._read(array, n, name)
        if not array.flags.writeable:
            raise ValueError(f"{name} is read-only")
        return <uint8_t *>p

    def add(self, a, b, out):
        """Compute ``out = a + b``."""
        cdef Py_ssize_t n = out.size // self.limbs
        cdef uint8_t *o = self._write(out, n, "out")
        cdef const uint8_t *x = self._read(a, n, "a")
        cdef const uint8_t *y = self._read(b, n, "b")
        with nogil:
            bt_field_add(&self.f, o, x, y, n)

    def sub(self, a, b, out):
        """Compute ``out = a - b``."""
        cdef Py_ssize_t n = out.size // self.limbs
        cdef uint8_t *o = self._write(out, n, "out")
        cdef const uint8_t *x = self._read(a, n, "a")
        cdef const uint8_t *y = self._read(b, n, "b")
        with nogil:
            bt_field_sub(&self.f, o, x, y, n)

    def mul(self, a, b, out):
        """Compute ``out = a * b``, element by element."""
        cdef Py_ssize_t n = out.size // self.limbs
        cdef uint8_t *o = self._write(out, n, "out")
        cdef const uint8_t *x = self._read(a, n, "a")
        cdef const uint8_t *y = self._read(b, n, "b")
        with nogil:
            bt_field_mul(&self.f, o, x, y, n)

    def canonical(self, a):
        """Return whether every element is below the order."""
        cdef Py_ssize_t n = a.size // self.limbs
        cdef const uint8_t *x = self._read(a, n, "a")
        cdef int good
        with nogil:
            good = bt_field_canonical(&self.f, x, n)
        return bool(good)

    def accept(self, a):
        """Move what uniform words give as uniform elements to the front; return how many."""
        cdef Py_ssize_t n = a.size // self.limbs
        cdef uint8_t *x = self._write(a, n, "a")
        cdef size_t kept
        with nogil:
            kept = bt_field_accept(&self.f, x, n)
        return kept

    def matmul(self, m, s, out, Py_ssize_t at, Py_ssize_t to, Py_ssize_t n):
        """Compute ``out[:, to:to + n] = m @ s[:, at:at + n]``; m is public."""
        cdef Py_ssize_t rows = _along(m, 0, "m"), k = _along(m, 1, "m")
        cdef Py_ssize_t width = _along(s, 1, "s"), out_width = _along(out, 1, "out")
        cdef const uint8_t *matrix = self._read(m, rows * k, "m")
        cdef const uint8_t *vectors = self._read(s, k * width, "s")
        cdef uint8_t *o = self._write(out, rows * out_width, "out")
        if _along(s, 0, "s") != k or _along(out, 0, "out") != rows:
            raise ValueError(f"shapes {m.shape}, {s.shape} and {out.shape} do not fit a product")
        if at < 0 or to < 0 or n < 0 or at > width - n or to > out_width - n:
            raise ValueError(f"{n} columns from {at} and to {to} are outside of s or out")
        if n == 0 or rows == 0:
            return
        cdef void *scratch = malloc(bt_field_scratch(&self.f, k) + 1)
        if scratch == NULL:
            raise MemoryError("no memory for the work space of a product")
        cdef size_t each = self.f.bytes
        with nogil:
            bt_field_matmul(&self.f, o + to * each, out_width, matrix, rows, k, vectors + (at * each if k else 0), width,
                            n, scratch)
            free(scratch)

    def powers(self, x, Py_ssize_t k):
        """Return the matrix of ``x[r]**j`` for j < k."""
        cdef Py_ssize_t rows = _along(x, 0, "x")
        cdef const uint8_t *points = self._read(x, rows, "x")
        out = np.empty((rows, k, self.limbs)[: 3 if self.limbs > 1 else 2], self.dtype)
        cdef uint8_t *o = self._write(out, rows * k, "out")
        with nogil:
            bt_field_powers(&self.f, o, points, rows, k)
        return out

    def lagrange(self, z, x):
        """Return the matrix that takes a polynomial's values at `x` to those at `z`; None if two x are equal."""
        cdef Py_ssize_t rows = _along(z, 0, "z"), k = _along(x, 0, "x")
        cdef const uint8_t *at = self._read(z, rows, "z")
        cdef const uint8_t *points = self._read(x, k, "x")
        out = np.empty((rows, k, self.limbs)[: 3 if self.limbs > 1 else 2], self.dtype)
        cdef uint8_t *o = self._write(out, rows * k, "out")
        cdef void *work = malloc(3 * k * self.f.bytes + 1)
        if work == NULL:
            raise MemoryError("no memory for the work space of an interpolation")
        cdef bt_status rc
        with nogil:
            rc = bt_field_lagrange(&self.f, o, at, rows, points, k, work)
            free(work)
        return out if rc == BT_OK else None
