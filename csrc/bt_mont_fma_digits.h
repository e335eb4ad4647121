/* Private to bt_mont_fma.c, which states the bounds, and bt_mont_fma_pairs.c: sizes, vectors of digits and columns, sums of products of digits. */
#ifndef BT_MONT_FMA_DIGITS_H
#define BT_MONT_FMA_DIGITS_H

#include <immintrin.h>

enum { LANES = 4, RADIX = 50, MAX_LIMBS = 128, MIN_LIMBS = 16 };

#include "bt_mont_vector.h"

#define UNROLL2 _Pragma("GCC unroll 2")
#define UNROLL4 _Pragma("GCC unroll 4")

typedef __m256d vd; /* four digits */
typedef __m256i vi; /* four columns */

#define HALF ((uint64_t)1 << (RADIX - 1))
#define D_MAX 0x1.000000001p49 /* 2^49 + 2^13 */
#define K1 0x1.8p102
#define K3 0x1.8p52
#define HIGH0 0x4658000000000000u /* the bits of K1 */
#define LOW0 0x4338000000000000u  /* the bits of K3 */
#define TWO52 0x4330000000000000u /* the bits of 2^52 */

/* --- sizes ------------------------------------------------------------------------------------------------------------ */

/* From how many digits on Karatsuba beats plain rows: products, squares, the first fold (measured). */
enum { SPLIT_MUL = 34, SPLIT_SQR = 34, SPLIT_FOLD = 36 };

typedef struct shape {
    int n;      /* digits, even */
    int f1, f2; /* digits of the two folds, multiples of 4: 2 f1 < n, 2 f2 < n - f1 */
    int kr;     /* rows of Montgomery, even */
    int stage;  /* columns between two stages of a quotient: 4 + 4 stage <= n */
} shape;

INLINE shape shape_of(size_t limbs)
{
    shape s;
    s.n = (int)((64 * limbs + 3 + RADIX - 1) / RADIX);
    s.n += s.n & 1;
    s.f1 = (s.n - 1) / 2 / 4 * 4;
    s.f2 = (s.n - s.f1 - 1) / 2 / 4 * 4;
    s.kr = s.n - s.f1 - s.f2 + 2;
    s.stage = s.n >= 62 ? 12 : s.n >= 36 ? 8 : s.n >= 20 ? 4 : 2;
    return s;
}

/* --- vectors ------------------------------------------------------------------------------------------------------------ */

INLINE vi bits(vd x)
{
    return _mm256_castpd_si256(x);
}

INLINE vd real(vi x)
{
    return _mm256_castsi256_pd(x);
}

INLINE vi add(vi a, vi b)
{
    return _mm256_add_epi64(a, b);
}

INLINE vi sub(vi a, vi b)
{
    return _mm256_sub_epi64(a, b);
}

INLINE vi ints(uint64_t x)
{
    return _mm256_set1_epi64x((long long)x);
}

INLINE vd reals(double x)
{
    return _mm256_set1_pd(x);
}

INLINE vd fmadd(vd a, vd b, vd c)
{
    return _mm256_fmadd_pd(a, b, c);
}

/* (x + 2^49) >> 50, for |x| < 2^62: the carry that leaves a balanced digit */
INLINE vi carry_of(vi x)
{
    const uint64_t offset = (uint64_t)1 << 62;
    return sub(_mm256_srli_epi64(add(x, ints(offset + HALF)), RADIX), ints(offset >> RADIX));
}

/* the balanced digit of x: x minus its carry */
INLINE vd digit_of(vi x)
{
    const vi low = _mm256_and_si256(add(x, ints(HALF)), ints(MASK));
    return _mm256_sub_pd(real(_mm256_or_si256(low, ints(TWO52))), reals(0x1p52 + (double)HALF));
}

INLINE vec gathered(const bt_word *const *from, size_t j)
{
    return (vec){from[0][j], from[1][j], from[2][j], from[3][j]};
}

/* 2 k[l] and 2 k[l] + 1 as 32-bit halves */
INLINE vec places_of(vec k)
{
    return k << 1 | k << 33 | spread((uint64_t)1 << 32);
}

INLINE vec permuted(vec x, vec places)
{
#ifdef BT_CTCHECK
    /* memcheck treats the index of a permutation within a register as an address; these masks compute the same */
    vec r = spread(0);
    for (uint64_t k = 0; k < LANES; k++)
        r |= equal(places, places_of(spread(k))) & spread(x[k]);
    return r;
#else
    return (vec)_mm256_permutevar8x32_epi32((vi)x, (vi)places);
#endif
}

/* --- checks of a VERIFY build ------------------------------------------------------------------------------------------- */

#ifdef BT_VERIFY
static int within(vd x, double low, double high)
{
    double v[LANES];
    _mm256_storeu_pd(v, x);
    for (int l = 0; l < LANES; l++)
        if (!(v[l] >= low && v[l] <= high))
            return 0;
    return 1;
}

static int regular(const vd *x, int n, int wide)
{
    for (int j = 0; j < n; j++) {
        const double most = wide && j == n - 1 ? 2 * D_MAX + 4 : D_MAX;
        if (!within(x[j], -most, most))
            return 0;
    }
    return 1;
}

INLINE int element(const vd *x, int n)
{
    for (int j = 0; j < n; j++) {
        const double most = j == n - 1 ? 0x1p47 : 0x1.00000000080p49;
        if (!within(x[j], -most, most))
            return 0;
    }
    return 1;
}

static int small(vi x)
{
    int64_t v[LANES];
    _mm256_storeu_si256((vi *)(void *)v, x);
    for (int l = 0; l < LANES; l++)
        if (v[l] <= -((int64_t)1 << 61) || v[l] >= (int64_t)1 << 61)
            return 0;
    return 1;
}
#endif

/* --- sums of products of digits ------------------------------------------------------------------------------------------ */

typedef struct sums {
    vi low, high; /* biased by LOW0 and HIGH0; low belongs to the products' column, high to the next */
} sums;

INLINE sums checked(vd low, vd high)
{
    VERIFY(within(low, 0x1p52, 0x1p53) && within(high, 0x1p102, 0x1p103));
    return (sums){bits(low), bits(high)};
}

INLINE sums sum1(vd a, vd b)
{
    const vd h = fmadd(a, b, reals(K1));
    return checked(fmadd(a, b, _mm256_sub_pd(reals(K1 + K3), h)), h);
}

INLINE sums sum2(vd a, vd b, vd c, vd d)
{
    const vd h = fmadd(a, b, reals(K1)), g = fmadd(c, d, h);
    const vd l = fmadd(a, b, _mm256_sub_pd(reals(K1 + K3), h)), k = fmadd(c, d, _mm256_sub_pd(h, g));
    return checked(_mm256_add_pd(l, k), g);
}

INLINE sums sum3(vd a, vd b, vd c, vd d, vd e, vd f)
{
    const vd h = fmadd(a, b, reals(K1)), g = fmadd(c, d, h), i = fmadd(e, f, g);
    const vd l = fmadd(a, b, _mm256_sub_pd(reals(K1 + K3), h)), k = fmadd(c, d, _mm256_sub_pd(h, g)),
             m = fmadd(e, f, _mm256_sub_pd(g, i));
    return checked(_mm256_add_pd(_mm256_add_pd(l, k), m), i);
}

/* two chains of two: one of four saves an operation but waits longer, and is 2 % slower */
INLINE sums sum4(vd a, vd b, vd c, vd d, vd e, vd f, vd p, vd q)
{
    const sums x = sum2(a, b, c, d), y = sum2(e, f, p, q);
    return (sums){add(x.low, y.low), add(x.high, y.high)};
}

/* *acc += the high part of the column before + s.low; keeps s.high for the next column */
INLINE void put(vi *acc, vi *high, sums s)
{
    *acc = add(add(*acc, *high), s.low);
    *high = s.high;
}

#endif
