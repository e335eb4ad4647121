/* "dst[bin] *= src[from]" for a stream of (bin, from): the primitive of histograms and of multi-exponentiation.
 *
 * Internal to bt_batch.c and bt_multiexp.c. Public operands. Pairs are collected and worked off a batch at a time, so that
 * a backend with several lanes finds independent products even where bins repeat. */
#ifndef BT_ACCUMULATE_H
#define BT_ACCUMULATE_H

#include "bt_modexp.h"

/* BT_BATCH: pairs (and elements gathered) at a time, a multiple of every backend's lanes; 2^BT_BATCH_LOG of them. */
enum { BT_BATCH_LOG = 6, BT_BATCH = 1 << BT_BATCH_LOG };

typedef struct bt_item {
    int64_t bin, from;
} bt_item;

typedef struct bt_accumulator {
    const bt_mont *ctx;
    bt_word *dst;
    uint8_t *used; /* per bin; 0 = dst[bin] is one, so its first factor is copied. NULL: every bin is multiplied */
    const bt_word *src;
    bt_word *scratch; /* bt_accumulate_scratch words */
    size_t count;
    bt_item items[BT_BATCH];
} bt_accumulator;

size_t bt_accumulate_scratch(const bt_mont *ctx);
void bt_accumulate_flush(bt_accumulator *acc);

/* dst, used and src are up to date only after bt_accumulate_flush. */
static inline void bt_accumulate(bt_accumulator *acc, size_t bin, size_t from)
{
    acc->items[acc->count++] = (bt_item){(int64_t)bin, (int64_t)from};
    if (acc->count == BT_BATCH)
        bt_accumulate_flush(acc);
}

#endif
