/* Shared by the files of bt_field: the tables, and arithmetic of single elements of the three small fields. */
#ifndef BT_FIELD_IMPL_H
#define BT_FIELD_IMPL_H

#include "bt_field.h"

#define INLINE static inline __attribute__((always_inline))

extern const bt_field_ops bt_field_p31, bt_field_p61, bt_field_p64, bt_field_odd, bt_field_gf256;
#if defined(__x86_64__)
/* The row in AVX2, or NULL if there is none or the CPU lacks it. */
bt_field_row bt_field_avx2_row(bt_field_kind kind);
#endif

typedef unsigned __int128 bt_u128;

#define P31 (((uint64_t)1 << 31) - 1)
#define P61 (((uint64_t)1 << 61) - 1)
#define P64 (((uint64_t)0 - ((uint64_t)1 << 32)) + 1)

/* x mod p for x < 2p */
INLINE uint64_t once(uint64_t x, uint64_t p)
{
    const uint64_t less = x - p;
    return bt_ct_select(0 - (less >> 63), x, less); /* p < 2^62, so a negative difference has its top bit set */
}

/* x mod 2^31 - 1 for any 64-bit x: two folds, 2^31 = 1. After the first x < 2^31 + 2^33 < 2^34, after the second
 * x <= 2^31 - 1 + 7 < 2p. */
INLINE uint64_t p31_reduce(uint64_t x)
{
    x = (x & P31) + (x >> 31);
    x = (x & P31) + (x >> 31);
    return once(x, P31);
}

/* hi 2^64 + lo mod 2^61 - 1 for any hi, lo: 2^64 = 8. The parts: below 2^61; lo >> 61 < 8; 8 hi folded the same way,
 * (hi << 3) & P61 < 2^61 and hi >> 58 < 64. Their sum is below 2^62 + 72: one more fold leaves at most P61 + 2 < 2p. */
INLINE uint64_t p61_reduce(uint64_t hi, uint64_t lo)
{
    uint64_t x = (lo & P61) + (lo >> 61) + (hi << 3 & P61) + (hi >> 58);
    x = (x & P61) + (x >> 61);
    return once(x, P61);
}

/* a - b mod p for canonical a, b and p > 2^63: a borrow is made good by adding p */
INLINE uint64_t p64_minus(uint64_t a, uint64_t b)
{
    uint64_t d;
    const uint64_t borrow = __builtin_sub_overflow(a, b, &d);
    return d - ((0 - borrow) & 0xffffffff); /* + p = - (2^32 - 1) modulo 2^64 */
}

/* a + b mod p for canonical a, b */
INLINE uint64_t p64_plus(uint64_t a, uint64_t b)
{
    return p64_minus(a, (P64 - b) & bt_ct_nonzero(b));
}

/* x mod p for any 64-bit x: x < 2p */
INLINE uint64_t p64_once(uint64_t x)
{
    uint64_t d;
    const uint64_t below = 0 - (uint64_t)__builtin_sub_overflow(x, P64, &d);
    return bt_ct_select(below, x, d);
}

/* hi 2^64 + lo mod 2^64 - 2^32 + 1: with hi = h1 2^32 + h0 it is lo - h1 + h0 (2^32 - 1), since 2^64 = 2^32 - 1 and
 * 2^96 = -1. The second term is at most (2^32 - 1)^2 < p, the first is a canonical difference. */
INLINE uint64_t p64_reduce(uint64_t hi, uint64_t lo)
{
    const uint64_t h1 = hi >> 32, h0 = hi & 0xffffffff;
    return p64_plus(p64_minus(p64_once(lo), h1), (h0 << 32) - h0);
}

/* c 2^128 + hi 2^64 + lo mod p, c < 2^32: 2^128 = (2^32 - 1)^2 = 2^64 - 2^33 + 1 = -2^32, so c 2^128 = -(c 2^32), and
 * c 2^32 <= 2^64 - 2^32 = p - 1 is canonical. */
INLINE uint64_t p64_reduce3(uint64_t c, uint64_t hi, uint64_t lo)
{
    return p64_minus(p64_reduce(hi, lo), c << 32);
}

#endif
