/* A Paillier key of 256 bits, or of 1024 bits for a backend that takes no smaller modulus than its p^2: the arithmetic is the
 * same at any size. */
#ifndef BT_TOY_KEY_H
#define BT_TOY_KEY_H

#include "bt_paillier.h"
#include "test.h"

enum { TOY_SMALL = 4, TOY_LARGE = 16 }; /* limbs of n */

/* p = q = 3 mod 4, gcd(p - 1, q - 1) = 2; limbs / 2 limbs each; which: 0 for p, 1 for q */
const bt_limb *toy_prime(size_t limbs, int which);
size_t toy_limbs(const bt_mont_ops *ops);

typedef struct toy_key {
    size_t L, H;
    const bt_limb *p, *q;
    bt_limb n[TOY_LARGE], nsquare[2 * TOY_LARGE], hs[2 * TOY_LARGE]; /* hs = (-9)^n mod n^2 */
    fixture n2;
    bt_word *storage;
    bt_paillier_pub pub;
    bt_paillier_priv *priv;
    bt_arena arena, tables; /* the owner's tables are filled */
} toy_key;

void toy_key_open(toy_key *key, const bt_mont_ops *ops);
void toy_key_close(toy_key *key);

#endif
