/* The interface of a Montgomery backend: arithmetic on arrays of residues in the backend's own layout.
 *
 * An array of n elements is bt_mont_words(ctx, n) words. Elements are kept in groups of `lanes` (1 for mpn, 4 for the AVX2
 * backend, 8 for AVX-512 IFMA), so the word offset of element i is private to the backend: other code moves elements with gather,
 * scatter and put, and may split an array only at multiples of `lanes`. The lanes that pad the last group always hold valid
 * residues.
 *
 * Every operation below takes n >= 0 elements, reads and writes whole groups, and lets dst be equal to (not partly overlap) a
 * source. The Montgomery factor R, the digit radix and the range in which an element is kept between operations are private to
 * the backend: only `load` and `store` convert. `store` gives canonical residues.
 *
 * `secret`: nonzero when an operand may be secret; then neither branch nor address depends on it. load, store, gather,
 * scatter, put (their indices are public), select_* and one are always safe for secret elements. */
#ifndef BT_MONT_H
#define BT_MONT_H

#include "bt_modulus.h"

typedef struct bt_mont bt_mont;

typedef struct bt_mont_ops {
    const char *name;            /* "mpn", "fma", "ifma"; of pairs, that of the backend that they belong to */
    size_t lanes;                /* at most BT_MAX_LANES */
    size_t min_limbs, max_limbs; /* the moduli that it accepts */
    int (*available)(void);      /* whether this CPU has the instructions that it needs */
    /* sizes in words, from a validated limb count */
    size_t (*elem_words)(size_t limbs);    /* one element within a full group */
    size_t (*const_words)(size_t limbs);   /* constants that init computes */
    size_t (*scratch_words)(size_t limbs); /* scratch of any one operation below, whatever n */
    bt_status (*init)(bt_mont *ctx, bt_word *consts, bt_word *scratch);

    /* src: n values of mod->limbs limbs each, any value below 2^(64 limbs) (not only below m) */
    void (*load)(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch);
    void (*store)(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch);
    void (*one)(const bt_mont *ctx, bt_word *dst, size_t n);
    void (*mul)(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t n, int secret,
                bt_word *scratch);
    void (*sqr)(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t n, int secret, bt_word *scratch);

    /* dst[i] = src[idx[i]]; idx NULL means 0, 1, 2, ... Indices are public and already checked. */
    void (*gather)(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t n);
    /* dst[first + i] = src[i]; first need not be a multiple of lanes; neighbours in the same group are kept */
    void (*scatter)(const bt_mont *ctx, bt_word *dst, size_t first, const bt_word *src, size_t n);
    /* dst[idx[i]] = src[i]; indices are public, checked, and no two are equal; other elements in the same groups are kept */
    void (*put)(const bt_mont *ctx, bt_word *dst, const int64_t *idx, const bt_word *src, size_t n);
    /* dst[i] = table[digit[i]]: one table of `rows` elements (an ordinary array) for all; reads it whole for each i */
    void (*select_shared)(const bt_mont *ctx, bt_word *dst, const bt_word *table, size_t rows, const uint32_t *digit,
                          size_t n);
    /* dst[i] = table_{digit[i]}[i]: `rows` arrays of n elements, `stride` words apart; reads all rows for each i */
    void (*select_own)(const bt_mont *ctx, bt_word *dst, const bt_word *tables, size_t rows, size_t stride,
                       const uint32_t *digit, size_t n);

    /* Arithmetic modulo m = M^2 on pairs (r, s) = r + s M, for moduli whose `root` is M, with the same lanes: NULL if there is
     * none; those of pairs are themselves. Its min_limbs and max_limbs are those of m for which it is the faster one. */
    const struct bt_mont_ops *pairs;
} bt_mont_ops;

struct bt_mont {
    const bt_mont_ops *ops;
    const bt_modulus *mod;
    size_t elem_words;
    const bt_word *consts;
};

#define BT_MAX_LANES 8

extern const bt_mont_ops bt_mont_mpn, bt_mont_mpn_pairs;
#if defined(__x86_64__) || defined(BT_IFMA_EMULATE)
extern const bt_mont_ops bt_mont_ifma, bt_mont_ifma_pairs;
#endif
#if defined(__x86_64__)
extern const bt_mont_ops bt_mont_fma, bt_mont_fma_pairs;
#endif

/* Every backend of this build, the fastest first, mpn last; ends with NULL. Some may not be available on this CPU. */
extern const bt_mont_ops *const bt_mont_backends[];

/* The backend that BLUETUSK_BACKEND names ("mpn", "fma", "ifma"; unset or "auto" = the fastest this CPU has), or NULL if the
 * name is unknown or the CPU lacks it. */
const bt_mont_ops *bt_mont_pick(const char *name);

/* `ops` if it accepts moduli of this many limbs, else the mpn backend, which accepts all. */
const bt_mont_ops *bt_mont_for(const bt_mont_ops *ops, size_t limbs);

/* The same for a square that knows its root: the pairs of `ops` or of mpn, for the sizes at which they are the faster ones. */
const bt_mont_ops *bt_mont_for_square(const bt_mont_ops *ops, size_t limbs);

/* Binds a modulus to a backend. consts: ops->const_words(limbs) words that outlive ctx; scratch: ops->scratch_words. */
bt_status bt_mont_init(bt_mont *ctx, const bt_mont_ops *ops, const bt_modulus *mod, bt_word *consts, bt_word *scratch);

/* Words of an array of n elements, padding included. */
static inline size_t bt_mont_words(const bt_mont *ctx, size_t n)
{
    size_t lanes = ctx->ops->lanes;
    return (n + lanes - 1) / lanes * lanes * ctx->elem_words;
}

/* Word offset of element i, for i a multiple of lanes. */
static inline size_t bt_mont_offset(const bt_mont *ctx, size_t i)
{
    return i * ctx->elem_words;
}

static inline size_t bt_mont_scratch(const bt_mont *ctx)
{
    return ctx->ops->scratch_words(ctx->mod->limbs);
}

#endif
