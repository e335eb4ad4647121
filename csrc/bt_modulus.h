/* A validated odd modulus and the constants every Montgomery backend starts from. */
#ifndef BT_MODULUS_H
#define BT_MODULUS_H

#include "bt_limb.h"

typedef struct bt_modulus {
    size_t bits;       /* 2^(bits-1) <= m < 2^bits; public, as is limbs, even for a secret modulus */
    size_t limbs;      /* ceil(bits / 64), 1 .. BT_MAX_LIMBS */
    bt_limb neg_inv;   /* -m^-1 mod 2^64 */
    const bt_limb *m;  /* [limbs] */
    const bt_limb *r1; /* [limbs] 2^(64 limbs)   mod m */
    const bt_limb *r2; /* [limbs] 2^(2*64 limbs) mod m */
    /* M, which outlives this, if the caller has computed m as M^2 and said so after bt_modulus_init; else NULL */
    const struct bt_modulus *root;
} bt_modulus;

/* Limbs of storage that bt_modulus_init wants for a modulus of this many limbs. */
size_t bt_modulus_storage(size_t limbs);

/* Validates m[limbs] (odd, >= 3, top limb not 0, at most BT_MAX_BITS) and computes the constants into `storage`, which
 * must outlive `mod`. The value of m may be secret: its bit length is taken to be public, nothing else is revealed
 * (constants come from doublings with masked subtraction, not from a division). */
bt_status bt_modulus_init(bt_modulus *mod, const bt_limb *m, size_t limbs, bt_limb *storage);

/* Index of the first of n values (mod->limbs limbs each, public) that is 0 or not below the modulus; n if there is none. */
size_t bt_modulus_first_invalid(const bt_modulus *mod, const bt_limb *src, size_t n);

/* out[n] = a^-1 mod 2^(64 n) for an odd a; work: n limbs. The value of a may be secret. */
void bt_inverse_2k(bt_limb *out, const bt_limb *a, size_t n, bt_limb *work);

#endif
