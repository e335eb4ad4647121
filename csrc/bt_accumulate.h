/* Shared by all products of many factors and powers: accumulation in bins, tables of odd powers, and joining of positions.
 *
 * Internal to bt_batch.c, bt_multiexp.c, bt_sparse.c and bt_straus.c. All operands are public. The exponentiations write an
 * exponent as e = sum d_i 2^i with odd digits d_i, each of `window` bits at most, and work in three steps:
 *
 *   bt_odd_powers     table[k][c] = base[c]^(2k+1)
 *   bt_accumulate     cell[r][i] *= base[c]^d_i for every digit of every exponent of row r
 *   bt_join           dst[r] = prod_i cell[r][i]^(2^i) */
#ifndef BT_ACCUMULATE_H
#define BT_ACCUMULATE_H

#include "bt_modexp.h"

/* BT_BATCH: pairs (and elements gathered) at a time, a multiple of every backend's lanes. BT_TABLE_WORDS: odd powers at a time,
 * 256 KB, which second-level caches hold. */
enum { BT_BATCH = 64, BT_TABLE_WORDS = 1 << 15 };

/* --- accumulation: "dst[bin] *= src[from]" for a stream of (bin, from) -------------------------------------------------------
 * Pairs are collected and processed a batch at a time, so that a backend with several lanes gets independent products even if
 * bins repeat. */

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

/* One power of column c of a table of `cols` columns: for each window of e, from the lowest bit on, the odd power that the window
 * selects goes to the bin cell + (position of the window). */
static inline void bt_accumulate_power(bt_accumulator *acc, size_t cell, size_t c, size_t cols, const bt_limb *e,
                                       size_t ebits, size_t window)
{
    for (size_t pos = 0; pos < ebits;) {
        if (!bt_bits_at(e, pos, 1)) {
            pos++;
            continue;
        }
        const size_t digit = bt_bits_at(e, pos, bt_min(window, ebits - pos));
        bt_accumulate(acc, cell + pos, (digit >> 1) * cols + c);
        pos += window;
    }
}

/* --- tables of odd powers --------------------------------------------------------------------------------------------------- */

/* Number of powers of one base for windows of w bits, and of the products that make them. */
static inline size_t bt_odd_entries(size_t w)
{
    return (size_t)1 << (w - 1);
}

static inline double bt_odd_products(size_t w)
{
    return w > 1 ? (double)bt_odd_entries(w) : 0;
}

/* Number of columns whose tables exist at the same time, of m columns in all: whole groups. */
size_t bt_odd_columns(const bt_mont *ctx, size_t m, size_t w);

/* table[k stride + c] = base[idx[c]]^(2k+1) for k < entries and c < count, count > 0; stride in words; idx NULL means 0, 1, 2, ...
 * Columns that pad the last group repeat the last one. */
size_t bt_odd_powers_scratch(const bt_mont *ctx, size_t count);
void bt_odd_powers(const bt_mont *ctx, bt_word *table, size_t stride, size_t entries, const bt_word *base,
                   const int64_t *idx, size_t count, bt_word *scratch);

/* --- joining --------------------------------------------------------------------------------------------------------------- */

/* dst[r] = prod over pos < positions of cell[r row_cells + pos]^(2^pos), a group of rows in step, without cells that no row of
 * the group used; times dst[r]^(2^positions) if `more`. */
size_t bt_join_scratch(const bt_mont *ctx);
void bt_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t rows, size_t row_cells,
             size_t positions, int more, bt_word *scratch);

#endif
