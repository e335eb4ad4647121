/* The AVX2 backend: four elements at a time in double-precision fused multiply-adds.
 *
 * Digits. An element is N doubles, each an integer: x = sum d_j B^j with B = 2^50, digit j of four elements side by side in one
 * vector. Digits are balanced and carried once, not to the end:
 *
 *     element   |d| <= 2^49 + 2^12, top digit <= 2^47     operands and results of an operation: |x| < B^N / 8
 *     regular   |d| <= D = 2^49 + 2^13                    every digit within an operation but one:
 *     wide      |d| <= 2 D + 4                            the top of a difference of halves of equal length (Karatsuba).
 *
 * N is the least even number with 50 N >= 64 limbs + 3.
 *
 * Products of digits (Emmart, Zheng, Weems, ARITH 2018). With K1 = 1.5 2^102 the rounding of h = fma(a, b, K1) to its 53 bits
 * leaves a b rounded to a multiple of B; the rest l = fma(a, b, (K1 + K3) - h) = a b - (h - K1) + K3, K3 = 1.5 2^52, is exact.
 * In memory both are a constant (HIGH0, LOW0) plus the integers (h - K1) / B and l - K3, as long as h stays in [2^102, 2^103]
 * and l in [2^52, 2^53]; so they are summed as 64-bit integers, the constants modulo 2^64 too, and the sums of constants
 * ("biases") are subtracted once. Two or three products of one column share their two sums (sum2, sum3):
 *
 *     high   |a b + ...| <= 2^101. At most one factor on each side is a wide digit, so three products are below
 *            (2 D + 4)^2 + 2 D^2 (both in one product) or 2 (2 D + 4) D + D^2, both less than 6.001 2^98 < 2^101;
 *     low    each rest is at most B / 2 = 2^49 under rounding to nearest, three of them 1.5 2^50: inside [2^52, 2^53].
 *
 * The rounding mode is therefore set on entry and restored (enter, leave).
 *
 * Columns. A plain product of n digits adds to one column at most n rests of 2^49 and n high parts, of which one may be 2^50, two
 * 2^49 and the others 2^48 (and a little): less than n 2^50. One level of Karatsuba adds up to four columns of products of its
 * halves (product); there are at most three levels (164 digits, 82, 42, 22), so a product stays below 4^3 22 2^50 < 2^60.5.
 * The folds add less than 2 (F1 + F2) 2^50, the reduction less than KR 2^50. Together: below 2^61. A carry out of a column is
 * below 2^12 then, so a carried digit is regular.
 *
 * Reduction. Let T = a b be a product of values below B^N / 8 (an operand is; see "result").
 *   1. The top F1 digits of T, carried, are t: |t| <= B^F1. T <- T - t B^(2N-F1) + t c1 with c1 = B^(2N-F1) mod M.
 *   2. The same with the next F2 digits and c2 = B^(2N-F1-F2) mod M.
 *      As 2 F1 < N and 2 F2 < N - F1, neither sum reaches the column from which the digits came. The column below
 *      the extracted digits is left as a remainder of at most B / 2, those below it are under 2^61 = 2^11 B, so after each
 *      step |T| <= (2^49 + 2^13 - 2^12) B^(top column): the next top digit is regular.
 *   3. KR = N - F1 - F2 + 2 rows of Montgomery: T <- (T + Q M) / B^KR, with digits of Q of at most B / 2.
 *   Result: |r| <= (2^49 + 2^13) B^(2N-F1-F2-1) / B^KR + (1/2 + 2^-49) M < B^(N-2) + 0.51 M < B^N / 8: in range
 *   again, whatever the modulus. So R = B^KR, and an element is any r = x R mod M in that range.
 *   store ends with a reduction of its own without product or fold: |r| <= B^N / B^KR + (1/2 + 2^-49) M < 0.51 M, since
 *   N - KR digits are far shorter than M; so r or r + M is canonical.
 *
 * With -DBT_VERIFY every one of these bounds is checked as the program runs. Nothing here branches or indexes by an element's
 * value, so `secret` is ignored. docs/decisions/radix.md has the measurements behind each choice. */
#include "bt_cpu.h"
#include "bt_gmp.h"
#include "bt_mont.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "bt_mont_fma_reduce.h"

/* --- set up ----------------------------------------------------------------------------------------------------------------- */

INLINE constants constants_of(const bt_mont *ctx)
{
    constants c = {.s = shape_of(ctx->mod->limbs)};
    vi *p = aligned(ctx->consts);
    const int n = c.s.n;
    c.m = (vd *)take(&p, n);
    c.c1 = (vd *)take(&p, n);
    c.c2 = (vd *)take(&p, n);
    c.d1 = (vd *)take(&p, n);
    c.r1 = (vd *)take(&p, n);
    c.r2 = (vd *)take(&p, n);
    c.minus_inverse = (vd *)take(&p, 1);
    c.bias_mul = take(&p, 2 * n);
    c.bias_sqr = take(&p, 2 * n);
    c.bias_rows = take(&p, n + c.s.kr);
    return c;
}

static size_t mont_const_words(size_t limbs)
{
    const shape s = shape_of(limbs);
    return LANES * (size_t)(11 * s.n + s.kr + 2);
}

static size_t mont_elem_words(size_t limbs)
{
    return (size_t)shape_of(limbs).n;
}

/* Vectors of work space beside an operation's own: product (square) takes at most 4 (7) h at each level, h <= n / 2 + 3 and
 * so on down; a fold n + 2 h and its digits. */
static size_t work_vectors(const shape *s)
{
    return (size_t)(7 * s->n + 64);
}

/* columns, copies of two operands and of the result, work space, and one vector to align all */
static size_t mont_scratch_words(size_t limbs)
{
    const shape s = shape_of(limbs);
    return LANES * (size_t)(5 * s.n + 4 + 1) + LANES * work_vectors(&s) + 4 * limbs + 16;
}

/* x = 2^k mod m: doublings of 2^(64 limbs) mod m, or of the largest power of 2 that is surely below m */
static void power_of_two(bt_limb *x, size_t k, const bt_modulus *mod, bt_limb *tmp)
{
    const size_t limbs = mod->limbs, sure = 64 * (limbs - 1);
    size_t from = 64 * limbs;
    if (k >= from) {
        memcpy(x, mod->r1, limbs * sizeof *x);
    } else {
        from = k < sure ? k : sure;
        memset(x, 0, limbs * sizeof *x);
        x[from / 64] |= (bt_limb)1 << (from % 64);
        doubled(x, from == sure, mod, tmp); /* 2^sure <= m: no reduction missed, as m is odd and so not 2^sure */
        from += from == sure;
    }
    doubled(x, k - from, mod, tmp);
}

/* The constants that the passes leave in the columns: each pass is run on zeros. */
static void init_biases(constants *c, vi *work)
{
    const shape s = c->s;
    const int lim = 2 * s.n - s.f1 - s.f2;
    const vi zero = _mm256_setzero_si256();
    vi *rows = c->bias_rows;
    init_bias_rows(c);
    vi *zeros = take(&work, s.n), *folds = take(&work, 2 * s.n);
    for (int k = 0; k < s.n; k++)
        zeros[k] = zero;
    for (int k = 0; k < 2 * s.n; k++)
        folds[k] = zero;
    fold(folds, (vd *)zeros, s.f1, (vd *)zeros, (vd *)zeros, s.n, work);
    fold(folds, (vd *)zeros, s.f2, (vd *)zeros, NULL, s.n, work);
    for (int k = 0; k < 2 * s.n; k++) {
        c->bias_mul[k] = zero;
        c->bias_sqr[k] = zero;
    }
    product(c->bias_mul, c->bias_mul, (vd *)zeros, (vd *)zeros, s.n, 0, work);
    square(c->bias_sqr, NULL, (vd *)zeros, s.n, 0, work);
    for (int k = 0; k < 2 * s.n; k++) {
        const vi rest = sub(k < lim - 1 ? rows[k] : zero, folds[k]);
        c->bias_mul[k] = sub(rest, c->bias_mul[k]);
        c->bias_sqr[k] = sub(rest, c->bias_sqr[k]);
    }
}

static bt_status mont_init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    const bt_modulus *mod = ctx->mod;
    if (!bt_gmp.add_n)
        return BT_ERR_GMP;
    ctx->consts = consts;
    constants c = constants_of(ctx);
    const shape s = c.s;
    const unsigned mode = enter();
    bt_limb *x = scratch, *tmp = x + mod->limbs;
    const size_t b2 = (size_t)RADIX * (size_t)(2 * s.n - s.f1 - s.f2), b1 = b2 + (size_t)RADIX * (size_t)s.f2;

    digits_of(c.m, s.n, mod->m, mod->limbs);
    power_of_two(x, b2, mod, tmp);
    digits_of(c.c2, s.n, x, mod->limbs);
    doubled(x, b1 - b2, mod, tmp);
    digits_of(c.c1, s.n, x, mod->limbs);
    power_of_two(x, (size_t)RADIX * (size_t)s.kr, mod, tmp);
    digits_of(c.r1, s.n, x, mod->limbs);
    power_of_two(x, 2 * (size_t)RADIX * (size_t)s.kr, mod, tmp);
    digits_of(c.r2, s.n, x, mod->limbs);
    fold_differences(c.d1, s.f1, c.c1, s.n);
    c.minus_inverse[0] = unbiased(ints(((mod->neg_inv + HALF) & MASK) | TWO52));
    init_biases(&c, aligned(scratch + 4 * mod->limbs));
    leave(mode);
    return BT_OK;
}

/* --- operations ----------------------------------------------------------------------------------------------------------- */

/* see bt_mont_lanes.h */
static void products(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t b_step, size_t n,
                     bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const int digits = c.s.n;
    const size_t step = LANES * (size_t)digits;
    vi *work = aligned(scratch);
    vi *acc = take(&work, 2 * digits + 4);
    vd *copy_a = (vd *)take(&work, digits), *copy_b = (vd *)take(&work, digits), *copy_r = (vd *)take(&work, digits);
    const unsigned mode = enter();
    for (size_t g = 0; g < groups(n); g++, dst += step, a += step) {
        const vd *x = operand(a, copy_a, digits);
        vd *r = (uintptr_t)dst % sizeof(vd) == 0 ? (vd *)(void *)dst : copy_r;
        VERIFY(element(x, digits) && (!b || element(operand(b, copy_b, digits), digits)));
        if (b) {
            product(acc, c.bias_mul, x, operand(b, copy_b, digits), digits, 0, work);
            b += b_step;
        } else {
            square(acc, c.bias_sqr, x, digits, 0, work);
        }
        reduce(r, acc, &c, work);
        VERIFY(element(r, digits));
        if (r == copy_r)
            memcpy(dst, r, step * sizeof *dst);
    }
    leave(mode);
}

#include "bt_mont_lanes.h"

static void mont_load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    const int digits = shape_of(limbs).n;
    bt_word *out = dst;
    for (size_t i = 0; i < n; i += LANES, out += LANES * digits) {
        for (size_t l = 0; l < LANES; l++) {
            uint64_t carry = 0;
            const bt_limb *x = src + (i + l) * limbs;
            for (int j = 0; j < digits; j++) /* zero is the residue that pads */
                out[j * LANES + (int)l] = biased_digit(x, i + l < n ? limbs : 0, j, &carry);
        }
        for (int j = 0; j < digits; j++) {
            double *v = (double *)(void *)(out + j * LANES);
            _mm256_storeu_pd(v, unbiased(_mm256_loadu_si256((const vi *)(const void *)v)));
        }
    }
    products(ctx, dst, dst, (const bt_word *)(const void *)constants_of(ctx).r2, 0, n, scratch);
}

/* out[limbs] = the canonical value of digits x[0 .. n) of one lane, biased by LOW0, plus M: 0.49 M < x + M < 1.51 M */
static void canonical(bt_limb *out, const bt_word *x, int n, const bt_modulus *mod, bt_limb *sum, bt_limb *less)
{
    const size_t limbs = mod->limbs;
    int64_t carry = 0;
    memset(sum, 0, (limbs + 4) * sizeof *sum);
    for (int j = 0; j < n; j++) { /* n digits end at most two limbs above the modulus, in zeros */
        const size_t at = (size_t)j * RADIX, k = at / 64, shift = at % 64;
        const int64_t t = (int64_t)(x[j * LANES] - LOW0) + carry;
        const uint64_t u = (uint64_t)t & MASK;
        carry = t >> RADIX;
        sum[k] |= u << shift;
        if (shift > 64 - RADIX)
            sum[k + 1] |= u >> (64 - shift);
    }
    VERIFY(carry == 0 && sum[limbs] <= 1 && sum[limbs + 1] == 0);
    subtracted_once(out, sum, sum[limbs], mod, less);
}

static void mont_store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const size_t limbs = ctx->mod->limbs;
    const int digits = c.s.n;
    vi *work = aligned(scratch);
    vi *acc = take(&work, 2 * digits + 4);
    vd *r = (vd *)take(&work, digits);
    bt_limb *sum = (bt_limb *)(void *)work, *less = sum + limbs + 4;
    for (size_t i = 0; i < n; i += LANES, src += LANES * digits) {
        const unsigned mode = enter();
        for (int k = 0; k < digits; k++) {
            const vd x = _mm256_loadu_pd((const double *)(const void *)(src + LANES * k));
            acc[k] = add(c.bias_rows[k], sub(bits(_mm256_add_pd(x, reals(K3))), ints(LOW0)));
        }
        for (int k = digits; k < digits + c.s.kr; k++)
            acc[k] = c.bias_rows[k];
        montgomery(r, acc, &c);
        for (int k = 0; k < digits; k++)
            r[k] = _mm256_add_pd(_mm256_add_pd(r[k], c.m[k]), reals(K3));
        leave(mode);
        for (size_t l = 0; l < LANES && i + l < n; l++)
            canonical(dst + (i + l) * limbs, (const bt_word *)(const void *)r + l, digits, ctx->mod, sum, less);
    }
}

const bt_mont_ops bt_mont_fma = {
    .name = "fma",
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
    .pairs = &bt_mont_fma_pairs,
};

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
