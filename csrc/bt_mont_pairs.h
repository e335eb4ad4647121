/* Private to the pairs of the backends: pairs (r, s) = r + s M as canonical numbers in limbs, in constant time. */
#ifndef BT_MONT_PAIRS_H
#define BT_MONT_PAIRS_H

#include <string.h>

#include "bt_gmp.h"
#include "bt_mont.h"

/* limbs of M, if m = M^2 has so many */
static inline size_t root_limbs(size_t limbs)
{
    return (limbs + 1) / 2;
}

/* x[limbs + 1] -= m if it is not below m, in constant time; returns 1 if so, else 0; less: limbs of work */
static inline bt_limb subtracted_if_above(bt_limb *x, const bt_modulus *mod, bt_limb *less)
{
    const size_t limbs = mod->limbs;
    const bt_limb borrow = bt_gmp.sub_n((mp_ptr)less, (mp_srcptr)x, (mp_srcptr)mod->m, (mp_size_t)limbs);
    const bt_limb kept = bt_ct_nonzero(borrow & bt_ct_is_zero(x[limbs]));
    for (size_t i = 0; i < limbs; i++)
        x[i] = bt_ct_select(kept, x[i], less[i]);
    x[limbs] -= borrow & ~kept;
    return ~kept & 1;
}

/* (r, s), limbs + 1 limbs each: r below 2 M becomes r mod M and what is taken from it goes to s, which is below 2 M and becomes at
 * most M */
static inline void brought_down(bt_limb *r, bt_limb *s, const bt_modulus *root, bt_limb *less)
{
    bt_limb carry = subtracted_if_above(r, root, less);
    for (size_t i = 0; i <= root->limbs; i++) {
        s[i] += carry;
        carry &= bt_ct_is_zero(s[i]);
    }
    subtracted_if_above(s, root, less);
}

/* (r, s) = 2^times (r, s) mod M^2, in constant time, for r < M and s <= M, as they stay */
static inline void doubled_pair(bt_limb *r, bt_limb *s, size_t times, const bt_modulus *root, bt_limb *less)
{
    const size_t limbs = root->limbs;
    while (times-- > 0) {
        subtracted_if_above(s, root, less);
        r[limbs] = bt_gmp.add_n((mp_ptr)r, (mp_srcptr)r, (mp_srcptr)r, (mp_size_t)limbs);
        s[limbs] = bt_gmp.add_n((mp_ptr)s, (mp_srcptr)s, (mp_srcptr)s, (mp_size_t)limbs);
        brought_down(r, s, root, less);
    }
}

/* (r, s) = 2^k, limbs + 1 limbs each, k >= bits - 1: doublings of 2^(bits - 1), which is below M */
static inline void power_of_two_pair(bt_limb *r, bt_limb *s, size_t k, const bt_modulus *root, bt_limb *less)
{
    const size_t limbs = root->limbs, from = root->bits - 1;
    memset(r, 0, (limbs + 1) * sizeof *r);
    memset(s, 0, (limbs + 1) * sizeof *s);
    r[from / 64] = (bt_limb)1 << from % 64;
    doubled_pair(r, s, k - from, root, less);
}

#endif
