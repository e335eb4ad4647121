/* Private to bt_mont_ifma.c: the constants of a modulus, and the reduction of columns from below. */
#ifndef BT_MONT_IFMA_REDUCE_H
#define BT_MONT_IFMA_REDUCE_H

#include "bt_mont_ifma_product.h"

/* From how many digits on a large fold, by Karatsuba, beats folds of four (measured). */
enum { SPLIT_FOLD = 28 };

typedef struct shape {
    int n;    /* digits of an element, a multiple of 4 */
    int fold; /* digits of the large fold, a multiple of 4 and at most half of n, or 0 */
} shape;

INLINE shape shape_of(size_t limbs)
{
    shape s;
    s.n = (int)((64 * limbs + 4 + RADIX - 1) / RADIX + 3) / 4 * 4;
    s.fold = s.n / 8 * 4 >= SPLIT_FOLD ? s.n / 8 * 4 : 0;
    return s;
}

typedef struct constants {
    shape s;
    row *m;             /* [n + ROWS] and zeros above */
    row *c_rows;        /* [n] B^-4 mod M */
    row *c_fold;        /* [n] B^-fold mod M */
    row *r1, *r2;       /* [n] B^n and B^(2n) mod M */
    row *minus_inverse; /* [1] -M^-1 mod B */
} constants;

/* The next n vectors of a work area. */
INLINE row *take(row **p, int n)
{
    row *q = *p;
    *p += n;
    return q;
}

INLINE constants constants_of(const bt_mont *ctx)
{
    constants c = {.s = shape_of(ctx->mod->limbs)};
    row *p = aligned(ctx->consts);
    const int n = c.s.n;
    c.m = take(&p, n + ROWS);
    c.c_rows = take(&p, n);
    c.c_fold = take(&p, n);
    c.r1 = take(&p, n);
    c.r2 = take(&p, n);
    c.minus_inverse = take(&p, 1);
    return c;
}

/* acc[fold ..] = T B^-fold mod M, in columns: their lowest digits t, carried, times B^-fold mod M */
static void large_fold(row *acc, const constants *c, row *work)
{
    const int f = c->s.fold;
    row *t = take(&work, f), *p = take(&work, 2 * f);
    vec carry = spread(0);
    UNROLL8 for (int k = 0; k < f; k++)
    {
        const vec x = acc[k] + carry;
        t[k] = x & MASK;
        carry = carry_of(x);
    }
    acc += f;
    acc[0] += carry;
    for (int from = 0; from < 2 * f; from += f) {
        product(p, t, c->c_fold + from, f, work);
        for (int k = 0; k < 2 * f; k++)
            acc[from + k] += p[k];
    }
    if (2 * f < c->s.n) /* the last four */
        rows_of(acc + 2 * f, 0, c->c_fold + 2 * f, ROWS, t, f);
}

/* the same with four digits */
INLINE void small_fold(row *restrict acc, const constants *c)
{
    vec t[ROWS], carry = spread(0);
    UNROLL for (int k = 0; k < ROWS; k++)
    {
        t[k] = acc[k] + carry;
        carry = carry_of(t[k]);
    }
    acc[ROWS] += carry;
    some_rows(acc + ROWS, 0, t, ROWS, c->c_rows, c->s.n);
}

/* r = (acc[0 .. n + 4) + Q M) / B^4, carried */
OUTLINE void last_rows(row *restrict r, const row *restrict acc, const constants *c)
{
    const row *m = c->m;
    const vec k0 = c->minus_inverse[0];
    vec q[ROWS], carry = spread(0);
    UNROLL for (int k = 0; k < ROWS; k++)
    {
        vec low = acc[k] + carry, high = spread(0);
        UNROLL for (int i = 0; i < k; i++)
        {
            low = mul_low(low, q[i], m[k - i]);
            high = mul_high(high, q[i], m[k - 1 - i]);
        }
        low += high;
        q[k] = mul_low(spread(0), low, k0);
        carry = carry_of(low + MASK); /* the low digit of q[k] m[0] makes that of the column 0 */
    }
    vec m0 = m[0], m1 = m[1], m2 = m[2], m3 = m[3];
    for (int k = ROWS; k < c->s.n + ROWS; k++) {
        const vec m4 = m[k];
        vec low = acc[k], high = mul_high(spread(0), q[0], m3);
        low = mul_low(low, q[0], m4);
        high = mul_high(high, q[1], m2);
        low = mul_low(low, q[1], m3);
        high = mul_high(high, q[2], m1);
        low = mul_low(low, q[2], m2);
        high = mul_high(high, q[3], m0);
        low = mul_low(low, q[3], m1);
        low += high;
        low += carry;
        r[k - ROWS] = low & MASK;
        carry = carry_of(low);
        m0 = m1;
        m1 = m2;
        m2 = m3;
        m3 = m4;
    }
}

/* r = acc[0 .. 2 n) / B^n mod M */
INLINE void reduce(row *r, row *acc, const constants *c, int fold, row *work)
{
    const int n = c->s.n;
    int left = n;
    VERIFY(columns(acc, 2 * n, 882));
    if (fold) {
        large_fold(acc, c, work);
        acc += fold;
        left -= fold;
        VERIFY(columns(acc, n + left, 1192));
    }
    for (; left > ROWS; left -= ROWS, acc += ROWS)
        small_fold(acc, c);
    VERIFY(columns(acc, n + ROWS, 1352));
    last_rows(r, acc, c);
    VERIFY(element(r, n));
}

#endif
