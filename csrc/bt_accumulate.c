/* See bt_accumulate.h. */
#include "bt_accumulate.h"

/* --- accumulation ------------------------------------------------------------------------------------------------------- */

/* For several lanes: the pool of factors, and two operands. */
size_t bt_accumulate_scratch(const bt_mont *ctx)
{
    if (ctx->ops->lanes == 1)
        return bt_mont_scratch(ctx);
    return 3 * bt_mont_words(ctx, BT_BATCH) + bt_mont_scratch(ctx);
}

static void sort_by_bin(bt_item *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const bt_item moving = items[i];
        size_t k = i;
        for (; k > 0 && items[k - 1].bin > moving.bin; k--)
            items[k] = items[k - 1];
        items[k] = moving;
    }
}

/* One past the last of the items, sorted, that share the bin of items[i]. */
static size_t run_end(const bt_item *items, size_t live, size_t i)
{
    size_t end = i + 1;
    while (end < live && items[end].bin == items[i].bin)
        end++;
    return end;
}

/* Of every bin with more than `most` items the first ones are multiplied in pairs, as many as bring it down to `most`, at
 * best half of them; each product takes the place of its first factor in the pool. Returns how many items are left. */
static size_t join_pairs(const bt_mont *ctx, bt_item *items, size_t live, size_t most, bt_word *pool, bt_word *a,
                         bt_word *b, bt_word *work)
{
    int64_t left[BT_BATCH], right[BT_BATCH];
    size_t pairs = 0, kept = 0;
    for (size_t i = 0; i < live;) {
        const size_t end = run_end(items, live, i), size = end - i;
        for (size_t join = size > most ? bt_min(size / 2, size - most) : 0; join > 0; join--, i += 2) {
            left[pairs] = items[i].from;
            right[pairs++] = items[i + 1].from;
            items[kept++] = items[i];
        }
        while (i < end)
            items[kept++] = items[i++];
    }
    if (pairs > 0) {
        ctx->ops->gather(ctx, a, pool, left, pairs);
        ctx->ops->gather(ctx, b, pool, right, pairs);
        ctx->ops->mul(ctx, a, a, b, pairs, 0, work);
        ctx->ops->put(ctx, pool, left, a, pairs);
    }
    return kept;
}

/* Several lanes: items are sorted by bin and multiplied into dst a group at a time, item k with k + groups, k + 2 groups, ...:
 * no two of a group share a bin if none has more than `groups` items. Where one has, its items are first multiplied among
 * themselves. */
static void accumulate_lanes(bt_accumulator *acc)
{
    const bt_mont *ctx = acc->ctx;
    const bt_mont_ops *ops = ctx->ops;
    const size_t lanes = ops->lanes, batch = bt_mont_words(ctx, BT_BATCH);
    bt_word *pool = acc->scratch, *a = pool + batch, *b = a + batch, *work = b + batch;
    bt_item *items = acc->items;
    const bt_word *src = acc->src;
    size_t live = acc->count;
    int64_t from[BT_BATCH], bin[BT_BATCH];

    sort_by_bin(items, live);
    for (;;) { /* a run longer than the number of groups, which is 1 or more, shrinks */
        size_t longest = 0;
        for (size_t i = 0; i < live; i = run_end(items, live, i))
            longest = bt_max(longest, run_end(items, live, i) - i);
        if (longest <= bt_div_up(live, lanes))
            break;
        if (src != pool) {
            for (size_t i = 0; i < live; i++) {
                from[i] = items[i].from;
                items[i].from = (int64_t)i;
            }
            ops->gather(ctx, pool, src, from, live);
            src = pool;
        }
        live = join_pairs(ctx, items, live, bt_div_up(live, lanes), pool, a, b, work);
    }

    const size_t groups = bt_div_up(live, lanes);
    size_t n = 0, ends[BT_BATCH];
    for (size_t g = 0; g < groups; g++) {
        for (size_t i = g; i < live; i += groups) {
            from[n] = items[i].from;
            bin[n++] = items[i].bin;
        }
        ends[g] = n;
    }
    for (size_t g = 0, i = 0; g < groups; i = ends[g++]) {
        const size_t count = ends[g] - i;
        ops->gather(ctx, a, src, from + i, count);
        ops->gather(ctx, b, acc->dst, bin + i, count); /* bins not yet used hold one */
        ops->mul(ctx, a, a, b, count, 0, work);
        ops->put(ctx, acc->dst, bin + i, a, count);
    }
    if (acc->used)
        for (size_t i = 0; i < n; i++)
            acc->used[bin[i]] = 1;
}

void bt_accumulate_flush(bt_accumulator *acc)
{
    const bt_mont *ctx = acc->ctx;
    if (ctx->ops->lanes > 1 && acc->count > 0) {
        accumulate_lanes(acc);
    } else {
        for (size_t i = 0; i < acc->count; i++) {
            bt_word *to = acc->dst + bt_mont_offset(ctx, (size_t)acc->items[i].bin);
            const bt_word *from = acc->src + bt_mont_offset(ctx, (size_t)acc->items[i].from);
            if (!acc->used || acc->used[acc->items[i].bin]) {
                ctx->ops->mul(ctx, to, to, from, 1, 0, acc->scratch);
            } else {
                ctx->ops->gather(ctx, to, from, NULL, 1);
                acc->used[acc->items[i].bin] = 1;
            }
        }
    }
    acc->count = 0;
}

/* --- tables of odd powers --------------------------------------------------------------------------------------------------- */

size_t bt_odd_columns(const bt_mont *ctx, size_t m, size_t w)
{
    const size_t lanes = ctx->ops->lanes, fit = bt_max(1, (BT_TABLE_WORDS / ctx->elem_words) >> (w - 1));
    return bt_div_up(bt_min(m, fit), lanes) * lanes;
}

/* a square for each column, and their indices, which take less than elements */
size_t bt_odd_powers_scratch(const bt_mont *ctx, size_t count)
{
    return 2 * bt_mont_words(ctx, count) + bt_mont_scratch(ctx);
}

void bt_odd_powers(const bt_mont *ctx, bt_word *table, size_t stride, size_t entries, const bt_word *base,
                   const int64_t *idx, size_t count, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t padded = bt_div_up(count, ops->lanes) * ops->lanes;
    bt_word *square = scratch, *work = square + 2 * bt_mont_words(ctx, count);
    int64_t *pick = (int64_t *)(square + bt_mont_words(ctx, count));
    for (size_t c = 0; c < padded; c++) {
        const size_t at = bt_min(c, count - 1);
        pick[c] = idx ? idx[at] : (int64_t)at;
    }
    ops->gather(ctx, table, base, pick, padded);
    if (entries > 1)
        ops->sqr(ctx, square, table, padded, 0, work);
    for (size_t k = 1; k < entries; k++, table += stride)
        ops->mul(ctx, table + stride, table, square, padded, 0, work);
}

/* --- joining --------------------------------------------------------------------------------------------------------------- */

/* a group, and one operation */
size_t bt_join_scratch(const bt_mont *ctx)
{
    return bt_mont_words(ctx, 1) + bt_mont_scratch(ctx);
}

void bt_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t rows, size_t row_cells,
             size_t positions, int more, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    bt_word *group = scratch, *work = group + bt_mont_words(ctx, 1);
    int64_t pick[BT_MAX_LANES];
    for (size_t first = 0; first < rows; first += ops->lanes) {
        const size_t count = bt_min(ops->lanes, rows - first);
        bt_word *out = dst + bt_mont_offset(ctx, first);
        int started = more;
        for (size_t pos = positions; pos-- > 0;) {
            if (started)
                ops->sqr(ctx, out, out, count, 0, work);
            int any = 0;
            for (size_t r = 0; r < count; r++) {
                pick[r] = (int64_t)((first + r) * row_cells + pos);
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
