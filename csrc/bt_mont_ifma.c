/* The AVX-512 IFMA backend: eight elements at a time.
 *
 * Digits. An element is N digits of 52 bits: x = sum d_j B^j with B = 2^52, digit j of eight elements side by side in one
 * vector. N is the least multiple of 4 with 52 N >= 64 limbs + 4, so that M < B^N / 16. Operands and results of an operation are
 * carried to the end, 0 <= d_j < B, and below B^N / 2, but not below M.
 *
 * Columns. VPMADD52LUQ and VPMADD52HUQ add the low and the high 52 bits of a product to 64-bit words, so a word holds 2^12 of
 * them. Karatsuba subtracts: columns are signed words, and must stay between -2^11 B and 2^11 B. Let the columns of a product of
 * n digits, in units of B, be at most p and at least -q, and columns k and k + n together at most s and at least -t.
 *
 *     rows          p = s = 2 n, q = t = 0 (low parts: k + 1 in column k, n - 1 - k in k + n; high parts: one more or less)
 *     Karatsuba     p' = s + p + q + 2     s' = 2 s + q + 2     (product; 2 for the corrections by the signs)
 *                   q' = t + q + p + 1     t' = 2 t + p + 1
 *
 * The most that is cut in half is 160 digits, to 80, 40, 20 and 10: p' = s' = 42, q' = t' = 21; 107 and 85; 301 and 278; 882
 * and 858. A square has the columns of the product. The large fold then adds two overlapping products of 80 digits (s and t: 301,
 * 278) and four rows (8), each of 20 times four rows 8: at most 882 + 301 + 8 + 160 = 1351 and at least -1136. Smaller sizes
 * stay below that.
 *
 * Reduction, all from below: T = a b < B^(2N) / 4 loses its N lowest digits, so R = B^N.
 *   1. Large fold, if N is large: the lowest F <= N / 2 digits, carried, are t; T <- floor(T / B^F) + t c with
 *      c = B^-F mod M. There is no quotient to wait for, and t c is a product that Karatsuba takes.
 *   2. Folds of four digits, until four are left of the N to lose: the same with c = B^-4 mod M, by rows.
 *      A fold of f digits leaves T < T / B^f + B^f M, so T never has more digits than the columns that are left.
 *   3. Four rows of Montgomery: T <- (T + Q M) / B^4, Q = -T / M mod B^4, carried.
 *   Result: r < B^N / 4 + B^(F - (N - F)) M + (1 + 2^-200) M + M < B^N / 4 + 3.01 B^N / 16 < B^N / 2: in range again.
 *   store reduces x instead of a product, without large fold: after the last fold T <= (B^4 - 1) (M - 1) + 1.01 M + B^4, and so
 *   r < T / B^4 + (1 - B^-4) M < 2 M, as B^4 = 2^208 is far below M: r or r - M is canonical.
 *
 * With -DBT_VERIFY these bounds are checked as the program runs. Nothing here branches or indexes by an element's value, so
 * `secret` is ignored. docs/decisions/ifma.md has the measurements behind each choice. */
#include "bt_cpu.h"
#include "bt_gmp.h"
#include "bt_mont.h"

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

enum { MIN_LIMBS = 16, MAX_LIMBS = 128 };

/* --- set up ----------------------------------------------------------------------------------------------------------------- */

static size_t mont_elem_words(size_t limbs)
{
    return (size_t)shape_of(limbs).n;
}

static size_t mont_const_words(size_t limbs)
{
    return constant_words(limbs, 0);
}

INLINE constants constants_of(const bt_mont *ctx)
{
    return laid_out(ctx->consts, ctx->mod->limbs, 0);
}

/* Vectors of work space beside an operation's columns: the products take 2 n, n, n / 2, ... < 4 n at their levels, a large
 * fold 3 n / 2 and then products of half as many digits. */
static size_t work_vectors(const shape *s)
{
    return (size_t)(4 * s->n);
}

/* columns, work space, one vector to align all; rows of limbs for init and store */
static size_t mont_scratch_words(size_t limbs)
{
    const shape s = shape_of(limbs);
    return LANES * ((size_t)(2 * s.n + 1) + work_vectors(&s)) + 2 * limbs + 2;
}

/* see bt_mont_lanes.h */
static void products(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t b_step, size_t n,
                     bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const int digits = c.s.n;
    const size_t step = LANES * (size_t)digits;
    row *work = aligned(scratch);
    row *acc = take(&work, 2 * digits);
    for (size_t g = 0; g < groups(n); g++, dst += step, a += step) {
        const row *x = (const row *)a;
        VERIFY(element(x, digits) && (!b || element((const row *)b, digits)));
        if (b) {
            product(acc, x, (const row *)b, digits, work);
            b += b_step;
        } else {
            square(acc, x, digits, work);
        }
        reduce((row *)dst, acc, &c, c.s.fold, work);
    }
}

static bt_status mont_init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    const bt_modulus *mod = ctx->mod;
    const size_t limbs = mod->limbs;
    if (!bt_gmp.add_n)
        return BT_ERR_GMP;
    ctx->consts = consts;
    const constants c = constants_of(ctx);
    const int n = c.s.n;
    bt_limb *x = scratch, *tmp = x + limbs;
    row *work = aligned(scratch + 2 * limbs);

    init_reduction(&c, mod, work);
    memcpy(x, mod->r1, limbs * sizeof *x);
    doubled(x, (size_t)(RADIX * n) - 64 * limbs, mod, tmp);
    digits_of(c.r1, n, x, limbs);
    /* 2^(52 n / 16) R, squared four times, is 2^(52 n) R */
    doubled(x, (size_t)(RADIX * n / 16), mod, tmp);
    digits_of(c.r2, n, x, limbs);
    for (int k = 0; k < 4; k++)
        products(ctx, (bt_word *)c.r2, (bt_word *)c.r2, NULL, 0, 1, scratch);
    return BT_OK;
}

/* --- operations ----------------------------------------------------------------------------------------------------------- */

#include "bt_mont_lanes.h"

static void mont_load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    const int digits = shape_of(limbs).n;
    bt_word *out = dst;
    for (size_t i = 0; i < n; i += LANES, out += LANES * digits)
        for (size_t l = 0; l < LANES; l++)
            for (int j = 0; j < digits; j++) /* zero is the residue that pads */
                out[j * LANES + (int)l] = digit_at(src + (i + l) * limbs, i + l < n ? limbs : 0, j);
    products(ctx, dst, dst, (const bt_word *)constants_of(ctx).r2, 0, n, scratch);
}

/* out[limbs] = the value of digits x[0 .. n) of one lane, which is below 2 M, mod M; sum, less: limbs + 1 and limbs of work */
static void canonical(bt_limb *out, const bt_word *x, int n, const bt_modulus *mod, bt_limb *sum, bt_limb *less)
{
    const size_t limbs = mod->limbs;
    limbs_of(sum, limbs, x, n);
    VERIFY(sum[limbs] <= bt_gmp.sub_n((mp_ptr)less, (mp_srcptr)sum, (mp_srcptr)mod->m, (mp_size_t)limbs));
    subtracted_once(out, sum, sum[limbs], mod, less);
}

static void mont_store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const constants c = constants_of(ctx);
    const size_t limbs = ctx->mod->limbs;
    const int digits = c.s.n;
    row *work = aligned(scratch);
    row *acc = take(&work, 2 * digits), *r = take(&work, digits);
    bt_limb *sum = (bt_limb *)work, *less = sum + limbs + 1;
    for (size_t i = 0; i < n; i += LANES, src += LANES * digits) {
        memcpy(acc, src, (size_t)digits * sizeof *acc);
        memset(acc + digits, 0, (size_t)digits * sizeof *acc);
        reduce(r, acc, &c, 0, work);
        for (size_t l = 0; l < LANES && i + l < n; l++)
            canonical(dst + (i + l) * limbs, (const bt_word *)r + l, digits, ctx->mod, sum, less);
    }
}

const bt_mont_ops bt_mont_ifma = {
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
