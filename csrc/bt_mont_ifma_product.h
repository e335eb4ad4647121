/* Private to bt_mont_ifma.c: products and squares of elements as columns, by rows and by Karatsuba. */
#ifndef BT_MONT_IFMA_PRODUCT_H
#define BT_MONT_IFMA_PRODUCT_H

#include "bt_mont_ifma_vector.h"

/* From how many digits on Karatsuba beats plain rows (measured). */
#ifndef SPLIT_MUL
#define SPLIT_MUL 20
#define SPLIT_SQR 40
#endif

/* Rows are taken four at a time, the last 4 to 7 together: the accumulators of one column more than rows stay in registers, so a
 * column costs its products, two loads and a store. */
enum { ROWS = 4 };

/* acc[0 .. n + nb) = or += x[0 .. n) b[0 .. nb), n a constant */
INLINE void some_rows(row *restrict acc, int fresh, const vec *x, int n, const row *restrict b, int nb)
{
    vec w[2 * ROWS];
    UNROLL for (int i = 0; i < n; i++) w[i] = fresh ? spread(0) : (vec)acc[i];
    for (int j = 0; j < nb; j++) {
        const vec y = b[j];
        w[n] = fresh ? spread(0) : (vec)acc[j + n];
        UNROLL for (int i = 0; i < n; i++) w[i] = mul_low(w[i], x[i], y);
        UNROLL for (int i = 0; i < n; i++) w[i + 1] = mul_high(w[i + 1], x[i], y);
        acc[j] = w[0];
        UNROLL for (int i = 0; i < n; i++) w[i] = w[i + 1];
    }
    UNROLL for (int i = 0; i < n; i++) acc[nb + i] = w[i];
}

INLINE void rows_of(row *restrict acc, int fresh, const row *restrict a, int n, const row *restrict b, int nb)
{
    vec x[2 * ROWS];
    UNROLL for (int i = 0; i < n; i++) x[i] = a[i];
    some_rows(acc, fresh, x, n, b, nb);
}

/* acc[0 .. na + nb) += a b, or = a b if `fresh`; na >= ROWS */
INLINE void rows_mul(row *restrict acc, int fresh, const row *restrict a, int na, const row *restrict b, int nb)
{
    int i = 0;
    for (; i + 2 * ROWS <= na; i += ROWS) {
        if (i == 0 && fresh) {
            rows_of(acc, 1, a, ROWS, b, nb);
            continue;
        }
        if (fresh)
            UNROLL for (int k = 0; k < ROWS; k++) acc[nb + i + k] = spread(0);
        rows_of(acc + i, 0, a + i, ROWS, b, nb);
    }
    if (fresh)
        for (int k = i == 0 ? 0 : nb + i; k < nb + na; k++)
            acc[k] = spread(0);
    switch (na - i) {
    case 4:
        rows_of(acc + i, 0, a + i, 4, b, nb);
        break;
    case 5:
        rows_of(acc + i, 0, a + i, 5, b, nb);
        break;
    case 6:
        rows_of(acc + i, 0, a + i, 6, b, nb);
        break;
    default:
        rows_of(acc + i, 0, a + i, 7, b, nb);
        break;
    }
}

OUTLINE void rows_fresh(row *restrict acc, const row *restrict a, int na, const row *restrict b, int nb)
{
    rows_mul(acc, 1, a, na, b, nb);
}

/* acc[1 .. n + m) += the products of x[0 .. n) with the digits above each of them in x[0 .. m); n a constant, n <= m */
INLINE void rows_above(row *restrict acc, const row *restrict x, int n, int m)
{
    vec a[2 * ROWS], w[2 * ROWS];
    UNROLL for (int i = 0; i < n; i++)
    {
        a[i] = x[i];
        w[i] = acc[i + 1];
    }
    UNROLL for (int j = 1; j < n; j++)
    {
        w[n] = acc[j + n];
        UNROLL for (int i = 0; i < j; i++) w[i] = mul_low(w[i], a[i], a[j]);
        UNROLL for (int i = 0; i < j; i++) w[i + 1] = mul_high(w[i + 1], a[i], a[j]);
        acc[j] = w[0];
        UNROLL for (int i = 0; i < n; i++) w[i] = w[i + 1];
    }
    for (int j = n; j < m; j++) {
        const vec y = x[j];
        w[n] = acc[j + n];
        UNROLL for (int i = 0; i < n; i++) w[i] = mul_low(w[i], a[i], y);
        UNROLL for (int i = 0; i < n; i++) w[i + 1] = mul_high(w[i + 1], a[i], y);
        acc[j] = w[0];
        UNROLL for (int i = 0; i < n; i++) w[i] = w[i + 1];
    }
    UNROLL for (int i = 0; i < n; i++) acc[m + i] = w[i];
}

/* acc[0 .. 2 n) = x^2: each product of two different digits once, all doubled together with the squares of the digits */
OUTLINE void rows_sqr(row *restrict acc, const row *restrict x, int n)
{
    for (int k = 0; k < 2 * n; k++)
        acc[k] = spread(0);
    int i = 0;
    for (; i + 2 * ROWS <= n; i += ROWS)
        rows_above(acc + 2 * i, x + i, ROWS, n - i);
    switch (n - i) {
    case 4:
        rows_above(acc + 2 * i, x + i, 4, 4);
        break;
    case 5:
        rows_above(acc + 2 * i, x + i, 5, 5);
        break;
    case 6:
        rows_above(acc + 2 * i, x + i, 6, 6);
        break;
    default:
        rows_above(acc + 2 * i, x + i, 7, 7);
        break;
    }
    for (i = 0; i < n; i++) {
        acc[2 * i] = mul_low(acc[2 * i] + acc[2 * i], x[i], x[i]);
        acc[2 * i + 1] = mul_high(acc[2 * i + 1] + acc[2 * i + 1], x[i], x[i]);
    }
}

/* r[0 .. n) = x - y mod 2^(52 n); all ones where x < y */
INLINE vec difference(row *restrict r, const row *restrict x, const row *restrict y, int n)
{
    vec borrow = spread(0);
    UNROLL for (int j = 0; j < n; j++)
    {
        const vec v = x[j] - y[j] + borrow;
        r[j] = v & MASK;
        borrow = carry_of(v);
    }
    return borrow;
}

/* acc[0 .. 2 n) = a b. With a = a0 + a1 Y, P0 = a0 b0, P2 = a1 b1, D = (a1 - a0)(b1 - b0):
 * a b = P0 + (P0 + P2 - D) Y + P2 Y^2. The differences are taken mod Y: a1 - a0 = da - sa Y, sa = 1 if a1 < a0, and so
 * D = da db - (sa db + sb da) Y + sa sb Y^2. */
static void product(row *restrict acc, const row *a, const row *b, int n, row *restrict work)
{
    VERIFY(digits_only(a, n) && digits_only(b, n));
    if (n < SPLIT_MUL || n % 2 != 0) {
        rows_fresh(acc, a, n, b, n);
        return;
    }
    const int h = n / 2;
    row *d = work, *da = work + n, *db = da + h;
    work += 2 * n;
    product(acc, a, b, h, work);
    product(acc + n, a + h, b + h, h, work);
    const vec sa = difference(da, a + h, a, h), sb = difference(db, b + h, b, h);
    product(d, da, db, h, work);
    for (int k = 0; k < h; k++) {
        const vec both = acc[k + h] + acc[k + n];
        acc[k + h] = both + acc[k] - d[k];
        acc[k + n] = both + acc[k + n + h] - d[k + h] + (sa & db[k]) + (sb & da[k]);
    }
    acc[n + h] += sa & sb & ~(vec){0}; /* - sa sb, as all ones is - 1 */
}

/* acc[0 .. 2 n) = x^2, the same with a = b = x */
static void square(row *restrict acc, const row *x, int n, row *restrict work)
{
    VERIFY(digits_only(x, n));
    if (n < SPLIT_SQR || n % 2 != 0) {
        rows_sqr(acc, x, n);
        return;
    }
    const int h = n / 2;
    row *d = work, *dx = work + n;
    work += n + h;
    square(acc, x, h, work);
    square(acc + n, x + h, h, work);
    const vec s = difference(dx, x + h, x, h);
    square(d, dx, h, work);
    for (int k = 0; k < h; k++) {
        const vec both = acc[k + h] + acc[k + n], twice = s & dx[k];
        acc[k + h] = both + acc[k] - d[k];
        acc[k + n] = both + acc[k + n + h] - d[k + h] + twice + twice;
    }
    acc[n + h] += s;
}

#endif
