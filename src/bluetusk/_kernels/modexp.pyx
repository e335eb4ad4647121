# Bindings of bt_modulus.h, bt_mont.h and bt_modexp.h: types, buffers, errors; every size and index is checked before
# the GIL is released, and no pointer outlives its call.

import operator
import os

import gmpy2
import numpy as np

from bluetusk._kernels import gmp_path
from bluetusk._kernels.limb cimport BT_MAX_BITS, BT_OK, bt_wipe

from cpython.exc cimport PyErr_CheckSignals
from libc.stdlib cimport free
from libc.stdint cimport uintptr_t

cdef extern from "stdlib.h" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX


cdef extern from "dlfcn.h":
    char *dlerror()


def _bind():
    cdef const char *lacks = NULL
    path = os.fsencode(gmp_path())
    if bt_gmp_load(path, &lacks) != BT_OK:
        what = f"lacks {lacks.decode()}" if lacks != NULL else f"does not open ({dlerror().decode(errors='replace')})"
        raise ImportError(
            f"the GMP of {os.fsdecode(path)} {what}: "
            'pip install --force-reinstall --only-binary gmpy2 "gmpy2>=2.2"'
        )


_bind()
GMP_VERSION = bt_gmp.version.decode()
MAX_BITS = BT_MAX_BITS
MAX_COMB_BITS = 1 << 24

cdef const bt_mont_ops *_ops = bt_mont_pick(os.fsencode(os.environ.get("BLUETUSK_BACKEND", "")))
if _ops == NULL:
    raise ImportError(
        f"the environment variable BLUETUSK_BACKEND is {os.environ['BLUETUSK_BACKEND']!r}, which this build or this CPU "
        "does not have; unset it, or set it to 'mpn', 'fma' (AVX2) or 'ifma' (AVX-512)"
    )
BACKEND = _ops.name.decode()
COMPILER = bt_compiler().decode()


# Bytes of a cache line, and of the widest vectors: memory for elements begins on one.
cdef enum:
    LINE = 64


def aligned_zeros(Py_ssize_t n):
    """Return n zeroed words that begin on a cache line."""
    cdef uint64_t[::1] words = np.zeros(n + LINE // 8, np.uint64)
    cdef Py_ssize_t skip = <Py_ssize_t>(-<uintptr_t>&words[0] % LINE) // 8
    return np.asarray(words)[skip : skip + n]


cdef bt_word *new_words(size_t n) except NULL:
    cdef bt_word *p = NULL
    if n <= <size_t>PY_SSIZE_T_MAX // sizeof(bt_word) - LINE:
        p = <bt_word *>aligned_alloc(LINE, (n * sizeof(bt_word) + LINE) // LINE * LINE)
    if p == NULL:
        raise MemoryError(f"no memory for {8 * n} bytes of work space")
    return p


cdef void drop_words(bt_word *p, size_t n, bint secret) noexcept nogil:
    if secret and p != NULL:
        bt_wipe(p, n * sizeof(bt_word))
    free(p)


cdef const bt_word *cptr(const uint64_t[::1] a) noexcept:
    return &a[0] if a.shape[0] else NULL


cdef const int64_t *iptr(const int64_t[::1] idx) noexcept:
    if idx is None or idx.shape[0] == 0:
        return NULL
    return &idx[0]


cdef Py_ssize_t first_outside(const int64_t[::1] idx, int64_t size) noexcept:
    """The first i with idx[i] not in 0 .. size - 1, or -1."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(idx.shape[0]):
            if not 0 <= idx[i] < size:
                return i
    return -1


cdef Py_ssize_t words_of(const bt_mont *mont, Py_ssize_t n) except -1:
    """The words of an array of n elements, if an array may be that large: bt_mont_words itself wraps around."""
    cdef Py_ssize_t each = mont.elem_words, lanes = mont.ops.lanes
    if n < 0:
        raise ValueError(f"n must not be negative, not {n}")
    if n > (PY_SSIZE_T_MAX // <Py_ssize_t>sizeof(bt_word) - lanes * each) // each:
        raise MemoryError(f"no memory for {n} elements of {8 * each} bytes")
    return bt_mont_words(mont, n)


cdef class Montgomery:
    """An odd modulus bound to a backend; immutable, and safe to use from several threads.

    Parameters
    ----------
    modulus : int
        Odd, at least 3, at most 16384 bits.
    root : int, optional
        Its square root, if it is a square: products are then faster for most sizes, in a layout of their own.

    Raises
    ------
    ValueError
        If `modulus` is not such a number, or `root` is not its square root.
    """

    def __cinit__(self, modulus, root=None):
        value = gmpy2.mpz(operator.index(modulus))
        if value < 3 or not value.is_odd():
            raise ValueError("modulus must be odd and at least 3")
        if value.bit_length() > BT_MAX_BITS:
            raise ValueError(f"modulus has {value.bit_length()} bits; at most {BT_MAX_BITS} are supported")
        self.modulus = value
        cdef size_t limbs = (value.bit_length() + 63) // 64
        cdef const unsigned char[::1] data = value.to_bytes(8 * limbs, "little")
        self.storage = new_words(bt_modulus_storage(limbs))
        if bt_modulus_init(&self.mod, <const bt_limb *>&data[0], limbs, self.storage) != BT_OK:
            raise ValueError(f"modulus must be odd, at least 3 and at most {BT_MAX_BITS} bits")
        cdef const bt_mont_ops *ops = bt_mont_for(_ops, limbs)
        if root is not None:
            self.root = gmpy2.mpz(operator.index(root))
            if self.root < 0 or self.root * self.root != value:
                raise ValueError("root must be the square root of modulus")
            self._bind_root()
            ops = bt_mont_for_square(_ops, limbs)
        self.consts = new_words(ops.const_words(limbs))
        cdef size_t size = ops.scratch_words(limbs)
        cdef bt_word *scratch = new_words(size)
        cdef bt_status status = bt_mont_init(&self.mont, ops, &self.mod, self.consts, scratch)
        drop_words(scratch, size, False)
        if status != BT_OK:
            raise RuntimeError("GMP's functions are not bound: import bluetusk in a new process")  # BT_ERR_GMP

    cdef int _bind_root(self) except -1:
        """Let `mod` know the square root that `root` is."""
        cdef size_t limbs = (self.root.bit_length() + 63) // 64
        cdef const unsigned char[::1] data = self.root.to_bytes(8 * limbs, "little")
        self.root_storage = new_words(bt_modulus_storage(limbs))
        bt_modulus_init(&self.mod_root, <const bt_limb *>&data[0], limbs, self.root_storage)
        self.mod.root = &self.mod_root
        return 0

    def __dealloc__(self):
        free(self.storage)
        free(self.root_storage)
        free(self.consts)

    def __reduce__(self):
        return Montgomery, (self.modulus, self.root)

    def __repr__(self):
        return f"<Montgomery {self.bits} bits, backend {self.backend}>"

    @property
    def bits(self):
        """Bit length of the modulus."""
        return self.mod.bits

    @property
    def limbs(self):
        """64-bit limbs of a canonical number."""
        return self.mod.limbs

    @property
    def nbytes(self):
        """Bytes of a canonical number."""
        return 8 * self.mod.limbs

    @property
    def lanes(self):
        """Elements that the backend computes together; slices begin at multiples of it."""
        return self.mont.ops.lanes

    @property
    def elem_words(self):
        """64-bit words of one element in the backend's layout."""
        return self.mont.elem_words

    @property
    def backend(self):
        """Name of the backend."""
        return self.mont.ops.name.decode()

    def words(self, Py_ssize_t n):
        """Return the words of an array of `n` elements, padding included."""
        return words_of(&self.mont, n)

    def empty(self, Py_ssize_t n):
        """Return a zeroed array for `n` elements."""
        return aligned_zeros(self.words(n))

    def ones(self, Py_ssize_t n):
        """Return an array of `n` elements that are 1."""
        cdef uint64_t[::1] a = self.empty(n)
        if n:
            self.mont.ops.one(&self.mont, &a[0], n)
        return np.asarray(a)

    cdef int check_range(self, Py_ssize_t lo, Py_ssize_t hi, Py_ssize_t words) except -1:
        """Elements [lo, hi) exist in an array of `words` words, and lo begins a group."""
        if not 0 <= lo <= hi or hi > words // <Py_ssize_t>self.mont.elem_words or words_of(&self.mont, hi) > words:
            raise ValueError(f"elements [{lo}, {hi}) are outside an array of {words} words")
        if lo % <Py_ssize_t>self.mont.ops.lanes:
            raise ValueError(f"lo = {lo} must be a multiple of {self.mont.ops.lanes}")
        return 0

    cdef const int64_t[::1] own_index(self, const int64_t[::1] idx, Py_ssize_t lo, Py_ssize_t hi, Py_ssize_t words,
                                      str name):
        """Return a copy of idx[lo:hi], or None for the identity, that points into an array of `words` words.

        A copy, because another thread may write to idx between the check and the use, both of which are without the GIL.
        """
        cdef Py_ssize_t size = words // <Py_ssize_t>self.mont.elem_words
        if idx is None:
            if hi > lo and (hi > size or words_of(&self.mont, hi) > words):
                raise IndexError(f"{name} is None, but its array of {size} elements ends before {hi}")
            return None
        if not 0 <= lo <= hi <= idx.shape[0]:
            raise IndexError(f"{name} has {idx.shape[0]} entries, not {hi}")
        cdef const int64_t[::1] own = np.array(idx[lo:hi])
        cdef Py_ssize_t bad = first_outside(own, size)
        if bad >= 0:
            raise IndexError(f"{name}[{lo + bad}] = {own[bad]} is outside an array of {size} elements")
        return own

    cdef int check_exponents(self, Py_ssize_t el, Py_ssize_t ebits) except -1:
        if ebits < 0 or ebits // 64 + (ebits % 64 != 0) > el:
            raise ValueError(f"ebits = {ebits} must lie between 0 and the bits of an exponent row of {el} limbs")
        return 0

    cdef int check_rows(self, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t lo, Py_ssize_t hi, str name) except -1:
        if width != <Py_ssize_t>self.mod.limbs or not 0 <= lo <= hi <= rows:
            raise ValueError(f"{name} has shape ({rows}, {width}); rows [{lo}, {hi}) of {self.mod.limbs} limbs are needed")
        return 0

    def load(self, uint64_t[::1] dst not None, const uint64_t[:, ::1] src not None, Py_ssize_t lo, Py_ssize_t hi):
        """Set elements ``lo .. hi - 1`` of `dst` to the canonical numbers in the same rows of `src`."""
        self.check_range(lo, hi, dst.shape[0])
        self.check_rows(src.shape[0], src.shape[1], lo, hi, "src")
        if lo == hi:
            return
        cdef size_t size = bt_mont_scratch(&self.mont)
        cdef bt_word *scratch = new_words(size)
        with nogil:
            self.mont.ops.load(&self.mont, &dst[0] + bt_mont_offset(&self.mont, lo), &src[lo, 0], hi - lo, scratch)
            drop_words(scratch, size, True)

    def store(self, uint64_t[:, ::1] out not None, const uint64_t[::1] src not None, const int64_t[::1] idx,
              Py_ssize_t lo, Py_ssize_t hi):
        """Set rows ``lo .. hi - 1`` of `out` to the canonical numbers of ``src[idx]``."""
        self.check_rows(out.shape[0], out.shape[1], lo, hi, "out")
        if idx is None:
            self.check_range(lo, hi, src.shape[0])
        idx = self.own_index(idx, lo, hi, src.shape[0], "idx")
        if lo == hi:
            return
        cdef size_t size = bt_indexed_scratch(&self.mont), skip = bt_mont_offset(&self.mont, lo) if idx is None else 0
        cdef const int64_t *pick = iptr(idx)
        cdef bt_word *scratch = new_words(size)
        with nogil:
            bt_store_indexed(&self.mont, &out[lo, 0], &src[0] + skip, pick, hi - lo, scratch)
            drop_words(scratch, size, True)

    def gather(self, uint64_t[::1] dst not None, const uint64_t[::1] src not None, const int64_t[::1] idx,
               Py_ssize_t lo, Py_ssize_t hi):
        """``dst[i] = src[idx[i]]``; `dst` must be another buffer than `src` unless `idx` is None."""
        self.check_range(lo, hi, dst.shape[0])
        idx = self.own_index(idx, lo, hi, src.shape[0], "idx")
        if lo == hi:
            return
        cdef size_t at = bt_mont_offset(&self.mont, lo), skip = at if idx is None else 0
        cdef const int64_t *pick = iptr(idx)
        with nogil:
            self.mont.ops.gather(&self.mont, &dst[0] + at, &src[0] + skip, pick, hi - lo)

    def mul(self, uint64_t[::1] dst not None, const uint64_t[::1] a not None, const int64_t[::1] ia,
            const uint64_t[::1] b not None, const int64_t[::1] ib, Py_ssize_t lo, Py_ssize_t hi, bint secret=False):
        """``dst[i] = a[ia[i]] * b[ib[i]]``; `dst` may be an operand whose index is None. Say so if one is secret."""
        self.check_range(lo, hi, dst.shape[0])
        ia = self.own_index(ia, lo, hi, a.shape[0], "ia")
        ib = self.own_index(ib, lo, hi, b.shape[0], "ib")
        if lo == hi:
            return
        cdef size_t at = bt_mont_offset(&self.mont, lo), skip_a = at if ia is None else 0, skip_b = at if ib is None else 0
        cdef const int64_t *pa = iptr(ia)
        cdef const int64_t *pb = iptr(ib)
        cdef size_t size = bt_indexed_scratch(&self.mont)
        cdef bt_word *scratch = new_words(size)
        with nogil:
            bt_mul_indexed(&self.mont, &dst[0] + at, &a[0] + skip_a, pa, &b[0] + skip_b, pb, hi - lo, secret, scratch)
            drop_words(scratch, size, secret)

    def pow(self, uint64_t[::1] dst not None, const uint64_t[::1] a not None, const int64_t[::1] ia,
            const uint64_t[:, ::1] exps not None, Py_ssize_t ebits, Py_ssize_t lo, Py_ssize_t hi):
        """``dst[i] = a[ia[i]] ** exps[i]`` for public exponents (bits from `ebits` on must be 0): time follows them."""
        self._pow(dst, a, ia, exps, ebits, 0, ebits, lo, hi, False)

    def pow_secret(self, uint64_t[::1] dst not None, const uint64_t[::1] a not None, const int64_t[::1] ia,
                   const uint64_t[:, ::1] exps not None, Py_ssize_t ebits, Py_ssize_t lo, Py_ssize_t hi):
        """The same for secret exponents (and bases): time and addresses follow `ebits` alone."""
        self._pow(dst, a, ia, exps, ebits, 0, ebits, lo, hi, True)

    def pow_part(self, uint64_t[::1] dst not None, const uint64_t[::1] a not None, const uint64_t[:, ::1] exps not None,
                 Py_ssize_t ebits, Py_ssize_t low, Py_ssize_t high, bint secret, Py_ssize_t lo, Py_ssize_t hi):
        """Bits ``low .. high - 1`` of a long power: ``dst[i] = dst[i] ** 2 ** (high - low) * a[i] ** bits``.

        The first part has ``high == ebits`` and only writes `dst`, the last one ``low == 0``.
        """
        self._pow(dst, a, None, exps, ebits, low, high, lo, hi, secret)

    cdef int _pow(self, uint64_t[::1] dst, const uint64_t[::1] a, const int64_t[::1] ia, const uint64_t[:, ::1] exps,
                  Py_ssize_t ebits, Py_ssize_t low, Py_ssize_t high, Py_ssize_t lo, Py_ssize_t hi, bint secret) except -1:
        self.check_range(lo, hi, dst.shape[0])
        ia = self.own_index(ia, lo, hi, a.shape[0], "ia")
        self.check_exponents(exps.shape[1], ebits)
        if not 0 <= low <= high <= ebits:
            raise ValueError(f"bits [{low}, {high}) are not within {ebits} bits")
        if hi > exps.shape[0]:
            raise ValueError(f"exps has {exps.shape[0]} rows, not {hi}")
        if lo == hi:
            return 0
        cdef size_t n = hi - lo, at = bt_mont_offset(&self.mont, lo), el = exps.shape[1]
        cdef size_t bases = 0 if ia is None else words_of(&self.mont, n)
        cdef size_t size = bases + (bt_pow_secret_scratch(&self.mont, n, high - low) if secret
                                    else bt_pow_public_scratch(&self.mont, n, high - low))
        cdef const int64_t *pick = iptr(ia)
        cdef const bt_limb *e = &exps[lo, 0] if el else NULL
        cdef bt_word *scratch = new_words(size)
        cdef const bt_word *base = &a[0] + at if ia is None else scratch
        with nogil:
            if pick != NULL:
                self.mont.ops.gather(&self.mont, scratch, &a[0], pick, n)
            if secret:
                bt_pow_secret_part(&self.mont, &dst[0] + at, base, n, e, el, ebits, low, high, scratch + bases)
            else:
                bt_pow_public_part(&self.mont, &dst[0] + at, base, n, e, el, ebits, low, high, 0, scratch + bases)
            drop_words(scratch, size, secret)
        return 0

    def prod(self, uint64_t[::1] dst not None, const uint64_t[::1] src not None, const int64_t[::1] idx,
             Py_ssize_t m, Py_ssize_t lo, Py_ssize_t hi):
        """``dst[r] = product of src[idx[r * m + j]] over j < m`` for rows ``lo .. hi - 1``; an empty product is 1."""
        self.check_range(lo, hi, dst.shape[0])
        if m < 0:
            raise ValueError(f"m must not be negative, not {m}")
        if m and hi > (<Py_ssize_t>1 << 62) // m:
            raise ValueError(f"{hi} rows of {m} factors are too many")
        if idx is not None or m:
            idx = self.own_index(idx, lo * m, hi * m, src.shape[0], "idx")
        if lo == hi:
            return
        cdef size_t n = hi - lo
        cdef const int64_t *pick = iptr(idx) if m else NULL
        cdef const bt_word *from_ = cptr(src)
        cdef int64_t[::1] own
        if m and idx is None and (lo * m) % <Py_ssize_t>self.mont.ops.lanes:
            own = np.arange(lo * m, hi * m, dtype=np.int64)
            pick = &own[0]
        elif m and idx is None:
            from_ += bt_mont_offset(&self.mont, lo * m)
        cdef bt_word *scratch = new_words(bt_prod_scratch(&self.mont, n, m))
        with nogil:
            bt_prod(&self.mont, &dst[0] + bt_mont_offset(&self.mont, lo), from_, pick, n, m, scratch)
            free(scratch)

    def bincount(self, uint64_t[::1] dst not None, Py_ssize_t bins, Py_ssize_t width, const uint64_t[::1] src not None,
                 const int64_t[::1] idx, const int64_t[:, ::1] codes not None, Py_ssize_t lo, Py_ssize_t hi):
        """``dst[(f * bins + codes[i, f]) * width + t] *= src[idx[i * width + t]]`` for every column f of `codes`, ``t < width``
        and ``i`` in ``lo .. hi - 1``; start `dst` at ones.

        Calls on the same `dst` must not run at the same time.
        """
        cdef Py_ssize_t features = codes.shape[1], most = <Py_ssize_t>1 << 62
        if bins < 0 or width < 0:
            raise ValueError(f"bins and width must not be negative, not {bins} and {width}")
        if (width and (bins > most // width or hi > most // width)) or (features and bins * width > most // features):
            raise ValueError(f"{features} histograms of {bins} bins of {width} elements are outside an array")
        self.check_range(0, features * bins * width, dst.shape[0])
        if not 0 <= lo <= hi <= codes.shape[0]:
            raise ValueError(f"codes has {codes.shape[0]} rows, not {hi}")
        cdef const int64_t[::1] own = np.array(codes[lo:hi]).reshape(-1)  # a copy for the same reason
        if idx is None:
            idx = np.arange(hi * width, dtype=np.int64)
        idx = self.own_index(idx, lo * width, hi * width, src.shape[0], "idx")
        cdef Py_ssize_t bad = first_outside(own, bins)
        if bad >= 0:
            raise IndexError(f"codes[{lo + bad // features}, {bad % features}] = {own[bad]} must lie between 0 and {bins - 1}")
        if lo == hi or not features or not width:
            return
        cdef const int64_t *pick = iptr(idx)
        cdef bt_word *scratch = new_words(bt_bincount_scratch(&self.mont))
        with nogil:
            bt_bincount(&self.mont, &dst[0], bins, features, width, &src[0], pick, &own[0], hi - lo, scratch)
            free(scratch)

    def scan(self, uint64_t[::1] dst not None, const uint64_t[::1] src not None, const int64_t[:, ::1] idx not None,
             Py_ssize_t first, Py_ssize_t last, Py_ssize_t lo, Py_ssize_t hi):
        """Steps ``first .. last - 1`` of the running products of columns ``lo .. hi - 1`` of `idx`, of shape (steps, columns).

        Step s is the array of whole groups that begins at element ``s * stride``, stride being the columns rounded up to
        the lanes: ``dst[s * stride + r] = dst[(s - 1) * stride + r] * src[idx[s, r]]``, and the first one `src` alone.
        """
        cdef Py_ssize_t steps = idx.shape[0], columns = idx.shape[1], lanes = self.mont.ops.lanes
        cdef Py_ssize_t stride = (columns // lanes + (columns % lanes != 0)) * lanes
        if not 0 <= first <= last <= steps or not 0 <= lo <= hi <= columns or lo % lanes:
            raise ValueError(f"steps [{first}, {last}) of columns [{lo}, {hi}) are not within idx of shape ({steps}, {columns})")
        if last > dst.shape[0] // <Py_ssize_t>self.mont.elem_words // max(1, stride):
            raise ValueError(f"{last} steps of {stride} elements are outside an array of {dst.shape[0]} words")
        cdef const int64_t[::1] own = np.array(idx[first:last, lo:hi]).reshape(-1)  # a copy for the same reason
        own = self.own_index(own, 0, own.shape[0], src.shape[0], "idx")
        if first == last or lo == hi:
            return
        cdef size_t at = bt_mont_offset(&self.mont, first * stride + lo)
        cdef bt_word *scratch = new_words(bt_scan_scratch(&self.mont))
        with nogil:
            bt_scan(&self.mont, &dst[0] + at, stride, &src[0], &own[0], hi - lo, last - first, first > 0, scratch)
            free(scratch)

    def multiexp(self, uint64_t[::1] dst not None, const uint64_t[::1] src not None, const int64_t[::1] idx,
                 const uint64_t[:, :, ::1] exps not None, Py_ssize_t ebits, Py_ssize_t lo, Py_ssize_t hi,
                 bint more=False):
        """``dst[r] = product of src[idx[j]] ** exps[r, j] over j`` for rows ``lo .. hi - 1``; public exponents.

        With `more`, times ``dst[r] ** 2 ** ebits``: the next part of long exponents, from their top.
        """
        cdef Py_ssize_t m = exps.shape[1]
        if more and m == 0:
            raise ValueError("more needs at least one base")
        self.check_range(lo, hi, dst.shape[0])
        idx = self.own_index(idx, 0, m, src.shape[0], "idx")
        self.check_exponents(exps.shape[2], ebits)
        if hi > exps.shape[0]:
            raise ValueError(f"exps has {exps.shape[0]} rows, not {hi}")
        if lo == hi:
            return
        cdef size_t n = hi - lo, at = bt_mont_offset(&self.mont, lo)
        cdef const int64_t *pick = iptr(idx)
        cdef const bt_limb *e = &exps[lo, 0, 0] if m and exps.shape[2] else NULL
        cdef const bt_word *from_ = cptr(src)
        cdef bt_word *scratch = new_words(bt_multiexp_scratch(&self.mont, m, n, ebits))
        with nogil:
            if more:
                bt_multiexp_more(&self.mont, &dst[0] + at, from_, pick, m, e, exps.shape[2], ebits, n, scratch)
            else:
                bt_multiexp(&self.mont, &dst[0] + at, from_, pick, m, e, exps.shape[2], ebits, n, scratch)
            free(scratch)

    def multiexp_sparse(self, uint64_t[::1] dst not None, const uint64_t[::1] src not None, const int64_t[::1] idx not None,
                        const int64_t[::1] start not None, const int64_t[::1] row not None,
                        const uint64_t[:, ::1] exps not None, Py_ssize_t ebits, Py_ssize_t rows):
        """``dst[r] = product of src[idx[j]] ** exps[k]`` over the entries k of column j, ``start[j] <= k < start[j + 1]``, with
        ``row[k] == r``; public exponents. One cell for each of the `rows` and `ebits` is held meanwhile."""
        cdef Py_ssize_t m = idx.shape[0], entries = row.shape[0], bad
        self.check_range(0, rows, dst.shape[0])
        self.check_exponents(exps.shape[1], ebits)
        if start.shape[0] != m + 1 or exps.shape[0] != entries:
            raise ValueError(f"{m} columns and {entries} entries need {m + 1} starts and {entries} exponents, not "
                             f"{start.shape[0]} and {exps.shape[0]}")
        idx = self.own_index(idx, 0, m, src.shape[0], "idx")
        start, row = np.array(start), np.array(row)  # copies for the same reason
        cdef Py_ssize_t j
        for j in range(m):
            if not start[j] <= start[j + 1]:
                raise ValueError(f"start[{j + 1}] = {start[j + 1]} must not be below start[{j}] = {start[j]}")
        if start[0] != 0 or start[m] != entries:
            raise ValueError(f"start must lead from 0 to {entries}, not from {start[0]} to {start[m]}")
        bad = first_outside(row, rows)
        if bad >= 0:
            raise IndexError(f"row[{bad}] = {row[bad]} must lie between 0 and {rows - 1}")
        if rows == 0:
            return
        if ebits > PY_SSIZE_T_MAX // rows:
            raise MemoryError(f"no memory for {rows} rows of {ebits} cells")
        words_of(&self.mont, rows * ebits)  # the largest part of the work space
        cdef const int64_t *pick = iptr(idx)
        cdef const int64_t *rows_at = iptr(row)
        cdef const bt_limb *e = &exps[0, 0] if entries and exps.shape[1] else NULL
        cdef const bt_word *from_ = cptr(src)
        cdef bt_word *scratch = new_words(bt_multiexp_sparse_scratch(&self.mont, m, rows, ebits))
        with nogil:
            bt_multiexp_sparse(&self.mont, &dst[0], from_, pick, m, &start[0], rows_at, e, exps.shape[1], ebits, rows,
                               scratch)
            free(scratch)

    def invert(self, uint64_t[::1] buf not None, Py_ssize_t n):
        """Replace the first `n` elements of `buf` by their inverses.

        Raises
        ------
        ValueError
            If one has none: the message names the first such index, and `buf` is unchanged.
        """
        self.check_range(0, n, buf.shape[0])
        if n == 0:
            return
        cdef uint64_t[::1] prefix = self.empty(n)
        cdef uint64_t[::1] total = self.empty(1)
        canonical = np.zeros((1, self.limbs), np.uint64)
        cdef bt_word *scratch = new_words(bt_batch_scratch(&self.mont))
        with nogil:
            bt_batch_prefix(&self.mont, &prefix[0], &total[0], &buf[0], n, scratch)
        try:
            self.store(canonical, total, None, 0, 1)
            value = gmpy2.mpz.from_bytes(canonical.tobytes(), "little")
            try:
                inverse = gmpy2.invert(value, self.modulus)
            except ZeroDivisionError:
                raise ValueError(f"element {self._first_without_inverse(buf, n)} has no inverse") from None
            canonical = np.frombuffer(inverse.to_bytes(self.nbytes, "little"), np.uint64).reshape(1, -1)
            self.load(total, canonical, 0, 1)
            with nogil:
                bt_batch_unwind(&self.mont, &buf[0], &prefix[0], &total[0], n, scratch)
        finally:
            free(scratch)

    cdef Py_ssize_t _first_without_inverse(self, const uint64_t[::1] buf, Py_ssize_t n) except -1:
        cdef Py_ssize_t i
        canonical = np.zeros((1, self.limbs), np.uint64)
        for i in range(n):
            self.store(canonical, buf, np.array([i], np.int64), 0, 1)
            if gmpy2.gcd(gmpy2.mpz.from_bytes(canonical.tobytes(), "little"), self.modulus) != 1:
                return i
        raise RuntimeError("a product has no inverse, but each of its factors has")


cdef class Comb:
    """Powers of one base with secret exponents: the tables of ``bt_comb`` in separate memory.

    Parameters
    ----------
    mont : Montgomery
    base : ndarray of uint64, shape (1, mont.limbs)
        Canonical.
    ebits : int
        Bits of the longest exponent, 0 to 2^24.
    table_bytes : int
        Most memory that the table may take.

    Raises
    ------
    ValueError
        If `ebits` (the public ``exponent_bits``) is out of range, or not even the smallest table fits `table_bytes`.
    """

    def __cinit__(self, Montgomery mont not None, const uint64_t[:, ::1] base not None, Py_ssize_t ebits,
                  Py_ssize_t table_bytes):
        mont.check_rows(base.shape[0], base.shape[1], 0, 1, "base")
        if not 0 <= ebits <= MAX_COMB_BITS:
            raise ValueError(f"exponent_bits must be at most {MAX_COMB_BITS} and not negative, not {ebits}")
        if table_bytes < 0:
            raise ValueError(f"table_bytes must not be negative, not {table_bytes}")
        self.mont = mont
        cdef size_t window = bt_comb_window(&mont.mont, ebits, table_bytes)
        if window == 0:
            least = 8 * bt_comb_table_words(&mont.mont, ebits, 1)
            raise ValueError(f"table_bytes = {table_bytes} is too small: the smallest table takes {least} bytes")
        self.table = new_words(bt_comb_table_words(&mont.mont, ebits, window))
        bt_comb_init(&self.comb, &mont.mont, ebits, window, self.table)
        element = mont.empty(1)
        mont.load(element, base, 0, 1)
        cdef const uint64_t[::1] first = element
        cdef bt_word *scratch = new_words(bt_comb_build_scratch(&self.comb))
        cdef size_t done = 0, step
        # about 50 ms at 1.5 ns per limb product, 64 squarings of two groups of four a step, so that Ctrl-C is seen between
        cdef size_t most = 33000000 // (512 * mont.mod.limbs * mont.mod.limbs) + 1
        try:
            while done < self.comb.build_steps:
                step = self.comb.build_steps - done
                if step > most:
                    step = most
                with nogil:
                    bt_comb_build(&self.comb, &first[0], done, step, 0, scratch)
                PyErr_CheckSignals()
                done += step
        finally:
            free(scratch)

    def __dealloc__(self):
        free(self.table)

    @property
    def window(self):
        """Bits of a window."""
        return self.comb.window

    @property
    def steps(self):
        """Steps of a power: a squaring, and a product for each row of the table."""
        return self.comb.steps

    @property
    def rows(self):
        """Rows of the table, which is the most products that a step takes."""
        return self.comb.rows

    @property
    def table_bytes(self):
        """Bytes of the table."""
        return 8 * self.comb.rows * self.comb.row_words

    def pow(self, uint64_t[::1] dst not None, const uint64_t[:, ::1] exps not None, Py_ssize_t lo, Py_ssize_t hi,
            Py_ssize_t first=0, count=None):
        """``dst[i] = base ** exps[i]``; exponents are secret and below ``2 ** ebits``.

        With `first` and `count` only these of its steps, which are taken in order from step 0, which only writes `dst`.
        """
        cdef Py_ssize_t steps = self.comb.steps, some = steps - first if count is None else count
        if not (0 <= first <= steps and 0 <= some <= steps - first):
            raise ValueError(f"steps [{first}, {first} + {some}) are outside the {steps} steps of a power")
        self.mont.check_range(lo, hi, dst.shape[0])
        self.mont.check_exponents(exps.shape[1], self.comb.ebits)
        if hi > exps.shape[0]:
            raise ValueError(f"exps has {exps.shape[0]} rows, not {hi}")
        if lo == hi:
            return
        cdef size_t n = hi - lo, el = exps.shape[1], size = bt_comb_pow_scratch(&self.comb, n)
        cdef const bt_limb *e = &exps[lo, 0] if el else NULL
        cdef bt_word *scratch = new_words(size)
        with nogil:
            if steps == 0:
                self.mont.mont.ops.one(&self.mont.mont, &dst[0] + bt_mont_offset(&self.mont.mont, lo), n)
            bt_comb_pow_part(&self.comb, &dst[0] + bt_mont_offset(&self.mont.mont, lo), n, e, el, first, some, scratch)
            drop_words(scratch, size, True)
