/* The AVX2 backend modulo squares m = M^2: four pairs (r, s) = r + s M at a time.
 *
 * Layout. N is that of M (bt_mont_fma.c has digits, columns and products): an element is the N digits of r and then the N of s, each
 * of them balanced and carried once, with |r|, |s| <= .16 B^N.
 *
 * Products. With R = B^N and the rows of Montgomery of r1 r2, that is r1 r2 + Q M = r R,
 *
 *     (r1 + s1 M) (r2 + s2 M) / R = r + M (r1 s2 + s1 r2 - Q) / R   (mod M^2).
 *
 * All reductions are N rows of Montgomery: a fold of the top digits t is a multiple of M that has as many digits as what it leaves,
 * and that multiple would have to be known (t k with k of more than N / 2 digits), which costs more than Karatsuba saves in it.
 *
 * Ranges. M < B^N / 8 as 50 N >= 64 limbs + 3, and |Q| <= (1/2 + 2^-37) B^N. Let |r| <= a B^N and |s| <= b B^N. Then
 *
 *     |r| / B^N: a^2 + .0626 < .09 for a = .16      |s| / B^N: 2 a b + .0626 + 2^-200 < .12 for b = .16.
 *
 * Columns. At most 82 digits, so two levels of Karatsuba, and a product below 4^2 22 2^50 < 2^58.5. Two of them, Q, and the rows'
 * N 2^50: below 2^60.
 *
 * load: x = x0 + x1 B^N with |x0| <= (1/2 + 2^-37) B^N, |x1| < B^N / 2^5, and x R = x0 R^2 / R + x1 R^3 / R, where R^2 and R^3 are results of
 * products, below .12 B^N: |r|, |s| <= (.06 + .004 + .0626) B^N.
 * store: (r, s) times (1, 0): |r| <= .51 M, |s| <= .501 M, so r + s M + m lies between .49 m and 1.51 m.
 *
 * With -DBT_VERIFY these bounds are checked as the program runs. Nothing here branches or indexes by an element's value, so
 * `secret` is ignored. docs/decisions/pairs.md has the measurements. */
#include "bt_cpu.h"
#include "bt_gmp.h"
#include "bt_mont.h"

#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "bt_mont_fma_reduce.h"
#include "bt_mont_pairs.h"

/* limbs of m */
enum { MIN_PAIRS = 15, MAX_PAIRS = 128 };

/* --- set up ----------------------------------------------------------------------------------------------------------------- */

/* of M */
INLINE shape shape_of_root(size_t limbs)
{
    shape s = shape_of(root_limbs(limbs));
    s.f1 = 0;
    s.f2 = 0;
    s.kr = s.n;
    return s;
}

INLINE constants constants_of(const bt_mont *ctx)
{
    constants c = {.s = shape_of_root(ctx->mod->limbs)};
    vi *p = aligned(ctx->consts);
    const int n = c.s.n;
    c.m = (vd *)take(&p, n);
    c.minus_inverse = (vd *)take(&p, 1);
    c.r1 = (vd *)take(&p, 2 * n);
    c.r2 = (vd *)take(&p, 2 * n);
    c.r3 = (vd *)take(&p, 2 * n);
    c.bias_rows = take(&p, 2 * n);
    c.bias_mul = take(&p, 2 * n);
    c.bias_sqr = take(&p, 2 * n);
    c.bias_cross = take(&p, 2 * n);
    c.bias_clean = take(&p, 2 * n);
    return c;
}

static size_t mont_const_words(size_t limbs)
{
    return LANES * (size_t)(17 * shape_of_root(limbs).n + 2);
}

static size_t mont_elem_words(size_t limbs)
{
    return 2 * (size_t)shape_of_root(limbs).n;
}

/* columns of two products, a quotient, copies of two operands and of the result, work space of products (bt_mont_fma.c), one
 * vector to align all; rows of limbs */
static size_t mont_scratch_words(size_t limbs)
{
    const size_t n = (size_t)shape_of_root(limbs).n;
    return LANES * (11 * n + 7 * n + 64 + 1) + 4 * limbs + 16;
}

typedef struct areas {
    vi *rr, *cross; /* [2 n] columns */
    vd *q;          /* [n] */
    vd *a, *b, *r;  /* [2 n] copies */
    vi *work;
} areas;

INLINE areas areas_of(bt_word *scratch, int n)
{
    areas w;
    w.work = aligned(scratch);
    w.rr = take(&w.work, 2 * n);
    w.cross = take(&w.work, 2 * n);
    w.q = (vd *)take(&w.work, n);
    w.a = (vd *)take(&w.work, 2 * n);
    w.b = (vd *)take(&w.work, 2 * n);
    w.r = (vd *)take(&w.work, 2 * n);
    return w;
}

#ifdef BT_VERIFY
static int pair(const vd *x, int n)
{
    for (int j = 0; j < 2 * n; j++) {
        const double most = j % n == n - 1 ? 0x1.48p47 : 0x1.00000000080p49; /* 1.28 2^47 = .16 2^50 */
        if (!within(x[j], -most, most))
            return 0;
    }
    return 1;
}
#endif

/* --- operations ----------------------------------------------------------------------------------------------------------- */

OUTLINE void montgomery_q(vd *restrict r, vi *restrict acc, const constants *c, vd *restrict q)
{
    rows_of_montgomery(r, acc, c, q);
}

INLINE vi integer(vd x)
{
    return sub(bits(_mm256_add_pd(x, reals(K3))), ints(LOW0));
}

/* the pair at out = (rr + cross M) / R mod M^2, of columns that hold the biases of the rows */
INLINE void reduce_pair(vd *out, const constants *c, const areas *w)
{
    const int n = c->s.n;
    montgomery_q(out, w->rr, c, w->q);
    for (int k = 0; k < n; k++)
        w->cross[k] = sub(w->cross[k], integer(w->q[k]));
    montgomery(out + n, w->cross, c);
    VERIFY(pair(out, n));
}

/* see bt_mont_lanes.h */
static void products(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t b_step, size_t n,
                     bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const int half = c.s.n;
    const size_t step = LANES * ctx->elem_words;
    const areas w = areas_of(scratch, half);
    const unsigned mode = enter();
    for (size_t g = 0; g < groups(n); g++, dst += step, a += step) {
        const vd *x = operand(a, w.a, 2 * half);
        vd *r = (uintptr_t)dst % sizeof(vd) == 0 ? (vd *)(void *)dst : w.r;
        VERIFY(pair(x, half));
        if (b) {
            const vd *y = operand(b, w.b, 2 * half);
            VERIFY(pair(y, half));
            product(w.rr, c.bias_mul, x, y, half, 0, w.work);
            product(w.cross, c.bias_cross, x, y + half, half, 0, w.work);
            product(w.cross, w.cross, x + half, y, half, 0, w.work);
            b += b_step;
        } else {
            square(w.rr, c.bias_sqr, x, half, 0, w.work);
            product(w.cross, c.bias_clean, x, x + half, half, 0, w.work);
            for (int k = 0; k < 2 * half; k++)
                w.cross[k] = add(add(w.cross[k], w.cross[k]), c.bias_rows[k]);
        }
        reduce_pair(r, &c, &w);
        if (r == w.r)
            memcpy(dst, r, step * sizeof *dst);
    }
    leave(mode);
}

/* the constants that the products and the rows leave in the columns */
static void init_biases(const constants *c, const areas *w)
{
    const int n = c->s.n;
    vd *zeros = w->a;
    init_bias_rows(c);
    for (int k = 0; k < n; k++)
        zeros[k] = _mm256_setzero_pd();
    for (int k = 0; k < 2 * n; k++)
        c->bias_clean[k] = _mm256_setzero_si256();
    product(w->rr, c->bias_clean, zeros, zeros, n, 0, w->work);
    square(w->cross, NULL, zeros, n, 0, w->work);
    for (int k = 0; k < 2 * n; k++) {
        c->bias_clean[k] = sub(c->bias_clean[k], w->rr[k]);
        c->bias_mul[k] = sub(c->bias_rows[k], w->rr[k]);
        c->bias_cross[k] = sub(c->bias_mul[k], w->rr[k]);
        c->bias_sqr[k] = sub(c->bias_rows[k], w->cross[k]);
    }
}

static bt_status mont_init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    const bt_modulus *root = ctx->mod->root;
    if (!bt_gmp.add_n)
        return BT_ERR_GMP;
    if (!root || root->limbs != root_limbs(ctx->mod->limbs))
        return BT_ERR_ARG;
    ctx->consts = consts;
    const constants c = constants_of(ctx);
    const size_t limbs = root->limbs;
    const int n = c.s.n;
    bt_limb *r = scratch, *s = r + limbs + 1, *tmp = s + limbs + 1;
    bt_word *after = tmp + limbs;
    const areas w = areas_of(after, n);
    const unsigned mode = enter();

    digits_of(c.m, n, root->m, limbs);
    c.minus_inverse[0] = unbiased(ints(((root->neg_inv + HALF) & MASK) | TWO52));
    init_biases(&c, &w);
    /* R by doublings, 2^(50 n / 4) R by more (n is even), squared twice, is R^2 */
    power_of_two_pair(r, s, (size_t)(RADIX * n), root, tmp);
    digits_of(c.r1, n, r, limbs);
    digits_of(c.r1 + n, n, s, limbs);
    doubled_pair(r, s, (size_t)(RADIX * n / 4), root, tmp);
    digits_of(c.r2, n, r, limbs);
    digits_of(c.r2 + n, n, s, limbs);
    leave(mode);
    bt_word *const r2 = (bt_word *)(void *)c.r2;
    products(ctx, r2, r2, NULL, 0, 1, after);
    products(ctx, r2, r2, NULL, 0, 1, after);
    products(ctx, (bt_word *)(void *)c.r3, r2, NULL, 0, 1, after);
    return BT_OK;
}

#include "bt_mont_lanes.h"

static void mont_load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const size_t limbs = ctx->mod->limbs;
    const int half = c.s.n;
    const areas w = areas_of(scratch, half);
    const unsigned mode = enter();
    for (size_t i = 0; i < n; i += LANES, dst += LANES * 2 * half) {
        bt_word *x = (bt_word *)(void *)w.a;
        for (size_t l = 0; l < LANES; l++) {
            uint64_t carry = 0;
            for (int j = 0; j < 2 * half; j++) /* zero is the residue that pads */
                x[j * LANES + (int)l] = biased_digit(src + (i + l) * limbs, i + l < n ? limbs : 0, j, &carry);
        }
        for (int j = 0; j < 2 * half; j++)
            w.a[j] = unbiased(bits(w.a[j]));
        product(w.rr, c.bias_cross, w.a, c.r2, half, 0, w.work);
        product(w.rr, w.rr, w.a + half, c.r3, half, 0, w.work);
        product(w.cross, c.bias_cross, w.a, c.r2 + half, half, 0, w.work);
        product(w.cross, w.cross, w.a + half, c.r3 + half, half, 0, w.work);
        reduce_pair(w.r, &c, &w);
        memcpy(dst, w.r, (size_t)(2 * half) * sizeof(vd));
    }
    leave(mode);
}

/* out[limbs] = the value of columns x[0 .. n) of one lane, between -.51 m and .51 m, mod m; sum, less: limbs + 6 and limbs of work */
static void canonical(bt_limb *out, const bt_word *x, int n, const bt_modulus *mod, bt_limb *sum, bt_limb *less)
{
    const size_t limbs = mod->limbs;
    int64_t carry = 0;
    memset(sum, 0, (limbs + 6) * sizeof *sum);
    for (int j = 0; j < n; j++) { /* in two's complement; n digits end at most four limbs above the modulus */
        const size_t at = (size_t)j * RADIX, k = at / 64, shift = at % 64;
        const int64_t t = (int64_t)x[j * LANES] + carry;
        const uint64_t u = (uint64_t)t & MASK;
        carry = t >> RADIX;
        sum[k] |= u << shift;
        if (shift > 64 - RADIX)
            sum[k + 1] |= u >> (64 - shift);
    }
    VERIFY(carry == 0 || carry == -1);
    /* the digits above the modulus are those of the sign */
    const bt_limb over = bt_gmp.add_n((mp_ptr)sum, (mp_srcptr)sum, (mp_srcptr)mod->m, (mp_size_t)limbs);
    subtracted_once(out, sum, over + (bt_limb)carry, mod, less);
}

static void mont_store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const size_t limbs = ctx->mod->limbs;
    const int half = c.s.n;
    const areas w = areas_of(scratch, half);
    bt_limb *sum = (bt_limb *)(void *)w.work, *less = sum + limbs + 6;
    for (size_t i = 0; i < n; i += LANES, src += LANES * 2 * half) {
        const unsigned mode = enter();
        const vd *x = operand(src, w.a, 2 * half);
        VERIFY(pair(x, half));
        for (int k = 0; k < half; k++) {
            w.rr[k] = add(c.bias_rows[k], integer(x[k]));
            w.cross[k] = add(c.bias_rows[k], integer(x[half + k]));
        }
        for (int k = half; k < 2 * half; k++) {
            w.rr[k] = c.bias_rows[k];
            w.cross[k] = c.bias_rows[k];
        }
        reduce_pair(w.r, &c, &w);
        product(w.cross, c.bias_clean, w.r + half, c.m, half, 0, w.work);
        for (int k = 0; k < half; k++)
            w.cross[k] = add(w.cross[k], integer(w.r[k]));
        leave(mode);
        for (size_t l = 0; l < LANES && i + l < n; l++)
            canonical(dst + (i + l) * limbs, (const bt_word *)(const void *)w.cross + l, 2 * half, ctx->mod, sum, less);
    }
}

const bt_mont_ops bt_mont_fma_pairs = {
    .name = "fma",
    .lanes = LANES,
    .min_limbs = MIN_PAIRS,
    .max_limbs = MAX_PAIRS,
    .available = mont_available,
    .elem_words = mont_elem_words,
    .const_words = mont_const_words,
    .scratch_words = mont_scratch_words,
    .init = mont_init,
    .load = mont_load,
    .store = mont_store,
    .one = mont_one,
    .mul = mont_mul,
    .sqr = mont_sqr,
    .gather = mont_gather,
    .scatter = mont_scatter,
    .put = mont_put,
    .select_shared = mont_select_shared,
    .select_own = mont_select_own,
    .pairs = &bt_mont_fma_pairs,
};

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
