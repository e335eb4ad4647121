/* The portable backend: GMP's mpn functions, one element at a time.
 *
 * Layout: an element is the `limbs` limbs of x R mod m with R = 2^(64 limbs), always fully reduced (below m), least
 * significant limb first; lanes = 1. Moduli of REDC_N limbs and more keep m^-1 mod R as a constant of their own.
 *
 * Secret operands go through mpn_sec_mul and rows of mpn_addmul_1, whose time and addresses depend on the number of limbs
 * alone, joined by masks instead of branches. Public ones take mpn_mul_n, mpn_sqr and, where GMP exports it, mpn_redc_n
 * (Karatsuba and Toom, which branch on data). */
#include "bt_mont_mpn.h"

#include <string.h>

int bti_mpn_available(void)
{
    return 1;
}

static size_t mont_elem_words(size_t limbs)
{
    return limbs;
}

/* From this many limbs on mpn_redc_n beats rows of mpn_addmul_1 (measured: even at 48, 15 % of a product at 64, 25 % at 128). */
enum { REDC_N = 56 };

static size_t mont_const_words(size_t limbs)
{
    return limbs >= REDC_N ? limbs : 0;
}

/* From this many limbs on, a secret product (square) is cut in half: below, the joining costs more than it saves. */
enum { SPLIT_MUL = 44, SPLIT_SQR = 80 };

/* 2 limbs in each level of halving, so less than 4 limbs, and what mpn_sec_mul wants */
size_t bti_mpn_product_scratch(size_t limbs)
{
    return 4 * limbs + (size_t)bt_gmp.sec_mul_itch((mp_size_t)limbs, (mp_size_t)limbs);
}

/* a product of two elements, one row for the final subtraction */
static size_t mont_scratch_words(size_t limbs)
{
    return 3 * limbs + bti_mpn_product_scratch(limbs);
}

static bt_status mont_init(bt_mont *ctx, bt_word *consts, bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    if (!bt_gmp.add_n)
        return BT_ERR_GMP;
    if (limbs >= REDC_N)
        bt_inverse_2k(consts, ctx->mod->m, limbs, scratch); /* in constant time: the modulus may be secret */
    return BT_OK;
}

/* dst = t / R mod m, for t < R m in 2 limbs limbs; t is destroyed, `row` is work space.
 *
 * Row i adds q m 2^(64 i) with q chosen so that limb i becomes 0; the carry out of the row belongs at limb i + limbs, and
 * is parked in limb i, which is free now. Adding the parked carries at once gives (t + Q m) / R with Q < R, so below 2 m:
 * at most one bit beyond `limbs` limbs, and one subtraction of m reduces it. */
static void mont_reduce(const bt_mont *ctx, bt_limb *dst, bt_limb *t, bt_limb *row, int secret)
{
    const bt_modulus *mod = ctx->mod;
    const mp_size_t limbs = (mp_size_t)mod->limbs;
    const mp_srcptr m = (mp_srcptr)mod->m;
    if (!secret && limbs >= REDC_N && bt_gmp.redc_n) {
        bt_gmp.redc_n((mp_ptr)dst, (mp_ptr)t, m, limbs, (mp_srcptr)ctx->consts);
        return;
    }
    for (mp_size_t i = 0; i < limbs; i++)
        t[i] = bt_gmp.addmul_1((mp_ptr)(t + i), m, limbs, t[i] * mod->neg_inv);
    bt_limb carry = bt_gmp.add_n((mp_ptr)dst, (mp_srcptr)(t + limbs), (mp_srcptr)t, limbs);
    if (!secret) {
        mp_size_t i = limbs - 1;
        while (!carry && i > 0 && dst[i] == mod->m[i])
            i--;
        if (carry || dst[i] >= mod->m[i])
            bt_gmp.sub_n((mp_ptr)dst, (mp_srcptr)dst, m, limbs);
        return;
    }
    bt_limb borrow = bt_gmp.sub_n((mp_ptr)row, (mp_srcptr)dst, m, limbs);
    bt_limb keep = bt_ct_nonzero(borrow & ~carry);
    for (mp_size_t i = 0; i < limbs; i++)
        dst[i] = bt_ct_select(keep, dst[i], row[i]);
}

/* dst = |a - b|; returns all ones if a < b. */
static bt_limb abs_difference(bt_limb *dst, const bt_limb *a, const bt_limb *b, size_t limbs)
{
    bt_limb mask = 0 - (bt_limb)bt_gmp.sub_n((mp_ptr)dst, (mp_srcptr)a, (mp_srcptr)b, (mp_size_t)limbs);
    mask = bt_ct_barrier(mask);
    bt_limb carry = mask & 1;
    for (size_t i = 0; i < limbs; i++) {
        dst[i] = (dst[i] ^ mask) + carry;
        carry &= ~bt_ct_nonzero(dst[i]); /* x + 1 carries exactly if it is 0 */
    }
    return mask;
}

/* t[0 .. 2 limbs) = a^2 by rows: every a_i a_k with i < k once, doubled, then the squares a_i^2. */
static void secret_square(bt_limb *t, const bt_limb *a, size_t limbs)
{
    const mp_size_t n = (mp_size_t)limbs;
    t[0] = 0;
    t[2 * n - 1] = 0;
    if (n > 1)
        t[n] = bt_gmp.mul_1((mp_ptr)(t + 1), (mp_srcptr)(a + 1), n - 1, a[0]);
    for (mp_size_t i = 1; i < n - 1; i++)
        t[n + i] = bt_gmp.addmul_1((mp_ptr)(t + 2 * i + 1), (mp_srcptr)(a + i + 1), n - 1 - i, a[i]);
    /* the sum of the cross products is below a^2 / 2, so its double fits */
    bt_gmp.add_n((mp_ptr)t, (mp_srcptr)t, (mp_srcptr)t, 2 * n);
    bt_limb carry = 0;
    for (size_t i = 0; i < limbs; i++) {
        const unsigned __int128 square = (unsigned __int128)a[i] * a[i];
        const unsigned __int128 low = (unsigned __int128)t[2 * i] + (bt_limb)square + carry;
        const unsigned __int128 high = (unsigned __int128)t[2 * i + 1] + (bt_limb)(square >> 64) + (bt_limb)(low >> 64);
        t[2 * i] = (bt_limb)low;
        t[2 * i + 1] = (bt_limb)high;
        carry = (bt_limb)(high >> 64);
    }
}

/* t[0 .. 2 limbs) = a b without branch or address from a and b (a == b, as pointers, is public: a square).
 *
 * Karatsuba with B = 2^(64 half): a b = z2 B^2 + (z0 + z2 - (a1 - a0)(b1 - b0)) B + z0. The product of the differences is
 * taken of absolute values and then negated under a mask; `middle` is kept in two's complement with `top` as its highest
 * limb, and is in truth a1 b0 + a0 b1 < 2 B^2, so that top ends as 0 or 1. */
static void secret_product(bt_limb *t, const bt_limb *a, const bt_limb *b, size_t limbs, bt_limb *scratch)
{
    if (limbs % 2 || limbs < (a == b ? SPLIT_SQR : SPLIT_MUL)) {
        if (a == b)
            secret_square(t, a, limbs);
        else
            bt_gmp.sec_mul((mp_ptr)t, (mp_srcptr)a, (mp_size_t)limbs, (mp_srcptr)b, (mp_size_t)limbs, (mp_ptr)scratch);
        return;
    }
    const size_t half = limbs / 2;
    bt_limb *difference = scratch, *middle = scratch, *work = scratch + 2 * limbs;
    bt_limb *cross = scratch + limbs;
    bt_limb minus = ~(bt_limb)0; /* all ones: cross is subtracted */
    if (a == b) {
        abs_difference(difference, a + half, a, half);
        secret_product(cross, difference, difference, half, work);
    } else {
        minus ^= abs_difference(difference, a + half, a, half);
        minus ^= abs_difference(difference + half, b + half, b, half);
        secret_product(cross, difference, difference + half, half, work);
    }
    secret_product(t, a, a == b ? a : b, half, work);
    secret_product(t + limbs, a + half, a == b ? a + half : b + half, half, work);

    minus = bt_ct_barrier(minus);
    bt_limb carry = minus & 1,
            top = bt_gmp.add_n((mp_ptr)middle, (mp_srcptr)t, (mp_srcptr)(t + limbs), (mp_size_t)limbs);
    for (size_t i = 0; i < limbs; i++) {
        cross[i] = (cross[i] ^ minus) + carry;
        carry &= ~bt_ct_nonzero(cross[i]);
    }
    top += minus + carry; /* the sign limb of -cross: all ones, or 0 for cross = 0 */
    top += bt_gmp.add_n((mp_ptr)middle, (mp_srcptr)middle, (mp_srcptr)cross, (mp_size_t)limbs);
    top += bt_gmp.add_n((mp_ptr)(t + half), (mp_srcptr)(t + half), (mp_srcptr)middle, (mp_size_t)limbs);
    for (size_t i = limbs + half; i < 2 * limbs; i++) {
        t[i] += top;
        top = (bt_limb)(t[i] < top);
    }
}

void bti_mpn_product(bt_limb *t, const bt_limb *a, const bt_limb *b, size_t limbs, int secret, bt_limb *scratch)
{
    if (secret)
        secret_product(t, a, b, limbs, scratch);
    else if (a == b)
        bt_gmp.sqr((mp_ptr)t, (mp_srcptr)a, (mp_size_t)limbs);
    else
        bt_gmp.mul_n((mp_ptr)t, (mp_srcptr)a, (mp_srcptr)b, (mp_size_t)limbs);
}

static void mont_product(const bt_mont *ctx, bt_limb *dst, const bt_limb *a, const bt_limb *b, int secret,
                         bt_limb *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    bt_limb *t = scratch, *row = scratch + 2 * limbs;
    bti_mpn_product(t, a, b, limbs, secret, row + limbs);
    mont_reduce(ctx, dst, t, row, secret);
}

/* src may be as large as 2^(64 limbs) - 1 = R - 1: src * r2 < R m, as mont_reduce wants. */
static void mont_load(const bt_mont *ctx, bt_word *dst, const bt_limb *src, size_t n, bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < n; i++)
        mont_product(ctx, dst + i * limbs, src + i * limbs, ctx->mod->r2, 1, scratch);
}

static void mont_store(const bt_mont *ctx, bt_limb *dst, const bt_word *src, size_t n, bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    bt_limb *t = scratch, *row = scratch + 2 * limbs;
    for (size_t i = 0; i < n; i++) {
        memcpy(t, src + i * limbs, limbs * sizeof *t);
        memset(t + limbs, 0, limbs * sizeof *t);
        mont_reduce(ctx, dst + i * limbs, t, row, 1);
    }
}

static void mont_one(const bt_mont *ctx, bt_word *dst, size_t n)
{
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < n; i++)
        memcpy(dst + i * limbs, ctx->mod->r1, limbs * sizeof *dst);
}

static void mont_mul(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t n, int secret,
                     bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < n; i++)
        mont_product(ctx, dst + i * limbs, a + i * limbs, b + i * limbs, secret, scratch);
}

static void mont_sqr(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t n, int secret, bt_word *scratch)
{
    const size_t limbs = ctx->mod->limbs;
    for (size_t i = 0; i < n; i++, dst += limbs, a += limbs)
        mont_product(ctx, dst, a, a, secret, scratch);
}

void bti_mpn_gather(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t n)
{
    const size_t words = ctx->elem_words;
    if (!idx) {
        memmove(dst, src, n * words * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++)
        memmove(dst + i * words, src + (size_t)idx[i] * words, words * sizeof *dst);
}

void bti_mpn_scatter(const bt_mont *ctx, bt_word *dst, size_t first, const bt_word *src, size_t n)
{
    const size_t words = ctx->elem_words;
    memmove(dst + first * words, src, n * words * sizeof *dst);
}

void bti_mpn_put(const bt_mont *ctx, bt_word *dst, const int64_t *idx, const bt_word *src, size_t n)
{
    const size_t words = ctx->elem_words;
    for (size_t i = 0; i < n; i++)
        memcpy(dst + (size_t)idx[i] * words, src + i * words, words * sizeof *dst);
}

/* Masked reads, 16 bytes at a time with the vectors that every 64-bit CPU has (GNU vector types: SSE2, NEON). */
typedef uint64_t vec __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint32_t vec32 __attribute__((vector_size(16)));

/* BLOCK: words selected together, one cache line. STAGED: the most rows that select_shared copies to the stack. */
enum { BLOCK = 8, STAGED = 256 };

static inline vec vec_mask(uint32_t digit, uint32_t row)
{
    const vec32 d = {digit, digit, digit, digit}, r = {row, row, row, row};
    return (vec)(d == r);
}

/* BLOCK words of rows 0 .. rows-1, `stride` words apart, masked by row == digit and gathered into dst. */
static inline void select_block(bt_word *dst, const bt_word *table, size_t rows, size_t stride, uint32_t digit)
{
    vec s0 = {0, 0}, s1 = {0, 0}, s2 = {0, 0}, s3 = {0, 0};
    for (size_t j = 0; j < rows; j++, table += stride) {
        const vec mask = vec_mask(digit, (uint32_t)j);
        const vec *v = (const vec *)table;
        s0 |= mask & v[0];
        s1 |= mask & v[1];
        s2 |= mask & v[2];
        s3 |= mask & v[3];
    }
    vec *out = (vec *)dst;
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

static inline void select_word(bt_word *dst, const bt_word *table, size_t rows, size_t stride, uint32_t digit)
{
    bt_word sum = 0;
    for (size_t j = 0; j < rows; j++, table += stride)
        sum |= bt_ct_eq(j, digit) & *table;
    *dst = sum;
}

/* Column block by column block: each is first copied together, because table rows are often a power of two apart and would
 * then compete for a few sets of the cache while the whole batch scans them. */
void bti_mpn_select_shared(const bt_mont *ctx, bt_word *dst, const bt_word *table, size_t rows, const uint32_t *digit,
                           size_t n)
{
    const size_t words = ctx->elem_words, whole = words / BLOCK * BLOCK;
    const int stage = n > 1 && rows <= STAGED;
    bt_word staged[STAGED * BLOCK];
    for (size_t k = 0; k < whole; k += BLOCK) {
        const bt_word *from = table + k;
        size_t stride = words;
        if (stage) {
            for (size_t j = 0; j < rows; j++)
                memcpy(staged + j * BLOCK, table + j * words + k, BLOCK * sizeof *staged);
            from = staged;
            stride = BLOCK;
        }
        for (size_t i = 0; i < n; i++)
            select_block(dst + i * words + k, from, rows, stride, digit[i]);
    }
    if (stage && whole) /* tables modulo a secret prime: its owner wipes them, not this copy */
        bt_wipe(staged, rows * BLOCK * sizeof *staged);
    for (size_t i = 0; i < n; i++)
        for (size_t k = whole; k < words; k++)
            select_word(dst + i * words + k, table + k, rows, words, digit[i]);
}

void bti_mpn_select_own(const bt_mont *ctx, bt_word *dst, const bt_word *tables, size_t rows, size_t stride,
                        const uint32_t *digit, size_t n)
{
    const size_t words = ctx->elem_words, whole = words / BLOCK * BLOCK;
    for (size_t i = 0; i < n; i++, dst += words, tables += words) {
        for (size_t k = 0; k < whole; k += BLOCK)
            select_block(dst + k, tables + k, rows, stride, digit[i]);
        for (size_t k = whole; k < words; k++)
            select_word(dst + k, tables + k, rows, stride, digit[i]);
    }
}

const bt_mont_ops bt_mont_mpn = {
    .name = "mpn",
    .lanes = 1,
    .min_limbs = 1,
    .max_limbs = BT_MAX_LIMBS,
    .available = bti_mpn_available,
    .elem_words = mont_elem_words,
    .const_words = mont_const_words,
    .scratch_words = mont_scratch_words,
    .init = mont_init,
    .load = mont_load,
    .store = mont_store,
    .one = mont_one,
    .mul = mont_mul,
    .sqr = mont_sqr,
    .gather = bti_mpn_gather,
    .scatter = bti_mpn_scatter,
    .put = bti_mpn_put,
    .select_shared = bti_mpn_select_shared,
    .select_own = bti_mpn_select_own,
    .pairs = &bt_mont_mpn_pairs,
};
