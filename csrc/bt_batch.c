/* Products of many elements, histograms, inversions; all operands public. */
#include "bt_accumulate.h"

/* --- products -------------------------------------------------------------------------------------------------------- */

/* Rows taken in step, and the parts into which each row is cut so that the lanes are full even for one row. */
static size_t prod_rows(const bt_mont *ctx)
{
    return ctx->ops->lanes == 1 ? 1 : BT_BATCH;
}

static size_t prod_parts(const bt_mont *ctx, size_t rows, size_t m)
{
    const size_t wanted = ctx->ops->lanes == 1 ? 1 : 4 * ctx->ops->lanes;
    return rows >= wanted ? 1 : bt_max(1, bt_min(m, wanted / rows));
}

size_t bt_prod_scratch(const bt_mont *ctx, size_t rows, size_t m)
{
    (void)rows;
    (void)m;
    return 2 * bt_mont_words(ctx, BT_BATCH) + BT_BATCH + bt_mont_scratch(ctx);
}

void bt_prod(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t rows, size_t m,
             bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    bt_word *acc = scratch, *t = acc + bt_mont_words(ctx, BT_BATCH);
    int64_t *pick = (int64_t *)(t + bt_mont_words(ctx, BT_BATCH));
    bt_word *work = (bt_word *)pick + BT_BATCH;
    if (m == 0) {
        ops->one(ctx, dst, rows);
        return;
    }
    for (size_t first = 0; first < rows; first += prod_rows(ctx)) {
        const size_t count = bt_min(prod_rows(ctx), rows - first), parts = prod_parts(ctx, count, m);
        const size_t steps = m / parts, all = parts * count; /* <= BT_BATCH */
        for (size_t s = 0; s < steps; s++) {                 /* acc[p count + r] *= src[row r, column s parts + p] */
            for (size_t v = 0; v < all; v++) {
                const size_t at = (first + v % count) * m + s * parts + v / count;
                pick[v] = idx ? idx[at] : (int64_t)at;
            }
            ops->gather(ctx, s ? t : acc, src, pick, all);
            if (s)
                ops->mul(ctx, acc, acc, t, all, 0, work);
        }
        bt_word *out = dst + bt_mont_offset(ctx, first);
        ops->gather(ctx, out, acc, NULL, count);
        for (size_t p = 1; p < parts; p++) {
            for (size_t r = 0; r < count; r++)
                pick[r] = (int64_t)(p * count + r);
            ops->gather(ctx, t, acc, pick, count);
            ops->mul(ctx, out, out, t, count, 0, work);
        }
        for (size_t j = steps * parts; j < m; j++) {
            for (size_t r = 0; r < count; r++) {
                const size_t at = (first + r) * m + j;
                pick[r] = idx ? idx[at] : (int64_t)at;
            }
            ops->gather(ctx, t, src, pick, count);
            ops->mul(ctx, out, out, t, count, 0, work);
        }
    }
}

/* --- running products ------------------------------------------------------------------------------------------------- */

size_t bt_scan_scratch(const bt_mont *ctx)
{
    return bt_mont_words(ctx, BT_BATCH) + bt_mont_scratch(ctx);
}

void bt_scan(const bt_mont *ctx, bt_word *dst, size_t stride, const bt_word *src, const int64_t *idx, size_t rows,
             size_t steps, int more, bt_word *scratch)
{
    bt_word *t = scratch, *work = t + bt_mont_words(ctx, BT_BATCH);
    for (size_t first = 0; first < rows; first += BT_BATCH) { /* the last products stay in cache */
        const size_t count = bt_min(BT_BATCH, rows - first);
        for (size_t s = 0; s < steps; s++) {
            bt_word *here = dst + bt_mont_offset(ctx, s * stride + first);
            const int64_t *pick = idx + s * rows + first;
            if (s == 0 && !more) {
                ctx->ops->gather(ctx, here, src, pick, count);
            } else {
                ctx->ops->gather(ctx, t, src, pick, count);
                ctx->ops->mul(ctx, here, here - bt_mont_offset(ctx, stride), t, count, 0, work);
            }
        }
    }
}

/* --- histograms ------------------------------------------------------------------------------------------------------- */

size_t bt_bincount_scratch(const bt_mont *ctx)
{
    return bt_accumulate_scratch(ctx);
}

void bt_bincount(const bt_mont *ctx, bt_word *dst, size_t bins, size_t features, size_t width, const bt_word *src,
                 const int64_t *idx, const int64_t *code, size_t n, bt_word *scratch)
{
    bt_accumulator acc = {.ctx = ctx, .dst = dst, .src = src, .scratch = scratch};
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < features; f++) {
            const size_t bin = (f * bins + (size_t)code[i * features + f]) * width;
            for (size_t t = 0; t < width; t++)
                bt_accumulate(&acc, bin + t, idx ? (size_t)idx[i * width + t] : i * width + t);
        }
    bt_accumulate_flush(&acc);
}

/* --- inversion, and operations through indices ----------------------------------------------------------------------- */

enum { LEVELS = 3 }; /* 2^LEVELS = BT_MAX_LANES */

/* a group for each level of the product over the lanes, and three */
size_t bt_batch_scratch(const bt_mont *ctx)
{
    return (LEVELS + 3) * bt_mont_words(ctx, 1) + bt_mont_scratch(ctx);
}

/* Elements [first, first + lanes) of a, those beyond n being one: padding is some residue, which might have no inverse. */
static void padded_group(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t first, size_t n)
{
    const size_t count = bt_min(ctx->ops->lanes, n - first);
    ctx->ops->one(ctx, dst, ctx->ops->lanes);
    ctx->ops->scatter(ctx, dst, 0, a + bt_mont_offset(ctx, first), count);
}

/* dst[k] = a[k ^ distance]; dst is another group. */
static void exchange(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t distance)
{
    int64_t pick[BT_MAX_LANES];
    for (size_t k = 0; k < ctx->ops->lanes; k++)
        pick[k] = (int64_t)(k ^ distance);
    ctx->ops->gather(ctx, dst, a, pick, ctx->ops->lanes);
}

/* Lane-wise running products of the groups, then the product of the lanes of the last one. */
void bt_batch_prefix(const bt_mont *ctx, bt_word *prefix, bt_word *total, const bt_word *a, size_t n, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t lanes = ops->lanes, group = bt_mont_words(ctx, 1);
    bt_word *t = scratch, *all = t + group, *work = all + group;
    ops->one(ctx, total, 1);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i += lanes) {
        bt_word *here = prefix + bt_mont_offset(ctx, i);
        padded_group(ctx, t, a, i, n);
        if (i == 0)
            ops->gather(ctx, here, t, NULL, lanes);
        else
            ops->mul(ctx, here, here - group, t, lanes, 0, work);
    }
    ops->gather(ctx, all, prefix + bt_mont_offset(ctx, (n - 1) / lanes * lanes), NULL, lanes);
    for (size_t distance = 1; distance < lanes; distance *= 2) {
        exchange(ctx, t, all, distance);
        ops->mul(ctx, all, all, t, lanes, 0, work);
    }
    ops->gather(ctx, total, all, NULL, 1);
}

/* Inverses of the lanes of the last prefix group first, then back through the groups. Over the lanes, q_0 = that group and
 * q_(l+1)[k] = q_l[k] q_l[k ^ 2^l]; the last level holds the product of all in each lane. Hence downwards q_l[k]^-1 =
 * q_(l+1)[k]^-1 q_l[k ^ 2^l]: a product of whole groups for each level and way, not three for each lane. */
void bt_batch_unwind(const bt_mont *ctx, bt_word *a, const bt_word *prefix, const bt_word *inv, size_t n,
                     bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t lanes = ops->lanes, group = bt_mont_words(ctx, 1);
    bt_word *q = scratch, *v = q + LEVELS * group, *t = v + group, *work = t + group;
    if (n == 0)
        return;
    const size_t last = (n - 1) / lanes * lanes;
    size_t levels = 0;
    ops->gather(ctx, q, prefix + bt_mont_offset(ctx, last), NULL, lanes);
    for (; (size_t)2 << levels < lanes; levels++) { /* up to the level below the product of all */
        exchange(ctx, t, q + levels * group, (size_t)1 << levels);
        ops->mul(ctx, q + (levels + 1) * group, q + levels * group, t, lanes, 0, work);
    }
    const int64_t everywhere[BT_MAX_LANES] = {0};
    ops->gather(ctx, v, inv, everywhere, lanes);
    for (size_t level = lanes > 1 ? levels + 1 : 0; level-- > 0;) {
        exchange(ctx, t, q + level * group, (size_t)1 << level);
        ops->mul(ctx, v, v, t, lanes, 0, work);
    }
    for (size_t i = last + lanes;;) { /* v = (prefix group at i)^-1, lane by lane */
        i -= lanes;
        bt_word *here = a + bt_mont_offset(ctx, i);
        if (i == 0) {
            ops->gather(ctx, here, v, NULL, lanes);
            break;
        }
        padded_group(ctx, t, a, i, n);
        ops->mul(ctx, here, v, prefix + bt_mont_offset(ctx, i - lanes), lanes, 0, work);
        ops->mul(ctx, v, v, t, lanes, 0, work);
    }
}

size_t bt_indexed_scratch(const bt_mont *ctx)
{
    return 2 * bt_mont_words(ctx, BT_BATCH) + bt_mont_scratch(ctx);
}

/* BT_BATCH elements of a (those that idx picks, else first, first + 1, ...), gathered into t only where that is needed. */
static const bt_word *picked(const bt_mont *ctx, bt_word *t, const bt_word *a, const int64_t *idx, size_t first,
                             size_t n)
{
    if (!idx)
        return a + bt_mont_offset(ctx, first);
    ctx->ops->gather(ctx, t, a, idx + first, n);
    return t;
}

void bt_mul_indexed(const bt_mont *ctx, bt_word *dst, const bt_word *a, const int64_t *ia, const bt_word *b,
                    const int64_t *ib, size_t n, int secret, bt_word *scratch)
{
    bt_word *ta = scratch, *tb = ta + bt_mont_words(ctx, BT_BATCH), *work = tb + bt_mont_words(ctx, BT_BATCH);
    for (size_t i = 0; i < n; i += BT_BATCH) {
        const size_t count = bt_min(BT_BATCH, n - i);
        const bt_word *x = picked(ctx, ta, a, ia, i, count), *y = picked(ctx, tb, b, ib, i, count);
        ctx->ops->mul(ctx, dst + bt_mont_offset(ctx, i), x, y, count, secret, work);
    }
}

void bt_store_indexed(const bt_mont *ctx, bt_limb *dst, const bt_word *a, const int64_t *ia, size_t n, bt_word *scratch)
{
    bt_word *t = scratch, *work = t + bt_mont_words(ctx, BT_BATCH);
    for (size_t i = 0; i < n; i += BT_BATCH) {
        const size_t count = bt_min(BT_BATCH, n - i);
        ctx->ops->store(ctx, dst + i * ctx->mod->limbs, picked(ctx, t, a, ia, i, count), count, work);
    }
}
