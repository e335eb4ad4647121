/* Products of many elements, all public: sums of ciphertexts, histograms, matrix products, inversions. */
#include "bt_modexp.h"

#include <string.h>

/* BATCH: elements gathered at a time for a backend with several lanes; a multiple of every backend's lanes. */
enum { BATCH = 64, MAX_LANES = 8, ROUNDS = 6, MAX_WINDOW = 8 };

/* Words that accumulators and tables of bt_multiexp may take: 4 MB and 512 KB. */
enum { ACCUMULATOR_WORDS = 1 << 19, TABLE_WORDS = 1 << 16 };

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

/* --- products -------------------------------------------------------------------------------------------------------- */

/* Rows taken in step, and the parts into which each row is cut so that the lanes are full even for one row. */
static size_t prod_rows(const bt_mont *ctx)
{
    return ctx->ops->lanes == 1 ? 1 : BATCH;
}

static size_t prod_parts(const bt_mont *ctx, size_t rows, size_t m)
{
    const size_t wanted = ctx->ops->lanes == 1 ? 1 : 4 * ctx->ops->lanes;
    return rows >= wanted ? 1 : max_size(1, min_size(m, wanted / rows));
}

size_t bt_prod_scratch(const bt_mont *ctx, size_t rows, size_t m)
{
    (void)rows;
    (void)m;
    return 2 * bt_mont_words(ctx, BATCH) + BATCH + bt_mont_scratch(ctx);
}

void bt_prod(const bt_mont *ctx, bt_word *dst, const bt_word *src, const int64_t *idx, size_t rows, size_t m,
             bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    bt_word *acc = scratch, *t = acc + bt_mont_words(ctx, BATCH);
    int64_t *pick = (int64_t *)(t + bt_mont_words(ctx, BATCH));
    bt_word *work = (bt_word *)pick + BATCH;
    if (m == 0) {
        ops->one(ctx, dst, rows);
        return;
    }
    for (size_t first = 0; first < rows; first += prod_rows(ctx)) {
        const size_t count = min_size(prod_rows(ctx), rows - first), parts = prod_parts(ctx, count, m);
        const size_t steps = m / parts, all = parts * count; /* <= BATCH */
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

/* --- accumulation: the primitive of histograms and of multi-exponentiation ------------------------------------------- */

/* A list of "dst[bin] *= src[from]", worked off BATCH at a time. */
typedef struct item {
    int64_t bin, from;
} item;

typedef struct accumulator {
    const bt_mont *ctx;
    bt_word *dst;
    uint8_t *used; /* per bin; 0 = dst[bin] is one, so the first factor is copied. NULL: every bin is multiplied */
    const bt_word *src;
    size_t count;
    item items[BATCH];
    bt_word *scratch;
} accumulator;

/* For several lanes: the gathered factors and the products of each round of the tree below (at most BATCH/2, /4, ..., each
 * padded to lanes), two operands, one element. */
static size_t accumulate_scratch(const bt_mont *ctx)
{
    if (ctx->ops->lanes == 1)
        return bt_mont_scratch(ctx);
    return bt_mont_words(ctx, 2 * BATCH + (ROUNDS + 1) * MAX_LANES) + 2 * bt_mont_words(ctx, BATCH) +
           bt_mont_words(ctx, 1) + bt_mont_scratch(ctx);
}

/* Several lanes: factors of one bin are first multiplied in pairs, all bins together, until each bin has one factor left;
 * then no two items share a bin, and all can be multiplied into dst as one batch. */
static void accumulate_lanes(accumulator *acc)
{
    const bt_mont *ctx = acc->ctx;
    const bt_mont_ops *ops = ctx->ops;
    const size_t lanes = ops->lanes;
    bt_word *pool = acc->scratch, *a = pool + bt_mont_words(ctx, 2 * BATCH + (ROUNDS + 1) * MAX_LANES);
    bt_word *b = a + bt_mont_words(ctx, BATCH), *single = b + bt_mont_words(ctx, BATCH);
    bt_word *work = single + bt_mont_words(ctx, 1);
    item *items = acc->items;
    int64_t left[BATCH], right[BATCH];

    for (size_t i = 1; i < acc->count; i++) { /* sort by bin */
        const item moving = items[i];
        size_t k = i;
        for (; k > 0 && items[k - 1].bin > moving.bin; k--)
            items[k] = items[k - 1];
        items[k] = moving;
    }
    for (size_t i = 0; i < acc->count; i++)
        left[i] = items[i].from;
    ops->gather(ctx, pool, acc->src, left, acc->count);
    for (size_t i = 0; i < acc->count; i++)
        items[i].from = (int64_t)i; /* from now on: where in the pool */

    size_t live = acc->count, end = div_up(live, lanes) * lanes;
    for (;;) {
        size_t pairs = 0, kept = 0;
        for (size_t i = 0; i < live; kept++) {
            if (i + 1 < live && items[i].bin == items[i + 1].bin) {
                left[pairs] = items[i].from;
                right[pairs] = items[i + 1].from;
                items[kept] = (item){items[i].bin, (int64_t)(end + pairs++)};
                i += 2;
            } else {
                items[kept] = items[i++];
            }
        }
        live = kept;
        if (pairs == 0)
            break;
        ops->gather(ctx, a, pool, left, pairs);
        ops->gather(ctx, b, pool, right, pairs);
        ops->mul(ctx, pool + bt_mont_offset(ctx, end), a, b, pairs, 0, work);
        end += div_up(pairs, lanes) * lanes;
    }
    for (size_t i = 0; i < live; i++) {
        left[i] = items[i].from;
        right[i] = items[i].bin;
    }
    ops->gather(ctx, a, pool, left, live);
    ops->gather(ctx, b, acc->dst, right, live); /* bins not yet used hold one */
    ops->mul(ctx, a, a, b, live, 0, work);
    for (size_t i = 0; i < live; i++) {
        left[0] = (int64_t)i;
        ops->gather(ctx, single, a, left, 1);
        ops->scatter(ctx, acc->dst, (size_t)right[i], single, 1);
        if (acc->used)
            acc->used[right[i]] = 1;
    }
}

static void accumulate_flush(accumulator *acc)
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

static inline void accumulate(accumulator *acc, size_t bin, size_t from)
{
    acc->items[acc->count++] = (item){(int64_t)bin, (int64_t)from};
    if (acc->count == BATCH)
        accumulate_flush(acc);
}

size_t bt_bincount_scratch(const bt_mont *ctx, size_t bins, size_t n)
{
    (void)bins;
    (void)n;
    return accumulate_scratch(ctx);
}

void bt_bincount(const bt_mont *ctx, bt_word *dst, size_t bins, const bt_word *src, const int64_t *idx,
                 const int64_t *bin, size_t n, bt_word *scratch)
{
    (void)bins;
    accumulator acc = {.ctx = ctx, .dst = dst, .src = src, .scratch = scratch};
    for (size_t i = 0; i < n; i++)
        accumulate(&acc, (size_t)bin[i], idx ? (size_t)idx[i] : i);
    accumulate_flush(&acc);
}

/* --- multi-exponentiation -------------------------------------------------------------------------------------------- */

/* Both ways share squarings among the bases of a row by collecting, for each bit position (Straus) or window (Pippenger),
 * the product of everything that belongs there; one Horner pass per row then joins the positions. In products:
 *
 *   Straus     m 2^(w-1) per block of rows for the odd powers of every base, rows m ebits / (w + 1) to collect them
 *   Pippenger  rows m windows (1 - 2^-w) into buckets, rows windows 2^w to weigh the buckets; no table
 *
 * and ebits squarings a row for either. (First factors are copied, not multiplied, which pays for joining the positions.) */
typedef struct plan {
    int pippenger;
    size_t w;
    size_t rows;  /* in step, so that they share tables: what fits ACCUMULATOR_WORDS, at least one group */
    size_t cols;  /* bases whose tables exist at a time */
    size_t cells; /* accumulators */
} plan;

static plan multiexp_plan(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
{
    const size_t lanes = ctx->ops->lanes, budget = max_size(1, ACCUMULATOR_WORDS / ctx->elem_words);
    plan best = {.w = 1};
    best.rows = max_size(1, min_size(rows, max_size(1, budget / ebits / lanes) * lanes));
    const double dm = (double)m, drows = (double)rows, blocks = (double)div_up(rows, best.rows), bits = (double)ebits;
    double least = 0;
    for (size_t w = 1; w <= MAX_WINDOW; w++) {
        const double odd = w > 1 ? (double)((size_t)1 << (w - 1)) : 0;
        const double cost = blocks * dm * odd + drows * dm * bits / (double)(w + 1);
        if (w == 1 || cost < least) {
            least = cost;
            best.w = w;
        }
    }
    for (size_t w = 2; w <= MAX_WINDOW; w++) {
        const size_t windows = div_up(ebits, w), buckets = (size_t)1 << w;
        const double cost = drows * (double)windows * (dm * (1 - 1 / (double)buckets) + (double)buckets);
        if (windows * buckets <= budget && cost < least) {
            least = cost;
            best.w = w;
            best.pippenger = 1;
        }
    }
    if (best.pippenger) {
        best.rows = 1;
        best.cols = 0;
        best.cells = div_up(ebits, best.w) << best.w;
    } else {
        const size_t table = max_size(1, (TABLE_WORDS / ctx->elem_words) >> (best.w - 1));
        best.cols = div_up(min_size(m, table), lanes) * lanes;
        best.cells = best.rows * ebits;
    }
    return best;
}

/* odd powers and squares of `cols` bases */
static size_t straus_table_words(const bt_mont *ctx, const plan *p)
{
    return (((size_t)1 << (p->w - 1)) + 1) * bt_mont_words(ctx, p->cols);
}

/* Scratch, in order: accumulators, their `used` bytes, what the method wants (Straus: tables and the indices of their bases;
 * Pippenger: three arrays of one element per window and as many indices), two groups for the joining, and accumulation. */
size_t bt_multiexp_scratch(const bt_mont *ctx, size_t m, size_t rows, size_t ebits)
{
    if (m == 0 || ebits == 0 || rows == 0)
        return 0;
    const plan p = multiexp_plan(ctx, m, rows, ebits);
    const size_t windows = div_up(ebits, p.w);
    const size_t own = p.pippenger ? 3 * bt_mont_words(ctx, windows) + windows : straus_table_words(ctx, &p) + p.cols;
    return bt_mont_words(ctx, p.cells) + div_up(p.cells, 8) + own + 2 * bt_mont_words(ctx, MAX_LANES) +
           accumulate_scratch(ctx);
}

static inline size_t bit_at(const bt_limb *e, size_t pos)
{
    return e[pos / 64] >> (pos % 64) & 1;
}

/* Bits [pos, pos + width) of e, those at or above ebits being 0; width <= 8. */
static inline size_t digit_at(const bt_limb *e, size_t ebits, size_t pos, size_t width)
{
    const size_t have = min_size(width, ebits - pos), k = pos / 64, shift = pos % 64;
    bt_limb v = e[k] >> shift;
    if (shift + have > 64)
        v |= e[k + 1] << (64 - shift);
    return (size_t)(v & (((bt_limb)1 << have) - 1));
}

/* table[k cols + c] = base[idx[first + c]]^(2k+1) for c < count; columns beyond count repeat the last one. */
static void straus_table(const bt_mont *ctx, const plan *p, bt_word *table, const bt_word *base, const int64_t *idx,
                         size_t first, size_t count, int64_t *pick, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t entries = (size_t)1 << (p->w - 1), stride = bt_mont_words(ctx, p->cols);
    bt_word *square = table + entries * stride;
    const size_t padded = div_up(count, ops->lanes) * ops->lanes;
    for (size_t c = 0; c < padded; c++) {
        const size_t at = first + min_size(c, count - 1);
        pick[c] = idx ? idx[at] : (int64_t)at;
    }
    ops->gather(ctx, table, base, pick, padded);
    if (p->w > 1)
        ops->sqr(ctx, square, table, padded, 0, work);
    for (size_t k = 1; k < entries; k++)
        ops->mul(ctx, table + k * stride, table + (k - 1) * stride, square, padded, 0, work);
}

/* dst[r] = prod over pos of cell[r ebits + pos]^(2^pos), `lanes` rows at a time, cells that no row used left out. */
static void straus_join(const bt_mont *ctx, bt_word *dst, const bt_word *cells, const uint8_t *used, size_t rows,
                        size_t ebits, bt_word *group, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    int64_t pick[MAX_LANES];
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

/* Weighs the buckets of one row, all windows in step: with suffix = B_max ... B_d, the product of all suffixes is
 * prod B_d^d; then joins the windows into element 0 of `group`, two groups of which the second is work space. */
static void pippenger_join(const bt_mont *ctx, const plan *p, bt_word *group, const bt_word *cells, size_t windows,
                           bt_word *own, bt_word *work)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t stride = bt_mont_words(ctx, windows), buckets = (size_t)1 << p->w;
    bt_word *suffix = own, *weighed = suffix + stride, *bucket = weighed + stride;
    int64_t *pick = (int64_t *)(bucket + stride);
    for (size_t d = buckets - 1; d >= 1; d--) {
        for (size_t k = 0; k < windows; k++)
            pick[k] = (int64_t)(k * buckets + d);
        if (d == buckets - 1) {
            ops->gather(ctx, suffix, cells, pick, windows);
            ops->gather(ctx, weighed, suffix, NULL, windows);
        } else {
            ops->gather(ctx, bucket, cells, pick, windows);
            ops->mul(ctx, suffix, suffix, bucket, windows, 0, work);
            ops->mul(ctx, weighed, weighed, suffix, windows, 0, work);
        }
    }
    for (size_t k = windows; k-- > 0;) {
        pick[0] = (int64_t)k;
        ops->gather(ctx, group + bt_mont_words(ctx, MAX_LANES), weighed, pick, 1);
        if (k + 1 == windows) {
            ops->gather(ctx, group, group + bt_mont_words(ctx, MAX_LANES), NULL, 1);
            continue;
        }
        for (size_t i = 0; i < p->w; i++)
            ops->sqr(ctx, group, group, 1, 0, work);
        ops->mul(ctx, group, group, group + bt_mont_words(ctx, MAX_LANES), 1, 0, work);
    }
}

void bt_multiexp(const bt_mont *ctx, bt_word *dst, const bt_word *base, const int64_t *idx, size_t m, const bt_limb *e,
                 size_t el, size_t ebits, size_t rows, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    ops->one(ctx, dst, rows);
    if (m == 0 || ebits == 0 || rows == 0)
        return;
    const plan p = multiexp_plan(ctx, m, rows, ebits);
    const size_t windows = div_up(ebits, p.w);
    bt_word *cells = scratch, *used_words = cells + bt_mont_words(ctx, p.cells);
    uint8_t *used = (uint8_t *)used_words;
    bt_word *own = used_words + div_up(p.cells, 8);
    int64_t *pick = (int64_t *)(own + (p.pippenger ? 3 * bt_mont_words(ctx, windows) : straus_table_words(ctx, &p)));
    bt_word *group = (bt_word *)pick + (p.pippenger ? windows : p.cols);
    bt_word *work = group + 2 * bt_mont_words(ctx, MAX_LANES);
    accumulator acc = {.ctx = ctx, .dst = cells, .used = used, .src = p.pippenger ? base : own, .scratch = work};

    for (size_t first = 0; first < rows; first += p.rows) {
        const size_t count = min_size(p.rows, rows - first);
        ops->one(ctx, cells, p.cells);
        memset(used, 0, p.cells);
        if (p.pippenger) {
            const bt_limb *mine = e + first * m * el;
            for (size_t j = 0; j < m; j++, mine += el)
                for (size_t k = 0; k < windows; k++) {
                    const size_t digit = digit_at(mine, ebits, k * p.w, p.w);
                    if (digit)
                        accumulate(&acc, (k << p.w) + digit, idx ? (size_t)idx[j] : j);
                }
            accumulate_flush(&acc);
            pippenger_join(ctx, &p, group, cells, windows, own, work);
            ops->scatter(ctx, dst, first, group, 1);
            continue;
        }
        for (size_t col = 0; col < m; col += p.cols) {
            const size_t cols = min_size(p.cols, m - col);
            straus_table(ctx, &p, own, base, idx, col, cols, pick, work);
            for (size_t c = 0; c < cols; c++)
                for (size_t r = 0; r < count; r++) {
                    const bt_limb *mine = e + ((first + r) * m + col + c) * el;
                    for (size_t pos = 0; pos < ebits;) {
                        if (!bit_at(mine, pos)) {
                            pos++;
                            continue;
                        }
                        accumulate(&acc, r * ebits + pos, (digit_at(mine, ebits, pos, p.w) >> 1) * p.cols + c);
                        pos += p.w;
                    }
                }
            accumulate_flush(&acc);
        }
        straus_join(ctx, dst + bt_mont_offset(ctx, first), cells, used, count, ebits, group, work);
    }
}

/* --- inversion, and operations through indices ----------------------------------------------------------------------- */

/* one element for each lane, and three groups */
size_t bt_batch_scratch(const bt_mont *ctx)
{
    const size_t group = bt_mont_words(ctx, 1);
    return (MAX_LANES + 3) * group + bt_mont_scratch(ctx);
}

/* Elements [first, first + lanes) of a, those beyond n being one: padding is some residue, which might have no inverse. */
static void padded_group(const bt_mont *ctx, bt_word *dst, const bt_word *a, size_t first, size_t n)
{
    const size_t count = min_size(ctx->ops->lanes, n - first);
    ctx->ops->one(ctx, dst, ctx->ops->lanes);
    ctx->ops->scatter(ctx, dst, 0, a + bt_mont_offset(ctx, first), count);
}

/* Lane-wise running products of the groups, then the product of the lanes of the last one. */
void bt_batch_prefix(const bt_mont *ctx, bt_word *prefix, bt_word *total, const bt_word *a, size_t n, bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t lanes = ops->lanes, group = bt_mont_words(ctx, 1);
    bt_word *t = scratch, *work = t + group;
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
    const bt_word *last = prefix + bt_mont_offset(ctx, (n - 1) / lanes * lanes);
    for (int64_t k = 0; k < (int64_t)lanes; k++) {
        ops->gather(ctx, k ? t : total, last, &k, 1);
        if (k)
            ops->mul(ctx, total, total, t, 1, 0, work);
    }
}

/* Inverses of the lanes of the last prefix group first (Montgomery's trick over the lanes), then back through the groups. */
void bt_batch_unwind(const bt_mont *ctx, bt_word *a, const bt_word *prefix, const bt_word *inv, size_t n,
                     bt_word *scratch)
{
    const bt_mont_ops *ops = ctx->ops;
    const size_t lanes = ops->lanes, group = bt_mont_words(ctx, 1);
    bt_word *before = scratch, *v = before + MAX_LANES * group, *x = v + group, *t = x + group, *work = t + group;
    if (n == 0)
        return;
    const size_t last = (n - 1) / lanes * lanes;
    const bt_word *ends = prefix + bt_mont_offset(ctx, last);
    for (int64_t k = 0; k < (int64_t)lanes; k++) { /* before[k] = lane 0 ... lane k */
        ops->gather(ctx, before + (size_t)k * group, ends, &k, 1);
        if (k)
            ops->mul(ctx, before + (size_t)k * group, before + (size_t)k * group, before + (size_t)(k - 1) * group, 1,
                     0, work);
    }
    ops->one(ctx, v, lanes);
    ops->gather(ctx, x, inv, NULL, 1); /* x = (lane 0 ... lane k)^-1 */
    for (int64_t k = (int64_t)lanes - 1; k > 0; k--) {
        ops->mul(ctx, t, x, before + (size_t)(k - 1) * group, 1, 0, work);
        ops->scatter(ctx, v, (size_t)k, t, 1);
        ops->gather(ctx, t, ends, &k, 1);
        ops->mul(ctx, x, x, t, 1, 0, work);
    }
    ops->scatter(ctx, v, 0, x, 1);
    for (size_t i = last + lanes; i > 0;) { /* v = (prefix group at i)^-1, lane by lane */
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
    return 2 * bt_mont_words(ctx, BATCH) + bt_mont_scratch(ctx);
}

/* BATCH elements of a (those that idx picks, else first, first + 1, ...), gathered into t only where that is needed. */
static const bt_word *picked(const bt_mont *ctx, bt_word *t, const bt_word *a, const int64_t *idx, size_t first,
                             size_t n)
{
    if (!idx)
        return a + bt_mont_offset(ctx, first);
    ctx->ops->gather(ctx, t, a, idx + first, n);
    return t;
}

void bt_mul_indexed(const bt_mont *ctx, bt_word *dst, const bt_word *a, const int64_t *ia, const bt_word *b,
                    const int64_t *ib, size_t n, bt_word *scratch)
{
    bt_word *ta = scratch, *tb = ta + bt_mont_words(ctx, BATCH), *work = tb + bt_mont_words(ctx, BATCH);
    for (size_t i = 0; i < n; i += BATCH) {
        const size_t count = min_size(BATCH, n - i);
        const bt_word *x = picked(ctx, ta, a, ia, i, count), *y = picked(ctx, tb, b, ib, i, count);
        ctx->ops->mul(ctx, dst + bt_mont_offset(ctx, i), x, y, count, 0, work);
    }
}

void bt_store_indexed(const bt_mont *ctx, bt_limb *dst, const bt_word *a, const int64_t *ia, size_t n, bt_word *scratch)
{
    bt_word *t = scratch, *work = t + bt_mont_words(ctx, BATCH);
    for (size_t i = 0; i < n; i += BATCH) {
        const size_t count = min_size(BATCH, n - i);
        ctx->ops->store(ctx, dst + i * ctx->mod->limbs, picked(ctx, t, a, ia, i, count), count, work);
    }
}
