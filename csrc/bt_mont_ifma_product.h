/* Private to bt_mont_ifma.c and bt_mont_ifma_pairs.c: products and squares of elements as columns, by rows and by Karatsuba. */
#ifndef BT_MONT_IFMA_PRODUCT_H
#define BT_MONT_IFMA_PRODUCT_H

#include "bt_mont_ifma_vector.h"

/* From how many digits on Karatsuba beats plain rows (measured). */
enum { SPLIT_MUL = 20, SPLIT_SQR = 28 };

/* Rows are taken four at a time, the last 4 to 7 together. The columns that they reach at once stay in registers, so a column
 * costs its products, two loads and a store. */
enum { ROWS = 4 };

/* acc[0 .. n + nb) = or += x[0 .. n) b[0 .. nb), n a constant */
INLINE void some_rows(row *restrict acc, int fresh, const vec *x, int n, const row *restrict b, int nb)
{
    vec w[2 * ROWS];
    UNROLL for (int i = 0; i < n; i++) w[i] = fresh ? spread(0) : (vec)acc[i];
    for (int j = 0; j < nb; j++) {
        const vec y = b[j];
        w[n] = fresh ? spread(0) : (vec)acc[j + n];
        UNROLL for (int i = 0; i < n; i++) mul_both(&w[i], &w[i + 1], &x[i], &y);
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

/* acc[0 .. na + nb) = a b; na >= 2 ROWS */
OUTLINE void rows_mul(row *restrict acc, const row *restrict a, int na, const row *restrict b, int nb)
{
    rows_of(acc, 1, a, ROWS, b, nb);
    for (int k = nb + ROWS; k < nb + na; k++)
        acc[k] = spread(0);
    int i = ROWS;
    for (; i + 2 * ROWS <= na; i += ROWS)
        rows_of(acc + i, 0, a + i, ROWS, b, nb);
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

/* 2 w and half of the square of the digit whose columns 2 i and 2 i + 1 are: the low part in column k = 2 i, the high part in
 * 2 i + 1 */
INLINE vec finished(vec w, int k, const vec *a)
{
    w += w;
    return k % 2 == 0 ? mul_low(w, a[k / 2], a[k / 2]) : mul_high(w, a[k / 2], a[k / 2]);
}

/* acc[0 .. n + m) += the products of x[0 .. n) with the digits above each of them in x[0 .. m), or = if `fresh`. The columns
 * below 2 n, to which nothing else is added, become those of the square. n a constant; m = n or m >= 2 n. */
INLINE void rows_above(row *restrict acc, int fresh, const row *restrict x, int n, int m)
{
    vec a[2 * ROWS], w[2 * ROWS];
    if (!fresh)
        UNROLL for (int i = 0; i < n; i++) acc[m + i] = spread(0);
    UNROLL for (int i = 0; i < n; i++)
    {
        a[i] = x[i];
        w[i] = fresh ? spread(0) : (vec)acc[i + 1];
    }
    acc[0] = finished(fresh ? spread(0) : (vec)acc[0], 0, a);
    UNROLL for (int j = 1; j < n; j++)
    {
        w[n] = fresh ? spread(0) : (vec)acc[j + n];
        UNROLL for (int i = 0; i < j; i++) mul_both(&w[i], &w[i + 1], &a[i], &a[j]);
        acc[j] = finished(w[0], j, a);
        UNROLL for (int i = 0; i < n; i++) w[i] = w[i + 1];
    }
    if (m == n) {
        UNROLL for (int i = 0; i < n; i++) acc[n + i] = finished(w[i], n + i, a);
        return;
    }
    UNROLL for (int j = n; j < 2 * n; j++)
    {
        const vec y = x[j];
        w[n] = fresh ? spread(0) : (vec)acc[j + n];
        UNROLL for (int i = 0; i < n; i++) mul_both(&w[i], &w[i + 1], &a[i], &y);
        acc[j] = finished(w[0], j, a);
        UNROLL for (int i = 0; i < n; i++) w[i] = w[i + 1];
    }
    for (int j = 2 * n; j < m; j++) {
        const vec y = x[j];
        w[n] = fresh ? spread(0) : (vec)acc[j + n];
        UNROLL for (int i = 0; i < n; i++) mul_both(&w[i], &w[i + 1], &a[i], &y);
        acc[j] = w[0];
        UNROLL for (int i = 0; i < n; i++) w[i] = w[i + 1];
    }
    UNROLL for (int i = 0; i < n; i++) acc[m + i] = w[i];
}

/* acc[0 .. 2 n) = x^2, n >= 2 ROWS: each product of two different digits once, all doubled together with the squares of the
 * digits */
OUTLINE void rows_sqr(row *restrict acc, const row *restrict x, int n)
{
    rows_above(acc, 1, x, ROWS, n);
    int i = ROWS;
    for (; i + 2 * ROWS <= n; i += ROWS)
        rows_above(acc + 2 * i, 0, x + i, ROWS, n - i);
    acc += 2 * i;
    x += i;
    switch (n - i) {
    case 4:
        rows_above(acc, 0, x, 4, 4);
        break;
    case 5:
        rows_above(acc, 0, x, 5, 5);
        break;
    case 6:
        rows_above(acc, 0, x, 6, 6);
        break;
    default:
        rows_above(acc, 0, x, 7, 7);
        break;
    }
}

typedef struct signs {
    vec a, b;
} signs;

/* da[0 .. n) = a1 - a0 mod 2^(52 n) and all ones where a1 < a0; the same of b. Two chains of
 * borrows take no longer than one. */
INLINE signs differences(row *restrict da, row *restrict db, const row *a1, const row *a0, const row *b1, const row *b0,
                         int n)
{
    signs s = {spread(0), spread(0)};
    UNROLL8 for (int j = 0; j < n; j++)
    {
        const vec u = a1[j] - a0[j] + s.a, v = b1[j] - b0[j] + s.b;
        da[j] = u & MASK;
        db[j] = v & MASK;
        s.a = carry_of(u);
        s.b = carry_of(v);
    }
    return s;
}

INLINE vec difference(row *restrict r, const row *x, const row *y, int n)
{
    vec sign = spread(0);
    UNROLL8 for (int j = 0; j < n; j++)
    {
        const vec v = x[j] - y[j] + sign;
        r[j] = v & MASK;
        sign = carry_of(v);
    }
    return sign;
}

/* acc[0 .. 2 n) = a b. With a = a0 + a1 Y, P0 = a0 b0, P2 = a1 b1, D = (a1 - a0)(b1 - b0):
 * a b = P0 + (P0 + P2 - D) Y + P2 Y^2. The differences are taken mod Y: a1 - a0 = da - sa Y, sa = 1 if a1 < a0, and so
 * D = da db - (sa db + sb da) Y + sa sb Y^2. */
static void product(row *restrict acc, const row *a, const row *b, int n, row *restrict work)
{
    VERIFY(digits_only(a, n) && digits_only(b, n));
    if (n < SPLIT_MUL || n % 2 != 0) {
        rows_mul(acc, a, n, b, n);
        return;
    }
    const int h = n / 2;
    row *d = work, *da = work + n, *db = da + h;
    work += 2 * n;
    product(acc, a, b, h, work);
    product(acc + n, a + h, b + h, h, work);
    const signs s = differences(da, db, a + h, a, b + h, b, h);
    product(d, da, db, h, work);
    for (int k = 0; k < h; k++) {
        const vec both = acc[k + h] + acc[k + n];
        acc[k + h] = both + acc[k] - d[k];
        acc[k + n] = both + acc[k + n + h] - d[k + h] + (s.a & db[k]) + (s.b & da[k]);
    }
    acc[n + h] += s.a & s.b; /* - sa sb, as all ones is - 1 */
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
