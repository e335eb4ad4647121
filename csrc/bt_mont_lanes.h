/* Shared by the vector backends: the layout of arrays, and the operations that do not depend on the form of a digit.
 *
 * Private to bt_mont_ifma.c and bt_mont_fma.c, which include it after defining these functions:
 *
 *   products(ctx, dst, a, b, b_step, n, scratch)   dst[i] = a[i] b[i] / R, or dst[i] = a[i]^2 / R if b is NULL; b_step: words
 *                                                  from one group of b to the next
 *   gathered(from, j)                              the vector whose lane l is from[l][j]
 *   permuted(x, places_of(k))                      the vector whose lane l is lane k[l] of x
 *   constants_of(ctx).r1                           the digits of 1, in every lane
 *
 * Elements lie in groups of LANES, digit j of all of them side by side in one vector: an array of n elements is groups(n)
 * elem_words vectors. Nothing here branches or indexes by an element's value or by a digit of a secret exponent. */
#ifndef BT_MONT_LANES_H
#define BT_MONT_LANES_H

#include "bt_mont_vector.h"

/* --- products --------------------------------------------------------------------------------------------------------------- */

static void mont_mul(const bt_mont *ctx, bt_word *dst, const bt_word *a, const bt_word *b, size_t n, int secret,
                     bt_word *scratch)
{
    (void)secret;
    if (a == b)
        products(ctx, dst, a, NULL, 0, n, scratch);
    else
        products(ctx, dst, a, b, LANES * ctx->elem_words, n, scratch);
}

static void mont_sqr(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t n, int secret, bt_word *scratch)
{
    (void)secret;
    products(ctx, dst, a, NULL, 0, n, scratch);
}

static void mont_one(const bt_mont *ctx, bt_word *dst, size_t n)
{
    const size_t step = LANES * ctx->elem_words;
    for (size_t g = 0; g < groups(n); g++)
        memcpy(dst + g * step, constants_of(ctx).r1, step * sizeof *dst);
}

/* --- moving ----------------------------------------------------------------------------------------------------------------- */

/* the words of element i: every LANES-th from here */
INLINE const bt_word *words_of(const bt_word *a, size_t i, size_t digits)
{
    return a + i / LANES * LANES * digits + i % LANES;
}

static void mont_gather(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t n)
{
    const size_t digits = ctx->elem_words;
    if (!idx) {
        memmove(dst, src, groups(n) * LANES * digits * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i += LANES, dst += LANES * digits) {
        const bt_word *from[LANES];
        for (size_t l = 0; l < LANES; l++) /* the last element pads */
            from[l] = words_of(src, (size_t)idx[i + l < n ? i + l : n - 1], digits);
        for (size_t j = 0; j < LANES * digits; j += LANES)
            *(row *)(dst + j) = gathered(from, j);
    }
}

/* dst[to] = src[from] */
INLINE void move(bt_word *dst, size_t to, const bt_word *src, size_t from, size_t digits)
{
    const bt_word *x = words_of(src, from, digits);
    bt_word *y = dst + (words_of(dst, to, digits) - dst);
    for (size_t j = 0; j < LANES * digits; j += LANES)
        y[j] = x[j];
}

static void mont_scatter(const bt_mont *ctx, bt_word *dst, size_t first, const bt_word *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        move(dst, first + i, src, i, ctx->elem_words);
}

static void mont_put(const bt_mont *ctx, bt_word *dst, const int64_t *idx, const bt_word *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        move(dst, (size_t)idx[i], src, i, ctx->elem_words);
}

INLINE vec digits_at(const uint32_t *digit, size_t i, size_t n)
{
    vec d = spread(0);
    for (size_t l = 0; l < LANES && i + l < n; l++)
        d[l] = digit[i + l];
    return d;
}

/* groups of a table, or tables, that are read together: streams that the prefetcher follows */
enum { TOGETHER = 4 };

/* *to = x, or |= x if something was kept before */
INLINE void keep(row *to, int before, vec x)
{
    if (before)
        x |= *to;
    *to = x;
}

/* LANES rows lie side by side in a group of the table: each output takes the lane of its row from every group, and keeps what
 * came from its own group. */
static void mont_select_shared(const bt_mont *ctx, bt_word *dst, const bt_word *table, size_t rows,
                               const uint32_t *digit, size_t n)
{
    const size_t digits = ctx->elem_words, whole = groups(rows);
    for (size_t i = 0; i < n; i += LANES, dst += LANES * digits) {
        const vec d = digits_at(digit, i, n), group = d / LANES, places = places_of(d % LANES);
        row *out = (row *)dst;
        size_t g = 0;
        for (; g + TOGETHER <= whole; g += TOGETHER) {
            const row *t = (const row *)table + g * digits;
            const vec m0 = equal(group, spread(g)), m1 = equal(group, spread(g + 1)), m2 = equal(group, spread(g + 2)),
                      m3 = equal(group, spread(g + 3));
            for (size_t j = 0; j < digits; j++) {
                const vec x0 = m0 & permuted(t[j], places), x1 = m1 & permuted(t[j + digits], places);
                const vec x2 = m2 & permuted(t[j + 2 * digits], places), x3 = m3 & permuted(t[j + 3 * digits], places);
                const vec x = x0 | x1 | x2 | x3;
                keep(out + j, g > 0, x);
            }
        }
        for (; g < whole; g++) {
            const row *t = (const row *)table + g * digits;
            const vec mask = equal(group, spread(g));
            for (size_t j = 0; j < digits; j++) {
                const vec x = mask & permuted(t[j], places);
                keep(out + j, g > 0, x);
            }
        }
    }
}

static void mont_select_own(const bt_mont *ctx, bt_word *dst, const bt_word *tables, size_t rows, size_t stride,
                            const uint32_t *digit, size_t n)
{
    const size_t digits = ctx->elem_words;
    for (size_t i = 0; i < n; i += LANES, dst += LANES * digits, tables += LANES * digits) {
        const vec d = digits_at(digit, i, n);
        row *out = (row *)dst;
        size_t k = 0;
        for (; k + TOGETHER <= rows; k += TOGETHER) {
            const row *t0 = (const row *)(tables + k * stride), *t1 = (const row *)(tables + (k + 1) * stride),
                      *t2 = (const row *)(tables + (k + 2) * stride), *t3 = (const row *)(tables + (k + 3) * stride);
            const vec m0 = equal(d, spread(k)), m1 = equal(d, spread(k + 1)), m2 = equal(d, spread(k + 2)),
                      m3 = equal(d, spread(k + 3));
            for (size_t j = 0; j < digits; j++) {
                const vec x = (m0 & t0[j]) | (m1 & t1[j]) | (m2 & t2[j]) | (m3 & t3[j]);
                keep(out + j, k > 0, x);
            }
        }
        for (; k < rows; k++) {
            const row *t = (const row *)(tables + k * stride);
            const vec mask = equal(d, spread(k));
            for (size_t j = 0; j < digits; j++)
                keep(out + j, k > 0, mask & t[j]);
        }
    }
}

#endif
