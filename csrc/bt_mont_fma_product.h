/* Private to bt_mont_fma.c and bt_mont_fma_pairs.c: products and squares of elements as columns, by rows and by Karatsuba. */
#ifndef BT_MONT_FMA_PRODUCT_H
#define BT_MONT_FMA_PRODUCT_H

#include "bt_mont_fma_digits.h"

/* acc[0 .. na + nb) += a b by rows, four at a time, two at the end; na even, nb >= 3 */
OUTLINE void rows_mul(vi *restrict acc, const vd *restrict a, int na, const vd *restrict b, int nb)
{
    int i = 0;
    for (; i + 4 <= na; i += 4, acc += 4) {
        const vd a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
        vd b0 = b[0], b1 = b[1], b2 = b[2];
        vi high = _mm256_setzero_si256();
        put(acc, &high, sum1(a0, b0));
        put(acc + 1, &high, sum2(a0, b1, a1, b0));
        put(acc + 2, &high, sum3(a0, b2, a1, b1, a2, b0));
        UNROLL2 for (int j = 3; j < nb; j++)
        {
            const vd b3 = b[j];
            put(acc + j, &high, sum4(a0, b3, a1, b2, a2, b1, a3, b0));
            b0 = b1;
            b1 = b2;
            b2 = b3;
        }
        put(acc + nb, &high, sum3(a1, b2, a2, b1, a3, b0));
        put(acc + nb + 1, &high, sum2(a2, b2, a3, b1));
        put(acc + nb + 2, &high, sum1(a3, b2));
        acc[nb + 3] = add(acc[nb + 3], high);
    }
    for (; i < na; i += 2, acc += 2) {
        const vd a0 = a[i], a1 = a[i + 1];
        vd before = b[0];
        vi high = _mm256_setzero_si256();
        put(acc, &high, sum1(a0, before));
        UNROLL2 for (int j = 1; j < nb; j++)
        {
            const vd next = b[j];
            put(acc + j, &high, sum2(a0, next, a1, before));
            before = next;
        }
        put(acc + nb, &high, sum1(a1, before));
        acc[nb + 1] = add(acc[nb + 1], high);
    }
}

/* acc[0 .. 2 n) = from + x^2 (from NULL: 0), n even and >= 8: each product of two different digits once, by rows of four, all
 * doubled together with the squares of the digits */
OUTLINE void rows_sqr(vi *restrict acc, const vi *from, const vd *restrict x, int n)
{
    const vi zero = _mm256_setzero_si256();
    for (int k = 0; k < 2 * n; k++)
        acc[k] = zero;
    vi *row = acc;
    int i = 0;
    for (; i + 6 < n; i += 4, row += 8) { /* digits i .. i+3 by those above them; m - 3 >= 4 columns of the window */
        const vd *b = x + i;
        const int m = n - i;
        const vd a0 = b[0], a1 = b[1], a2 = b[2], a3 = b[3];
        vd b0 = b[4], b1 = b[5], b2 = b[6];
        vi high = zero;
        put(row + 1, &high, sum1(a0, a1));
        put(row + 2, &high, sum1(a0, a2));
        put(row + 3, &high, sum2(a0, a3, a1, a2));
        put(row + 4, &high, sum2(a0, b0, a1, a3));
        put(row + 5, &high, sum3(a0, b1, a1, b0, a2, a3));
        put(row + 6, &high, sum3(a0, b2, a1, b1, a2, b0));
        UNROLL2 for (int j = 7; j < m; j++)
        {
            const vd b3 = b[j];
            put(row + j, &high, sum4(a0, b3, a1, b2, a2, b1, a3, b0));
            b0 = b1;
            b1 = b2;
            b2 = b3;
        }
        put(row + m, &high, sum3(a1, b2, a2, b1, a3, b0));
        put(row + m + 1, &high, sum2(a2, b2, a3, b1));
        put(row + m + 2, &high, sum1(a3, b2));
        row[m + 3] = add(row[m + 3], high);
    }
    for (; i < n; i++, row += 2) { /* the last four or six */
        vi high = zero;
        for (int j = 1; j < n - i; j++)
            put(row + j, &high, sum1(x[i], x[i + j]));
        if (i + 1 < n)
            row[n - i] = add(row[n - i], high);
    }
    for (i = 0; i < n; i++) {
        const sums s = sum1(x[i], x[i]);
        vi even = add(add(acc[2 * i], acc[2 * i]), s.low);
        vi odd = add(add(acc[2 * i + 1], acc[2 * i + 1]), s.high);
        if (from) {
            even = add(even, from[2 * i]);
            odd = add(odd, from[2 * i + 1]);
        }
        acc[2 * i] = even;
        acc[2 * i + 1] = odd;
    }
}

/* r[0 .. max) = x - y, carried once but for the top digit; the shorter operand is padded with zeros. The difference of two
 * regular digits is below 2^50 + 2^15, that with one wide below 1.5 2^50 + 2^15: a carry of at most 2. */
OUTLINE void difference(vd *restrict r, const vd *restrict x, int nx, const vd *restrict y, int ny)
{
    const int n = nx > ny ? nx : ny, both = nx < ny ? nx : ny;
    const vd zero = _mm256_setzero_pd();
    vi carry = _mm256_setzero_si256();
#define DIGIT(X, Y)                                                                                                    \
    do {                                                                                                               \
        const vi v = sub(bits(_mm256_add_pd(_mm256_sub_pd(X, Y), reals(K3))), ints(LOW0));                             \
        const vi low = _mm256_and_si256(add(v, ints(HALF)), ints(MASK));                                               \
        r[j] = _mm256_sub_pd(real(add(add(low, carry), ints(LOW0))), reals(K3 + (double)HALF));                        \
        carry = sub(_mm256_srli_epi64(add(v, ints(((uint64_t)3 << RADIX) + HALF)), RADIX), ints(3));                   \
    } while (0)
    const int common = both < n ? both : n - 1;
    int j;
    UNROLL2 for (j = 0; j < common; j++) DIGIT(x[j], y[j]);
    for (; j < n - 1; j++)
        DIGIT(j < nx ? x[j] : zero, j < ny ? y[j] : zero);
#undef DIGIT
    const vd top = _mm256_sub_pd(j < nx ? x[j] : zero, j < ny ? y[j] : zero);
    r[j] = _mm256_add_pd(top, _mm256_sub_pd(real(add(carry, ints(LOW0))), reals(K3)));
    VERIFY(regular(r, n, nx == ny));
}

/* Digits of the lower part, even and at least half; more than half if the top digit is wide, so that the difference of the two
 * parts ends in a regular digit. A difference is wide exactly if its parts are of one length. */
INLINE int lower(int n, int wide)
{
    const int h = (n + 3) / 4 * 2;
    return wide && 2 * h == n ? h + 2 : h;
}

/* acc[0 .. 2 n) = from + a b, n digits each (from may be acc), `wide` of both. With a = a0 + a1 Y, P0 = a0 b0, P2 = a1 b1:
 * a b = P0 + (P0 + P2 - (a1 - a0)(b1 - b0)) Y + P2 Y^2 = V + V Y + (a1 - a0)(b0 - b1) Y with V = P0 + P2 Y. */
static void product(vi *acc, const vi *from, const vd *a, const vd *b, int n, int wide, vi *work)
{
    VERIFY(regular(a, n, wide) && regular(b, n, wide));
    if (n < SPLIT_MUL) {
        if (from != acc)
            memcpy(acc, from, 2 * (size_t)n * sizeof *acc);
        rows_mul(acc, a, n, b, n);
        return;
    }
    const int h = lower(n, wide), g = n - h, nv = 2 * h > h + 2 * g ? 2 * h : h + 2 * g;
    vi *v = work;
    vd *da = (vd *)(work + nv), *db = da + h;
    work += nv + 2 * h;
    for (int k = 0; k < nv; k++)
        v[k] = _mm256_setzero_si256();
    product(v, v, a, b, h, 0, work);
    product(v + h, v + h, a + h, b + h, g, wide, work);
    difference(da, a + h, g, a, h);
    difference(db, b, h, b + h, g);
    for (int k = 0; k < h; k++)
        acc[k] = add(from[k], v[k]);
    for (int k = h; k < nv; k++)
        acc[k] = add(from[k], add(v[k], v[k - h]));
    for (int k = nv; k < 2 * n; k++)
        acc[k] = add(from[k], v[k - h]);
    product(acc + h, acc + h, da, db, h, h == g, work);
}

/* acc[0 .. 2 n) = from + x^2 (from NULL: 0): P0 + (P0 + P2 - (x0 - x1)^2) Y + P2 Y^2 */
static void square(vi *acc, const vi *from, const vd *x, int n, int wide, vi *work)
{
    VERIFY(regular(x, n, wide));
    if (n < SPLIT_SQR) {
        rows_sqr(acc, from, x, n);
        return;
    }
    const int h = lower(n, wide), g = n - h;
    vi *p0 = work, *p2 = p0 + 2 * h, *p1 = p2 + 2 * h;
    vd *d = (vd *)(p1 + 2 * h);
    work += 7 * h;
    difference(d, x, h, x + h, g);
    square(p0, NULL, x, h, 0, work);
    square(p2, NULL, x + h, g, wide, work);
    square(p1, NULL, d, h, h == g, work);
    for (int k = 2 * g; k < 2 * h; k++)
        p2[k] = _mm256_setzero_si256();
    for (int k = 0; k < h; k++) {
        const vi below = sub(add(p0[k], p2[k]), p1[k]), above = sub(add(p0[k + h], p2[k + h]), p1[k + h]);
        vi c0 = p0[k], c1 = add(p0[k + h], below), c2 = add(p2[k], above);
        if (from) {
            c0 = add(from[k], c0);
            c1 = add(from[k + h], c1);
            c2 = add(from[k + 2 * h], c2);
        }
        acc[k] = c0;
        acc[k + h] = c1;
        acc[k + 2 * h] = c2;
    }
    for (int k = 3 * h; k < 2 * n; k++)
        acc[k] = from ? add(from[k], p2[k - 2 * h]) : p2[k - 2 * h];
}

#endif
