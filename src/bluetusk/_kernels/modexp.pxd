from libc.stdint cimport int64_t, uint64_t

from bluetusk._kernels.limb cimport bt_limb, bt_status, bt_word


cdef extern from "bt_cpu.h" nogil:
    const char *bt_compiler()


cdef extern from "bt_gmp.h" nogil:
    bt_status bt_gmp_load(const char *path, const char **lacks)
    struct bt_gmp_functions:
        const char *version
    bt_gmp_functions bt_gmp


cdef extern from "bt_modulus.h" nogil:
    ctypedef struct bt_modulus:
        size_t bits
        size_t limbs
        const bt_limb *m
        const bt_limb *r1
        const bt_limb *r2
        const bt_modulus *root
    size_t bt_modulus_storage(size_t limbs)
    bt_status bt_modulus_init(bt_modulus *mod, const bt_limb *m, size_t limbs, bt_limb *storage)


cdef extern from "bt_mont.h" nogil:
    ctypedef struct bt_mont
    ctypedef struct bt_mont_ops:
        const char *name
        size_t lanes
        size_t (*elem_words)(size_t limbs) noexcept nogil
        size_t (*const_words)(size_t limbs) noexcept nogil
        size_t (*scratch_words)(size_t limbs) noexcept nogil
        void (*load)(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch) noexcept nogil
        void (*store)(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch) noexcept nogil
        void (*one)(const bt_mont *ctx, bt_word *dst, size_t n) noexcept nogil
        void (*mul)(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t n, int secret,
                    bt_word *scratch) noexcept nogil
        void (*sqr)(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t n, int secret,
                    bt_word *scratch) noexcept nogil
        void (*gather)(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t n) noexcept nogil
    ctypedef struct bt_mont:
        const bt_mont_ops *ops
        const bt_modulus *mod
        size_t elem_words
    const bt_mont_ops *bt_mont_pick(const char *name)
    const bt_mont_ops *bt_mont_for(const bt_mont_ops *ops, size_t limbs)
    const bt_mont_ops *bt_mont_for_square(const bt_mont_ops *ops, size_t limbs)
    bt_status bt_mont_init(bt_mont *ctx, const bt_mont_ops *ops, const bt_modulus *mod, bt_word *consts,
                           bt_word *scratch)
    size_t bt_mont_words(const bt_mont *ctx, size_t n)
    size_t bt_mont_offset(const bt_mont *ctx, size_t i)
    size_t bt_mont_scratch(const bt_mont *ctx)


cdef extern from "bt_modexp.h" nogil:
    size_t bt_pow_secret_scratch(const bt_mont *ctx, size_t n, size_t ebits)
    void bt_pow_secret(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                       size_t estride, size_t ebits, bt_word *scratch)
    size_t bt_pow_public_scratch(const bt_mont *ctx, size_t n, size_t ebits)
    void bt_pow_public(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                       size_t estride, size_t ebits, int secret_base, bt_word *scratch)
    void bt_pow_secret_part(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                            size_t estride, size_t ebits, size_t low, size_t high, bt_word *scratch)
    void bt_pow_public_part(const bt_mont *ctx, bt_word *dst, const bt_word *base, size_t n, const bt_limb *e,
                            size_t estride, size_t ebits, size_t low, size_t high, int secret_base, bt_word *scratch)

    ctypedef struct bt_comb:
        const bt_mont *ctx
        size_t ebits
        size_t window
        size_t rows
        size_t steps
        size_t row_words
        size_t build_steps
        bt_word *table
    size_t bt_comb_window(const bt_mont *ctx, size_t ebits, size_t table_bytes)
    size_t bt_comb_table_words(const bt_mont *ctx, size_t ebits, size_t window)
    void bt_comb_init(bt_comb *comb, const bt_mont *ctx, size_t ebits, size_t window, bt_word *table)
    size_t bt_comb_build_scratch(const bt_comb *comb)
    void bt_comb_build(bt_comb *comb, const bt_word *base, size_t first, size_t count, int secret, bt_word *scratch)
    size_t bt_comb_pow_scratch(const bt_comb *comb, size_t n)
    void bt_comb_pow(const bt_comb *comb, bt_word *dst, size_t n, const bt_limb *e, size_t el, bt_word *scratch)
    void bt_comb_pow_part(const bt_comb *comb, bt_word *dst, size_t n, const bt_limb *e, size_t el, size_t first,
                          size_t count, bt_word *scratch)

    size_t bt_multiexp_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
    void bt_multiexp(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                     const bt_limb *e, size_t el, size_t ebits, size_t rows, bt_word *scratch)
    void bt_multiexp_more(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                          const bt_limb *e, size_t el, size_t ebits, size_t rows, bt_word *scratch)
    size_t bt_prod_scratch(const bt_mont *ctx, size_t rows, size_t m)
    void bt_prod(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t rows, size_t m,
                 bt_word *scratch)
    size_t bt_bincount_scratch(const bt_mont *ctx)
    void bt_bincount(const bt_mont *ctx, bt_word *dst, size_t bins, size_t features, size_t width, const bt_word *src,
                     const int64_t *idx, const int64_t *code, size_t n, bt_word *scratch)
    size_t bt_multiexp_sparse_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
    void bt_multiexp_sparse(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                            const int64_t *start, const int64_t *row, const bt_limb *e, size_t el, size_t ebits,
                            size_t rows, bt_word *scratch)
    size_t bt_scan_scratch(const bt_mont *ctx)
    void bt_scan(const bt_mont *ctx, bt_word *dst, size_t stride, const bt_word *src, const int64_t *idx, size_t rows,
                 size_t steps, int more, bt_word *scratch)
    size_t bt_batch_scratch(const bt_mont *ctx)
    void bt_batch_prefix(const bt_mont *ctx, bt_word *prefix, bt_word *total, const bt_word *a, size_t n,
                         bt_word *scratch)
    void bt_batch_unwind(const bt_mont *ctx, bt_word *a, const bt_word *prefix, const bt_word *inv, size_t n,
                         bt_word *scratch)
    size_t bt_indexed_scratch(const bt_mont *ctx)
    void bt_mul_indexed(const bt_mont *ctx, bt_word *dst, const bt_word *a, const int64_t *ia, const bt_word *b,
                        const int64_t *ib, size_t n, int secret, bt_word *scratch)
    void bt_store_indexed(const bt_mont *ctx, bt_limb *dst, const bt_word *a, const int64_t *ia, size_t n,
                          bt_word *scratch)


cdef bt_word *new_words(size_t n) except NULL
cdef void drop_words(bt_word *p, size_t n, bint secret) noexcept nogil


cdef class Montgomery:
    # mod and mont stay where they are as long as the object lives; other extensions may keep pointers to them with it
    cdef bt_modulus mod, mod_root
    cdef bt_mont mont
    cdef bt_limb *storage
    cdef bt_limb *root_storage  # NULL unless the modulus is a square by its root
    cdef bt_word *consts
    cdef readonly object modulus, root

    cdef int _bind_root(self) except -1
    cdef int check_range(self, Py_ssize_t lo, Py_ssize_t hi, Py_ssize_t words) except -1
    cdef const int64_t[::1] own_index(self, const int64_t[::1] idx, Py_ssize_t lo, Py_ssize_t hi, Py_ssize_t words,
                                      str name)
    cdef int check_exponents(self, Py_ssize_t el, Py_ssize_t ebits) except -1
    cdef int check_rows(self, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t lo, Py_ssize_t hi, str name) except -1
    cdef int _pow(self, uint64_t[::1] dst, const uint64_t[::1] a, const int64_t[::1] ia, const uint64_t[:, ::1] exps,
                  Py_ssize_t ebits, Py_ssize_t low, Py_ssize_t high, Py_ssize_t lo, Py_ssize_t hi, bint secret) except -1
    cdef Py_ssize_t _first_without_inverse(self, const uint64_t[::1] buf, Py_ssize_t n) except -1


cdef class Comb:
    cdef readonly Montgomery mont
    cdef bt_comb comb
    cdef bt_word *table
