/* Vectors of LANES words, and conversion between limbs and digits of RADIX bits, for the vector backends.
 *
 * Private to bt_mont_ifma.c and bt_mont_fma.c, whose headers include it after LANES and RADIX and under the flags of their CPU. */
#ifndef BT_MONT_VECTOR_H
#define BT_MONT_VECTOR_H

#include "bt_gmp.h"
#include "bt_mont.h"

#define INLINE static inline __attribute__((always_inline))
#define OUTLINE static __attribute__((noinline))
#define MASK (((uint64_t)1 << RADIX) - 1)

#ifdef BT_VERIFY
/* The test program's: it reports and ends. */
void bt_verify_failed(const char *file, int line, const char *condition);

#define VERIFY(condition) ((condition) ? (void)0 : bt_verify_failed(__FILE__, __LINE__, #condition))
#else
#define VERIFY(condition) ((void)0)
#endif

/* vec: in a register; row: in memory, where words may lie */
typedef uint64_t vec __attribute__((vector_size(8 * LANES), may_alias));
typedef uint64_t row __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

INLINE vec spread(uint64_t x)
{
    return x - (vec){0};
}

/* all ones in the lanes where a = b */
INLINE vec equal(vec a, vec b)
{
    return (vec)(a == b);
}

/* --- limbs and digits ------------------------------------------------------------------------------------------------------- */

/* p, rounded up to a whole vector: words may lie anywhere, but those that straddle two lines of the cache cost twice */
INLINE void *aligned(const bt_word *p)
{
    return (void *)(((uintptr_t)p + sizeof(vec) - 1) & ~(uintptr_t)(sizeof(vec) - 1));
}

/* bits [RADIX j, RADIX (j + 1)) of x */
INLINE uint64_t digit_at(const bt_limb *x, size_t limbs, int j)
{
    const size_t at = (size_t)j * RADIX, k = at / 64, shift = at % 64;
    uint64_t u = k < limbs ? x[k] >> shift : 0;
    if (shift > 64 - RADIX && k + 1 < limbs)
        u |= x[k + 1] << (64 - shift);
    return u & MASK;
}

/* out = x mod m for x + top 2^(64 limbs) < 2 m, in constant time; less: as many limbs of work */
INLINE void subtracted_once(bt_limb *out, const bt_limb *x, bt_limb top, const bt_modulus *mod, bt_limb *less)
{
    const size_t limbs = mod->limbs;
    const bt_limb borrow = bt_gmp.sub_n((mp_ptr)less, (mp_srcptr)x, (mp_srcptr)mod->m, (mp_size_t)limbs);
    const bt_limb keep = bt_ct_nonzero(borrow & ~top);
    for (size_t i = 0; i < limbs; i++)
        out[i] = bt_ct_select(keep, x[i], less[i]);
}

/* x = 2^times x mod m, x < m, in constant time */
INLINE void doubled(bt_limb *x, size_t times, const bt_modulus *mod, bt_limb *tmp)
{
    while (times-- > 0) {
        const bt_limb carry = bt_gmp.add_n((mp_ptr)x, (mp_srcptr)x, (mp_srcptr)x, (mp_size_t)mod->limbs);
        subtracted_once(x, x, carry, mod, tmp);
    }
}

/* of an array of n elements */
INLINE size_t groups(size_t n)
{
    return (n + LANES - 1) / LANES;
}

#endif
