/* Products of powers for a sparse matrix of exponents; bases, exponents and their places public.
 *
 * Straus's method (bt_multiexp.c) over the stored entries: a column's odd powers serve all its entries, an entry adds
 * one factor for each of its windows to the cell (row, position of the window), and one Horner pass joins the cells of each
 * row, the rows of a group in step. */
#include "bt_accumulate.h"

#include <string.h>

/* SAMPLE: entries that choose the window. */
enum { MAX_WINDOW = 6, SAMPLE = 64 };

static size_t table_words(const bt_mont *ctx, size_t m)
{
    size_t most = 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++)
        most = bt_max(most, bt_odd_entries(w) * bt_mont_words(ctx, bt_odd_columns(ctx, m, w)));
    return most;
}

/* work space of one step; the shortest window has the most columns */
static size_t step_scratch(const bt_mont *ctx, size_t m)
{
    return bt_max(bt_max(bt_odd_powers_scratch(ctx, bt_odd_columns(ctx, m, 1)), bt_join_scratch(ctx)),
                  bt_accumulate_scratch(ctx));
}

/* cells, tables, work space, and the cells' `used` bytes */
size_t bt_multiexp_sparse_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
{
    const size_t cells = rows * ebits;
    return bt_mont_words(ctx, cells) + table_words(ctx, m) + step_scratch(ctx, m) + bt_div_up(cells, 8);
}

static size_t windows_of(const bt_limb *e, size_t ebits, size_t w)
{
    size_t n = 0;
    for (size_t pos = 0; pos < ebits;) {
        const size_t set = bt_bits_at(e, pos, 1);
        n += set;
        pos += set ? w : 1;
    }
    return n;
}

/* The window with the fewest products, by the windows that a sample of the entries has: exponents such as 2^20, a one of
 * fixed point, need no table. */
static size_t best_window(size_t m, size_t entries, const bt_limb *e, size_t el, size_t ebits)
{
    const size_t step = bt_div_up(entries, SAMPLE), sampled = bt_div_up(entries, step);
    size_t best = 1;
    double least = 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        size_t windows = 0;
        for (size_t k = 0; k < entries; k += step)
            windows += windows_of(e + k * el, ebits, w);
        const double cost = (double)m * bt_odd_products(w) + (double)windows * (double)entries / (double)sampled;
        if (w == 1 || cost < least) {
            least = cost;
            best = w;
        }
    }
    return best;
}

void bt_multiexp_sparse(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m,
                        const int64_t *start, const int64_t *row, const bt_limb *e, size_t el, size_t ebits,
                        size_t rows, bt_word *scratch)
{
    const size_t cells = rows * ebits, entries = m ? (size_t)start[m] : 0;
    if (entries == 0 || ebits == 0) {
        ctx->ops->one(ctx, dst, rows);
        return;
    }
    const size_t w = best_window(m, entries, e, el, ebits), cols = bt_odd_columns(ctx, m, w);
    bt_word *cell = scratch, *table = cell + bt_mont_words(ctx, cells), *work = table + table_words(ctx, m);
    uint8_t *used = (uint8_t *)(work + step_scratch(ctx, m));
    bt_accumulator acc = {.ctx = ctx, .dst = cell, .used = used, .src = table, .scratch = work};

    ctx->ops->one(ctx, cell, cells);
    memset(used, 0, cells);
    for (size_t col = 0; col < m; col += cols) {
        const size_t count = bt_min(cols, m - col);
        bt_odd_powers(ctx, table, bt_mont_words(ctx, cols), bt_odd_entries(w), base, idx + col, count, work);
        for (size_t c = 0; c < count; c++)
            for (size_t k = (size_t)start[col + c]; k < (size_t)start[col + c + 1]; k++)
                bt_accumulate_power(&acc, (size_t)row[k] * ebits, c, cols, e + k * el, ebits, w);
        bt_accumulate_flush(&acc);
    }
    bt_join(ctx, dst, cell, used, rows, ebits, ebits, 0, work);
}
