#include "bt_modulus.h"

#include <string.h>

/* m, r1, r2, and one more row that the doublings work in */
size_t bt_modulus_storage(size_t limbs)
{
    return 4 * limbs;
}

/* Bit length of a limb without a branch: the smear sets every bit below the top one. */
static size_t limb_bits(bt_limb x)
{
    for (int shift = 1; shift < 64; shift *= 2)
        x |= x >> shift;
    size_t bits = 0;
    for (int i = 0; i < 64; i++)
        bits += (x >> i) & 1;
    return bits;
}

/* x <- 2x mod m, for x < m, with `row` as work space; no branch on a value.
 * 2x < 2m, so one subtraction is enough; it is kept unless it borrowed from a 2x without a carry out. */
static void double_mod(bt_limb *x, bt_limb *row, const bt_limb *m, size_t limbs)
{
    bt_limb carry = 0, borrow = 0;
    for (size_t i = 0; i < limbs; i++) {
        bt_limb twice = x[i] << 1 | carry;
        carry = x[i] >> 63;
        x[i] = twice;
        unsigned __int128 d = (unsigned __int128)twice - m[i] - borrow;
        row[i] = (bt_limb)d;
        borrow = (bt_limb)(d >> 64) & 1;
    }
    bt_limb keep = bt_ct_nonzero(borrow & ~carry);
    for (size_t i = 0; i < limbs; i++)
        x[i] = bt_ct_select(keep, x[i], row[i]);
}

bt_status bt_modulus_init(bt_modulus *mod, const bt_limb *m, size_t limbs, bt_limb *storage)
{
    if (limbs == 0)
        return BT_ERR_ARG;
    if (limbs > BT_MAX_LIMBS)
        return BT_ERR_SIZE;
    size_t top_bits = limb_bits(m[limbs - 1]);
    BT_PUBLIC(&top_bits, sizeof top_bits); /* the bit length of a modulus is public, secret modulus or not */
    bt_limb odd = m[0] & 1;
    BT_PUBLIC(&odd, sizeof odd); /* every modulus that is accepted is odd */
    if (!odd)
        return BT_ERR_EVEN;
    if (top_bits == 0)
        return BT_ERR_ARG;
    size_t bits = 64 * (limbs - 1) + top_bits;
    if (bits == 1)
        return BT_ERR_EVEN; /* 1, below 3 */

    bt_limb *copy = storage, *r1 = storage + limbs, *r2 = storage + 2 * limbs, *row = storage + 3 * limbs;
    memmove(copy, m, limbs * sizeof *copy);

    /* Newton: m is its own inverse mod 8, and each step doubles the number of right bits: 3, 6, 12, 24, 48, 96. */
    bt_limb inverse = copy[0];
    for (int i = 0; i < 5; i++)
        inverse *= 2 - copy[0] * inverse;

    /* 2^(bits-1) < m because m is odd and has `bits` > 1 bits; double it up to 2^(64 limbs), then 2^(2*64 limbs). */
    memset(r1, 0, limbs * sizeof *r1);
    r1[limbs - 1] = (bt_limb)1 << (top_bits - 1);
    for (size_t i = bits - 1; i < 64 * limbs; i++)
        double_mod(r1, row, copy, limbs);
    memcpy(r2, r1, limbs * sizeof *r2);
    for (size_t i = 0; i < 64 * limbs; i++)
        double_mod(r2, row, copy, limbs);
    bt_wipe(row, limbs * sizeof *row);

    mod->bits = bits;
    mod->limbs = limbs;
    mod->neg_inv = 0 - inverse;
    mod->m = copy;
    mod->r1 = r1;
    mod->r2 = r2;
    mod->root = NULL;
    return BT_OK;
}

void bt_inverse_2k(bt_limb *out, const bt_limb *a, size_t n, bt_limb *work)
{
    bt_limb inverse = a[0]; /* Newton, as above */
    for (int i = 0; i < 5; i++)
        inverse *= 2 - a[0] * inverse;

    /* Limb by limb, as in a division: the rest 1 - a (out so far) is 0 below limb i, and the next limb makes it 0 there. */
    memset(work, 0, n * sizeof *work);
    work[0] = 1;
    for (size_t i = 0; i < n; i++) {
        bt_limb q = work[i] * inverse, carry = 0;
        out[i] = q;
        for (size_t j = i; j < n; j++) {
            unsigned __int128 p = (unsigned __int128)q * a[j - i] + carry;
            bt_limb low = (bt_limb)p;
            carry = (bt_limb)(p >> 64) + (work[j] < low);
            work[j] -= low;
        }
    }
}

size_t bt_modulus_first_invalid(const bt_modulus *mod, const bt_limb *src, size_t n)
{
    const size_t limbs = mod->limbs;
    for (size_t i = 0; i < n; i++, src += limbs) {
        bt_limb any = 0, borrow = 0; /* borrow ends as 1 exactly if the value is below m */
        for (size_t k = 0; k < limbs; k++) {
            any |= src[k];
            unsigned __int128 d = (unsigned __int128)src[k] - mod->m[k] - borrow;
            borrow = (bt_limb)(d >> 64) & 1;
        }
        if (any == 0 || !borrow)
            return i;
    }
    return n;
}
