/* Paillier over the Montgomery backends: embedding a plaintext; decryption, the key owner's encryption and n-th roots by CRT.
 *
 * Sizes: L = limbs of n (32 for 2048 bits), H = L / 2 limbs of p and of q, 2 L limbs of n^2. p and q have exactly 64 H
 * bits, so every length is public. Plaintexts are canonical residues mod n, ciphertexts canonical residues mod n^2.
 *
 * Paillier, EUROCRYPT 1999; Damgard, Jurik, Nielsen 2010 (short exponents over a fixed base hs), as PPCA 10-2023 Annex
 * A.1. Everything that touches p, q, a plaintext or randomness is constant-time in them. */
#ifndef BT_PAILLIER_H
#define BT_PAILLIER_H

#include "bt_modexp.h"
#include "bt_secret.h"

/* Elements that one internal step handles together; a call may have any n. A multiple of every backend's lanes. */
#define BT_PAILLIER_CHUNK 16

/* --- public key ---------------------------------------------------------------------------------------------------- */

typedef struct bt_paillier_pub {
    bt_modulus n;      /* L limbs */
    bt_mont n1;        /* mod n, always the mpn backend: single residues */
    const bt_mont *n2; /* mod n^2, the array backend; outlives this */
    bt_mont n2_one;    /* mod n^2 by mpn: a long power of a single residue, which would leave the other lanes idle */
} bt_paillier_pub;

/* Words of storage that init wants for L limbs. */
size_t bt_paillier_pub_storage(size_t limbs);
bt_status bt_paillier_pub_init(bt_paillier_pub *pub, const bt_limb *n, size_t limbs, const bt_mont *n2,
                               bt_word *storage);

/* The trust boundary (promise M5): sets dst[i] = c[i] in n2's layout for i < count. Returns the first i whose row (limbs of n^2)
 * is not a ciphertext, or count if all are: 0 < c < n^2 and gcd(c, n) = 1, by one gcd of the product of all. Public data; dst is
 * unspecified from the first bad row on. Any odd n of n_limbs, n2 its square's context. */
size_t bt_paillier_load_checked_scratch(const bt_mont *n2);
size_t bt_paillier_load_checked(const bt_mont *n2, const bt_limb *n, size_t n_limbs, bt_word *dst, const bt_limb *c,
                                size_t count, bt_word *scratch);

/* dst[i] = src[i] (1 + m[i] n) mod n^2, src and dst in n2's layout, m[i] < n canonical (L limbs each); dst may be src.
 * secret: nonzero if m or src is secret (encryption), zero for public constants added to public ciphertexts. */
size_t bt_paillier_mul_plain_scratch(const bt_paillier_pub *pub);
void bt_paillier_mul_plain(const bt_paillier_pub *pub, bt_word *dst, const bt_word *src, const bt_limb *m, size_t n,
                           int secret, bt_word *scratch);

/* --- private key --------------------------------------------------------------------------------------------------- */

typedef struct bt_paillier_side { /* one prime: p for side 0, q for side 1 */
    bt_modulus m1, m2;            /* p (H limbs) and p^2 (L limbs) */
    bt_mont c1, c2;               /* p by mpn, p^2 by the array backend */
    bt_mont c2_one;               /* p^2 by mpn, for one residue alone */
    bt_limb *exponent;            /* p - 1 [H] */
    bt_limb *inverse;             /* p^-1 mod 2^(64 H) [H]: exact division by p */
    bt_word *h;                   /* L_p((1+n)^(p-1))^-1 = -(q^-1) mod p, one element of c1 */
    bt_word *wide, *wide_one;     /* 2^(64 L) mod p^2, CHUNK elements of c2, and one of c2_one */
    bt_comb comb;                 /* powers of hs mod p^2; table NULL until the first encryption */
} bt_paillier_side;

typedef struct bt_paillier_priv { /* lives at the start of its own arena */
    uint64_t alive;               /* BT_PAILLIER_ALIVE, else wiped */
    int64_t pid;                  /* the process that made it */
    size_t L, H;
    const bt_paillier_pub *pub;
    bt_paillier_side side[2];
    bt_word *p_inv;  /* p^-1 mod q, one element of side[1].c1 */
    bt_word *p2_inv; /* p^-2 mod q^2, CHUNK elements of side[1].c2 */
} bt_paillier_priv;

#define BT_PAILLIER_ALIVE UINT64_C(0x626c756574757368)

/* Builds the key in a new arena; *priv points into it. p and q have been validated (odd, exactly 64 H bits each, distinct
 * primes, p q = pub->n); scratch: bt_paillier_priv_scratch(pub) words, wiped by the caller afterwards. */
size_t bt_paillier_priv_scratch(const bt_paillier_pub *pub);
bt_status bt_paillier_priv_init(bt_arena *arena, bt_paillier_priv **priv, const bt_paillier_pub *pub, const bt_limb *p,
                                const bt_limb *q, bt_word *scratch);

/* BT_ERR_WIPED if the arena is no longer this process's live key. */
bt_status bt_paillier_priv_check(const bt_paillier_priv *priv);

/* The tables that encryption needs, in a separate arena: window by `table_bytes` for both sides together, filled in order by the
 * caller (steps [first, first + count) of bt_paillier_owner_rows of them) so that no call is long. */
bt_status bt_paillier_owner_open(bt_arena *tables, bt_paillier_priv *priv, size_t table_bytes);
size_t bt_paillier_owner_rows(const bt_paillier_priv *priv);
bt_status bt_paillier_owner_build(bt_paillier_priv *priv, const bt_limb *hs, size_t first, size_t count,
                                  bt_word *scratch);

/* m[i] = Dec(c[i]), i < n <= 2^20. The caller has checked 0 < c[i] < n^2. `random`: n + 2 fresh random limbs, none 0
 * (the rho_i and t of the check). All results are checked together, on their final values: with D = (1 + n t) prod c_i^rho_i (1 - n sum
 * rho_i m_i) mod n^2, D must decrypt to t on either side (trust: a single fault in any constant or step would otherwise
 * reveal p by a gcd). BT_ERR_FAULT: nothing is released, m is zeroed. */
size_t bt_paillier_decrypt_scratch(const bt_paillier_priv *priv, size_t n);
bt_status bt_paillier_decrypt(const bt_paillier_priv *priv, bt_limb *m, const bt_limb *c, size_t n,
                              const bt_limb *random, bt_word *scratch);

/* c[i] = (1 + m[i] n) hs^a[i] mod n^2 through p^2 and q^2, a[i] of H limbs and not 0. `random`: n fresh random limbs rho_i.
 * Checked before release: prod c_i^rho_i (1 - n sum rho_i m_i) = hs^(sum rho_i a_i) mod n^2. */
size_t bt_paillier_owner_scratch(const bt_paillier_priv *priv, size_t n);
bt_status bt_paillier_owner_encrypt(const bt_paillier_priv *priv, bt_limb *c, const bt_limb *m, const bt_limb *a,
                                    size_t n, const bt_limb *hs, const bt_limb *random, bt_word *scratch);

/* y[i] = x[i]^(1/n mod phi(n)) mod n, the n-th root of a unit x[i] < n (L limbs), i < count <= BT_PAILLIER_ROOTS: the answers of a
 * proof that gcd(n, phi(n)) = 1. The x and y are public. `random`: count fresh random limbs rho_i, used as odd numbers. Checked
 * before release: (prod y_i^rho_i)^n = prod x_i^rho_i mod n, as a root that is right modulo one prime alone would show it by a gcd.
 * BT_ERR_FAULT: nothing is released, y is zeroed. */
#define BT_PAILLIER_ROOTS 16
size_t bt_paillier_roots_scratch(const bt_paillier_priv *priv);
bt_status bt_paillier_roots(const bt_paillier_priv *priv, bt_limb *y, const bt_limb *x, size_t count,
                            const bt_limb *random, bt_word *scratch);

#endif
