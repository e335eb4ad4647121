/* Products of powers for a sparse matrix of exponents; bases, exponents and their places public.
 *
 * Straus's method (bt_multiexp.c) over the entries that there are: a column's odd powers serve all its entries, an entry adds
 * one factor for each of its windows to the cell (row, position of the window), and one Horner pass joins the cells of each
 * row, the rows of a group in step. */
#include "bt_accumulate.h"

#include <string.h>

/* TABLE_WORDS: 256 KB of odd powers at a time, which second-level caches hold. SAMPLE: entries that choose the window. */
enum { MAX_WINDOW = 6, TABLE_WORDS = 1 << 15, SAMPLE = 64 };

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static inline size_t bit_at(const bt_limb *e, size_t pos)
{
    return e[pos / 64] >> (pos % 64) & 1;
}

/* Bits [pos, pos + width) of e, those at or above ebits being 0; width <= MAX_WINDOW. */
static inline size_t digit_at(const bt_limb *e, size_t ebits, size_t pos, size_t width)
{
    const size_t have = min_size(width, ebits - pos), k = pos / 64, shift = pos % 64;
    bt_limb v = e[k] >> shift;
    if (shift + have > 64)
        v |= e[k + 1] << (64 - shift);
    return (size_t)(v & (((bt_limb)1 << have) - 1));
}

/* Columns whose tables exist at a time, whole groups. */
static size_t table_cols(const bt_mont *ctx, size_t m, size_t w)
{
    const size_t lanes = ctx->ops->lanes, fit = max_size(1, (TABLE_WORDS / ctx->elem_words) >> (w - 1));
    return div_up(min_size(m, fit), lanes) * lanes;
}

/* the squares lie behind the odd powers */
static size_t table_words(const bt_mont *ctx, size_t m, size_t w)
{
    return (((size_t)1 << (w - 1)) + 1) * bt_mont_words(ctx, table_cols(ctx, m, w));
}

static size_t most_table_words(const bt_mont *ctx, size_t m)
{
    size_t most = 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++)
        most = max_size(most, table_words(ctx, m, w));
    return most;
}

/* Cells, their `used` bytes, tables, the indices of their bases, a group for the joining, accumulation. */
size_t bt_multiexp_sparse_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
{
    const size_t cells = rows * ebits;
    return bt_mont_words(ctx, cells) + div_up(cells, 8) + most_table_words(ctx, m) + table_cols(ctx, m, 1) +
           bt_mont_words(ctx, 1) + bt_accumulate_scratch(ctx);
}

static size_t windows_of(const bt_limb *e, size_t ebits, size_t w)
{
    size_t n = 0;
    for (size_t pos = 0; pos < ebits;) {
        const size_t set = bit_at(e, pos);
        n += set;
        pos += set ? w : 1;
    }
    return n;
}

/* The window with the fewest products, by the windows that a sample of the entries has: exponents such as 2^20, a one of
 * fixed point, need no table. */
static size_t best_window(size_t m, size_t entries, const bt_limb *e, size_t el, size_t ebits)
{
    const size_t step = div_up(entries, SAMPLE), sampled = div_up(entries, step);
    size_t best = 1;
    double least = 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        size_t windows = 0;
        for (size_t k = 0; k < entries; k += step)
            windows += windows_of(e + k * el, ebits, w);
        const double odd = w > 1 ? (double)((size_t)1 << (w - 1)) : 0;
        const double cost = (double)m * odd + (double)windows * (double)entries / (double)sampled;
        if (w == 1 || cost < least) {
            least = cost;
            best = w;
        }
    }
    return best;
}

/* table[k cols + c] = base[idx[c]]^(2k+1) for c < count; columns beyond count, up to whole groups, repeat the last one. */
static void odd_powers(const bt_mont *ctx, bt_word *table, size_t w, size_t cols, const bt_word *base,
                       const int64_t *idx, size_t count, int64_t *pick, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t entries = (size_t)1 << (w - 1), stride = bt_mont_words(ctx, cols);
    const size_t padded = div_up(count, ops->lanes) * ops->lanes;
    bt_word *square = table + entries * stride;
    for (size_t c = 0; c < padded; c++)
        pick[c] = idx[min_size(c, count - 1)];
    ops->gather(ctx, table, base, pick, padded);
    if (w > 1)
        ops->sqr(ctx, square, table, padded, 0, work);
    for (size_t k = 1; k < entries; k++)
        ops->mul(ctx, table + k * stride, table + (k - 1) * stride, square, padded, 0, work);
}

/* dst[r] = prod over pos of cell[r ebits + pos]^(2^pos), a group of rows in step; cells that none of them used are skipped. */
static void join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t rows, size_t ebits,
                 bt_word *group, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    int64_t pick[BT_MAX_LANES];
    for (size_t first = 0; first < rows; first += ops->lanes) {
        const size_t count = min_size(ops->lanes, rows - first);
        bt_word *out = dst + bt_mont_offset(ctx, first);
        int started = 0;
        for (size_t pos = ebits; pos-- > 0;) {
            if (started)
                ops->sqr(ctx, out, out, count, 0, work);
            int any = 0;
            for (size_t r = 0; r < count; r++) {
                pick[r] = (int64_t)((first + r) * ebits + pos);
                any |= used[pick[r]];
            }
            if (!any)
                continue;
            ops->gather(ctx, started ? group : out, cells, pick, count);
            if (started)
                ops->mul(ctx, out, out, group, count, 0, work);
            started = 1;
        }
        if (!started)
            ops->one(ctx, out, count);
    }
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
    const size_t w = best_window(m, entries, e, el, ebits), cols = table_cols(ctx, m, w);
    bt_word *cell = scratch, *used_words = cell + bt_mont_words(ctx, cells);
    uint8_t *used = (uint8_t *)used_words;
    bt_word *table = used_words + div_up(cells, 8);
    int64_t *pick = (int64_t *)(table + most_table_words(ctx, m));
    bt_word *group = (bt_word *)pick + table_cols(ctx, m, 1), *work = group + bt_mont_words(ctx, 1);
    bt_accumulator acc = {.ctx = ctx, .dst = cell, .used = used, .src = table, .scratch = work};

    ctx->ops->one(ctx, cell, cells);
    memset(used, 0, cells);
    for (size_t col = 0; col < m; col += cols) {
        const size_t count = min_size(cols, m - col);
        odd_powers(ctx, table, w, cols, base, idx + col, count, pick, work);
        for (size_t c = 0; c < count; c++)
            for (size_t k = (size_t)start[col + c]; k < (size_t)start[col + c + 1]; k++) {
                const bt_limb *mine = e + k * el;
                for (size_t pos = 0; pos < ebits;) {
                    if (!bit_at(mine, pos)) {
                        pos++;
                        continue;
                    }
                    bt_accumulate(&acc, (size_t)row[k] * ebits + pos, (digit_at(mine, ebits, pos, w) >> 1) * cols + c);
                    pos += w;
                }
            }
        bt_accumulate_flush(&acc);
    }
    join(ctx, dst, cell, used, rows, ebits, group, work);
}
