/* Vectors over finite fields, and the one product on which Shamir's sharing, packed sharing and Lagrange coding rest: a public
 * matrix times secret vectors.
 *
 * A field is one of
 *
 *     P31    2^31 - 1                elements are uint32
 *     P61    2^61 - 1                elements are uint64
 *     P64    2^64 - 2^32 + 1         elements are uint64
 *     ODD    any odd modulus         elements are `limbs` limbs, canonical (no Montgomery form outside)
 *     GF256  GF(2^8), x^8 + x^4 + x^3 + x + 1 (0x11b)    elements are bytes
 *
 * and an array of n elements is n * bytes bytes, aligned as its limbs. The caller vouches that an ODD modulus is prime; only
 * bt_field_lagrange needs it. Elements are secrets unless they are called public here: no branch and no address depends on them.
 * Every function takes canonical elements (bt_field_canonical checks a peer's) and returns canonical ones. */
#ifndef BT_FIELD_H
#define BT_FIELD_H

#include "bt_limb.h"

#define BT_FIELD_MAX_LIMBS 64 /* 4096 bits */

typedef enum bt_field_kind { BT_FIELD_P31, BT_FIELD_P61, BT_FIELD_P64, BT_FIELD_ODD, BT_FIELD_GF256 } bt_field_kind;

typedef struct bt_field bt_field;

/* One row of the product, over columns [0, n); see bt_field_matmul. */
typedef void (*bt_field_row)(const bt_field *f, void *out, const void *m, size_t k, const void *s, size_t stride,
                             size_t n, void *scratch);

/* Functions of one kind of field. */
typedef struct bt_field_ops {
    void (*add)(const bt_field *f, void *out, const void *a, const void *b, size_t n);
    void (*sub)(const bt_field *f, void *out, const void *a, const void *b, size_t n);
    void (*mul)(const bt_field *f, void *out, const void *a, const void *b, size_t n);
    /* all ones if every one of the n elements is canonical, else 0 */
    uint64_t (*canonical)(const bt_field *f, const void *a, size_t n);
    /* clears bits of uniform words that no element has, moves the words that are then canonical to the front, and returns their
     * number */
    size_t (*accept)(const bt_field *f, void *a, size_t n);
    bt_field_row row;                               /* for any CPU */
    size_t (*scratch)(const bt_field *f, size_t k); /* of a row, in bytes */
} bt_field_ops;

struct bt_field {
    bt_field_kind kind;
    size_t bytes; /* of an element */
    size_t limbs;
    const bt_field_ops *ops;
    bt_field_row row;                  /* for this CPU */
    bt_limb neg_inv;                   /* ODD: -p^-1 mod 2^64 */
    bt_limb top_mask;                  /* ODD: the bits of the top limb that an element may have */
    bt_limb p[BT_FIELD_MAX_LIMBS];     /* ODD: the modulus */
    bt_limb enter[BT_FIELD_MAX_LIMBS]; /* ODD: R^2 mod p, R = 2^(64 (limbs + 1)) */
};

/* p: the modulus for ODD, else ignored. portable: do not use AVX2. BT_ERR_EVEN for an even p or one below 3, BT_ERR_SIZE if it
 * has more than BT_FIELD_MAX_LIMBS limbs, BT_ERR_ARG if its top limb is 0 or the kind is unknown. */
bt_status bt_field_init(bt_field *f, bt_field_kind kind, const bt_limb *p, size_t limbs, int portable);

/* out[i] = a[i] op b[i]; out may be a or b */
void bt_field_add(const bt_field *f, void *out, const void *a, const void *b, size_t n);
void bt_field_sub(const bt_field *f, void *out, const void *a, const void *b, size_t n);
void bt_field_mul(const bt_field *f, void *out, const void *a, const void *b, size_t n);

/* Whether all n elements are canonical: nonzero or 0. Only that one bit is revealed. */
int bt_field_canonical(const bt_field *f, const void *a, size_t n);

/* Rejection sampling in place: a[0 .. n-1] hold uniform words; afterwards the first `return value` elements are uniform on the
 * field. Which words were refused becomes public, but nothing about those that were kept. A word of P31 is 32 bits, else its
 * element's. */
size_t bt_field_accept(const bt_field *f, void *a, size_t n);

/* Scratch of a product with k columns in its matrix, in bytes. */
size_t bt_field_scratch(const bt_field *f, size_t k);

/* out[r][i] = sum over j < k of m[r][j] s[j][i], for r < rows and i < n. m is public, rows of k elements end to end; row j of s
 * begins `stride` elements after row j - 1, row r of out `out_stride` after row r - 1. out does not overlap s. Time depends
 * on m. k <= 2^32. */
void bt_field_matmul(const bt_field *f, void *out, size_t out_stride, const void *m, size_t rows, size_t k,
                     const void *s, size_t stride, size_t n, void *scratch);

/* --- public points: time depends on them ---------------------------------------------------------------------------------- */

/* out[r][j] = x[r]^j for j < k */
void bt_field_powers(const bt_field *f, void *out, const void *x, size_t rows, size_t k);

/* w[r][j] = the product over i != j of (z[r] - x[i]) / (x[j] - x[i]): the value at z[r] of the polynomial through k points at
 * x[0 .. k-1] is the sum of w[r][j] times its value at x[j]. work: 3 k elements. BT_ERR_NOINV if two x are equal (or if a modulus
 * that is not prime leaves a difference without an inverse). */
bt_status bt_field_lagrange(const bt_field *f, void *w, const void *z, size_t rows, const void *x, size_t k,
                            void *work);

#endif
