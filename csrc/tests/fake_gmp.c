/* A shared object that looks like a GMP to bt_gmp_load, with one thing wrong (-DREDC=..., -DLIMB_BITS=...,
 * -DLACKING). What the trial of redc_n needs is right; nothing else is ever called. */
#include <stddef.h>
#include <stdint.h>

typedef uint64_t limb;
typedef unsigned __int128 wide;

const int __gmp_bits_per_limb = LIMB_BITS;
const char *const __gmp_version = "0.0.0 (a fake)";

limb __gmpn_add_n(limb *r, const limb *a, const limb *b, long n);
limb __gmpn_sub_n(limb *r, const limb *a, const limb *b, long n);
limb __gmpn_addmul_1(limb *r, const limb *a, long n, limb x);

limb __gmpn_add_n(limb *r, const limb *a, const limb *b, long n)
{
    wide t = 0;
    for (long i = 0; i < n; i++, t >>= 64)
        r[i] = (limb)(t += (wide)a[i] + b[i]);
    return (limb)t;
}

limb __gmpn_sub_n(limb *r, const limb *a, const limb *b, long n)
{
    limb borrow = 0;
    for (long i = 0; i < n; i++) {
        const wide t = (wide)a[i] - b[i] - borrow;
        r[i] = (limb)t;
        borrow = (limb)(t >> 64) & 1;
    }
    return borrow;
}

limb __gmpn_addmul_1(limb *r, const limb *a, long n, limb x)
{
    wide t = 0;
    for (long i = 0; i < n; i++, t >>= 64)
        r[i] = (limb)(t += (wide)a[i] * x + r[i]);
    return (limb)t;
}

#define UNUSED(name)                                                                                                   \
    void name(void);                                                                                                   \
    void name(void)                                                                                                    \
    {                                                                                                                  \
    }
UNUSED(__gmpn_mul_1)
UNUSED(__gmpn_mul_n)
UNUSED(__gmpn_sqr)
UNUSED(__gmpn_sec_mul)
#ifndef LACKING
UNUSED(__gmpn_sec_mul_itch)
#endif
UNUSED(__gmpn_gcd)

enum { NONE, RIGHT, WRONG };

#if REDC != 0
/* up[2 n] / 2^(64 n) mod m; given m^-1 mod 2^(64 n), whose lowest limb is enough */
limb __gmpn_redc_n(limb *r, limb *up, const limb *m, long n, const limb *inverse);
limb __gmpn_redc_n(limb *r, limb *up, const limb *m, long n, const limb *inverse)
{
    for (long i = 0; i < n; i++)
        up[i] = __gmpn_addmul_1(up + i, m, n, 0 - up[i] * inverse[0]);
    if (__gmpn_add_n(r, up + n, up, n))
        __gmpn_sub_n(r, r, m, n);
    limb borrow = __gmpn_sub_n(up, r, m, n);
    for (long i = 0; i < n; i++)
        r[i] = borrow ? r[i] : up[i];
    r[n - 1] ^= (limb)(REDC == WRONG); /* one bit */
    return 0;
}
#endif
