/* Private to bt_mont_ifma.c and bt_mont_ifma_pairs.c: vectors of eight 64-bit words, and the two products of AVX-512 IFMA or a portable stand-in.
 *
 * With -DBT_IFMA_EMULATE the same backend runs on any CPU, slowly: for the leak test, because valgrind does not support AVX-512,
 * and for tests on machines without it. Everything outside of the two #if below is common to both. */
#ifndef BT_MONT_IFMA_VECTOR_H
#define BT_MONT_IFMA_VECTOR_H

enum { LANES = 8, RADIX = 52 };

#include "bt_mont_vector.h"

/* UNROLL: whole, a loop of at most eight rounds that the compiler can count; UNROLL8: by eight, a longer one. clang unrolls by a
 * number only after arrays have become registers, too late for the windows of rows. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL8 _Pragma("clang loop unroll_count(8)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL8 UNROLL
#endif

typedef int64_t signed_vec __attribute__((vector_size(64)));

#ifdef BT_IFMA_EMULATE
/* Out of line and on memory: under valgrind only the number of instructions counts. */
OUTLINE void mul_words(uint64_t *low, uint64_t *high, const uint64_t *a, const uint64_t *b)
{
    for (int l = 0; l < LANES; l++) {
        const unsigned __int128 product = (unsigned __int128)(a[l] & MASK) * (b[l] & MASK);
        low[l] += (uint64_t)product & MASK;
        high[l] += (uint64_t)(product >> RADIX);
    }
}

/* *low += the low 52 bits of a b, *high += the others; only the low 52 bits of a and b count */
INLINE void mul_both(vec *low, vec *high, const vec *a, const vec *b)
{
    mul_words((uint64_t *)low, (uint64_t *)high, (const uint64_t *)a, (const uint64_t *)b);
}

INLINE vec mul_low(vec c, vec a, vec b)
{
    vec high = {0};
    mul_both(&c, &high, &a, &b);
    return c;
}

INLINE vec mul_high(vec c, vec a, vec b)
{
    vec low = {0};
    mul_both(&low, &c, &a, &b);
    return c;
}

/* masks, since an index would be an address */
INLINE vec permuted(vec x, vec places)
{
    vec r = {0};
    for (int from = 0; from < LANES; from++)
        for (int l = 0; l < LANES; l++)
            r[l] |= bt_ct_eq(places[l], (uint64_t)from) & x[from];
    return r;
}
#else
/* c + the low 52 bits of a b; only the low 52 bits of a and b count */
INLINE vec mul_low(vec c, vec a, vec b)
{
    return (vec)_mm512_madd52lo_epu64((__m512i)c, (__m512i)a, (__m512i)b);
}

/* c + the bits of a b from the 52nd on */
INLINE vec mul_high(vec c, vec a, vec b)
{
    return (vec)_mm512_madd52hi_epu64((__m512i)c, (__m512i)a, (__m512i)b);
}

INLINE void mul_both(vec *low, vec *high, const vec *a, const vec *b)
{
    *low = mul_low(*low, *a, *b);
    *high = mul_high(*high, *a, *b);
}

INLINE vec permuted(vec x, vec places)
{
    return (vec)_mm512_permutexvar_epi64((__m512i)places, (__m512i)x);
}
#endif

INLINE vec places_of(vec k)
{
    return k;
}

INLINE vec gathered(const bt_word *const *from, size_t j)
{
    return (vec){from[0][j], from[1][j], from[2][j], from[3][j], from[4][j], from[5][j], from[6][j], from[7][j]};
}

/* floor(x / 2^52) of signed words: the carry that leaves the digit x & MASK */
INLINE vec carry_of(vec x)
{
    return (vec)((signed_vec)x >> RADIX);
}

/* --- checks of a VERIFY build ------------------------------------------------------------------------------------------- */

#ifdef BT_VERIFY
/* every lane of x[0 .. n) is in low .. high, as signed words */
static int within(const row *x, int n, int64_t low, int64_t high)
{
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LANES; l++)
            if ((int64_t)x[j][l] < low || (int64_t)x[j][l] > high)
                return 0;
    return 1;
}

static int digits_only(const row *x, int n)
{
    return within(x, n, 0, (int64_t)MASK);
}

/* a value below 2^(52 n) / 2 */
static int element(const row *x, int n)
{
    return digits_only(x, n) && within(x + n - 1, 1, 0, (int64_t)(MASK >> 1));
}

/* columns of at most so many times 2^52 */
static int columns(const row *x, int n, int64_t most)
{
    return within(x, n, -(most << RADIX), most << RADIX);
}
#endif

#endif
