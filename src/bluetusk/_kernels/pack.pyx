"""Binding of csrc/bt_pack: quantise, pack, unpack, signed integers <-> residues. Checks sizes, releases the GIL."""

from libc.stdint cimport int64_t, uint64_t

import numpy as np

from ..errors import EncodingOverflow

from bluetusk._kernels.limb cimport BT_ERR_OVERFLOW, BT_OK, bt_status

cdef extern from "bt_pack.h" nogil:
    enum:
        BT_PACK_MAX_FRAC2
        BT_PACK_MAX_FRAC10
        BT_PACK_MIN_SLOT
        BT_PACK_MAX_SLOT
    ctypedef struct bt_scale:
        unsigned base
        unsigned frac
        uint64_t limit
        double inner
    ctypedef struct bt_quant_report:
        size_t clipped
        size_t nonfinite
    bt_status bt_quantise(int64_t *out, const double *x, size_t n, const bt_scale *scale, const uint64_t *words,
                          bt_quant_report *report)
    bt_status bt_quantise_int(int64_t *out, const int64_t *v, int is_unsigned, size_t n, const bt_scale *scale,
                              bt_quant_report *report)
    void bt_sum_squares(uint64_t *sum, const int64_t *v, size_t n)
    bt_status bt_shrink(int64_t *v, size_t n, uint64_t factor, unsigned shift)
    bt_status bt_to_double(double *out, const int64_t *v, size_t n, uint64_t divisor, unsigned shift)
    bt_status bt_residues_from_int64(uint64_t *out, const int64_t *v, size_t count, const uint64_t *n, size_t limbs)
    bt_status bt_int64_from_residues(int64_t *out, size_t *first_bad, const uint64_t *res, size_t count,
                                     const uint64_t *n, size_t limbs)
    bt_status bt_pack_slots(uint64_t *out, const int64_t *v, size_t rows, size_t m, unsigned slot_bits, size_t slots,
                            const uint64_t *n, size_t limbs)
    bt_status bt_unpack_slots(int64_t *out, size_t *first_bad, const uint64_t *res, size_t rows, size_t m,
                              unsigned slot_bits, size_t slots, const uint64_t *n, size_t limbs)

MAX_FRAC2 = BT_PACK_MAX_FRAC2
MAX_FRAC10 = BT_PACK_MAX_FRAC10
MIN_SLOT = BT_PACK_MIN_SLOT
MAX_SLOT = BT_PACK_MAX_SLOT


cdef int _same(Py_ssize_t got, Py_ssize_t want, str what) except -1:
    if got != want:
        raise ValueError(f"{what}: got {got}, need {want}")
    return 0


cdef int _check_modulus(const uint64_t[::1] n) except -1:
    # the C side refuses the rest; this names the argument
    if n.shape[0] < 1 or n[n.shape[0] - 1] == 0:
        raise ValueError("modulus_limbs must have a non-zero top limb")
    return 0


cdef bt_scale _scale(unsigned base, unsigned frac, uint64_t limit, double inner):
    cdef bt_scale scale
    scale.base = base
    scale.frac = frac
    scale.limit = limit
    scale.inner = inner
    return scale


cdef tuple _reported(bt_status rc, bt_quant_report *report):
    if rc != BT_OK:
        raise ValueError("base must be 2 or 10, frac and limit within range, inner finite and not negative")
    return report.clipped, report.nonfinite


def quantise(const double[::1] x not None, int64_t[::1] out not None, unsigned base, unsigned frac, uint64_t limit,
             double inner=0.0, const uint64_t[::1] words=None):
    """Round ``x * base**frac`` to integers within the limit; report what was clipped and what was not finite."""
    _same(out.shape[0], x.shape[0], "length of out")
    cdef const uint64_t *random_words = NULL
    if words is not None:
        _same(words.shape[0], x.shape[0], "length of words")
        random_words = &words[0]
    cdef bt_scale scale = _scale(base, frac, limit, inner)
    cdef bt_quant_report report
    cdef bt_status rc
    with nogil:
        rc = bt_quantise(&out[0], &x[0], x.shape[0], &scale, random_words, &report)
    return _reported(rc, &report)


def quantise_int64(const int64_t[::1] v not None, int64_t[::1] out not None, unsigned base, unsigned frac,
                   uint64_t limit):
    """Scale int64 values by ``base**frac`` exactly, within the limit."""
    _same(out.shape[0], v.shape[0], "length of out")
    cdef bt_scale scale = _scale(base, frac, limit, 0.0)
    cdef bt_quant_report report
    cdef bt_status rc
    with nogil:
        rc = bt_quantise_int(&out[0], &v[0], 0, v.shape[0], &scale, &report)
    return _reported(rc, &report)


def quantise_uint64(const uint64_t[::1] v not None, int64_t[::1] out not None, unsigned base, unsigned frac,
                    uint64_t limit):
    """Scale uint64 values by ``base**frac`` exactly, within the limit."""
    _same(out.shape[0], v.shape[0], "length of out")
    cdef bt_scale scale = _scale(base, frac, limit, 0.0)
    cdef bt_quant_report report
    cdef bt_status rc
    with nogil:
        rc = bt_quantise_int(&out[0], <const int64_t *>&v[0], 1, v.shape[0], &scale, &report)
    return _reported(rc, &report)


def sum_squares(const int64_t[::1] v not None):
    """Return the sum of squares as an exact int."""
    cdef uint64_t parts[3]
    with nogil:
        bt_sum_squares(parts, &v[0], v.shape[0])
    return int(parts[0]) + (int(parts[1]) << 64) + (int(parts[2]) << 128)


def shrink(int64_t[::1] v not None, uint64_t factor, unsigned shift):
    """Multiply by ``factor / 2**shift < 1`` in place, toward zero."""
    cdef bt_status rc
    with nogil:
        rc = bt_shrink(&v[0], v.shape[0], factor, shift)
    if rc != BT_OK:
        raise ValueError(f"shift must be at least 64, not {shift}")


def to_double(const int64_t[::1] v not None, double[::1] out not None, uint64_t divisor, unsigned shift):
    """Compute ``out = v / (divisor * 2**shift)``, rounded half to even once."""
    _same(out.shape[0], v.shape[0], "length of out")
    cdef bt_status rc
    with nogil:
        rc = bt_to_double(&out[0], &v[0], v.shape[0], divisor, shift)
    if rc != BT_OK:
        raise ValueError(f"divisor must not be 0 and shift at most {BT_PACK_MAX_FRAC2}")


def residues_from_int64(const int64_t[::1] v not None, const uint64_t[::1] modulus_limbs not None,
                        uint64_t[:, ::1] out not None):
    """Compute ``out[i] = v[i] mod n``; time does not depend on the values."""
    _check_modulus(modulus_limbs)
    _same(out.shape[0], v.shape[0], "rows of out")
    _same(out.shape[1], modulus_limbs.shape[0], "limbs of out")
    cdef bt_status rc
    with nogil:
        rc = bt_residues_from_int64(&out[0, 0], &v[0], v.shape[0], &modulus_limbs[0], modulus_limbs.shape[0])
    if rc == BT_ERR_OVERFLOW:
        raise EncodingOverflow("a value of v exceeds (n - 1) / 2: use a larger modulus")
    if rc != BT_OK:
        raise ValueError("modulus_limbs must hold a modulus of at least 3 and at most 16384 bits")


def int64_from_residues(const uint64_t[:, ::1] res not None, const uint64_t[::1] modulus_limbs not None,
                        int64_t[::1] out not None):
    """Compute centred remainders; return the first row that is not below n or does not fit, else -1."""
    _check_modulus(modulus_limbs)
    _same(res.shape[1], modulus_limbs.shape[0], "limbs of res")
    _same(out.shape[0], res.shape[0], "length of out")
    cdef bt_status rc
    cdef size_t bad = 0
    with nogil:
        rc = bt_int64_from_residues(&out[0], &bad, &res[0, 0], res.shape[0], &modulus_limbs[0],
                                    modulus_limbs.shape[0])
    if rc != BT_OK:
        raise ValueError("modulus_limbs must hold a modulus of at least 3 and at most 16384 bits")
    return -1 if bad == <size_t>res.shape[0] else bad


cdef Py_ssize_t _blocks(Py_ssize_t m, long slot_bits, long slots) except -1:
    if slots < 1 or not BT_PACK_MIN_SLOT <= slot_bits <= BT_PACK_MAX_SLOT:
        raise ValueError(f"slots_per_ct must be positive and slot_bits {BT_PACK_MIN_SLOT} to {BT_PACK_MAX_SLOT}")
    return m // slots + (m % slots != 0)


def pack_slots(const int64_t[:, ::1] v not None, long slot_bits, long slots_per_ct,
               const uint64_t[::1] modulus_limbs not None, uint64_t[:, ::1] out not None):
    """Pack every row of v into blocks of balanced slots, one residue mod n each."""
    _check_modulus(modulus_limbs)
    cdef Py_ssize_t blocks = _blocks(v.shape[1], slot_bits, slots_per_ct)
    _same(out.shape[0], v.shape[0] * blocks, "rows of out")
    _same(out.shape[1], modulus_limbs.shape[0], "limbs of out")
    cdef bt_status rc
    with nogil:
        rc = bt_pack_slots(&out[0, 0], &v[0, 0], v.shape[0], v.shape[1], slot_bits, slots_per_ct, &modulus_limbs[0],
                           modulus_limbs.shape[0])
    if rc == BT_ERR_OVERFLOW:
        raise EncodingOverflow(f"a value of v exceeds a slot of {slot_bits} bits: use wider slots")
    if rc != BT_OK:
        raise ValueError("slot_bits * slots_per_ct must be at most the bits of the modulus minus 2")


def unpack_slots(const uint64_t[:, ::1] res not None, long slot_bits, long slots_per_ct,
                 const uint64_t[::1] modulus_limbs not None, int64_t[:, ::1] out not None):
    """Unpack what pack_slots packed; return the first block that is not packed slots, else -1."""
    _check_modulus(modulus_limbs)
    cdef Py_ssize_t blocks = _blocks(out.shape[1], slot_bits, slots_per_ct)
    _same(res.shape[0], out.shape[0] * blocks, "rows of res")
    _same(res.shape[1], modulus_limbs.shape[0], "limbs of res")
    cdef bt_status rc
    cdef size_t bad = 0
    with nogil:
        rc = bt_unpack_slots(&out[0, 0], &bad, &res[0, 0], out.shape[0], out.shape[1], slot_bits, slots_per_ct,
                             &modulus_limbs[0], modulus_limbs.shape[0])
    if rc != BT_OK:
        raise ValueError("slot_bits * slots_per_ct must be at most the bits of the modulus minus 2")
    return -1 if bad == <size_t>res.shape[0] else bad


def residues_from_ints(values, modulus, Py_ssize_t limbs):
    """Return the rows ``v mod n`` of Python ints; time depends on the values."""
    n = int(modulus)
    if n < 3 or limbs < 1 or n.bit_length() > 64 * limbs:
        raise ValueError(f"modulus must be at least 3 and fit {limbs} limbs")
    half = (n - 1) // 2
    rows = []
    for i, value in enumerate(values):
        v = value.__index__()
        if not -half <= v <= half:
            raise EncodingOverflow(f"values[{i}] exceeds (n - 1) / 2: use a larger modulus")
        rows.append((v % n).to_bytes(8 * limbs, "little"))
    return np.frombuffer(bytearray(b"".join(rows)), dtype="<u8").astype(np.uint64, copy=False).reshape(-1, limbs)


def ints_from_residues(const uint64_t[:, ::1] res not None, modulus):
    """Return the centred remainders as Python ints."""
    n = int(modulus)
    if n < 3:
        raise ValueError("modulus must be at least 3")
    half = (n - 1) // 2
    cdef Py_ssize_t width = 8 * res.shape[1], i
    data = np.asarray(res).astype("<u8", copy=False).tobytes()
    out = []
    for i in range(res.shape[0]):
        v = int.from_bytes(data[i * width:(i + 1) * width], "little")
        if v >= n:
            raise ValueError(f"res[{i}] is not below the modulus")
        out.append(v if v <= half else v - n)
    return out
