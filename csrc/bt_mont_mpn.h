/* Private to bt_mont_mpn.c and bt_mont_mpn_pairs.c: products of limbs, and the moves, which take an element as ctx->elem_words words. */
#ifndef BT_MONT_MPN_H
#define BT_MONT_MPN_H

#include "bt_gmp.h"
#include "bt_mont.h"

/* t[0 .. 2 limbs) = a b (a^2 if a == b as pointers, which is public); secret: without branch or address from a and b, in
 * bti_mpn_product_scratch(limbs) words */
size_t bti_mpn_product_scratch(size_t limbs);
void bti_mpn_product(bt_limb *t, const bt_limb *a, const bt_limb *b, size_t limbs, int secret, bt_limb *scratch);

int bti_mpn_available(void);
void bti_mpn_gather(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t n);
void bti_mpn_scatter(const bt_mont *ctx, bt_word *dst, size_t first, const bt_word *src, size_t n);
void bti_mpn_put(const bt_mont *ctx, bt_word *dst, const int64_t *idx, const bt_word *src, size_t n);
void bti_mpn_select_shared(const bt_mont *ctx, bt_word *dst, const bt_word *table, size_t rows, const uint32_t *digit,
                           size_t n);
void bti_mpn_select_own(const bt_mont *ctx, bt_word *dst, const bt_word *tables, size_t rows, size_t stride,
                        const uint32_t *digit, size_t n);

#endif
