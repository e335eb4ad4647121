/* See bt_straus.h. */
#include "bt_straus.h"

#include "bt_accumulate.h"

size_t bt_straus_table_scratch(const bt_mont *ctx, size_t count)
{
    return bt_odd_powers_scratch(ctx, count);
}

void bt_straus_table(const bt_mont *ctx, bt_word *table, size_t cols, size_t first, const bt_word *base,
                     const int64_t *idx, size_t count, size_t window, bt_word *scratch)
{
    bt_odd_powers(ctx, table + bt_mont_offset(ctx, first), bt_mont_words(ctx, cols), bt_straus_entries(window), base,
                  idx, count, scratch);
}

/* Bits [pos, pos + width) of e, those at or above ebits being 0; pos <= ebits. */
static inline int digit_at(const bt_limb *e, size_t ebits, size_t pos, size_t width)
{
    return pos < ebits ? (int)bt_bits_at(e, pos, bt_min(width, ebits - pos)) : 0;
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
    const size_t stride = bt_div_up(cols, lanes) * lanes;
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
    return bt_join_scratch(ctx);
}

/* the negative half begins a group */
void bt_straus_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t ebits,
                    size_t rows, int sign, bt_word *scratch)
{
    const size_t row_cells = bt_straus_cells(ebits), offset = sign ? row_cells / 2 : 0;
    bt_join(ctx, dst, cells + bt_mont_offset(ctx, offset), used + offset, rows, row_cells, ebits + 1, 0, scratch);
}
