/* See bt_straus.h. */
#include "bt_straus.h"

#include "bt_accumulate.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* a square for each column, their indices */
size_t bt_straus_table_scratch(const bt_mont *ctx, size_t count)
{
    return 2 * bt_mont_words(ctx, count) + bt_mont_scratch(ctx);
}

void bt_straus_table(const bt_mont *ctx, bt_word *table, size_t cols, size_t first, const bt_word *base,
                     const int64_t *idx, size_t count, size_t window, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t stride = bt_mont_words(ctx, cols), padded = (count + ops->lanes - 1) / ops->lanes * ops->lanes;
    bt_word *row = table + bt_mont_offset(ctx, first), *square = scratch;
    int64_t *pick = (int64_t *)(square + bt_mont_words(ctx, count));
    bt_word *work = square + 2 * bt_mont_words(ctx, count); /* an index takes less than an element */
    for (size_t c = 0; c < padded; c++)
        pick[c] = idx[min_size(c, count - 1)];
    ops->gather(ctx, row, base, pick, padded);
    if (bt_straus_entries(window) > 1)
        ops->sqr(ctx, square, row, padded, 0, work);
    for (size_t k = 1; k < bt_straus_entries(window); k++, row += stride)
        ops->mul(ctx, row + stride, row, square, padded, 0, work);
}

/* Bits [pos, pos + width) of e, those at or above ebits being 0; width <= BT_STRAUS_MAX_WINDOW, pos <= ebits. */
static inline int digit_at(const bt_limb *e, size_t ebits, size_t pos, size_t width)
{
    const size_t have = min_size(width, ebits - pos), k = pos / 64, shift = pos % 64;
    if (have == 0)
        return 0;
    bt_limb v = e[k] >> shift;
    if (shift + have > 64)
        v |= e[k + 1] << (64 - shift);
    return (int)(v & (((bt_limb)1 << have) - 1));
}

size_t bt_straus_collect_scratch(const bt_mont *ctx)
{
    return bt_accumulate_scratch(ctx);
}

void bt_straus_collect(const bt_mont *ctx, bt_word *cells, uint8_t *used, const bt_word *table, size_t cols,
                       const bt_limb *e, size_t el, const uint8_t *negative, size_t m, size_t ebits, size_t rows,
                       size_t window, bt_word *scratch)
{
    const size_t row_cells = bt_straus_cells(ebits), half = row_cells / 2, lanes = ctx->ops->lanes;
    const size_t stride = (cols + lanes - 1) / lanes * lanes;
    bt_accumulator acc = {.ctx = ctx, .dst = cells, .used = used, .src = table, .scratch = scratch};
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < m; c++, e += el) {
            const size_t sign = negative[r * m + c] != 0;
            int carry = 0;
            for (size_t pos = 0; pos <= ebits;) { /* what is left is (e >> pos) + carry */
                if ((digit_at(e, ebits, pos, 1) ^ carry) == 0) {
                    pos++;
                    continue;
                }
                /* odd: d = its lowest `window` bits, taken to be between -2^(w-1) and 2^(w-1) */
                int d = digit_at(e, ebits, pos, window) + carry;
                carry = d >> (window - 1);
                d -= carry << window;
                const size_t flip = d < 0, magnitude = (size_t)(flip ? -d : d);
                bt_accumulate(&acc, r * row_cells + (sign ^ flip) * half + pos, (magnitude >> 1) * stride + c);
                pos += window;
            }
        }
    bt_accumulate_flush(&acc);
}

size_t bt_straus_join_scratch(const bt_mont *ctx)
{
    return bt_mont_words(ctx, BT_MAX_LANES) + bt_mont_scratch(ctx);
}

/* `lanes` rows at a time, from the highest position that one of them uses */
void bt_straus_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t ebits,
                    size_t rows, int sign, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t row_cells = bt_straus_cells(ebits), offset = sign ? row_cells / 2 : 0;
    bt_word *group = scratch, *work = group + bt_mont_words(ctx, BT_MAX_LANES);
    int64_t pick[BT_MAX_LANES];
    for (size_t first = 0; first < rows; first += ops->lanes) {
        const size_t count = min_size(ops->lanes, rows - first);
        bt_word *out = dst + bt_mont_offset(ctx, first);
        int started = 0;
        for (size_t pos = ebits + 1; pos-- > 0;) {
            int any = 0;
            for (size_t r = 0; r < count; r++) {
                const size_t cell = (first + r) * row_cells + offset + pos;
                pick[r] = (int64_t)cell;
                any |= used[cell];
            }
            if (started)
                ops->sqr(ctx, out, out, count, 0, work);
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
