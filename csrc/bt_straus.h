/* Straus's multi-exponentiation in steps: prod_j base[j]^e[r][j] for many rows r of public exponents of either sign.
 *
 * Exponents are written in the non-adjacent form of width w (Solinas 2000): e = sum d_i 2^i with digits d_i = 0 or odd,
 * |d_i| < 2^(w-1), and no two of them nonzero in any w neighbouring positions, so that one position in w + 1 on average holds a
 * nonzero digit. The caller cuts each step into slices and spreads them over threads:
 *
 *   table     the odd powers 1, 3, ..., 2^(w-1) - 1 of the bases of a block of columns, shared by all rows
 *   collect   cell[r][sign of d][i] *= base[j]^|d|, for every digit d of every exponent of a block
 *   join      dst[r] = prod_i cell[r][sign][i]^(2^i), once after all blocks, for each of the two signs
 *
 * so only the negative parts remain to be inverted, once, and no table of inverses is needed. A column costs 2^(w-2) products, an
 * exponent ebits / (w + 1), a row 2 ebits squarings and at most as many products. Everything here is public. */
#ifndef BT_STRAUS_H
#define BT_STRAUS_H

#include "bt_mont.h"

enum { BT_STRAUS_MIN_WINDOW = 2, BT_STRAUS_MAX_WINDOW = 10 };

/* Powers of one base; cells of one row, both signs: a multiple of BT_MAX_LANES, so that rows begin groups. */
static inline size_t bt_straus_entries(size_t window)
{
    return (size_t)1 << (window - 2);
}

static inline size_t bt_straus_cells(size_t ebits)
{
    return 2 * ((ebits + 1 + BT_MAX_LANES - 1) / BT_MAX_LANES * BT_MAX_LANES); /* a carry may reach position ebits */
}

/* Columns [first, first + count) of a table of `cols` columns (count > 0; first begins a group), whose entry k, column c is the
 * element k (cols, padded to groups) + c: table[k][first + c] = base[idx[c]]^(2k+1). Columns that pad the last group repeat the
 * last one. */
size_t bt_straus_table_scratch(const bt_mont *ctx, size_t count);
void bt_straus_table(const bt_mont *ctx, bt_word *table, size_t cols, size_t first, const bt_word *base,
                     const int64_t *idx, size_t count, size_t window, bt_word *scratch);

/* cells and used: those of `rows` rows; at the start cells hold ones and used zeros. e: rows x m magnitudes of el limbs, all
 * below 2^ebits, ebits <= 64 el; negative: their signs; m <= cols. */
size_t bt_straus_collect_scratch(const bt_mont *ctx);
void bt_straus_collect(const bt_mont *ctx, bt_word *cells, uint8_t *used, const bt_word *table, size_t cols,
                       const bt_limb *e, size_t el, const uint8_t *negative, size_t m, size_t ebits, size_t rows,
                       size_t window, bt_word *scratch);

/* dst: an array of `rows` elements; sign: 0 for the positive digits, 1 for the negative ones. Cells not used are left out. */
size_t bt_straus_join_scratch(const bt_mont *ctx);
void bt_straus_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t ebits,
                    size_t rows, int sign, bt_word *scratch);

#endif
