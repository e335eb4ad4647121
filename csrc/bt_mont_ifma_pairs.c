/* The AVX-512 IFMA backend modulo squares m = M^2: eight pairs (r, s) = r + s M at a time.
 *
 * Layout. N is that of M (bt_mont_ifma.c has digits, columns and the reduction of one number): an element is the N digits of r and
 * then the N digits of s, as many as the plain layout of m needs, or up to 4 more. Operands and results of an operation are carried
 * to the end, with r < .252 B^N and s < .38 B^N, which neither is below M.
 *
 * Products. With R = B^N, and the reduction's own quotient Q, that is r1 r2 = r R - Q M,
 *
 *     (r1 + s1 M) (r2 + s2 M) / R = (r1 r2 + (r1 s2 + s1 r2) M) / R = r + M (r1 s2 + s1 r2 - Q) / R   (mod M^2),
 *
 * where the second quotient counts modulo M alone: a square takes one square, one product and two reductions of half the length, a
 * product three products and two reductions, where the plain layout takes four such products or three (Karatsuba) and a reduction
 * of four times the work.
 *
 * Quotient. A fold of four digits t replaces T by floor(T / B^4) + t c, c = B^-4 mod M. As c B^4 = 1 + k M with
 * k = -M^-1 mod B^4, it adds t k M / B^4: its share of Q is t k, at the place of t. The last four rows of Montgomery give the other
 * digits. Folds at 0, 4, ..., N - 8 end below B^N, B^N / B^4, ..., and the rows below B^N, so Q < 2.01 B^N; a column of Q gets the
 * low and high parts of four digits from at most two folds and one digit of the rows, so it is below 17 B. There is no large fold
 * here: its k would be as long as the fold.
 *
 * Ranges. M < B^N / 16, and M >= 2^(64 limbs - 64) >= B^N / 2^275, as 52 N < 64 limbs + 4 + 52 + 155. M B^6 is added before the second reduction:
 * above 2^37 B^N and so above Q, which keeps what is reduced positive, and below B^(N + 6) / 16 <= B^(2N) / 2^516. Let
 * r <= a B^N and s <= b B^N. A reduction gives T / B^N + 3.01 M at most (bt_mont_ifma.c), so
 *
 *     r: a^2 + .1882 <= a for a = .252         s: 2 a b + .1882 <= b for b = .38.
 *
 * Columns: 2 p, or p twice for the two cross products, Q and M B^6: at most 2 * 301 + 17 + 1 for 80 digits, which reduce allows.
 *
 * load: x = x0 + x1 B^N, x0 < B^N, x1 < B^N / 2^8, and x R = x0 R^2 / R + x1 R^3 / R. With digits of R^2 and R^3 below M, r and s are below
 * (1/16 + 1/2^12 + .1882) B^N: in range.
 * store: (r, s) times (1, 0), where both reductions end below 2 M (bt_mont_ifma.c), so r + s M < 2 M + 2 M^2 < 3 m: two subtractions.
 *
 * With -DBT_VERIFY these bounds are checked as the program runs. Nothing here branches or indexes by an element's value, so
 * `secret` is ignored. docs/decisions/pairs.md has the measurements. */
#include "bt_cpu.h"
#include "bt_gmp.h"
#include "bt_mont.h"

#include <string.h>

#if defined(__x86_64__) || defined(BT_IFMA_EMULATE)

#ifndef BT_IFMA_EMULATE
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512ifma"))), apply_to = function)
/* or w[i] = w[i + 1], eight registers in a row, becomes a call of memmove: 2 to 3.5 times the time */
#pragma clang attribute push(__attribute__((no_builtin("memcpy", "memmove"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512ifma")
#endif
#endif

#include "bt_mont_ifma_reduce.h"
#include "bt_mont_pairs.h"

/* limbs of m; at 160 digits the columns of two cross products would not fit. Below 32 pairs gain nothing, but the small keys of
 * tests shall run what large ones run. */
enum { MIN_LIMBS = 15, MAX_LIMBS = 128 };

static size_t mont_elem_words(size_t limbs)
{
    return 2 * (size_t)shape_of(root_limbs(limbs)).n;
}

static size_t mont_const_words(size_t limbs)
{
    return constant_words(root_limbs(limbs), 1);
}

INLINE constants constants_of(const bt_mont *ctx)
{
    return laid_out(ctx->consts, root_limbs(ctx->mod->limbs), 1);
}

/* columns of three products and of a quotient; work space as in bt_mont_ifma.c; one vector to align all; rows of limbs for init
 * and store */
static size_t mont_scratch_words(size_t limbs)
{
    return LANES * (size_t)(14 * shape_of(root_limbs(limbs)).n + 1) + 2 * limbs + 8;
}

typedef struct areas {
    row *rr, *cross, *other; /* [2 n] columns */
    row *q;                  /* [n] columns of a quotient */
    row *work;
} areas;

INLINE areas areas_of(bt_word *scratch, int n)
{
    areas w;
    w.work = aligned(scratch);
    w.rr = take(&w.work, 2 * n);
    w.cross = take(&w.work, 2 * n);
    w.other = take(&w.work, 2 * n);
    w.q = take(&w.work, n);
    return w;
}

#ifdef BT_VERIFY
/* below hundredths % of 2^(52 n) */
static int below(const row *x, int n, int hundredths)
{
    return digits_only(x, n) && within(x + n - 1, 1, 0, (int64_t)(MASK / 1000 * (uint64_t)hundredths));
}

static int pair(const row *x, int n)
{
    return below(x, n, 252) && below(x + n, n, 380);
}
#endif

/* --- operations ----------------------------------------------------------------------------------------------------------- */

OUTLINE void last_rows_q(row *restrict r, const row *restrict acc, const constants *c, row *restrict q)
{
    rows_of_montgomery(r, acc, c, q);
}

/* r = acc[0 .. 2 n) / B^n mod M; q[0 .. n) = the quotient */
INLINE void reduce_q(row *r, row *acc, const constants *c, row *q)
{
    const int n = c->s.n;
    VERIFY(columns(acc, 2 * n, 882));
    for (int k = 0; k < ROWS; k++)
        q[k] = spread(0);
    row *at = q;
    for (int left = n; left > ROWS; left -= ROWS, acc += ROWS, at += ROWS)
        small_fold(acc, c, at);
    VERIFY(columns(acc, n + ROWS, 1352));
    last_rows_q(r, acc, c, at);
    VERIFY(columns(q, n, 17) && element(r, n));
}

/* the pair at out = (rr + (cross + other) M) / B^n mod M^2; squared: other is cross */
INLINE void reduce_pair(row *out, const constants *c, const areas *w, int squared)
{
    const int n = c->s.n;
    row *cross = w->cross, *other = squared ? cross : w->other;
    enum { SHIFT = 6 }; /* M B^6 */
    reduce_q(out, w->rr, c, w->q);
    for (int k = 0; k < SHIFT; k++)
        cross[k] += other[k] - w->q[k];
    for (int k = SHIFT; k < n; k++)
        cross[k] += other[k] - w->q[k] + c->m[k - SHIFT];
    for (int k = n; k < n + SHIFT; k++)
        cross[k] += other[k] + c->m[k - SHIFT];
    for (int k = n + SHIFT; k < 2 * n; k++)
        cross[k] += other[k];
    reduce(out + n, cross, c, c->s.fold, w->work);
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
    for (size_t g = 0; g < groups(n); g++, dst += step, a += step) {
        const row *x = (const row *)a;
        VERIFY(pair(x, half));
        if (b) {
            const row *y = (const row *)b;
            VERIFY(pair(y, half));
            product(w.rr, x, y, half, w.work);
            product(w.cross, x, y + half, half, w.work);
            product(w.other, x + half, y, half, w.work);
            b += b_step;
        } else {
            square(w.rr, x, half, w.work);
            product(w.cross, x, x + half, half, w.work);
        }
        if (b)
            reduce_pair((row *)dst, &c, &w, 0);
        else
            reduce_pair((row *)dst, &c, &w, 1);
    }
}

/* out = x / R mod M^2, where both r and s are below 2 M (see `store` above) */
static void divided_by_r(row *out, const row *x, const constants *c, const areas *w)
{
    const int n = c->s.n;
    VERIFY(pair(x, n));
    for (int k = 0; k < 2 * n; k++) {
        w->rr[k] = k < n ? (vec)x[k] : spread(0);
        w->cross[k] = k < n ? (vec)x[n + k] : spread(0);
        w->other[k] = spread(0);
    }
    reduce_pair(out, c, w, 0);
}

static bt_status mont_init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    const bt_modulus *root = ctx->mod->root;
    if (!bt_gmp.add_n)
        return BT_ERR_GMP;
    if (!root || root->limbs != root_limbs(ctx->mod->limbs))
        return BT_ERR_ARG;
    const size_t limbs = root->limbs;
    ctx->consts = consts;
    const constants c = constants_of(ctx);
    const int n = c.s.n;
    bt_limb *r = scratch, *s = r + limbs + 1, *tmp = s + limbs + 1, low[ROWS], inverse[ROWS];
    bt_word *after = tmp + limbs;
    const areas w = areas_of(after, n);

    init_reduction(&c, root, w.work);
    /* k = -M^-1 mod B^4, from that mod 2^256 */
    memcpy(low, root->m, sizeof low);
    bt_inverse_2k(inverse, low, ROWS, tmp);
    bt_limb carry = 1;
    for (int i = 0; i < ROWS; i++) {
        inverse[i] = ~inverse[i] + carry;
        carry &= bt_ct_is_zero(inverse[i]);
    }
    digits_of(c.k, ROWS, inverse, ROWS);
    bt_wipe(low, sizeof low);
    bt_wipe(inverse, sizeof inverse);

    /* R by doublings of 2^(bits - 1) < M; R^2 as 2^(52 n / 16) R squared four times; then R^3, R^4, and back, which brings r and s
     * below 2 M: what load multiplies by must be at most M */
    power_of_two_pair(r, s, (size_t)(RADIX * n), root, tmp);
    digits_of(c.r1, n, r, limbs);
    digits_of(c.r1 + n, n, s, limbs);
    doubled_pair(r, s, (size_t)(RADIX * n / 16), root, tmp);
    digits_of(c.r2, n, r, limbs);
    digits_of(c.r2 + n, n, s, limbs);
    bt_word *const r2 = (bt_word *)c.r2, *const r3 = (bt_word *)c.r3;
    for (int i = 0; i < 4; i++)
        products(ctx, r2, r2, NULL, 0, 1, after);
    products(ctx, r3, r2, NULL, 0, 1, after);
    products(ctx, r3, r3, r2, 0, 1, after);
    for (int i = 0; i < 2; i++) { /* R^3, then R^2 */
        row *const out = i ? c.r2 : c.r3;
        divided_by_r(out, c.r3, &c, &w);
        limbs_of(r, limbs, (const bt_word *)out, n);
        limbs_of(s, limbs, (const bt_word *)(out + n), n);
        brought_down(r, s, root, tmp);
        digits_of(out, n, r, limbs);
        digits_of(out + n, n, s, limbs);
    }
    return BT_OK;
}

#include "bt_mont_lanes.h"

static void mont_load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const size_t limbs = ctx->mod->limbs;
    const int half = c.s.n;
    const areas w = areas_of(scratch, half);
    for (size_t i = 0; i < n; i += LANES, dst += LANES * 2 * half) {
        for (size_t l = 0; l < LANES; l++)
            for (int j = 0; j < 2 * half; j++) /* zero is the residue that pads */
                dst[j * LANES + (int)l] = digit_at(src + (i + l) * limbs, i + l < n ? limbs : 0, j);
        const row *x = (const row *)dst;
        for (int s = 0; s < 2; s++) { /* rr, then cross = x0 R^2 + x1 R^3, of which the digits from half * s on */
            row *sum = s ? w.cross : w.rr;
            product(sum, x, c.r2 + s * half, half, w.work);
            product(w.other, x + half, c.r3 + s * half, half, w.work);
            for (int k = 0; k < 2 * half; k++) {
                sum[k] += w.other[k];
                w.other[k] = spread(0);
            }
        }
        reduce_pair((row *)dst, &c, &w, 0);
    }
}

static void mont_store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const size_t limbs = ctx->mod->limbs;
    const int half = c.s.n;
    areas w = areas_of(scratch, half);
    row *r = take(&w.work, 2 * half), *x = r;
    bt_limb *sum = (bt_limb *)take(&w.work, (int)((2 * limbs + 1 + LANES - 1) / LANES)), *less = sum + limbs + 1;
    for (size_t i = 0; i < n; i += LANES, src += LANES * 2 * half) {
        divided_by_r(r, (const row *)src, &c, &w);
        /* r + s M, carried */
        product(w.rr, r + half, c.m, half, w.work);
        vec carry = spread(0);
        for (int k = 0; k < 2 * half; k++) {
            const vec v = w.rr[k] + (k < half ? (vec)r[k] : spread(0)) + carry;
            x[k] = v & MASK;
            carry = carry_of(v);
        }
        for (size_t l = 0; l < LANES && i + l < n; l++) {
            limbs_of(sum, limbs, (const bt_word *)x + l, 2 * half);
            subtracted_if_above(sum, ctx->mod, less);
            subtracted_if_above(sum, ctx->mod, less);
            VERIFY(sum[limbs] == 0 &&
                   bt_gmp.sub_n((mp_ptr)less, (mp_srcptr)sum, (mp_srcptr)ctx->mod->m, (mp_size_t)limbs) == 1);
            memcpy(dst + (i + l) * limbs, sum, limbs * sizeof *sum);
        }
    }
}

const bt_mont_ops bt_mont_ifma_pairs = {
    .name = "ifma",
    .lanes = LANES,
    .min_limbs = MIN_LIMBS,
    .max_limbs = MAX_LIMBS,
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
    .pairs = &bt_mont_ifma_pairs,
};

#ifndef BT_IFMA_EMULATE
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#endif
