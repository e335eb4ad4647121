/* Private to bt_mont_ifma.c and bt_mont_ifma_pairs.c: the constants of a modulus, the reduction of columns from below, and what both layouts share. */
#ifndef BT_MONT_IFMA_REDUCE_H
#define BT_MONT_IFMA_REDUCE_H

#include "bt_cpu.h"
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
    row *minus_inverse; /* [1] -M^-1 mod B */
    row *r1, *r2;       /* [n] B^n and B^(2n) mod M; of pairs [2 n], mod M^2 */
    row *r3;            /* pairs: [2 n] B^(3n) mod M^2 */
    row *k;             /* pairs: [ROWS] -M^-1 mod B^4 */
} constants;

/* The next n vectors of a work area. */
INLINE row *take(row **p, int n)
{
    row *q = *p;
    *p += n;
    return q;
}

/* those of M, of so many limbs; pairs: whether they are of pairs modulo M^2 */
INLINE constants laid_out(const bt_word *words, size_t limbs, int pairs)
{
    constants c = {.s = shape_of(limbs)};
    row *p = aligned(words);
    const int n = c.s.n, element = pairs ? 2 * n : n;
    c.m = take(&p, n + ROWS);
    c.c_rows = take(&p, n);
    c.c_fold = take(&p, n);
    c.minus_inverse = take(&p, 1);
    c.r1 = take(&p, element);
    c.r2 = take(&p, element);
    c.r3 = take(&p, pairs ? element : 0);
    c.k = take(&p, pairs ? ROWS : 0);
    return c;
}

/* as laid_out takes them, and one vector to align them */
INLINE size_t constant_words(size_t limbs, int pairs)
{
    const int n = shape_of(limbs).n;
    return LANES * (size_t)(pairs ? 9 * n + 2 * ROWS + 2 : 5 * n + ROWS + 2);
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

/* the same with four digits; unless q is NULL, also q[0 .. 8) += t k, of which q[4 .. 8) is new (bt_mont_ifma_pairs.c) */
INLINE void small_fold(row *restrict acc, const constants *c, row *restrict q)
{
    vec t[ROWS], carry = spread(0);
    UNROLL for (int k = 0; k < ROWS; k++)
    {
        t[k] = acc[k] + carry;
        carry = carry_of(t[k]);
    }
    acc[ROWS] += carry;
    some_rows(acc + ROWS, 0, t, ROWS, c->c_rows, c->s.n);
    if (!q)
        return;
    vec w[2 * ROWS];
    UNROLL for (int k = 0; k < ROWS; k++)
    {
        w[k] = q[k];
        w[ROWS + k] = spread(0);
    }
    UNROLL for (int j = 0; j < ROWS; j++)
    {
        const vec y = c->k[j];
        UNROLL for (int k = 0; k < ROWS; k++) mul_both(&w[j + k], &w[j + k + 1], &t[k], &y);
    }
    UNROLL for (int k = 0; k < 2 * ROWS; k++) q[k] = w[k];
}

/* r = (acc[0 .. n + 4) + Q M) / B^4, carried; unless quotient is NULL, quotient[0 .. 4) += Q */
INLINE void rows_of_montgomery(row *restrict r, const row *restrict acc, const constants *c, row *restrict quotient)
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
        if (quotient)
            quotient[k] += q[k];
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

OUTLINE void last_rows(row *restrict r, const row *restrict acc, const constants *c)
{
    rows_of_montgomery(r, acc, c, NULL);
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
        small_fold(acc, c, NULL);
    VERIFY(columns(acc, n + ROWS, 1352));
    last_rows(r, acc, c);
    VERIFY(element(r, n));
}

/* --- set up ----------------------------------------------------------------------------------------------------------------- */

static int mont_available(void)
{
#ifdef BT_IFMA_EMULATE
    return 1;
#else
    return bt_cpu_has(BT_CPU_AVX2 | BT_CPU_AVX512F | BT_CPU_IFMA);
#endif
}

static void digits_of(row *r, int n, const bt_limb *x, size_t limbs)
{
    for (int j = 0; j < n; j++)
        r[j] = spread(digit_at(x, limbs, j));
}

/* r = r / B^4 mod M; work: n + ROWS vectors */
static void divided(row *r, const constants *c, row *work)
{
    for (int k = 0; k < c->s.n + ROWS; k++)
        work[k] = k < c->s.n ? (vec)r[k] : spread(0);
    last_rows(r, work, c);
}

/* what reduce needs of M; work: n + ROWS vectors */
static void init_reduction(const constants *c, const bt_modulus *mod, row *work)
{
    const int n = c->s.n;
    digits_of(c->m, n + ROWS, mod->m, mod->limbs);
    c->minus_inverse[0] = spread(mod->neg_inv & MASK);
    for (int k = 0; k < n; k++)
        c->c_rows[k] = spread(k == 0);
    divided(c->c_rows, c, work);
    memcpy(c->c_fold, c->c_rows, (size_t)n * sizeof(row));
    for (int k = ROWS; k < c->s.fold; k += ROWS)
        divided(c->c_fold, c, work);
}

/* --- into limbs ------------------------------------------------------------------------------------------------------------- */

/* x[limbs + 1] = the value of digits[0 .. n) of one lane, which is below 2^(64 (limbs + 1)) */
INLINE void limbs_of(bt_limb *x, size_t limbs, const bt_word *digits, int n)
{
    memset(x, 0, (limbs + 1) * sizeof *x);
    for (int j = 0; j < n; j++) {
        const size_t at = (size_t)j * RADIX, k = at / 64, shift = at % 64;
        if (k <= limbs)
            x[k] |= digits[j * LANES] << shift;
        if (shift > 64 - RADIX && k < limbs)
            x[k + 1] |= digits[j * LANES] >> (64 - shift);
    }
}

#endif
