/* Private to the bt_paillier_*.c files: arithmetic on limbs in constant time, scratch, and the hook of the fault tests. */
#ifndef BT_PAILLIER_IMPL_H
#define BT_PAILLIER_IMPL_H

#include <string.h>

#include "bt_gmp.h"
#include "bt_paillier.h"

#define CHUNK BT_PAILLIER_CHUNK
#define MAX_BATCH ((size_t)1 << 20)

/* The fault tests (csrc/tests) compile with a hook at every intermediate value. */
#ifdef BT_FAULT_TEST
void bt_fault_hook(int side, const char *site, void *p, size_t bytes);
#define FAULT(side, site, p, bytes) bt_fault_hook((side), (site), (p), (bytes))
#else
#define FAULT(side, site, p, bytes) ((void)(side))
#endif

/* --- small arithmetic on limbs, constant time ---------------------------------------------------------------------- */

/* Scratch is handed out in multiples of 8 words, so that every array keeps the alignment of the first. */
static inline size_t padded(size_t words)
{
    return (words + 7) & ~(size_t)7;
}

static inline bt_word *take(bt_word **scratch, size_t words)
{
    bt_word *p = *scratch;
    *scratch += padded(words);
    return p;
}

/* a += b & mask; returns the carry */
static inline bt_limb add_masked(bt_limb *a, const bt_limb *b, bt_limb mask, size_t n)
{
    unsigned __int128 t = 0;
    for (size_t i = 0; i < n; i++) {
        t += (unsigned __int128)a[i] + (b[i] & mask);
        a[i] = (bt_limb)t;
        t >>= 64;
    }
    return (bt_limb)t;
}

/* out = a - b; returns the borrow */
static inline bt_limb sub(bt_limb *out, const bt_limb *a, const bt_limb *b, size_t n)
{
    bt_limb borrow = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 t = (unsigned __int128)a[i] - b[i] - borrow;
        out[i] = (bt_limb)t;
        borrow = (bt_limb)(t >> 64) & 1;
    }
    return borrow;
}

/* a - b mod m, for a, b < m; out may be a */
static inline void sub_mod(bt_limb *out, const bt_limb *a, const bt_limb *b, const bt_limb *m, size_t n)
{
    bt_limb borrow = sub(out, a, b, n);
    (void)add_masked(out, m, bt_ct_barrier(0 - borrow), n);
}

/* a += b mod m, for a, b < m; tmp[n] */
static inline void add_mod(bt_limb *a, const bt_limb *b, const bt_limb *m, size_t n, bt_limb *tmp)
{
    bt_limb carry = add_masked(a, b, ~(bt_limb)0, n);
    bt_limb borrow = sub(tmp, a, m, n);
    bt_limb take_tmp = bt_ct_barrier(0 - (carry | (borrow ^ 1)));
    for (size_t i = 0; i < n; i++)
        a[i] = bt_ct_select(take_tmp, tmp[i], a[i]);
}

/* acc[n + 2] += w * b[n] */
static inline void addmul_wide(bt_limb *acc, const bt_limb *b, size_t n, bt_limb w)
{
    bt_limb carry = bt_gmp.addmul_1(acc, b, (mp_size_t)n, w);
    acc[n] += carry;
    acc[n + 1] += bt_ct_less(acc[n], carry) & 1;
}

/* a += carry, for a carry of 0 or 1 */
static inline void add_carry(bt_limb *a, size_t n, bt_limb carry)
{
    for (size_t i = 0; i < n; i++) {
        a[i] += carry;
        carry &= bt_ct_is_zero(a[i]);
    }
}

/* out = a - 1 mod 2^(64 n); out may be a */
static inline void less_one(bt_limb *out, const bt_limb *a, size_t n)
{
    bt_limb borrow = 1;
    for (size_t i = 0; i < n; i++) {
        const bt_limb before = a[i];
        out[i] = before - borrow;
        borrow &= bt_ct_is_zero(before);
    }
}

/* out[2 n] = a[n] b[n]; scratch: sec_mul_itch(n, n) */
static inline void mul_sec(bt_limb *out, const bt_limb *a, const bt_limb *b, size_t n, bt_word *scratch)
{
    bt_gmp.sec_mul(out, a, (mp_size_t)n, b, (mp_size_t)n, (mp_ptr)scratch);
}

static inline size_t mul_sec_scratch(size_t n)
{
    return (size_t)bt_gmp.sec_mul_itch((mp_size_t)n, (mp_size_t)n);
}

/* out[L] = t[2 L] 2^(-64 L) mod m, canonical, for t < m 2^(64 L); t is destroyed. The result before the last subtraction is
 * below 2 m, as (t + k m) / 2^(64 L) with k < 2^(64 L). */
static inline void redc(bt_limb *out, bt_limb *t, const bt_modulus *m)
{
    size_t n = m->limbs;
    for (size_t i = 0; i < n; i++)
        t[i] = bt_gmp.addmul_1(t + i, m->m, (mp_size_t)n, t[i] * m->neg_inv);
    bt_limb carry = add_masked(t + n, t, ~(bt_limb)0, n);
    bt_limb borrow = sub(out, t + n, m->m, n);
    bt_limb keep = bt_ct_barrier(0 - (borrow & (carry ^ 1)));
    for (size_t i = 0; i < n; i++)
        out[i] = bt_ct_select(keep, t[n + i], out[i]);
}

/* out = a * b mod m by the mpn backend of one element: a any value below 2^(64 limbs), b an element */
static inline void mul_one(const bt_mont *ctx, bt_limb *out, const bt_limb *a, const bt_word *b, bt_word *scratch)
{
    bt_word *x = take(&scratch, ctx->elem_words);
    ctx->ops->load(ctx, x, a, 1, scratch);
    ctx->ops->mul(ctx, x, x, b, 1, 1, scratch);
    ctx->ops->store(ctx, out, x, 1, scratch);
}

static inline size_t mul_one_scratch(const bt_mont *ctx)
{
    return padded(ctx->elem_words) + bt_mont_scratch(ctx);
}

/* all ones if one of n numbers of `limbs` limbs is 0 */
static inline uint64_t any_zero(const bt_limb *x, size_t limbs, size_t n)
{
    uint64_t zero = 0;
    for (size_t i = 0; i < n; i++) {
        bt_limb any = 0;
        for (size_t j = 0; j < limbs; j++)
            any |= x[i * limbs + j];
        zero |= ~bt_ct_nonzero(any);
    }
    return zero;
}

/* all ones if each of n numbers is below m */
static inline uint64_t all_below(const bt_limb *x, const bt_limb *m, size_t limbs, size_t n)
{
    uint64_t below = ~(uint64_t)0;
    for (size_t i = 0; i < n; i++) {
        bt_limb borrow = 0;
        for (size_t j = 0; j < limbs; j++)
            borrow = (bt_limb)(((unsigned __int128)x[i * limbs + j] - m[j] - borrow) >> 64) & 1;
        below &= bt_ct_barrier(0 - borrow);
    }
    return below;
}

/* --- bt_paillier.c: what both checks (promise M6) are made of ------------------------------------------------------- */

/* out[L] = wide[L + 2] mod n */
size_t bti_reduce_n_scratch(const bt_paillier_pub *pub);
void bti_reduce_n(const bt_paillier_pub *pub, bt_limb *out, const bt_limb *wide, bt_word *scratch);

/* acc = prod c[i]^rho[i] mod n^2, one element; ciphertexts and rho are public */
size_t bti_weighted_product_scratch(const bt_paillier_pub *pub);
void bti_weighted_product(const bt_paillier_pub *pub, bt_word *acc, const bt_limb *c, const bt_limb *rho, size_t n,
                          bt_word *scratch);

/* sum[limbs + 2] = sum rho[i] m[i]. Fits: n <= 2^20 terms below 2^(64 limbs + 64). */
void bti_weighted_sum(bt_limb *sum, const bt_limb *m, size_t limbs, const bt_limb *rho, size_t n);

/* --- bt_paillier_key.c ---------------------------------------------------------------------------------------------- */

/* dst (an array of ctx, which is c2, or c2_one for k = 1; k <= CHUNK elements) = x[i] mod p^2 for x[i] < n^2 of 2 L limbs;
 * which: 0 for p, 1 for q */
size_t bti_side_reduce_scratch(const bt_paillier_side *side);
void bti_side_reduce(const bt_paillier_side *side, int which, const bt_mont *ctx, bt_word *dst, const bt_limb *x,
                     size_t k, bt_word *scratch);

/* out[L] = the number below n that is xp modulo p and xq modulo q, canonical residues of H limbs */
size_t bti_recombine_scratch(const bt_paillier_priv *priv);
void bti_recombine(const bt_paillier_priv *priv, bt_limb *out, const bt_limb *xp, const bt_limb *xq, bt_word *scratch);

#endif
